// SPDX-License-Identifier: Apache-2.0

// Package quic reads the ClientHello of a QUIC connection (RFC 9000, RFC 9001, RFC 9369) from the
// client's Initial packets, whose keys follow from what they carry in the clear. Nothing else of a
// connection can be read from the outside.
package quic

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"iter"
	"sort"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// Hello is what a ClientHello says.
type Hello struct {
	Version uint32   // of QUIC
	Random  [32]byte // names the connection, whatever ids it goes by later
	SNI     string   // "" when the client named no server
	// JA3 and JA4 are fingerprints of the client, see tls.Fingerprint.
	JA3, JA4 string
}

const (
	version1 = 1
	version2 = 0x6b3343cf
	// maxHello bounds a ClientHello: post-quantum key shares make them about 2 KiB.
	maxHello = 16 << 10
	// maxPieces bounds the CRYPTO frames that a ClientHello comes in.
	maxPieces = 64
	tagSize   = 16
)

var salts = map[uint32][]byte{
	version1: {0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a},
	version2: {0x0d, 0xed, 0xe3, 0xde, 0xf7, 0x00, 0xa6, 0xdb, 0x81, 0x93, 0x81, 0xbe, 0x6e, 0x26, 0x9d, 0xcb, 0xf9, 0xbd, 0x2e, 0xd9},
}

// Initial is the header of a client's Initial packet.
type Initial struct {
	Version uint32
	DCID    string // the connection id that the client chose for the server
	packet  []byte // the packet alone, without what is coalesced behind it
	pn      int    // offset of the packet number
}

// Initials are the Initial packets of a datagram, of either direction: the first, and those coalesced behind it
// (RFC 9000 §12.2), also where segments of one send come together. It ends with what is no long header.
func Initials(b []byte) iter.Seq[Initial] {
	return func(yield func(Initial) bool) {
		for len(b) > 0 {
			p, initial, n := parseLong(b)
			if n == 0 || initial && !yield(p) {
				return
			}
			b = b[n:]
			for len(b) > 0 && b[0] == 0 {
				b = b[1:] // padding behind the last packet of a segment
			}
		}
	}
}

// parseLong reads a packet with a long header; n is its length, 0 when it is none.
func parseLong(b []byte) (p Initial, initial bool, n int) {
	if len(b) < 7 || b[0]&0xc0 != 0xc0 {
		return p, false, 0
	}
	p.Version = binary.BigEndian.Uint32(b[1:])
	kind := b[0] >> 4 & 3 // Initial, 0-RTT, Handshake, Retry
	switch p.Version {
	case version1:
	case version2:
		kind = (kind - 1) & 3 // RFC 9369 §3.2
	default:
		return p, false, 0
	}
	if kind == 3 {
		return p, false, 0 // Retry is alone
	}
	initial = kind == 0
	at := 5
	var ids [2][]byte
	for i := range ids {
		if at >= len(b) || b[at] > 20 || at+1+int(b[at]) > len(b) {
			return p, false, 0
		}
		ids[i] = b[at+1 : at+1+int(b[at])]
		at += 1 + int(b[at])
	}
	p.DCID = string(ids[0])
	if initial {
		token, n := varint(b[at:])
		if n == 0 || token > uint64(len(b)-at-n) {
			return p, false, 0
		}
		at += n + int(token)
	}
	length, k := varint(b[at:])
	at += k
	if k == 0 || length > uint64(len(b)-at) || length < 4+tagSize {
		return p, false, 0
	}
	p.packet, p.pn = b[:at+int(length)], at
	return p, initial, at + int(length)
}

// keys are the client's Initial keys of one connection.
type keys struct {
	aead cipher.AEAD
	iv   []byte
	hp   cipher.Block
}

func newKeys(version uint32, dcid string) (k keys, ok bool) {
	initial, err := hkdf.Extract(sha256.New, []byte(dcid), salts[version])
	if err != nil {
		return k, false
	}
	prefix := "quic"
	if version == version2 {
		prefix = "quicv2"
	}
	secret := tls.ExpandLabel(sha256.New, initial, "client in", sha256.Size)
	block, err := aes.NewCipher(tls.ExpandLabel(sha256.New, secret, prefix+" key", 16))
	if err != nil {
		return k, false
	}
	if k.aead, err = cipher.NewGCM(block); err != nil {
		return k, false
	}
	k.iv = tls.ExpandLabel(sha256.New, secret, prefix+" iv", 12)
	k.hp, err = aes.NewCipher(tls.ExpandLabel(sha256.New, secret, prefix+" hp", 16))
	return k, err == nil
}

