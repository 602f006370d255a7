// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func (e *Engine) activate(c *conn) {
	if !c.active {
		c.active = true
		e.active = append(e.active, c)
	}
}

// Idle implements event.Handler: what waits for time rather than for an event.
func (e *Engine) Idle(now int64) {
	e.beats.Add(1)
	now = e.watchClock(now)
	e.now = max(e.now, now)
	e.keys.Tick(now)
	e.tickActive(now)
	if now >= e.sweepAt {
		e.sweepAt = now + int64(sweepEvery)
		e.sweep(now)
		e.tickDNS(now)
		e.tickQUIC(now)
		if e.set.Sessions != nil {
			e.set.Sessions.Tick()
		}
		e.govern(now)
		e.tellBodyCap()
		e.publish()
		e.coverageTick(now)
		e.judgeProcesses()
	}
	// These have things of the newest events, which may be newer than now.
	e.set.Processes.Tick(e.now)
	e.set.Emitter.Tick(e.now)
	if p := e.payloads.Load(); p != nil {
		p.Segmenter.Tick(e.now)
	}
}

// Beats counts Idles. It may be called from any goroutine.
func (e *Engine) Beats() uint64 { return e.beats.Load() }

// Abandon takes the place of Close after a panic of the engine: nothing is read, or said, from a state that nobody knows,
// and no secret stays in memory.
func (e *Engine) Abandon() {
	e.keys.Close()
	e.set.Emitter.Abandon()
}

// tickActive looks at the connections that had an event lately: the table may be large.
func (e *Engine) tickActive(now int64) {
	n := 0
	for _, c := range e.active {
		if e.tick(c, now) {
			e.active[n] = c
			n++
		} else {
			c.active = false
		}
	}
	clear(e.active[n:])
	e.active = e.active[:n]
}

// tick does what is due for one connection; false when only an event can make more due.
func (e *Engine) tick(c *conn, now int64) bool {
	if c.closing && now >= c.linger && (!c.app.waiting() || now >= c.linger+int64(secretLinger)) {
		e.finish(c)
		return false
	}
	if c.excluded || c.ignored {
		return c.closing
	}
	if c.heldAt != 0 && now-c.heldAt >= int64(anchorWait) {
		e.release(c, true)
	}
	if c.cookie == 0 {
		if now-c.seen < int64(claimWait) {
			return true
		}
		e.counts.dropBytes(dropUnclaimed, e.unhold(c))
		e.forget(c)
		return false
	}
	if c.ready && !c.blind {
		for i := range c.dirs {
			c.dirs[i].stream.Tick(now)
		}
		c.app.tick(now)
		e.save(c, now, false)
	}
	if !c.announced && (c.announceAt != 0 && now >= c.announceAt || now-c.start >= int64(announceLatest)) {
		e.record(c, stateOpen, c.start)
	}
	return c.closing || !c.announced || now-c.seen < int64(activeFor) || c.app.partsPending()
}

// sweep looks at everything, now and then.
func (e *Engine) sweep(now int64) {
	for t, until := range e.excluded {
		if now >= until {
			delete(e.excluded, t)
		}
	}
	// The kernel reports an open socket every interval: one that is silent for longer has ended
	// without our hearing of it.
	silent := int64(2*e.set.Interval + time.Minute)
	for _, c := range e.byCookie {
		if now-max(c.seen, e.resumed) >= silent && !c.closing {
			if !c.excluded && !c.ignored { // the kernel does not report the end of those
				e.counts.expired++
			}
			c.closing, c.closedAt, c.linger = true, c.seen, now
			e.activate(c)
		}
	}
}

// evict makes room: of so many connections the one goes that is before all others.
func (e *Engine) evict(of int, before func(a, b *conn) bool) {
	var victim *conn
	n := 0
	for _, c := range e.byCookie {
		if victim == nil || before(c, victim) {
			victim = c
		}
		if n++; n == of {
			break
		}
	}
	if victim == nil {
		for _, c := range e.byTuple {
			victim = c
			break
		}
	}
	e.counts.evicted++
	if !victim.closing {
		victim.closedAt = e.now
	}
	e.end(victim)
}

// finish ends a connection: what its streams hold is read, its last record emitted.
func (e *Engine) finish(c *conn) {
	said := !c.excluded && !c.ignored && c.cookie != 0
	if said {
		e.release(c, true)
	}
	e.counts.dropBytes(dropUnclaimed, e.unhold(c))
	// What was ordered not to be copied is not missing.
	if said && c.books.Kind == event.SocketClosed && !e.set.NoPackets && c.steering.order.Level == event.OrderAll && !c.blind {
		c.dirs[event.Ingress].end(c.closedAt, c.books.BytesReceived)
		c.dirs[event.Egress].end(c.closedAt, c.books.BytesSent)
	}
	for i := range c.dirs {
		c.dirs[i].stream.Close(c.closedAt)
	}
	c.app.close(c.closedAt, c.wasReset())
	e.forgetSession(c)
	if said {
		e.record(c, stateClosed, c.closedAt)
		c.excluded = true // nothing may be said of it any more
	}
	e.forget(c)
}

func (e *Engine) forget(c *conn) {
	if c.cookie != 0 && e.byCookie[c.cookie] == c {
		delete(e.byCookie, c.cookie)
	}
	e.unindex(c)
}

// Close ends every connection as if it were still open, and flushes. The source must have
// stopped. t is in Unix nanoseconds.
func (e *Engine) Close(t int64) {
	e.now = max(e.now, t)
	all := make([]*conn, 0, len(e.byCookie)+len(e.byTuple))
	for _, c := range e.byCookie {
		all = append(all, c)
	}
	for _, c := range e.byTuple {
		if c.cookie == 0 {
			all = append(all, c)
		}
	}
	slices.SortFunc(all, func(a, b *conn) int { return int(min(max(a.start-b.start, -1), 1)) })
	for _, c := range all {
		if !c.closing {
			c.closedAt = e.now
		}
		e.end(c)
	}
	e.active = nil
	e.tickDNS(e.now + int64(dnsWait)) // what is not answered by now
	e.endQUIC()
	e.keys.Close()
	if e.coverage.tracker != nil {
		e.publish()
		e.emitCoverage(e.now, true)
	}
	e.set.Emitter.Flush()
	e.publish()
}

// end is finish for a connection that may be open still: what is said of it last is not that
// it closed.
func (e *Engine) end(c *conn) {
	if c.closing || c.excluded || c.ignored || c.cookie == 0 {
		e.finish(c)
		return
	}
	e.release(c, true)
	for i := range c.dirs {
		c.dirs[i].stream.Close(c.closedAt)
	}
	e.save(c, c.closedAt, true)
	c.app.end(c.closedAt)
	state := stateEstablished
	if !c.announced {
		state = stateOpen
	}
	e.record(c, state, c.closedAt)
	c.excluded = true
	e.forget(c)
}
