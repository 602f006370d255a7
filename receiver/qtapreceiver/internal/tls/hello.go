// SPDX-License-Identifier: Apache-2.0

package tls

import "hash"

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
