// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/bench/peer"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestParseWrk(t *testing.T) {
	const out = `Running 2s test @ http://127.0.0.1:1/file
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.80ms    1.05ms  15.26ms   83.27%
    Req/Sec    17.84k     1.65k   20.96k    65.00%
  35758 requests in 2.01s, 45.29MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:  17774.65
Transfer/sec:     22.51MB
`
	o, err := parseWrk(out)
	if err != nil || o.Requests != 35758 || o.Errors != 7 || math.Abs(o.Seconds-35758/17774.65) > 1e-9 {
		t.Errorf("%+v, %v", o, err)
	}
	if _, err := parseWrk("unable to connect"); err == nil {
		t.Error("no requests must be an error")
	}
}

func TestParseMetrics(t *testing.T) {
	m, err := parseMetrics(strings.NewReader(`# HELP a b
# TYPE a counter
a 1
b{x="with space } and brace",y="2"} 2.5 1700000000000
c_bucket{le="1"} 3
c_count{z="1"} 1e+06
`))
	if err != nil || len(m) != 3 || m["a"] != 1 || m[`b{x="with space } and brace",y="2"}`] != 2.5 || m[`c_count{z="1"}`] != 1e6 {
		t.Errorf("%v, %v", m, err)
	}
	for _, bad := range []string{"a", "a x", `a{b="c"}`} {
		if _, err := parseMetrics(strings.NewReader(bad)); err == nil {
			t.Errorf("%q must be an error", bad)
		}
	}
	if got := short(`n_total{otel_scope_name="x",reason="rule",stage="spans"}`); got != `n_total{reason="rule",stage="spans"}` {
		t.Error(got)
	}
}

// TestPlan holds that every ratio has what it is compared with, in both forms and whatever is chosen.
func TestPlan(t *testing.T) {
	for _, all := range [][]measurement{matrix(), quickMatrix()} {
		seen := map[measurement]bool{}
		for _, m := range all {
			if seen[m] {
				t.Errorf("%s twice", m)
			}
			seen[m] = true
			wayNamed(m.Way) // panics for one that is not known
			m.Way = wayOff
			if !slices.Contains(all, m) {
				t.Errorf("%s is missing", m)
			}
		}
		mixed := shuffled(all)
		if len(mixed) != len(all) {
			t.Errorf("%d of %d after mixing", len(mixed), len(all))
		}
		for i := 1; i < len(mixed); i++ { // groups stay together
			if g := mixed[i].group(); g != mixed[i-1].group() && slices.ContainsFunc(mixed[:i-1], func(m measurement) bool { return m.group() == g }) {
				t.Errorf("%s is torn apart", g)
			}
		}
	}
	todo, _ := plan(config{only: regexp.MustCompile("^nginx/http/saturate/full$")})
	if len(todo) != 2 || todo[0].Way != wayFull || todo[1].Way != wayOff {
		t.Error(todo)
	}
}

// TestResume holds that what was measured is not measured again, that what failed is, and that settings must be the same.
func TestResume(t *testing.T) {
	c := config{out: filepath.Join(t.TempDir(), "results.json"), rounds: 2, duration: time.Second}
	r, err := openResults(c)
	if err != nil {
		t.Fatal(err)
	}
	good, bad := measurement{"go", "http", loadSaturate, wayOff}, measurement{"go", "http", loadSaturate, wayFull}
	r.add(sample{measurement: good, outcome: outcome{Requests: 3, Seconds: 1}, CPU: 1, Peer: &peer.Counts{Calls: 2}})
	r.add(sample{measurement: bad, Error: "x"})
	if err := r.write(); err != nil {
		t.Fatal(err)
	}
	c.resume = true
	again, err := openResults(c)
	if err != nil {
		t.Fatal(err)
	}
	if !again.has(0, good) || again.has(1, good) || again.has(0, bad) || again.Samples[0].Requests != 3 || again.Samples[0].Peer.Calls != 2 {
		t.Errorf("%+v", again.Samples)
	}
	c.rounds = 3
	if _, err := openResults(c); err == nil {
		t.Error("other settings must be an error")
	}
}

