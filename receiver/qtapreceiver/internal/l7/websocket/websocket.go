// SPDX-License-Identifier: Apache-2.0

// Package websocket reads the messages of a WebSocket connection (RFC 6455), with permessage-deflate
// (RFC 7692), from both directions of a connection that somebody else talks on. The handshake is
// HTTP's: a Parser is fed from the first byte after it.
package websocket

import (
	"encoding/binary"
	"unicode/utf8"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// Opcodes (RFC 6455 §11.8).
const (
	OpContinuation byte = 0x0
	OpText         byte = 0x1
	OpBinary       byte = 0x2
	OpClose        byte = 0x8
	OpPing         byte = 0x9
	OpPong         byte = 0xa
)

// Options bound a Parser. The zero value is usable and keeps no payload.
type Options struct {
	// MaxData is the number of payload bytes kept of each message; 0 keeps none.
	MaxData int
	// MaxCompressed is the largest compressed message that is inflated whole, MaxInflated how much
	// one may become; 1 MiB and 8 MiB when 0. Of a larger one the beginning is inflated, and where
	// its sender keeps its compression context, later messages of that direction stay compressed.
	MaxCompressed, MaxInflated int
	// Deflate is what the handshake agreed on.
	Deflate Deflate
}

const (
	defaultMaxCompressed = 1 << 20
	defaultMaxInflated   = 8 << 20
	// maxControl is the largest payload of a control frame (RFC 6455 §5.5).
	maxControl = 125
	// maxHead is the largest frame header: 2 bytes, 8 of length, 4 of masking key.
	maxHead = 14
	// sureRuns is how many runs of bytes in a row must be whole frames and nothing else before the
	// framing is believed again.
	sureRuns = 2
)

// Reasons of Message.Incomplete.
const (
	IncompleteGap    = l7.IncompleteGap
	IncompleteClosed = l7.IncompleteClosed
	IncompleteParse  = l7.IncompleteParse
)

// Message is one message, or one control frame.
type Message struct {
	FromClient bool
	Opcode     byte
	// Start and End are the Unix nanoseconds of the message's first and last byte.
	Start, End int64
	// Size is the length of the payload on the wire in bytes, still compressed when Compressed.
	Size uint64
	// Frames is the number of frames that it came in.
	Frames int
	// Compressed: it was sent with permessage-deflate. Inflated: Data is the message and not its
	// compressed form.
	Compressed, Inflated bool
	// Data is what was kept of the payload, unmasked; Truncated that it is not all of it.
	Data      []byte
	Truncated bool
	// Missing is the number of payload bytes that a gap swallowed; Data ends before the first of them.
	Missing uint64
	// Incomplete says why the message ended early; "" when it is whole.
	Incomplete string
}

// CloseCode returns the status code of a close frame (RFC 6455 §7.4): 1005 when it carries none,
// 0 when the message is no whole close frame.
func (m *Message) CloseCode() int {
	switch {
	case m.Opcode != OpClose || m.Incomplete != "" || m.Missing > 0:
		return 0
	case m.Size < 2:
		return 1005
	case len(m.Data) < 2:
		return 0
	}
	return int(binary.BigEndian.Uint16(m.Data))
}

// frame is a frame header.
type frame struct {
	fin, masked bool
	rsv         byte // 4, 2 and 1: RSV1 to RSV3
	opcode      byte
	length      uint64
	key         [4]byte
	size        int // of the header
}

func (f *frame) control() bool { return f.opcode&8 != 0 }

// parseFrame reads a header from the beginning of b; more means that b is too short, !ok that it is none.
func parseFrame(b []byte) (f frame, more, ok bool) {
	if len(b) < 2 {
		return f, true, true
	}
	f = frame{fin: b[0]&0x80 != 0, rsv: b[0] >> 4 & 7, opcode: b[0] & 15, masked: b[1]&0x80 != 0, length: uint64(b[1] & 0x7f), size: 2}
	switch f.opcode {
	case OpContinuation, OpText, OpBinary:
	case OpClose, OpPing, OpPong:
		if !f.fin || f.length > maxControl || f.rsv != 0 {
			return f, false, false
		}
	default:
		return f, false, false
	}
	switch f.length {
	case 126:
		if f.size = 4; len(b) >= f.size {
			f.length = uint64(binary.BigEndian.Uint16(b[2:]))
		}
	case 127:
		if f.size = 10; len(b) >= f.size {
			f.length = binary.BigEndian.Uint64(b[2:])
			if f.length>>63 != 0 {
				return f, false, false
			}
		}
	}
	if f.masked {
		f.size += 4
	}
	if len(b) < f.size {
		return f, true, true
	}
	if f.masked {
		copy(f.key[:], b[f.size-4:])
	}
	return f, false, true
}

type half struct {
	client bool
	head   [maxHead]byte
	filled int // of head
	begun  int64
	now    int64

	in     bool  // within a frame's payload
	frame  frame // of the payload
	remain uint64
	phase  int // of the masking key

	msg     *Message // text or binary, between its first and last frame
	control *Message // the control frame in progress
	packed  []byte   // the compressed message so far
	over    bool     // packed is not all of it
	window  window

	lost bool
	runs int
}

// Parser implements l7.Stream. It is not safe for concurrent use.
type Parser struct {
	opt            Options
	emit           func(*Message)
	stats          *Stats
	client, server half
	closed         bool
}

var _ l7.Stream = (*Parser)(nil)

// New returns a parser for one connection. Each message given to emit belongs to the callee.
// stats may be shared by many parsers.
func New(opt Options, emit func(*Message), stats *Stats) *Parser {
	if opt.MaxCompressed <= 0 {
		opt.MaxCompressed = defaultMaxCompressed
	}
	if opt.MaxInflated <= 0 {
		opt.MaxInflated = defaultMaxInflated
	}
	p := &Parser{opt: opt, emit: emit, stats: stats}
	p.client.client = true
	p.client.window.takeover = !opt.Deflate.ClientNoContextTakeover
	p.server.window.takeover = !opt.Deflate.ServerNoContextTakeover
	return p
}

// Keep sets how many payload bytes are kept of each message from now on; 0 keeps none.
func (p *Parser) Keep(maxData int) { p.opt.MaxData = maxData }

func (p *Parser) half(client bool) *half {
	if client {
		return &p.client
	}
	return &p.server
}

// Data implements l7.Stream.
func (p *Parser) Data(client bool, t int64, _ uint64, b []byte) {
	if p.closed || len(b) == 0 {
		return
	}
	p.stats.BytesIn.Add(uint64(len(b)))
	h := p.half(client)
	h.now = t
	if h.lost {
		p.resync(h, b)
		return
	}
	for len(b) > 0 && !h.lost {
		if h.in {
			n := int(min(uint64(len(b)), h.remain))
			p.payload(h, b[:n])
			b = b[n:]
			continue
		}
		b = b[p.header(h, b):]
	}
	p.stats.Skipped.Add(uint64(len(b)))
}

// header takes bytes of a frame header and returns how many.
func (p *Parser) header(h *half, b []byte) int {
	if h.filled == 0 {
		h.begun = h.now
	}
	before := h.filled
	h.filled += copy(h.head[h.filled:], b)
	f, more, ok := parseFrame(h.head[:h.filled])
	if ok && !p.fits(h, &f, more) {
		ok = false
	}
	switch {
	case !ok:
		n := h.filled - before
		p.stats.Skipped.Add(uint64(h.filled))
		h.filled = 0
		p.stats.Malformed.Add(1)
		p.lose(h, IncompleteParse)
		return n
	case more:
		return h.filled - before
	}
	h.filled = 0
	p.stats.BytesFrame.Add(uint64(f.size))
	h.in, h.frame, h.remain, h.phase = true, f, f.length, 0
	p.begin(h)
	if h.remain == 0 {
		p.endFrame(h)
	}
	return f.size - before
}

// fits says whether the frame may come here: what no two peers would agree on means that the
// framing was lost.
func (p *Parser) fits(h *half, f *frame, more bool) bool {
	if more && f.size == 0 {
		return true
	}
	if f.rsv&^4 != 0 || f.rsv != 0 && !p.opt.Deflate.Agreed {
		return false
	}
	if f.control() {
		return true
	}
	if f.opcode == OpContinuation {
		return h.msg != nil && f.rsv == 0
	}
	return h.msg == nil
}

func (p *Parser) begin(h *half) {
	f := &h.frame
	switch {
	case f.control():
		h.control = &Message{FromClient: h.client, Opcode: f.opcode, Start: h.begun}
	case f.opcode != OpContinuation:
		h.msg = &Message{FromClient: h.client, Opcode: f.opcode, Start: h.begun, Compressed: f.rsv&4 != 0}
		h.packed, h.over = h.packed[:0], false
	}
	m := h.current()
	m.Frames++
	m.Size += f.length
}

func (h *half) current() *Message {
	if h.frame.control() {
		return h.control
	}
	return h.msg
}

// payload takes payload bytes of the frame in progress.
func (p *Parser) payload(h *half, b []byte) {
	p.stats.BytesFrame.Add(uint64(len(b)))
	h.remain -= uint64(len(b))
	m := h.current()
	to, bound := &m.Data, p.opt.MaxData
	switch {
	case m.Opcode == OpClose: // its code is metadata
		bound = maxControl
	case m.Compressed && p.opt.MaxData > 0:
		to, bound = &h.packed, p.opt.MaxCompressed
	}
	n := min(len(b), max(0, bound-len(*to)))
	if m.Missing > 0 {
		n = 0
	}
	start := len(*to)
	*to = append(*to, b[:n]...)
	if h.frame.masked {
		kept := (*to)[start:]
		for i := range kept {
			kept[i] ^= h.frame.key[(h.phase+i)&3]
		}
		h.phase += len(b)
	}
	if n < len(b) {
		if to == &h.packed {
			h.over = true
		} else {
			m.Truncated = true
		}
	}
	if h.remain == 0 {
		p.endFrame(h)
	}
}

func (p *Parser) endFrame(h *half) {
	h.in = false
	m := h.current()
	if !h.frame.control() && !h.frame.fin {
		return
	}
	m.End = h.now
	if h.frame.control() {
		h.control = nil
	} else {
		h.msg = nil
	}
	p.finish(h, m)
}

func (p *Parser) finish(h *half, m *Message) {
	if m.Compressed {
		p.inflate(h, m)
	}
	if m.Opcode == OpClose && p.opt.MaxData == 0 && len(m.Data) > 2 {
		m.Data, m.Truncated = m.Data[:2], true // the reason is payload
	}
	p.stats.Messages.Add(1)
	if m.Incomplete != "" {
		m.Truncated = true
		p.stats.Incomplete.Add(1)
	}
	p.emit(m)
}

// Gap implements l7.Stream.
func (p *Parser) Gap(client bool, t int64, _ uint64, n uint64) {
	h := p.half(client)
	if p.closed || h.lost {
		h.runs = 0
		return
	}
	h.now = t
	p.stats.Gaps.Add(1)
	if h.in && n > 0 && n <= h.remain {
		m := h.current()
		m.Missing += n
		m.Truncated = true
		h.remain -= n
		h.phase += int(n & 3)
		if h.remain == 0 {
			p.endFrame(h)
		}
		return
	}
	p.lose(h, IncompleteGap)
}

// lose gives up what is in progress and looks for the framing again.
func (p *Parser) lose(h *half, reason string) {
	p.stats.Skipped.Add(uint64(h.filled))
	h.filled, h.in, h.remain = 0, false, 0
	for _, m := range []*Message{h.control, h.msg} {
		if m != nil {
			m.Incomplete, m.End = reason, h.now
			p.finish(h, m)
		}
	}
	h.control, h.msg = nil, nil
	h.window.lose()
	h.lost, h.runs = true, 0
}

// resync believes the framing again after sureRuns runs of bytes that are whole frames, each masked
// as its direction must be (RFC 6455 §5.1). A run is what one segment or TLS record brought, and
// peers mostly send whole frames.
func (p *Parser) resync(h *half, b []byte) {
	p.stats.Skipped.Add(uint64(len(b)))
	if !wholeFrames(b, h.client, p.opt.Deflate.Agreed) {
		h.runs = 0
		return
	}
	if h.runs++; h.runs == sureRuns {
		h.lost = false
		p.stats.Resyncs.Add(1)
	}
}

func wholeFrames(b []byte, client, deflate bool) bool {
	for len(b) > 0 {
		f, more, ok := parseFrame(b)
		if !ok || more || f.masked != client || f.rsv&^4 != 0 || f.rsv != 0 && !deflate || !f.fin || f.opcode == OpContinuation {
			return false
		}
		if b = b[f.size:]; f.length > uint64(len(b)) {
			return false
		}
		if f.opcode == OpText && f.rsv == 0 {
			text := append([]byte(nil), b[:f.length]...)
			if f.masked {
				for i := range text {
					text[i] ^= f.key[i&3]
				}
			}
			if !utf8.Valid(text) {
				return false
			}
		}
		b = b[f.length:]
	}
	return true
}

// Close implements l7.Stream.
func (p *Parser) Close(t int64, _ bool) {
	if p.closed {
		return
	}
	for _, h := range []*half{&p.client, &p.server} {
		h.now = max(h.now, t)
		p.lose(h, IncompleteClosed)
		h.packed = nil
	}
	p.closed = true
}

// Held is about how many bytes of memory the messages in progress take.
func (p *Parser) Held() (n int) {
	for _, h := range []*half{&p.client, &p.server} {
		n += cap(h.packed) + cap(h.window.dict)
		if h.msg != nil {
			n += cap(h.msg.Data)
		}
	}
	return n
}
