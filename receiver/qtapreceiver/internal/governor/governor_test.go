// SPDX-License-Identifier: Apache-2.0

package governor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// world is a machine whose load depends on the level.
type world struct {
	g   *Governor
	now Usage
	log []string // level and seconds of each change
}

// run lets seconds pass; cpu is the cores that are used at a level, memory the bytes.
func (w *world) run(seconds int, cpu func(rules.Level) float64, memory uint64) *world {
	for range seconds {
		w.now.At += time.Second
		w.now.CPU += time.Duration(cpu(w.g.State().Level) * float64(time.Second))
		w.now.Memory = memory
		w.now.Collections++
		if w.g.Observe(w.now) {
			w.log = append(w.log, string(w.g.State().Level)+" at "+w.now.At.String())
		}
	}
	return w
}

func steady(cores float64) func(rules.Level) float64 {
	return func(rules.Level) float64 { return cores }
}

func TestSteps(t *testing.T) {
	byLevel := func(full, headers, connections float64) func(rules.Level) float64 {
		return func(l rules.Level) float64 {
			return map[rules.Level]float64{rules.LevelFull: full, rules.LevelHeaders: headers, rules.LevelConnections: connections}[l]
		}
	}
	cpu := Limits{CPU: 0.25}
	for name, c := range map[string]struct {
		limits Limits
		top    rules.Level
		run    func(*world)
		want   []string
		reason string
	}{
		"within the budget": {cpu, rules.LevelFull, func(w *world) { w.run(600, steady(0.25), 1<<40) }, nil, ""},
		"no limits":         {Limits{}, rules.LevelFull, func(w *world) { w.run(600, steady(8), 1<<40) }, nil, ""},
		"down to the floor": {cpu, rules.LevelFull, func(w *world) { w.run(60, steady(0.3), 0) }, []string{"headers at 3s", "connections at 6s"}, CPU},
		"one step is enough": {cpu, rules.LevelFull, func(w *world) { w.run(60, byLevel(0.4, 0.2, 0), 0) },
			[]string{"headers at 3s"}, CPU},
		"a peak is no reason":                       {cpu, rules.LevelFull, func(w *world) { w.run(10, steady(0.1), 0).run(1, steady(0.8), 0).run(10, steady(0.1), 0) }, nil, ""},
		"from the highest level that is configured": {cpu, rules.LevelHeaders, func(w *world) { w.run(60, steady(1), 0) }, []string{"connections at 3s"}, CPU},
		"and back to it": {cpu, rules.LevelHeaders, func(w *world) { w.run(10, steady(1), 0).run(60, steady(0), 0) },
			[]string{"connections at 3s", "headers at 25s"}, ""},
		"recovers step by step": {cpu, rules.LevelFull, func(w *world) { w.run(10, steady(1), 0).run(60, steady(0.1), 0) },
			[]string{"headers at 3s", "connections at 6s", "headers at 25s", "full at 38s"}, ""},
		"stays where there is no room": {cpu, rules.LevelFull, func(w *world) { w.run(10, steady(1), 0).run(600, steady(0.2), 0) },
			[]string{"headers at 3s", "connections at 6s"}, CPU},
		"memory": {Limits{Memory: 100}, rules.LevelFull, func(w *world) { w.run(5, steady(4), 101).run(60, steady(4), 71).run(60, steady(4), 70) },
			[]string{"headers at 3s", "full at 1m16s"}, ""},
		"memory that does not go down": {Limits{Memory: 100}, rules.LevelFull, func(w *world) { w.run(60, steady(0), 101) },
			[]string{"headers at 3s", "connections at 6s"}, Memory},
		"either of them": {Limits{CPU: 1, Memory: 100}, rules.LevelFull, func(w *world) { w.run(5, steady(0.1), 200) }, []string{"headers at 3s"}, Memory},
	} {
		t.Run(name, func(t *testing.T) {
			w := &world{g: New(c.limits, c.top)}
			require.Equal(t, c.top, w.g.State().Level)
			c.run(w)
			require.Equal(t, c.want, w.log)
			require.Equal(t, c.reason, w.g.State().Reason)
		})
	}
}

// TestTriesLessAndLess: with a load that goes on, the budget is exceeded for a small part of the time only.
func TestTriesLessAndLess(t *testing.T) {
	const hours = 3
	over := 0
	w := &world{g: New(Limits{CPU: 0.25}, rules.LevelFull)}
	for range hours * 3600 {
		w.run(1, func(l rules.Level) float64 {
			if l == rules.LevelFull {
				over++
				return 1
			}
			return 0.1
		}, 0)
	}
	state := w.g.State()
	require.Equal(t, rules.LevelHeaders, state.Level)
	require.Equal(t, state.Up+1, state.Down)
	require.Less(t, state.Down, uint64(30), "%v", w.log)
	require.Greater(t, state.Down, uint64(15), "it is still tried")
	require.Less(t, over, hours*3600/100)

	// A try that lasts ends the caution.
	w.run(3600, steady(0.1), 0)
	require.Equal(t, rules.LevelFull, w.g.State().Level)
	n := len(w.log)
	w.run(10, steady(1), 0).run(60, steady(0.1), 0)
	require.Len(t, w.log[n:], 4, "%v", w.log[n:])
}

// TestStoppedMachine: what was used before the process was stopped for a while says nothing.
func TestStoppedMachine(t *testing.T) {
	w := &world{g: New(Limits{CPU: 0.25}, rules.LevelFull)}
	w.run(2, steady(1), 0)
	w.now.At += time.Hour
	w.run(2, steady(1), 0)
	require.Empty(t, w.log)
	w.run(2, steady(1), 0)
	require.Len(t, w.log, 1)
}

// TestMemoryIsCollectedFirst: what a step frees is not judged before it is free, but CPU time is.
func TestMemoryIsCollectedFirst(t *testing.T) {
	run := func(g *Governor, from Usage, seconds int, cores float64, collects bool) (Usage, int) {
		steps := 0
		for range seconds {
			from.At += time.Second
			from.CPU += time.Duration(cores * float64(time.Second))
			if collects {
				from.Collections++
			}
			if g.Observe(from) {
				steps++
			}
		}
		return from, steps
	}
	g := New(Limits{CPU: 1, Memory: 100}, rules.LevelFull)
	u, steps := run(g, Usage{Memory: 150}, 120, 0, false)
	require.Equal(t, 1, steps)
	require.Equal(t, rules.LevelHeaders, g.State().Level)
	u.Memory = 90 // collected
	u, steps = run(g, u, 5, 0, true)
	require.Zero(t, steps)
	require.Equal(t, rules.LevelHeaders, g.State().Level)
	u.Memory = 150
	_, steps = run(g, u, 5, 0, true)
	require.Equal(t, 1, steps, "it is too much again")

	g = New(Limits{CPU: 1, Memory: 100}, rules.LevelFull)
	u, _ = run(g, Usage{Memory: 150}, 10, 0, false)
	require.Equal(t, rules.LevelHeaders, g.State().Level)
	run(g, u, 10, 1.2, false)
	require.Equal(t, rules.LevelConnections, g.State().Level)
	require.Equal(t, CPU, g.State().Reason)
}

func TestMeasure(t *testing.T) {
	a := Measure()
	require.Positive(t, a.Memory)
	var b Usage
	require.Eventually(t, func() bool { b = Measure(); return b.CPU > a.CPU }, time.Minute, time.Microsecond)
	require.Greater(t, b.At, a.At)
}
