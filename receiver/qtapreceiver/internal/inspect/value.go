// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// form is how a value is written.
type form uint8

const (
	plain   form = iota
	percent      // percent-encoded, as in a URL or a form
	quoted       // what is between the quotes of a JSON string
	number       // a JSON number or literal, not quoted
)

type span struct{ start, end int }

// look classifies one value of a field that announces a kind, and overwrites what the policy wants gone: all of it when
// named says why, else what detectors find in it.
func (in *Inspector) look(raw []byte, f form, field detect.Kind, named string) {
	if len(raw) == 0 {
		return
	}
	if f == number && named == "" && raw[0] >= 'a' { // true, false, null
		return
	}
	text, exact := raw, true
	switch {
	case f == percent && bytes.ContainsAny(raw, "%+"):
		text, exact = in.unescape(raw), false
	case f == quoted && bytes.IndexByte(raw, '\\') >= 0:
		text, exact = in.unquote(raw), false
	}
	in.spans = in.spans[:0]
	detect.ScanIn(field, text, func(kind detect.Kind, start, end int) bool {
		in.count(kind.String())
		if named == "" && in.set.Redact.detects(kind) {
			in.marked(kind.String())
			in.spans = append(in.spans, span{start, end})
		}
		return true
	})
	switch {
	case named != "":
		in.marked(named)
		mask(raw, f)
	case len(in.spans) == 0:
	case exact && f != number:
		for _, s := range in.spans {
			mask(raw[s.start:s.end], plain)
		}
	default:
		mask(raw, f) // what was found cannot be told apart in the bytes as they are
	}
}

// mask overwrites a value so that its format stays valid.
func mask(raw []byte, f form) {
	for i := range raw {
		raw[i] = '*'
	}
	if f != number {
		return
	}
	// A JSON number or literal, or a whole array or object: a string of the same length, or a digit.
	if len(raw) == 1 {
		raw[0] = '0'
		return
	}
	raw[0], raw[len(raw)-1] = '"', '"'
}

func (in *Inspector) unescape(raw []byte) []byte {
	if s, err := url.QueryUnescape(string(raw)); err == nil {
		in.text = append(in.text[:0], s...)
		return in.text
	}
	return raw
}

func (in *Inspector) unquote(raw []byte) []byte {
	in.text = append(append(append(in.text[:0], '"'), raw...), '"')
	var s string
	if json.Unmarshal(in.text, &s) != nil {
		return raw
	}
	in.text = append(in.text[:0], s...)
	return in.text
}

// target looks at a request-target (RFC 9112 §3.2).
func (in *Inspector) target(raw []byte) {
	path, query, _ := bytes.Cut(raw, []byte("?"))
	in.location, in.place = locationPath, nowhere
	for len(path) > 0 {
		i := bytes.IndexByte(path[1:], '/') + 1
		if i == 0 {
			i = len(path)
		}
		in.look(path[:i], percent, detect.None, "")
		path = path[i:]
	}
	in.pairs(query, '&', locationQuery)
}

// pairs looks at `name=value` pairs.
func (in *Inspector) pairs(raw []byte, separator byte, location string) {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, separator)
		if i < 0 {
			i = len(raw)
		}
		pair := raw[:i]
		raw = raw[min(i+1, len(raw)):]
		name, value, assigned := bytes.Cut(pair, []byte("="))
		in.location, in.place = location, nowhere
		if !assigned {
			in.look(pair, percent, detect.None, "") // a name, or a value without one
			continue
		}
		key := string(name)
		if bytes.ContainsAny(name, "%+") {
			key = string(in.unescape(name))
		}
		in.look(name, percent, detect.None, "")
		in.place = func() string { return detect.PlaceName(key) }
		in.look(value, percent, detect.Field(key), in.set.Redact.field(key))
	}
}

// cookies looks at the value of a Cookie field (RFC 6265 §4.2.1).
func (in *Inspector) cookies(raw []byte) {
	for len(raw) > 0 {
		i := bytes.IndexByte(raw, ';')
		if i < 0 {
			i = len(raw)
		}
		in.cookie(raw[:i], false)
		raw = raw[min(i+1, len(raw)):]
	}
}

// cookie looks at one cookie; set is the value of a Set-Cookie field, which has attributes.
func (in *Inspector) cookie(raw []byte, set bool) {
	pair, attributes := raw, []byte(nil)
	if set {
		pair, attributes, _ = bytes.Cut(raw, []byte(";"))
	}
	name, value, assigned := bytes.Cut(bytes.TrimLeft(pair, " \t"), []byte("="))
	if !assigned {
		name, value = nil, pair
	}
	key := string(name)
	// A name may be a value that somebody has put there.
	in.location, in.place = locationCookie, nowhere
	in.look(name, percent, detect.None, "")
	in.place = func() string { return detect.PlaceName(key) }
	in.look(value, percent, detect.Field(key), in.set.Redact.field(key))
	in.look(attributes, plain, detect.None, "")
}

func lower(s string) string { return strings.ToLower(s) }
