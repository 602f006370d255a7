// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// An exchange that goes on for long is emitted in parts. Each part has a span of its own, child of
// the exchange's span, and a payload record with that span's id: what holds for exchanges (one span,
// one record, one file) holds for parts, and nobody waits for an end that may be hours away.

// ongoing is an exchange that is emitted in parts.
type ongoing struct {
	a        *application
	exchange *l7.Exchange // the parser's own, to know it by; nil once it was emitted
	head     l7.Exchange  // its messages without content
	trace    pcommon.TraceID
	span     pcommon.SpanID
	index    int64 // of the latest part

	// since is when what waits began, 0 when nothing does; last is its latest moment.
	since, last int64
	content     partContent
}

// partContent is what a part is made of.
type partContent interface {
	// take fills x with what waited, up to now, and returns what else is put into the span and
	// into the payload record, and the payload's size. It leaves nothing waiting, but for what
	// belongs to the next part unless it is the last.
	take(x *l7.Exchange, last bool) (span func(pcommon.Map), record func(pcommon.Map), size int)
	// full says that the part shall not grow; held is what is kept for it, in bytes of memory; left, that
	// something waits for the next part.
	full() bool
	held() int
	left() bool
	// close frees what is not garbage; nothing comes after it.
	close()
}

// newOngoing prepares parts of x, whose ids are those of its own span.
func (a *application) newOngoing(x *l7.Exchange, content partContent) *ongoing {
	id := a.c.name(x)
	o := &ongoing{a: a, head: *x, trace: id.trace, span: id.client, content: content}
	if a.c.role == event.RoleServer {
		o.span = id.server
	}
	o.head.Request.Body, o.head.Request.Trailers = nil, nil
	if x.Response != nil {
		r := *x.Response
		r.Body, r.Trailers = nil, nil
		o.head.Response = &r
	}
	if x.RPC != nil { // their messages are the parts' own
		o.head.RPC = &l7.RPC{RequestMessages: -1, ResponseMessages: -1}
	}
	return o
}

// grew says that something came at time t.
func (o *ongoing) grew(t int64) {
	if o.since == 0 {
		o.since = t
	}
	o.last = t
	if o.content.full() {
		o.flush(false)
	}
}

// flush emits what waits as a part.
func (o *ongoing) flush(last bool) {
	if o.since == 0 {
		return
	}
	c := o.a.c
	x := o.head
	x.Request.BodySize, x.Request.Missing, x.Request.Truncated = 0, 0, false
	x.Request.Start, x.Request.End = o.since, 0
	if o.head.Response != nil {
		r := *o.head.Response
		r.BodySize, r.Missing, r.Truncated = 0, 0, false
		r.Start, r.End, r.Complete = 0, o.last, true
		x.Response = &r
	}
	o.since = 0
	if x.RPC != nil {
		rpc := *x.RPC
		x.RPC = &rpc
	}
	var p part
	p.span, p.record, p.size = o.content.take(&x, last)
	if o.content.left() && !last {
		o.since = o.last
	}
	if c.excluded || c.ignored || c.suppressed(&x) {
		return
	}
	target := o.a.target(&x)
	verdict := c.e.judge(o.a, &x, &target)
	if verdict.drop() {
		return
	}
	o.index++
	p.index = o.index
	if s, ok := o.content.(*longBody); ok {
		p.before = s.sent - len(x.Response.Body)
	}
	c.e.emit(o.a, &x, o.trace, partID(o.span, o.index), o.span, &p, target, verdict)
}

// part is what a span and a record say beside what they say of every exchange.
type part struct {
	index        int64 // 0 for the exchange itself
	span, record func(pcommon.Map)
	size         int
	before       int // bytes of the same body in earlier parts
}

// partID names the n-th part of an exchange whose span is known.
func partID(span pcommon.SpanID, n int64) (id pcommon.SpanID) {
	h := sha256.New()
	h.Write([]byte("qpoint.part\x00"))
	h.Write(span[:])
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], uint64(n))
	h.Write(b[:])
	copy(id[:], h.Sum(nil))
	id[7] |= bit(id.IsEmpty())
	return id
}

// partAge is how long something waits for more of its part: as long as for more of its segment,
// or, when only its numbers are wanted, as long as a connection's.
func (c *conn) partAge() int64 {
	if p := c.e.payloads.Load(); p != nil && p.PartAge > 0 && c.steering.highest == rules.LevelFull {
		return int64(p.PartAge)
	}
	return int64(c.e.set.Interval)
}

// maxBody is how much is kept of each body or message now, until the exchange is judged.
func (c *conn) maxBody() int {
	if p := c.e.payloads.Load(); p != nil && c.steering.highest == rules.LevelFull {
		return p.MaxBody
	}
	return 0
}

// noMoreParts forgets o, whose last part was emitted.
func (a *application) noMoreParts(o *ongoing) {
	a.ongoing = slices.DeleteFunc(a.ongoing, func(p *ongoing) bool { return p == o })
	o.content.close()
}

// tickParts emits the parts that waited long enough, and begins those of responses that go on.
func (a *application) tickParts(now int64) {
	age := a.c.partAge()
	a.watchLong(now, age)
	for _, o := range a.ongoing {
		if o.since != 0 && now-o.since >= age {
			o.flush(false)
		}
	}
}

// partsPending says that a part waits for its time.
func (a *application) partsPending() bool {
	return slices.ContainsFunc(a.ongoing, func(o *ongoing) bool { return o.since != 0 }) || a.mayBeLong() ||
		slices.ContainsFunc(a.inner, func(i *inner) bool { return i.partsPending() })
}

// partsOf returns the parts of an exchange in progress, or nil.
func (a *application) partsOf(x *l7.Exchange) *ongoing {
	for _, o := range a.ongoing {
		if o.exchange == x {
			return o
		}
	}
	return nil
}

// partsHeld is what waits, in bytes of memory.
func (a *application) partsHeld() (n int) {
	for _, o := range a.ongoing {
		n += o.content.held()
	}
	return n
}

// endParts ends the parts of an exchange that has ended, and returns what else its own record says.
func (a *application) endParts(x *l7.Exchange) (record func(pcommon.Map)) {
	o := a.partsOf(x)
	if o == nil {
		return nil
	}
	defer a.noMoreParts(o)
	s, ok := o.content.(*streamed)
	if !ok {
		return nil // the exchange's own record has all of the body that was kept
	}
	if o.index > 0 {
		o.flush(true)
	}
	if !s.events {
		return nil
	}
	return func(m pcommon.Map) { putArrivals(m, s.all, len(x.Response.Body)) }
}

// putSpan and putRecord add what a part says to its span and its payload record.
func (p *part) putSpan(m pcommon.Map) {
	if p.index > 0 {
		m.PutInt(semantic.ExchangePart, p.index)
	}
	if p.span != nil {
		p.span(m)
	}
}

func (p *part) putRecord(m pcommon.Map) {
	if p.index > 0 {
		m.PutInt(semantic.ExchangePart, p.index)
	}
	if p.record != nil {
		p.record(m)
	}
}
