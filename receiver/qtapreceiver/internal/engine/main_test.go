// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// t0 is when every script begins.
const t0 = int64(1_780_000_000_000_000_000)

// bench is an engine with everything behind it, and what came out.
type bench struct {
	t        testing.TB
	e        *Engine
	emitter  *emit.Emitter[*process.Info]
	payloads *emit.Segmenter[*process.Info]
	books    *emit.PayloadBooks
	now      int64

	mu   sync.Mutex
	td   ptrace.Traces
	ld   plog.Logs
	segs []plog.Logs
}

type option func(*Settings, *bench)

func withPayloads(maxBody int) option {
	return func(_ *Settings, b *bench) {
		b.books = emit.NewPayloadBooks()
		b.payloads = emit.NewSegmenter[*process.Info](emit.SegmentConfig{MaxAge: time.Second, MaxBytes: 1 << 20, MaxEntries: 100},
			"host-1", emit.Scope{Name: "scope", Version: "v1"},
			func(_ context.Context, ld plog.Logs, _ int) error {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.segs = append(b.segs, ld)
				return nil
			}, func(ld plog.Logs, n int) { b.emitter.LogNow(ld, n) }, b.books)
		b.e.SetPayloads(&Payloads{MaxBody: maxBody, Segmenter: b.payloads})
	}
}

func newBench(t testing.TB, opts ...option) *bench {
	t.Helper()
	b := &bench{t: t, now: t0, td: ptrace.NewTraces(), ld: plog.NewLogs()}
	b.emitter = emit.New[*process.Info](emit.Scope{Name: "scope", Version: "v1"}, emit.Consumers{
		Traces: func(_ context.Context, td ptrace.Traces, _ int) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			td.ResourceSpans().MoveAndAppendTo(b.td.ResourceSpans())
			return nil
		},
		Logs: func(_ context.Context, ld plog.Logs, _ int) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			ld.ResourceLogs().MoveAndAppendTo(b.ld.ResourceLogs())
			return nil
		},
	})
	set := Settings{
		Egress: true, Ingress: true, Interval: 30 * time.Second,
		Emitter:   b.emitter,
		Processes: process.NewResolver("testdata", process.Host{ID: "host-1", BootID: "boot-1", Name: "box"}),
	}
	b.e = New(set)
	for _, o := range opts {
		o(&b.e.set, b)
	}
	t.Cleanup(func() { b.close() })
	return b
}

// close ends the engine and checks the conservation identity of every stage.
func (b *bench) close() {
	if b.emitter == nil {
		return
	}
	b.e.Close(b.now)
	if b.payloads != nil {
		b.payloads.Close(context.Background(), b.now)
	}
	b.emitter.Close(context.Background())
	stages := b.e.Stats().Stages
	ledgers := []*emit.Ledger{b.emitter.Spans, b.emitter.Logs}
	if b.books != nil {
		ledgers = append(ledgers, b.books.Payloads, b.books.Bytes, b.books.Segments)
	}
	for _, l := range ledgers {
		stages = append(stages, Stage{l.Stage, l.Unit, l.Totals()})
	}
	for _, s := range stages {
		require.True(b.t, s.Balanced(), "stage %s: %+v", s.Name, s.Totals)
		require.Zero(b.t, s.InFlight, "stage %s has something in flight after the end", s.Name)
	}
	require.Zero(b.t, b.e.Stats().Connections)
	require.Empty(b.t, b.e.byTuple)
	require.Zero(b.t, b.e.held)
	require.Zero(b.t, b.e.charged)
	require.Zero(b.t, b.e.keys.Stats().Entries)
	b.emitter = nil
}

func (b *bench) idle(d time.Duration) {
	b.now += int64(d)
	b.e.Idle(b.now)
}

// delivered returns when all that was emitted so far has reached the bench: pipelines run beside the engine.
func (b *bench) delivered() {
	b.t.Helper()
	if b.emitter == nil {
		return // closed, and drained by that
	}
	b.emitter.Flush()
	require.Eventually(b.t, func() bool {
		return b.emitter.Spans.Totals().InFlight == 0 && b.emitter.Logs.Totals().InFlight == 0
	}, testkit.Patience, time.Millisecond)
}

// spans returns every span so far.
func (b *bench) spans() (out []ptrace.Span) {
	b.delivered()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rs := range b.td.ResourceSpans().All() {
		for _, ss := range rs.ScopeSpans().All() {
			for _, s := range ss.Spans().All() {
				out = append(out, s)
			}
		}
	}
	return out
}

