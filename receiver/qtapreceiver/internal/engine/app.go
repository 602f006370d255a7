// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http1"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http2"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// Reasons why a connection's requests are not visible.
const (
	reasonUnknownProtocol     = "unknown_protocol"     // neither HTTP/1 nor HTTP/2
	reasonProtocolUnsupported = "protocol_unsupported" // a protocol that is known, but not read yet
)

const (
	// maxUndecided bounds the bytes that are kept while the protocol is not clear: a request line
	// must be seen whole.
	maxUndecided = 32 << 10
	// maxFed is the most that a connection is charged beside its exchanges.
	maxFed = 128 << 10
	// joinTries is how many runs of bytes of a connection that was joined in the middle may look
	// like nothing before it is given up.
	joinTries = 64
)

// application is what a connection carries: its protocols, found by content.
type application struct {
	c       *conn
	stack   layer
	tls     []*tls.Conn // outermost first: a tunnel through TLS may carry TLS
	http1   *http1.Parser
	http2   *http2.Parser
	ongoing []*ongoing // the exchanges that are emitted in parts
	inner   []*inner   // what tunnels in streams of HTTP/2 carry

	encrypted bool
	open      bool // a tunnel carries what is not encrypted, whatever the tunnel is in
	tunnels   int
	// nextSequence is Exchange.Sequence of the first exchange in a tunnel.
	nextSequence uint32
	first        uint32 // Exchange.Sequence of the current parser's first exchange
	info         tls.Info
	protocol     string // network.protocol.name, "" while unknown
	version      string
	host         string // of the latest request
	opaque       bool
	blind        bool   // TLS that cannot be read
	named        bool   // it is known whether the connection's first handshake asked for a name
	asked        string // that name
	reason       string // why requests are not visible

	waits bool // as http1.Options.Waits
	tries int  // runs of a connection whose opener is not known yet
	gone  bool
	// unwatched: what is unfinished when it closes did not end, it is only not seen any more.
	unwatched bool
	// charge is what the connection is charged for the bytes that it holds: those fed since its
	// last exchange, as far as they may wait for more of their kind, and its unfinished exchanges.
	charge, fed int
	// kept is how much of each body the parser was told to keep.
	kept int
	told bool
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
		a.c.e.counts.dropProtocol(a.unreadReason(), n)
		return
	}
	a.keep()
	if a.stack.next == nil && a.c.joined() && tls.SniffRecords(b) {
		a.stack.giveUp(a.c.lateReason())
	}
	if client, known := a.c.fromClient(dir); known {
		a.stack.Data(client, t, pos, b)
	} else {
		a.orient(dir, t, pos, b)
	}
	a.letGo(t)
	if a.opaque || a.gone || a.reason != "" {
		a.setCharge(0)
	} else {
		a.fed = min(a.fed+len(b), maxFed)
		a.setCharge(a.fed + a.held())
	}
}

// held is what unfinished exchanges hold.
func (a *application) held() int {
	n := a.partsHeld()
	for _, i := range a.inner {
		n += i.held()
	}
	if a.http1 != nil {
		n += a.http1.Held()
	}
	if a.http2 != nil {
		n += a.http2.Held()
	}
	return n
}

// keep tells the parser whether bodies are wanted: the payload path may come and go while a
// connection stays.
func (a *application) keep() {
	for _, i := range a.inner {
		i.keep()
	}
	maxBody := a.c.maxBody()
	if a.told && maxBody == a.kept || a.http1 == nil && a.http2 == nil {
		return
	}
	a.told, a.kept = true, maxBody
	if a.http1 != nil {
		a.http1.Keep(maxBody)
	}
	if a.http2 != nil {
		a.http2.Keep(maxBody)
	}
}

// letGo ends the reading of TLS whose plaintext nobody reads: its keys are not kept for nothing.
func (a *application) letGo(t int64) {
	if !a.opaque {
		return
	}
	for _, c := range a.tls {
		c.Close(t, false) // the outermost closes the others, too
	}
	a.tls = nil
}

// setCharge keeps the total of all connections.
func (a *application) setCharge(n int) {
	a.c.e.charged += n - a.charge
	a.charge = n
}

// The type of the first handshake message in a TLS connection, and where it is (RFC 8446 §4 and §5.1).
const (
	tlsMessage     = 5
	tlsClientHello = 1
)

// orient finds out who opened a connection that was open before the capture began: the end
// that sends requests.
func (a *application) orient(dir event.Direction, t int64, pos uint64, b []byte) {
	known, _ := tls.Sniff(b)
	known = known && b[tlsMessage] == tlsClientHello
	if !known {
		known, _ = http1.Sniff(b)
	}
	if !known {
		known, _ = http2.Sniff(b)
		known = known || http2.SniffJoined(b)
	}
	if known {
		base := a.c.dirs[dir].base
		if dir == event.Egress {
			a.c.opened(event.RoleClient)
		} else {
			a.c.opened(event.RoleServer)
		}
		pos += a.c.dirs[dir].base - base
		if !a.c.e.wanted(a.c) {
			a.c.ignored = true
			a.c.e.counts.filtered++
			a.c.e.counts.dropProtocol(dropFiltered, uint64(len(b)))
			return
		}
		a.stack.Data(true, t, pos, b)
		return
	}
	a.c.e.counts.dropProtocol(dropOpaque, uint64(len(b)))
	if a.tries++; a.tries >= joinTries {
		a.setOpaque(reasonUnknownProtocol)
	}
}

