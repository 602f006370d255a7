// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/netip"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/dns"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

const (
	dnsPort = 53
	// dnsWait is how long a query waits for its response: resolvers give up after 5 s and ask again.
	dnsWait = 5 * time.Second
	// maxResolvers bounds the (socket, peer) pairs that queries wait on, maxNames the addresses whose
	// name is remembered, nameTTL how long: longer than the record's own TTL, because processes keep
	// what they were told.
	maxResolvers = 8192
	maxNames     = 65536
	nameTTL      = time.Hour
)

const (
	dropMalformed = "malformed" // no DNS message, or one of more than a question
	dropTooMany   = "too_many"  // more peers with open queries than the bound
)

// resolverKey is one conversation over UDP: a server's socket has many peers.
type resolverKey struct {
	cookie event.Cookie
	remote netip.AddrPort
}

type resolver struct {
	dns.Matcher
	dnsEnd
}

// dnsEnd is the observed end of a query.
type dnsEnd struct {
	proc          *process.Info
	client        bool
	local, remote netip.AddrPort
	transport     string
}

// nameKey is an address as one process knows it: what another was told says nothing of it.
type nameKey struct {
	tgid uint32
	addr netip.Addr
}

type nameEntry struct {
	name  string // "" when the address was given for two names
	until int64
}

// Datagram implements event.DatagramHandler.
func (e *Engine) Datagram(d *event.Datagram) {
	e.now = max(e.now, d.Time)
	e.counts.datagrams++
	if d.Local.Port() != dnsPort && d.Remote.Port() != dnsPort {
		if e.quic(d) {
			e.counts.datagramsRead++
		} else {
			e.counts.dropDatagram(dropOpaque)
		}
		return
	}
	m, ok := dns.Parse(d.Data)
	if !ok {
		e.counts.dropDatagram(dropMalformed)
		return
	}
	local, remote := unmap(d.Local), unmap(d.Remote)
	key := resolverKey{d.Cookie, remote}
	r := e.resolvers[key]
	if r == nil {
		if len(e.resolvers) >= maxResolvers {
			e.counts.dropDatagram(dropTooMany)
			return
		}
		r = &resolver{dnsEnd: dnsEnd{client: (d.Dir == event.Egress) != m.Response, local: local, remote: remote, transport: "udp"}}
		e.resolvers[key] = r
	}
	if d.TGID != 0 || r.proc == nil {
		r.proc = e.set.Processes.Resolve(d.TGID, d.UID, d.Comm, d.Time)
	}
	e.counts.datagramsRead++
	if x, done := r.Message(m, d.Time); done {
		e.dns(&r.dnsEnd, x)
	}
	if r.Pending() == 0 {
		delete(e.resolvers, key)
	}
}

// tickDNS gives up queries that nobody answered, and names that are too old.
func (e *Engine) tickDNS(now int64) {
	for key, r := range e.resolvers {
		for {
			x, ok := r.Expire(now - int64(dnsWait))
			if !ok {
				break
			}
			e.dns(&r.dnsEnd, x)
		}
		if r.Pending() == 0 {
			delete(e.resolvers, key)
		}
	}
	for key, n := range e.names {
		if now >= n.until {
			delete(e.names, key)
		}
	}
}

// dns takes a query, its response, or both: it learns the names and emits the record.
func (e *Engine) dns(end *dnsEnd, x dns.Exchange) {
	if end.client && x.Query != nil && x.Response != nil {
		for _, a := range x.Response.Addresses {
			e.learn(nameKey{end.proc.TGID, a.Unmap()}, x.Response.Name)
		}
	}
	server := end.local.Port()
	if end.client {
		server = end.remote.Port()
	}
	if end.client && !e.set.Egress || !end.client && !e.set.Ingress || !e.port(server) {
		return
	}
	m := x.Query
	if m == nil {
		m = x.Response
	}
	at := x.Start
	if at == 0 {
		at = x.End
	}
	lr := e.set.Emitter.Log(end.proc)
	lr.SetEventName(semantic.EventDNS)
	lr.SetTimestamp(pcommon.Timestamp(at))
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	attrs := lr.Attributes()
	putStr(attrs, semantic.DNSQuestionName, m.Name)
	attrs.PutStr(semantic.DNSQuestionType, m.Type)
	role := "server"
	if end.client {
		role = "client"
	}
	attrs.PutStr(semantic.ConnectionRole, role)
	if r := x.Response; r != nil {
		attrs.PutStr(semantic.DNSResponseCode, r.Code)
		attrs.PutInt(semantic.DNSAnswers, int64(r.Answers))
		if x.Query != nil {
			attrs.PutInt(semantic.DNSDuration, max(0, x.End-x.Start))
		}
	} else {
		attrs.PutStr(semantic.ErrorType, "timeout")
	}
	attrs.PutStr(semantic.NetworkTransport, end.transport)
	attrs.PutStr(semantic.NetworkProtocolName, "dns")
	putStr(attrs, semantic.NetworkLocalAddress, addr(end.local))
	attrs.PutInt(semantic.NetworkLocalPort, int64(end.local.Port()))
	putStr(attrs, semantic.NetworkPeerAddress, addr(end.remote))
	attrs.PutInt(semantic.NetworkPeerPort, int64(end.remote.Port()))
}

// learn remembers that a process was given an address for a name. Two names of one address cannot
// be told apart later.
func (e *Engine) learn(key nameKey, name string) {
	if key.tgid == 0 {
		return
	}
	n, known := e.names[key]
	switch {
	case !known && len(e.names) >= maxNames:
		return
	case known && n.name != name:
		name = ""
	}
	e.names[key] = nameEntry{name, e.now + int64(nameTTL)}
}

// askedName is the name that the connection's process asked for and was given the server's
// address, when there is exactly one.
func (c *conn) askedName() string {
	if c.role != event.RoleClient || c.proc.TGID == 0 {
		return ""
	}
	return c.e.names[nameKey{c.proc.TGID, c.tuple.remote.Addr()}].name
}

// newDNS reads DNS over TCP.
func (a *application) newDNS() l7.Stream {
	a.protocol = "dns"
	return dns.New(func(x dns.Exchange) {
		a.c.requests++
		a.fed = 0
		a.c.e.dns(&dnsEnd{proc: a.c.proc, client: a.c.role == event.RoleClient, local: a.c.tuple.local, remote: a.c.tuple.remote, transport: "tcp"}, x)
	}, &a.c.e.counts.dns)
}
