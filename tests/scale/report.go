// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// fleets are the sizes that the report reckons for, and what a host has in a second.
var (
	fleets   = []int{1, 10, 100, 1_000, 10_000}
	perAgent = []float64{10, 100}
)

// report is the results in words and tables, with what is reckoned from them.
func (r results) report() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results of tests/scale\n\nMade by `tests/scale`, %s, Linux %s, %d CPUs (%s), load average %.1f before and %.1f after.\n", r.Time, r.Host.Kernel, r.Host.CPUs, r.Host.Arch, r.Host.LoadBefore, r.Host.LoadAfter)
	if k := r.Knee; k != nil {
		fmt.Fprintf(&b, "\n## The knee\n\n%d agents, a request a second each. Held: %.0f rows/s. Not held: %.0f rows/s, %s. Saturated: %s.\n\n", k.Agents, k.Held, k.NotHeld, k.Why, k.First)
		table(&b, k.Steps)
	}
	if c := r.Cost; c != nil {
		fmt.Fprintf(&b, "\n## What it costs\n\nThe gateway's CPU is %.3f + requests × %.0f µs + rows × %.1f µs (least squares). So one core takes %.0f rows/s in requests of 1000 rows, and %.0f in requests of one.\n\n", c.Idle, c.PerRequest, c.PerRow, c.RowsLarge, c.RowsOne)
		table(&b, c.Steps)
	}
	if p := r.Profile; p != nil {
		fmt.Fprintf(&b, "\n## Where its CPU goes\n\nAt %.0f rows/s.\n\n| stage | part |\n|---|---|\n", p.Rate)
		for _, name := range p.names() {
			fmt.Fprintf(&b, "| %s | %.1f %% |\n", name, 100*p.Parts[name])
		}
	}
	if len(r.Connections) > 0 {
		b.WriteString("\n## Memory of connections\n\n| connections | idle, MB | active, MB | idle, KiB each | active, KiB each |\n|---|---|---|---|---|\n")
		for _, x := range r.Connections {
			fmt.Fprintf(&b, "| %d | %.0f | %.0f | %.0f | %.0f |\n", x.Connections, float64(x.Idle)/1e6, float64(x.Active)/1e6, x.IdleEach/1024, x.ActiveEach/1024)
		}
	}
	if len(r.Objects) > 0 {
		b.WriteString("\n## Requests to a bucket\n\nOf one host.\n\n| exchanges/s | services | packed | stored | objects | requests | requests per million exchanges |\n|---|---|---|---|---|---|---|\n")
		for _, x := range r.Objects {
			packed := "yes"
			if x.Each {
				packed = "one object each"
			}
			fmt.Fprintf(&b, "| %.0f | %d | %s | %.0f | %.0f | %s | %.0f |\n", x.Rate, x.Services, packed, x.Stored, x.Objects, methods(x.Requests), x.PerMillion)
		}
	}
	if r.Cost != nil && len(r.Connections) > 0 {
		r.sizing(&b)
	}
	return b.String()
}

// sizing reckons for whole fleets: half of a core stays free, and a connection takes what one of the largest number took.
func (r results) sizing(b *strings.Builder) {
	each := max(0, r.Connections[len(r.Connections)-1].ActiveEach)
	engine := 0.0
	if n := len(r.Cost.Steps); n > 0 {
		engine = r.Cost.Steps[n-1].EnginePerRow
	}
	b.WriteString("\n## Reckoned\n\nA request of each agent a second, half of every core free. Nothing of this table was run.\n\n| agents | rows/s of each | rows/s | gateway cores | ClickHouse cores for inserts | memory of connections, MB |\n|---|---|---|---|---|---|\n")
	for _, agents := range fleets {
		for _, rate := range perAgent {
			n := float64(agents)
			cpu := (n*r.Cost.PerRequest + n*rate*r.Cost.PerRow) / 1e6
			fmt.Fprintf(b, "| %d | %.0f | %.0f | %s | %s | %.0f |\n", agents, rate, n*rate, cores(2*cpu), cores(2*n*rate*engine/1e6), n*each/1e6)
		}
	}
}

// cores is a number of them as one buys it: a part below one, whole ones above.
func cores(n float64) string {
	if n < 1 {
		return fmt.Sprintf("%.2g", n)
	}
	return fmt.Sprintf("%.0f", math.Ceil(n))
}

func table(b *strings.Builder, steps []step) {
	b.WriteString("| rows/s | rows a request | taken | stored | p99, ms | gateway CPU | engine CPU | agents CPU | other | stolen | gateway µs/row | engine µs/row | |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range steps {
		fmt.Fprintf(b, "| %.0f | %d | %.0f | %.0f | %.0f | %.2f | %.2f | %.2f | %.2f | %.2f | %.1f | %.1f | %s |\n",
			s.Offered, s.RowsPerRequest, s.Accepted, s.Stored, s.P99, s.Gateway, s.Engine, s.Fleet, s.Other, s.Stolen, s.GatewayPerRow, s.EnginePerRow, s.Why)
	}
}

func methods(n map[string]int) string {
	var parts []string
	for _, m := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%d %s", n[m], m))
	}
	return strings.Join(parts, ", ")
}

// names are the stages, the largest first.
func (p profiled) names() []string {
	return slices.SortedFunc(maps.Keys(p.Parts), func(a, b string) int {
		if c := p.Parts[b] - p.Parts[a]; c != 0 {
			return int(math.Copysign(1, c))
		}
		return strings.Compare(a, b)
	})
}
