// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"net/netip"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	maxID    = 128
	maxToken = 64
	maxName  = 256
	maxHost  = 253 // RFC 1035 §2.3.4, without the root dot
	maxLabel = 63
)

// Sets of ASCII characters beside letters and digits.
const (
	idMarks    = "._:/@-"
	tokenMarks = "._/-+:"
	nameMarks  = " ._:/@+,()[]~-"
)

func isAlnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// made reports whether s is 1 to limit letters, digits and marks.
func made(s, marks string, limit int) bool {
	if s == "" || len(s) > limit {
		return false
	}
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte(marks, s[i]) < 0 {
			return false
		}
	}
	return true
}

// validID accepts opaque identifiers, by the form of the ones whose form is fixed: a general
// rule for identifiers would let any secret of the same alphabet through.
func (p *policy) validID(key, s string) bool {
	switch key {
	case semantic.ConnectionID:
		return len(s) == 16 && isLowerHex(s)
	case semantic.ObjectSHA256:
		return len(s) == 64 && isLowerHex(s)
	case semantic.K8sPodUID:
		// The uid of a static pod is an MD5 of its manifest, without hyphens.
		return detect.IsUUID(s) || len(s) == 32 && isLowerHex(s)
	case semantic.SegmentKey:
		return validObjectKey(s)
	case semantic.TLSClientJA3:
		return len(s) == 32 && isLowerHex(s)
	case semantic.TLSClientJA4:
		return validJA4(s)
	}
	return made(s, idMarks, maxID) && !p.secret(s)
}

func isLowerHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func validObjectKey(s string) bool { return objectkey.Validate(s) == nil }

// validToken accepts enumerations and versions. ALPN names and error types come from the
// wire, so a token that looks like an identifier or a secret is none.
func validToken(key, s string) bool {
	if key == semantic.DNSQuestionType {
		return validRecordType(s)
	}
	if !made(s, tokenMarks, maxToken) {
		return false
	}
	// "http/1.1" has a slash, which no segment has.
	for part := range strings.SplitSeq(s, "/") {
		if detect.Segment(part) != detect.None && !shortVersion(part) {
			return false
		}
	}
	return true
}

// validRecordType accepts the type of a DNS question: a mnemonic, or TYPE and a number of 16 bits (RFC 3597 §5). Taken for any word, AAAA would be none.
func validRecordType(s string) bool {
	if number, ok := strings.CutPrefix(s, "TYPE"); ok && number != "" {
		_, err := strconv.ParseUint(number, 10, 16)
		return err == nil
	}
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return s != "" && len(s) <= len("CNAME")
}

// shortVersion accepts "1.1" and "404", but no number that could identify something.
func shortVersion(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && s[i] != '.' {
			return false
		}
	}
	return len(s) <= 8
}

// hostForm accepts DNS names of letters, digits, hyphens and underscores (which compose and
// Kubernetes use) and IP addresses without a zone: a zone is free text.
func hostForm(s string) bool {
	if s == "" || len(s) > maxHost+1 {
		return false
	}
	if strings.IndexByte(s, ':') >= 0 {
		addr, err := netip.ParseAddr(s)
		return err == nil && addr.Zone() == ""
	}
	s = strings.TrimSuffix(s, ".")
	label := 0
	for i := range len(s) {
		switch c := s[i]; {
		case isAlnum(c) || c == '_':
			label++
		case c == '-':
			if label == 0 || i == len(s)-1 || s[i+1] == '.' {
				return false
			}
			label++
		case c == '.':
			if label == 0 {
				return false
			}
			label = 0
		default:
			return false
		}
		if label > maxLabel {
			return false
		}
	}
	return label > 0
}

// cleanMethod returns s if it is a method that RFC 9110, RFC 5789 or the QUERY draft
// defines, else `_OTHER` as the HTTP conventions ask for.
func cleanMethod(s string) string {
	switch s {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return s
	}
	return "_OTHER"
}

// methodName is the method as it stands in a span name, by the HTTP conventions.
func methodName(method string) string {
	switch method {
	case "", "_OTHER":
		return "HTTP"
	}
	return method
}

// setSpanName names a span by its cleaned method and template, and leaves a right name alone:
// building one costs an allocation per span.
func setSpanName(span ptrace.Span, method, template string) {
	name := methodName(method)
	if name == method && template != "" {
		rest, ok := strings.CutPrefix(span.Name(), method)
		if ok && len(rest) > 1 && rest[0] == ' ' && rest[1:] == template {
			return
		}
		name = method + " " + template
	}
	if span.Name() != name {
		span.SetName(name)
	}
}

// schemaURL returns s if it is a schema of the OpenTelemetry conventions, else "".
func schemaURL(s string) string {
	rest, ok := strings.CutPrefix(s, "https://opentelemetry.io/schemas/")
	if !ok || len(rest) > 11 {
		return ""
	}
	dots, digits := 0, 0
	for i := range len(rest) {
		switch c := rest[i]; {
		case c >= '0' && c <= '9':
			if digits++; digits > 3 {
				return ""
			}
		case c == '.' && digits > 0:
			dots++
			digits = 0
		default:
			return ""
		}
	}
	if dots != 2 || digits == 0 {
		return ""
	}
	return s
}

// validScopeName accepts the path of a component of this module.
func validScopeName(s string) bool {
	rest, ok := strings.CutPrefix(s, "github.com/qpoint-io/otelcol-qpoint/")
	if !ok {
		return false
	}
	kind, name, ok := strings.Cut(rest, "/")
	if !ok || !strings.HasSuffix(name, kind) || len(name) > 40 {
		return false
	}
	switch kind {
	case "receiver", "processor", "connector":
	default:
		return false
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return detect.Segment(name) == detect.None
}

// validVersion accepts semantic versions and the names that untagged builds have.
func validVersion(s string) bool {
	switch s {
	case "", "dev", "latest":
		return true
	}
	v := strings.TrimPrefix(s, "v")
	return v != "" && v[0] >= '0' && v[0] <= '9' && made(v, ".+-", 48) && strings.Count(v, ".") >= 2
}
