// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

var exchanges = flag.Int("exchanges", 1000, "exchanges of each program in the attribution tests; the full number is 20000 (make test-attribution)")

// truth is what a payload says of itself: every peer of testdata/attribution begins its bodies so.
// Port is the client's, PID that of the process that wrote it; 0 when the peer does not know.
type truth struct{ seq, port, pid int }

var marker = regexp.MustCompile(`^seq=(\d+) port=(\d+) pid=(\d+)\n`)

func readTruth(b []byte) (x truth, ok bool) {
	m := marker.FindSubmatch(b)
	if m == nil {
		return x, false
	}
	for i, p := range []*int{&x.seq, &x.port, &x.pid} {
		*p, _ = strconv.Atoi(string(m[i+1]))
	}
	return x, true
}

// witness is one exchange as one end reported it.
type witness struct {
	kind              ptrace.SpanKind
	trace             pcommon.TraceID
	span, parent      pcommon.SpanID
	pid, port, status int // port is the client's
	path, connection  string
	incomplete        string // reason
	truncated         bool
	request, response []byte
}

// witnesses joins the spans with their payloads. Each span has exactly one payload.
func (l *lab) witnesses() []*witness {
	l.t.Helper()
	byID := map[pcommon.SpanID]*witness{}
	var all []*witness
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			pid, _ := rs.Resource().Attributes().Get(semantic.ProcessPID)
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				m := s.Attributes()
				if _, part := m.Get(semantic.ExchangePart); part {
					continue // of an exchange that took seconds, on a busy machine: its own span comes, too
				}
				number := func(key string) int { v, _ := m.Get(key); return int(v.Int()) }
				w := &witness{
					kind: s.Kind(), trace: s.TraceID(), span: s.SpanID(), parent: s.ParentSpanID(), pid: int(pid.Int()),
					port: number(semantic.NetworkLocalPort), status: number(semantic.HTTPResponseStatusCode),
					path: text(m, semantic.URLPath), connection: text(m, semantic.ConnectionID), truncated: text(m, semantic.PayloadState) == semantic.PayloadTruncated,
				}
				if s.Kind() == ptrace.SpanKindServer {
					w.port = number(semantic.NetworkPeerPort)
				}
				if byID[s.SpanID()] != nil {
					l.t.Errorf("span id %s is given twice", s.SpanID())
				}
				byID[s.SpanID()] = w
				all = append(all, w)
			}
		}
	}
	payloads := 0
	for _, ld := range l.payloads.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if _, part := lr.Attributes().Get(semantic.ExchangePart); part {
						continue
					}
					w := byID[lr.SpanID()]
					require.NotNil(l.t, w, "a payload has a span")
					require.Equal(l.t, w.trace, lr.TraceID())
					payloads++
					w.incomplete = text(lr.Attributes(), semantic.ErrorType)
					if v, ok := lr.Attributes().Get(semantic.PayloadRequestBody); ok {
						w.request = v.Bytes().AsRaw()
					}
					if v, ok := lr.Attributes().Get(semantic.PayloadResponseBody); ok {
						w.response = v.Bytes().AsRaw()
					}
				}
			}
		}
	}
	require.Equal(l.t, len(all), payloads, "a span has a payload")
	return all
}

// tally is what came of n exchanges at both ends.
type tally struct {
	whole      int // exchanges' ends that were reported with their request and response
	incomplete int // reported, and said to be so
	absent     int // not reported at all
}

