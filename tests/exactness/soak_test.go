// SPDX-License-Identifier: Apache-2.0

//go:build linux

package exactness

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var minutes = flag.Float64("minutes", 0, "how long TestSoak holds its load; 0: half a minute, without a verdict")

// tolerance is how much larger the median of the last quarter may be than that of the second: a heap of Go breathes by
// about that much, and a leak of a request's size would be many times as large.
const tolerance = 1.15

// slack is what may come on top of it, in the series' own unit: what is next to nothing may double.
var slack = map[string]float64{"rss_bytes": 32 << 20, "heap_bytes": 16 << 20, "file_descriptors": 10, "threads": 4}

// flat is the verdict on one series.
type flat struct {
	// Second and Last are medians of the second and last quarter, SlopePerHour is that of the regression line.
	Second       float64 `json:"second_quarter"`
	Last         float64 `json:"last_quarter"`
	SlopePerHour float64 `json:"slope_per_hour"`
	Flat         bool    `json:"flat"`
}

// TestSoak holds a load, with new connections and new processes all the time, and looks at what the collector has: its
// resident memory, its Go heap, its file descriptors and its threads must be in the last quarter what they were in the
// second. The first is left out: tables and caches fill.
func TestSoak(t *testing.T) {
	if *minutes == 0 {
		*minutes = 0.5 // the tool itself is tested; nothing is said of leaks
	}
	c := Start(t, Options{})
	tr := Serve(t, c.Cgroup)
	tr.Warm(t, c)
	requests := c.Expect(t, tr)
	series := map[string][]float64{}
	var at []float64
	began := time.Now()
	end := began.Add(time.Duration(*minutes * float64(time.Minute)))
	piece := max(time.Until(end)/60, 5*time.Second) // each by a process of its own
	for time.Now().Before(end) {
		requests.Add(t, tr.Send(t, Load{Rate: *rate, Duration: piece, First: requests.Next()}))
		b := c.Books(t)
		at = append(at, time.Since(began).Hours())
		for name, value := range map[string]float64{
			"rss_bytes": float64(procStatus(t, c, "VmRSS:")) * 1024, "heap_bytes": b.Values["otelcol_process_runtime_heap_alloc_bytes"],
			"file_descriptors": float64(descriptors(t, c)), "threads": float64(procStatus(t, c, "Threads:")),
		} {
			series[name] = append(series[name], value)
		}
	}
	account := requests.Account(t, c)
	verdicts := map[string]flat{}
	for name, values := range series {
		require.NotZero(t, values[len(values)-1], "%s was not measured", name)
		verdicts[name] = judge(at, values, slack[name])
		t.Logf("%s: %+v", name, verdicts[name])
	}
	if *out != "" {
		text, err := json.MarshalIndent(map[string]any{"minutes": *minutes, "rate": *rate, "account": account, "verdicts": verdicts, "hours": at, "series": series}, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*out, append(text, '\n'), 0o644))
	}
	if *minutes >= 10 {
		for name, v := range verdicts {
			require.True(t, v.Flat, "%s grows: %+v", name, v)
		}
	}
	require.Zero(t, c.Stop().ExitCode())
}

// judge compares the medians of the second and last quarter, and fits a line by least squares.
func judge(hours, values []float64, slack float64) flat {
	n := len(values)
	f := flat{Second: middle(values[n/4 : max(n/2, n/4+1)]), Last: middle(values[min(3*n/4, n-1):])}
	var sx, sy, sxx, sxy float64
	for i := range values {
		sx += hours[i]
		sy += values[i]
		sxx += hours[i] * hours[i]
		sxy += hours[i] * values[i]
	}
	if d := float64(n)*sxx - sx*sx; d > 0 {
		f.SlopePerHour = (float64(n)*sxy - sx*sy) / d
	}
	f.Flat = f.Last <= f.Second*tolerance+slack
	return f
}

func middle(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}

// TestJudge: what grows is not flat, and what breathes is.
func TestJudge(t *testing.T) {
	var hours, leak, breath []float64
	for i := range 60 {
		hours = append(hours, float64(i)/60)
		leak = append(leak, 100e6+3e6*float64(i))
		breath = append(breath, 100e6+5e6*float64(i%4))
	}
	f := judge(hours, leak, 32<<20)
	require.False(t, f.Flat, "%+v", f)
	require.InDelta(t, 180e6, f.SlopePerHour, 1e3)
	require.True(t, judge(hours, breath, 32<<20).Flat)
}

// procStatus is a number of the collector's /proc/<pid>/status.
func procStatus(t *testing.T, c *Collector, name string) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.Cmd.Process.Pid))
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			_, err := fmt.Sscan(rest, &n)
			require.NoError(t, err)
		}
	}
	return n
}

// descriptors counts the collector's open files.
func descriptors(t *testing.T, c *Collector) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", c.Cmd.Process.Pid))
	require.NoError(t, err)
	return len(entries)
}
