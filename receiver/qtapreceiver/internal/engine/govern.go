// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"iter"
	"maps"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/governor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/stream"
)

// reasonOverBudget is why something is not read or not kept that was wanted: the budget does not allow it.
const reasonOverBudget = "over_budget"

// Budget is what keeps the process within `limits`. Its functions are called by the engine's goroutine.
type Budget struct {
	*governor.Governor
	// Measure measures the process.
	Measure func() governor.Usage
	// OnStep is told when the level has changed. It must not wait for anything.
	OnStep func(governor.State)
}

// budgeted is what the engine has made of the budget.
type budgeted struct {
	// level is the highest one that is affordable.
	level rules.Level
	// fullAt is since when that is the highest there is: messages that began before may have been cut for it.
	fullAt int64
	paused bool // the source was told so
}

// govern measures the process and steps, one level at a time. It comes about once a second.
func (e *Engine) govern(now int64) {
	b := e.set.Budget
	if b == nil {
		return
	}
	if b.Observe(b.Measure()) {
		state := b.State()
		e.budget.level = state.Level
		if state.Level == b.Top() {
			e.budget.fullAt = now
		}
		e.atLevel()
		if e.coverage.tracker != nil {
			e.emitRows(now, []coverage.Row{e.budgetRow()})
		}
		if b.OnStep != nil {
			b.OnStep(state)
		}
	}
	// What the source was not told, it is told the next time.
	if pause := e.blinds(); pause != e.budget.paused && e.set.Control != nil {
		if e.set.Control.Pause(pause) == nil {
			e.budget.paused = pause
		} else {
			e.counts.ordersFailed++
		}
	}
}

// blinds says that nothing but sockets is affordable.
func (e *Engine) blinds() bool {
	return e.set.Budget != nil && e.budget.level == rules.LevelConnections
}

// affordable lowers a level to what the budget allows.
func (e *Engine) affordable(l rules.Level) rules.Level {
	if e.set.Budget == nil {
		return l
	}
	return rules.Lower(l, e.budget.level)
}

// budgetRow is the row of coverage that says how deep connections are looked into.
func (e *Engine) budgetRow() coverage.Row {
	state := e.set.Budget.State()
	row := coverage.Row{Subject: coverage.SubjectGovernor, Name: "level", State: string(state.Level), Count: state.Down}
	if state.Level != e.set.Budget.Top() {
		row.Reason, row.Advice = state.Reason, coverage.Advice("limits_"+state.Reason)
	}
	return row
}

// cutByBudget says that a message which began at time t may have been cut because of the budget.
func (e *Engine) cutByBudget(t int64) bool { return t < e.budget.fullAt }

// atLevel has all connections read as deep as the budget allows now. At connections none is: the source is told not to
// copy anything, and what it has copied is dropped.
func (e *Engine) atLevel() {
	for _, all := range []iter.Seq[*conn]{maps.Values(e.byCookie), maps.Values(e.byTuple)} {
		for c := range all {
			if e.blinds() {
				e.blind(c)
			} else {
				e.foresee(c)
			}
		}
	}
}

// blind stops reading a connection: what was under way on it is emitted as far as it was seen. Its records go on.
func (e *Engine) blind(c *conn) {
	if c.excluded || c.ignored || c.blind || c.closing {
		return
	}
	c.blind = true
	e.counts.stopped[event.SkipBudget]++
	e.counts.dropBytes(dropOverBudget, e.unhold(c))
	for i := range c.dirs {
		c.dirs[i].stream.Close(e.now)
	}
	c.app.end(e.now)
	c.app.tls = nil // closed with what it was in
	c.app.setOpaque(reasonOverBudget)
	e.forgetSession(c)
}

// unblind reads a connection again that was not read for a while: from where the source says that it is now, as one
// that was open before the capture. What was encrypted is not: its records cannot be told apart any more.
func (e *Engine) unblind(c *conn) {
	if c.app.encrypted || c.app.reason != reasonOverBudget {
		// It was not readable before, or cannot be any more.
		if c.steering.order.Level == event.OrderAll && e.set.Control != nil {
			e.stop(c, event.OrderConnections, event.SkipUnread)
		}
		return
	}
	c.blind, c.wasBlind, c.ready = false, true, false
	waits := c.app.waits
	if c.app.http1 != nil {
		waits = c.app.http1.Waits() // it may have seen otherwise since
	}
	c.app = application{
		c: c, nextSequence: c.app.nextSequence, named: c.app.named, asked: c.app.asked, host: c.app.host, waits: waits,
	}
	c.app.stack.a = &c.app
	for i := range c.dirs {
		h := &c.dirs[i]
		h.stream = stream.New(h, stream.Limits{}, &e.counts.stream)
		h.base, h.joined = 0, false
	}
	c.steering.until = [2]uint64{}
}
