// SPDX-License-Identifier: Apache-2.0

// Package detect recognises values that identify a person, an object or a secret by their
// shape, their checksum and the name of the field that they stand in.
//
// Segment judges one short name, such as a segment of a path. Scan finds values within text or a body of any
// length. Field knows names of fields.
//
// Nothing here is a regular expression: one pass over the bytes finds where a value may start, and validators of
// bounded length judge it. So time is linear in the length of a hostile input, and nothing allocates.
package detect

// Kind is the kind of sensitive value that a detector recognised.
type Kind uint8

const (
	// None means that nothing was recognised. It is no proof that the value is harmless:
	// `/users/alice` has a shape like any word.
	None Kind = iota
	// Number is made of digits and the punctuation of numbers, dates, phone numbers and
	// addresses, or contains a run of digits long enough to identify something.
	Number
	// UUID is a UUID in the 8-4-4-4-12 form of RFC 9562 §4, in either case.
	UUID
	// ULID is a ULID of 26 Crockford base-32 characters.
	ULID
	// Hex is at least eight hexadecimal digits, one of them a decimal digit.
	Hex
	// Email is an address with a local part and a dotted domain; `@` may be percent-encoded.
	Email
	// JWT is a compact JWS or JWE (RFC 7515 §7.1, RFC 7516 §7.1).
	JWT
	// Card is a payment card number of 13 to 19 digits with a valid Luhn checksum.
	Card
	// IBAN is an international bank account number with a valid mod-97 checksum (ISO 13616).
	IBAN
	// Token is a value that looks random, is too long to be a name, or carries characters
	// that a name does not have.
	Token
	// Date is a date or time in the form of RFC 3339, or a month: 2024-01-31, 2024-01.
	Date
	// Phone is a telephone number with a country code (E.164), or in a national form that is used for nothing else.
	Phone
	// NationalID is the number by which a state knows a person, see national.go for the countries.
	NationalID
	// PrivateKey is a private key in PEM, header to footer.
	PrivateKey
	// APIKey is a token with the prefix of the service that issued it, see vendor.go.
	APIKey
	// Secret looks random, or is the value of a field whose name announces a secret.
	Secret
	// IP is an IPv4 or IPv6 address.
	IP
	kinds
)

var kindNames = [kinds]string{
	"none", "number", "uuid", "ulid", "hex", "email", "jwt", "card", "iban", "token",
	"date", "phone", "national_id", "private_key", "api_key", "secret", "ip",
}

// Sensitive are the kinds that Scan reports, in a stable order. Segment reports these and the others.
var Sensitive = []Kind{Card, IBAN, Email, Phone, NationalID, JWT, PrivateKey, APIKey, Secret, IP}

// String returns the lower-case name of the kind.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "unknown"
}

// Character classes; a table is faster than comparisons and keeps each loop flat.
const (
	digit = 1 << iota
	hexLetter
	upper
	lower
	vowel
	numeric // punctuation of numbers, dates, phone numbers and IP addresses that words have too
	listing // punctuation that numbers have and words do not
	mark    // other punctuation that names in paths have
)

var charClass = func() (t [256]uint8) {
	for c := '0'; c <= '9'; c++ {
		t[c] = digit
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c] = lower
		t[c-'a'+'A'] = upper
	}
	for c := 'a'; c <= 'f'; c++ {
		t[c] |= hexLetter
		t[c-'a'+'A'] |= hexLetter
	}
	for _, c := range "aeiouy" {
		t[c] |= vowel
		t[c-'a'+'A'] |= vowel
	}
	for _, c := range "-.:_" {
		t[c] = numeric
	}
	for _, c := range ",+" {
		t[c] = listing
	}
	for _, c := range "~$!*" {
		t[c] = mark
	}
	return t
}()

const alnum = digit | upper | lower

func isHex(c byte) bool { return charClass[c]&(digit|hexLetter) != 0 }

// IsUUID reports whether s is a UUID in the 8-4-4-4-12 form.
func IsUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i := range len(s) {
		switch i {
		case 8, 13, 18, 23:
			if s[i] != '-' {
				return false
			}
		default:
			if !isHex(s[i]) {
				return false
			}
		}
	}
	return true
}

