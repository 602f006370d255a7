// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

const (
	maxSegments   = 24 // deeper segments become one {token}
	maxQueryKeys  = 32 // later keys are removed
	maxQueryKey   = 64
	maxURLDigits  = 5 // of a port
	templateToken = "{token}"
	templateKey   = "{key}"
)

// segment returns the segment without matrix parameters, or what stands for it; ok is false when it drops the path.
// field is what the segment before announces. With templates every value is masked.
func (p *policy) segment(s string, field detect.Kind, templates bool) (clean string, ok bool) {
	s, _, _ = strings.Cut(s, ";")
	if len(s) > 0 && s[0] == '{' {
		if plain, ok := p.placeholder(s, segments); ok {
			if templates {
				return plain, true
			}
			return s, true
		}
	}
	k := detect.Segment(s)
	if k == detect.None && valueLike(s) {
		if k = detect.Find(s); k == detect.IP {
			k = detect.Number
		}
	}
	if k == detect.None && field != detect.None && !action(s) {
		k = field
	}
	if k == detect.None {
		return s, true
	}
	if templates || p.plain {
		return template(k), true
	}
	// The mode is that of what the value is, of which the template knows less: a card is a number, too.
	exact := k
	if found := wholeKind(s); found != detect.None && found != detect.IP {
		exact = found
	}
	switch p.modes[exact] {
	case keep:
		return s, true
	case keyed:
		name := template(k)
		return p.keyed(name[1:len(name)-1], exact, s), true
	case drop:
		return "", false
	}
	return template(k), true
}

// wholeKind returns the kind of the value that s is from its first byte to its last.
func wholeKind(s string) (kind detect.Kind) {
	detect.ScanString(detect.None, s, func(k detect.Kind, start, end int) bool {
		if start == 0 && end == len(s) {
			kind = k
		}
		return false
	})
	return kind
}

// valueLike reports whether s has a digit, without which Scan finds nothing in a word.
func valueLike(s string) bool {
	for i := range len(s) {
		if s[i] >= '0' && s[i] <= '9' {
			return true
		}
	}
	return false
}

// announces returns the kind of what follows a segment that is the name of a field: /password/hunter2. Names of parts
// of an API, which are followed by words, are none.
func announces(s string) detect.Kind {
	switch k := detect.Field(s); k {
	case detect.Secret:
		switch strings.ToLower(s) {
		case "auth", "session", "sid", "cookie", "bearer", "credentials", "signature", "token", "secret", "authorization":
			return detect.None
		}
		return k
	case detect.NationalID, detect.Phone, detect.Email:
		return k
	}
	return detect.None
}

// action reports words that stand behind the name of a field in an API.
func action(s string) bool {
	switch strings.ToLower(s) {
	case "", "reset", "forgot", "change", "new", "refresh", "verify", "validate", "confirm", "introspect", "revoke", "update", "create", "delete", "list", "edit", "settings", "check", "me", "current",
		"status", "rotate", "strength", "policy", "policies", "search", "count", "resend", "send", "verification", "verifications", "templates", "recover", "recovery", "v1", "v2", "v3":
		return true
	}
	return false
}

// path returns the path with what stands for identifying segments and without matrix
// parameters, query and fragment; ok is false for what is no path, or is to be dropped. It allocates only if
// something changes. With templates every value is masked, whatever its mode.
func (p *policy) path(path string, templates bool) (clean string, ok bool) {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	if path == "" || path == "*" {
		return path, true
	}
	if path[0] != '/' {
		return "", false
	}
	var (
		b     strings.Builder
		built bool
		n     int
		field detect.Kind
	)
	for start := 1; start <= len(path); n++ {
		end := len(path)
		if n < maxSegments {
			if i := strings.IndexByte(path[start:], '/'); i >= 0 {
				end = start + i
			}
		}
		was := path[start:end]
		now := templateToken
		if n < maxSegments {
			if now, ok = p.segment(was, field, templates); !ok {
				return "", false
			}
			field = detect.None
			if now == was && !isPlaceholder(was) {
				field = announces(was)
			}
		} else if was == "" {
			now = ""
		}
		if !built && now != was {
			built = true
			b.Grow(len(path))
			b.WriteString(path[:start-1])
		}
		if built {
			b.WriteByte('/')
			b.WriteString(now)
		}
		start = end + 1
	}
	if built {
		return b.String(), true
	}
	return path, true
}

