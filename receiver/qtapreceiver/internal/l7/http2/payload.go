// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"encoding/binary"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// payload takes bytes of the frame's payload, of which remain are still to come after them. It returns
// false when they are not HTTP/2.
func (p *Parser) payload(h *half, pos uint64, b []byte) bool {
	if h.frame.kind == frameData {
		return p.data(h, pos, b)
	}
	if h.torn || len(b) == h.frame.length { // the latter: end sees it whole
		return true
	}
	if k := min(len(b), h.collect-len(h.buf)); k > 0 {
		h.buf = append(h.buf, b[:k]...)
	}
	return true
}

func (p *Parser) data(h *half, pos uint64, b []byte) bool {
	if !h.padKnown {
		pad := int(b[0])
		if pad >= h.frame.length {
			return false
		}
		h.padKnown, h.content = true, h.frame.length-1-pad
		b, pos = b[1:], pos+1
	}
	n := min(len(b), h.content)
	h.content -= n
	switch {
	case h.stream != nil:
		p.early(h, h.stream, pos, b[:n], 0)
		p.content(h, h.stream, b[:n])
	case h.tunnel != nil && h.tunnel.over != nil && n > 0:
		h.tunnel.over.Data(h.client, h.now, pos, b[:n])
	}
	return true
}

// end is called after the last byte of a frame. last are the payload's bytes that came with it, t is their
// time, 0 when it was not seen.
func (p *Parser) end(h *half, last []byte, t int64) {
	h.state = inHeader
	f := h.frame
	b := h.buf
	if len(b) == 0 && len(last) == f.length {
		b = last[:h.collect]
	}
	switch f.kind {
	case frameData:
		st, tn := h.stream, h.tunnel
		h.stream, h.tunnel = nil, nil
		switch {
		case !f.has(flagEndStream):
		case st != nil:
			p.endMessage(h, st, t)
		case tn != nil:
			p.endTunnel(h, tn)
		}
	case frameHeaders, framePushPromise, frameContinuation:
		p.endFragment(h, b, t)
	case frameRSTStream:
		code := uint32(codeNo + 1)
		if !h.torn {
			code = binary.BigEndian.Uint32(b)
		}
		p.reset(f.stream, code)
	case frameGoAway:
		if !h.client && !h.torn {
			p.goAway(binary.BigEndian.Uint32(b) &^ (1 << 31))
		}
	case frameSettings:
		for ; !h.torn && len(b) >= 6; b = b[6:] {
			if binary.BigEndian.Uint16(b) == settingMaxFrame {
				p.other(h).maxFrame = int(min(binary.BigEndian.Uint32(b[2:]), 1<<24))
			}
		}
	}
	if cap(h.buf) > keepBuffer {
		h.buf = nil
	}
}

// endFragment adds b to the field block, and reads the block when that ends with it.
func (p *Parser) endFragment(h *half, b []byte, t int64) {
	block, f := &h.block, h.frame
	switch {
	case h.torn && block.bad == "":
		block.bad = l7.IncompleteGap
	case f.kind != frameContinuation && block.bad == "":
		var ok bool
		if b, ok = f.fragment(b); !ok {
			p.lose(h, l7.IncompleteParse)
			return
		}
		fallthrough
	default:
		if len(block.fragment)+len(b) > p.opt.MaxHeader && block.bad == "" {
			block.bad = l7.IncompleteHeader
		}
	}
	if block.bad == "" && (len(block.fragment) > 0 || !f.has(flagEndHeaders)) {
		block.fragment = append(block.fragment, b...)
		b = block.fragment
	}
	if f.has(flagEndHeaders) {
		p.endBlock(h, b, t)
	}
}

// endBlock reads a field block, or gives it up.
func (p *Parser) endBlock(h *half, b []byte, t int64) {
	block := h.block
	h.block.open = false
	if cap(h.block.fragment) > keepBuffer {
		h.block.fragment = nil
	}
	fields, ok := h.scratch[:0], true
	if block.bad == "" {
		var tooLarge bool
		fields, tooLarge, ok = h.table.decode(fields, b, p.opt.MaxHeader)
		switch {
		case !ok:
			block.bad = l7.IncompleteParse
		case tooLarge:
			block.bad = l7.IncompleteHeader
		}
	} else {
		h.table.lose()
	}
	if block.bad != "" && block.bad != l7.IncompleteHeader {
		fields = fields[:0]
	}
	bin := p.binOf(block.stream, nil)
	switch {
	case block.push:
		p.stats.Pushes.Add(1)
		bin = &p.stats.Skipped[SkipPush]
	case block.stream%2 == 0:
	case h.client && p.request(h, block, fields, t), !h.client && p.response(h, block, fields, t):
		bin = &p.stats.BytesMessage
	default:
		p.stats.Unmatched.Add(1)
	}
	bin.Add(uint64(block.bytes))
	clear(fields)
	if h.scratch = fields[:0]; cap(fields) > 256 {
		h.scratch = nil
	}
	if !ok {
		p.lose(h, l7.IncompleteParse)
	}
}

