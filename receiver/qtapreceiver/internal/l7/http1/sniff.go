// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"strings"
)

const (
	maxMethod = 32
	// maxSniff is the longest start line that is waited for.
	maxSniff = 16 << 10
)

// Sniff says whether b, the first bytes of a client, begins an HTTP/1 request: a whole request
// line is needed for a match. needMore is true while b could still become one.
func Sniff(b []byte) (match, needMore bool) {
	i := 0
	for i < len(b) && i <= maxMethod && isToken(b[i]) {
		i++
	}
	if i == len(b) {
		return false, i <= maxMethod
	}
	if i == 0 || i > maxMethod || b[i] != ' ' {
		return false, false
	}
	target := b[i+1:]
	j := 0
	for j < len(target) && isTarget(target[j]) {
		j++
	}
	if j == len(target) {
		return false, len(b) < maxSniff
	}
	if j == 0 || target[j] != ' ' {
		return false, false
	}
	return sniffLine(target[j+1:], "HTTP/1.d")
}

// sureRequest is Sniff for places where a request may or may not begin: only registered methods count, or
// the end of a body that has no line end would become part of the method.
func sureRequest(b []byte) (match, needMore bool) {
	method, _, _ := bytes.Cut(b[:min(len(b), maxMethod+1)], []byte{' '})
	for _, m := range methods {
		if len(method) == len(m) && string(method) == m || len(method) == len(b) && strings.HasPrefix(m, string(method)) {
			return Sniff(b)
		}
	}
	return false, false
}

// methods are those of the IANA registry of HTTP methods, and of UPnP and caches, most frequent first.
var methods = [...]string{
	"GET", "POST", "PUT", "HEAD", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE", "QUERY", "PROPFIND", "REPORT",
	"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY",
	"MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPPATCH", "REBIND", "SEARCH", "UNBIND",
	"UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL",
	"M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE", "PURGE",
}

// SniffResponse says the same of a server's bytes and a status line.
func SniffResponse(b []byte) (match, needMore bool) {
	const begin = "HTTP/1.d ddd"
	match, needMore = sniffLine(b, begin)
	if match || needMore || len(b) < len(begin)+1 || b[len(begin)] != ' ' || !fits(b[:len(begin)], begin) {
		return match, needMore
	}
	end := bytes.IndexByte(b, '\n')
	return end >= 0, end < 0 && len(b) < maxSniff
}

// sniffLine says whether b is the pattern and a line end.
func sniffLine(b []byte, pattern string) (match, needMore bool) {
	if len(b) <= len(pattern) {
		return false, fits(b, pattern)
	}
	if !fits(b[:len(pattern)], pattern) {
		return false, false
	}
	b = b[len(pattern):]
	if b[0] == '\r' {
		if len(b) == 1 {
			return false, true
		}
		b = b[1:]
	}
	return b[0] == '\n', false
}

// fits says whether b is a beginning of pattern, in which d is any digit.
func fits(b []byte, pattern string) bool {
	for i, c := range b {
		if p := pattern[i]; c != p && (p != 'd' || c < '0' || c > '9') {
			return false
		}
		if pattern[i] == 'd' && c == 'd' {
			return false
		}
	}
	return true
}

// isToken is tchar of RFC 9110 §5.6.2.
func isToken(c byte) bool { return tokens[c] }

// isTarget accepts what occurs in a request target: visible ASCII, and the raw bytes ≥ 0x80 that
// some clients send.
func isTarget(c byte) bool { return c > ' ' && c != 0x7f }

var tokens = func() (t [256]bool) {
	for c := '0'; c <= '9'; c++ {
		t[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = true, true
	}
	for _, c := range "!#$%&'*+-.^_`|~" {
		t[c] = true
	}
	return t
}()
