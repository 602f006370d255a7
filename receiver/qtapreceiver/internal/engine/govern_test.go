// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/governor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// meter is a process of which the test says what it uses.
type meter struct {
	b       *bench
	g       *governor.Governor
	usage   governor.Usage
	cores   float64
	control *control
	steps   []rules.Level
}

// metered is a bench with a budget of one core.
func metered(t *testing.T, levels rules.Levels, list ...rules.Config) *meter {
	t.Helper()
	m := &meter{g: governor.New(governor.Limits{CPU: 1}, levels.Max), control: &control{orders: map[event.Cookie][]event.Order{}, denied: map[uint32]bool{}}}
	m.b = newBench(t, withPayloads(1<<16), withPartAge(time.Second), func(s *Settings, b *bench) {
		s.Control, s.Level = m.control, levels.Base
		s.Budget = &Budget{
			Governor: m.g,
			Measure: func() governor.Usage {
				m.usage.At += time.Second
				m.usage.CPU += time.Duration(m.cores * float64(time.Second))
				return m.usage
			},
			OnStep: func(s governor.State) { m.steps = append(m.steps, s.Level) },
		}
		b.e.budget.level = levels.Max
	})
	set, err := rules.Compile(list, levels)
	require.NoError(t, err)
	m.b.e.SetRules(set)
	return m
}

// to lets time pass, at a load that leads there, until connections are looked into at the given level.
func (m *meter) to(level rules.Level) {
	m.b.t.Helper()
	m.cores = 2
	if rules.Lower(m.g.State().Level, level) != level {
		m.cores = 0
	}
	for range 3600 {
		if m.g.State().Level == level {
			m.cores = 1 // where it stays
			return
		}
		m.b.idle(time.Second)
	}
	require.FailNow(m.b.t, "it never comes to the level", level)
}

// outcomes are state and reason of the client's spans, by path.
func (b *bench) outcomes() map[string]string {
	got := map[string]string{}
	for _, s := range b.spans() {
		if s.Kind() == ptrace.SpanKindClient {
			got[attr(s.Attributes(), semantic.URLPath)] = attr(s.Attributes(), semantic.PayloadState) + " " + attr(s.Attributes(), semantic.PayloadReason)
		}
	}
	return got
}

func (w *wire) exchange(path string) {
	w.send(true, "GET "+path+" HTTP/1.1\r\nHost: api.example\r\n\r\n")
	w.send(false, okResponse)
}

// bodies are the bodies that were kept, by path.
func (b *bench) bodies() map[string]string {
	got := map[string]string{}
	for _, r := range b.payloadRecords() {
		body := ""
		if v, ok := r.Attributes().Get(semantic.PayloadResponseBody); ok {
			body = string(v.Bytes().AsRaw())
		}
		got[attr(r.Attributes(), semantic.PayloadRequestTarget)] = body
	}
	return got
}

// TestGovernHeaders steps down and up again in the midst of a connection, and in the midst of exchanges.
func TestGovernHeaders(t *testing.T) {
	m := metered(t, fullLevels)
	b := m.b
	w := b.dial(1).open()
	w.own()
	w.exchange("/full")
	w.send(true, "GET /down HTTP/1.1\r\nHost: api.example\r\n\r\n")
	m.to(rules.LevelHeaders)
	w.send(false, okResponse)
	w.exchange("/headers")
	other := b.dial(2).open()
	other.own()
	other.exchange("/new")
	w.send(true, "GET /up HTTP/1.1\r\nHost: api.example\r\n\r\n")
	w.send(false, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
	m.to(rules.LevelFull)
	w.send(false, "lo")
	w.exchange("/again")
	w.hangup(event.CloseFIN)
	other.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string]string{
		"/full": "pending ", "/again": "pending ",
		"/down": "truncated over_budget", "/headers": "truncated over_budget", "/new": "truncated over_budget", "/up": "truncated over_budget",
	}, b.outcomes())
	require.Equal(t, map[string]string{"/full": "hello", "/again": "hello", "/down": "", "/headers": "", "/new": "", "/up": ""}, b.bodies())
	require.Equal(t, []rules.Level{rules.LevelHeaders, rules.LevelFull}, m.steps)
	require.Empty(t, m.control.paused)
	require.Empty(t, b.records(semantic.EventCoverage), "no report is wanted")
}

