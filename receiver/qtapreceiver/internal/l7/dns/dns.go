// SPDX-License-Identifier: Apache-2.0

// Package dns reads DNS messages (RFC 1035), over UDP and TCP, and pairs queries with their responses.
package dns

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// maxAnswers bounds the resource records that are looked at in one message.
const maxAnswers = 64

// Message is what is read of a DNS message with one question, as all queries in use have.
type Message struct {
	ID       uint16
	Response bool
	// Name is the question's, lower-case, without the root's dot ("." for the root itself). Type is
	// its type's mnemonic: "A", "AAAA", "TYPE65".
	Name, Type string
	// Code is the response code's mnemonic: "NOERROR", "NXDOMAIN".
	Code string
	// Truncated: the rest is to be asked for over TCP.
	Truncated bool
	// Answers is the number of answer records; Addresses are those that belong to the name, at the
	// end of its aliases.
	Answers   int
	Addresses []netip.Addr
}

// Parse reads a whole message. It reports false for what is none: a query with answers, another
// operation than QUERY, other than one question, a record that is cut (unless Truncated).
func Parse(b []byte) (Message, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || h.OpCode != 0 || b[4] != 0 || b[5] != 1 || !h.Response && (b[6]|b[7]) != 0 {
		return Message{}, false
	}
	q, err := p.Question()
	if err != nil || p.SkipAllQuestions() != nil {
		return Message{}, false
	}
	m := Message{ID: h.ID, Response: h.Response, Truncated: h.Truncated, Name: name(q.Name), Type: typeName(q.Type)}
	if m.Name == "" {
		return Message{}, false
	}
	if !h.Response {
		return m, true
	}
	m.Code = codeName(h.RCode)
	at := m.Name // follows the aliases, which come in order
	for range maxAnswers {
		r, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return m, true
		}
		if err != nil {
			return m, h.Truncated
		}
		m.Answers++
		if r.Class != dnsmessage.ClassINET || name(r.Name) != at {
			err = p.SkipAnswer()
		} else {
			err = m.answer(&p, r.Type, &at)
		}
		if err != nil {
			return m, h.Truncated
		}
	}
	return m, true
}

func (m *Message) answer(p *dnsmessage.Parser, t dnsmessage.Type, at *string) error {
	switch t {
	case dnsmessage.TypeCNAME:
		r, err := p.CNAMEResource()
		if err == nil {
			*at = name(r.CNAME)
		}
		return err
	case dnsmessage.TypeA:
		r, err := p.AResource()
		if err == nil {
			m.Addresses = append(m.Addresses, netip.AddrFrom4(r.A))
		}
		return err
	case dnsmessage.TypeAAAA:
		r, err := p.AAAAResource()
		if err == nil {
			m.Addresses = append(m.Addresses, netip.AddrFrom16(r.AAAA))
		}
		return err
	}
	return p.SkipAnswer()
}

func name(n dnsmessage.Name) string {
	s := strings.ToLower(n.String())
	if len(s) > 1 {
		s = strings.TrimSuffix(s, ".")
	}
	return s
}

func typeName(t dnsmessage.Type) string {
	s := t.String()
	if strings.HasPrefix(s, "Type") {
		return s[len("Type"):]
	}
	switch t {
	case 64:
		return "SVCB"
	case 65:
		return "HTTPS"
	}
	return "TYPE" + s // RFC 3597
}

var codes = map[dnsmessage.RCode]string{
	dnsmessage.RCodeSuccess: "NOERROR", dnsmessage.RCodeFormatError: "FORMERR", dnsmessage.RCodeServerFailure: "SERVFAIL",
	dnsmessage.RCodeNameError: "NXDOMAIN", dnsmessage.RCodeNotImplemented: "NOTIMP", dnsmessage.RCodeRefused: "REFUSED",
}

func codeName(c dnsmessage.RCode) string {
	if s := codes[c]; s != "" {
		return s
	}
	return "RCODE" + c.String()
}

// Exchange is a query, its response, or both.
type Exchange struct {
	Query, Response *Message // one may be nil
	// Start and End are Unix nanoseconds; 0 when that message was not seen.
	Start, End int64
}

// Matcher pairs the queries of one connection or socket with their responses, by id and question.
type Matcher struct {
	pending []pending
}

type pending struct {
	m Message
	t int64
}

// maxPending bounds the queries that wait for a response.
const maxPending = 64

// Message takes a message and returns what it completes: nothing for a query, unless another had
// to be given up for it. A response that nobody asked for is an exchange without a query.
func (x *Matcher) Message(m Message, t int64) (Exchange, bool) {
	if m.Response {
		for i := range x.pending {
			if p := &x.pending[i]; p.m.ID == m.ID && p.m.Name == m.Name && p.m.Type == m.Type {
				q, start := p.m, p.t
				x.pending = append(x.pending[:i], x.pending[i+1:]...)
				return Exchange{Query: &q, Response: &m, Start: start, End: t}, true
			}
		}
		return Exchange{Response: &m, End: t}, true
	}
	for i := range x.pending {
		if p := &x.pending[i]; p.m.ID == m.ID && p.m.Name == m.Name && p.m.Type == m.Type {
			return Exchange{}, false // asked again
		}
	}
	var given Exchange
	full := len(x.pending) == maxPending
	if full {
		given, _ = x.Expire(x.pending[0].t)
	}
	x.pending = append(x.pending, pending{m, t})
	return given, full
}

// Expire returns the oldest query when it was asked at or before time t.
func (x *Matcher) Expire(t int64) (Exchange, bool) {
	if len(x.pending) == 0 || x.pending[0].t > t {
		return Exchange{}, false
	}
	p := x.pending[0]
	x.pending = append(x.pending[:0], x.pending[1:]...)
	return Exchange{Query: &p.m, Start: p.t}, true
}

// Pending is the number of queries that wait.
func (x *Matcher) Pending() int { return len(x.pending) }
