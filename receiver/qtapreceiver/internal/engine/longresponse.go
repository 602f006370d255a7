// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coding"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// maxArrivals bounds the times that are kept of one body.
const maxArrivals = 4096

// arrival is when the bytes of a body from off on came.
type arrival struct {
	off int
	t   int64
}

// watch is asked who watches the content of a response: an event stream has no end to wait for,
// and each of its events has its time.
func (a *application) watch(x *l7.Exchange) l7.Watcher {
	if mediaType(x.Response) != mediaEvents || a.c.maxBody() == 0 {
		return nil
	}
	s := a.newStreamed(x)
	s.events = true
	return a.begun(x, s)
}

// begun prepares parts of an exchange that its parser has not emitted yet.
func (a *application) begun(x *l7.Exchange, content responseContent) l7.Watcher {
	o := a.newOngoing(x, content)
	o.exchange = x
	o.head.Sequence += a.first
	content.partsAre(o)
	a.ongoing = append(a.ongoing, o)
	return content
}

// responseContent is partContent that watches its response.
type responseContent interface {
	partContent
	l7.Watcher
	partsAre(*ongoing)
}

// watchLong looks for responses that go on: what came of one so far becomes its first part, and it is watched
// from then on.
func (a *application) watchLong(now, age int64) {
	if a.c.maxBody() == 0 {
		return
	}
	a.responding(func(x *l7.Exchange, watch *l7.Watcher) {
		if *watch != nil || !mayHaveParts(x) || now-x.Response.Start < age {
			return
		}
		if sized(x.Response) {
			*watch = a.begun(x, &longBody{x: x, max: a.c.maxBody()})
		} else {
			s := a.newStreamed(x)
			*watch = a.begun(x, s)
			s.catchUp(now, x.Response)
		}
		if o := a.ongoing[len(a.ongoing)-1]; o.content.left() {
			o.since, o.last = x.Response.Start, now
		}
	})
}

// mayBeLong says that something came of a response in progress that is in no part yet.
func (a *application) mayBeLong() (yes bool) {
	if a.c.maxBody() > 0 {
		a.responding(func(x *l7.Exchange, watch *l7.Watcher) { yes = yes || *watch == nil && mayHaveParts(x) })
	}
	return yes
}

// responding calls f with the exchanges whose response is being received.
func (a *application) responding(f func(x *l7.Exchange, watch *l7.Watcher)) {
	if a.http1 != nil {
		a.http1.Responding(f)
	}
	if a.http2 != nil {
		a.http2.Responding(f)
	}
}

// mayHaveParts says that parts can be made of a response that has begun. Those of a coded body are decoded, which
// needs it from its first byte on; a coded body whose length was said is no stream, and is left as it is.
func mayHaveParts(x *l7.Exchange) bool {
	r := x.Response
	if len(r.Body) == 0 {
		return false
	}
	return r.List("Content-Encoding") == "" || !sized(r) && uint64(len(r.Body)) == r.BodySize
}

// sized says that the length of a body was known when it began: so it is a thing, and no stream of them.
func sized(m *l7.Message) bool { return m.Get("Content-Length") != "" }

// streamed collects what comes of a response whose end nobody knows, content codings undone.
type streamed struct {
	o       *ongoing
	max     int                     // bytes kept of a part
	records func([]byte) (n, k int) // the bytes of the whole records at the beginning, and their number; nil: any cut is as good
	events  bool                    // a part that is full goes at once, and each event has its time
	rpc     bool
	decoder *coding.Decoder
	spoilt  bool // nothing more can be decoded

	body          []byte
	size, missing uint64 // of the part; missing in bytes on the wire
	arrivals, all []arrival
	total, said   int // bytes of the exchange so far, on the wire; those that parts have told
}

func (a *application) newStreamed(x *l7.Exchange) *streamed {
	s := &streamed{max: a.c.maxBody(), records: recordsOf(x), rpc: x.RPC != nil}
	if field := x.Response.List("Content-Encoding"); field != "" {
		var ok bool
		if isIdentity(field) {
			return s
		}
		if a.c.e.charged < maxCharged/2 { // a decoder is large; no connection shall go for one
			s.decoder, ok = coding.New(field)
		}
		s.spoilt = !ok
	}
	return s
}

func (s *streamed) partsAre(o *ongoing) { s.o = o }

// catchUp takes what came before anybody watched.
func (s *streamed) catchUp(now int64, m *l7.Message) {
	s.Content(now, m.Body)
	if s.decoder == nil {
		s.size += m.BodySize - uint64(len(m.Body))
		s.missing += m.Missing
	}
}

// Content implements l7.Watcher.
func (s *streamed) Content(t int64, b []byte) {
	if s.events && s.total < s.max && len(s.all) < maxArrivals {
		s.all = append(s.all, arrival{s.total, t})
	}
	s.total += len(b)
	switch {
	case s.spoilt:
	case s.decoder == nil:
		s.add(t, b)
	case s.decoder.Feed(b, func(p []byte) { s.add(t, p) }) != nil:
		s.spoil()
	}
}

