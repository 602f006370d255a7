// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event/replay"
)

const corpus = "../../testdata/replay"

// events is a recording in memory: a Handler that keeps what it is told, in order.
type events struct{ all []func(event.Handler) }

func (e *events) add(f func(event.Handler)) { e.all = append(e.all, f) }

func (e *events) Packet(p *event.Packet)   { e.add(packetEvent(*p)) }
func (e *events) Socket(s *event.Socket)   { e.add(func(h event.Handler) { c := *s; h.Socket(&c) }) }
func (e *events) Process(p *event.Process) { e.add(func(h event.Handler) { h.Process(p) }) }
func (e *events) Lost(kind string, n uint64) {
	e.add(func(h event.Handler) { h.Lost(kind, n) })
}
func (e *events) Idle(now int64) { e.add(func(h event.Handler) { h.Idle(now) }) }
func (e *events) Secret(s *event.Secret) {
	e.add(func(h event.Handler) {
		c := *s // the engine wipes it
		c.Secret = bytes.Clone(s.Secret)
		h.Secret(&c)
	})
}

func (e *events) Datagram(d *event.Datagram) {
	e.add(func(h event.Handler) { h.(event.DatagramHandler).Datagram(d) })
}

func (e *events) Flow(f *event.Flow) {
	e.add(func(h event.Handler) { h.(event.DatagramHandler).Flow(f) })
}

var _ event.DatagramHandler = (*events)(nil)

func packetEvent(p event.Packet) func(event.Handler) {
	return func(h event.Handler) { c := p; h.Packet(&c) }
}

// packetOf returns the packet that an event is, or nil.
func packetOf(f func(event.Handler)) *event.Packet {
	var x lastPacket
	f(&x)
	return x.p
}

type lastPacket struct {
	events
	p *event.Packet
}

func (l *lastPacket) Packet(p *event.Packet) { l.p = p }

func readCorpus(t *testing.T, file string) []func(event.Handler) {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	b, err := io.ReadAll(z)
	require.NoError(t, err)
	var e events
	require.NoError(t, replay.NewSource(bytes.NewReader(b)).Run(context.Background(), &e))
	return e.all
}

// clocked follows the recording's time and passes datagrams on, too.
type clocked struct {
	*Engine
	b *bench
}

func (c clocked) Idle(now int64) {
	c.b.now = now
	c.Engine.Idle(now)
}

// found is what came of a recording: a line for each exchange and question, by the id of its span.
type found struct {
	lines   map[string]string
	partial map[string]bool // said to be incomplete, or cut
	missing uint64
}

func play(t *testing.T, all []func(event.Handler)) found {
	t.Helper()
	b := newBench(t, withPayloads(1<<20))
	for _, f := range all {
		f(clocked{b.e, b})
	}
	b.idle(2 * time.Second)
	b.close()
	out := found{lines: map[string]string{}, partial: map[string]bool{}, missing: b.e.Stats().Missing}
	bodies := map[string][2]string{}
	for _, ld := range b.segs {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					var x [2]string
					for i, key := range []string{semantic.PayloadRequestBody, semantic.PayloadResponseBody} {
						if v, ok := lr.Attributes().Get(key); ok {
							x[i] = string(v.Bytes().AsRaw())
						}
					}
					bodies[lr.SpanID().String()] = x
					if _, ok := lr.Attributes().Get(semantic.ErrorType); ok {
						out.partial[lr.SpanID().String()] = true
					}
				}
			}
		}
	}
	for _, rs := range b.td.ResourceSpans().All() {
		pid, _ := rs.Resource().Attributes().Get(semantic.ProcessPID)
		for _, s := range rs.ScopeSpans().At(0).Spans().All() {
			m, id := s.Attributes(), s.SpanID().String()
			if _, part := m.Get(semantic.ExchangePart); part {
				continue // where a long exchange is cut depends on time
			}
			if valueOf(m, semantic.PayloadState) != semantic.PayloadPending {
				out.partial[id] = true
			}
			own(t, valueOf(m, semantic.URLPath), bodies[id], valueOf(m, semantic.NetworkLocalPort), valueOf(m, semantic.NetworkPeerPort))
			require.NotContains(t, out.lines, id, "a span id is given once")
			out.lines[id] = fmt.Sprintf("%s %-6s pid %s %s/%s %s %s %s status %s request %s response %s", id, s.Kind(), pid.AsString(),
				valueOf(m, semantic.NetworkProtocolVersion), valueOf(m, semantic.TLSProtocolVersion), s.Name(), valueOf(m, semantic.URLScheme),
				valueOf(m, semantic.URLPath), valueOf(m, semantic.HTTPResponseStatusCode), sum(bodies[id][0]), sum(bodies[id][1]))
		}
	}
	for i, r := range b.records(semantic.EventDNS) {
		m := r.Attributes()
		out.lines[fmt.Sprintf("dns%03d", i)] = fmt.Sprintf("%s %s %s %s", r.EventName(), valueOf(m, semantic.DNSQuestionName), valueOf(m, semantic.DNSResponseCode), valueOf(m, semantic.NetworkTransport))
	}
	return out
}

