// SPDX-License-Identifier: Apache-2.0

package tls

import "bytes"

// maxEarlySkip bounds the 0-RTT bytes that are passed over while looking for the client's
// handshake; servers allow 16 KiB by default.
const maxEarlySkip = 1 << 20

// step processes one record of a direction, and says whether it got anywhere.
func (c *Conn) step(h *half) bool {
	switch h.state {
	case stateResync:
		return c.resync(h)
	case stateClosed:
		h.gap, h.gapLen = false, 0
		n := len(h.in)
		c.skip(h, n)
		return n > 0
	}
	rec, bad := h.record()
	if bad {
		return c.notRecord(h)
	}
	if rec == nil {
		return h.gap && c.applyGap(h)
	}
	switch h.state {
	case stateHello:
		return c.helloRecord(h, rec)
	case stateHandshake:
		return c.handshakeRecord(h, rec)
	default:
		return c.encryptedRecord(h, rec)
	}
}

// notRecord deals with bytes that cannot be a record where one must begin.
func (c *Conn) notRecord(h *half) bool {
	switch {
	case h.state == stateEncrypted:
		return c.lose(h)
	case h.state == stateHandshake:
		return c.fail(ReasonDecrypt)
	case !c.helloSeen && !c.retried:
		return c.fail(ReasonAttachedLate)
	}
	return c.fail(ReasonHandshake)
}

// answered says whether the server's hello was seen.
func (c *Conn) answered() bool { return c.suite != nil || c.doomed != "" }

// helloRecord takes a record before encryption.
func (c *Conn) helloRecord(h *half, rec []byte) bool {
	if h.client && c.helloSeen && !c.answered() {
		return false // what it means depends on the server's hello
	}
	switch rec[0] {
	case typeCCS:
		c.consume(h, len(rec))
		if c.answered() { // not TLS 1.3, where these are for the sake of middleboxes (RFC 8446 §D.4)
			return c.encrypt(h)
		}
		return true
	case typeAlert:
		c.consume(h, len(rec))
		return true
	case typeHandshake:
		if !h.client && !c.helloSeen {
			return false // the client's hello comes first
		}
		h.hs = append(h.hs, rec[headerLen:]...)
		c.consume(h, len(rec))
		return c.messages(h, c.helloMessage)
	}
	if h.client && c.retried && !c.helloSeen {
		c.stats.EarlyRejected++ // 0-RTT sent before the HelloRetryRequest came
		c.skip(h, len(rec))
		return true
	}
	if c.helloSeen {
		return c.fail(ReasonHandshake)
	}
	return c.fail(ReasonAttachedLate)
}

// encrypt ends the cleartext of a direction up to TLS 1.2.
func (c *Conn) encrypt(h *half) bool {
	h.hs = nil
	h.state = stateEncrypted
	if !h.client && !c.info.Full {
		// The server goes on without its ServerHelloDone: RFC 5246 §7.3, the abbreviated handshake.
		c.info.Resumed = true
		c.sink.TLS(c.info)
	}
	if c.doomed != "" {
		return c.fail(c.doomed)
	}
	return true
}

// messages takes whole handshake messages off what was collected. f returns false when the
// connection was given up.
func (c *Conn) messages(h *half, f func(h *half, typ byte, raw []byte) bool) bool {
	rest := h.hs
	for {
		typ, n, ok := message(rest)
		if n > maxHandshakeLen {
			return c.fail(ReasonHandshake)
		}
		if !ok {
			break
		}
		if !f(h, typ, rest[:n]) {
			return false
		}
		rest = rest[n:]
	}
	if len(rest) == 0 {
		h.hs = h.hs[:0]
	} else {
		h.hs = h.hs[:copy(h.hs, rest)]
	}
	return true
}

func (c *Conn) helloMessage(h *half, typ byte, raw []byte) bool {
	switch {
	case h.client && typ == msgClientHello && !c.helloSeen:
		hello, ok := parseClientHello(raw[4:])
		if !ok {
			return c.fail(ReasonHandshake)
		}
		c.hello, c.helloSeen = hello, true
		if c.retried {
			c.hello.early = false // RFC 8446 §4.1.2: not offered again
			c.transcript.Write(raw)
		} else {
			c.clientHello1 = bytes.Clone(raw)
			c.info.SNI = hello.sni
			c.info.JA3, c.info.JA4 = Fingerprint(raw[4:], TransportTCP)
			c.sink.TLS(c.info)
		}
		return true
	case !h.client && typ == msgServerHello && !c.answered():
		return c.serverHello(raw)
	case c.answered():
		if !h.client {
			c.serverMessage(typ, raw[4:])
		}
		return true
	case typ == msgHelloRequest:
		return true
	}
	return c.fail(ReasonHandshake)
}

