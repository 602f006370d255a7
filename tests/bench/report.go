// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"
)

// scrape reads the collector's own metrics: series (name and labels) to value.
func scrape(ctx context.Context, url string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	return parseMetrics(res.Body)
}

// parseMetrics reads the Prometheus text format, without the buckets of histograms.
func parseMetrics(r io.Reader) (map[string]float64, error) {
	m := map[string]float64{}
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		line := sc.Text()
		if line == "" || line[0] == '#' || strings.Contains(line, "_bucket{") {
			continue
		}
		end := strings.LastIndexByte(line, '}') + 1 // label values may hold spaces
		i := strings.IndexByte(line[end:], ' ')
		if i < 0 {
			return nil, fmt.Errorf("metrics: cannot read %q", line)
		}
		value, _, _ := strings.Cut(strings.TrimSpace(line[end+i:]), " ") // a timestamp may follow
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %q: %w", line, err)
		}
		m[line[:end+i]] = v
	}
	return m, sc.Err()
}

// spread is the median and the range of some figures.
type spread struct{ Median, Min, Max float64 }

func spreadOf(v []float64) spread {
	slices.Sort(v)
	n := len(v)
	if n == 0 {
		return spread{}
	}
	return spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1]}
}

// summary compares the samples of one case, pair by pair of the same round.
type summary struct {
	Case                  string
	Without, With         spread // CPU µs of nginx per request
	CPURatio              spread
	RateWithout, RateWith spread // requests per second
	RateRatio             spread
	CollectorMicros       spread // CPU µs of the collector per request
	CollectorCores        spread // CPU seconds of the collector per second of load
	PeakRSS               uint64
	Requests              uint64 // with the collector
	Seen                  float64
	Errors                uint64
	Drops                 map[string]float64
}

func summarize(samples []sample) (out []summary) {
	for _, name := range []string{"http", "https"} {
		s := summary{Case: name, Drops: map[string]float64{}}
		var without, with, cpu, rate0, rate1, rate, micros, cores []float64
		base := map[int]sample{}
		for _, x := range samples {
			if x.Case == name && !x.Collector {
				base[x.Round] = x
				without, rate0 = append(without, x.micros()), append(rate0, x.Rate)
				s.Errors += x.Errors
			}
		}
		for _, x := range samples {
			if x.Case != name || !x.Collector {
				continue
			}
			b := base[x.Round]
			with, rate1 = append(with, x.micros()), append(rate1, x.Rate)
			cpu, rate = append(cpu, x.micros()/b.micros()), append(rate, x.Rate/b.Rate)
			micros = append(micros, 1e6*x.CollectorCPU/float64(x.Requests))
			cores = append(cores, x.CollectorCPU*x.Rate/float64(x.Requests))
			s.PeakRSS = max(s.PeakRSS, x.CollectorRSS)
			s.Requests += x.Requests
			s.Errors += x.Errors
			s.Seen += x.Seen
			for k, v := range x.Drops {
				s.Drops[k] += v
			}
		}
		if len(with) == 0 {
			continue
		}
		s.Without, s.With, s.CPURatio = spreadOf(without), spreadOf(with), spreadOf(cpu)
		s.RateWithout, s.RateWith, s.RateRatio = spreadOf(rate0), spreadOf(rate1), spreadOf(rate)
		s.CollectorMicros, s.CollectorCores = spreadOf(micros), spreadOf(cores)
		out = append(out, s)
	}
	return out
}

// aim is the largest ratio of nginx's CPU time per request that is wanted.
const aim = 1.25

func table(samples []sample) string {
	var b strings.Builder
	ratio := func(s spread) string { return fmt.Sprintf("**%.2f** (%.2f–%.2f)", s.Median, s.Min, s.Max) }
	sums := summarize(samples)
	b.WriteString("| nginx under wrk, loopback | CPU µs/request without | with | ratio (range) | requests/s without | with | ratio (range) | collector CPU µs/request | collector cores | peak RSS MiB |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range sums {
		fmt.Fprintf(&b, "| %s | %.1f | %.1f | %s | %.0f | %.0f | %s | %.1f | %.2f | %d |\n", s.Case, s.Without.Median, s.With.Median, ratio(s.CPURatio),
			s.RateWithout.Median, s.RateWith.Median, ratio(s.RateRatio), s.CollectorMicros.Median, s.CollectorCores.Median, s.PeakRSS>>20)
	}
	b.WriteString("\nMedians of the rounds, ratios of pairs of the same round.\n\n")
	for _, s := range sums {
		verdict := "within"
		if s.CPURatio.Median > aim {
			verdict = "above"
		}
		fmt.Fprintf(&b, "- %s: CPU ratio %.2f is %s the aim of %.2f; %.0f exchanges seen of %d requests (×2 ends); %d errors of wrk.\n",
			s.Case, s.CPURatio.Median, verdict, aim, s.Seen, s.Requests, s.Errors)
		if len(s.Drops) == 0 {
			b.WriteString("  No drop was counted.\n")
		}
		for _, k := range sortedKeys(s.Drops) {
			fmt.Fprintf(&b, "  - dropped: `%s` %.0f\n", k, s.Drops[k])
		}
	}
	return b.String()
}

func sortedKeys(m map[string]float64) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func writeResults(c config, samples []sample) error {
	host := map[string]any{"cpus": runtime.NumCPU(), "arch": runtime.GOARCH}
	if b, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		host["kernel"] = strings.TrimSpace(string(b))
	}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == "model name" {
				host["cpu"] = strings.TrimSpace(v)
				break
			}
		}
	}
	if b, err := exec.Command("nginx", "-v").CombinedOutput(); err == nil {
		host["nginx"] = strings.TrimSpace(string(b))
	}
	b, err := json.MarshalIndent(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339), "host": host, "rounds": c.rounds, "duration_seconds": c.duration.Seconds(),
		"connections": c.connections, "body_bytes": c.size, "summary": summarize(samples), "samples": samples,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.out, append(b, '\n'), 0o644)
}
