// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// validJA4 accepts fingerprints as technical_details/JA4.md of github.com/FoxIO-LLC/ja4 defines them:
// t13d1516h2_8daaf6152771_e5627efa2ab1.
func validJA4(s string) bool {
	if len(s) != 36 || s[10] != '_' || s[23] != '_' || !isLowerHex(s[11:23]) || !isLowerHex(s[24:]) {
		return false
	}
	switch s[1:3] {
	case "13", "12", "11", "10", "s3", "s2", "00":
	default:
		return false
	}
	for _, c := range []byte(s[4:8]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return (s[0] == 't' || s[0] == 'q') && (s[3] == 'd' || s[3] == 'i') && isAlnum(s[8]) && isAlnum(s[9])
}

// validTime accepts times in UTC, in one form.
func validTime(s string) bool {
	const form = "2006-01-02T15:04:05.000Z"
	t, err := time.Parse(form, s)
	return err == nil && t.Format(form) == s
}

const (
	maxDistinguishedName = 512
	maxDNValue           = 128
	// dnMarks are those of the names of organisations, their units and their certificates.
	dnMarks = " ._:/,()-'&*"
)

// distinguishedName keeps of a certificate's name (RFC 4514) the attributes that name an
// organisation, a place or a host. A value that holds an identifier, an address or a secret goes with
// its attribute.
func (p *policy) distinguishedName(s string) string {
	if len(s) > maxDistinguishedName {
		return ""
	}
	var kept []string
	for len(s) > 0 {
		var part string
		part, s = cutDN(s)
		typ, value, _ := strings.Cut(part, "=")
		switch typ {
		case "CN", "O", "OU", "C", "ST", "L":
			if p.validDNValue(typ, strings.ReplaceAll(value, `\,`, ",")) {
				kept = append(kept, part)
			}
		}
	}
	return strings.Join(kept, ",")
}

// cutDN cuts s at its first comma that is not escaped.
func cutDN(s string) (part, rest string) {
	for i := range len(s) {
		if s[i] == ',' && (i == 0 || s[i-1] != '\\') {
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

func (p *policy) validDNValue(typ, s string) bool {
	if name := strings.TrimPrefix(s, "*."); typ == "CN" && hostForm(name) {
		// A name that its zone does not keep has no room in a certificate's.
		clean, ok := p.host(name)
		return ok && clean == name
	}
	if !made(s, dnMarks, maxDNValue) || p.secret(s) {
		return false
	}
	for _, word := range strings.FieldsFunc(s, func(r rune) bool { return r != '.' && r != '-' && r != '_' && (r >= 0x80 || !isAlnum(byte(r))) }) {
		if detect.Segment(word) != detect.None && !shortVersion(word) {
			return false
		}
	}
	return true
}
