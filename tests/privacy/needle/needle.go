// SPDX-License-Identifier: Apache-2.0

// Package needle finds many secrets at once in bytes of any kind: as they are in either case, in hexadecimal digits, in
// base64 wherever they begin, as a hash without a key, behind percent-encoding, and within what is compressed.
//
// It is what the proof that nothing leaks stands on, so its tests plant each form and ask for it back.
package needle

import (
	"bytes"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
)

// Shortest is the length that a secret needs: in base64 every alignment of it must fill a window.
const Shortest = 12

// Find is a secret that was found.
type Find struct {
	// Secret is the index of the secret in what New got.
	Secret int
	// Form says how it was written, e.g. "base64 in gzip".
	Form string
	// Around is what stands before and after it, quoted.
	Around string
}

// window is what is looked up at each offset: eight bytes fit a register.
const window = 8

// Set looks for secrets. It may be used by several goroutines.
type Set struct {
	exact, folded table
}

type pattern struct {
	text   string
	secret int
	form   string
}

// table finds patterns by their first eight bytes: a bitmap says at nearly every offset that there is none.
type table struct {
	bits    []uint64
	windows map[uint64][]pattern
}

const (
	tableBits = 24
	spread    = 0x9e3779b97f4a7c15 // 2^64 divided by the golden ratio
)

func slot(w uint64) uint64 { return w * spread >> (64 - tableBits) }

func (t *table) add(p pattern) {
	if t.bits == nil {
		t.bits, t.windows = make([]uint64, 1<<tableBits/64), map[uint64][]pattern{}
	}
	w := binary.LittleEndian.Uint64([]byte(p.text))
	for _, other := range t.windows[w] {
		if other == p {
			return
		}
	}
	t.windows[w] = append(t.windows[w], p)
	t.bits[slot(w)/64] |= 1 << (slot(w) % 64)
}

func (t *table) search(data []byte, within string, found func(Find)) {
	for i := 0; i+window <= len(data); i++ {
		w := binary.LittleEndian.Uint64(data[i:])
		if s := slot(w); t.bits[s/64]&(1<<(s%64)) == 0 {
			continue
		}
		for _, p := range t.windows[w] {
			if len(data)-i >= len(p.text) && string(data[i:i+len(p.text)]) == p.text {
				found(Find{p.secret, p.form + within, fmt.Sprintf("%q", data[max(0, i-60):min(len(data), i+len(p.text)+30)])})
			}
		}
	}
}

// New makes a set of secrets: ASCII, of at least Shortest bytes.
func New(secrets []string) (*Set, error) {
	s := &Set{}
	for i, secret := range secrets {
		if len(secret) < Shortest {
			return nil, fmt.Errorf("%q is shorter than %d bytes", secret, Shortest)
		}
		lower := strings.ToLower(secret)
		s.folded.add(pattern{lower, i, "as it is"})
		for _, text := range []string{secret, lower, strings.ToUpper(secret)} {
			s.folded.add(pattern{hex.EncodeToString([]byte(text)), i, "hex"})
			s.encoded(text, i, "base64")
			sha256, sha1, md5 := sha256.Sum256([]byte(text)), sha1.Sum([]byte(text)), md5.Sum([]byte(text))
			s.hashed(sha256[:], i, "sha256")
			s.hashed(sha1[:], i, "sha1")
			s.hashed(md5[:], i, "md5")
		}
		if raw, err := hex.DecodeString(strings.ReplaceAll(lower, "-", "")); err == nil && len(raw) >= window {
			s.exact.add(pattern{string(raw), i, "bytes of hex"})
			s.encoded(string(raw), i, "base64 of hex")
		}
	}
	return s, nil
}

func (s *Set) hashed(sum []byte, i int, form string) {
	s.folded.add(pattern{hex.EncodeToString(sum), i, form})
	s.exact.add(pattern{string(sum), i, form})
	s.encoded(string(sum), i, form+" in base64")
}

// encoded adds the base64 of text that begins at each of the three places in a group, without the digits at
// its ends that depend on what is beside it, in both alphabets.
func (s *Set) encoded(text string, i int, form string) {
	for shift := range 3 {
		all := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), text...))
		first := (shift*8 + 5) / 6
		last := (shift + len(text)) * 8 / 6
		digits := all[first:last]
		s.exact.add(pattern{digits, i, form})
		s.exact.add(pattern{strings.NewReplacer("+", "-", "/", "_").Replace(digits), i, form})
	}
}

// deepest is how often what was unpacked is unpacked again.
const deepest = 3

// Search returns every secret in data, each form once.
func (s *Set) Search(data []byte) []Find {
	type once struct {
		secret int
		form   string
	}
	var finds []Find
	seen := map[once]bool{}
	s.search(data, "", 0, func(f Find) {
		if key := (once{f.Secret, f.Form}); !seen[key] {
			seen[key] = true
			finds = append(finds, f)
		}
	})
	return finds
}

func (s *Set) search(data []byte, within string, depth int, found func(Find)) {
	s.exact.search(data, within, found)
	s.folded.search(fold(data), within, found)
	if depth == deepest {
		return
	}
	if decoded := unescape(data); decoded != nil {
		s.search(decoded, " percent-encoded"+within, depth+1, found)
	}
	unpack(data, func(plain []byte, how string) { s.search(plain, " in "+how+within, depth+1, found) })
}

// fold returns data with the letters of ASCII in lower case: bytes that are no text stay as they are.
func fold(data []byte) []byte {
	out := bytes.Clone(data)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

// unescape decodes percent-encoding wherever it is; nil when it is nowhere.
func unescape(data []byte) []byte {
	var out []byte
	for i := 0; i < len(data); i++ {
		if data[i] == '%' && i+2 < len(data) {
			var b [1]byte
			if _, err := hex.Decode(b[:], data[i+1:i+3]); err == nil {
				if out == nil {
					out = append(make([]byte, 0, len(data)), data[:i]...)
				}
				out = append(out, b[0])
				i += 2
				continue
			}
		}
		if out != nil {
			out = append(out, data[i])
		}
	}
	return out
}