var versionNames = map[uint16]string{0x0300: "3.0", 0x0301: "1.0", 0x0302: "1.1", version12: "1.2", version13: "1.3"}

func (c *Conn) serverHello(raw []byte) bool {
	sh, ok := parseServerHello(raw[4:])
	if !ok {
		return c.fail(ReasonHandshake)
	}
	c.info.Version, c.info.Cipher, c.info.ALPN = versionNames[sh.version], cipherName(sh.cipher), sh.alpn
	s := suites[sh.cipher]
	switch {
	case sh.version != version13 && sh.version != version12:
		c.doomed = ReasonUnsupportedVersion
	case s == nil || s.version != sh.version:
		c.doomed = ReasonUnsupportedCipher
	}
	if c.doomed != "" {
		c.clientHello1 = nil
		c.sink.TLS(c.info)
		if sh.version >= version13 || sh.version < 0x0300 {
			return c.fail(c.doomed) // nothing more is in the clear
		}
		return true
	}
	if sh.version == version12 {
		c.suite, c.serverRandom, c.macOut = s, sh.random, sh.macOut
		c.clientHello1 = nil
		c.sink.TLS(c.info)
		return true
	}
	if sh.retry() {
		if c.retried || c.client.state != stateHello {
			return c.fail(ReasonHandshake)
		}
		// The first hello is replaced by its hash, RFC 8446 §4.4.1.
		c.transcript = s.hash()
		c.transcript.Write(c.clientHello1)
		sum := c.transcript.Sum(nil)
		c.transcript.Reset()
		c.transcript.Write([]byte{msgMessageHash, 0, 0, byte(len(sum))})
		c.transcript.Write(sum)
		c.transcript.Write(raw)
		c.retried, c.helloSeen, c.clientHello1 = true, false, nil
		return true
	}
	if c.transcript == nil {
		c.transcript = s.hash()
		c.transcript.Write(c.clientHello1)
	} else if c.transcript.Size() != s.hash().Size() {
		return c.fail(ReasonHandshake) // a retry binds the suite
	}
	c.helloHash = c.transcript.Sum(nil)
	c.transcript.Write(raw)
	c.hsHash = c.transcript.Sum(nil)
	c.suite, c.clientHello1 = s, nil
	c.info.Resumed, c.info.Full = sh.psk, !sh.psk
	c.server.state = stateHandshake
	if c.client.state == stateHello {
		c.client.state = stateHandshake
	}
	c.sink.TLS(c.info)
	return true
}

// serverMessage takes a message of the server's flight in the clear, up to TLS 1.2.
func (c *Conn) serverMessage(typ byte, body []byte) {
	switch typ {
	case msgCertificate:
		if c.certSeen {
			return
		}
		c.certSeen = true
		c.info.Certificate = parseCertificates(body, version12)
	case msgServerHelloDone:
		if c.info.Full {
			return
		}
	default:
		return
	}
	c.info.Full = true
	c.sink.TLS(c.info)
}

// handshakeRecord takes a record of the encrypted handshake of TLS 1.3.
func (c *Conn) handshakeRecord(h *half, rec []byte) bool {
	if rec[0] == typeCCS || rec[0] == typeAlert {
		c.consume(h, len(rec))
		return true
	}
	if rec[0] != typeApplication {
		return c.fail(ReasonHandshake)
	}
	if h.client && c.hello.early && !c.extsSeen {
		return false // whether this is 0-RTT that counts depends on the server
	}
	if h.keys == nil {
		if c.earlyTaken && h.client && !h.skipping {
			h.setKeys(c.protection(stageEarly, c.helloHash, true))
			h.early = h.keys != nil
			h.skipping = !h.early
			if h.skipping {
				c.sink.Gap(true, h.t, h.off, 0)
			}
		}
		if h.keys == nil {
			h.setKeys(c.protection(stageHandshake, c.hsHash, h.client))
		}
		if h.keys == nil {
			return c.wait()
		}
	}
	buf := c.keys.takeBuf()
	defer c.keys.giveBuf(buf)
	typ, plain, err := h.keys.open(buf, rec)
	if err != nil {
		if h.client && c.hello.early && !h.early && h.keys.seq == 0 && h.skipped < maxEarlySkip {
			// 0-RTT that the server rejected, or whose secret is not known.
			if !h.skipping {
				c.stats.EarlyRejected++
			}
			h.skipped += len(rec)
			c.skip(h, len(rec))
			return true
		}
		c.stats.TagFailures++
		return c.fail(ReasonDecrypt)
	}
	c.stats.Records++
	if h.early {
		return c.earlyRecord(h, typ, plain, len(rec))
	}
	c.consume(h, len(rec))
	if typ != typeHandshake {
		return true // an alert
	}
	h.hs = append(h.hs, plain...)
	return c.messages(h, c.handshakeMessage)
}

