// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"hash"
)

// cbc removes the protection of TLS 1.2 records in CBC mode: the MAC inside the encryption (RFC 5246
// §6.2.3.2), or outside where the hellos agreed on that (RFC 7366). Either way it is the MAC, over
// sequence number and content, that proves a record.
type cbc struct {
	block  cipher.Block
	chain  cipher.BlockMode
	mac    hash.Hash
	macOut bool // encrypt-then-MAC
	head   [13]byte
	sum    []byte
}

func newCBC(s *suite, key, macKey []byte, encryptThenMAC bool) (*cbc, error) {
	b, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return &cbc{block: b, mac: hmac.New(s.mac, macKey), macOut: encryptThenMAC, sum: make([]byte, 0, s.tagLen)}, nil
}

// open verifies and decrypts a record, and appends the plaintext to dst.
func (c *cbc) open(dst, rec []byte, seq uint64) ([]byte, error) {
	body, size := rec[headerLen:], c.mac.Size()
	if c.macOut {
		if len(body) < size {
			return nil, errTag
		}
		n := len(body) - size
		if !c.verify(rec, seq, body[:n], body[n:]) {
			return nil, errTag
		}
		body = body[:n]
	}
	if len(body) < 2*aes.BlockSize || len(body)%aes.BlockSize != 0 {
		return nil, errTag
	}
	n := len(dst)
	dst = append(dst, body[aes.BlockSize:]...)
	plain := dst[n:]
	c.decrypt(plain, body[:aes.BlockSize])
	// The last byte is the length of the padding before it, each byte of which is the same.
	pad := int(plain[len(plain)-1])
	if pad+1 > len(plain) {
		return nil, errTag
	}
	for _, b := range plain[len(plain)-1-pad:] {
		if int(b) != pad {
			return nil, errTag
		}
	}
	plain = plain[:len(plain)-1-pad]
	if !c.macOut {
		if len(plain) < size {
			return nil, errTag
		}
		end := len(plain) - size
		if !c.verify(rec, seq, plain[:end], plain[end:]) {
			return nil, errTag
		}
		plain = plain[:end]
	}
	return dst[:n+len(plain)], nil
}

// decrypt is CBC in place. The mode of Go's AES can be given another vector without an allocation.
func (c *cbc) decrypt(b, iv []byte) {
	if m, ok := c.chain.(interface{ SetIV([]byte) }); ok {
		m.SetIV(iv)
	} else {
		c.chain = cipher.NewCBCDecrypter(c.block, iv)
	}
	c.chain.CryptBlocks(b, b)
}

// verify holds the MAC of content, the fragment that it is made of, against want.
func (c *cbc) verify(rec []byte, seq uint64, content, want []byte) bool {
	binary.BigEndian.PutUint64(c.head[:], seq)
	copy(c.head[8:], rec[:3])
	binary.BigEndian.PutUint16(c.head[11:], uint16(len(content)))
	c.mac.Reset()
	c.mac.Write(c.head[:])
	c.mac.Write(content)
	c.sum = c.mac.Sum(c.sum[:0])
	return hmac.Equal(c.sum, want)
}
