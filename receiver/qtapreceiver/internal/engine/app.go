// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http1"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// Reasons why a connection's requests are not visible.
const (
	reasonUnknownProtocol     = "unknown_protocol"     // not HTTP/1
	reasonProtocolUnsupported = "protocol_unsupported" // a protocol that is known, but not read yet
)

const (
	// maxUndecided bounds the bytes that are kept while the protocol is not clear: a request line
	// must be seen whole.
	maxUndecided = 32 << 10
	// chargeHeads is the most that a connection is charged beside its bodies.
	chargeHeads = 128 << 10
	// joinTries is how many runs of bytes of a connection that was joined in the middle may look
	// like nothing before it is given up.
	joinTries = 64
)

// application is what a connection carries: its protocols, found by content.
type application struct {
	c     *conn
	stack layer
	tls   *tls.Conn
	http1 *http1.Parser

	encrypted bool
	info      tls.Info
	protocol  string // network.protocol.name, "" while unknown
	version   string
	host      string // of the latest request
	opaque    bool
	reason    string // why requests are not visible

	tries int // runs of a connection whose opener is not known yet
	gone  bool
	// charge is what the connection is charged for the bytes that its parsers may hold: those fed
	// since its last exchange, up to what the caps let them keep.
	charge, maxCharge int
}

// run is one call of Data.
type run struct {
	dir event.Direction
	t   int64
	pos uint64
	b   []byte
}

// data takes the next bytes of one direction of the connection.
func (a *application) data(dir event.Direction, t int64, pos uint64, b []byte) {
	n := uint64(len(b))
	a.c.e.counts.protocolIn += n
	if a.gone || a.c.ignored || a.c.excluded {
		a.c.e.counts.dropProtocol(dropFiltered, n)
		return
	}
	if a.opaque {
		a.c.e.counts.dropProtocol(dropOpaque, n)
		return
	}
	if client, known := a.c.fromClient(dir); known {
		a.layer().Data(client, t, pos, b)
	} else {
		a.orient(run{dir, t, pos, b})
	}
	if a.opaque || a.gone || a.reason != "" {
		a.setCharge(0)
	} else {
		a.setCharge(min(a.charge+len(b), chargeHeads+a.maxCharge))
	}
}

// setCharge keeps the total of all connections.
func (a *application) setCharge(n int) {
	a.c.e.charged += n - a.charge
	a.charge = n
}

// orient finds out who opened a connection that was open before the capture began: the end
// that sends requests.
func (a *application) orient(r run) {
	known := false
	if tlsMatch, _ := tls.Sniff(r.b); tlsMatch {
		known = true
	} else if match, _ := http1.Sniff(r.b); match {
		known = true
	}
	if known {
		a.c.role = event.RoleServer
		if r.dir == event.Egress {
			a.c.role = event.RoleClient
		}
		if !a.c.e.wanted(a.c) {
			a.c.ignored = true
			a.c.e.counts.filtered++
			a.c.e.counts.dropProtocol(dropFiltered, uint64(len(r.b)))
			return
		}
		a.layer().Data(true, r.t, r.pos, r.b)
		return
	}
	a.c.e.counts.dropProtocol(dropOpaque, uint64(len(r.b)))
	if a.tries++; a.tries >= joinTries {
		a.setOpaque(reasonUnknownProtocol)
	}
}

func (a *application) gap(dir event.Direction, t int64, pos, n uint64) {
	if a.gone || a.opaque {
		return
	}
	if client, known := a.c.fromClient(dir); known {
		a.layer().Gap(client, t, pos, n)
	}
}

func (a *application) layer() *layer {
	a.stack.a = a
	return &a.stack
}

func (a *application) tick(now int64) {
	if a.tls != nil {
		a.tls.Tick(now)
	}
}

// waiting says that closing now would give up what a secret may yet open.
func (a *application) waiting() bool { return a.tls != nil && a.tls.Waiting() }

