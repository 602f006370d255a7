// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"slices"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// stream is an exchange in progress.
type stream struct {
	l7.Exchange
	response l7.Message
	rpc      l7.RPC
	counters [2]messageCounter // of the request, of the response
	id       uint32
	held     held // of Parser.held

	requestDone, responseDone bool // nothing more will come
	hole                      [2]bool
	keep                      [2]int // content bytes to keep of each message
	// unsure: a field block without a known status came, so Response may be an interim one.
	unsure bool

	early     []earlyRun // of a CONNECT
	earlySize int

	asked bool // who watches the response
	watch l7.Watcher
}

// held counts bytes that are kept.
type held struct{ content, fields int }

// side is the index of a direction in the arrays of a stream.
func (h *half) side() int {
	if h.client {
		return 0
	}
	return 1
}

func (st *stream) fail(reason string) {
	if st.Incomplete == "" {
		st.Incomplete = reason
	}
}

func (st *stream) done(client bool) bool {
	if client {
		return st.requestDone
	}
	return st.responseDone
}

// message is that of a direction; the response is there from its first sign on.
func (p *Parser) message(h *half, st *stream) *l7.Message {
	if h.client {
		return &st.Request
	}
	if st.Response == nil {
		st.keep[1] = p.keep
		st.response.Start = h.frameAt
		st.response.Version = "2"
		st.Response = &st.response
	}
	return st.Response
}

// open begins an exchange. It returns nil when too many are in flight: the exchange is emitted then.
func (p *Parser) open(id uint32, pos uint64) *stream {
	p.stats.Requests.Add(1)
	st := &stream{id: id}
	st.Position, st.Sequence = pos, p.sequence
	st.keep[0] = p.keep
	p.sequence++
	p.lastID = max(p.lastID, id)
	p.streams[id] = st
	if p.server.state == searching {
		// Its response may begin in what is not read.
		st.responseDone = true
		st.fail(p.server.why)
	}
	return st
}

// full says that no further exchange may be in flight.
func (p *Parser) full() bool {
	return len(p.streams) > p.opt.MaxStreams || p.held.fields > p.opt.MaxHeld
}

// content takes bytes of a message's content.
func (p *Parser) content(h *half, st *stream, b []byte) {
	if !h.client && st.Response == nil {
		st.fail(l7.IncompleteParse) // content without a header section
	}
	m, side := p.message(h, st), h.side()
	m.BodySize += uint64(len(b))
	if !h.client && p.opt.OnContent != nil && len(b) > 0 {
		if !st.asked && m.Status != 0 {
			st.asked = true
			st.watch = p.opt.OnContent(&st.Exchange)
		}
		if st.watch != nil {
			st.watch.Content(h.now, b)
		}
	}
	if st.RPC != nil && !st.hole[side] {
		st.counters[side].feed(b)
	}
	keep := 0
	if st.keep[side] > 0 && !st.hole[side] && !m.Truncated {
		keep = max(0, min(len(b), st.keep[side]-len(m.Body), p.opt.MaxHeld-p.held.content))
		m.Truncated = keep < len(b)
	}
	m.Body = append(m.Body, b[:keep]...)
	st.held.content += keep
	p.held.content += keep
	p.stats.BytesCut.Add(uint64(len(b) - keep))
}

// hole takes n bytes of content that were not seen.
func (p *Parser) hole(h *half, st *stream, n int) {
	m, side := p.message(h, st), h.side()
	m.BodySize += uint64(n)
	m.Missing += uint64(n)
	st.hole[side] = true
	if !h.client && st.watch != nil && n > 0 {
		st.watch.Missing(uint64(n))
	}
}

func (p *Parser) holdFields(st *stream, n int) {
	st.held.fields += n
	p.held.fields += n
}

// endMessage ends a direction of a stream; t is the time of its last byte, 0 when that was not seen.
func (p *Parser) endMessage(h *half, st *stream, t int64) {
	m := p.message(h, st)
	if !h.client && m.Status == 0 {
		st.fail(l7.IncompleteParse) // an end without a header section
	}
	m.Complete, m.End = true, t
	if h.client {
		st.requestDone = true
	} else {
		st.responseDone = true
		if st.Request.Method == methodConnect && !st.requestDone { // refused: there is nothing to send
			st.requestDone, st.Request.Complete, st.Request.End = true, true, t
		}
	}
	p.settle(st)
}

// settle emits st when nothing more is to come for it.
func (p *Parser) settle(st *stream) {
	if !st.requestDone || !st.responseDone || p.streams[st.id] != st {
		return
	}
	delete(p.streams, st.id)
	for _, h := range []*half{&p.client, &p.server} {
		if h.stream == st {
			h.stream = nil // its frame in progress has nobody to go to
		}
	}
	p.held.content -= st.held.content
	p.held.fields -= st.held.fields
	if st.RPC != nil {
		st.rpc.RequestMessages, st.rpc.ResponseMessages = st.counters[0].n, st.counters[1].n
		for side, n := range []*int{&st.rpc.RequestMessages, &st.rpc.ResponseMessages} {
			if st.hole[side] || st.Incomplete == l7.IncompleteGap {
				*n = -1
			}
		}
	}
	p.stats.Exchanges.Add(1)
	if st.Incomplete != "" {
		p.stats.Incomplete.Add(1)
	}
	p.emit(&st.Exchange)
}

// reset ends a stream by RST_STREAM from either side.
func (p *Parser) reset(id uint32, code uint32) {
	st := p.streams[id]
	if st == nil {
		if tn := p.tunnelled[id]; tn != nil {
			p.closeTunnel(tn, max(p.client.now, p.server.now), code != codeNo)
		}
		return
	}
	if !st.responseDone { // else the server only does not want the rest of the request (RFC 9113 §8.1)
		switch code {
		case codeCancel:
			st.fail(l7.IncompleteCancelled)
		case codeRefused:
			st.fail(l7.IncompleteRefused)
		default:
			st.fail(l7.IncompleteStreamReset)
		}
	}
	st.requestDone, st.responseDone = true, true
	p.settle(st)
}

// goAway ends the streams that the server will not look at.
func (p *Parser) goAway(last uint32) {
	for _, st := range p.inOrder() {
		if st.id > last {
			st.fail(l7.IncompleteGoAway)
			st.requestDone, st.responseDone = true, true
			p.settle(st)
		}
	}
	p.closeTunnels(last, p.server.now, true)
}

// inOrder are the streams in flight, oldest first.
func (p *Parser) inOrder() []*stream {
	if len(p.streams) == 0 {
		return nil
	}
	all := make([]*stream, 0, len(p.streams))
	for _, st := range p.streams {
		all = append(all, st)
	}
	slices.SortFunc(all, func(a, b *stream) int { return int(int64(a.Sequence) - int64(b.Sequence)) })
	return all
}

// upgrade opens stream 1 with a request that was made in HTTP/1.1. It is done with the client's preface,
// whose position is the exchange's: that of the request belongs to the exchange that asked for the upgrade.
func (p *Parser) upgrade(x *l7.Exchange) {
	p.sequence = x.Sequence + 1
	st := p.open(1, 0)
	st.Request = x.Request
	p.detectRPC(st)
	if st.RPC != nil {
		st.hole[0] = true // its messages were not counted
	}
}
