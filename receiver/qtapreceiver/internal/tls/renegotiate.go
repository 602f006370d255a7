// SPDX-License-Identifier: Apache-2.0

package tls

// renegotiation is a handshake within a TLS 1.2 connection (RFC 5246 §7.4.1), whose messages are
// records like any other until each direction changes to the new keys.
type renegotiation struct {
	hello  clientHello
	server serverHello
	suite  *suite // nil until the server's hello
	asked  bool   // the client's hello was seen
	begun  bool   // one direction has changed
}

// renegotiate takes a handshake message of an encrypted TLS 1.2 connection. A refusal is an alert:
// what was asked for is then overwritten by the next attempt, if any.
func (c *Conn) renegotiate(h *half, typ byte, raw []byte) bool {
	r := c.renegotiated
	switch {
	case h.client && typ == msgClientHello:
		hello, ok := parseClientHello(raw[4:])
		if !ok {
			return c.fail(ReasonRenegotiation)
		}
		if r == nil || r.asked {
			r = &renegotiation{}
		}
		r.hello, r.asked = hello, true
	case !h.client && typ == msgServerHello:
		server, ok := parseServerHello(raw[4:])
		if !ok || server.version != version12 || suites[server.cipher] == nil || suites[server.cipher].version != version12 {
			return c.fail(ReasonRenegotiation)
		}
		if r == nil {
			r = &renegotiation{}
		}
		r.server, r.suite = server, suites[server.cipher]
	}
	c.renegotiated = r
	return true
}

// changeKeys takes a ChangeCipherSpec of an encrypted TLS 1.2 connection, which is itself a record
// under the keys that it ends.
func (c *Conn) changeKeys(h *half, rec []byte) bool {
	r := c.renegotiated
	if r == nil || !r.asked || r.suite == nil {
		c.stalled = true // the hellos are still to come in the other direction, or were lost
		return false
	}
	other := c.half(!h.client)
	if !c.appKeys(h) || !r.begun && !c.appKeys(other) {
		return c.wait()
	}
	buf := c.keys.takeBuf()
	defer c.keys.giveBuf(buf)
	if _, _, err := h.keys.open(buf, rec); err != nil {
		c.stats.TagFailures++
		return c.lose(h)
	}
	c.stats.Records++
	c.consume(h, len(rec))
	if !r.begun {
		c.hello, c.serverRandom, c.suite, c.macOut = r.hello, r.server.random, r.suite, r.server.macOut
		c.keys12 = [2]*protection{} // each direction has its own until it changes
		c.info.Cipher = r.suite.name
		c.sink.TLS(c.info)
	} else {
		c.renegotiated = nil
	}
	r.begun = true
	h.hs = nil
	h.setKeys(nil)
	return true
}