// judge holds every report against the truth that its payload carries: the two messages belong
// together, to this connection and to this process, and nothing is reported twice. pids gives the
// client's process by port where the payload cannot.
func judge(t *testing.T, all []*witness, n int, server map[int]bool, client func(port int) int) (sum tally) {
	t.Helper()
	wrong := 0
	fail := func(w *witness, format string, args ...any) {
		if wrong++; wrong <= 10 {
			t.Errorf("%s span of %s, port %d, pid %d (%s): %s\n request  %.60q\n response %.60q",
				w.kind, w.path, w.port, w.pid, w.incomplete, fmt.Sprintf(format, args...), w.request, w.response)
		}
	}
	seen := map[string]int{}
	for _, w := range all {
		seq, err := strconv.Atoi(strings.TrimPrefix(w.path, "/"))
		if err != nil {
			fail(w, "a path that nobody asked for")
			continue
		}
		seen[w.kind.String()+w.path]++
		wantPID := client(w.port)
		req, okReq := readTruth(w.request)
		resp, okResp := readTruth(w.response)
		switch {
		case okReq && req.seq != seq:
			fail(w, "the request's content is of another")
		case okReq && req.port != 0 && req.port != w.port:
			fail(w, "the request is of another connection")
		case okResp && resp.seq != seq:
			fail(w, "the response is of another request")
		case okResp && resp.port != w.port:
			fail(w, "the response is of another connection")
		}
		if wantPID == 0 && okReq {
			wantPID = req.pid
		}
		switch {
		case w.kind == ptrace.SpanKindServer && okResp && resp.pid != w.pid, w.kind == ptrace.SpanKindServer && !server[w.pid]:
			fail(w, "the server is another process")
		case w.kind == ptrace.SpanKindClient && wantPID != 0 && w.pid != wantPID:
			fail(w, "the client is process %d", wantPID)
		}
		switch {
		case w.incomplete != "" || w.truncated:
			sum.incomplete++
		case okReq && okResp && w.status == 200:
			sum.whole++
		default:
			fail(w, "neither whole nor said to be incomplete")
		}
	}
	for key, n := range seen {
		if n > 1 {
			t.Errorf("%s is reported %d times", key, n)
		}
	}
	require.Zero(t, wrong, "wrong attributions of %d", len(all))
	sum.absent = 2*n - len(seen)
	return sum
}

// settled waits until nothing new has come for a while.
func (l *lab) settled(want int) {
	last, since := -1, time.Now()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if n := l.traces.SpanCount(); n != last {
			last, since = n, time.Now()
		} else if n >= want || time.Since(since) > 5*time.Second {
			return
		}
	}
}

// account requires that what was missed is what the receiver's counters say: nothing at all, unless
// the ring overflowed, and then bytes too.
func (l *lab) account(n int, sum tally) {
	l.t.Helper()
	st := l.slot.tap.engine.Stats()
	dropped := map[string]uint64{}
	for _, s := range l.slot.tap.books() {
		for reason, n := range s.Dropped {
			if n > 0 {
				dropped[s.Name+"/"+reason] = n
			}
		}
	}
	l.t.Logf("%d exchanges, two ends each: %d whole, %d incomplete, %d absent; lost packets %d, missing bytes %d; dropped %v",
		n, sum.whole, sum.incomplete, sum.absent, st.Lost["packet"], st.Missing, dropped)
	require.Equal(l.t, 2*n, sum.whole+sum.incomplete+sum.absent)
	if len(st.Lost) == 0 {
		require.Equal(l.t, tally{whole: 2 * n}, sum)
		require.Zero(l.t, st.Missing, "bytes by the kernel's count that were not seen")
	} else {
		require.Positive(l.t, st.Missing)
	}
}

// TestAttribution counts wrong attributions of real programs: there must be none, and nothing may
// be missed but what the receiver's own counters say.
func TestAttribution(t *testing.T) {
	for _, p := range []program{
		{"curl", runCurl},
		{"go-http1", runGo(false, 50, 1)},
		{"go-http2", runGo(true, 20, 10)},
		{"node", runNode},
		{"asyncio", runAsyncio},
	} {
		for _, scheme := range []string{"http", "https"} {
			t.Run(p.name+"-"+scheme, func(t *testing.T) {
				l := newLab(t, "attribution-"+p.name+scheme)
				l.lossy = true // on a machine that is busy with others; account sees to it
				l.start(func(c *Config, _ *PayloadConfig) { c.RingSizeMiB = 128 })
				dir := t.TempDir()
				selfSigned(t, dir)
				began := time.Now()
				n, servers, client := p.run(l, dir, scheme == "https", *exchanges)
				took := time.Since(began)
				l.settled(2 * n)
				l.stop()
				sum := judge(t, l.witnesses(), n, servers, client)
				t.Logf("%d exchanges in %.1f s (%.0f/s)", n, took.Seconds(), float64(n)/took.Seconds())
				l.account(n, sum)
			})
		}
	}
}