func valueOf(m pcommon.Map, key string) string {
	v, ok := m.Get(key)
	if !ok {
		return "-"
	}
	return v.AsString()
}

func sum(body string) string {
	if body == "" {
		return "-"
	}
	return fmt.Sprintf("%d:%x", len(body), sha256.Sum256([]byte(body)))[:14]
}

// truths are what the peers of testdata/attribution say of themselves in their payloads.
var truths = regexp.MustCompile(`^seq=0*(\d+) port=0*(\d+) pid=\d+\n`)

// own holds a payload against what it says of itself: whatever was missed, it is of this exchange.
func own(t *testing.T, path string, bodies [2]string, local, peer string) {
	t.Helper()
	for _, body := range bodies {
		if x := truths.FindStringSubmatch(body); x != nil {
			if path != "-" {
				require.Equal(t, strings.TrimLeft(path, "/0"), strings.TrimLeft(x[1], "0"), "the payload is of another exchange")
			}
			if x[2] != "" && x[2] != "0" {
				require.Contains(t, []string{local, peer}, x[2], "the payload is of another connection")
			}
		}
	}
}

// TestCorpus plays what the kernel reported of real programs, and compares the exchanges that come of it
// with golden ones. Then it plays the same with packets lost on their way to us, in other order, and
// twice: nothing may come out that is not true, and what does not come out must be missing.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(corpus, "*.jsonl.gz"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 15)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl.gz")
		t.Run(name, func(t *testing.T) {
			all := readCorpus(t, file)
			truth := play(t, all)
			require.Zero(t, truth.missing, "the recording is whole")
			lines := make([]string, 0, len(truth.lines))
			for _, l := range truth.lines {
				lines = append(lines, l+"\n")
			}
			slices.Sort(lines)
			path := filepath.Join(corpus, name+".txt")
			if *update {
				require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "")), 0o644))
			}
			want, err := os.ReadFile(path)
			require.NoError(t, err, "run the test with -update once")
			require.Equal(t, string(want), strings.Join(lines, ""))

			lost := 0
			for seed := range uint64(6) {
				rnd := rand.New(rand.NewPCG(seed, 7))
				require.Equal(t, truth.lines, play(t, shuffle(all, rnd)).lines, "seed %d: other order", seed)
				require.Equal(t, truth.lines, play(t, twice(all, rnd)).lines, "seed %d: twice", seed)
				less := play(t, lose(all, rnd, 0.02*float64(1+seed)))
				whole := 0
				for id, l := range less.lines {
					if strings.HasPrefix(id, "dns") {
						l = strings.Replace(l, " - ", " ", 1) // no answer was seen
						for _, word := range strings.Fields(l)[1:] {
							require.Contains(t, string(want), word, "seed %d", seed)
						}
					} else if !less.partial[id] {
						require.Equal(t, truth.lines[id], l, "seed %d: an exchange that is said to be whole", seed)
						whole++
					}
				}
				if whole < len(truth.lines)-len(truth.partial) && !strings.HasPrefix(name, "dns") {
					require.Positive(t, less.missing, "seed %d: what is missing is counted", seed)
					lost++
				}
			}
			t.Logf("%d exchanges at their ends; with losses %d of 6 times fewer", len(truth.lines), lost)
		})
	}
}

// lose takes out a share of the packets, as a full ring does.
func lose(all []func(event.Handler), rnd *rand.Rand, share float64) (out []func(event.Handler)) {
	for _, f := range all {
		if packetOf(f) == nil || rnd.Float64() >= share {
			out = append(out, f)
		}
	}
	return out
}

// twice repeats some packets a little later, as a network does. What the socket expects by then is told with them.
func twice(all []func(event.Handler), rnd *rand.Rand) (out []func(event.Handler)) {
	var again *event.Packet
	for _, f := range all {
		out = append(out, f)
		p := packetOf(f)
		if p == nil {
			continue
		}
		if again != nil && p.Cookie == again.Cookie && p.Dir == again.Dir {
			c := *again
			c.Time, c.RcvNxt, c.HasRcvNxt = p.Time, p.RcvNxt, p.HasRcvNxt
			out = append(out, packetEvent(c))
			again = nil
		}
		if again == nil && rnd.IntN(4) == 0 {
			again = p
		}
	}
	return out
}

// shuffle lets some packets be overtaken by the next of their direction, when nothing else comes between.
func shuffle(all []func(event.Handler), rnd *rand.Rand) []func(event.Handler) {
	out := slices.Clone(all)
	for i := 0; i+1 < len(out); i++ {
		a, b := packetOf(out[i]), packetOf(out[i+1])
		if a == nil || b == nil || a.Cookie != b.Cookie || a.Dir != b.Dir || a.Flags&event.FlagSYN != 0 || rnd.IntN(2) != 0 {
			continue
		}
		first, second := *b, *a
		first.Time, second.Time = a.Time, b.Time
		first.RcvNxt, second.RcvNxt = a.RcvNxt, a.RcvNxt
		out[i], out[i+1] = packetEvent(first), packetEvent(second)
		i++
	}
	return out
}
