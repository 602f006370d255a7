// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/dns"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http1"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http2"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// layer finds the protocol of one byte stream and hands the bytes on: first the connection's,
// then the plaintext inside its TLS, then what a tunnel carries.
type layer struct {
	a      *application
	inside bool // of another layer's protocol, whose books have the bytes already
	clear  bool // within TLS: it is not looked for again
	late   bool // its first bytes are not those of what is inside
	next   l7.Stream
	opaque bool
	// turns is how many more runs of the client are looked at: a protocol that is not known may turn to TLS.
	turns int

	// While undecided, in the order in which they came.
	held  []heldRun
	size  int
	first []byte // the client's first bytes
	tries int
}

type heldRun struct {
	client, gap bool
	t           int64
	pos, n      uint64
	b           []byte
}

var _ l7.Stream = (*layer)(nil)

// Data implements l7.Stream.
func (l *layer) Data(client bool, t int64, pos uint64, b []byte) {
	c := &l.a.c.e.counts
	if l.next != nil {
		if !l.inside {
			c.protocolOut += uint64(len(b))
		}
		l.next.Data(client, t, pos, b)
		return
	}
	if l.opaque {
		if l.turn(client, b) {
			l.Data(client, t, pos, b)
		} else {
			l.lose(uint64(len(b)))
		}
		return
	}
	l.keep(heldRun{client: client, t: t, pos: pos, b: append([]byte(nil), b...)})
	if client {
		l.first = append(l.first, b...)
	}
	l.decide(client)
}

// Gap implements l7.Stream.
func (l *layer) Gap(client bool, t int64, pos, n uint64) {
	switch {
	case l.next != nil:
		l.next.Gap(client, t, pos, n)
	case l.opaque:
	default:
		l.keep(heldRun{client: client, gap: true, t: t, pos: pos, n: n})
		if client {
			l.first = nil // a start that follows a gap is looked at afresh
		}
	}
}

// Close implements l7.Stream.
func (l *layer) Close(t int64, reset bool) {
	if l.next != nil {
		l.next.Close(t, reset)
		return
	}
	l.giveUp("")
}

func (l *layer) keep(r heldRun) {
	l.held = append(l.held, r)
	l.size += len(r.b) + 64
	if !l.inside {
		l.a.c.e.counts.protocolHeld += uint64(len(r.b))
	}
}

// decide looks at the client's first bytes: every protocol read here lets the client speak first.
func (l *layer) decide(client bool) {
	if !l.clear {
		match, more := tls.Sniff(l.first)
		if match {
			l.startTLS()
			return
		}
		if more && l.size < maxUndecided {
			return
		}
	}
	match, more := http1.Sniff(l.first)
	match2, more2 := http2.Sniff(l.first)
	dnsMatch, dnsMore := dns.Sniff(l.first)
	more = more || more2 || dnsMore
	joined := l.late || !l.inside && l.a.c.joined()
	switch {
	case dnsMatch && !joined:
		l.start(l.a.newDNS())
	case match2:
		l.a.protocol = "http"
		l.start(l.a.newHTTP2(http2.Options{}))
	case joined && client && http2.SniffJoined(l.first):
		l.a.protocol = "http"
		l.start(l.a.newHTTP2(http2.Options{Joined: true}))
	case match:
		l.a.protocol = "http"
		// Requests may have been sent, and responses begun, before the first byte seen here.
		l.start(l.a.newHTTP1(joined))
	case more && l.size < maxUndecided:
	case l.a.c.joined() && client && l.tries < joinTries:
		// Joined in the middle of a message: the next one may begin with any later run.
		l.tries++
		l.drop()
		l.first = nil
	default:
		l.unknown()
	}
}

// maxTurns bounds where TLS is looked for in a protocol that is not known: the dialogue before it is short.
const maxTurns = 32

// unknown gives up the protocol, but for TLS later on: SMTP, IMAP, PostgreSQL and others begin in the clear and turn to TLS
// when both ends have agreed (STARTTLS). None of their dialogues need be known to see the ClientHello.
func (l *layer) unknown() {
	if l.clear {
		l.giveUp(reasonUnknownProtocol)
		return
	}
	l.drop()
	l.opaque, l.first, l.turns = true, nil, maxTurns
	if l.a.reason == "" {
		l.a.reason = reasonUnknownProtocol
	}
}

// turn says whether TLS begins with a run of a protocol that is not known.
func (l *layer) turn(client bool, b []byte) bool {
	if l.turns == 0 || !client {
		return false
	}
	if !tls.SniffHello(b) {
		if l.turns--; l.turns == 0 {
			l.a.setOpaque(reasonUnknownProtocol)
		}
		return false
	}
	l.turns, l.opaque = 0, false
	l.a.reason = ""
	l.startTLS()
	return true
}

func (l *layer) startTLS() {
	l.a.encrypted, l.a.open = true, false
	l.a.protocol = ""
	c := l.a.newTLS()
	l.a.tls = append(l.a.tls, c)
	l.start(c)
}

func (l *layer) start(next l7.Stream) {
	l.next = next
	if !l.inside && !l.a.encrypted {
		l.a.named = true // nobody is asked for
	}
	held := l.held
	c := &l.a.c.e.counts
	l.held, l.first, l.size = nil, nil, 0
	for _, r := range held {
		if r.gap {
			next.Gap(r.client, r.t, r.pos, r.n)
			continue
		}
		if !l.inside {
			c.protocolHeld -= uint64(len(r.b))
			c.protocolOut += uint64(len(r.b))
		}
		next.Data(r.client, r.t, r.pos, r.b)
	}
}

// drop forgets what is held.
func (l *layer) drop() {
	for _, r := range l.held {
		if !l.inside {
			l.a.c.e.counts.protocolHeld -= uint64(len(r.b))
		}
		l.lose(uint64(len(r.b)))
	}
	l.held, l.size = nil, 0
}

func (l *layer) giveUp(reason string) {
	l.drop()
	l.opaque = true
	l.first = nil
	if reason != "" {
		l.a.setOpaque(reason)
	}
}

// lose books bytes nobody reads.
func (l *layer) lose(n uint64) {
	if l.inside {
		l.a.c.e.counts.plaintextOpaque += n
	} else {
		l.a.c.e.counts.dropProtocol(dropOpaque, n)
	}
}