// lose gives up what is in progress in one direction and looks for the next sure frame.
func (p *Parser) lose(h *half, reason string) {
	if h.state == inHeader || h.state == inPreface {
		p.stats.skip(h.skipReason(), h.have)
	}
	if h.state != searching {
		p.stats.Desyncs.Add(1)
	}
	h.have, h.stream, h.buf = 0, nil, h.buf[:0]
	p.tearTunnels(h)
	h.state, h.everLost, h.why = searching, true, reason
	h.finder.reset()
	if h.block.open {
		h.block.bad = reason
		p.endBlock(h, nil, 0)
	}
	h.table.lose()
	for _, st := range p.inOrder() {
		if h.client && st.requestDone {
			continue // only its response is to come
		}
		st.fail(reason)
		st.requestDone = true
		st.responseDone = st.responseDone || !h.client || p.server.state == searching
		p.settle(st)
	}
}

// found is called when the frames of a direction were found again.
func (p *Parser) found(h *half) {
	p.stats.Resyncs.Add(1)
	h.state = inHeader
}

func (h *half) skipReason() Skip {
	if h.seen {
		return SkipResync
	}
	return SkipJoin
}

// Gap implements l7.Stream.
func (p *Parser) Gap(fromClient bool, t int64, pos uint64, n uint64) {
	if p.closed {
		return
	}
	p.stats.Gaps.Add(1)
	p.stats.BytesMissing.Add(n)
	h := p.half(fromClient)
	if h.state != inPayload || n == 0 || n > uint64(h.remain) {
		if h.state == inPayload && h.frame.kind == frameData && n > 0 {
			p.missing(h, h.remain) // at least these
		}
		p.lose(h, l7.IncompleteGap)
		return
	}
	p.missing(h, int(n))
	h.remain -= int(n)
	if h.remain == 0 {
		p.end(h, nil, 0)
	}
}

// missing takes n bytes of the frame's payload that were not seen.
func (p *Parser) missing(h *half, n int) {
	h.torn = true
	if h.frame.kind != frameData || h.stream == nil && h.tunnel == nil {
		return
	}
	if tn := h.tunnel; tn != nil {
		if !h.padKnown {
			h.padKnown, h.content, n = true, 0, 0 // their number is not known
		} else {
			n = min(n, h.content)
			h.content -= n
			if n == 0 {
				return // padding
			}
		}
		if tn.over != nil {
			tn.over.Gap(h.client, h.now, h.pos, uint64(n))
		}
		return
	}
	if !h.padKnown { // how much of the frame is content is lost with its first byte
		h.padKnown, h.content = true, 0
		h.stream.fail(l7.IncompleteGap)
	}
	n = min(n, h.content)
	h.content -= n
	p.early(h, h.stream, h.pos, nil, n)
	p.hole(h, h.stream, n)
}

// Close implements l7.Stream.
func (p *Parser) Close(t int64, reset bool) {
	if p.closed {
		return
	}
	reason := l7.IncompleteClosed
	if reset {
		reason = l7.IncompleteReset
	}
	for _, h := range []*half{&p.client, &p.server} {
		if h.state == inHeader || h.state == inPreface {
			p.stats.skip(h.skipReason(), h.have)
		}
		if h.block.open {
			h.block.bad = reason
			p.endBlock(h, nil, 0)
		}
	}
	p.closed = true
	p.closeTunnels(0, t, reset)
	for _, st := range p.inOrder() {
		st.fail(reason)
		st.requestDone, st.responseDone = true, true
		p.settle(st)
	}
}

// Pending returns the number of requests that are not emitted yet.
func (p *Parser) Pending() int { return len(p.streams) }

// Responding calls f with each exchange whose response is being received, in no certain order, and with who watches
// it, for f to change. The exchanges are still the parser's.
func (p *Parser) Responding(f func(x *l7.Exchange, watch *l7.Watcher)) {
	for _, st := range p.streams {
		if st.Response != nil && st.Response.Status != 0 && !st.responseDone {
			f(&st.Exchange, &st.watch)
		}
	}
}

// Keep sets how many content bytes are kept of each message that begins from now on; 0 keeps none.
func (p *Parser) Keep(maxBody int) {
	p.keep = maxBody
	p.opt.MaxHeld = max(p.opt.MaxHeld, 4*maxBody)
}

// Held is about how many bytes of memory the connection's exchanges in flight and its HPACK tables take.
func (p *Parser) Held() int {
	n := p.held.content + p.held.fields + len(p.streams)*streamCost
	for _, h := range []*half{&p.client, &p.server} {
		n += cap(h.buf) + cap(h.block.fragment) + h.table.size
	}
	return n
}
