// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// Values of semantic.ConnectionState.
const (
	stateOpen        = "open"
	stateEstablished = "established"
	stateClosed      = "closed"
)

// record emits a connection record: what is known of the connection at time t.
func (e *Engine) record(c *conn, state string, t int64) {
	c.announced = true
	e.cover(c, state == stateClosed)
	if e.unrecorded(c) {
		return
	}
	lr := e.set.Emitter.Log(c.proc)
	lr.SetEventName(semantic.EventConnection)
	lr.SetTimestamp(pcommon.Timestamp(t))
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)

	m := lr.Attributes()
	m.EnsureCapacity(40)
	m.PutStr(semantic.ConnectionID, c.id)
	m.PutInt(semantic.ConnectionSequence, c.sequence)
	c.sequence++
	m.PutStr(semantic.ConnectionState, state)
	m.PutStr(semantic.ConnectionRole, roleName(c.role))
	m.PutInt(semantic.ConnectionStart, c.start)
	m.PutInt(semantic.ConnectionDuration, max(0, t-c.start))
	if state == stateClosed {
		m.PutStr(semantic.ConnectionCloseReason, c.closeReason())
	}
	m.PutInt(semantic.ConnectionSentBytes, int64(c.books.BytesSent))
	m.PutInt(semantic.ConnectionReceivedBytes, int64(c.books.BytesReceived))
	m.PutInt(semantic.ConnectionSentPackets, int64(c.books.SegsOut))
	m.PutInt(semantic.ConnectionRecvPackets, int64(c.books.SegsIn))
	m.PutInt(semantic.ConnectionRetransmits, int64(c.books.Retransmits))
	m.PutInt(semantic.ConnectionRTT, int64(c.books.RTTMicros)*1000)
	m.PutInt(semantic.ConnectionRequests, c.requests)
	if c.missing > 0 {
		m.PutInt(semantic.ConnectionMissingBytes, int64(c.missing))
	}
	c.putNetwork(m)

	server := c.app.serverName()
	if server == "" {
		if server = c.askedName(); server != "" {
			m.PutStr(semantic.ServerNameSource, "dns")
		}
	}
	if server == "" {
		server = c.serverText()
	}
	putStr(m, semantic.ServerAddress, server)
	if p := c.serverEnd().Port(); p != 0 {
		m.PutInt(semantic.ServerPort, int64(p))
	}
	putStr(m, semantic.NetworkProtocolName, c.app.protocol)
	putStr(m, semantic.NetworkProtocolVersion, c.app.version)
	c.app.putTLS(m)
	c.app.putHandshake(m)
	if visibility, reason := c.app.visibility(); visibility != "" {
		m.PutStr(semantic.PayloadVisibility, visibility)
		putStr(m, semantic.PayloadReason, reason)
	}
}

func roleName(r event.Role) string {
	switch r {
	case event.RoleClient:
		return "client"
	case event.RoleServer:
		return "server"
	}
	return "unknown"
}

// wasReset asks the kernel first: a RST that was seen need not have been believed.
func (c *conn) wasReset() bool {
	if c.books.CloseReason != event.CloseUnknown {
		return c.books.CloseReason == event.CloseReset
	}
	return c.dirs[0].stream.Reset() || c.dirs[1].stream.Reset()
}

func (c *conn) closeReason() string {
	switch c.books.CloseReason {
	case event.CloseFIN:
		return "fin"
	case event.CloseReset:
		return "reset"
	case event.CloseTimeout:
		return "timeout"
	case event.CloseRefused:
		return "refused"
	}
	return "unknown"
}
