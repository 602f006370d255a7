// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// setRole sets the role once. The kernel knows it better than a SYN seen from outside, but
// they do not disagree.
func (e *Engine) setRole(c *conn, r event.Role) {
	if c.role == event.RoleUnknown && r != event.RoleUnknown {
		c.opened(r)
		if !e.wanted(c) {
			e.ignore(c)
		}
	}
}

// wanted applies the direction and port filters, as far as they can be decided yet.
func (e *Engine) wanted(c *conn) bool {
	switch c.role {
	case event.RoleClient:
		if !e.set.Egress {
			return false
		}
	case event.RoleServer:
		if !e.set.Ingress {
			return false
		}
	default:
		// Either end may be the server's.
		return !c.tuple.complete() || e.port(c.tuple.local.Port()) || e.port(c.tuple.remote.Port())
	}
	p := c.serverEnd().Port()
	return p == 0 || e.port(p)
}

func (e *Engine) port(p uint16) bool {
	for _, x := range e.set.Exclude {
		if p == x {
			return false
		}
	}
	for _, x := range e.set.Include {
		if p == x {
			return true
		}
	}
	return len(e.set.Include) == 0
}

// exclude forgets both ends of a connection of the collector itself.
func (e *Engine) exclude(s *event.Socket, t tuple) {
	c := e.byCookie[s.Cookie]
	if c == nil {
		c = e.create(s.Cookie, t, s.Time)
	} else if t.complete() {
		e.setTuple(c, t)
	}
	e.drop(c)
	if c.tuple.complete() {
		e.excludePeer(c.tuple)
	}
}

// excludePeer forgets the other end of t, now or when it comes.
func (e *Engine) excludePeer(t tuple) {
	if peer := e.byPeer[t.peer()]; peer != nil {
		e.drop(peer)
		return
	}
	if len(e.excluded) < maxExcluded {
		e.excluded[t.peer()] = e.now + int64(excludeFor)
	}
}

// drop leaves of a connection only that it is excluded.
func (e *Engine) drop(c *conn) {
	if c.excluded {
		return
	}
	c.excluded = true
	c.sendsHere()
	e.counts.excluded++
	e.discard(c)
}

// ignore leaves of a connection only that it is not wanted.
func (e *Engine) ignore(c *conn) {
	if c.ignored || c.excluded {
		return
	}
	c.ignored = true
	e.counts.filtered++
	e.discard(c)
}

// discard frees what a connection has read so far, without telling anybody.
func (e *Engine) discard(c *conn) {
	e.counts.dropBytes(dropFiltered, e.unhold(c))
	c.app.discard()
	e.forgetSession(c)
	for i := range c.dirs {
		c.dirs[i].stream.Close(e.now)
	}
}
