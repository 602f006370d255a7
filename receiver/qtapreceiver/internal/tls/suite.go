// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1" //nolint:gosec // HMAC-SHA1 is what these suites authenticate with
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"hash"
	"strings"

	"golang.org/x/crypto/chacha20poly1305"
)

const (
	version12 = 0x0303
	version13 = 0x0304
)

// mode is how a suite protects records.
type mode uint8

const (
	modeGCM    mode = iota + 1 // RFC 5288, RFC 8446
	modeCCM                    // RFC 6655, RFC 8446
	modeChaCha                 // RFC 7905, RFC 8446
	modeCBC                    // RFC 5246 §6.2.3.2, RFC 7366
)

// suite is a cipher suite that can be read.
type suite struct {
	id      uint16 // IANA number
	name    string // IANA
	version uint16
	mode    mode
	keyLen  int
	tagLen  int              // of the AEAD; of modeCBC that of the MAC
	hash    func() hash.Hash // of the key schedule
	mac     func() hash.Hash // of the records; modeCBC only
}

// newSuite returns the suite of a name; nil when it cannot be read.
func newSuite(id uint16, name string) *suite {
	s := &suite{id: id, name: name, version: version12, hash: sha256.New, tagLen: tagLen}
	if id>>8 == 0x13 {
		s.version = version13
	}
	if strings.HasSuffix(name, "_SHA384") {
		s.hash = sha512.New384
	}
	switch {
	case strings.Contains(name, "_AES_128_"):
		s.keyLen = 16
	case strings.Contains(name, "_AES_256_"):
		s.keyLen = 32
	case strings.Contains(name, "_CHACHA20_POLY1305_"):
		s.keyLen, s.mode = 32, modeChaCha
		return s
	default:
		return nil
	}
	switch {
	case strings.Contains(name, "_GCM_"):
		s.mode = modeGCM
	case strings.Contains(name, "_CCM_8"):
		s.mode, s.tagLen = modeCCM, 8
	case strings.Contains(name, "_CCM"):
		s.mode = modeCCM
	case strings.HasSuffix(name, "_CBC_SHA"):
		s.mode, s.mac, s.tagLen = modeCBC, sha1.New, sha1.Size
	default:
		s.mode, s.mac, s.tagLen = modeCBC, s.hash, s.hash().Size()
	}
	return s
}

var suites = func() map[uint16]*suite {
	m := map[uint16]*suite{}
	for id, name := range suiteNames {
		if s := newSuite(id, name); s != nil {
			m[id] = s
		}
	}
	return m
}()

// cipherName returns the IANA name of a cipher suite, or its number when it is not known here.
func cipherName(id uint16) string {
	if name := suiteNames[id]; name != "" {
		return name
	}
	return tls.CipherSuiteName(id)
}

func (s *suite) aead(key []byte) (cipher.AEAD, error) {
	if s.mode == modeChaCha {
		return chacha20poly1305.New(key)
	}
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	if s.mode == modeCCM {
		return newCCM(b, s.tagLen), nil
	}
	return cipher.NewGCM(b)
}

// minRecord is the length of the shortest record.
func (s *suite) minRecord() uint64 {
	switch {
	case s.version == version13:
		return uint64(headerLen + s.tagLen + 1)
	case s.mode == modeGCM, s.mode == modeCCM:
		return uint64(headerLen + 8 + s.tagLen)
	case s.mode == modeCBC:
		return uint64(headerLen + aes.BlockSize + s.tagLen)
	}
	return uint64(headerLen + s.tagLen)
}
