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

// template returns what stands for a segment of the given kind.
func template(k detect.Kind) string {
	switch k {
	case detect.Number, detect.ULID:
		return "{id}"
	case detect.UUID:
		return "{uuid}"
	case detect.Hex:
		return "{hex}"
	case detect.Email:
		return "{email}"
	}
	return templateToken
}

// isTemplate reports whether a segment is one that template made, so that cleaning what is
// clean changes nothing. Any other text in braces is only text.
func isTemplate(s string) bool {
	switch s {
	case "{id}", "{uuid}", "{hex}", "{email}", templateToken:
		return true
	}
	return false
}

// cleanSegment returns the segment without matrix parameters, or the template in its place.
func cleanSegment(s string) string {
	s, _, _ = strings.Cut(s, ";")
	if isTemplate(s) {
		return s
	}
	if k := detect.Segment(s); k != detect.None {
		return template(k)
	}
	return s
}

// cleanPath returns the path with identifying segments as templates and without matrix
// parameters, query and fragment; ok is false for what is no path. It allocates only if
// something changes.
func cleanPath(path string) (clean string, ok bool) {
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
			now = cleanSegment(was)
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

// cleanURL returns an absolute http or ws URL without userinfo and fragment, its path and
// query cleaned, and the cleaned path ("/" when empty). ok is false when there is no such
// URL or its host is none.
func cleanURL(raw string) (clean, path string, ok bool) {
	scheme, rest, found := strings.Cut(raw, "://")
	if !found {
		return "", "", false
	}
	switch scheme {
	case "http", "https", "ws", "wss":
	default:
		return "", "", false
	}
	authority, tail := rest, ""
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		authority, tail = rest[:i], rest[i:]
	}
	host := authority[strings.LastIndexByte(authority, '@')+1:]
	if !validAuthority(host) {
		return "", "", false
	}
	tail, _, _ = strings.Cut(tail, "#")
	rawPath, rawQuery, queried := strings.Cut(tail, "?")
	cleanedPath, ok := cleanPath(rawPath)
	if !ok {
		return "", "", false
	}
	cleanedQuery := cleanQuery(rawQuery)
	path = cleanedPath
	if path == "" {
		path = "/"
	}
	n := len(scheme) + len("://") + len(host) + len(cleanedPath)
	if queried {
		n += len("?") + len(cleanedQuery)
	}
	if n == len(raw) && cleanedPath == rawPath && cleanedQuery == rawQuery {
		return raw, path, true
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
	return b.String(), path, true
}

// validAuthority accepts a host with an optional port.
func validAuthority(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return false
		}
		host, port = s[1:end], s[end+1:]
		if strings.IndexByte(host, ':') < 0 {
			return false
		}
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
	}
	return validPort(port) && validHost(host)
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