// cleanQuery returns the keys of a query in order, each with an empty value: `a=&b=`. It
// allocates only if something changes.
func cleanQuery(query string) string {
	query, _, _ = strings.Cut(query, "#")
	var b strings.Builder
	clean := 0 // length of the prefix that needs no change, while nothing was built
	built := false
	n := 0
	for start := 0; start < len(query) && n < maxQueryKeys; n++ {
		end := len(query)
		if i := strings.IndexByte(query[start:], '&'); i >= 0 {
			end = start + i
		}
		key, value, assigned := strings.Cut(query[start:end], "=")
		now := key
		if !validQueryKey(key, assigned) {
			now = templateKey
		}
		if !built {
			if now == key && assigned && value == "" {
				clean = end
			} else {
				built = true
				b.Grow(len(query))
				b.WriteString(query[:clean])
				if clean > 0 {
					b.WriteByte('&')
				}
			}
		} else {
			b.WriteByte('&')
		}
		if built {
			b.WriteString(now)
			b.WriteByte('=')
		}
		start = end + 1
	}
	if built {
		return b.String()
	}
	return query[:clean]
}

// validQueryKey accepts names of parameters: `page`, `filter[name]`, `X-Amz-Signature`. A
// part of a query without `=` may be a key or a value; only one made of letters is believed.
func validQueryKey(key string, assigned bool) bool {
	if key == templateKey {
		return assigned
	}
	if key == "" || len(key) > maxQueryKey {
		return false
	}
	if c := key[0]; (c >= '0' && c <= '9') || (!isAlnum(c) && c != '_' && c != '$') {
		return false
	}
	start := 0
	for i := range len(key) {
		c := key[i]
		switch {
		case c >= '0' && c <= '9':
			if !assigned {
				return false
			}
		case isAlnum(c):
		case c == '[' || c == ']':
			// Segment knows no brackets: what is between them is a name of its own.
			if detect.Segment(key[start:i]) != detect.None {
				return false
			}
			start = i + 1
		case c == '_' || c == '-' || c == '.' || c == '$' || c == ':':
		default:
			return false
		}
	}
	return detect.Segment(key[start:]) == detect.None
}

// url returns an absolute http or ws URL without userinfo and fragment, its host, path and
// query cleaned, the cleaned path ("/" when empty) and its template. ok is false when there is no such
// URL, its host is none, or a part of it is to be dropped; the template may be there all the same.
func (p *policy) url(raw string) (clean, path, templ string, ok bool) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return "", "", "", false
	}
	switch scheme {
	case "http", "https", "ws", "wss":
	default:
		return "", "", "", false
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	host, hostOK := p.authority(authority[strings.LastIndexByte(authority, '@')+1:])
	if !hostOK {
		return "", "", "", false
	}
	tail, _, _ = strings.Cut(tail, "#")
	rawPath, rawQuery, queried := strings.Cut(tail, "?")
	if templ, ok = p.path(rawPath, true); !ok {
		return "", "", "", false
	}
	cleanedPath := templ
	if !p.plain {
		if cleanedPath, ok = p.path(rawPath, false); !ok {
			return "", "", templ, false
		}
	}
	cleanedQuery := cleanQuery(rawQuery)
	path = cleanedPath
	if path == "" {
		path = "/"
	}
	if templ == "" {
		templ = "/"
	}
	n := len(scheme) + len("://") + len(host) + len(cleanedPath)
	if queried {
		n += len("?") + len(cleanedQuery)
	}
	if n == len(raw) && cleanedPath == rawPath && cleanedQuery == rawQuery && strings.HasPrefix(rest, host) {
		return raw, path, templ, true
	}
	var b strings.Builder
	b.Grow(n)
	b.WriteString(scheme)
	b.WriteString("://")
	b.WriteString(host)
	b.WriteString(cleanedPath)
	if queried {
		b.WriteByte('?')
		b.WriteString(cleanedQuery)
	}
	return b.String(), path, templ, true
}

// authority cleans a host with an optional port.
func (p *policy) authority(s string) (clean string, ok bool) {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", false
		}
		host, port = s[1:end], s[end+1:]
		if strings.IndexByte(host, ':') < 0 {
			return "", false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
	}
	if !validPort(port) {
		return "", false
	}
	now, ok := p.host(host)
	switch {
	case !ok:
		return "", false
	case now == host:
		return s, true
	case strings.IndexByte(now, ':') >= 0:
		now = "[" + now + "]"
	}
	return now + port, true
}

// validPort accepts "" and `:` with digits.
func validPort(s string) bool {
	if s == "" {
		return true
	}
	if s[0] != ':' || len(s) == 1 || len(s) > maxURLDigits+1 {
		return false
	}
	for i := 1; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}
