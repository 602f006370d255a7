// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// segments are what may stand in the place of a segment of a path, without braces; pathtree allows fewer than 16.
// Any other text in braces is only text.
var segments = map[string]bool{"id": true, "uuid": true, "hex": true, "email": true, "token": true, "date": true, "name": true, "path": true}

// kinds are what may stand in the place of a value in a name, without braces.
var kinds = func() map[string]bool {
	m := map[string]bool{}
	for _, k := range detect.Sensitive {
		m[k.String()] = true
	}
	return m
}()

// placeholder returns the unkeyed form of a placeholder that this package made, of those that names has: `{email:2026a.0123…}` is an `{email}`.
// ok is false for any other text.
func (p *policy) placeholder(s string, names map[string]bool) (plain string, ok bool) {
	if len(s) < 4 || s[0] != '{' || s[len(s)-1] != '}' {
		return "", false
	}
	body := s[1 : len(s)-1]
	name, pseudonym, isKeyed := strings.Cut(body, ":")
	if !names[name] {
		return "", false
	}
	if !isKeyed {
		return s, true
	}
	if !p.keys.isName(pseudonym, ".") {
		return "", false
	}
	return "{" + name + "}", true
}

// isTemplate reports whether a segment is a placeholder of templates, which are never keyed.
func isTemplate(s string) bool {
	return len(s) >= 4 && s[0] == '{' && s[len(s)-1] == '}' && segments[s[1:len(s)-1]]
}

// keyed returns the placeholder of the given name for a value of a kind.
func (p *policy) keyed(name string, k detect.Kind, value string) string {
	return "{" + name + ":" + p.keys.name(k.String(), canonical(k, value), ".") + "}"
}

// template returns what stands for a segment of the given kind.
func template(k detect.Kind) string {
	switch k {
	case detect.Number, detect.ULID, detect.Phone, detect.NationalID, detect.Card, detect.IBAN, detect.IP:
		return "{id}"
	case detect.UUID:
		return "{uuid}"
	case detect.Hex:
		return "{hex}"
	case detect.Email:
		return "{email}"
	case detect.Date:
		return "{date}"
	}
	return templateToken
}
