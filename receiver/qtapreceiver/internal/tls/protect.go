// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"hash"
)

// Record content types, RFC 8446 §5.1.
const (
	typeCCS         = 20
	typeAlert       = 21
	typeHandshake   = 22
	typeApplication = 23

	alertCloseNotify = 0 // RFC 8446 §6.1
)

const (
	headerLen = 5
	// maxBody is the longest record body of TLS 1.2; TLS 1.3 allows 2^14+256.
	maxBody   = 1<<14 + 2048
	maxRecord = headerLen + maxBody
	tagLen    = 16
)

// errTag says that a record is not what its keys and sequence number protect. It carries nothing of the record.
var errTag = errors.New("record tag does not verify")

// protection removes the protection of one direction's records.
type protection struct {
	suite *suite
	// traffic is the current traffic secret: KeyUpdate derives the next one from it. TLS 1.2 has none:
	// there it is the key itself.
	traffic secret
	macKey  secret      // in CBC mode
	aead    cipher.AEAD // nil in CBC mode, whose part cbc does
	cbc     *cbc
	iv      [12]byte
	seq     uint64 // of the next record
	// explicit is the explicit nonce of TLS 1.2 that the next record has if the stack counts.
	explicit uint64

	// In the struct, not on the stack: arguments of an interface method escape.
	nonce [12]byte
	aad   [13]byte
}

// newProtection derives a direction's keys from its traffic secret, RFC 8446 §7.3.
func newProtection(s *suite, traffic *secret) (*protection, error) {
	if traffic.n != s.hash().Size() {
		return nil, errTag
	}
	p := &protection{suite: s, traffic: *traffic}
	key := p.key()
	defer clear(key)
	iv := expandLabel(s.hash, p.traffic.bytes(), "iv", nil, len(p.iv))
	copy(p.iv[:], iv)
	clear(iv)
	var err error
	p.aead, err = s.aead(key)
	return p, err
}

func (p *protection) key() []byte {
	return expandLabel(p.suite.hash, p.traffic.bytes(), "key", nil, p.suite.keyLen)
}

// next returns the protection after a KeyUpdate.
func (p *protection) next() (*protection, error) {
	b := expandLabel(p.suite.hash, p.traffic.bytes(), "traffic upd", nil, p.traffic.n)
	defer clear(b)
	var s secret
	s.set(b)
	defer s.wipe()
	return newProtection(p.suite, &s)
}

func (p *protection) wipe() {
	p.traffic.wipe()
	p.macKey.wipe()
	clear(p.iv[:])
	p.aead, p.cbc = nil, nil
}

// open verifies and decrypts a whole record (header and body) and appends the plaintext to
// dst. typ is the type of the content. The sequence number moves on only when the tag verified.
func (p *protection) open(dst, rec []byte) (typ byte, plain []byte, err error) {
	typ, plain, err = p.openAt(dst, rec, p.seq)
	if err == nil {
		p.seq++
	}
	return typ, plain, err
}

func (p *protection) openAt(dst, rec []byte, seq uint64) (typ byte, plain []byte, err error) {
	if p.suite.version == version12 {
		return p.open12(dst, rec, seq)
	}
	body := rec[headerLen:]
	if len(body) < p.suite.tagLen+1 {
		return 0, nil, errTag
	}
	plain, err = p.aead.Open(dst, p.nonceOf(seq), body, rec[:headerLen])
	if err != nil {
		return 0, nil, errTag
	}
	// The last byte that is not padding is the type.
	i := len(plain) - 1
	for i >= len(dst) && plain[i] == 0 {
		i--
	}
	if i < len(dst) {
		return 0, nil, errTag
	}
	return plain[i], plain[:i], nil
}

func (p *protection) nonceOf(seq uint64) []byte {
	p.nonce = p.iv
	binary.BigEndian.PutUint64(p.nonce[4:], binary.BigEndian.Uint64(p.iv[4:])^seq)
	return p.nonce[:]
}

