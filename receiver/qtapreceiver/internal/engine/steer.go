// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http1"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

const (
	// settledBytes is how much of a connection is read, at most, to say what it is when its requests are not kept;
	// settledHello is how much of TLS 1.2, whose server shows its certificate in the clear.
	settledBytes = 32 << 10
	settledHello = 8 << 10
	// minSkip is how much content must be left for an order to be worth it, maxSkip how much one order skips:
	// sequence numbers come around.
	minSkip = 256 << 10
	maxSkip = 1 << 30
	// orderAgain is when an order that seems to be lost is given again.
	orderAgain = time.Second
	// silenceLinger is how long a connection that nothing is reported of any more is known: packets from before are
	// in the ring.
	silenceLinger = 5 * time.Second
	// maxDenials bounds the processes that are judged.
	maxDenials = 65536
)

// steering is what rules say of a connection before its requests are read, and what the source was told.
type steering struct {
	set     *rules.Set
	missing rules.Facts
	proc    *process.Info
	// wanted is the level that no exchange of the connection comes above, highest that which none can come above now.
	wanted, highest rules.Level

	order     event.Order
	orderedAt int64
	until     [2]uint64 // by direction, offset in the whole stream
}

// steer finds out what is wanted of a connection, and tells the source what is not.
func (e *Engine) steer(c *conn) {
	e.foresee(c)
	if e.set.Control == nil || c.cookie == 0 || c.excluded || c.blind {
		return
	}
	s := &c.steering
	switch {
	case s.order.Level != event.OrderAll || c.ignored || c.closing:
	case s.wanted.Requests() || c.serverEnd().Port() == dnsPort || c.clientEnd().Port() == dnsPort: // DNS is no matter of rules
		if c.app.unread() {
			e.stop(c, event.OrderConnections, event.SkipUnread)
		} else {
			e.skipBody(c)
		}
	case s.wanted == rules.LevelNone:
		e.stop(c, event.OrderNone, event.SkipRule)
		e.ignore(c)
		c.closing, c.closedAt, c.linger = true, e.now, e.now+int64(silenceLinger)
	case c.settled():
		e.stop(c, event.OrderConnections, event.SkipRule)
		c.app.setOpaque(reasonRule)
		c.app.letGo(e.now)
	}
}

// remind gives an order again that bytes which came show not to be heeded.
func (e *Engine) remind(c *conn, bytes uint64) {
	if s := &c.steering; bytes > 0 && s.order.Level != event.OrderAll && c.seen-s.orderedAt >= int64(orderAgain) {
		e.order(c)
	}
}

// foresee asks the rules when something became known that they look at.
func (e *Engine) foresee(c *conn) {
	s, set := &c.steering, e.rules.Load()
	if set == nil {
		s.set, s.wanted = nil, e.set.Level
	} else if missing := c.unknownFacts(); s.set != set || s.missing != missing || s.proc != c.proc {
		s.set, s.missing, s.proc = set, missing, c.proc
		env := &e.ruleEnv
		c.app.fillEnv(env)
		env.Missing = missing
		s.wanted = set.Highest(env)
	}
	s.highest = e.affordable(s.wanted)
}

// unknownFacts are the facts that are not known of a connection, or not for good.
func (c *conn) unknownFacts() rules.Facts {
	f := rules.FactLate | rules.FactExchange
	if c.role == event.RoleUnknown {
		f |= rules.FactDirection
	}
	if !c.tuple.complete() {
		f |= rules.FactAddresses
	}
	if c.proc.TGID == 0 {
		f |= rules.FactProcess | rules.FactPod
	}
	if c.proc.PodUnknown() {
		f |= rules.FactPod
	}
	if !c.app.named {
		f |= rules.FactServerName
	}
	return f
}

// settled says that it is known what a connection carries, as far as its records say.
func (c *conn) settled() bool {
	a := &c.app
	read := c.dirs[0].stream.Offset() + c.dirs[1].stream.Offset()
	switch {
	case a.unread() || read >= settledBytes:
		return true
	case a.encrypted:
		return a.info.Visible || a.info.Version != "" && read >= settledHello
	}
	return a.protocol != ""
}

// unread says that nobody will read anything of the connection any more.
func (a *application) unread() bool { return a.opaque || a.blind }

func (e *Engine) stop(c *conn, level event.OrderLevel, reason event.SkipReason) {
	c.steering.order = event.Order{Level: level, Reason: reason}
	e.counts.stopped[reason]++
	e.order(c)
}

func (e *Engine) order(c *conn) {
	c.steering.orderedAt = e.now
	if e.set.Control.Order(c.cookie, c.steering.order) != nil {
		e.counts.ordersFailed++
	}
}

