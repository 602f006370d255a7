// SPDX-License-Identifier: Apache-2.0

// Package http1 reads HTTP/1.0 and HTTP/1.1 (RFC 9110, RFC 9112) from both directions of a
// connection that somebody else talks on, and pairs requests with their responses.
//
// It is incremental (any split of the bytes gives the same exchanges), tolerates missing bytes,
// and never pairs a response with a request unless the order of the messages says so; see pair.go
// for what that means after a gap.
package http1

import (
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// Options bound a Parser. The zero value is usable and keeps no payload.
type Options struct {
	// MaxBody is the number of content bytes kept per message; DefaultMaxBody when 0.
	MaxBody int
	// MaxHeader is the largest header or trailer section in bytes, start line included; DefaultMaxBody when 0.
	MaxHeader int
	// MaxPending is how many requests may wait for their response; 128 when 0.
	MaxPending int
	// KeepPayload is false when no content is to be kept; sizes are counted all the same.
	KeepPayload bool
	// OnTunnel is asked, after the exchange that switched protocols (101, or 2xx to CONNECT) was
	// emitted, who reads the rest of the connection. Nobody does when it is nil or returns nil.
	OnTunnel func(*l7.Exchange) l7.Stream
	// OnContent is asked, when the header section of a response was read, who watches its content as it
	// comes. Nobody does when it is nil or returns nil. The exchange is still the parser's.
	OnContent func(*l7.Exchange) l7.Watcher
	// Joined says that the connection was open before its first byte seen here, in either direction.
	Joined bool
	// Waits says that the client is known to wait for its responses all the same: another Parser of the
	// connection has said so (Parser.Waits).
	Waits bool
}

// DefaultMaxBody is Options.MaxBody where none is said.
const DefaultMaxBody = 64 << 10

const (
	defaultMaxHeader  = 64 << 10
	defaultMaxPending = 128
	// maxChunkLine bounds a chunk-size line with its extensions.
	maxChunkLine = 8 << 10
	// keepBuffer is the largest reassembly buffer a connection keeps between messages.
	keepBuffer = 8 << 10
	// headerCost and exchangeCost are what a field line and an exchange take beside their bytes.
	headerCost, exchangeCost = 32, 1536
)

type state uint8

const (
	idle       state = iota // between messages
	head                    // in a start line or header section
	fixed                   // in content of known length: remain bytes to come
	untilClose              // in content that ends with the connection
	chunkSize               // in a chunk-size line
	chunkData               // in a chunk: remain bytes to come
	chunkEnd                // at the line end after a chunk
	trailer                 // in the trailer section
	lost                    // looking for a sure start of a message
	tunnel                  // another protocol
)

// half is one direction.
type half struct {
	client bool
	state  state
	// x is the exchange whose message is being received; nil between messages and for a response
	// that no request is known for. msg is that message within x.
	x   *exchange
	msg *l7.Message

	// buf collects what must be seen whole (header section, chunk-size line) when it comes in
	// pieces; sectionEnd has looked at the first scan bytes of it.
	buf  []byte
	scan int
	// startTime and startPos belong to the message's first byte, or to the first byte of buf when lost.
	startTime int64
	startPos  uint64
	now       int64 // of the last Data
	ended     int64 // when the latest whole message ended

	seen     bool // a head of this direction was read
	remain   uint64
	skip     uint64 // of the next bytes: so many are not wanted
	trailing int    // bytes of the trailer section so far
	keep     bool   // content is still to be kept
	watch    l7.Watcher

	// last is the text of the previous header section: clients repeat theirs to the byte.
	last string
}

// Parser implements l7.Stream for HTTP/1. It is not safe for concurrent use. The calls for both
// directions must come in the order in which the bytes were captured.
type Parser struct {
	opt   Options
	emit  func(*l7.Exchange)
	stats *Stats

	client, server half
	pairing
	over     l7.Stream // reads the tunnel
	closed   bool
	sequence uint32
}

var _ l7.Stream = (*Parser)(nil)

// New returns a parser for one connection. Each exchange given to emit belongs to the callee.
// stats may be shared by many parsers.
func New(opt Options, emit func(*l7.Exchange), stats *Stats) *Parser {
	if opt.MaxBody <= 0 {
		opt.MaxBody = DefaultMaxBody
	}
	if opt.MaxHeader <= 0 {
		opt.MaxHeader = defaultMaxHeader
	}
	if opt.MaxPending <= 0 {
		opt.MaxPending = defaultMaxPending
	}
	p := &Parser{opt: opt, emit: emit, stats: stats}
	p.client.client = true
	if opt.Joined {
		p.client.state, p.server.state = lost, lost
		p.lostCount(l7.IncompleteGap)
		p.needCycles, p.doubtful = true, doubt{joined: !opt.Waits, chance: 1, wait: -1, lastWait: -1}
	}
	return p
}

func (p *Parser) half(fromClient bool) *half {
	if fromClient {
		return &p.client
	}
	return &p.server
}

// Data implements l7.Stream.
func (p *Parser) Data(fromClient bool, t int64, pos uint64, b []byte) {
	if p.closed || len(b) == 0 {
		return
	}
	p.stats.BytesIn.Add(uint64(len(b)))
	h := p.half(fromClient)
	h.now = t
	if !fromClient {
		p.serverTalks()
	}
	for first := true; len(b) > 0; first = false {
		n := p.step(h, pos, b, first)
		b, pos = b[n:], pos+uint64(n)
	}
}

// step consumes at least one byte of b, or changes the state, and returns the number of bytes consumed.
func (p *Parser) step(h *half, pos uint64, b []byte, first bool) int {
	switch h.state {
	case idle:
		i := 0
		for i < len(b) && (b[i] == '\r' || b[i] == '\n') {
			i++ // RFC 9112 §2.2: empty lines before a request line are ignored
		}
		if i > 0 {
			p.stats.skip(SkipEmptyLine, i)
			return i
		}
		p.startMessage(h, h.now, pos)
		return 0
	case head:
		return p.head(h, b)
	case fixed, chunkData:
		n := len(b)
		if uint64(n) > h.remain {
			n = int(h.remain)
		}
		p.content(h, b[:n])
		h.remain -= uint64(n)
		p.advanced(h, h.now)
		return n
	case untilClose:
		p.content(h, b)
		return len(b)
	case chunkSize, chunkEnd, trailer:
		return p.line(h, b)
	case lost:
		return p.resync(h, pos, b, first)
	default: // tunnel
		p.stats.skip(SkipTunnel, len(b))
		if p.over != nil {
			p.over.Data(h.client, h.now, pos, b)
		}
		return len(b)
	}
}

// startMessage is called at the first byte of a message.
func (p *Parser) startMessage(h *half, t int64, pos uint64) {
	h.state, h.startTime, h.startPos = head, t, pos
	if h.client {
		h.x = p.begin(t, pos)
		h.msg = &h.x.Request
		return
	}
	h.x, h.msg = p.front(), nil
	if h.x != nil {
		h.msg = &h.x.response
	}
}

// Gap implements l7.Stream.
func (p *Parser) Gap(fromClient bool, t int64, pos uint64, n uint64) {
	if p.closed {
		return
	}
	p.stats.Gaps.Add(1)
	p.stats.BytesMissing.Add(n)
	h := p.half(fromClient)
	switch h.state {
	case tunnel:
		if p.over != nil {
			p.over.Gap(fromClient, t, pos, n)
		}
		return
	case fixed, chunkData, untilClose:
		if n == 0 {
			break
		}
		in := n
		if h.state != untilClose && in > h.remain {
			in = h.remain
		}
		p.missing(h, in)
		if h.state == untilClose {
			return
		}
		h.remain -= in
		p.advanced(h, 0)
		if in == n {
			if !fromClient && h.state == idle {
				p.overlapExplained()
			}
			return
		}
	}
	p.lose(h, l7.IncompleteGap)
}

// lose gives up the message in progress and looks for the next sure start.
func (p *Parser) lose(h *half, reason string) {
	if h.state == head {
		p.partialHead(h, h.buf, reason)
	} else {
		p.stats.skip(h.skipReason(), len(h.buf))
	}
	p.abandon(h, reason)
}

// abandon is lose for a head whose bytes are accounted for.
func (p *Parser) abandon(h *half, reason string) {
	h.resetBuf()
	if h.client {
		p.loseClient(reason)
	} else {
		p.loseServer(reason)
	}
	h.state = lost
}

// resync looks for a start line at the beginning of a run of data.
func (p *Parser) resync(h *half, pos uint64, b []byte, first bool) int {
	sniff := SniffResponse
	if h.client {
		sniff = sureRequest
	}
	if held := len(h.buf); held > 0 {
		h.buf = append(h.buf, b...)
		match, more := sniff(h.buf)
		switch {
		case match:
			run := h.buf
			h.buf = nil
			x := h.x
			p.startMessage(h, h.startTime, h.startPos)
			if !h.client { // pairs with what was waiting when its first byte came
				h.x, h.msg = x, nil
				if x != nil {
					h.msg = &x.response
				}
			}
			for pos := h.startPos; len(run) > 0; {
				n := p.step(h, pos, run, false)
				run, pos = run[n:], pos+uint64(n)
			}
			return len(b)
		case more:
			return len(b)
		}
		h.buf = h.buf[:held]
		p.dropCandidate(h)
	}
	if first {
		match, more := sniff(b)
		if match {
			p.startMessage(h, h.now, pos)
			return 0
		}
		if more {
			h.buf = append(h.buf[:0], b...)
			h.startTime, h.startPos = h.now, pos
			if !h.client {
				h.x = p.front()
			}
			return len(b)
		}
	}
	p.stats.skip(h.skipReason(), len(b))
	if !h.client {
		p.skippedServer()
	}
	return len(b)
}

// dropCandidate gives up what resync held as a possible start.
func (p *Parser) dropCandidate(h *half) {
	if len(h.buf) == 0 {
		return
	}
	p.stats.skip(h.skipReason(), len(h.buf))
	h.resetBuf()
	if !h.client {
		h.x = nil
		p.skippedServer()
	}
}

// Close implements l7.Stream.
func (p *Parser) Close(t int64, reset bool) {
	if p.closed {
		return
	}
	p.closed = true
	if p.over != nil {
		p.over.Close(t, reset)
	}
	if p.client.state == tunnel {
		return
	}
	reason := l7.IncompleteClosed
	if reset {
		reason = l7.IncompleteReset
	}
	if p.server.state == untilClose && !reset {
		p.finish(&p.server, p.server.now)
	}
	p.lose(&p.client, reason)
	p.lose(&p.server, reason)
}

// Keep sets how many content bytes are kept of each message that begins from now on; 0 keeps none.
func (p *Parser) Keep(maxBody int) {
	p.opt.KeepPayload = maxBody > 0
	if maxBody > 0 {
		p.opt.MaxBody = maxBody
	}
}

// Held is about how many bytes of memory the connection's messages in progress take.
func (p *Parser) Held() int {
	return p.held + p.unsettled*exchangeCost + cap(p.client.buf) + cap(p.server.buf)
}

// Responding calls f with the exchange whose response is being received, if there is one, and with who watches
// it, for f to change. The exchange is still the parser's.
func (p *Parser) Responding(f func(x *l7.Exchange, watch *l7.Watcher)) {
	if h := &p.server; h.x != nil && h.x.Response != nil && h.x.counted {
		f(&h.x.Exchange, &h.watch)
	}
}

// Pending returns the number of requests that are not emitted yet.
func (p *Parser) Pending() int { return p.unsettled }

// Waits says that the client has been seen to wait for its responses, from the start of the connection or for
// long enough, and never not to.
func (p *Parser) Waits() bool {
	return !p.pipelined && !p.overlap && !p.doubtful.joined && (p.opt.Waits || p.sequence >= provenCycles)
}

// Quiet says that both directions are between messages and that nothing is outstanding.
func (p *Parser) Quiet() bool {
	return p.client.state == idle && p.server.state == idle && p.unsettled == 0 && len(p.queue) == 0 && !p.desync
}

// Skippable returns how many of the next bytes of a direction this parser has no use for: content
// past the body cap (or all content, without KeepPayload). A Gap of up to as many bytes loses nothing but
// the time of the message's last byte.
func (p *Parser) Skippable(fromClient bool) uint64 {
	h := p.half(fromClient)
	if h.state != fixed && h.state != chunkData {
		return 0
	}
	if h.keep && h.msg != nil && len(h.msg.Body) < p.opt.MaxBody {
		return 0 // bytes that are still kept come first
	}
	if h.watch != nil && h.state == chunkData {
		return 0 // a stream goes on being watched
	}
	return h.remain
}

// Skip says that the next n bytes of a direction, which are Skippable, will not be shown as far as that can be helped:
// a Gap of them is none of the capture's.
func (p *Parser) Skip(fromClient bool, n uint64) { p.half(fromClient).skip = n }

func (h *half) resetBuf() {
	h.scan = 0
	if cap(h.buf) > keepBuffer {
		h.buf = nil
		return
	}
	h.buf = h.buf[:0]
}