func (c *Conn) earlyRecord(h *half, typ byte, plain []byte, n int) bool {
	pos, t := h.off, h.time(h.off+uint64(n))
	c.consume(h, n)
	switch {
	case typ == typeApplication:
		c.deliver(h, t, pos, plain)
	case typ == typeHandshake && len(plain) > 0 && plain[0] == msgEndOfEarlyData:
		h.early, c.earlyTaken, c.hello.early = false, false, false
		h.setKeys(nil)
	}
	return true
}

func (c *Conn) handshakeMessage(h *half, typ byte, raw []byte) bool {
	if h.state != stateHandshake {
		return c.fail(ReasonHandshake) // behind Finished in the same record
	}
	if h.client {
		if typ == msgFinished {
			h.state = stateEncrypted
			h.setKeys(nil)
		}
		return true
	}
	c.transcript.Write(raw)
	switch typ {
	case msgEncryptedExts:
		alpn, early, ok := parseEncryptedExtensions(raw[4:])
		if !ok {
			return c.fail(ReasonHandshake)
		}
		c.extsSeen, c.earlyTaken, c.info.ALPN = true, early && c.hello.early, alpn
		c.visible()
	case msgCertificate, msgCompressedCert:
		if c.certSeen {
			break
		}
		c.certSeen = true
		body := raw[4:]
		if typ == msgCompressedCert {
			if !c.hello.compress {
				break // RFC 8879 §4: only who has offered it gets it
			}
			body = decompressCertificates(body)
		}
		if body != nil {
			c.info.Certificate = parseCertificates(body, version13)
			c.sink.TLS(c.info)
		}
	case msgFinished:
		c.apHash = c.transcript.Sum(nil)
		c.transcript = nil
		h.state = stateEncrypted
		h.setKeys(nil)
	}
	return true
}

// visible reports that secrets were found and proven.
func (c *Conn) visible() {
	if !c.info.Visible {
		c.info.Visible = true
		c.stats.Visible++
		c.sink.TLS(c.info)
	}
}

// appKeys makes sure that a direction has its application keys.
func (c *Conn) appKeys(h *half) bool {
	if h.keys != nil {
		return true
	}
	if c.suite == nil {
		return false
	}
	if c.suite.version == version13 {
		h.setKeys(c.protection(stageApplication, c.apHash, h.client))
		return h.keys != nil
	}
	if c.keys12[0] == nil {
		var master secret
		if !c.find(stageMaster12, nil, true, &master) {
			return false
		}
		client, server, err := newProtection12(c.suite, &master, c.hello.random[:], c.serverRandom[:], c.macOut)
		master.wipe()
		if err != nil {
			return false
		}
		c.keys12 = [2]*protection{client, server}
	}
	if h.client {
		h.setKeys(c.keys12[0])
	} else {
		h.setKeys(c.keys12[1])
	}
	return true
}

// encryptedRecord takes a record under the application keys; in TLS 1.2 also Finished.
func (c *Conn) encryptedRecord(h *half, rec []byte) bool {
	tls12 := c.suite.version == version12
	if rec[0] == typeCCS {
		if tls12 {
			return c.changeKeys(h, rec)
		}
		c.consume(h, len(rec))
		return true
	}
	if !c.appKeys(h) {
		return c.wait()
	}
	if !tls12 && rec[0] != typeApplication {
		return c.lose(h)
	}
	buf := c.keys.takeBuf()
	defer c.keys.giveBuf(buf)
	typ, plain, err := h.keys.open(buf, rec)
	if err != nil {
		c.stats.TagFailures++
		if tls12 && h.keys.seq == 0 {
			return c.fail(ReasonDecrypt)
		}
		return c.lose(h)
	}
	c.stats.Records++
	pos, t := h.off, h.time(h.off+uint64(len(rec)))
	c.consume(h, len(rec))
	c.visible()
	switch {
	case typ == typeApplication:
		c.deliver(h, t, pos, plain)
	case typ == typeHandshake && tls12:
		h.hs = append(h.hs, plain...)
		return c.messages(h, c.renegotiate)
	case typ == typeHandshake:
		h.hs = append(h.hs, plain...)
		return c.messages(h, c.postHandshakeMessage)
	case typ == typeAlert && len(plain) == 2 && plain[1] == alertCloseNotify:
		h.state = stateClosed
	}
	return true
}

func (c *Conn) postHandshakeMessage(h *half, typ byte, _ []byte) bool {
	if typ == msgKeyUpdate {
		next, err := h.keys.next()
		if err != nil {
			return c.fail(ReasonDecrypt)
		}
		h.setKeys(next)
	}
	return true
}

func (c *Conn) deliver(h *half, t int64, pos uint64, plain []byte) {
	if len(plain) > 0 {
		c.stats.Plaintext += uint64(len(plain))
		c.sink.Data(h.client, t, pos, plain)
	}
}
