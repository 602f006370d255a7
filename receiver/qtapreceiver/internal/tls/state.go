// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"encoding/binary"
)

// State is what is needed to go on reading a connection whose handshake is over. It holds secrets: Wipe it.
type State struct {
	Cipher         uint16 // IANA number
	SNI, ALPN      string
	Resumed, Full  bool // as in Info
	Client, Server DirectionState
}

// DirectionState is one direction of a State.
type DirectionState struct {
	// Sequence is the number of the next record, Offset where it begins in the TCP stream.
	Sequence, Offset uint64
	// Secret is the current traffic secret in TLS 1.3, the key in TLS 1.2, of Size bytes. IV is used in TLS 1.2:
	// the implicit nonce and, unless it is all, the explicit one that the next record has if the stack counts.
	Secret [maxSecret]byte
	Size   int
	IV     [12]byte
	// MAC is the key of suites in CBC mode, of MACSize bytes; EncryptThenMAC says how they use it (RFC 7366).
	MAC            [maxSecret]byte
	MACSize        int
	EncryptThenMAC bool
}

// Wipe clears the secrets.
func (s *State) Wipe() {
	s.Client, s.Server = DirectionState{}, DirectionState{}
}

// Progress grows with what was read. A State that was taken at another one is older.
func (c *Conn) Progress() uint64 { return c.client.off + c.server.off }

// Dead says that the connection was given up or closed.
func (c *Conn) Dead() bool { return c.dead || c.closed }

// State fills in dst and says whether it could: both directions must be past their handshake, in step, and between
// two handshake messages, since what is held of one is not part of a State.
func (c *Conn) State(dst *State) bool {
	if c.dead || c.closed || c.suite == nil || c.renegotiated != nil && c.renegotiated.begun {
		return false
	}
	for _, h := range []*half{&c.client, &c.server} {
		if h.state != stateEncrypted || h.gap || h.discard > 0 || len(h.hs) > 0 || !c.appKeys(h) {
			return false
		}
	}
	dst.Cipher, dst.SNI, dst.ALPN, dst.Resumed, dst.Full = c.suite.id, c.info.SNI, c.info.ALPN, c.info.Resumed, c.info.Full
	c.client.save(&dst.Client)
	c.server.save(&dst.Server)
	return true
}

func (h *half) save(d *DirectionState) {
	k := h.keys
	*d = DirectionState{Sequence: k.seq, Offset: h.off, Secret: k.traffic.b, Size: k.traffic.n, IV: k.iv, MAC: k.macKey.b, MACSize: k.macKey.n}
	d.EncryptThenMAC = k.cbc != nil && k.cbc.macOut
	if k.suite.explicitNonce() {
		binary.BigEndian.PutUint64(d.IV[4:], k.explicit)
	}
}

// protection is what a State says of a direction.
func (s *suite) protection(d *DirectionState) (*protection, error) {
	var secret secret
	defer secret.wipe()
	secret.set(d.Secret[:min(max(d.Size, 0), maxSecret)])
	if s.version == version13 {
		p, err := newProtection(s, &secret)
		if err == nil {
			p.seq = d.Sequence
		}
		return p, err
	}
	if secret.n != s.keyLen {
		return nil, errTag
	}
	p := &protection{suite: s, traffic: secret, iv: d.IV, seq: d.Sequence}
	if s.explicitNonce() {
		p.explicit = binary.BigEndian.Uint64(d.IV[4:])
		clear(p.iv[4:])
	}
	var err error
	if s.mode == modeCBC {
		if d.MACSize != s.tagLen {
			return nil, errTag
		}
		p.macKey.set(d.MAC[:d.MACSize])
		p.cbc, err = newCBC(s, secret.bytes(), p.macKey.bytes(), d.EncryptThenMAC)
	} else {
		p.aead, err = s.aead(secret.bytes())
	}
	return p, err
}

// explicitNonce says that records carry a part of their nonce (RFC 5288, RFC 6655).
func (s *suite) explicitNonce() bool {
	return s.version == version12 && (s.mode == modeGCM || s.mode == modeCCM)
}

// Resume returns a Conn that goes on at a State: client and server are the offsets in the TCP streams of the
// first bytes that it will be given. Where bytes are missing, records are found again by their headers and
// proven by their tags, as after any gap. It is nil when the State is none that can be read.
func Resume(keys *KeyStore, sink Sink, limits Limits, stats *Stats, s *State, client, server uint64) *Conn {
	c := NewConn(keys, sink, limits, stats)
	c.suite = suites[s.Cipher]
	if c.suite == nil {
		return nil
	}
	c.info = Info{Version: versionNames[c.suite.version], Cipher: c.suite.name, SNI: s.SNI, ALPN: s.ALPN, Resumed: s.Resumed, Full: s.Full}
	for _, d := range []struct {
		h     *half
		from  *DirectionState
		start uint64
	}{{&c.client, &s.Client, client}, {&c.server, &s.Server, server}} {
		k, err := c.suite.protection(d.from)
		if err != nil {
			c.release()
			return nil
		}
		d.h.setKeys(k)
		d.h.state, d.h.off = stateEncrypted, d.start
		if d.start != d.from.Offset {
			c.stats.Gaps++
			d.h.state, d.h.trials = stateResync, c.limits.MaxTrialBytes
			d.h.gapLen = max(d.start, d.from.Offset) - d.from.Offset
		}
	}
	sink.TLS(c.info)
	return c
}
