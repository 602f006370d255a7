// SPDX-License-Identifier: Apache-2.0

package http2

import "strings"

// Sniff says whether b, the first bytes of a client, is the preface of HTTP/2. needMore is true while b
// could still become one.
func Sniff(b []byte) (match, needMore bool) {
	n := min(len(b), len(preface))
	if string(b[:n]) != preface[:n] {
		return false, false
	}
	return n == len(preface), n < len(preface)
}

// SniffJoined says whether b, bytes that an end of a connection sent in one go some time after its
// beginning, are whole frames of a client of HTTP/2 with at least one request that can be understood without
// what came before. Nothing less would be sure.
func SniffJoined(b []byte) bool {
	requests := 0
	for len(b) > 0 {
		if len(b) < headerLen {
			return false
		}
		f := parseFrame(b)
		if !f.plausible(true, firstMaxFrame) || len(b) < headerLen+f.length {
			return false
		}
		payload := b[headerLen : headerLen+f.length]
		b = b[headerLen+f.length:]
		if f.kind != frameHeaders {
			continue
		}
		fragment, ok := f.fragment(payload)
		if !ok || !f.has(flagEndHeaders) {
			return false
		}
		t := dynamicTable{bound: 64 << 10, limit: 64 << 10}
		fields, _, ok := t.decode(nil, fragment, 64<<10)
		if !ok {
			return false
		}
		var s section
		for i := range fields {
			if g := &fields[i]; g.nameKnown && g.valueKnown && strings.HasPrefix(g.name, ":") {
				s.take(g)
			}
		}
		if s.malformed || s.status != 0 {
			return false
		}
		if knownMethod(s.method) && strings.HasPrefix(s.path, "/") && (s.scheme == "http" || s.scheme == "https") {
			requests++
		}
	}
	return requests > 0
}

func knownMethod(m string) bool {
	switch m {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "QUERY":
		return true
	}
	return false
}
