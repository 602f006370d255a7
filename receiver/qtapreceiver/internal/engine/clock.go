// SPDX-License-Identifier: Apache-2.0

package engine

import "time"

const (
	// slewed is more than a clock is set back by when it is only corrected.
	slewed = time.Second
	// idleGap is how long no Idle may come before the time in between is taken for one of which nothing is known.
	idleGap = 10 * time.Second
	// overdue is more than what waits for an event waits for it.
	overdue = 10 * time.Second
)

// watchClock looks for a clock that was set, and returns the time that counts: a time that never was is no silence of a
// connection, and where the clock was only corrected, time stands still for that moment.
func (e *Engine) watchClock(now int64) int64 {
	switch {
	case e.idled == 0:
	case now < e.idled && e.idled-now < int64(slewed):
		return e.idled
	case now < e.idled:
		e.setBack(now)
	case now-e.idled > int64(idleGap):
		e.resumed = now
	}
	e.idled = now
	return now
}

// setBack deals with a clock that was set back to now. What waits for an event would wait for as long once more, so it is not
// waited for any more. What is due at a time, or was at one, is moved with the clock.
func (e *Engine) setBack(now int64) {
	by := e.idled - now
	e.tickActive(e.idled + int64(overdue))
	e.tickDNS(e.idled + int64(overdue))
	e.now, e.sweepAt, e.resumed = now, now, now
	e.keys.SetBack(now)
	e.set.Processes.SetBack(now)
	e.coverage.next, e.coverage.changed = e.coverage.next-by, e.coverage.changed-by
	e.budget.fullAt = min(e.budget.fullAt, now)
	for key, n := range e.names {
		n.until -= by
		e.names[key] = n
	}
	for t := range e.excluded {
		e.excluded[t] -= by
	}
	for _, f := range e.quicFlows {
		f.latest = min(f.latest, now)
		if f.open != nil {
			f.open.heard = min(f.open.heard, now)
		}
	}
	for _, c := range e.byCookie {
		c.setBack(now)
	}
	for _, c := range e.byTuple {
		c.setBack(now)
	}
}

func (c *conn) setBack(now int64) {
	c.seen, c.kept.next, c.steering.orderedAt = min(c.seen, now), min(c.kept.next, now), min(c.steering.orderedAt, now)
	c.app.setBack(now)
}

func (a *application) setBack(now int64) {
	for _, o := range a.ongoing {
		o.since = min(o.since, now)
	}
	for _, i := range a.inner {
		i.setBack(now)
	}
}
