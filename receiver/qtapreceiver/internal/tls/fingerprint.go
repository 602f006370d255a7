// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/md5" //nolint:gosec // JA3 is defined with it
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"
)

// Extensions that only fingerprints look into.
const (
	extSupportedGroups     = 10
	extPointFormats        = 11
	extSignatureAlgorithms = 13
)

// Transports of JA4.
const (
	// TransportTCP is TLS over TCP.
	TransportTCP = 't'
	// TransportQUIC is the TLS of QUIC.
	TransportQUIC = 'q'
)

// offer is what a ClientHello offers, in its order and without GREASE (RFC 8701).
type offer struct {
	version    uint16 // legacy_version
	highest    uint16 // of supported_versions; 0 without it
	ciphers    []uint16
	extensions []uint16
	groups     []uint16
	points     []byte
	algorithms []uint16
	sni        bool
	alpn       []byte // the first name
}

// Fingerprint returns the JA3 (md5 of the JA3 string, github.com/salesforce/ja3) and JA4
// (technical_details/JA4.md of github.com/FoxIO-LLC/ja4) of a ClientHello's body; "" when it is malformed.
// Both name the software that a client is made of, not its user.
func Fingerprint(body []byte, transport byte) (ja3, ja4 string) {
	var o offer
	if !o.parse(body) {
		return "", ""
	}
	sum := md5.Sum(o.ja3()) //nolint:gosec // by definition
	return hex.EncodeToString(sum[:]), string(o.ja4(transport))
}

func (o *offer) parse(body []byte) bool {
	r := reader{b: body}
	o.version = uint16(r.u16())
	r.take(32)
	r.vec8()
	o.ciphers = values(r.vec16())
	r.vec8()
	r.extensions(func(typ int, b []byte) {
		if grease(uint16(typ)) {
			return
		}
		o.extensions = append(o.extensions, uint16(typ))
		l := reader{b: b}
		switch typ {
		case extServerName:
			o.sni = true
		case extSupportedGroups:
			o.groups = values(l.vec16())
		case extPointFormats:
			o.points = l.vec8()
		case extSignatureAlgorithms:
			o.algorithms = values(l.vec16())
		case extALPN:
			names := reader{b: l.vec16()}
			o.alpn = names.vec8()
		case extSupportedVersions:
			for _, v := range values(l.vec8()) {
				o.highest = max(o.highest, v)
			}
		}
	})
	return !r.bad
}

// values reads a list of 16-bit values and leaves GREASE out.
func values(b []byte) []uint16 {
	out := make([]uint16, 0, len(b)/2)
	for ; len(b) >= 2; b = b[2:] {
		if v := binary.BigEndian.Uint16(b); !grease(v) {
			out = append(out, v)
		}
	}
	return out
}

// grease says whether v is one of the values that RFC 8701 reserves.
func grease(v uint16) bool { return v&0x0f0f == 0x0a0a && v>>8 == v&0xff }

// ja3 is "version,ciphers,extensions,groups,point formats" in decimal.
func (o *offer) ja3() []byte {
	b := strconv.AppendUint(make([]byte, 0, 512), uint64(o.version), 10)
	for _, list := range [][]uint16{o.ciphers, o.extensions, o.groups} {
		b = append(b, ',')
		for i, v := range list {
			if i > 0 {
				b = append(b, '-')
			}
			b = strconv.AppendUint(b, uint64(v), 10)
		}
	}
	b = append(b, ',')
	for i, v := range o.points {
		if i > 0 {
			b = append(b, '-')
		}
		b = strconv.AppendUint(b, uint64(v), 10)
	}
	return b
}

// ja4 sorts the lists that it hashes.
func (o *offer) ja4(transport byte) []byte {
	version := o.highest
	if version == 0 {
		version = o.version
	}
	b := append(make([]byte, 0, 36), transport)
	switch {
	case version >= 0x0301 && version <= version13:
		b = append(b, '1', byte('0'+version-0x0301))
	case version == 0x0300:
		b = append(b, "s3"...)
	case version == 0x0002:
		b = append(b, "s2"...)
	default:
		b = append(b, "00"...)
	}
	if o.sni {
		b = append(b, 'd')
	} else {
		b = append(b, 'i')
	}
	b = twoDigits(b, len(o.ciphers))
	b = twoDigits(b, len(o.extensions))
	b = appendALPN(b, o.alpn)

	slices.Sort(o.ciphers)
	list := appendHex(make([]byte, 0, 512), o.ciphers)
	b = appendHash(append(b, '_'), list)
	// Server name and protocol are in the first part already.
	rest := slices.DeleteFunc(o.extensions, func(v uint16) bool { return v == extServerName || v == extALPN })
	slices.Sort(rest)
	list = appendHex(list[:0], rest)
	if len(list) > 0 && len(o.algorithms) > 0 {
		list = appendHex(append(list, '_'), o.algorithms)
	}
	return appendHash(append(b, '_'), list)
}

func twoDigits(b []byte, n int) []byte {
	n = min(n, 99)
	return append(b, byte('0'+n/10), byte('0'+n%10))
}

// appendALPN appends the first and the last character of a protocol's name, or of its hexadecimal
// form when either is neither a letter nor a digit.
func appendALPN(b, name []byte) []byte {
	if len(name) == 0 {
		return append(b, "00"...)
	}
	first, last := name[0], name[len(name)-1]
	if !alphanumeric(first) || !alphanumeric(last) {
		const digits = "0123456789abcdef"
		first, last = digits[first>>4], digits[last&15]
	}
	return append(b, first, last)
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}

// appendHex appends values of four digits, separated by commas.
func appendHex(b []byte, list []uint16) []byte {
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = hex.AppendEncode(b, []byte{byte(v >> 8), byte(v)})
	}
	return b
}

// appendHash appends the first twelve digits of a list's hash; zeros for none.
func appendHash(b, list []byte) []byte {
	if len(list) == 0 {
		return append(b, "000000000000"...)
	}
	sum := sha256.Sum256(list)
	return hex.AppendEncode(b, sum[:6])
}
