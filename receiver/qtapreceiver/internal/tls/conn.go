// SPDX-License-Identifier: Apache-2.0

// Package tls reads a TLS connection from the outside: fed with both directions' bytes and with
// the session's secrets, it verifies and decrypts the records. Nothing is guessed: a secret is
// found by the handshake's own transcript hash or client random, and only what an AEAD tag proves
// is passed on.
package tls

import (
	"hash"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// Info is what a handshake says about its connection, as far as it is in the clear or was decrypted.
type Info struct {
	Version string // "1.2", "1.3", "" before the server's hello
	Cipher  string // IANA name
	SNI     string // host name the client asked for, "" when it named none
	ALPN    string // protocol the server chose, "" when none or not seen
	// JA3 and JA4 are fingerprints of the client, see Fingerprint. Of a handshake that the server
	// asked to begin anew (HelloRetryRequest) they are those of the first hello.
	JA3, JA4 string
	// Resumed and Full are both false while it is not known whether the session is resumed.
	Resumed, Full bool
	// Certificate is the server's; zero when the session is resumed or it cannot be read.
	Certificate Certificate
	// Visible is true once secrets were found and proven.
	Visible bool
}

// Reasons of NotVisible.
const (
	ReasonAttachedLate       = "attached_late"       // the connection was joined after its handshake
	ReasonNoSecret           = "no_secret"           // no secret came in time
	ReasonUnreadableSecret   = "secret_unreadable"   // it was there, but not in the program's memory as far as it can be read
	ReasonUnsupportedCipher  = "unsupported_cipher"  // neither AES (GCM, CCM, CBC) nor ChaCha20-Poly1305
	ReasonUnsupportedVersion = "unsupported_version" // neither TLS 1.2 nor 1.3
	ReasonGapInHandshake     = "gap_in_handshake"    // bytes of the handshake were not captured
	ReasonHandshake          = "handshake_malformed" // the handshake cannot be followed
	ReasonDecrypt            = "decrypt_failed"      // a secret was found and its tag does not verify
	ReasonRenegotiation      = "renegotiation"       // TLS 1.2 keys changed on the open connection in a way that was not seen whole
	ReasonResync             = "resync_failed"       // the record sequence was not found again after a gap
	ReasonBuffer             = "buffer_limit"        // too much had to wait
)

// Sink takes what a Conn reads.
type Sink interface {
	l7.Stream
	// TLS is called once the client's hello is seen, and again when more of Info is known: with the
	// server's hello, its certificate, and when the connection becomes visible.
	TLS(info Info)
	// NotVisible says, at most once, that no plaintext will come (any more), and why.
	NotVisible(reason string)
}

type state uint8

const (
	stateHello     state = iota // plaintext records; TLS 1.2 until ChangeCipherSpec
	stateHandshake              // TLS 1.3 encrypted handshake
	stateEncrypted              // application data (and, in TLS 1.2, Finished)
	stateResync                 // after a gap: looking for a record
	stateClosed                 // after close_notify: what follows is not TLS
)

// maxHandshakeLen bounds a handshake message; certificate chains are the long ones.
const maxHandshakeLen = 256 << 10

// Conn reads one connection. It is not safe for concurrent use.
type Conn struct {
	keys   *KeyStore
	sink   Sink
	limits Limits
	stats  *Stats

	client, server half
	dead, closed   bool

	info         Info
	suite        *suite
	macOut       bool   // encrypt-then-MAC
	doomed       string // why the content will not be read: the handshake goes on for its facts
	renegotiated *renegotiation
	stalled      bool // a ChangeCipherSpec waits for hellos that are not there
	helloSeen    bool // a ClientHello that the server's next hello answers
	hello        clientHello
	serverRandom [32]byte
	clientHello1 []byte // raw; until the hash of the suite is known
	transcript   hash.Hash
	retried      bool // HelloRetryRequest
	helloHash    []byte
	hsHash       []byte // ClientHello..ServerHello
	apHash       []byte // ClientHello..server Finished
	extsSeen     bool   // EncryptedExtensions
	certSeen     bool   // the server's certificate: a handshake has one, whatever else is sent costs nothing
	earlyTaken   bool   // the server accepted 0-RTT
	keys12       [2]*protection

	waiting   bool // for a secret
	waitSince int64
	waitGen   uint64
}

// NewConn returns a Conn that finds its secrets in keys. stats may be shared between Conns of one goroutine.
func NewConn(keys *KeyStore, sink Sink, limits Limits, stats *Stats) *Conn {
	return &Conn{keys: keys, sink: sink, limits: limits.withDefaults(), stats: stats, client: half{client: true}}
}

// Data takes the next bytes of a direction: off is the TCP stream offset of b[0], t the Unix
// nanoseconds at which they were seen. b is valid during the call only.
func (c *Conn) Data(fromClient bool, t int64, off uint64, b []byte) {
	c.stats.In += uint64(len(b))
	if c.dead || c.closed {
		c.stats.Dropped += uint64(len(b))
		return
	}
	h := c.half(fromClient)
	h.t = t
	if h.gap {
		// A gap behind waiting bytes: what follows it cannot be held in one piece, so the gap grows.
		c.stats.Skipped += uint64(len(b))
		h.gapLen += uint64(len(b))
		return
	}
	if n := min(h.discard, uint64(len(b))); n > 0 {
		h.discard -= n
		c.stats.Skipped += n
		off, b = off+n, b[n:]
	}
	if len(b) == 0 {
		return
	}
	if len(h.buf) == 0 {
		h.in, h.off = b, off
	} else {
		c.hold(h, b)
	}
	c.pump()
	c.park(h)
}

// Gap says that n bytes of a direction at stream offset off will not come.
func (c *Conn) Gap(fromClient bool, t int64, off, n uint64) {
	if c.dead || c.closed {
		return
	}
	h := c.half(fromClient)
	h.t = t
	c.stats.Gaps++
	h.gapLen += n
	if h.discard >= n {
		h.discard -= n
		h.gapLen = 0
		return
	}
	h.discard = 0
	h.gap = true
	c.pump()
}

// Waiting says whether ciphertext waits for a secret: a Close now would give it up.
func (c *Conn) Waiting() bool { return c.waiting && !c.dead && !c.closed }

// Tick looks again for the secret that ciphertext waits for, and gives up when it has waited
// too long. now is in Unix nanoseconds.
func (c *Conn) Tick(now int64) {
	if !c.Waiting() {
		return
	}
	if c.keys.gen != c.waitGen {
		c.pump()
	}
	if c.Waiting() && now-c.waitSince >= int64(c.limits.MaxWait) {
		c.fail(c.noSecret())
	}
}

// Close ends the connection: what waits is tried for the last time, secrets are wiped, and the
// sink is closed. reset is true when the connection did not end by FIN.
func (c *Conn) Close(t int64, reset bool) {
	if c.closed {
		return
	}
	if !c.dead {
		c.pump()
		switch {
		case c.waiting:
			c.fail(c.noSecret())
		case c.doomed != "":
			c.fail(c.doomed)
		case c.stalled:
			c.fail(ReasonRenegotiation)
		}
	}
	c.release()
	c.closed = true
	c.sink.Close(t, reset)
}

func (c *Conn) half(fromClient bool) *half {
	if fromClient {
		return &c.client
	}
	return &c.server
}

// pump processes records until neither direction can go on.
func (c *Conn) pump() {
	for more := true; more && !c.dead; {
		c.waiting, c.stalled = false, false
		if !c.clientFirst() {
			more = c.step(&c.server) || c.step(&c.client)
		} else if more = c.step(&c.client); !more && !c.waiting { // what came later waits with it
			more = c.step(&c.server)
		}
	}
	if !c.waiting {
		c.waitSince = 0
	} else if c.waitSince == 0 {
		c.waitSince = max(c.client.t, c.server.t)
	}
	c.waitGen = c.keys.gen
}

// clientFirst says whether the client's next bytes came before the server's. It matters when
// both waited for a secret: a response must not be delivered before its request. Until the server
// has finished its handshake, what the client's records mean depends on it.
func (c *Conn) clientFirst() bool {
	return c.server.state >= stateEncrypted && len(c.client.in) > 0 && len(c.server.in) > 0 &&
		c.client.time(c.client.off+1) <= c.server.time(c.server.off+1)
}

// wait notes that a record needs a secret that is not there yet.
func (c *Conn) wait() bool {
	c.waiting = true
	return false
}

// fail gives the connection's content up.
func (c *Conn) fail(reason string) bool {
	if !c.dead {
		c.dead = true
		c.release()
		c.stats.NotVisible++
		c.info.Visible = false
		c.sink.NotVisible(reason)
	}
	return false
}

// release wipes secrets and gives buffers back.
func (c *Conn) release() {
	c.waiting = false
	for _, h := range []*half{&c.client, &c.server} {
		c.drop(h)
		h.setKeys(nil)
		h.hs = nil
	}
	for i, k := range c.keys12 {
		if k != nil {
			k.wipe()
			c.keys12[i] = nil
		}
	}
	c.transcript, c.clientHello1 = nil, nil
}

// find looks for a secret of this connection: by transcript hash, else by client random.
func (c *Conn) find(st stage, transcript []byte, client bool, dst *secret) bool {
	if transcript != nil && c.keys.find(newKeyID(st, false, transcript), client, dst) {
		return true
	}
	return c.keys.find(newKeyID(st, true, c.hello.random[:]), client, dst)
}

// noSecret is why the secret that is waited for is not there.
func (c *Conn) noSecret() string {
	for st, transcript := range map[stage][]byte{stageHandshake: c.hsHash, stageApplication: c.apHash, stageMaster12: nil} {
		if transcript != nil && c.keys.unreadable(newKeyID(st, false, transcript)) || c.keys.unreadable(newKeyID(st, true, c.hello.random[:])) {
			return ReasonUnreadableSecret
		}
	}
	return ReasonNoSecret
}

// protection finds a secret and makes the direction's keys of it; nil when there is none.
func (c *Conn) protection(st stage, transcript []byte, client bool) *protection {
	var s secret
	if !c.find(st, transcript, client, &s) {
		return nil
	}
	defer s.wipe()
	p, err := newProtection(c.suite, &s)
	if err != nil {
		return nil // a secret of another length than the suite's is not this connection's
	}
	return p
}
