// SPDX-License-Identifier: Apache-2.0

// Package governor decides how deep connections are looked into, so that the process stays within a budget of CPU time
// and memory. It has no clock and no goroutine of its own: it is asked about one measurement after the other.
package governor

import (
	"time"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

const (
	// window is the time over which CPU time is averaged, settle how much of it must have been measured at the present
	// level before that is judged.
	window = 5 * time.Second
	settle = 2 * time.Second
	// calm is the part of the budget at or below which it is tried to look deeper again. Between it and the whole budget
	// the level stays.
	calm = 0.7
	// minWait is how long it must have been calm before that, the first time. It doubles, up to maxWait, with each try
	// that did not last as long as was waited for it.
	minWait = 10 * time.Second
	maxWait = 10 * time.Minute
	// late is the time between two measurements after which they have nothing to do with each other: the machine or the
	// process was stopped.
	late = 30 * time.Second
)

// Limits are a budget; what is 0 has no bound.
type Limits struct {
	CPU    float64 // cores
	Memory uint64  // bytes
}

// Usage is one measurement.
type Usage struct {
	At     time.Duration // by a clock that does not jump
	CPU    time.Duration // used so far
	Memory uint64        // in use, in bytes
	// Collections counts the garbage collections that have ended.
	Collections uint64
}

// Resources, as State.Reason and metrics name them.
const (
	CPU    = "cpu"
	Memory = "memory"
)

// State is what a Governor has come to.
type State struct {
	// Level is how deep connections may be looked into.
	Level rules.Level
	// Reason is the resource that the latest step down was for; "" at the highest level.
	Reason string
	// CPU is the number of cores that were used in the window, Memory the bytes of the latest measurement.
	CPU    float64
	Memory uint64
	// Down and Up count steps.
	Down, Up uint64
}

// Governor is the state machine. It is used by one goroutine.
type Governor struct {
	limits Limits
	levels []rules.Level // from the highest on
	at     int           // of levels
	state  State

	seen      []Usage // of the window, at the present level
	freeAt    uint64  // collections after which the memory that the latest step has freed is free
	calmSince time.Duration
	calmly    bool
	wait      time.Duration
	triedAt   time.Duration // when it was last tried to look deeper
	tried     bool
}

// New returns a Governor that begins at the level top, and steps no lower than connections.
func New(limits Limits, top rules.Level) *Governor {
	g := &Governor{limits: limits, wait: minWait}
	for _, l := range []rules.Level{rules.LevelFull, rules.LevelHeaders, rules.LevelConnections} {
		if rules.Lower(l, top) == l {
			g.levels = append(g.levels, l)
		}
	}
	g.state.Level = g.levels[0]
	return g
}

// Limits returns the budget.
func (g *Governor) Limits() Limits { return g.limits }

// Top is the level to begin with.
func (g *Governor) Top() rules.Level { return g.levels[0] }

// State returns what the latest Observe came to.
func (g *Governor) State() State { return g.state }

// Observe takes a measurement, about one each second, and says whether the level changed by it: by one step.
func (g *Governor) Observe(u Usage) (changed bool) {
	if n := len(g.seen); n > 0 && u.At-g.seen[n-1].At > late {
		g.forget()
	}
	g.seen = append(g.seen, u)
	for len(g.seen) > 2 && u.At-g.seen[1].At >= window {
		g.seen = g.seen[1:]
	}
	g.state.Memory = u.Memory
	span := u.At - g.seen[0].At
	if span > 0 {
		g.state.CPU = float64(u.CPU-g.seen[0].CPU) / float64(span)
	}
	if span < settle {
		return false
	}
	load, reason := g.load()
	if load > 1 && reason == Memory && u.Collections < g.freeAt {
		// What the step before has let go of is not collected yet. CPU may be too much all the same.
		if load, reason = g.cpuLoad(), CPU; load <= 1 {
			g.calmly = false
			return false
		}
	}
	switch {
	case load > 1:
		g.calmly = false
		if g.at == len(g.levels)-1 {
			g.state.Reason = reason
			return false
		}
		if g.tried && u.At-g.triedAt < g.wait {
			g.wait = min(2*g.wait, maxWait)
		} else {
			g.wait = minWait
		}
		g.step(1)
		g.freeAt = u.Collections + 2 // the next one to end may have begun before
		g.state.Reason = reason
		g.state.Down++
		return true
	case load > calm || g.at == 0:
		g.calmly = false
	case !g.calmly:
		g.calmly, g.calmSince = true, u.At
	case u.At-g.calmSince >= g.wait:
		g.calmly, g.tried, g.triedAt = false, true, u.At
		g.step(-1)
		if g.at == 0 {
			g.state.Reason = ""
		}
		g.state.Up++
		return true
	}
	return false
}

// load is how much of the budget is used, and of which resource that is: of the one that is nearest to its bound.
func (g *Governor) load() (load float64, reason string) {
	if g.limits.CPU > 0 {
		load, reason = g.cpuLoad(), CPU
	}
	if g.limits.Memory > 0 {
		if m := float64(g.state.Memory) / float64(g.limits.Memory); m > load {
			load, reason = m, Memory
		}
	}
	return load, reason
}

func (g *Governor) cpuLoad() float64 {
	if g.limits.CPU == 0 {
		return 0
	}
	return g.state.CPU / g.limits.CPU
}

func (g *Governor) step(by int) {
	g.at += by
	g.state.Level = g.levels[g.at]
	g.forget()
}

// forget begins a new window: what was used at another level says nothing of this one.
func (g *Governor) forget() { g.seen, g.calmly = nil, false }
