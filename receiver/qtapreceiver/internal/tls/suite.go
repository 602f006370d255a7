// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"hash"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	version12 = 0x0303
	version13 = 0x0304
)

// suite is an AEAD cipher suite that can be read.
type suite struct {
	id      uint16
	name    string // IANA
	version uint16
	hash    func() hash.Hash
	keyLen  int
	chacha  bool
}

func newSuite(id uint16, name string, version uint16, strong, chacha bool) *suite {
	s := &suite{id: id, name: name, version: version, hash: sha256.New, keyLen: 16, chacha: chacha}
	if strong {
		s.hash, s.keyLen = sha512.New384, 32
	}
	if chacha {
		s.keyLen = 32
	}
	return s
}

// suites are those of RFC 8446 §B.4 (without CCM), RFC 5288, RFC 5289 and RFC 7905.
var suites = func() map[uint16]*suite {
	m := map[uint16]*suite{}
	for _, s := range []*suite{
		newSuite(0x1301, "TLS_AES_128_GCM_SHA256", version13, false, false),
		newSuite(0x1302, "TLS_AES_256_GCM_SHA384", version13, true, false),
		newSuite(0x1303, "TLS_CHACHA20_POLY1305_SHA256", version13, false, true),
		newSuite(0x009c, "TLS_RSA_WITH_AES_128_GCM_SHA256", version12, false, false),
		newSuite(0x009d, "TLS_RSA_WITH_AES_256_GCM_SHA384", version12, true, false),
		newSuite(0x009e, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256", version12, false, false),
		newSuite(0x009f, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384", version12, true, false),
		newSuite(0xc02b, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", version12, false, false),
		newSuite(0xc02c, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", version12, true, false),
		newSuite(0xc02f, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", version12, false, false),
		newSuite(0xc030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", version12, true, false),
		newSuite(0xcca8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", version12, false, true),
		newSuite(0xcca9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", version12, false, true),
		newSuite(0xccaa, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256", version12, false, true),
	} {
		m[s.id] = s
	}
	return m
}()

// cipherName returns the IANA name of a cipher suite, or its number when it is not known here.
func cipherName(id uint16) string {
	if s := suites[id]; s != nil {
		return s.name
	}
	switch id {
	case 0x1304:
		return "TLS_AES_128_CCM_SHA256"
	case 0x1305:
		return "TLS_AES_128_CCM_8_SHA256"
	}
	return tls.CipherSuiteName(id)
}

func (s *suite) aead(key []byte) (cipher.AEAD, error) {
	if s.chacha {
		return chacha20poly1305.New(key)
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(b)
}
