// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"
	"slices"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http2"
)

// maxTunnels bounds how many CONNECT tunnels one connection may carry inside each other: proxies
// are chained, but not deeper than this.
const maxTunnels = 4

// tunnel says who reads the connection after the exchange that switched it to another protocol.
func (a *application) tunnel(x *l7.Exchange) l7.Stream {
	switch {
	case x.Request.Method == http.MethodConnect:
		return a.connectTunnel()
	case upgradesTo(x, "h2c"):
		return a.newHTTP2(http2.Options{Upgraded: x})
	case upgradesTo(x, "websocket"):
		a.protocol, a.version = "websocket", "13"
		return a.newWebSocket(x)
	}
	a.setOpaque(reasonProtocolUnsupported)
	return nil
}

// connectTunnel reads what a proxy passes on, from its first byte as a new connection's: TLS of
// the far end, or any protocol in the clear (RFC 9110 §9.3.6). Its TLS keeps the same record
// positions as at the other side of the proxy, and its secrets are found the same way.
func (a *application) connectTunnel() l7.Stream {
	if a.tunnels++; a.tunnels > maxTunnels {
		a.setOpaque(reasonProtocolUnsupported)
		return nil
	}
	a.open = true
	return &layer{a: a, inside: true}
}

// streamTunnel says who reads a stream of HTTP/2 after the exchange that made it a tunnel. The connection goes on
// beside it, so what a tunnel carries is a thing of its own.
func (a *application) streamTunnel(x *l7.Exchange) l7.Stream {
	switch {
	case x.Request.Protocol == "websocket": // RFC 8441
		return a.newWebSocket(x)
	case x.Request.Protocol != "" || a.tunnels >= maxTunnels:
		return nil
	}
	i := &inner{outer: a, application: application{c: a.c, tunnels: a.tunnels + 1, nextSequence: x.Sequence + 1}}
	i.stack = layer{a: &i.application, inside: true}
	a.inner = append(a.inner, i)
	return i
}

// inner is what a tunnel in a stream of HTTP/2 carries: found by its content, as a connection's.
type inner struct {
	application
	outer *application
}

// Data implements l7.Stream.
func (i *inner) Data(client bool, t int64, pos uint64, b []byte) {
	if i.opaque {
		i.c.e.counts.plaintextOpaque += uint64(len(b))
		return
	}
	i.stack.Data(client, t, pos, b)
	i.letGo(t)
	i.fed = min(i.fed+len(b), maxFed)
}

func (i *inner) held() int { return i.fed + i.application.held() }

// Gap implements l7.Stream.
func (i *inner) Gap(client bool, t int64, pos, n uint64) {
	if !i.opaque {
		i.stack.Gap(client, t, pos, n)
		i.letGo(t)
	}
}

// Close implements l7.Stream.
func (i *inner) Close(t int64, reset bool) {
	i.unwatched = i.outer.unwatched
	i.stack.Close(t, reset)
	i.outer.inner = slices.DeleteFunc(i.outer.inner, func(o *inner) bool { return o == i })
}
