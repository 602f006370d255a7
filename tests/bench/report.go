// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// spread is the median and the range of some figures.
type spread struct {
	Median, Min, Max float64
	N                int
}

func spreadOf(v []float64) spread {
	slices.Sort(v)
	n := len(v)
	if n == 0 {
		return spread{}
	}
	return spread{(v[(n-1)/2] + v[n/2]) / 2, v[0], v[n-1], n}
}

// over says a spread of ratios.
func (s spread) over() string {
	if s.N == 0 {
		return "–"
	}
	return fmt.Sprintf("**%.2f** (%.2f–%.2f)", s.Median, s.Min, s.Max)
}

func (s spread) say(format string) string {
	if s.N == 0 {
		return "–"
	}
	return fmt.Sprintf(format, s.Median)
}

// aims are the largest ratios that are wanted, of the watched program's CPU time per request.
func aimOf(m measurement) float64 {
	switch m.Way {
	case "connections":
		return 1.03
	case "headers":
		return 1.10
	case wayFull:
		if m.Load == loadBulk {
			return 1.03
		}
		return 1.15
	}
	return 0
}

// aimP99 is the largest ratio of the 99th percentile of the latency at 2,000 requests/s.
const aimP99 = 1.05

// verdict holds a spread against an aim.
func verdict(s spread, aim float64) string {
	switch {
	case s.N == 0 || aim == 0:
		return ""
	case s.Max <= aim:
		return fmt.Sprintf("≤ %.2f", aim)
	case s.Median <= aim:
		return fmt.Sprintf("≤ %.2f, not in every round", aim)
	case s.Min <= aim:
		return fmt.Sprintf("> %.2f, not in every round", aim)
	}
	return fmt.Sprintf("> %.2f", aim)
}

// cells are the samples by what was measured.
type cells map[measurement][]sample

func (r *results) cells() cells {
	c := cells{}
	for _, s := range r.good() {
		c[s.measurement] = append(c[s.measurement], s)
	}
	return c
}

// groups are what ways are compared in, in the order of the matrix.
func (c cells) groups() (out []measurement) {
	for _, m := range append(matrix(), quickMatrix()...) {
		m.Way = ""
		if !slices.Contains(out, m) && len(c.waysOf(m)) > 0 {
			out = append(out, m)
		}
	}
	return out
}

// waysOf are the ways of a group that have samples.
func (c cells) waysOf(g measurement) (out []string) {
	for _, w := range ways {
		g.Way = w.name
		if len(c[g]) > 0 {
			out = append(out, w.name)
		}
	}
	return out
}

// figure is the spread of a figure of one cell.
func (c cells) figure(m measurement, f func(sample) float64) spread {
	var v []float64
	for _, s := range c[m] {
		v = append(v, f(s))
	}
	return spreadOf(v)
}

// ratio is the spread of a figure by that of the same round without a watcher.
func (c cells) ratio(m measurement, f func(sample) float64) spread {
	base := m
	base.Way = wayOff
	var v []float64
	for _, s := range c[m] {
		for _, b := range c[base] {
			if b.Round == s.Round && f(b) > 0 {
				v = append(v, f(s)/f(b))
			}
		}
	}
	return spreadOf(v)
}

func p99(s sample) float64 {
	if s.Latency == nil {
		return 0
	}
	return s.Latency.P99
}

// machine is the CPU time of all CPUs per request: watcher, load and kernel in it.
func machine(s sample) float64 { return 1e6 * s.Machine / float64(s.Requests) }

// report is everything that the samples say, in Markdown.
func report(r *results) string {
	var b strings.Builder
	c := r.cells()
	fmt.Fprintf(&b, "# What watching costs: figures\n\nMade by `tests/bench` from `results.json`; see [README.md](README.md) for how. %s, %d CPUs (%s), kernel %s, %s, node %s. %d rounds of %.0f s",
		r.Time.Format(time.DateOnly), r.CPUs, r.Host["cpu"], r.Host["kernel"], strings.TrimPrefix(r.Host["nginx"], "nginx version: "), r.Host["node"], r.Settings.Rounds, r.Settings.Seconds)
	lo, hi := loads(r.good())
	fmt.Fprintf(&b, ", load average before a measurement %.1f to %.1f.\n", lo, hi)
	if r.Stopped != "" {
		fmt.Fprintf(&b, "\n**Not complete**: %s.\n", r.Stopped)
	}
	b.WriteString("\nA ratio is that of two measurements of the same round, one after the other; the table has the median of the rounds and the range.\n")
	watchedTable(&b, c)
	latencyTable(&b, c)
	collectorTable(&b, c)
	othersTable(&b, c)
	notes(&b, r, c)
	return b.String()
}

