// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// modules is where `npm ci` in tests/ put the packages that programs of these tests need.
func modules(t *testing.T, name string) string {
	t.Helper()
	dir, err := filepath.Abs("../../tests/node_modules")
	require.NoError(t, err)
	_, err = os.Stat(filepath.Join(dir, name))
	need(t, err == nil, "`npm ci` in tests/, for "+name)
	return dir
}

const webSocketServer = `
const { readFileSync } = require('node:fs')
const [port, dir] = process.argv.slice(1)
const { WebSocketServer } = require('ws')
const server = dir
  ? require('node:https').createServer({ key: readFileSync(dir + '/key.pem'), cert: readFileSync(dir + '/cert.pem') })
  : require('node:http').createServer()
new WebSocketServer({ server, perMessageDeflate: { threshold: 0 } }).on('connection', ws => {
  ws.on('message', (data, binary) => {
    ws.send(binary ? data : 'echo ' + data, { binary })
    if (data.toString() === 'bye') ws.close(4001, 'farewell')
  })
})
server.listen(+port, '127.0.0.1')
`

// The client says something, stays silent until it is told to go on, and says more.
const webSocketClient = `
const { WebSocket } = require('ws')
const [url, deflate] = process.argv.slice(1)
const ws = new WebSocket(url, { perMessageDeflate: deflate === 'true' ? { threshold: 0 } : false, rejectUnauthorized: false })
ws.on('open', () => {
  ws.send('{"n":1,"text":"the same words again and again"}')
  ws.send('{"n":2,"text":"the same words again and again"}')
  ws.send(Buffer.alloc(70000, 7))
  ws.send('in ', { fin: false })
  ws.ping('are you there')
  ws.send('pieces', { fin: true })
  process.stdin.once('data', () => ws.send('bye'))
})
ws.on('close', (code, reason) => { console.log(code + ' ' + reason); process.exit(0) })
ws.on('error', e => { console.error(e); process.exit(1) })
`

