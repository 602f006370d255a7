// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// Stats counts what parsers of DNS over TCP did. For the sum of all parsers that share it:
//
//	BytesIn = BytesMessage + Skipped + bytes of unfinished messages (0 after Close)
type Stats struct {
	Messages, Malformed            atomic.Uint64
	BytesIn, BytesMessage, Skipped atomic.Uint64
}

// Parser reads DNS over TCP (RFC 7766): messages behind their length.
type Parser struct {
	emit    func(Exchange)
	stats   *Stats
	dirs    [2]half
	matcher Matcher
	closed  bool
}

type half struct {
	buf  []byte
	lost bool
}

var _ l7.Stream = (*Parser)(nil)

// New returns a parser for one connection. stats may be shared by many.
func New(emit func(Exchange), stats *Stats) *Parser { return &Parser{emit: emit, stats: stats} }

// minQuery is a header, and a question for the root.
const minQuery = 12 + 5

// Sniff says whether a client's first bytes begin DNS over TCP: a whole query of the length that
// stands before it.
func Sniff(b []byte) (match, needMore bool) {
	if len(b) < 4 {
		return false, len(b) == 0 || len(b) == 1 && b[0] < 4 || len(b) > 1 && b[0] < 4
	}
	n := int(binary.BigEndian.Uint16(b))
	// A query is small, and its header has no response bits or operation but QUERY, one question, and
	// nothing in the answer section.
	if n < minQuery || n > 1024 || len(b) > 4 && b[4]&0xf8 != 0 || len(b) > 7 && (b[6] != 0 || b[7] != 1) || len(b) > 11 && b[8]|b[9]|b[10]|b[11] != 0 {
		return false, false
	}
	if len(b) < 2+n {
		return false, true
	}
	m, ok := Parse(b[2 : 2+n])
	return ok && !m.Response, false
}

// Data implements l7.Stream.
func (p *Parser) Data(client bool, t int64, _ uint64, b []byte) {
	if p.closed {
		return
	}
	p.stats.BytesIn.Add(uint64(len(b)))
	h := &p.dirs[0]
	if !client {
		h = &p.dirs[1]
	}
	if h.lost {
		p.stats.Skipped.Add(uint64(len(b)))
		return
	}
	h.buf = append(h.buf, b...)
	for len(h.buf) >= 2 {
		n := 2 + int(binary.BigEndian.Uint16(h.buf))
		if len(h.buf) < n {
			return
		}
		m, ok := Parse(h.buf[2:n])
		if !ok || m.Response == client {
			p.stats.Malformed.Add(1)
			p.stats.Skipped.Add(uint64(n))
		} else {
			p.stats.Messages.Add(1)
			p.stats.BytesMessage.Add(uint64(n))
			if x, done := p.matcher.Message(m, t); done {
				p.emit(x)
			}
		}
		h.buf = h.buf[n:]
	}
	h.buf = append([]byte(nil), h.buf...)
}

// Gap implements l7.Stream: the lengths cannot be found again.
func (p *Parser) Gap(client bool, _ int64, _, _ uint64) {
	h := &p.dirs[0]
	if !client {
		h = &p.dirs[1]
	}
	p.stats.Skipped.Add(uint64(len(h.buf)))
	h.buf, h.lost = nil, true
}

// Close implements l7.Stream: what is unanswered is emitted so.
func (p *Parser) Close(t int64, _ bool) {
	if p.closed {
		return
	}
	p.Gap(true, t, 0, 0)
	p.Gap(false, t, 0, 0)
	p.closed = true
	for {
		x, ok := p.matcher.Expire(t)
		if !ok {
			return
		}
		p.emit(x)
	}
}

// Held is how many bytes of messages wait for their end.
func (p *Parser) Held() int { return cap(p.dirs[0].buf) + cap(p.dirs[1].buf) }
