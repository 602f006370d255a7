// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"slices"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// tunnel is a stream that became a connection of its own: after a 2xx to CONNECT (RFC 9113 §8.5), or to the
// extended CONNECT that opens a WebSocket (RFC 8441).
type tunnel struct {
	id                     uint32
	over                   l7.Stream // who reads it; nil: nobody
	clientDone, serverDone bool
}

func (t *tunnel) done(client bool) bool {
	if client {
		return t.clientDone
	}
	return t.serverDone
}

// tunnels says whether a response makes its stream a tunnel.
func (p *Parser) tunnels(st *stream, block fieldBlock) bool {
	return st.Request.Method == methodConnect && st.Incomplete == "" && !block.endStream && st.Response.Status >= 200 && st.Response.Status < 300
}

// openTunnel ends the exchange of a stream with its response, and hands on what follows.
func (p *Parser) openTunnel(st *stream, t int64) {
	p.stats.Tunnels.Add(1)
	tn := &tunnel{id: st.id, clientDone: st.requestDone}
	for _, m := range []*l7.Message{&st.Request, st.Response} {
		if !m.Complete {
			m.Complete, m.End = true, t
		}
	}
	c := &p.client
	inFrame := c.state == inPayload && c.frame.kind == frameData && c.frame.stream == st.id && c.stream == st
	st.requestDone, st.responseDone = true, true
	// What did not wait for the answer was taken for content.
	st.Request.Body, st.Request.BodySize, st.Request.Missing, st.Request.Truncated = nil, 0, 0, false
	p.settle(st)
	if p.tunnelled == nil {
		p.tunnelled = map[uint32]*tunnel{}
	}
	// The end of a tunnel may be lost in a gap: they are bounded, and what is past the bound belongs to no stream.
	if len(p.tunnelled) < p.opt.MaxStreams {
		if p.opt.OnTunnel != nil {
			tn.over = p.opt.OnTunnel(&st.Exchange)
		}
		p.tunnelled[st.id] = tn
	}
	if inFrame {
		c.tunnel, c.bin = tn, &p.stats.Skipped[SkipTunnel]
	}
	for _, e := range st.early {
		switch {
		case tn.over == nil:
		case e.b == nil:
			tn.over.Gap(true, e.t, e.pos, e.n)
		default:
			tn.over.Data(true, e.t, e.pos, e.b)
		}
	}
	st.early = nil
}

// maxEarly and maxEarlyRuns bound what is kept of a tunnel before its server has agreed.
const (
	maxEarly     = 16 << 10
	maxEarlyRuns = 256
)

// earlyRun is what a client sends before its CONNECT is answered: b, or a gap of n bytes.
type earlyRun struct {
	t   int64
	pos uint64
	b   []byte
	n   uint64
}

// early keeps what may turn out to be the beginning of a tunnel.
func (p *Parser) early(h *half, st *stream, pos uint64, b []byte, missing int) {
	if !h.client || st.Request.Method != methodConnect || st.Response != nil || len(b)+missing == 0 {
		return
	}
	if missing > 0 || st.earlySize+len(b) > maxEarly || len(st.early) > maxEarlyRuns {
		b, missing = nil, missing+len(b)
	}
	st.earlySize += len(b)
	st.held.content += len(b)
	p.held.content += len(b)
	if n := len(st.early); n > 0 {
		switch last := &st.early[n-1]; {
		case b == nil && last.b == nil:
			last.n += uint64(missing)
			return
		case b != nil && last.b != nil && last.pos+uint64(len(last.b)) == pos:
			last.b = append(last.b, b...)
			return
		}
	}
	e := earlyRun{t: h.now, pos: pos, n: uint64(missing)}
	if b != nil {
		e.b = append([]byte(nil), b...)
	}
	st.early = append(st.early, e)
}

// endTunnel ends one direction of a tunnel.
func (p *Parser) endTunnel(h *half, tn *tunnel) {
	if h.client {
		tn.clientDone = true
	} else {
		tn.serverDone = true
	}
	if tn.clientDone && tn.serverDone {
		p.closeTunnel(tn, h.now, false)
	}
}

func (p *Parser) closeTunnel(tn *tunnel, t int64, reset bool) {
	delete(p.tunnelled, tn.id)
	for _, h := range []*half{&p.client, &p.server} {
		if h.tunnel == tn {
			h.tunnel = nil
		}
	}
	if tn.over != nil {
		tn.over.Close(t, reset)
	}
}

// closeTunnels closes those whose stream is above last.
func (p *Parser) closeTunnels(last uint32, t int64, reset bool) {
	for _, tn := range p.openTunnels() {
		if tn.id > last {
			p.closeTunnel(tn, t, reset)
		}
	}
}

// tearTunnels says that it is not known what was sent in a direction.
func (p *Parser) tearTunnels(h *half) {
	h.tunnel = nil
	for _, tn := range p.openTunnels() {
		if tn.over != nil && !tn.done(h.client) {
			tn.over.Gap(h.client, h.now, h.pos, 0)
		}
	}
}

// openTunnels are the tunnels, oldest first.
func (p *Parser) openTunnels() []*tunnel {
	if len(p.tunnelled) == 0 {
		return nil
	}
	all := make([]*tunnel, 0, len(p.tunnelled))
	for _, tn := range p.tunnelled {
		all = append(all, tn)
	}
	slices.SortFunc(all, func(a, b *tunnel) int { return int(int64(a.id) - int64(b.id)) })
	return all
}