// TestE2EWebSocket watches node's ws at both ends: every message is there, in parts that do not wait
// for the end of the connection.
func TestE2EWebSocket(t *testing.T) {
	nodeModules := modules(t, "ws")
	for _, c := range []struct {
		name         string
		deflate, tls bool
	}{{"plain", false, false}, {"deflate", true, false}, {"wss", true, true}} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t, "ws"+c.name)
			l.start(nil)
			port, scheme := freePort(t), "ws"
			args := []string{"-e", webSocketServer, strconv.Itoa(port)}
			if c.tls {
				dir := t.TempDir()
				selfSigned(t, dir)
				args, scheme = append(args, dir), "wss"
			}
			t.Setenv("NODE_PATH", nodeModules)
			l.serve(port, "node", args...)
			client := l.command("node", "-e", webSocketClient, fmt.Sprintf("%s://127.0.0.1:%d/chat?room=1", scheme, port), strconv.FormatBool(c.deflate))
			client.Stderr = os.Stderr
			var out strings.Builder
			client.Stdout = &out
			more, err := client.StdinPipe()
			require.NoError(t, err)
			require.NoError(t, client.Start())
			require.Eventually(t, func() bool { return len(l.messages(ptrace.SpanKindClient)) == 10 }, testkit.Patience, 20*time.Millisecond,
				"the messages of the first parts, before the client goes on")
			_, err = more.Write([]byte("go on\n"))
			require.NoError(t, err)
			require.NoError(t, client.Wait())
			require.Equal(t, "4001 farewell\n", out.String())

			big := strings.Repeat("\a", 70000)
			want := map[string]int{}
			for _, m := range []string{
				"> 1 {\"n\":1,\"text\":\"the same words again and again\"}", "> 1 {\"n\":2,\"text\":\"the same words again and again\"}",
				"> 2 " + big, "> 1 in pieces", "> 9 are you there", "> 1 bye", "> 8 \x0f\xa1farewell",
				"< 1 echo {\"n\":1,\"text\":\"the same words again and again\"}", "< 1 echo {\"n\":2,\"text\":\"the same words again and again\"}",
				"< 2 " + big, "< 1 echo in pieces", "< 10 are you there", "< 1 echo bye", "< 8 \x0f\xa1farewell",
			} {
				want[m]++
			}
			for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
				require.Eventually(t, func() bool { return len(l.messages(kind)) == len(want) }, testkit.Patience, 20*time.Millisecond, "%s: %d messages", kind, len(l.messages(kind)))
				got := map[string]int{}
				for _, m := range l.messages(kind) {
					dir := "<"
					if v, _ := m.Get(semantic.MessageClient); v.Bool() {
						dir = ">"
					}
					data, _ := m.Get(semantic.MessageData)
					s := data.Str()
					if data.Type() == pcommon.ValueTypeBytes {
						s = string(data.Bytes().AsRaw())
					}
					got[dir+" "+text(m, semantic.MessageOpcode)+" "+s]++
					_, compressed := m.Get(semantic.MessageCompressed)
					require.False(t, compressed)
				}
				require.Equal(t, want, got)
			}
			l.stop()

			handshake := map[ptrace.SpanKind]ptrace.Span{}
			parts := map[ptrace.SpanKind]int{}
			sums := map[string]int64{}
			for _, s := range l.everySpan() {
				if _, part := s.Attributes().Get(semantic.ExchangePart); !part {
					handshake[s.Kind()] = s
					require.Equal(t, "101", text(s.Attributes(), semantic.HTTPResponseStatusCode))
				}
			}
			require.Len(t, handshake, 2)
			for _, s := range l.everySpan() {
				m := s.Attributes()
				if _, part := m.Get(semantic.ExchangePart); !part {
					continue
				}
				parts[s.Kind()]++
				require.Equal(t, handshake[s.Kind()].SpanID(), s.ParentSpanID())
				require.Equal(t, handshake[s.Kind()].TraceID(), s.TraceID())
				require.Equal(t, "websocket", text(m, semantic.NetworkProtocolName))
				objects, ok := m.Get(semantic.PayloadObjects)
				require.True(t, ok)
				require.NoError(t, objectkey.Validate(objects.Slice().At(0).Str()))
				_, at, ok := l.payload(s.SpanID())
				require.True(t, ok)
				require.Equal(t, objects.Slice().At(0).Str(), at)
				for _, k := range []string{semantic.WebSocketClientMessages, semantic.WebSocketServerMessages, semantic.WebSocketClientBytes, semantic.WebSocketServerBytes} {
					v, _ := m.Get(k)
					sums[k] += v.Int()
				}
				require.False(t, s.EndTimestamp() < s.StartTimestamp())
			}
			for kind, n := range parts {
				require.GreaterOrEqual(t, n, 2, "parts of %s", kind)
			}
			require.Equal(t, int64(14), sums[semantic.WebSocketClientMessages])
			require.Equal(t, int64(14), sums[semantic.WebSocketServerMessages])
			if c.deflate {
				require.Less(t, sums[semantic.WebSocketClientBytes], int64(2*2000), "it was compressed")
			} else {
				require.Greater(t, sums[semantic.WebSocketClientBytes], int64(2*70000))
			}
			require.NotEmpty(t, l.records(semantic.EventConnection, func(m pcommon.Map) bool {
				return text(m, semantic.NetworkProtocolName) == "websocket" && text(m, semantic.ConnectionState) == "closed"
			}))
		})
	}
}

func (l *lab) everySpan() (out []ptrace.Span) {
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				out = append(out, s)
			}
		}
	}
	return out
}

// messages returns what the payload records of one end hold.
func (l *lab) messages(kind ptrace.SpanKind) (out []pcommon.Map) {
	for _, s := range l.everySpan() {
		if s.Kind() != kind {
			continue
		}
		lr, _, ok := l.payload(s.SpanID())
		if !ok {
			continue
		}
		if v, ok := lr.Attributes().Get(semantic.PayloadWebSocketMessages); ok {
			for _, m := range v.Slice().All() {
				out = append(out, m.Map())
			}
		}
	}
	return out
}
