// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"slices"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/restart"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// saveEvery is the time between two times that a connection's session is kept. What is read between is found
// again by trials.
const saveEvery = int64(time.Second)

// Sessions keeps what is needed to go on reading TLS connections after a restart.
type Sessions interface {
	// Load returns the session of a socket, nil when there is none.
	Load(event.Cookie) *restart.Session
	// Save keeps a session, and says whether it is kept: again is one in place of an earlier one, which is no more
	// there when the connection has ended meanwhile.
	Save(c event.Cookie, s *restart.Session, again bool) bool
	Delete(event.Cookie)
	// Tick is called at least every second.
	Tick()
}

// keptSession is what of a connection is kept in Sessions.
type keptSession struct {
	is   bool
	at   uint64 // tls.Conn.Progress
	next int64  // the next one not before
	// barred is one that is never kept: its process's secrets are not read, or it has ended in the kernel.
	barred bool
	// quiet is where a resumed connection began, when nothing was outstanding there.
	quiet uint64
}

// session returns the connection's TLS when nothing is around it.
func (c *conn) session() *tls.Conn {
	if a := &c.app; len(a.tls) == 1 && a.stack.next == l7.Stream(a.tls[0]) {
		return a.tls[0]
	}
	return nil
}

// save keeps the session of a connection when it has moved on, and forgets that of one that is not read.
func (e *Engine) save(c *conn, now int64, last bool) {
	if e.set.Sessions == nil || c.cookie == 0 {
		return
	}
	t := c.session()
	// The entry of one that is closing is gone, or goes: another would stay behind.
	if t == nil || t.Dead() || c.closing || c.excluded || c.ignored || e.bars(c) {
		e.forgetSession(c)
		return
	}
	if t.Progress() == c.kept.at || now < c.kept.next && !last {
		return
	}
	client, server, ok := c.isns()
	if !ok {
		return
	}
	x := &restart.Session{
		Role: c.role, Start: c.start, ClientISN: client, ServerISN: server,
		Records: uint32(c.sequence), Requests: uint32(c.requests), Exchanges: c.app.nextSequence,
	}
	defer x.Wipe()
	if !t.State(&x.TLS) {
		return // an earlier one still serves
	}
	at := t.Progress()
	if p := c.app.http1; p != nil {
		x.Waits, x.Quiet = p.Waits(), p.Quiet()
	} else { // nothing was said since the restart that tells more
		x.Waits, x.Quiet = c.app.waits, at == c.kept.quiet && at > 0
	}
	again := c.kept.is
	c.kept.is, c.kept.at, c.kept.next = e.set.Sessions.Save(c.cookie, x, again), at, now+saveEvery
	c.kept.barred = again && !c.kept.is
}

// denies says that the secrets of processes with this name are not read. The kernel's names have 15 bytes at most.
func (e *Engine) denies(comm string) bool {
	return comm != "" && slices.ContainsFunc(e.set.DenyProcesses, func(name string) bool { return name[:min(len(name), 15)] == comm })
}

// bars says that what is policy now, whatever it was before the restart, has a connection's secrets left alone.
func (e *Engine) bars(c *conn) bool {
	return e.set.NoSecrets || c.kept.barred || e.denied(c.proc.TGID)
}

func (e *Engine) forgetSession(c *conn) {
	if c.kept.is {
		c.kept.is = false
		e.set.Sessions.Delete(c.cookie)
	}
}

// resume goes on with a connection that was read before the restart.
func (e *Engine) resume(c *conn) {
	if e.set.Sessions == nil || c.excluded || c.ignored || c.app.stack.next != nil || c.app.opaque {
		return
	}
	x := e.set.Sessions.Load(c.cookie)
	if x == nil {
		return
	}
	defer x.Wipe()
	c.kept.is = true
	if e.bars(c) {
		e.forgetSession(c)
		return
	}
	e.setRole(c, x.Role)
	if client, server, ok := c.isns(); c.ignored || !ok || client != x.ClientISN || server != x.ServerISN || c.role != x.Role {
		e.forgetSession(c)
		return
	}
	client, server := c.dirs[event.Egress].base, c.dirs[event.Ingress].base
	if c.role == event.RoleServer {
		client, server = server, client
	}
	if !c.app.resumeTLS(x, client, server) {
		e.forgetSession(c)
		return
	}
	// Its record was announced, and its numbers go on: one record may have been emitted since they were kept.
	c.announced, c.start, c.sequence, c.requests = true, x.Start, int64(x.Records)+1, int64(x.Requests)
}

// resumeTLS puts the session in place of the handshake. client and server are the stream offsets from which on
// the connection is seen.
func (a *application) resumeTLS(x *restart.Session, client, server uint64) bool {
	same := client == x.TLS.Client.Offset && server == x.TLS.Server.Offset
	p := &plaintext{layer{a: a, inside: true, clear: true, late: !same || !x.Quiet}}
	t := tls.Resume(a.c.e.keys, p, tls.Limits{}, &a.c.e.counts.tls, &x.TLS, client, server)
	if t == nil {
		return false
	}
	a.encrypted, a.waits, a.nextSequence = true, x.Waits, x.Exchanges
	if !p.late {
		a.c.kept.quiet = t.Progress()
	}
	a.tls = append(a.tls, t)
	a.stack.start(t)
	return true
}
