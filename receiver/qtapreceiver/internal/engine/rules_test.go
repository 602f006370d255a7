// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

func ruleSet(t testing.TB, list ...rules.Config) *rules.Set {
	t.Helper()
	s, err := rules.Compile(list, rules.Levels{Base: rules.LevelFull, Max: rules.LevelFull})
	require.NoError(t, err)
	return s
}

// TestRules drives one exchange through each kind of rule. bench.close holds the books against each other.
func TestRules(t *testing.T) {
	zero, half, two := 0.0, 0.5, 2
	all := `server.port == 8080`
	for name, c := range map[string]struct {
		rules                   []rules.Config
		spans, records, payload int
		state, reason           string
		body                    string
	}{
		"no rule":               {nil, 2, 2, 2, "pending", "", "hello"},
		"no match":              {[]rules.Config{{Match: `server.port == 1`, Level: rules.LevelNone}}, 2, 2, 2, "pending", "", "hello"},
		"full":                  {[]rules.Config{{Match: all, Level: rules.LevelFull}}, 2, 2, 2, "pending", "", "hello"},
		"headers":               {[]rules.Config{{Match: all, Level: rules.LevelHeaders}}, 2, 2, 2, "truncated", "rule", ""},
		"connections":           {[]rules.Config{{Match: all, Level: rules.LevelConnections}}, 0, 2, 0, "", "", ""},
		"none":                  {[]rules.Config{{Match: all, Level: rules.LevelNone}}, 0, 0, 0, "", "", ""},
		"none, by the request":  {[]rules.Config{{Match: `url.path startsWith "/users/"`, Level: rules.LevelNone}}, 0, 2, 0, "", "", ""},
		"none of one end":       {[]rules.Config{{Match: `direction == "ingress"`, Level: rules.LevelNone}}, 1, 1, 1, "pending", "", "hello"},
		"by the name":           {[]rules.Config{{Match: `like(server.address, "*.example")`, Level: rules.LevelConnections}}, 0, 2, 0, "", "", ""},
		"by the response":       {[]rules.Config{{Match: `http.response.status_code < 400 && http.response.body.size == 5`, Level: rules.LevelHeaders}}, 2, 2, 2, "truncated", "rule", ""},
		"first match wins":      {[]rules.Config{{Match: all, Level: rules.LevelFull}, {Match: "true", Level: rules.LevelNone}}, 2, 2, 2, "pending", "", "hello"},
		"body cap":              {[]rules.Config{{Match: all, MaxBodySize: &two}}, 2, 2, 2, "truncated", "max_body_size", "he"},
		"no payload":            {[]rules.Config{{Match: all, SampleRate: &zero}}, 2, 2, 0, "filtered", "rule", ""},
		"sampled":               {[]rules.Config{{Match: all, SampleRate: &half}}, 2, 2, -1, "", "", ""},
		"rate limit":            {[]rules.Config{{Match: `direction == "egress"`, Level: rules.LevelConnections}, {Match: all, MaxPerSecond: 1}}, 1, 2, 1, "pending", "", "hello"},
		"an expression's error": {[]rules.Config{{Match: `[1][server.port] == 1`, Level: rules.LevelNone}}, 2, 2, 0, "filtered", "rule_error", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, withPayloads(1<<16))
			b.e.SetRules(ruleSet(t, c.rules...))
			w := b.dial(1).open()
			w.send(true, getRequest)
			w.own()
			w.send(false, okResponse)
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			b.close()
			require.Len(t, b.spans(), c.spans)
			require.Len(t, b.records(semantic.EventConnection), c.records)
			stats := b.e.Stats()
			for _, s := range stats.Stages {
				if s.Name == "exchanges" {
					require.EqualValues(t, 2-c.spans, s.Dropped[dropRule])
				}
			}
			if c.payload < 0 {
				// Both ends of the exchange come to the same answer.
				spans := b.spans()
				require.Equal(t, str(t, spans[0].Attributes(), semantic.PayloadState), str(t, spans[1].Attributes(), semantic.PayloadState))
				return
			}
			payloads := 0
			for _, ld := range b.segs {
				payloads += ld.LogRecordCount()
				for _, rl := range ld.ResourceLogs().All() {
					for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
						body := ""
						if v, ok := lr.Attributes().Get(semantic.PayloadResponseBody); ok {
							body = string(v.Bytes().AsRaw())
						}
						require.Equal(t, c.body, body)
						require.Equal(t, "5", str(t, lr.Attributes(), semantic.PayloadResponseBodySize), "the whole size")
					}
				}
			}
			require.Equal(t, c.payload, payloads)
			for _, s := range b.spans() {
				require.Equal(t, c.state, str(t, s.Attributes(), semantic.PayloadState))
				if c.reason != "" {
					require.Equal(t, c.reason, str(t, s.Attributes(), semantic.PayloadReason))
				}
			}
		})
	}
}

