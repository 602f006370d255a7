// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"

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