// TestGovernHeadersSkips: at headers the rest of a long body is not copied, for the budget's sake.
func TestGovernHeadersSkips(t *testing.T) {
	m := metered(t, fullLevels)
	b := m.b
	w := b.dial(1).open()
	w.own()
	m.to(rules.LevelHeaders)
	w.send(true, getRequest)
	w.send(false, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx", 3<<20))
	require.Len(t, m.control.orders[w.client], 1)
	require.Equal(t, event.SkipBudget, m.control.orders[w.client][0].Reason)
	w.hangup(event.CloseReset)
}

// TestGovernConnections stops everything in the midst of an exchange, and reads on where the kernel says that the
// connection has come to.
func TestGovernConnections(t *testing.T) {
	m := metered(t, fullLevels)
	m.b.e.coverage.tracker, m.b.e.coverage.next = coverage.NewTracker(), math.MaxInt64 // changes only
	b := m.b
	w := b.dial(1).open()
	w.own()
	for range 4 { // the client shows that it waits for its responses
		w.exchange("/before")
	}
	w.send(true, "GET /midst HTTP/1.1\r\nHost: api.example\r\n\r\n")
	b.idle(3 * time.Second) // and announced
	m.to(rules.LevelConnections)
	require.Equal(t, []bool{true}, m.control.paused)
	require.EqualValues(t, 2, b.e.Stats().Stopped[event.SkipBudget])

	// What is still in the ring is dropped, and counted.
	dropped := b.e.counts.dropped[dropOverBudget]
	w.send(false, okResponse)
	w.exchange("/unseen")
	require.Greater(t, b.e.counts.dropped[dropOverBudget], dropped)
	// Others come and go; of them there are records.
	short := b.dial(2).open()
	short.own()
	short.exchange("/short")
	short.hangup(event.CloseFIN)
	young := b.dial(3).open()
	young.own()
	young.exchange("/young")

	m.to(rules.LevelHeaders)
	require.Equal(t, []bool{true, false}, m.control.paused)
	w.exchange("/too early") // where it is, is not known yet
	// The kernel does not always know who opened a connection; what was known of its beginning still holds.
	for w, role := range map[*wire]event.Role{w: event.RoleUnknown, young: event.RoleClient} {
		w.scanned(true, role, w.sent[0], w.sent[1], 0)
		w.scanned(false, event.RoleServer, w.sent[1], w.sent[0], 0)
	}
	w.exchange("/joined")
	young.exchange("/joined-young")
	fresh := b.dial(4).open()
	fresh.own()
	fresh.exchange("/fresh")
	for range 4 {
		w.exchange("/settled")
	}
	m.to(rules.LevelFull)
	w.exchange("/last")
	for _, w := range []*wire{w, young, fresh} {
		w.hangup(event.CloseFIN)
	}
	b.idle(time.Second)
	b.close()

	states := b.outcomes()
	require.Equal(t, "truncated over_budget", states["/fresh"])
	require.Equal(t, "pending ", states["/before"])
	require.Equal(t, "truncated capture_ended", states["/midst"])
	for _, path := range []string{"/unseen", "/short", "/young", "/too early"} {
		require.NotContains(t, states, path)
	}
	for _, path := range []string{"/joined", "/joined-young"} {
		require.Equal(t, "truncated gap", states[path], "the response may be to another request")
	}
	require.Equal(t, "truncated over_budget", states["/settled"], "the client is known to wait")
	require.Equal(t, "pending ", states["/last"])
	require.Equal(t, "hello", b.bodies()["/last"])

	// Both ends tell of one trace, whatever was missed.
	traces := map[string]map[ptrace.SpanKind]string{}
	for _, s := range b.spans() {
		path := attr(s.Attributes(), semantic.URLPath)
		if traces[path] == nil {
			traces[path] = map[ptrace.SpanKind]string{}
		}
		traces[path][s.Kind()] = s.TraceID().String()
	}
	for path, ends := range traces {
		require.Len(t, ends, 2, path)
		require.Equal(t, ends[ptrace.SpanKindClient], ends[ptrace.SpanKindServer], path)
	}
	// Records go on, and say what is not seen.
	said := map[string][]string{}
	for _, lr := range b.records(semantic.EventConnection) {
		a := lr.Attributes()
		if attr(a, semantic.ConnectionRole) == "client" {
			port := attr(a, semantic.NetworkLocalPort)
			said[port] = append(said[port], attr(a, semantic.ConnectionState)+" "+attr(a, semantic.PayloadVisibility)+" "+attr(a, semantic.PayloadReason))
		}
	}
	require.Equal(t, []string{"open visible ", "established  ", "closed visible "}, said["40001"])
	require.Equal(t, []string{"closed not_visible over_budget"}, said["40002"])
	require.Contains(t, said["40003"], "open not_visible over_budget")
	require.Contains(t, said["40003"], "closed visible ")
	require.Zero(t, b.e.Stats().Missing, "what was not to be read is not missing")

	// And so does the account.
	var rows []string
	for _, lr := range b.records(semantic.EventCoverage) {
		if a := lr.Attributes(); attr(a, semantic.CoverageSubject) == "governor" {
			rows = append(rows, attr(a, semantic.CoverageName)+" "+attr(a, semantic.CoverageState)+" "+attr(a, semantic.CoverageReason))
			require.Equal(t, attr(a, semantic.CoverageReason) != "", attr(a, semantic.CoverageAdvice) != "")
		}
	}
	require.Equal(t, []string{"level headers cpu", "level connections cpu", "level headers cpu", "level full ", "level full "}, rows, "the last is of the report at the end")
}

// TestGovernedTLS: what was encrypted is not read again, and new connections are.
func TestGovernedTLS(t *testing.T) {
	m := metered(t, fullLevels)
	b := m.b
	before, during := b.dial(1).open(), b.dial(2)
	before.own()
	script, log := exchangesOverTLS(t, "http/1.1", 5, getRequest, okResponse)
	half := len(script) / 2
	b.keyLog(log)
	for _, s := range script[:half] {
		before.send(s.client, string(s.b))
	}
	m.to(rules.LevelConnections)
	during.open()
	during.own()
	for _, s := range script[:half] {
		during.send(s.client, string(s.b))
	}
	m.to(rules.LevelFull)
	for _, w := range []*wire{before, during} {
		w.scanned(true, event.RoleClient, w.sent[0], w.sent[1], 0)
		w.scanned(false, event.RoleServer, w.sent[1], w.sent[0], 0)
		for _, s := range script[half:] {
			w.send(s.client, string(s.b))
		}
		require.Equal(t, []event.Order{{Level: event.OrderConnections, Reason: event.SkipUnread}}, m.control.orders[w.client])
	}
	after := b.exchangeOn(3)
	for _, w := range []*wire{before, during, after} {
		w.hangup(event.CloseFIN)
	}
	b.idle(time.Second)
	b.close()
	require.Greater(t, len(b.spans()), 2, "what was read before")
	closed := map[string]string{}
	for _, lr := range b.records(semantic.EventConnection) {
		if a := lr.Attributes(); attr(a, semantic.ConnectionState) == "closed" {
			closed[attr(a, semantic.NetworkLocalPort)] = attr(a, semantic.PayloadVisibility) + " " + attr(a, semantic.PayloadReason)
		}
	}
	require.Equal(t, "not_visible over_budget", closed["40001"])
	require.Equal(t, "not_visible over_budget", closed["40002"])
	require.Equal(t, "visible ", closed["40003"])
}

// TestGovernIsToldAgain: what the source does not take, it is told the next time.
func TestGovernIsToldAgain(t *testing.T) {
	m := metered(t, fullLevels)
	m.control.fail = true
	m.to(rules.LevelConnections)
	require.Empty(t, m.control.paused)
	require.Positive(t, m.b.e.counts.ordersFailed)
	m.control.fail = false
	m.b.idle(time.Second)
	require.Equal(t, []bool{true}, m.control.paused)
}

// TestGovernAndRules: rules ask for less than the budget allows, and the budget for less than rules raise to.
func TestGovernAndRules(t *testing.T) {
	m := metered(t, rules.Levels{Base: rules.LevelHeaders, Max: rules.LevelFull},
		rules.Config{Match: `url.path == "/raised"`, Level: rules.LevelFull},
		rules.Config{Match: `url.path == "/none"`, Level: rules.LevelNone})
	b := m.b
	w := b.dial(1).open()
	w.own()
	w.exchange("/raised")
	m.to(rules.LevelHeaders)
	w.exchange("/none")
	w.exchange("/base")
	w.send(true, "GET /raised HTTP/1.1\r\nHost: api.example\r\nX: y\r\n\r\n")
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	var got []string
	for _, s := range b.spans() {
		if s.Kind() == ptrace.SpanKindClient {
			got = append(got, attr(s.Attributes(), semantic.URLPath)+" "+attr(s.Attributes(), semantic.PayloadState)+" "+attr(s.Attributes(), semantic.PayloadReason))
		}
	}
	require.ElementsMatch(t, []string{"/raised pending ", "/base truncated level", "/raised truncated over_budget"}, got)
}

// TestGovernParts: what goes on for long is cut where the budget is, and a part that nobody can afford keeps no payload.
func TestGovernParts(t *testing.T) {
	for name, level := range map[string]rules.Level{"headers": rules.LevelHeaders, "connections": rules.LevelConnections} {
		for protocol, script := range map[string][3]string{
			"websocket":    {upgradeRequest, upgradeResponse, text("canary")},
			"event stream": {getRequest, streamResponse, chunk("canary\n\n")},
			"long body":    {getRequest, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "canary"},
		} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				m := metered(t, fullLevels)
				b := m.b
				w := b.dial(1).open()
				w.own()
				for i, s := range script[:2] {
					w.send(i == 0, s)
				}
				m.to(level)
				w.send(false, script[2])
				for range 4 {
					b.idle(time.Second)
				}
				w.hangup(event.CloseFIN)
				b.idle(time.Second)
				b.close()
				for _, r := range b.payloadRecords() {
					require.NotContains(t, fmt.Sprintf("%q", r.Attributes().AsRaw()), "canary")
				}
				for _, s := range parts(b.spans()) {
					require.Equal(t, "filtered over_budget", attr(s.Attributes(), semantic.PayloadState)+" "+attr(s.Attributes(), semantic.PayloadReason))
				}
			})
		}
	}
}

// TestMemoryBounds: a budget of memory bounds what waits.
func TestMemoryBounds(t *testing.T) {
	for limit, want := range map[uint64][2]int{0: {maxHeld, maxCharged}, 64 << 20: {4 << 20, 16 << 20}, 1 << 40: {maxHeld, maxCharged}} {
		b := newBench(t)
		set := b.e.set
		set.Budget = &Budget{Governor: governor.New(governor.Limits{Memory: limit}, rules.LevelFull)}
		e := New(set)
		require.Equal(t, want, [2]int{e.maxHeld, e.maxCharged})
	}
}
