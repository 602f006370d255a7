// SPDX-License-Identifier: Apache-2.0

package tls

import "encoding/binary"

// Handshake message types, RFC 8446 §4.
const (
	msgHelloRequest    = 0
	msgClientHello     = 1
	msgServerHello     = 2
	msgEndOfEarlyData  = 5
	msgEncryptedExts   = 8
	msgCertificate     = 11
	msgServerHelloDone = 14
	msgFinished        = 20
	msgKeyUpdate       = 24
	msgCompressedCert  = 25 // RFC 8879
	msgMessageHash     = 254
)

// Extensions, by the IANA registry.
const (
	extServerName        = 0
	extALPN              = 16
	extEncryptThenMAC    = 22
	extCompressCert      = 27 // RFC 8879
	extPreSharedKey      = 41
	extEarlyData         = 42
	extSupportedVersions = 43
)

// retryRandom marks a ServerHello as HelloRetryRequest, RFC 8446 §4.1.3.
var retryRandom = [32]byte{
	0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
	0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
}

// reader takes fields off a message; once a field is not there, everything reads as empty.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() int {
	if v := r.take(1); v != nil {
		return int(v[0])
	}
	return 0
}

func (r *reader) u16() int {
	if v := r.take(2); v != nil {
		return int(binary.BigEndian.Uint16(v))
	}
	return 0
}

func (r *reader) u24() int {
	if v := r.take(3); v != nil {
		return int(v[0])<<16 | int(v[1])<<8 | int(v[2])
	}
	return 0
}

func (r *reader) vec8() []byte  { return r.take(r.u8()) }
func (r *reader) vec16() []byte { return r.take(r.u16()) }
func (r *reader) vec24() []byte { return r.take(r.u24()) }

// extensions calls f for each extension of a list with its own length.
func (r *reader) extensions(f func(typ int, b []byte)) {
	if len(r.b) == 0 {
		return // TLS 1.2 may leave them out
	}
	l := reader{b: r.vec16()}
	for len(l.b) > 0 {
		typ := l.u16()
		b := l.vec16()
		if l.bad {
			r.bad = true
			return
		}
		f(typ, b)
	}
}

type clientHello struct {
	random    [32]byte
	sessionID []byte
	sni       string
	early     bool
	compress  bool // it takes a compressed certificate
}

// parseClientHello reads the body of a ClientHello.
func parseClientHello(b []byte) (h clientHello, ok bool) {
	r := reader{b: b}
	r.u16()
	copy(h.random[:], r.take(32))
	h.sessionID = append([]byte(nil), r.vec8()...)
	r.vec16() // cipher suites
	r.vec8()  // compression methods
	r.extensions(func(typ int, b []byte) {
		switch typ {
		case extServerName:
			l := reader{b: b}
			names := reader{b: l.vec16()}
			for len(names.b) > 0 {
				kind := names.u8()
				if name := names.vec16(); kind == 0 && h.sni == "" && validName(name) {
					h.sni = string(name)
				}
			}
		case extEarlyData:
			h.early = true
		case extCompressCert:
			h.compress = true
		}
	})
	return h, !r.bad
}

type serverHello struct {
	version   uint16
	random    [32]byte
	sessionID []byte
	cipher    uint16
	psk       bool
	alpn      string
	macOut    bool // encrypt-then-MAC, RFC 7366
}

func (h *serverHello) retry() bool { return h.random == retryRandom }

// parseServerHello reads the body of a ServerHello or HelloRetryRequest.
func parseServerHello(b []byte) (h serverHello, ok bool) {
	r := reader{b: b}
	h.version = uint16(r.u16())
	copy(h.random[:], r.take(32))
	h.sessionID = append([]byte(nil), r.vec8()...)
	h.cipher = uint16(r.u16())
	r.u8() // compression method
	r.extensions(func(typ int, b []byte) {
		switch typ {
		case extSupportedVersions:
			if len(b) == 2 {
				h.version = binary.BigEndian.Uint16(b)
			}
		case extPreSharedKey:
			h.psk = true
		case extEncryptThenMAC:
			h.macOut = true
		case extALPN:
			h.alpn = parseALPN(b)
		}
	})
	return h, !r.bad
}

// parseEncryptedExtensions reads the body of an EncryptedExtensions message.
func parseEncryptedExtensions(b []byte) (alpn string, early, ok bool) {
	r := reader{b: b}
	r.extensions(func(typ int, b []byte) {
		switch typ {
		case extALPN:
			alpn = parseALPN(b)
		case extEarlyData:
			early = true
		}
	})
	return alpn, early, !r.bad
}

// parseALPN reads the protocol a server chose.
func parseALPN(b []byte) string {
	r := reader{b: b}
	l := reader{b: r.vec16()}
	name := l.vec8()
	for _, c := range name {
		if c < 0x21 || c > 0x7e {
			return "" // GREASE and garbage are of no use as an attribute
		}
	}
	return string(name)
}

// validName says whether b can be a host name: what does not look like one is not passed on.
func validName(b []byte) bool {
	if len(b) == 0 || len(b) > 255 {
		return false
	}
	for _, c := range b {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '-', c == '_':
		default:
			return false
		}
	}
	return true
}

// message splits the first handshake message off b: its type and whole length with header.
// ok is false when it is not complete.
func message(b []byte) (typ byte, n int, ok bool) {
	if len(b) < 4 {
		return 0, 0, false
	}
	n = 4 + (int(b[1])<<16 | int(b[2])<<8 | int(b[3]))
	return b[0], n, len(b) >= n
}

// Sniff says whether b is the start of a TLS connection: a ClientHello or, in the server's
// direction, a ServerHello. needMore is true when b is too short to tell.
func Sniff(b []byte) (match, needMore bool) {
	// Record: type, version 3.0-3.4, length. Message: type, length below 128 KiB, version 3.x.
	for i, c := range b[:min(len(b), sniffLen)] {
		ok := true
		switch i {
		case 0:
			ok = c == typeHandshake
		case 1:
			ok = c == 3
		case 2:
			ok = c <= 4
		case 3:
			ok = c <= 0x40
		case 4:
			ok = b[3] != 0 || c >= 4
		case 5:
			ok = c == msgClientHello || c == msgServerHello
		case 6:
			ok = c <= 1
		case 9:
			// A record may end after the message's header; another one begins then.
			ok = c == 3 || c == typeHandshake && b[3] == 0 && b[4] == 4
		}
		if !ok {
			return false, false
		}
	}
	return len(b) >= sniffLen, len(b) < sniffLen
}

const sniffLen = 10

// SniffRecords says whether b is made of encrypted records: one whole record at least, and then
// nothing but what looks like more of them. It is for connections that are joined after their handshake.
func SniffRecords(b []byte) bool {
	whole := 0
	for len(b) > 0 {
		header := [headerLen]byte{typeApplication, 3, 3, 1}
		copy(header[:], b)
		n := int(binary.BigEndian.Uint16(header[3:]))
		if header[0] != typeApplication || header[1] != 3 || header[2] != 3 || n < tagLen || n > maxBody {
			return false
		}
		if len(b) < headerLen+n {
			break
		}
		b = b[headerLen+n:]
		whole++
	}
	return whole > 0
}
