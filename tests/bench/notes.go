// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

func othersTable(b *strings.Builder, c cells) {
	b.WriteString("\n## What else could be done\n\nIn the same rounds. What a proxy adds to a request is its own CPU time, not the watched program's.\n\n")
	b.WriteString("| program/scheme/load | way | watched program's CPU, ratio (range) | requests/s, ratio (range) | watcher's CPU µs/request | whole machine, ratio (range) | calls copied, lost |\n|---|---|---|---|---|---|---|\n")
	for _, g := range c.groups() {
		names := c.waysOf(g)
		if !slices.ContainsFunc(names, other) {
			continue
		}
		for _, name := range names {
			m := g
			m.Way = name
			if name != wayFull && !other(name) {
				continue
			}
			copied := "–"
			if c[m][0].Peer != nil {
				var calls, lost uint64
				for _, s := range c[m] {
					calls, lost = calls+s.Peer.Calls, lost+s.Peer.Lost
				}
				copied = fmt.Sprintf("%d, %d", calls, lost)
			}
			fmt.Fprintf(b, "| %s | %s | %s | %s | %s | %s | %s |\n", g.group(), name, c.ratio(m, sample.micros).over(), c.ratio(m, sample.rate).over(),
				c.figure(m, func(s sample) float64 { return 1e6 * s.Watcher / float64(s.Requests) }).say("%.1f"), c.ratio(m, machine).over(), copied)
		}
	}
}

// other says that a way is not this project's.
func other(name string) bool {
	w := wayNamed(name)
	return w.peer != "" || w.needs != nil
}

// notes say what the figures are not.
func notes(b *strings.Builder, r *results, c cells) {
	b.WriteString("\n## What these figures are not\n\n")
	fmt.Fprintf(b, "- Watched program, load and watcher share %d CPUs. At saturation throughput says who steals the CPU from whom, not what watching costs where there are more; CPU time per request holds as far as caches are not shared.\n", r.CPUs)
	b.WriteString("- The capture of both ends is charged to whoever runs it: on loopback the sender's system time has the receiver's packets, too.\n")
	b.WriteString("- Uprobe traps cost about ten times as much in a nested virtual machine, as this kind of machine is, as on bare metal. **Ratios of `uprobes…` are not those of other tools elsewhere.** The comparison program copies and counts; it parses nothing, makes no exchange and sends nothing, and watches one process only.\n")
	b.WriteString("- `syscalls` does not see what leaves by sendfile: nginx's bodies. `uprobes-write` does not see what is read. Go's TLS is not read by these.\n")
	b.WriteString("- tshark reads the clear only. mitmproxy and tshark are much slower than the load: they keep up with what reaches them, or do not.\n")
	var stolen, all float64
	failed := map[string]int{}
	var errs uint64
	for _, s := range r.Samples {
		if s.Error != "" {
			failed[s.String()+": "+s.Error]++
			continue
		}
		stolen, all, errs = stolen+s.Stolen, all+s.Seconds*float64(r.CPUs), errs+s.Errors
	}
	if all > 0 {
		fmt.Fprintf(b, "- The hypervisor took %.1f %% of the CPUs' time while loads ran.\n", 100*stolen/all)
	}
	fmt.Fprintf(b, "- %d requests failed in all measurements together.\n", errs)
	for _, g := range c.groups() {
		m := g
		m.Way = wayOff
		n := len(c[m])
		for _, name := range c.waysOf(g) {
			if m.Way = name; len(c[m]) != n {
				fmt.Fprintf(b, "- %s was measured %d times, `%s` %d times.\n", m, len(c[m]), wayOff, n)
			}
		}
	}
	for _, k := range slices.Sorted(maps.Keys(failed)) {
		first, _, _ := strings.Cut(k, "\n")
		fmt.Fprintf(b, "- **Failed** (%d×): %s\n", failed[k], first)
	}
	for _, k := range slices.Sorted(maps.Keys(r.Missing)) {
		fmt.Fprintf(b, "- Not measured: %s, as %s.\n", k, r.Missing[k])
	}
	b.WriteString("\nWays:\n\n")
	for _, w := range ways {
		fmt.Fprintf(b, "- `%s`: %s\n", w.name, w.what)
	}
}