// IsULID reports whether s is a ULID, in either case.
func IsULID(s string) bool {
	if len(s) != 26 || s[0] < '0' || s[0] > '7' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if charClass[c]&alnum == 0 {
			return false
		}
		switch c | 0x20 {
		case 'i', 'l', 'o', 'u':
			return false
		}
	}
	return true
}

// IsHex reports whether s, with or without `0x`, is at least eight hexadecimal digits with
// a decimal digit among them. Without one, `deadbeef` and `facade` could not be told apart.
func IsHex(s string) bool {
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		s = s[2:]
	}
	if len(s) < 8 {
		return false
	}
	var seen uint8
	for i := range len(s) {
		if !isHex(s[i]) {
			return false
		}
		seen |= charClass[s[i]]
	}
	return seen&digit != 0
}

// IsEmail reports whether s is an email address: a local part, `@` or its percent-encoding,
// and a domain with a dot.
func IsEmail(s string) bool {
	if len(s) < 5 || len(s) > 320 {
		return false
	}
	at, width := -1, 1
	for i := range len(s) {
		switch {
		case s[i] == '@':
		case s[i] == '%' && i+2 < len(s) && s[i+1] == '4' && s[i+2] == '0':
			width = 3
		default:
			continue
		}
		if at >= 0 {
			return false
		}
		at = i
	}
	if at < 1 {
		return false
	}
	for i := range at {
		// RFC 5322 atext and dots; `%` because the local part may be percent-encoded too.
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '/' || c == '<' || c == '>' || c == '"' {
			return false
		}
	}
	domain := s[at+width:]
	dot := false
	for i := range len(domain) {
		c := domain[i]
		switch {
		case c == '.':
			if i == 0 || i == len(domain)-1 {
				return false
			}
			dot = true
		case charClass[c]&alnum == 0 && c != '-':
			return false
		}
	}
	return dot
}

// IsJWT reports whether s is a compact JWS (three parts) or JWE (five parts) whose header
// starts as base64url of `{"`.
func IsJWT(s string) bool {
	if len(s) < 12 || s[0] != 'e' || s[1] != 'y' || (s[2] != 'J' && s[2] != 'A') {
		return false
	}
	dots := 0
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '.':
			dots++
		case charClass[c]&alnum == 0 && c != '-' && c != '_':
			return false
		}
	}
	return dots == 2 || dots == 4
}

// IsCard reports whether s is 13 to 19 digits, possibly grouped by single spaces or hyphens, that begin like the
// numbers of an issuer of payment cards, with a valid Luhn checksum (ISO/IEC 7812-1).
func IsCard(s string) bool {
	var d [19]byte
	n := 0
	separated := true // no separator at the start
	for i := range len(s) {
		switch c := s[i]; {
		case c == ' ' || c == '-':
			if separated {
				return false
			}
			separated = true
		case charClass[c]&digit == 0 || n == len(d):
			return false
		default:
			d[n] = c - '0'
			n++
			separated = false
		}
	}
	return !separated && issued(d[:n]) && luhn(d[:n])
}

// IsIBAN reports whether s is an IBAN, possibly grouped by spaces, of the length that its country has, with a valid
// mod-97 checksum (ISO 13616).
func IsIBAN(s string) bool {
	var b [34]byte
	n := 0
	for i := range len(s) {
		c := s[i]
		if c == ' ' {
			continue
		}
		if n == len(b) || charClass[c]&alnum == 0 {
			return false
		}
		b[n] = c
		n++
	}
	return isIBAN(b[:n])
}

// isIBAN judges letters and digits in either case, which it may overwrite.
func isIBAN(b []byte) bool {
	n := len(b)
	if n < 15 {
		return false
	}
	for i, c := range b {
		if charClass[c]&lower != 0 {
			b[i] -= 'a' - 'A'
		}
	}
	if charClass[b[0]]&upper == 0 || charClass[b[1]]&upper == 0 || charClass[b[2]]&digit == 0 || charClass[b[3]]&digit == 0 ||
		int(ibanLength[b[0]-'A'][b[1]-'A']) != n {
		return false
	}
	rem := 0
	for i := range n {
		c := b[(i+4)%n] // the check digits go last
		if charClass[c]&digit != 0 {
			rem = (rem*10 + int(c-'0')) % 97
		} else {
			rem = (rem*100 + int(c-'A') + 10) % 97
		}
	}
	return rem == 1
}
