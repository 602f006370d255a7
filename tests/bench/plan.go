// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/tests/bench/peer"
)

// Loads.
const (
	loadSaturate = "saturate" // wrk, 1 KB, keep-alive
	loadBulk     = "bulk"     // wrk, 10 MB, keep-alive
	load10k      = "rate10k"  // 10,000 requests/s on a schedule
	load2k       = "rate2k"   // 2,000 requests/s on a schedule: latency
	loadTLS      = "tls1k"    // 1,000 new TLS connections/s, one request each
	loadOpen     = "open10k"  // rate10k, on 10,000 open connections
)

// measurement is one cell of the matrix.
type measurement struct {
	Program string `json:"program"`
	Scheme  string `json:"scheme"`
	Load    string `json:"load"`
	Way     string `json:"way"`
}

func (m measurement) group() string  { return m.Program + "/" + m.Scheme + "/" + m.Load }
func (m measurement) String() string { return m.group() + "/" + m.Way }

// way is how a program is watched.
type way struct {
	name string
	// level and config are the collector's, "" for another way.
	level, config string
	// peer is the comparison program's.
	peer peer.Way
	// needs are commands; without one of them the way is named as missing.
	needs   []string
	install string
	// what it is, for the report.
	what string
}

const (
	wayOff   = "off"
	wayAgain = "again"
	wayFull  = "full"
)

var ways = []way{
	{name: wayOff, what: "nothing watches"},
	{name: wayAgain, what: "nothing watches, measured once more: what the method itself does to a ratio"},
	{name: "connections", level: "connections", config: "agent.yaml", what: "level `connections`"},
	{name: "headers", level: "headers", config: "agent.yaml", what: "level `headers`"},
	{name: wayFull, level: "full", config: "agent.yaml", what: "level `full`, bodies to 64 KiB: capture, anonymize, pack, encode, store payloads; metadata goes nowhere"},
	{name: "capture", level: "full", config: "capture.yaml", what: "level `full` to finished spans and payload records, which go nowhere"},
	{name: "whole", level: "full", config: "../../../distributions/otelcol-qpoint/configs/demo.yaml", what: "level `full` with the embedded ClickHouse"},
	{name: "syscalls", peer: peer.Syscalls, what: "entry and return of read, write, recvfrom, sendto and writev by tracepoints; up to 16 KiB of a call copied"},
	{name: "uprobes", peer: peer.Uprobes, what: "uprobes at entry and return of SSL_read and SSL_write, up to 16 KiB of a call copied"},
	{name: "uprobes-best", peer: peer.Best, what: "as before, but SSL_write at an instruction that the kernel emulates, and not at its return"},
	{name: "uprobes-write", peer: peer.Write, what: "of that, SSL_write alone: half of what is said"},
	{name: "proxy", needs: []string{"nginx"}, install: "nginx-light", what: "nginx as a reverse proxy in front"},
	{name: "mitmproxy", needs: []string{"mitmdump"}, install: "mitmproxy", what: "mitmproxy in front"},
	{name: "tshark", needs: []string{"tshark"}, install: "tshark", what: "tshark reads the same port and dissects it"},
}

func wayNamed(name string) way {
	return ways[slices.IndexFunc(ways, func(w way) bool { return w.name == name })]
}

// plan lists what one round measures, and which ways are missing here, with the reason.
func plan(c config) (todo []measurement, missing map[string]string) {
	missing = map[string]string{}
	all := matrix()
	if c.quick {
		all = quickMatrix()
	}
	groups := map[string]bool{}
	for _, m := range all {
		if w := wayNamed(m.Way); !w.there() {
			missing[w.name] = fmt.Sprintf("`%s` is not here (Debian: %s)", strings.Join(w.needs, "`, `"), w.install)
			continue
		}
		if c.only.MatchString(m.String()) {
			todo = append(todo, m)
			groups[m.group()] = true
		}
	}
	for _, m := range all { // a ratio needs both
		if m.Way == wayOff && groups[m.group()] && !slices.Contains(todo, m) {
			todo = append(todo, m)
		}
	}
	return todo, missing
}

func (w way) there() bool {
	for _, name := range w.needs {
		if _, err := exec.LookPath(name); err != nil {
			return false
		}
	}
	return true
}

// matrix is the full form.
func matrix() (all []measurement) {
	for _, program := range []string{"nginx", "go", "node"} {
		for _, scheme := range []string{"http", "https"} {
			for _, load := range []string{loadSaturate, load10k, load2k, loadBulk, loadTLS, loadOpen} {
				if load == loadTLS && scheme == "http" || load == loadOpen && program != "nginx" {
					continue
				}
				names := []string{wayOff, wayAgain, "connections", "headers", wayFull}
				if load == loadOpen {
					names = []string{wayOff, "capture", wayFull}
				}
				if program == "nginx" && load == load10k {
					names = append(names, "capture", "whole")
				}
				if load == loadSaturate || load == load2k || load == loadBulk {
					names = append(names, others(program, scheme)...)
				}
				for _, name := range names {
					all = append(all, measurement{program, scheme, load, name})
				}
			}
		}
	}
	return all
}

// others are the ways of others that can read a program: Go has no libssl.
func others(program, scheme string) []string {
	switch {
	case scheme == "http":
		return []string{"syscalls", "proxy", "mitmproxy", "tshark"}
	case program == "go":
		return []string{"proxy", "mitmproxy"}
	}
	return []string{"uprobes", "uprobes-best", "uprobes-write", "proxy", "mitmproxy"}
}

// quickMatrix is what fits into 12 minutes three times.
func quickMatrix() (all []measurement) {
	add := func(program, scheme, load string, names ...string) {
		for _, name := range names {
			all = append(all, measurement{program, scheme, load, name})
		}
	}
	add("nginx", "http", loadSaturate, wayOff, wayAgain, "connections", "headers", wayFull, "syscalls", "proxy", "mitmproxy", "tshark")
	add("nginx", "https", loadSaturate, wayOff, wayAgain, "connections", "headers", wayFull, "uprobes", "uprobes-best", "proxy")
	for _, program := range []string{"go", "node"} {
		add(program, "http", loadSaturate, wayOff, wayFull)
		add(program, "https", loadSaturate, wayOff, wayFull)
	}
	add("nginx", "http", load10k, wayOff, "capture", wayFull)
	add("nginx", "https", load10k, wayOff, "capture")
	add("nginx", "https", load2k, wayOff, wayFull)
	add("nginx", "http", loadBulk, wayOff, wayFull)
	add("nginx", "https", loadBulk, wayOff, wayFull)
	add("nginx", "https", loadTLS, wayOff, wayFull)
	add("nginx", "http", loadOpen, wayOff, wayFull)
	return all
}

// shuffled mixes the groups, and the ways within each: what is compared is measured one after the other,
// in another order every round.
func shuffled(todo []measurement) (out []measurement) {
	var groups []string
	of := map[string][]measurement{}
	for _, m := range todo {
		if of[m.group()] == nil {
			groups = append(groups, m.group())
		}
		of[m.group()] = append(of[m.group()], m)
	}
	rand.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
	for _, g := range groups {
		l := of[g]
		rand.Shuffle(len(l), func(i, j int) { l[i], l[j] = l[j], l[i] })
		out = append(out, l...)
	}
	return out
}