func (b *bench) records(eventName string) (out []plog.LogRecord) {
	b.delivered()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, rl := range b.ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if lr.EventName() == eventName {
					out = append(out, lr)
				}
			}
		}
	}
	return out
}

// wire is one TCP connection on a host that has both of its ends.
type wire struct {
	b              *bench
	client, server event.Cookie
	ca, sa         netip.AddrPort
	seq            [2]uint32 // next, from the client, from the server
	sent           [2]uint64 // so much of each
}

func (b *bench) dial(n int) *wire {
	w := &wire{
		b: b, client: event.Cookie(1000 + n), server: event.Cookie(2000 + n),
		ca: netip.MustParseAddrPort(fmt.Sprintf("127.0.0.1:%d", 40000+n)), sa: netip.MustParseAddrPort("127.0.0.1:8080"),
		seq: [2]uint32{0xfffffff0, 0x1000},
	}
	return w
}

func (w *wire) packet(ck event.Cookie, dir event.Direction, flags uint8, seq uint32, data string) {
	local, remote := w.ca, w.sa
	if ck == w.server || ck != w.client {
		local, remote = w.sa, w.ca
	}
	w.b.e.Packet(&event.Packet{
		Cookie: ck, Time: w.b.now, Dir: dir, Flags: flags, Seq: seq, Len: uint32(len(data)), Data: []byte(data), Local: local, Remote: remote,
	})
}

// send is n bytes of one direction, as both ends see them.
func (w *wire) send(fromClient bool, data string) {
	w.b.now += 1000_000
	i := 1
	out, in := w.server, w.client
	if fromClient {
		i, out, in = 0, w.client, w.server
	}
	w.packet(out, event.Egress, event.FlagACK, w.seq[i], data)
	w.packet(in, event.Ingress, event.FlagACK, w.seq[i], data)
	w.seq[i] += uint32(len(data))
	w.sent[i] += uint64(len(data))
}

func (w *wire) connect() {
	w.b.e.Socket(&event.Socket{Kind: event.SocketConnect, Cookie: w.client, Time: w.b.now, Remote: w.sa, TGID: 100, Comm: "curl", Role: event.RoleClient})
}

func (w *wire) establish(fromClient bool) {
	s := event.Socket{Kind: event.SocketEstablished, Cookie: w.client, Time: w.b.now, Local: w.ca, Remote: w.sa, Role: event.RoleClient, RcvNxt: w.seq[1], SndNxt: w.seq[0]}
	if !fromClient {
		s = event.Socket{Kind: event.SocketEstablished, Cookie: w.server, Time: w.b.now, Local: w.sa, Remote: w.ca, Role: event.RoleServer, RcvNxt: w.seq[0], SndNxt: w.seq[1]}
	}
	w.b.e.Socket(&s)
}

func (w *wire) own() {
	w.b.e.Socket(&event.Socket{Kind: event.SocketOwner, Cookie: w.server, Time: w.b.now, Local: w.sa, Remote: w.ca, TGID: 200, Comm: "nginx"})
}

func (w *wire) open() *wire {
	w.connect()
	w.establish(true)
	w.establish(false)
	return w
}

func (w *wire) hangup(reason event.CloseReason) {
	w.b.now += 1000_000
	// The local port is gone from the socket by then, as in the kernel.
	w.b.e.Socket(&event.Socket{
		Kind: event.SocketClosed, Cookie: w.client, Time: w.b.now, Local: netip.AddrPortFrom(w.ca.Addr(), 0), Remote: w.sa, CloseReason: reason,
		BytesSent: w.sent[0], BytesReceived: w.sent[1], SegsOut: 5, SegsIn: 6, RTTMicros: 40,
	})
	w.b.e.Socket(&event.Socket{
		Kind: event.SocketClosed, Cookie: w.server, Time: w.b.now, Local: netip.AddrPortFrom(w.sa.Addr(), 0), Remote: w.ca, CloseReason: reason,
		BytesSent: w.sent[1], BytesReceived: w.sent[0], SegsOut: 6, SegsIn: 5, RTTMicros: 50,
	})
}

const (
	getRequest = "GET /users/42?token=s3cret HTTP/1.1\r\nHost: api.example:8080\r\nUser-Agent: curl/8\r\n\r\n"
	okResponse = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
)

func repeat(s string, n int) string { return strings.Repeat(s, n) }
