// SPDX-License-Identifier: Apache-2.0

package http1

import "github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"

// Pairing. HTTP/1 has no identifiers: the n-th final response answers the n-th request. As long
// as every byte that could hold the start of a message is known, a queue is all that is needed. When such
// bytes are missing (a gap outside content of known length, or bytes that cannot be read) the count is
// lost, "desync":
//
//   - requests that were seen before the client's gap are still answered in order;
//   - what waits for a server whose gap may have swallowed its response is emitted without one;
//   - requests that begin while in desync are emitted without a response ("lone"), responses that nobody
//     is known to have asked for are counted as unmatched.
//
// Pairing resumes at a request that begins while nothing is known to be outstanding and the server
// is not within a message, on a connection whose client was never seen to send a request before the
// previous response had ended ("pipelined"): for such a client, whatever was swallowed has been answered
// by then. Unless only the response in progress was lost, provenCycles whole cycles (request, exactly one
// response, next request) in a row must have shown that first. A pipelining client's connection never resumes.
//
// That a client waits is known of a connection that was followed from its start. What bytes alone cannot tell
// is whether it began to pipeline within the gap, and alternates strictly from then on.
//
// Of a connection that is joined in the middle (Options.Joined) that is not known. A client that keeps two
// requests in flight, each in a packet of its own, in strict alternation with the responses, sends and gets the
// same bytes and acknowledgements as one that waits, for ever: no order of messages tells them apart. Time does,
// see doubt.go. Until then no request of it has a response.

// provenCycles is longer than the bursts that pipelining clients send without waiting are wont to look
// like alternation.
const provenCycles = 3

// exchange is an exchange in progress. Everything that is emitted is one allocation, but for the
// text of the header sections and the bodies.
type exchange struct {
	l7.Exchange
	response l7.Message
	fields   [20]l7.Header // first those of the request, used of them, then those of the response
	used     int
	held     int // bytes of content and header sections in it

	counted                   bool // its request line was read
	requestDone, responseDone bool // nothing more will come
	lone                      bool // gets no response (any more)
	emitted                   bool
}

func (x *exchange) fail(reason string) {
	if x.Incomplete == "" {
		x.Incomplete = reason
	}
}

type pairing struct {
	// queue holds the requests whose final response has not started, oldest first.
	queue     []*exchange
	unsettled int
	held      int // Σ held of what is not emitted

	desync    bool
	why       string // reason of the desync
	pipelined bool
	// overlap: a request began while something was outstanding, and nothing of the server has come
	// since. If bytes come, the client pipelines; if a gap is reported, that may explain it (gaps are
	// reported with the data after them).
	overlap bool
	// needCycles: provenCycles must be seen before pairing resumes; cycles is how many just were.
	// finals counts the final responses since the last request began; clientKnown and serverKnown say
	// that no bytes were lost since.
	needCycles, clientKnown, serverKnown bool
	cycles, finals                       int
	// lastBegin is when the last request began.
	lastBegin int64
	// unmatchedAt is when the last unmatched response began, finalAt when the last final one did.
	unmatchedAt, finalAt int64
	doubtful             doubt
}

// begin is called at the first byte of a request.
func (p *Parser) begin(t int64, pos uint64) *exchange {
	x := &exchange{}
	x.Position = pos
	s := &p.server
	talking := s.state != idle && s.state != lost || len(s.buf) > 0
	whole := p.clientKnown && p.serverKnown && p.finals == 1 && s.state == idle
	if whole {
		p.cycles++
	} else {
		p.cycles = 0
	}
	p.doubtful.cycle(whole, p.client.ended, p.finalAt, s.ended, t)
	quiet := len(p.queue) == 0 && !talking
	switch {
	case p.sequence > 0 && t == p.lastBegin:
		p.pipelined = true // two requests in one packet: the second did not wait
	case p.finals > 1 && p.clientKnown:
		p.pipelined = true // more than one request was waiting
	}
	switch {
	case talking && s.x == nil && len(p.queue) == 0:
		// The unmatched response was for another method (HEAD has no content), or the client
		// pipelines: either way its end is not known.
		p.stats.skip(SkipUnmatched, len(s.buf))
		s.resetBuf()
		s.state = lost
		p.lostCount(l7.IncompleteGap)
		p.needCycles = true
	case !quiet, p.clientKnown && p.serverKnown && p.finals == 0: // the latter: a lone request waits
		p.overlap = true
	}
	if t < p.unmatchedAt { // that response may be this request's: the directions are out of order
		p.lostCount(l7.IncompleteGap)
		p.pipelined = true
	}
	if p.desync && quiet && !p.pipelined && !p.doubtful.joined && (!p.needCycles || p.cycles >= provenCycles) {
		p.desync, p.needCycles = false, false
		p.stats.Resyncs.Add(1)
	}
	if !p.desync && len(p.queue) >= p.opt.MaxPending {
		p.lostCount(l7.IncompletePending)
		p.pipelined = true
	}
	p.finals, p.clientKnown, p.serverKnown, p.lastBegin = 0, true, true, t
	if p.desync {
		x.lone = true
		x.Incomplete = p.why
		p.needCycles = true
		return x
	}
	p.queue = append(p.queue, x)
	return x
}

// lostCount is called when the order alone does not tell any more which response answers which request.
func (p *Parser) lostCount(reason string) {
	if !p.desync && !p.closed {
		p.stats.Desyncs.Add(1)
	}
	if !p.desync {
		p.desync, p.why = true, reason
	}
}

