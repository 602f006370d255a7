// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/bits"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/flate"
)

// SealedExtension follows Extension in the names of encrypted files: `age -d` and then `gunzip` give the HAR.
const SealedExtension = ".gz.age"

// Sealer encrypts exchanges, one file each, so that only who has one of the keys can read them (https://age-encryption.org/v1).
// It is not safe for concurrent use.
type Sealer struct {
	recipients    []age.Recipient
	har, deflated bytes.Buffer
	enc           *json.Encoder
	fw            *flate.Writer
}

// ParseRecipients reads public keys of age (age1…). The error names the one that is wrong by its position, and not by its
// text: somebody may have put a secret key there.
func ParseRecipients(keys []string) ([]age.Recipient, error) {
	var out []age.Recipient
	for i, key := range keys {
		key = strings.TrimSpace(key)
		if strings.HasPrefix(strings.ToUpper(key), "AGE-SECRET-KEY-") {
			return nil, fmt.Errorf("entry %d is a secret key: give its recipient (`age-keygen -y`), and treat this key as known to others", i+1)
		}
		r, err := age.ParseRecipients(strings.NewReader(key))
		if err != nil || len(r) != 1 {
			return nil, fmt.Errorf("entry %d is not a recipient of age: one begins with age1 and is printed by `age-keygen`", i+1)
		}
		out = append(out, r...)
	}
	if len(out) == 0 {
		return nil, errors.New("it names no recipient")
	}
	// Some kinds do not go together, which age says when it encrypts.
	w, err := age.Encrypt(io.Discard, out...)
	if err != nil {
		return nil, fmt.Errorf("these recipients cannot be used together: %w", err)
	}
	return out, w.Close()
}

// NewSealer returns a Sealer for the recipients, each of whom can read what it seals.
func NewSealer(recipients []age.Recipient) *Sealer {
	s := &Sealer{recipients: recipients}
	s.enc = json.NewEncoder(&s.har)
	s.enc.SetEscapeHTML(false)
	s.fw, _ = flate.NewWriter(&s.deflated, flate.BestSpeed) // fails only for a level that does not exist
	return s
}

// Seal returns the HAR of an exchange, compressed, padded and encrypted. Sealing it again gives other bytes.
func (s *Sealer) Seal(x *Exchange) ([]byte, error) {
	defer s.wipe()
	s.har.Reset()
	if err := s.enc.Encode(toHAR(x)); err != nil {
		return nil, err
	}
	s.deflated.Reset()
	s.fw.Reset(&s.deflated)
	if _, err := s.fw.Write(s.har.Bytes()); err != nil {
		return nil, err
	}
	if err := s.fw.Flush(); err != nil { // to a whole byte
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, s.recipients...)
	if err != nil {
		return nil, err
	}
	if err := s.writeGzip(w); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// Blocks of deflate (RFC 1951 §3.2.4) that hold nothing.
var (
	emptyBlock = []byte{0, 0, 0, 0xff, 0xff}
	lastBlock  = []byte{1, 0, 0, 0xff, 0xff}
)

const gzipFrame = 10 + 8 // header and trailer

// writeGzip writes what is deflated as one member (RFC 1952) of padded length: empty blocks and a comment of at most four bytes
// are read by every gunzip, and by a browser, which takes nothing behind the member.
func (s *Sealer) writeGzip(w io.Writer) error {
	n := gzipFrame + s.deflated.Len() + len(lastBlock)
	pad := padded(n) - n
	header := [10]byte{0x1f, 0x8b, 8, 9: 255}
	comment := make([]byte, pad%len(emptyBlock))
	if len(comment) > 0 {
		header[3] = 1 << 4 // FCOMMENT, which ends with a zero byte
		for i := range len(comment) - 1 {
			comment[i] = ' '
		}
	}
	var trailer [8]byte
	binary.LittleEndian.PutUint32(trailer[:], crc32.ChecksumIEEE(s.har.Bytes()))
	binary.LittleEndian.PutUint32(trailer[4:], uint32(s.har.Len()))
	for _, b := range [][]byte{header[:], comment, s.deflated.Bytes(), bytes.Repeat(emptyBlock, pad/len(emptyBlock)), lastBlock, trailer[:]} {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// padded rounds a length up as Padmé does (Nikitin et al., PETS 2019): at most 12 % more, and of the length's n bits only
// about the highest log n are told.
func padded(n int) int {
	if n < 2 {
		return n
	}
	exponent := bits.Len(uint(n)) - 1
	keep := bits.Len(uint(exponent))
	mask := 1<<(max(exponent-keep, 0)) - 1
	return (n + mask) &^ mask
}

// wipe overwrites the plaintext that is no longer needed.
func (s *Sealer) wipe() {
	clear(s.har.Bytes())
	clear(s.deflated.Bytes())
}