// skipBody has the rest of long content skipped, up to its last byte, whose time is wanted. Only the content of
// HTTP/1 in the clear is counted in the connection's own bytes. Of a response the source may do so by itself (tellBodyCap).
func (e *Engine) skipBody(c *conn) {
	p := c.app.http1
	if p == nil || c.app.stack.next != l7.Stream(p) || !c.ready {
		return
	}
	s := &c.steering
	told := false
	for dir := range c.dirs {
		h := &c.dirs[dir]
		at := h.base + h.stream.Offset()
		client, known := c.fromClient(h.dir)
		n := p.Skippable(client)
		if !known || n < minSkip || s.until[dir] > at || c.app.streams() {
			continue
		}
		n = min(n-1, maxSkip)
		p.Skip(client, n)
		h.stream.Skip(h.stream.Offset() + n)
		s.until[dir], told = at+n, told || h.hasISN
	}
	if !told {
		return
	}
	s.order = event.Order{Reason: event.SkipCap}
	if s.highest != s.wanted {
		s.order.Reason = event.SkipBudget
	}
	for dir := range c.dirs {
		h := &c.dirs[dir]
		s.order.Skip[dir] = h.hasISN && s.until[dir] > h.base+h.stream.Offset()
		s.order.Until[dir] = h.isn + 1 + uint32(s.until[dir])
	}
	e.order(c)
}

// tellBodyCap tells the source, which reads lengths faster than orders are given, what is kept of a body at most.
func (e *Engine) tellBodyCap() {
	keep := http1.DefaultMaxBody
	if p := e.payloads.Load(); p != nil && p.MaxBody > 0 {
		keep = p.MaxBody
	}
	if e.set.Control == nil || uint32(keep) == e.bodyCap {
		return
	}
	if e.set.Control.BodyCap(uint32(keep)) == nil { // else it is told so again
		e.bodyCap = uint32(keep)
	}
}

// unwanted says how many of the n bytes at offset pos of a direction, which did not come, were not wanted.
func (c *conn) unwanted(dir event.Direction, pos, n uint64) uint64 {
	if until := c.steering.until[dir]; pos < until {
		return min(n, until-pos)
	}
	return 0
}

// streams says that content past the cap is wanted, or may be: of a response without an end in sight parts are made.
func (a *application) streams() (yes bool) {
	a.http1.Responding(func(x *l7.Exchange, watch *l7.Watcher) {
		_, streamed := (*watch).(*streamed)
		yes = yes || streamed || !sized(x.Response)
	})
	return yes
}

// denial is whether the secrets of a process are not wanted, by the rules of set.
type denial struct {
	info *process.Info
	set  *rules.Set
	deny bool
}

// judgeProcess has the secrets of a process left alone when rules keep no request of it, whatever connection it is on.
func (e *Engine) judgeProcess(p *process.Info) {
	set := e.rules.Load()
	if e.set.Control == nil || p.TGID == 0 {
		return
	}
	old, known := e.denials[p.TGID]
	if known && old.info == p && old.set == set || !known && (set.Len() == 0 || len(e.denials) >= maxDenials) {
		return // an end that was not reported must not fill the table: what is not judged is read
	}
	d := denial{info: p, set: set}
	if set != nil {
		env := &e.ruleEnv
		*env = rules.Env{Missing: rules.AllFacts &^ (rules.FactProcess | rules.FactPod)}
		fillProcess(env, p)
		if p.PodUnknown() {
			env.Missing |= rules.FactPod
		}
		d.deny = !set.Highest(env).Requests()
	}
	e.denials[p.TGID] = d
	// The kernel forgets a denial at exec; one that was given by the record of the image before may have come after that.
	if (d.deny || known && old.deny) && (!known || old.info != p || old.deny != d.deny) {
		e.denySecrets(p.TGID, d.deny)
	}
}

func (e *Engine) denySecrets(tgid uint32, deny bool) {
	if e.set.Control.DenySecrets(tgid, deny) != nil {
		e.counts.ordersFailed++
	}
}

// judgeProcesses is judgeProcess for all that are known, when the rules have changed.
func (e *Engine) judgeProcesses() {
	if set := e.rules.Load(); set != e.denialSet {
		e.denialSet = set
		for _, d := range e.denials {
			e.judgeProcess(d.info)
		}
	}
}

// denied says that the secrets of a process are not to be used.
func (e *Engine) denied(tgid uint32) bool { return e.denials[tgid].deny }

// Skipped implements event.SkipHandler.
func (e *Engine) Skipped(reason event.SkipReason, bytes uint64) { e.counts.skipped[reason] += bytes }