// count makes x a started request.
func (p *Parser) count(x *exchange) {
	x.counted = true
	x.Sequence = p.sequence
	p.sequence++
	p.unsettled++
	p.stats.Requests.Add(1)
}

// front is the request that the next response answers, or nil.
func (p *Parser) front() *exchange {
	if len(p.queue) == 0 {
		return nil
	}
	return p.queue[0]
}

// answers is called when the server's final response has been recognized; it returns the method
// it answers, "" when unknown.
func (p *Parser) answers(h *half) (method string) {
	p.finals++
	p.finalAt = h.startTime
	x := h.x
	if x == nil {
		p.stats.Unmatched.Add(1)
		p.unmatchedAt = h.startTime
		p.lostCount(l7.IncompleteGap)
		p.needCycles = true
		return ""
	}
	p.dequeue(x)
	if !x.counted { // answered before its header section ended
		line, _ := cutLine(string(p.client.buf[:min(len(p.client.buf), 2*maxMethod)]))
		for i := 0; i < len(line); i++ {
			if line[i] == ' ' {
				return line[:i]
			}
		}
	}
	return x.Request.Method
}

// hold counts n bytes that x keeps until it is emitted.
func (p *Parser) hold(x *exchange, n int) {
	x.held += n
	p.held += n
}

func (p *Parser) dequeue(x *exchange) {
	for i, q := range p.queue {
		if q == x {
			n := copy(p.queue[i:], p.queue[i+1:]) + i
			p.queue[n] = nil
			p.queue = p.queue[:n]
			return
		}
	}
}

// settle emits x when nothing more is to come for it.
func (p *Parser) settle(x *exchange) {
	if x.emitted || !x.requestDone || !x.responseDone && !x.lone {
		return
	}
	x.emitted = true
	p.unsettled--
	p.held -= x.held
	p.stats.Exchanges.Add(1)
	if x.Incomplete != "" {
		p.stats.Incomplete.Add(1)
	}
	p.emit(&x.Exchange)
}

// loseClient is called when bytes of the client cannot be read: any number of requests may be in them.
func (p *Parser) loseClient(reason string) {
	h := &p.client
	if h.x != nil && !h.x.counted && !h.seen {
		reason = l7.IncompleteGap // joined in the middle
	}
	p.lostCount(reason)
	p.needCycles, p.clientKnown = true, false
	x := h.x
	h.x, h.msg = nil, nil
	if x == nil {
		return
	}
	if !x.counted { // it was no request
		p.held -= x.held // of a response that came all the same
		p.dequeue(x)
		if p.server.x == x {
			p.server.x, p.server.msg = nil, nil
		}
		return
	}
	x.fail(reason)
	x.requestDone = true
	p.settle(x)
}

// loseServer is called when bytes of the server cannot be read: any number of responses may be in them.
func (p *Parser) loseServer(reason string) {
	h := &p.server
	if h.x == nil && !h.seen && !p.closed {
		reason = l7.IncompleteGap // joined in the middle
	}
	p.lostCount(reason)
	p.serverKnown = false
	if x := h.x; x != nil {
		p.dequeue(x)
		p.leave(x, reason)
	}
	h.x, h.msg = nil, nil
	if p.overlap || len(p.queue) > 0 || p.sequence == 0 {
		p.overlap, p.needCycles = false, true
	}
	p.leaveAll(reason)
}

// leave gives up waiting for x's response.
func (p *Parser) leave(x *exchange, reason string) {
	x.fail(reason)
	x.lone = true
	p.settle(x)
}

func (p *Parser) leaveAll(reason string) {
	for i, x := range p.queue {
		p.queue[i] = nil
		p.leave(x, reason)
	}
	p.queue = p.queue[:0]
}

// serverTalks is called when bytes of the server come.
func (p *Parser) serverTalks() {
	if p.overlap {
		p.overlap, p.pipelined = false, true
	}
}

// overlapExplained is called when a response turned out to have ended within a gap.
func (p *Parser) overlapExplained() {
	if len(p.queue) <= 1 {
		p.overlap = false
	}
}

// skippedServer is called when bytes of the server were skipped: the response of what waits may
// have started in them.
func (p *Parser) skippedServer() {
	p.serverKnown = false
	if len(p.queue) > 0 {
		p.loseServer(l7.IncompleteGap)
	}
}

// switchProtocol ends HTTP on the connection with the response in progress.
func (p *Parser) switchProtocol(h *half) {
	p.stats.Tunnels.Add(1)
	c := &p.client
	var early []byte // bytes after the request that waited to become a message
	t, pos := c.startTime, c.startPos
	if c.state == head || c.state == lost {
		early = c.buf
	} else {
		p.stats.skip(SkipResync, len(c.buf))
	}
	c.buf, c.scan = nil, 0
	if c.x != nil {
		p.loseClient(l7.IncompleteParse)
	}
	x := h.x
	p.finish(h, h.now)
	p.leaveAll(l7.IncompleteParse)
	c.state, h.state = tunnel, tunnel
	if x != nil && p.opt.OnTunnel != nil {
		p.over = p.opt.OnTunnel(&x.Exchange)
	}
	if len(early) > 0 {
		p.stats.skip(SkipTunnel, len(early))
		if p.over != nil {
			p.over.Data(true, t, pos, early)
		}
	}
}