// Missing implements l7.Watcher: a part ends before what was not seen.
func (s *streamed) Missing(n uint64) {
	if s.spoilt {
		return
	}
	s.missing += n
	if s.decoder == nil {
		s.size += n
	} else {
		s.spoil()
	}
	s.o.grew(s.o.a.c.e.now)
	s.o.flush(true)
}

// spoil ends the parts with what waits.
func (s *streamed) spoil() {
	s.spoilt = true
	s.close()
}

// close implements partContent.
func (s *streamed) close() {
	if s.decoder != nil {
		s.decoder.Close()
	}
}

func (s *streamed) add(t int64, b []byte) {
	for len(b) > 0 {
		n := min(len(b), s.max-len(s.body))
		if s.events && len(s.arrivals) < maxArrivals {
			s.arrivals = append(s.arrivals, arrival{len(s.body), t})
		}
		s.body = append(s.body, b[:n]...)
		if !s.events {
			n = len(b) // more than a part holds is counted, not kept
		}
		s.size += uint64(n)
		b = b[n:]
		s.o.grew(t) // a full part of events goes at once, so there is room
	}
}

func (s *streamed) full() bool { return s.events && len(s.body) >= s.max }

func (s *streamed) held() int {
	n := len(s.body)
	if s.decoder != nil && !s.spoilt {
		n += s.decoder.Cost()
	}
	return n
}

func (s *streamed) left() bool { return len(s.body) > 0 }

// take implements partContent. A part ends with a record if it can.
func (s *streamed) take(x *l7.Exchange, last bool) (span, record func(pcommon.Map), size int) {
	n, cut := len(s.body), s.size > uint64(len(s.body))
	if s.records != nil {
		end, k := s.records(s.body)
		if !last && !cut && end > 0 {
			n = end
		}
		if s.rpc {
			x.RPC.ResponseMessages = k
			if cut || s.missing > 0 {
				x.RPC.ResponseMessages, s.rpc, s.records = -1, false, nil // where the next message begins is not known
			}
		}
	}
	body, arrivals := s.body[:n:n], s.arrivals
	rest := append([]byte(nil), s.body[n:]...)
	s.arrivals = nil
	if len(rest) > 0 {
		for i, a := range arrivals {
			if a.off >= n {
				s.arrivals = append(s.arrivals, arrival{a.off - n, a.t})
				continue
			}
			if i+1 == len(arrivals) || arrivals[i+1].off > n {
				s.arrivals = append(s.arrivals, arrival{0, a.t})
			}
		}
	}
	r := x.Response
	r.Body, r.BodySize, r.Missing, r.Truncated = body, s.size-uint64(len(rest)), s.missing, cut
	s.body, s.size, s.missing = rest, uint64(len(rest)), 0
	if s.decoder != nil {
		wire := int64(s.total - s.said)
		s.said = s.total
		span = func(m pcommon.Map) { m.PutInt(semantic.HTTPResponseBodySize, wire) }
	}
	return span, func(m pcommon.Map) {
		if s.decoder != nil {
			m.PutBool(semantic.PayloadResponseBodyDecoded, true)
		}
		if s.events {
			putArrivals(m, arrivals, n)
		}
	}, 0 // the body is counted as such
}

func putArrivals(m pcommon.Map, arrivals []arrival, size int) {
	list := m.PutEmptySlice(semantic.PayloadResponseBodyArrivals)
	list.EnsureCapacity(len(arrivals))
	for _, a := range arrivals {
		if a.off >= size {
			break
		}
		pair := list.AppendEmpty().SetEmptySlice()
		pair.EnsureCapacity(2)
		pair.AppendEmpty().SetInt(int64(a.off))
		pair.AppendEmpty().SetInt(a.t)
	}
}

// longBody makes parts of a body that the parser collects, up to the cap of the whole.
type longBody struct {
	o         *ongoing
	x         *l7.Exchange
	max, sent int
}

func (s *longBody) partsAre(o *ongoing) { s.o = o }

// Content implements l7.Watcher. The parser keeps b after this, if it keeps it.
func (s *longBody) Content(t int64, b []byte) {
	if r := s.x.Response; len(b) > 0 && r.Missing == 0 && len(r.Body) < s.max {
		s.o.grew(t)
	}
}

// Missing implements l7.Watcher: the parser keeps nothing after it, and says so of the whole.
func (s *longBody) Missing(uint64) {}

func (s *longBody) full() bool { return false }
func (s *longBody) held() int  { return len(s.x.Response.Body) - s.sent }
func (s *longBody) left() bool { return s.held() > 0 }
func (s *longBody) close()     {}

// take implements partContent.
func (s *longBody) take(x *l7.Exchange, _ bool) (span, record func(pcommon.Map), size int) {
	// The parser's array may move, what is in it does not change.
	body := s.x.Response.Body
	x.Response.Body, x.Response.BodySize = body[s.sent:len(body):len(body)], uint64(len(body)-s.sent)
	s.sent = len(body)
	return nil, nil, 0
}