// TestSamplingOfBothEnds: of many exchanges about the asked part is kept, the same at both ends.
func TestSamplingOfBothEnds(t *testing.T) {
	b := newBench(t, withPayloads(1<<16))
	rate := 0.3
	b.e.SetRules(ruleSet(t, rules.Config{Match: "true", SampleRate: &rate}))
	w := b.dial(1).open()
	const n = 1000
	for range n {
		w.send(true, getRequest)
		w.send(false, okResponse)
		b.e.Idle(b.now)
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	states := map[string]map[ptrace.SpanKind]string{}
	kept := 0
	for _, s := range b.spans() {
		trace := s.TraceID().String()
		if states[trace] == nil {
			states[trace] = map[ptrace.SpanKind]string{}
		}
		states[trace][s.Kind()] = str(t, s.Attributes(), semantic.PayloadState)
	}
	require.Len(t, states, n)
	for trace, ends := range states {
		require.Equal(t, ends[ptrace.SpanKindClient], ends[ptrace.SpanKindServer], trace)
		if ends[ptrace.SpanKindClient] == "pending" {
			kept++
		} else {
			require.Equal(t, semantic.PayloadSampledOut, ends[ptrace.SpanKindClient])
		}
	}
	require.InDelta(t, rate*n, kept, 60)
}

// TestRulesPerSecond counts what is over a rule's rate.
func TestRulesPerSecond(t *testing.T) {
	b := newBench(t, withPayloads(1<<16))
	b.e.SetRules(ruleSet(t, rules.Config{Match: `direction == "ingress"`, Level: rules.LevelConnections}, rules.Config{Match: "true", MaxPerSecond: 5}))
	w := b.dial(1).open()
	for range 50 { // 2 ms each
		w.send(true, getRequest)
		w.send(false, okResponse)
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	states := map[string]int{}
	for _, s := range b.spans() {
		state := str(t, s.Attributes(), semantic.PayloadState)
		if state == semantic.PayloadSampledOut {
			state += " " + str(t, s.Attributes(), semantic.PayloadReason)
		}
		states[state]++
	}
	require.Equal(t, map[string]int{"pending": 5, "sampled_out max_per_second": 45}, states)
}

// BenchmarkJudge is the cost of three rules for one exchange, the fields filled in.
func BenchmarkJudge(b *testing.B) {
	bench := newBench(b)
	bench.e.SetRules(ruleSet(b, rules.Config{Match: `url.path == "/healthz"`}, rules.Config{Match: `like(server.address, "*.internal")`}, rules.Config{Match: `process.executable.name == "curl"`}))
	w := bench.dial(1).open()
	w.send(true, getRequest)
	c := bench.e.byCookie[w.client]
	x := &l7.Exchange{Request: l7.Message{Method: "GET", Target: "/users/42", Version: "1.1", Headers: []l7.Header{{Name: "Host", Value: "api.example"}}}}
	t := c.app.target(x)
	b.ReportAllocs()
	for b.Loop() {
		bench.e.judge(&c.app, x, &t)
	}
	w.hangup(event.CloseFIN)
}

// TestRulesOfParts: what goes on for long leaves in parts before its end, and each is held against the rules. The
// canary must be in no record that a rule does not let out.
func TestRulesOfParts(t *testing.T) {
	const canary = "canary-in-a-part"
	four := 4
	for name, c := range map[string]struct {
		rule  rules.Config
		spans bool
		parts string // state and reason of the parts
		kept  string // of the canary
	}{
		"full":        {rules.Config{Match: "true", Level: rules.LevelFull}, true, "pending", canary},
		"headers":     {rules.Config{Match: `url.path startsWith "/"`, Level: rules.LevelHeaders}, true, "filtered rule", ""},
		"connections": {rules.Config{Match: "true", Level: rules.LevelConnections}, false, "", ""},
		"none":        {rules.Config{Match: `http.request.method == "GET"`, Level: rules.LevelNone}, false, "", ""},
		"cut":         {rules.Config{Match: "true", MaxBodySize: &four}, true, "truncated max_body_size", canary[:4]},
		"no payload":  {rules.Config{Match: "true", SampleRate: new(float64)}, true, "filtered rule", ""},
	} {
		for protocol, script := range map[string][3]string{
			"websocket":    {upgradeRequest, upgradeResponse, text(canary)},
			"event stream": {getRequest, streamResponse, chunk(canary + "\n\n")},
			"long body":    {getRequest, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", canary},
		} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				b := newBench(t, withPayloads(1<<16), withPartAge(time.Second))
				b.e.SetRules(ruleSet(t, c.rule))
				w := b.dial(1).open()
				w.own()
				for i, s := range script {
					w.send(i == 0, s)
				}
				for range 4 {
					b.idle(time.Second)
				}
				w.hangup(event.CloseFIN)
				b.idle(time.Second)
				b.close()
				require.Equal(t, c.spans, len(b.spans()) > 0)
				all := parts(b.spans())
				require.Equal(t, c.spans, len(all) > 0)
				for _, s := range all {
					got := str(t, s.Attributes(), semantic.PayloadState)
					if v, ok := s.Attributes().Get(semantic.PayloadReason); ok {
						got += " " + v.Str()
					}
					require.Equal(t, c.parts, got)
				}
				out := ""
				for _, r := range b.payloadRecords() {
					out += fmt.Sprintf("%q", r.Attributes().AsRaw()) // bodies are bytes
				}
				if c.kept == "" {
					require.NotContains(t, out, canary[:4])
				} else {
					require.Contains(t, out, c.kept)
				}
				if c.kept != canary {
					require.NotContains(t, out, canary[:5])
				}
			})
		}
	}
}
