// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"encoding/base64"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Mint makes canaries, secrets that exist once, and knows where each was planted.
type Mint struct {
	rng     *rand.Rand
	Secrets []string
	Places  []string // of Secrets, by index
}

// New returns a mint; the same seed makes the same canaries.
func New(seed uint64) *Mint { return &Mint{rng: rand.New(rand.NewPCG(seed, 6))} }

// Apart are the places that are no part of a payload object by design, with the reason. Everything else that is
// planted must be in the bucket.
var Apart = map[string]string{
	"argument of a process":        "not on the wire",
	"name of a process":            "not on the wire: argv[0], which anybody may set",
	"environment of a process":     "not on the wire",
	"chunk extension":              "part of the transfer coding (RFC 9112 §7.1.1), which is undone before a body is kept",
	"interim response":             "a header of a 1xx response, which is no response to the exchange (RFC 9110 §15.2)",
	"past the cap of a body":       "`max_body_size` of `qtap_payload` is 64 KiB",
	"garbage":                      "not a protocol that is read",
	"malformed HTTP":               "not whole: nothing is guessed of what is broken",
	"half request":                 "not whole: kept as far as an exchange can be made of it",
	"after the last response":      "not an exchange",
	"ALPN":                         "part of a TLS handshake",
	"certificate":                  "part of a TLS handshake",
	"HTTP/2 debug data":            "a frame of the connection, of no exchange",
	"HTTP/2 extension frame":       "a frame of the connection, of no exchange",
	"HTTP/2 padding":               "no part of the content",
	"HTTP/2 unknown pseudo-header": "makes the request malformed (RFC 9113 §8.1.1)",
	"datagram":                     "UDP: only the questions of DNS are read",
	"DNS answer":                   "names and addresses are read of it, no text",
}

const (
	lowerAlnum = "abcdefghijklmnopqrstuvwxyz0123456789"
	mixedAlnum = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
)

func (m *Mint) letters(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[m.rng.IntN(len(alphabet))]
	}
	return string(b)
}

func (m *Mint) planted(place, secret string) string {
	m.Secrets, m.Places = append(m.Secrets, secret), append(m.Places, place)
	return secret
}

func (m *Mint) uuid() string {
	h := m.letters("0123456789abcdef", 32)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
}

// card is a number that passes for a payment card's (ISO/IEC 7812-1).
func (m *Mint) card() string {
	digits := "4" + m.letters("0123456789", 14)
	sum := 0
	for i := range digits {
		d := int(digits[i] - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return digits + strconv.Itoa((10-sum%10)%10)
}

// word is made of syllables: nothing that looks at its shape can tell that it is a secret.
func (m *Mint) word() string {
	var b strings.Builder
	for range 8 {
		b.WriteByte("bdfgklmnprstvz"[m.rng.IntN(14)])
		b.WriteByte("aeiou"[m.rng.IntN(5)])
	}
	return b.String()
}

// ID plants what looks like an identifier or a secret, for places that keep words: segments of paths, procedures, and
// names of query parameters, headers, cookies and fields of bodies, which findings tell.
func (m *Mint) ID(place string) string {
	switch m.rng.IntN(8) {
	case 0:
		return m.planted(place, m.letters("0123456789abcdef", 32))
	case 1:
		return m.planted(place, m.uuid())
	case 2:
		return m.planted(place, m.letters("123456789", 16))
	case 3:
		return m.planted(place, "0"+m.letters("0123456789ABCDEFGHJKMNPQRSTVWXYZ", 25))
	case 4:
		return m.planted(place, strings.ToUpper(m.uuid()))
	case 5:
		return m.planted(place, m.card())
	default:
		return m.planted(place, m.letters(mixedAlnum, 43))
	}
}

// Token plants letters, digits and hyphens, which every place takes: identifiers, secrets and words.
func (m *Mint) Token(place string) string {
	if m.rng.IntN(3) == 0 {
		return m.planted(place, m.word())
	}
	return m.ID(place)
}

// short plants a token of at most 30 bytes.
func (m *Mint) short(place string) string {
	switch m.rng.IntN(3) {
	case 0:
		return m.planted(place, m.word())
	case 1:
		return m.planted(place, m.letters("123456789", 20))
	default:
		return m.planted(place, m.letters(lowerAlnum, 30))
	}
}

// Any plants whatever people keep secret.
func (m *Mint) Any(place string) string {
	switch m.rng.IntN(6) {
	case 0:
		return m.planted(place, m.letters(lowerAlnum, 10)+"@"+m.letters(lowerAlnum, 10)+".example")
	case 1:
		part := func(n int) string { return base64.RawURLEncoding.EncodeToString([]byte(m.letters(mixedAlnum, n))) }
		return m.planted(place, "eyJ"+part(12)+".eyJ"+part(24)+"."+part(32))
	case 2:
		return m.planted(place, "sk_live_"+m.letters(mixedAlnum, 24))
	case 3:
		return m.planted(place, "AKIA"+m.letters("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", 16))
	default:
		return m.Token(place)
	}
}
