// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"strconv"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

const methodConnect = "CONNECT"

// section is a field section, sorted out.
type section struct {
	method, path, scheme, authority string
	status                          int
	protocol                        string // RFC 8441
	pseudo                          bool   // a pseudo-header is known
	malformed                       bool   // RFC 9113 §8.3
	unknown                         int
	headers                         []l7.Header
	size                            int
}

// sort takes pseudo-headers out of a field section. Those that are not known are among the unknown.
func (p *Parser) sort(fields []field) (s section) {
	regular := 0
	for i := range fields {
		f := &fields[i]
		switch {
		case !f.nameKnown || !f.valueKnown:
			s.unknown++
		case len(f.name) > 0 && f.name[0] == ':':
			s.malformed = s.malformed || regular > 0
			s.take(f)
		default:
			regular++
		}
		s.size += f.size()
	}
	p.stats.UnknownFields.Add(uint64(s.unknown))
	if regular == 0 && s.authority == "" && s.protocol == "" {
		return s
	}
	// `:authority` stands for Host, and goes before one that differs (RFC 9113 §8.3.1).
	s.headers = make([]l7.Header, 0, regular+2)
	if s.protocol != "" {
		s.headers = append(s.headers, l7.Header{Name: ":protocol", Value: s.protocol}) // no field says the same
	}
	if s.authority != "" {
		s.headers = append(s.headers, l7.Header{Name: "host", Value: s.authority})
	}
	for i := range fields {
		f := &fields[i]
		if !f.nameKnown || !f.valueKnown || len(f.name) > 0 && f.name[0] == ':' {
			continue
		}
		if f.name == "host" && f.value == s.authority {
			continue
		}
		s.headers = append(s.headers, l7.Header{Name: f.name, Value: f.value})
	}
	return s
}

func (s *section) take(f *field) {
	s.pseudo = true
	var to *string
	switch f.name {
	case ":method":
		to = &s.method
	case ":path":
		to = &s.path
	case ":scheme":
		to = &s.scheme
	case ":authority":
		to = &s.authority
	case ":protocol":
		to = &s.protocol
	case ":status":
		n, err := strconv.ParseUint(f.value, 10, 16)
		if err != nil || len(f.value) != 3 || n < 100 || s.status != 0 {
			s.malformed = true
			return
		}
		s.status = int(n)
		return
	default:
		s.malformed = true
		return
	}
	if *to != "" {
		s.malformed = true
		return
	}
	*to = f.value
}

// request takes a field block of the client: a request's header or trailer section. It returns false
// when it belongs to no exchange.
func (p *Parser) request(h *half, block fieldBlock, fields []field, t int64) bool {
	st := p.streams[block.stream]
	switch {
	case st != nil && st.requestDone, st == nil && block.stream <= p.lastID:
		return false
	case st != nil:
		p.trailers(h, st, block, p.sort(fields), t)
		return true
	}
	s := p.sort(fields)
	if !s.pseudo && block.lost {
		return false // the trailers of a request that was not seen
	}
	st = p.open(block.stream, block.pos)
	m := &st.Request
	m.Start, m.Version = block.at, "2"
	m.Method, m.Target, m.Scheme, m.Headers = s.method, s.path, s.scheme, s.headers
	m.UnknownFields, m.Protocol = s.unknown, s.protocol
	if s.method == methodConnect && (s.path == "" || s.authority != "" && s.scheme == "") {
		m.Target = s.authority
	}
	switch {
	case block.bad != "":
		st.fail(block.bad)
	case s.malformed || s.status != 0:
		st.fail(l7.IncompleteParse)
	case m.Method == "" || m.Target == "":
		if s.unknown > 0 {
			st.fail(l7.IncompleteFields)
		} else {
			st.fail(l7.IncompleteParse)
		}
	}
	p.detectRPC(st)
	p.holdFields(st, s.size)
	if p.full() {
		st.fail(l7.IncompletePending)
		st.requestDone, st.responseDone = true, true
		p.settle(st)
		return true
	}
	if block.endStream {
		p.endMessage(h, st, t)
	}
	return true
}

// response takes a field block of the server: an interim or final response's header section, or its trailers.
func (p *Parser) response(h *half, block fieldBlock, fields []field, t int64) bool {
	st := p.streams[block.stream]
	if st == nil || st.responseDone {
		return false
	}
	s := p.sort(fields)
	switch {
	case s.status >= 100 && s.status < 200 && block.bad == "":
		st.Interim++
		if block.endStream {
			st.fail(l7.IncompleteParse)
			p.endMessage(h, st, t)
		}
		return true
	case st.Response == nil || st.unsure && s.status != 0:
		if st.unsure { // what came before was an interim response
			st.unsure = false
			st.response, st.Response = l7.Message{}, nil
			st.Interim++
		}
		m := p.message(h, st)
		m.Start, m.Status, m.Headers, m.UnknownFields = block.at, s.status, s.headers, s.unknown
		switch {
		case block.bad != "":
			st.fail(block.bad)
			st.unsure = !block.endStream
		case s.malformed:
			st.fail(l7.IncompleteParse)
		case m.Status == 0 && s.unknown > 0:
			st.fail(l7.IncompleteFields)
			st.unsure = !block.endStream
		case m.Status == 0:
			st.fail(l7.IncompleteParse)
		}
		if st.RPC == nil && isGRPC(m.Get("content-type")) && !st.hole[1] {
			// The request's own content-type is not known, nor how many messages it had.
			st.RPC, st.hole[0] = &st.rpc, true
		}
		p.holdFields(st, s.size)
		switch {
		case block.endStream:
			p.endMessage(h, st, t)
		case p.tunnels(st, block):
			p.openTunnel(st, t)
		}
	case st.unsure && s.unknown > 0 && st.Response.BodySize == 0:
		// A final response, or the trailers of one: where its field lines belong is not known.
		st.Response.UnknownFields += s.unknown + len(s.headers)
		if block.endStream {
			p.endMessage(h, st, t)
		}
	default:
		p.trailers(h, st, block, s, t)
	}
	return true
}

// trailers takes the field block that ends a message.
func (p *Parser) trailers(h *half, st *stream, block fieldBlock, s section, t int64) {
	m := p.message(h, st)
	m.UnknownFields += s.unknown
	switch {
	case block.bad != "":
		st.fail(block.bad)
	case s.pseudo || !block.endStream: // RFC 9113 §8.1
		st.fail(l7.IncompleteParse)
	}
	m.Trailers = append(m.Trailers, s.headers...)
	p.holdFields(st, s.size)
	if block.endStream {
		p.endMessage(h, st, t)
	}
}

func (p *Parser) detectRPC(st *stream) {
	if isGRPC(st.Request.Get("content-type")) {
		st.RPC = &st.rpc
	}
}
