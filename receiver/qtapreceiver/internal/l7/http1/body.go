// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// maxFirstBody bounds what is allocated on the word of a Content-Length alone.
const maxFirstBody = 64 << 10

// begin prepares h for the content of a message.
func (h *half) begin(keep bool) {
	h.keep, h.remain, h.skip, h.trailing, h.watch = keep, 0, 0, 0, nil
}

// content takes decoded content.
func (p *Parser) content(h *half, b []byte) {
	p.took(h, len(b))
	h.skip -= min(h.skip, uint64(len(b)))
	m := h.msg
	if m == nil {
		return
	}
	m.BodySize += uint64(len(b))
	if h.watch != nil {
		h.watch.Content(h.now, b)
	}
	if !h.keep {
		p.stats.BytesCut.Add(uint64(len(b)))
		return
	}
	if room := max(0, p.opt.MaxBody-len(m.Body)); len(b) > room {
		p.stats.BytesCut.Add(uint64(len(b) - room))
		m.Truncated = true
		b = b[:room]
	}
	if m.Body == nil && len(b) > 0 {
		size := min(h.remain, uint64(p.opt.MaxBody), maxFirstBody)
		m.Body = make([]byte, 0, max(int(size), len(b)))
	}
	m.Body = append(m.Body, b...)
	p.hold(h.x, len(b))
}

// missing takes n bytes of content that were not seen.
func (p *Parser) missing(h *half, n uint64) {
	wanted := n - min(h.skip, n)
	h.skip -= n - wanted
	m := h.msg
	if m == nil {
		return
	}
	m.BodySize += n
	m.Missing += wanted
	if h.watch != nil && wanted > 0 {
		h.watch.Missing(wanted)
	}
	if h.keep && len(m.Body) >= p.opt.MaxBody {
		m.Truncated = true // the cap would have cut them anyway
	}
	h.keep = false
}

// advanced ends the content, or the chunk, when nothing of it remains. end is the time of its last
// byte, 0 when that was not seen.
func (p *Parser) advanced(h *half, end int64) {
	if h.remain > 0 {
		return
	}
	if h.state == chunkData {
		h.state = chunkEnd
		return
	}
	p.finish(h, end)
}

// finish ends the message in progress.
func (p *Parser) finish(h *half, end int64) {
	if m := h.msg; m != nil {
		m.Complete, m.End = true, end
	}
	h.state, h.ended = idle, end
	x := h.x
	h.x, h.msg = nil, nil
	if x == nil {
		return
	}
	if h.client {
		x.requestDone = true
	} else {
		x.responseDone = true
	}
	p.settle(x)
}

// line consumes a line of the chunked coding (RFC 9112 §7.1).
func (p *Parser) line(h *half, b []byte) int {
	bound := maxChunkLine
	if h.state == trailer {
		bound = p.opt.MaxHeader - h.trailing
	}
	i := bytes.IndexByte(b, '\n')
	n := i + 1
	if i < 0 {
		n = len(b)
	}
	if len(h.buf)+n > bound {
		reason := l7.IncompleteParse
		if h.state == trailer {
			reason = l7.IncompleteHeader
		}
		p.took(h, len(h.buf)+n)
		p.abandon(h, reason)
		return n
	}
	if i < 0 {
		h.buf = append(h.buf, b...)
		return n
	}
	line := b[:i]
	if len(h.buf) > 0 {
		h.buf = append(h.buf, line...)
		line = h.buf
		h.resetBuf()
	}
	size := len(line) + 1
	p.took(h, size)
	line = bytes.TrimSuffix(line, []byte{'\r'})
	switch h.state {
	case chunkSize:
		v, ok := chunkLength(line)
		if !ok {
			p.abandon(h, l7.IncompleteParse)
			return n
		}
		h.remain, h.state = v, chunkData
		if v == 0 {
			h.state = trailer
		}
	case chunkEnd:
		if len(line) > 0 {
			p.abandon(h, l7.IncompleteParse)
			return n
		}
		h.state = chunkSize
	case trailer:
		if len(line) == 0 {
			p.finish(h, h.now)
			return n
		}
		h.trailing += size
		var f l7.Header
		var ok bool
		if f, ok = field(string(line)); !ok {
			p.abandon(h, l7.IncompleteParse)
			return n
		}
		if h.msg != nil {
			h.msg.Trailers = append(h.msg.Trailers, f)
			p.hold(h.x, size+headerCost)
		}
	}
	return n
}

// chunkLength reads a chunk-size line; extensions are ignored.
func chunkLength(line []byte) (n uint64, ok bool) {
	i := 0
	for ; i < len(line); i++ {
		d := strings.IndexByte("0123456789abcdef", line[i]|0x20)
		if d < 0 || line[i] < '0' {
			break
		}
		if n >= 1<<59 {
			return 0, false
		}
		n = n<<4 | uint64(d)
	}
	rest := bytes.TrimLeft(line[i:], " \t") // RFC 9112 §7.1.1: "bad" whitespace before extensions
	return n, i > 0 && (len(rest) == 0 || rest[0] == ';')
}
