// SPDX-License-Identifier: Apache-2.0

// Package http2 reads HTTP/2 (RFC 9113) from both directions of a connection that somebody else talks on:
// one exchange per stream, and what gRPC puts on top.
//
// It is incremental (any split of the bytes gives the same exchanges) and tolerates missing bytes. After a
// gap, or on a connection that was joined in the middle, frames are found again only when that is certain
// (search.go), and field lines that refer to what was not seen are known to be unknown (hpack.go): a value is
// never guessed.
package http2

import (
	"sync/atomic"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// Options bound a Parser. The zero value is usable and keeps no payload.
type Options struct {
	// MaxBody is the number of content bytes kept per message; 64 KiB when 0.
	MaxBody int
	// MaxHeader is the largest field section in bytes, both encoded and decoded; 64 KiB when 0.
	MaxHeader int
	// MaxStreams is how many requests may be in flight; 1024 when 0.
	MaxStreams int
	// MaxHeld bounds the content kept of all exchanges in flight, in bytes; content beyond it is counted, not
	// kept. It bounds their field lines alike: no further request is then in flight. 4 MiB or four bodies when 0.
	MaxHeld int
	// MaxTable is the largest part of an HPACK dynamic table that is kept per direction, in bytes; 64 KiB when 0.
	MaxTable int
	// KeepPayload is false when no content is to be kept; sizes are counted all the same.
	KeepPayload bool
	// Joined is true for a connection whose beginning was not seen.
	Joined bool
	// Upgraded is the HTTP/1.1 exchange that ended with 101 to h2c: its request is also that of stream 1.
	Upgraded *l7.Exchange
	// OnContent is asked, at the first content of a response whose status is known, who watches it as it
	// comes; see http1.Options.
	OnContent func(*l7.Exchange) l7.Watcher
	// OnTunnel is asked, after the exchange of a stream that became a tunnel (2xx to CONNECT) was emitted, who reads
	// the tunnel. Nobody does when it is nil or returns nil.
	OnTunnel func(*l7.Exchange) l7.Stream
}

const (
	defaultMaxBody    = 64 << 10
	defaultMaxHeader  = 64 << 10
	defaultMaxStreams = 1024
	defaultMaxHeld    = 4 << 20
	defaultMaxTable   = 64 << 10
	// keepBuffer is the largest reassembly buffer a direction keeps between frames.
	keepBuffer = 8 << 10
	// maxSettings is as much of a SETTINGS frame as is read.
	maxSettings = 32 * 6
	// streamCost is about what an exchange in flight takes beside its field lines and content.
	streamCost = 1 << 10
	// maxPadding is what padding and priority may add to a fragment.
	maxPadding = 1 + 5 + 255
)

type state uint8

const (
	inPreface state = iota
	inHeader        // in a frame header
	inPayload       // in a frame's payload: remain bytes to come
	searching       // looking for a frame
)

// half is one direction.
type half struct {
	client bool
	state  state
	now    int64  // of the last Data
	pos    uint64 // behind the bytes that were looked at

	have     int // bytes of the preface or of header
	header   [headerLen]byte
	frame    frame
	framePos uint64 // of the frame's first byte
	frameAt  int64
	remain   int
	bin      *atomic.Uint64 // who accounts for the frame; nil for parts of a field block
	buf      []byte         // collected payload, when it comes in pieces
	collect  int            // how much of the payload is
	torn     bool           // part of the payload was not seen

	// In DATA frames.
	stream   *stream
	tunnel   *tunnel
	padKnown bool
	content  int // bytes of content to come

	block     fieldBlock
	table     dynamicTable
	scratch   []field
	settings  bool // the first frame was read: SETTINGS, by RFC 9113 §3.4
	maxFrame  int  // what the receiver allows; 0 when that was not seen
	everLost  bool
	why       string // reason of the latest loss
	seen      bool   // a frame was read
	finder    finder
	talkedNow bool // was the last to talk
}

// fieldBlock is a HEADERS or PUSH_PROMISE frame with its continuations.
type fieldBlock struct {
	open      bool
	push      bool
	endStream bool
	lost      bool // something of the direction was lost before it
	stream    uint32
	pos       uint64
	at        int64
	bytes     int // frame headers included
	fragment  []byte
	bad       string // why it cannot be read
}

// Parser implements l7.Stream for HTTP/2. It is not safe for concurrent use. The calls for both
// directions must come in the order in which the bytes were captured.
type Parser struct {
	opt   Options
	emit  func(*l7.Exchange)
	stats *Stats

	client, server half
	streams        map[uint32]*stream
	tunnelled      map[uint32]*tunnel
	lastID         uint32 // highest stream that the client opened
	sequence       uint32
	held           held
	keep           int // content bytes kept of messages that begin now
	closed         bool
}

var _ l7.Stream = (*Parser)(nil)

// New returns a parser for one connection. Each exchange given to emit belongs to the callee.
// stats may be shared by many parsers.
func New(opt Options, emit func(*l7.Exchange), stats *Stats) *Parser {
	for _, o := range []struct {
		v   *int
		def int
	}{
		{&opt.MaxBody, defaultMaxBody},
		{&opt.MaxHeader, defaultMaxHeader},
		{&opt.MaxStreams, defaultMaxStreams},
		{&opt.MaxTable, defaultMaxTable},
	} {
		if *o.v <= 0 {
			*o.v = o.def
		}
	}
	if opt.MaxHeld <= 0 {
		opt.MaxHeld = max(defaultMaxHeld, 4*opt.MaxBody)
	}
	keep := 0
	if opt.KeepPayload {
		keep = opt.MaxBody
	}
	p := &Parser{opt: opt, emit: emit, stats: stats, streams: map[uint32]*stream{}, keep: keep}
	p.client.client = true
	for _, h := range []*half{&p.client, &p.server} {
		h.state = inHeader
		h.table.bound = opt.MaxTable
		h.table.limit = min(firstTable, opt.MaxTable)
		h.maxFrame = firstMaxFrame
		if opt.Joined {
			h.state, h.maxFrame = searching, 0
			h.everLost, h.settings, h.why = true, true, l7.IncompleteGap
			h.table.lose()
		}
	}
	if !opt.Joined {
		p.client.state = inPreface
	}
	if x := opt.Upgraded; x != nil {
		p.upgrade(x)
	}
	return p
}

func (p *Parser) half(fromClient bool) *half {
	if fromClient {
		return &p.client
	}
	return &p.server
}

func (p *Parser) other(h *half) *half { return p.half(!h.client) }

// Data implements l7.Stream.
func (p *Parser) Data(fromClient bool, t int64, pos uint64, b []byte) {
	if p.closed || len(b) == 0 {
		return
	}
	p.stats.BytesIn.Add(uint64(len(b)))
	h := p.half(fromClient)
	h.now = t
	if !h.talkedNow {
		h.talkedNow, p.other(h).talkedNow = true, false
		h.finder.turn()
	}
	for len(b) > 0 {
		h.pos = pos
		n := p.step(h, pos, b)
		b, pos = b[n:], pos+uint64(n)
	}
}

// step consumes at least one byte of b, or changes the state, and returns the number of bytes consumed.
func (p *Parser) step(h *half, pos uint64, b []byte) int {
	switch h.state {
	case inPreface:
		return p.preface(h, pos, b)
	case inHeader:
		if h.have == 0 {
			h.framePos, h.frameAt = pos, h.now
		}
		n := copy(h.header[h.have:], b)
		h.have += n
		if h.have == headerLen {
			h.have = 0
			p.begin(h)
		}
		return n
	case inPayload:
		n := min(len(b), h.remain)
		if h.frame.kind == frameData && !h.padKnown {
			n = 1 // whether the others are content depends on it
		}
		h.remain -= n
		p.account(h, n)
		if !p.payload(h, pos, b[:n]) {
			p.lose(h, l7.IncompleteParse)
		} else if h.remain == 0 {
			p.end(h, b[:n], h.now)
		}
		return n
	default:
		n, found := h.finder.find(b, h.client, h.maxFrame)
		p.stats.skip(h.skipReason(), n)
		if found {
			p.found(h)
		}
		return n
	}
}

func (p *Parser) preface(h *half, pos uint64, b []byte) int {
	if h.have == 0 {
		if st := p.streams[1]; st != nil && p.opt.Upgraded != nil {
			st.Position = pos // it has no HEADERS frame
			st.requestDone = true
			p.settle(st)
		}
	}
	n := 0
	for ; n < len(b) && h.have < len(preface); n++ {
		if b[n] != preface[h.have] {
			p.lose(h, l7.IncompleteParse) // accounts for h.have
			return n
		}
		h.have++
	}
	if h.have == len(preface) {
		p.stats.skip(SkipControl, len(preface))
		h.have, h.state = 0, inHeader
	}
	return n
}

// begin is called when a frame header is whole.
func (p *Parser) begin(h *half) {
	f := parseFrame(h.header[:])
	h.frame = f
	if !f.valid() || !h.settings && (f.kind != frameSettings || f.has(flagAck)) ||
		h.block.open && (f.kind != frameContinuation || f.stream != h.block.stream) ||
		!h.block.open && f.kind == frameContinuation {
		p.stats.skip(SkipResync, headerLen)
		p.lose(h, l7.IncompleteParse)
		return
	}
	h.settings, h.seen = true, true
	h.state, h.remain, h.torn = inPayload, f.length, false
	h.buf, h.collect = h.buf[:0], 0
	h.bin = &p.stats.Skipped[SkipControl]
	switch f.kind {
	case frameData:
		h.stream = p.streams[f.stream]
		if h.stream != nil && h.stream.done(h.client) {
			h.stream = nil
		}
		h.padKnown, h.content = !f.has(flagPadded), f.length
		h.bin = p.binOf(f.stream, h.stream)
		if h.tunnel = p.tunnelled[f.stream]; h.tunnel != nil {
			h.bin = &p.stats.Skipped[SkipTunnel]
			if h.tunnel.done(h.client) {
				h.tunnel = nil
			}
		}
	case frameHeaders, framePushPromise:
		h.bin = nil
		h.block = fieldBlock{
			open: true, push: f.kind == framePushPromise, endStream: f.has(flagEndStream) && f.kind == frameHeaders,
			lost: h.everLost, stream: f.stream, pos: h.framePos, at: h.frameAt, fragment: h.block.fragment[:0],
		}
		p.collectFragment(h)
	case frameContinuation:
		h.bin = nil
		p.collectFragment(h)
	case frameRSTStream:
		h.collect = f.length
		h.bin = p.binOf(f.stream, p.streams[f.stream])
	case frameGoAway:
		h.collect = 8
	case frameSettings:
		h.collect = min(f.length, maxSettings)
	}
	p.account(h, headerLen)
	if h.remain == 0 {
		p.end(h, nil, h.now)
	}
}

// collectFragment has the frame's payload collected, unless the block is too large.
func (p *Parser) collectFragment(h *half) {
	if len(h.block.fragment)+h.frame.length > p.opt.MaxHeader+maxPadding && h.block.bad == "" {
		h.block.bad = l7.IncompleteHeader
	}
	if h.block.bad == "" {
		h.collect = h.frame.length
	}
}

func (p *Parser) binOf(id uint32, st *stream) *atomic.Uint64 {
	switch {
	case st != nil:
		return &p.stats.BytesMessage
	case id%2 == 0:
		return &p.stats.Skipped[SkipPush]
	}
	return &p.stats.Skipped[SkipUnmatched]
}

func (p *Parser) account(h *half, n int) {
	if h.bin != nil {
		h.bin.Add(uint64(n))
	} else {
		h.block.bytes += n
	}
}