func loads(samples []sample) (lo, hi float64) {
	for i, s := range samples {
		if i == 0 {
			lo, hi = s.LoadAverage, s.LoadAverage
		}
		lo, hi = min(lo, s.LoadAverage), max(hi, s.LoadAverage)
	}
	return lo, hi
}

func watchedTable(b *strings.Builder, c cells) {
	b.WriteString("\n## The watched program\n\nCPU time (user and system) of the watched program per request, with ÷ without. `again` is nothing against nothing: a ratio closer to 1 than that says nothing.\n\n")
	b.WriteString("| program/scheme/load | way | µs without | with | ratio (range) | aim | requests/s without | with | ratio (range) | whole machine, ratio (range) |\n|---|---|---|---|---|---|---|---|---|---|\n")
	for _, g := range c.groups() {
		for _, name := range c.waysOf(g) {
			m, off := g, g
			m.Way, off.Way = name, wayOff
			if name == wayOff {
				continue
			}
			cpu := c.ratio(m, sample.micros)
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |\n", g.group(), name,
				c.figure(off, sample.micros).say("%.1f"), c.figure(m, sample.micros).say("%.1f"), cpu.over(), verdict(cpu, aimOf(m)),
				c.figure(off, sample.rate).say("%.0f"), c.figure(m, sample.rate).say("%.0f"), c.ratio(m, sample.rate).over(), c.ratio(m, machine).over())
		}
	}
}

func latencyTable(b *strings.Builder, c cells) {
	b.WriteString("\n## Latency at a fixed rate\n\nµs from when a request was due to the end of its response, so without coordinated omission.\n\n")
	b.WriteString("| program/scheme/load | way | p50 | p99 | p99.9 | p99, ratio (range) | aim | p99 from when it was sent |\n|---|---|---|---|---|---|---|---|\n")
	for _, g := range c.groups() {
		for _, name := range c.waysOf(g) {
			m := g
			m.Way = name
			if c[m][0].Latency == nil {
				continue
			}
			ratio, aim := c.ratio(m, p99), 0.0
			if name == wayOff {
				ratio = spread{}
			}
			if wayNamed(name).level != "" && g.Load == load2k {
				aim = aimP99
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s | %s |\n", g.group(), name,
				c.figure(m, func(s sample) float64 { return s.Latency.P50 }).say("%.0f"), c.figure(m, p99).say("%.0f"),
				c.figure(m, func(s sample) float64 { return s.Latency.P999 }).say("%.0f"), ratio.over(), verdict(ratio, aim),
				c.figure(m, func(s sample) float64 { return s.Service.P99 }).say("%.0f"))
		}
	}
}

func collectorTable(b *strings.Builder, c cells) {
	b.WriteString("\n## The collector\n\nmCPU is CPU time from before the load until it has settled, by the seconds of the load; the embedded ClickHouse, a process of its own, apart. Both ends of a connection are on this host: two exchanges are seen of each request.\n\n")
	b.WriteString("| program/scheme/load | way | requests/s | mCPU (range) | ClickHouse mCPU | CPU µs/request | RSS MiB, at most | exchanges seen of all |\n|---|---|---|---|---|---|---|---|\n")
	var drops strings.Builder
	for _, g := range c.groups() {
		for _, name := range c.waysOf(g) {
			m := g
			if m.Way = name; wayNamed(name).level == "" {
				continue
			}
			cpu := c.figure(m, func(s sample) float64 { return 1e3 * s.Watcher / s.Seconds })
			seen := c.figure(m, func(s sample) float64 { return 100 * s.Seen / float64(2*s.Requests) }).say("%.1f %%")
			if name == "connections" {
				seen = "–"
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s (%.0f–%.0f) | %s | %s | %s | %s |\n", g.group(), name, c.figure(m, sample.rate).say("%.0f"),
				cpu.say("%.0f"), cpu.Min, cpu.Max, c.figure(m, func(s sample) float64 { return 1e3 * s.Engine / s.Seconds }).say("%.0f"),
				c.figure(m, func(s sample) float64 { return 1e6 * s.Watcher / float64(s.Requests) }).say("%.1f"),
				c.figure(m, func(s sample) float64 { return float64(s.WatcherPeak) / (1 << 20) }).say("%.0f"), seen)
			sum, requests := map[string]float64{}, uint64(0)
			for _, s := range c[m] {
				requests += s.Requests
				for k, v := range s.Drops {
					sum[k] += v
				}
			}
			for _, k := range slices.Sorted(maps.Keys(sum)) {
				fmt.Fprintf(&drops, "- %s: `%s` %.0f, of %d requests\n", m, k, sum[k], requests)
			}
		}
	}
	b.WriteString("\nDropped, by what counted it, in all rounds together:\n\n")
	if drops.Len() == 0 {
		drops.WriteString("- nothing\n")
	}
	b.WriteString(drops.String())
}