func (a *application) close(t int64, reset bool) {
	if a.gone {
		return
	}
	a.gone = true
	a.setCharge(0)
	a.layer().Close(t, reset)
}

// discard frees what was read without telling anybody: the connection is excluded or ignored,
// so what closing makes of it goes nowhere.
func (a *application) discard() { a.close(a.c.e.now, false) }

func (a *application) setOpaque(reason string) {
	a.opaque = true
	if a.reason == "" {
		a.reason = reason
	}
}

func (a *application) sni() string { return a.info.SNI }

// serverName is what the client called the server.
func (a *application) serverName() string {
	if a.info.SNI != "" {
		return a.info.SNI
	}
	return a.host
}

// visibility is "" while nothing can be said.
func (a *application) visibility() (string, string) {
	switch {
	case a.reason != "":
		return semantic.PayloadNotVisible, a.reason
	case a.protocol != "":
		return "visible", ""
	}
	return "", ""
}

func (a *application) putTLS(m pcommon.Map) {
	if !a.encrypted {
		return
	}
	m.PutBool(semantic.TLSEstablished, a.info.Version != "")
	putStr(m, semantic.TLSProtocolVersion, a.info.Version)
	putStr(m, semantic.TLSCipher, a.info.Cipher)
	putStr(m, semantic.TLSNextProtocol, a.info.ALPN)
	if a.info.Version != "" {
		m.PutBool(semantic.TLSResumed, a.info.Resumed)
	}
}

// layer finds the protocol of one byte stream and hands the bytes on: first the connection's,
// then the plaintext inside its TLS.
type layer struct {
	a      *application
	inside bool // of TLS
	next   l7.Stream
	opaque bool

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
		l.lose(uint64(len(b)))
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
	if !l.inside {
		match, more := tls.Sniff(l.first)
		if match {
			l.a.encrypted = true
			l.a.protocol = ""
			l.a.tls = l.a.newTLS()
			l.start(l.a.tls)
			return
		}
		if more && l.size < maxUndecided {
			return
		}
	}
	match, more := http1.Sniff(l.first)
	switch {
	case match:
		l.a.protocol = "http"
		l.start(l.a.newHTTP1())
	case more && l.size < maxUndecided:
	case l.a.c.books.PreExisting && client && l.tries < joinTries:
		// Joined in the middle of a message: the next one may begin with any later run.
		l.tries++
		l.drop()
		l.first = nil
	default:
		l.giveUp(reasonUnknownProtocol)
	}
}

func (l *layer) start(next l7.Stream) {
	l.next = next
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

// newHTTP1 returns a parser that emits the connection's exchanges.
func (a *application) newHTTP1() l7.Stream {
	opt := http1.Options{}
	if p := a.c.e.payloads.Load(); p != nil && p.MaxBody > 0 && !a.c.e.set.HeadersOnly {
		opt.MaxBody, opt.KeepPayload = p.MaxBody, true
		a.maxCharge = 2 * p.MaxBody
	}
	a.http1 = http1.New(opt, func(x *l7.Exchange) {
		a.version = x.Request.Version
		if host, _ := splitAuthority(x.Request.Get("Host")); host != "" {
			a.host = host
		}
		a.c.exchange(x)
		a.setCharge(0)
	}, &a.c.e.counts.http1)
	return a.http1
}

// plaintext is what a tls.Conn feeds.
type plaintext struct{ layer }

func (a *application) newTLS() *tls.Conn {
	p := &plaintext{layer{a: a, inside: true}}
	return tls.NewConn(a.c.e.keys, p, tls.Limits{}, &a.c.e.counts.tls)
}

// TLS implements tls.Sink: the handshake's facts, as far as they are in the clear or decrypted.
func (p *plaintext) TLS(i tls.Info) { p.a.info = i }

// NotVisible implements tls.Sink.
func (p *plaintext) NotVisible(reason string) {
	p.a.reason = reason
}

func newKeyStore() *tls.KeyStore { return tls.NewKeyStore(tls.KeyLimits{}) }
