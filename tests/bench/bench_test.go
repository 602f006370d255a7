// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

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
	l, err := parseWrk(out)
	if err != nil || l != (load{requests: 35758, errors: 7, rate: 17774.65}) {
		t.Errorf("%+v, %v", l, err)
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
}

func TestSummary(t *testing.T) {
	var samples []sample
	for round, cpu := range []float64{0.12, 0.11, 0.30} {
		samples = append(samples,
			sample{Round: round, Case: "http", Collector: true, Requests: 10000, Rate: 8000, NginxUser: cpu, CollectorCPU: 0.5, Seen: 20000, Drops: map[string]float64{"x": 1}},
			sample{Round: round, Case: "http", Requests: 10000, Rate: 10000, NginxSystem: 0.1})
	}
	s := summarize(samples)
	if len(s) != 1 {
		t.Fatalf("%d cases", len(s))
	}
	near := func(name string, got, want float64) {
		if math.Abs(got-want) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	near("ratio", s[0].CPURatio.Median, 1.2)
	near("largest ratio", s[0].CPURatio.Max, 3)
	near("throughput ratio", s[0].RateRatio.Median, 0.8)
	near("collector's µs", s[0].CollectorMicros.Median, 50)
	near("collector's cores", s[0].CollectorCores.Median, 0.4)
	near("drops", s[0].Drops["x"], 3)
	text := table(samples)
	for _, want := range []string{"**1.20** (1.10–3.00)", "within the aim", "60000 exchanges seen of 30000 requests", "`x` 3"} {
		if !strings.Contains(text, want) {
			t.Errorf("the table lacks %q:\n%s", want, text)
		}
	}
}

// TestChild runs real processes: their CPU time is found by group, and they are gone after stop.
func TestChild(t *testing.T) {
	c, err := startChild(-1, "sh", nil, "-c", "sh -c 'while :; do :; done' & wait")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(testkit.Patience)
	for {
		cpu, err := groupCPU(c.pid())
		if err != nil {
			t.Fatal(err)
		}
		if cpu >= 0.05 {
			break // in the grandchild: the leader only waits
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %v s of CPU", cpu)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := c.stop(testkit.Patience); err != nil {
		t.Fatal(err)
	}
	for deadline = time.Now().Add(testkit.Patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := groupCPU(c.pid()); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the group still runs")
		}
	}
	if user, system, err := processCPU(os.Getpid()); err != nil || user+system < 0 {
		t.Error(user, system, err)
	}
}
