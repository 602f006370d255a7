// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// ccm is AES-CCM (RFC 3610, NIST SP 800-38C) with the 12-byte nonce of TLS (RFC 6655 §3), which Go
// does not have. It is not safe for concurrent use.
type ccm struct {
	block  cipher.Block
	tagLen int

	// In the struct, not on the stack: arguments of an interface method escape.
	sum, ctr [16]byte
}

const (
	ccmNonce  = 12
	ccmLength = 15 - ccmNonce // bytes of the message's length
)

func newCCM(block cipher.Block, tagLen int) cipher.AEAD { return &ccm{block: block, tagLen: tagLen} }

func (*ccm) NonceSize() int  { return ccmNonce }
func (c *ccm) Overhead() int { return c.tagLen }
func (c *ccm) tag() []byte   { return c.sum[:c.tagLen] }
func (c *ccm) absorb(b []byte) { // b, padded with zeros to whole blocks
	for len(b) > 0 {
		b = b[subtle.XORBytes(c.sum[:], c.sum[:], b):]
		c.block.Encrypt(c.sum[:], c.sum[:])
	}
}

// authenticate leaves the tag before encryption in sum. aad is shorter than 65,280 bytes.
func (c *ccm) authenticate(nonce, plain, aad []byte) {
	// B_0: flags, nonce, length.
	c.sum = [16]byte{byte((c.tagLen-2)/2<<3 | (ccmLength - 1))}
	copy(c.sum[1:], nonce)
	c.sum[13], c.sum[14], c.sum[15] = byte(len(plain)>>16), byte(len(plain)>>8), byte(len(plain))
	if len(aad) > 0 {
		c.sum[0] |= 1 << 6
	}
	c.block.Encrypt(c.sum[:], c.sum[:])
	if len(aad) > 0 {
		var first [16]byte
		binary.BigEndian.PutUint16(first[:], uint16(len(aad)))
		n := copy(first[2:], aad)
		c.absorb(first[:])
		c.absorb(aad[n:])
	}
	c.absorb(plain)
}

// stream returns the key stream of the message, and takes its first block off sum, or puts it on.
func (c *ccm) stream(nonce []byte) cipher.Stream {
	c.ctr = [16]byte{ccmLength - 1}
	copy(c.ctr[1:], nonce)
	s := cipher.NewCTR(c.block, c.ctr[:])
	s.XORKeyStream(c.sum[:], c.sum[:])
	return s
}

// Seal implements cipher.AEAD.
func (c *ccm) Seal(dst, nonce, plain, aad []byte) []byte {
	c.authenticate(nonce, plain, aad)
	s := c.stream(nonce)
	n := len(dst)
	dst = append(dst, plain...)
	s.XORKeyStream(dst[n:], dst[n:])
	return append(dst, c.tag()...)
}

// Open implements cipher.AEAD.
func (c *ccm) Open(dst, nonce, sealed, aad []byte) ([]byte, error) {
	if len(sealed) < c.tagLen {
		return nil, errTag
	}
	body, tag := sealed[:len(sealed)-c.tagLen], sealed[len(sealed)-c.tagLen:]
	c.sum = [16]byte{}
	s := c.stream(nonce)
	mask := c.sum // of the tag
	n := len(dst)
	dst = append(dst, body...)
	s.XORKeyStream(dst[n:], dst[n:])
	c.authenticate(nonce, dst[n:], aad)
	subtle.XORBytes(c.sum[:], c.sum[:], mask[:])
	if subtle.ConstantTimeCompare(c.tag(), tag) != 1 {
		return nil, errTag
	}
	return dst, nil
}