func TestReport(t *testing.T) {
	r := &results{Settings: settings{Rounds: 3, Seconds: 1}, CPUs: 2, Missing: map[string]string{"tshark": "it is not here"}}
	at := func(way string) measurement { return measurement{"nginx", "https", load2k, way} }
	for round, cpu := range []float64{0.12, 0.11, 0.30} {
		load := outcome{Requests: 10000, Seconds: 1, Latency: &latency{P99: 100}, Service: &latency{P99: 90}}
		r.add(sample{measurement: at(wayOff), Round: round, outcome: load, CPU: 0.1})
		load.Latency = &latency{P99: 103}
		r.add(sample{measurement: at(wayFull), Round: round, outcome: load, CPU: cpu, Watcher: 0.5, Engine: 0.25, Seen: 20000, Drops: map[string]float64{"x": 1}})
	}
	r.add(sample{measurement: at("uprobes"), outcome: outcome{Requests: 10000, Seconds: 1, Latency: &latency{}, Service: &latency{}}, CPU: 0.2, Peer: &peer.Counts{Calls: 7, Lost: 1}})
	r.add(sample{measurement: at("headers"), Error: "it broke\nhere"})
	text := report(r)
	for _, want := range []string{
		"| nginx/https/rate2k | full | 10.0 | 12.0 | **1.20** (1.10–3.00) | > 1.15, not in every round |",
		"**1.03** (1.03–1.03) | ≤ 1.05 |", "| 500 (500–500) | 250 | 50.0 |", "100.0 % |", "`x` 3, of 30000 requests",
		"| nginx/https/rate2k | uprobes | **2.00** (2.00–2.00) |", "| 7, 1 |",
		"**Failed** (1×): nginx/https/rate2k/headers: it broke\n", "Not measured: tshark, as it is not here.", "nginx/https/rate2k/uprobes was measured 1 times",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, c := range []struct {
		s    spread
		want string
	}{
		{spread{1, 0.9, 1.1, 3}, "≤ 1.15"}, {spread{1.1, 1, 1.2, 3}, "≤ 1.15, not in every round"},
		{spread{1.2, 1.1, 1.3, 3}, "> 1.15, not in every round"}, {spread{1.3, 1.2, 1.4, 3}, "> 1.15"}, {spread{}, ""},
	} {
		if got := verdict(c.s, 1.15); got != c.want {
			t.Errorf("%+v: %q", c.s, got)
		}
	}
}

func TestQuantiles(t *testing.T) {
	v := make([]float64, 1000)
	for i := range v {
		v[999-i] = float64(i + 1)
	}
	if q := quantiles(v); *q != (latency{P50: 500, P90: 900, P99: 990, P999: 999, Max: 1000}) {
		t.Errorf("%+v", q)
	}
	if q := quantiles([]float64{7}); *q != (latency{7, 7, 7, 7, 7}) {
		t.Errorf("%+v", q)
	}
	if quantiles(nil) != nil {
		t.Error("quantiles of nothing")
	}
}

// TestSchedule holds that the load makes every request that is due, and that one that has to wait for those before it
// counts from when it was due: the server stands still until the requests of a second are due.
func TestSchedule(t *testing.T) {
	var served atomic.Int64
	began := time.Now()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if served.Add(1) == 1 {
			time.Sleep(time.Until(began.Add(time.Second)))
		}
		fmt.Fprint(w, "hello")
	}))
	defer s.Close()
	u, err := url.Parse(s.URL + "/x")
	if err != nil {
		t.Fatal(err)
	}
	l, err := schedule{url: u, rate: 100, connections: 1}.open(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	began = time.Now()
	o, err := l.run(context.Background(), time.Second)
	if err != nil || o.Requests != 100 || o.Errors != 0 || served.Load() != 100 {
		t.Fatalf("%+v, %v, %d served", o, err, served.Load())
	}
	// All of them were due within the second that the first one took, so half of them waited half of it.
	if o.Latency.P50 < 4e5 || o.Service.P50 > o.Latency.P50 {
		t.Errorf("latency %+v, service %+v", o.Latency, o.Service)
	}
}

// TestFresh holds that each request has a connection of its own, over TLS, and that failures are counted.
func TestFresh(t *testing.T) {
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/x" {
			http.NotFound(w, r)
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			conns.Add(1)
		}
	}
	s.StartTLS()
	defer s.Close()
	for path, errs := range map[string]uint64{"/x": 0, "/y": 20} {
		u, err := url.Parse(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		l, err := schedule{url: u, rate: 1000, connections: 4, fresh: true}.open(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		o, err := l.run(context.Background(), 20*time.Millisecond)
		l.close()
		if err != nil || o.Errors != errs || o.Requests != 20-errs {
			t.Errorf("%s: %+v, %v", path, o, err)
		}
	}
	if n := conns.Load(); n != 40 {
		t.Errorf("%d connections", n)
	}
}
