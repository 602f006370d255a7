// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
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
func (a *application) watch(x *l7.Exchange) func(int64, []byte) {
	media, _, _ := strings.Cut(x.Response.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), "text/event-stream") || a.c.e.maxBody() == 0 {
		return nil
	}
	s := &eventStream{max: a.c.e.maxBody()}
	o := a.begun(x, s)
	return func(t int64, b []byte) { s.add(o, t, b) }
}

// begun prepares parts of an exchange that its parser has not emitted yet.
func (a *application) begun(x *l7.Exchange, content partContent) *ongoing {
	o := a.c.newOngoing(x, content)
	o.exchange = x
	o.head.Sequence += a.first
	a.ongoing = append(a.ongoing, o)
	return o
}

// eventStream collects the bytes of a part of an event stream.
type eventStream struct {
	max  int
	body []byte
	// arrivals are those of body; all are those of the exchange's own body.
	arrivals, all []arrival
	total         int // bytes of the exchange so far
}

func (s *eventStream) add(o *ongoing, t int64, b []byte) {
	if s.total < s.max && len(s.all) < maxArrivals {
		s.all = append(s.all, arrival{s.total, t})
	}
	s.total += len(b)
	for len(b) > 0 {
		n := min(len(b), s.max-len(s.body))
		if len(s.arrivals) < maxArrivals {
			s.arrivals = append(s.arrivals, arrival{len(s.body), t})
		}
		s.body = append(s.body, b[:n]...)
		b = b[n:]
		o.grew(t) // a full part goes at once, so there is room
	}
}

func (s *eventStream) full() bool { return len(s.body) >= s.max }
func (s *eventStream) held() int  { return len(s.body) }

// take implements partContent. A part ends with an event if it can.
func (s *eventStream) take(x *l7.Exchange, last bool) (span, record func(pcommon.Map), size int) {
	n := len(s.body)
	if !last {
		if end := lastEvent(s.body); end > 0 {
			n = end
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
	s.body = rest
	x.Response.Body, x.Response.BodySize = body, uint64(n)
	return nil, func(m pcommon.Map) { putArrivals(m, arrivals, n) }, 0 // the body is counted as such
}

// lastEvent returns the length of b up to the end of its last whole event, which an empty line ends.
func lastEvent(b []byte) (n int) {
	for _, end := range [...]string{"\n\n", "\r\n\r\n", "\r\r"} {
		if i := bytes.LastIndex(b, []byte(end)); i >= 0 {
			n = max(n, i+len(end))
		}
	}
	return n
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

// watchLong looks for a response that goes on: what came of it so far becomes a part. Its body is
// kept up to the cap only, so the parts end there, too.
func (a *application) watchLong(now, age int64) {
	if a.http1 == nil || a.c.e.maxBody() == 0 {
		return
	}
	x := a.http1.Responding()
	if x == nil || len(x.Response.Body) == 0 || now-x.Response.Start < age {
		return
	}
	since := now
	o := a.partsOf(x)
	if o == nil {
		o = a.begun(x, &longBody{x: x})
		since = x.Response.Start
	}
	if s, ok := o.content.(*longBody); ok && s.held() > 0 {
		o.grew(since)
	}
}

// mayBeLong says that something came of a response in progress that is in no part yet.
func (a *application) mayBeLong() bool {
	if a.http1 == nil || a.c.e.maxBody() == 0 {
		return false
	}
	x := a.http1.Responding()
	if x == nil {
		return false
	}
	if o := a.partsOf(x); o != nil {
		return o.content.held() > 0
	}
	return len(x.Response.Body) > 0
}

// longBody makes parts of a body that the parser collects.
type longBody struct {
	x    *l7.Exchange
	sent int
}

func (s *longBody) full() bool { return false }
func (s *longBody) held() int  { return len(s.x.Response.Body) - s.sent }

// take implements partContent.
func (s *longBody) take(x *l7.Exchange, _ bool) (span, record func(pcommon.Map), size int) {
	// The parser's array may move, what is in it does not change.
	body := s.x.Response.Body
	x.Response.Body, x.Response.BodySize = body[s.sent:len(body):len(body)], uint64(len(body)-s.sent)
	s.sent = len(body)
	return nil, nil, 0
}