func (a *application) gap(dir event.Direction, t int64, pos, n uint64) {
	if a.gone || a.opaque {
		return
	}
	if client, known := a.c.fromClient(dir); known {
		a.stack.Gap(client, t, pos, n)
		a.letGo(t)
	}
}

func (a *application) tick(now int64) {
	for _, i := range a.inner {
		i.tick(now)
	}
	for _, c := range a.tls {
		c.Tick(now)
	}
	a.letGo(now)
	if !a.gone {
		a.tickParts(now)
	}
}

// waiting says that closing now would give up what a secret may yet open.
func (a *application) waiting() bool {
	return slices.ContainsFunc(a.tls, (*tls.Conn).Waiting) || slices.ContainsFunc(a.inner, func(i *inner) bool { return i.waiting() })
}

func (a *application) close(t int64, reset bool) {
	if a.gone {
		return
	}
	a.gone = true
	a.setCharge(0)
	a.stack.Close(t, reset)
}

// end is close for a connection that goes on without being watched.
func (a *application) end(t int64) {
	a.unwatched = true
	a.close(t, false)
}

// discard frees what was read without telling anybody: the connection is excluded or ignored,
// so what closing makes of it goes nowhere.
func (a *application) discard() { a.close(a.c.e.now, false) }

// unreadReason is why the bytes of an opaque connection are dropped.
func (a *application) unreadReason() string {
	if a.reason == reasonRule {
		return dropRule
	}
	return dropOpaque
}

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

// newHTTP1 returns a parser that emits the connection's exchanges.
func (a *application) newHTTP1(joined bool) l7.Stream {
	a.http1 = http1.New(http1.Options{OnTunnel: a.tunnel, OnContent: a.watch, Joined: joined, Waits: a.waits}, a.numbered(), &a.c.e.counts.http1)
	a.told = false // that was a parser before this one
	a.keep()
	return a.http1
}

// newHTTP2 returns a parser that emits the exchanges of the connection's streams.
func (a *application) newHTTP2(opt http2.Options) l7.Stream {
	opt.OnContent, opt.OnTunnel = a.watch, a.streamTunnel
	emit := a.numbered()
	if opt.Upgraded != nil {
		emit, a.first = a.exchange, 0 // it goes on counting by itself
	}
	a.http2 = http2.New(opt, emit, &a.c.e.counts.http2)
	a.told = false // an upgraded connection has told its first parser only
	a.keep()
	return a.http2
}

// exchange takes what a parser found.
func (a *application) exchange(x *l7.Exchange) {
	a.version = x.Request.Version
	if host, _ := splitAuthority(x.Request.Get("Host")); host != "" {
		a.host = host
	}
	if a.unwatched && x.Incomplete == l7.IncompleteClosed {
		x.Incomplete = l7.IncompleteCapture
	}
	a.nextSequence = max(a.nextSequence, x.Sequence+1)
	record := a.endParts(x)
	a.c.requests++
	a.c.e.exchange(a, x, part{record: record})
	a.fed = 0
}

// numbered returns exchange for a parser that counts from 0 behind the exchanges of others.
func (a *application) numbered() func(*l7.Exchange) {
	first := a.nextSequence
	a.first = first
	return func(x *l7.Exchange) {
		x.Sequence += first
		a.exchange(x)
	}
}

// plaintext is what a tls.Conn feeds.
type plaintext struct{ layer }

func (a *application) newTLS() *tls.Conn {
	p := &plaintext{layer{a: a, inside: true, clear: true}}
	return tls.NewConn(a.c.e.keys, p, tls.Limits{}, &a.c.e.counts.tls)
}

// TLS implements tls.Sink: the handshake's facts, as far as they are in the clear or decrypted.
func (p *plaintext) TLS(i tls.Info) {
	if !p.a.named { // what a tunnel carries may have other names
		p.a.named, p.a.asked = true, i.SNI
	}
	p.a.info = i
}

// NotVisible implements tls.Sink.
func (p *plaintext) NotVisible(reason string) {
	p.a.blind = true
	if p.a.reason != "" {
		return
	}
	p.a.reason = reason
	if c := p.a.c; reason == tls.ReasonNoSecret && c.proc != nil && c.e.set.UnreadTLS != nil {
		if name := c.e.set.UnreadTLS(c.proc.TGID); name != "" {
			p.a.reason += "_" + name
		}
	}
}

func newKeyStore() *tls.KeyStore { return tls.NewKeyStore(tls.KeyLimits{}) }