// open returns the frames of a packet; ok is false when its tag does not verify.
func (k *keys) open(p Initial) (frames []byte, ok bool) {
	if len(p.packet) < p.pn+4+16 {
		return nil, false
	}
	var mask [16]byte
	k.hp.Encrypt(mask[:], p.packet[p.pn+4:p.pn+20])
	head := append([]byte(nil), p.packet[:p.pn+4]...)
	head[0] ^= mask[0] & 0x0f
	size := int(head[0]&3) + 1
	head = head[:p.pn+size]
	nonce := append([]byte(nil), k.iv...)
	// The first packets have small numbers: what is cut off is zero.
	for i := range size {
		head[p.pn+i] ^= mask[1+i]
		nonce[len(nonce)-size+i] ^= head[p.pn+i]
	}
	frames, err := k.aead.Open(nil, nonce, p.packet[p.pn+size:], head)
	return frames, err == nil
}

// Assembler puts a ClientHello together from the Initial packets of one connection id. Its zero value is ready.
type Assembler struct {
	keys   *keys
	pieces []piece
	size   int
}

type piece struct {
	off uint64
	b   []byte
}

// Add takes a packet, also one that goes by another id by now: the keys stay those of the first. proven is true when it is really a client's of this connection; done when
// the ClientHello is whole.
func (a *Assembler) Add(p Initial) (h Hello, proven, done bool) {
	if a.keys == nil {
		k, ok := newKeys(p.Version, p.DCID)
		if !ok {
			return h, false, false
		}
		a.keys = &k
	}
	frames, ok := a.keys.open(p)
	if !ok {
		return h, false, false
	}
	a.crypto(frames)
	hello := a.hello()
	if hello == nil {
		return h, true, false
	}
	h.Version = p.Version
	h.Random, h.SNI, done = tls.ParseClientHello(hello)
	h.JA3, h.JA4 = tls.Fingerprint(hello, tls.TransportQUIC)
	return h, true, done
}

// crypto keeps the CRYPTO frames. Of the other frames only those of Initial packets are known
// (RFC 9000 §12.4); what follows another one is not read.
func (a *Assembler) crypto(b []byte) {
	for len(b) > 0 {
		typ := b[0]
		b = b[1:]
		switch typ {
		case 0, 1: // PADDING, PING
		case 2, 3: // ACK
			var v [4]uint64
			for i := range v {
				var n int
				if v[i], n = varint(b); n == 0 {
					return
				}
				b = b[n:]
			}
			skip := 2 * v[2]
			if typ == 3 {
				skip += 3
			}
			if v[2] > uint64(len(b)) {
				return
			}
			for range skip {
				_, n := varint(b)
				if n == 0 {
					return
				}
				b = b[n:]
			}
		case 6:
			off, n := varint(b)
			size, m := varint(b[n:])
			if n == 0 || m == 0 || size > uint64(len(b)-n-m) || off > maxHello || off+size > maxHello || len(a.pieces) >= maxPieces || a.size+int(size) > 2*maxHello {
				return
			}
			b = b[n+m:]
			a.pieces = append(a.pieces, piece{off, append([]byte(nil), b[:size]...)})
			a.size += int(size)
			b = b[size:]
		default:
			return
		}
	}
}

// hello returns the body of the ClientHello when every byte of it is there.
func (a *Assembler) hello() []byte {
	sort.SliceStable(a.pieces, func(i, j int) bool { return a.pieces[i].off < a.pieces[j].off })
	var b []byte
	for _, p := range a.pieces {
		if p.off > uint64(len(b)) {
			break
		}
		if end := p.off + uint64(len(p.b)); end > uint64(len(b)) {
			b = append(b, p.b[uint64(len(b))-p.off:]...)
		}
	}
	if len(b) < 4 || b[0] != 1 {
		return nil
	}
	n := int(b[1])<<16 | int(b[2])<<8 | int(b[3])
	if len(b) < 4+n {
		return nil
	}
	return b[4 : 4+n]
}

// varint reads a variable-length integer (RFC 9000 §16); n is 0 when b is too short.
func varint(b []byte) (v uint64, n int) {
	if len(b) == 0 {
		return 0, 0
	}
	n = 1 << (b[0] >> 6)
	if len(b) < n {
		return 0, 0
	}
	v = uint64(b[0] & 0x3f)
	for _, c := range b[1:n] {
		v = v<<8 | uint64(c)
	}
	return v, n
}
