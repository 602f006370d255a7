// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// label cleans a name that an operator gives: services, executables, users, pods. Values within are replaced by what
// their mode says; ok is false when the name goes.
func (p *policy) label(s string) (clean string, ok bool) {
	if len(s) > maxName {
		return "", false
	}
	// What was cut out joins what was around it: cleaned is what stays as it is.
	for range 4 {
		next, ok := p.labelOnce(s)
		if !ok {
			return "", false
		}
		if next == s {
			return s, s != ""
		}
		s = next
	}
	return "", false
}

// labelOnce replaces the values in s between its placeholders.
func (p *policy) labelOnce(s string) (string, bool) {
	if strings.IndexByte(s, '{') < 0 {
		return p.plainLabel(s)
	}
	var b strings.Builder
	for s != "" {
		open := strings.IndexByte(s, '{')
		if open < 0 {
			open = len(s)
		}
		if open > 0 {
			part, ok := p.plainLabel(s[:open])
			if !ok {
				return "", false
			}
			b.WriteString(part)
			s = s[open:]
			continue
		}
		end := strings.IndexByte(s, '}') + 1
		if _, ok := p.placeholder(s[:end], kinds); !ok {
			return "", false
		}
		b.WriteString(s[:end])
		s = s[end:]
	}
	return b.String(), true
}

// plainLabel replaces the values in s, which has no placeholders. It allocates only if there are any.
func (p *policy) plainLabel(s string) (string, bool) {
	var (
		b    strings.Builder
		at   int
		drop bool
	)
	detect.ScanString(detect.None, s, func(k detect.Kind, start, end int) bool {
		if k == detect.IP || p.modes[k] == keep {
			return true
		}
		if at < start && !made(s[at:start], nameMarks, maxName) {
			drop = true
		}
		b.WriteString(s[at:start])
		switch p.modes[k] {
		case keyed:
			b.WriteString(p.keyed(k.String(), k, s[start:end]))
		case mask:
			b.WriteString("{" + k.String() + "}")
		default:
			drop = true
		}
		at = end
		return !drop
	})
	if drop || at < len(s) && !made(s[at:], nameMarks, maxName) {
		return "", false
	}
	if at == 0 {
		return s, s != ""
	}
	b.WriteString(s[at:])
	return b.String(), true
}