// sequenceOf finds the sequence number that a TLS 1.3 AES-GCM record was sealed with, at once
// and without trials. The tag is GHASH(record) XOR AES(nonce‖1), so the nonce can be had back with
// the key: that makes the length of a hole irrelevant. The caller proves the result by opening the record.
func (p *protection) sequenceOf(rec []byte) (uint64, bool) {
	ct, tag := rec[headerLen:len(rec)-tagLen], rec[len(rec)-tagLen:]
	key := p.key()
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return 0, false
	}
	// GHASH of this very ciphertext, out of the AEAD: under any nonce, decrypt it as counter mode
	// does, seal that again, and take the nonce's mask off the tag.
	nonce := make([]byte, 12)
	plain := p.aead.Seal(nil, nonce, ct, nil)[:len(ct)]
	sealed := p.aead.Seal(nil, nonce, plain, rec[:headerLen])
	var mask, j0 [16]byte
	copy(mask[:], nonce)
	mask[15] = 1
	block.Encrypt(mask[:], mask[:])
	for i := range j0 {
		j0[i] = sealed[len(ct)+i] ^ mask[i] ^ tag[i]
	}
	block.Decrypt(j0[:], j0[:])
	if binary.BigEndian.Uint32(j0[12:]) != 1 || [4]byte(j0[:4]) != [4]byte(p.iv[:4]) {
		return 0, false
	}
	return binary.BigEndian.Uint64(j0[4:]) ^ binary.BigEndian.Uint64(p.iv[4:]), true
}

// newProtection12 derives both directions' keys from a TLS 1.2 master secret, RFC 5246 §6.3.
// encryptThenMAC says that the hellos agreed on RFC 7366; it counts in CBC mode only.
func newProtection12(s *suite, master *secret, clientRandom, serverRandom []byte, encryptThenMAC bool) (client, server *protection, err error) {
	macLen, ivLen := 0, 4
	switch s.mode {
	case modeChaCha:
		ivLen = 12
	case modeCBC:
		macLen, ivLen = s.tagLen, 0 // each record has its own vector
	}
	seed := append(append([]byte("key expansion"), serverRandom...), clientRandom...)
	b := prf12(s.hash, master.bytes(), seed, 2*(macLen+s.keyLen+ivLen))
	defer clear(b)
	var out [2]*protection
	for i := range out {
		macKey, key, iv := b[i*macLen:][:macLen], b[2*macLen+i*s.keyLen:][:s.keyLen], b[2*(macLen+s.keyLen)+i*ivLen:][:ivLen]
		p := &protection{suite: s}
		copy(p.iv[:], iv)
		p.traffic.set(key)
		p.macKey.set(macKey)
		if s.mode == modeCBC {
			p.cbc, err = newCBC(s, key, macKey, encryptThenMAC)
		} else {
			p.aead, err = s.aead(key)
		}
		if err != nil {
			return nil, nil, err
		}
		out[i] = p
	}
	return out[0], out[1], nil
}

// open12 opens a record of RFC 5288 or RFC 6655 (explicit nonce), RFC 7905 (nonce from the sequence),
// or of CBC mode.
func (p *protection) open12(dst, rec []byte, seq uint64) (typ byte, plain []byte, err error) {
	if p.cbc != nil {
		plain, err = p.cbc.open(dst, rec, seq)
		return rec[0], plain, err
	}
	body := rec[headerLen:]
	nonce := p.nonceOf(seq)
	explicit := p.suite.mode != modeChaCha
	if explicit {
		if len(body) < 8 {
			return 0, nil, errTag
		}
		copy(nonce[4:], body[:8])
		body = body[8:]
	}
	if len(body) < p.suite.tagLen {
		return 0, nil, errTag
	}
	binary.BigEndian.PutUint64(p.aad[:], seq)
	copy(p.aad[8:], rec[:3])
	binary.BigEndian.PutUint16(p.aad[11:], uint16(len(body)-p.suite.tagLen))
	if plain, err = p.aead.Open(dst, nonce, body, p.aad[:]); err != nil {
		return 0, nil, errTag
	}
	if explicit {
		p.explicit = binary.BigEndian.Uint64(nonce[4:]) + 1
	}
	return rec[0], plain, nil
}

// prf12 is P_hash of RFC 5246 §5; seed begins with the label.
func prf12(h func() hash.Hash, secret, seed []byte, n int) []byte {
	out := make([]byte, 0, n+64)
	mac := hmac.New(h, secret)
	a := seed
	for len(out) < n {
		mac.Reset()
		mac.Write(a)
		a = mac.Sum(nil)
		mac.Reset()
		mac.Write(a)
		mac.Write(seed)
		out = mac.Sum(out)
	}
	clear(out[n:])
	return out[:n]
}
