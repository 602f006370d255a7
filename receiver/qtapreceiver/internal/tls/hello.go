// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"encoding/binary"
	"hash"
)

// SniffHello says whether b begins with a ClientHello that is alone in its record, as clients send it. It is for places
// where TLS may or may not begin, and asks for more than Sniff.
func SniffHello(b []byte) bool {
	match, _ := Sniff(b)
	if !match || b[5] != msgClientHello {
		return false
	}
	_, n, _ := message(b[headerLen:])
	return n == int(binary.BigEndian.Uint16(b[3:]))
}

// ParseClientHello reads the body of a ClientHello, behind its handshake header: the client random,
// and the host name it asks for ("" when it names none).
func ParseClientHello(body []byte) (random [32]byte, sni string, ok bool) {
	h, ok := parseClientHello(body)
	return h.random, h.sni, ok
}

// ExpandLabel is HKDF-Expand-Label (RFC 8446 §7.1) with an empty context. n is at most 255 hashes.
func ExpandLabel(h func() hash.Hash, secret []byte, label string, n int) []byte {
	return expandLabel(h, secret, label, nil, n)
}
