// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

const (
	pseudonymBytes = 8 // of the HMAC
	tagBytes       = 4 // of the HMAC of those
	pseudonymHex   = 2 * (pseudonymBytes + tagBytes)
	maxKeyFile     = 4096
	// keyedPrefix begins the unique local IPv6 addresses (RFC 4193) that stand for others.
	keyedPrefix0, keyedPrefix1 = 0xfd, 0x51
)

// keyring holds the keys of `hmac`, the current one first.
//
// A pseudonym is the start of HMAC-SHA256 over the kind and the value, and a tag, an HMAC over that start. The tag
// tells what a key of ours made from text that only looks so: nobody without a key can write a value that passes for
// a pseudonym, and anonymizing twice, here or in a gateway with the same keys, is the same as once.
type keyring []hmacKey

type hmacKey struct {
	id     string
	secret []byte
	mark   [2]byte // of the id, in addresses
}

func newKeyring(cfg []KeyConfig) (keyring, error) {
	var ring keyring
	for i, k := range cfg {
		secret := []byte(k.Key)
		if k.KeyFile != "" {
			info, err := os.Stat(k.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("`hmac_keys[%d]::key_file`: %w", i, err)
			}
			if !info.Mode().IsRegular() || info.Size() > maxKeyFile {
				return nil, fmt.Errorf("`hmac_keys[%d]::key_file` must be a file of at most %d bytes", i, maxKeyFile)
			}
			text, err := os.ReadFile(k.KeyFile)
			if err != nil {
				return nil, fmt.Errorf("`hmac_keys[%d]::key_file`: %w", i, err)
			}
			secret = bytes.Clone(bytes.TrimSpace(text))
			clear(text)
			if len(secret) < minHMACKey {
				return nil, fmt.Errorf("`hmac_keys[%d]::key_file` has a key of %d bytes: %d is the least, for example from `openssl rand -hex 32`", i, len(secret), minHMACKey)
			}
		}
		sum := sha256.Sum256([]byte(k.ID))
		ring = append(ring, hmacKey{id: k.ID, secret: secret, mark: [2]byte{sum[0], sum[1]}})
	}
	return ring, nil
}

// forget overwrites the keys.
func (r keyring) forget() {
	for _, k := range r {
		clear(k.secret)
	}
}

func (k hmacKey) sum(parts ...string) []byte {
	h := hmac.New(sha256.New, k.secret)
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return h.Sum(nil)
}

// pseudonym returns the bytes that stand for a value.
func (k hmacKey) pseudonym(kind, value string) []byte {
	p := k.sum("value", kind, value)[:pseudonymBytes]
	return append(p, k.sum("tag", string(p))[:tagBytes]...)
}

// made reports whether k made the pseudonym.
func (k hmacKey) made(p []byte) bool {
	return len(p) == pseudonymBytes+tagBytes && hmac.Equal(p[pseudonymBytes:], k.sum("tag", string(p[:pseudonymBytes]))[:tagBytes])
}

// name returns `id<between>hex`, which stands for a value of a kind.
func (r keyring) name(kind, value, between string) string {
	return r[0].id + between + hex.EncodeToString(r[0].pseudonym(kind, value))
}

// isName reports whether a key of the ring made s.
func (r keyring) isName(s, between string) bool {
	id, digits, _ := strings.Cut(s, between)
	if len(digits) != pseudonymHex || !isLowerHex(digits) {
		return false
	}
	for _, k := range r {
		if k.id == id {
			p, err := hex.DecodeString(digits)
			return err == nil && k.made(p)
		}
	}
	return false
}

// address returns the address that stands for a.
func (r keyring) address(a netip.Addr) netip.Addr {
	for _, k := range r {
		if k.madeAddress(a) {
			return a
		}
	}
	var b [16]byte
	b[0], b[1], b[2], b[3] = keyedPrefix0, keyedPrefix1, r[0].mark[0], r[0].mark[1]
	copy(b[4:], r[0].pseudonym("ip", a.Unmap().String()))
	return netip.AddrFrom16(b)
}

func (k hmacKey) madeAddress(a netip.Addr) bool {
	b := a.As16()
	return b[0] == keyedPrefix0 && b[1] == keyedPrefix1 && b[2] == k.mark[0] && b[3] == k.mark[1] && k.made(b[4:])
}

// canonical is the form of a value that is keyed: what differs in case or encoding only is one value.
func canonical(k detect.Kind, s string) string {
	switch k {
	case detect.Email:
		return strings.ToLower(strings.Replace(s, "%40", "@", 1))
	case detect.Card, detect.IBAN, detect.Phone, detect.NationalID:
		return strings.ToUpper(strings.Map(func(r rune) rune {
			if r < 0x80 && isAlnum(byte(r)) {
				return r
			}
			return -1
		}, strings.ReplaceAll(s, "%20", " ")))
	case detect.UUID, detect.ULID, detect.Hex:
		return strings.ToLower(s)
	}
	return s
}
