// SPDX-License-Identifier: Apache-2.0

package detect

import "strings"

const (
	maxPlaceNames = 16 // of one place; what is deeper is one {more}
	maxPlaceName  = 64
	placeMore     = "{more}"
)

// Place returns the name of a place in a message, such as `x-api-key` or `user.cards[].number`, with every
// name that may itself be sensitive replaced: a JSON object can be keyed by email addresses. Names are joined by
// dots; `[]` stands for the elements of an array. What is clean is left as it is.
func Place(s string) string {
	if s == "" {
		return ""
	}
	var b strings.Builder
	n := 0
	for name := range strings.SplitSeq(s, ".") {
		if n++; n > 1 {
			b.WriteByte('.')
		}
		if n == maxPlaceNames && strings.Count(s, ".") >= maxPlaceNames {
			b.WriteString(placeMore)
			break
		}
		elements := name
		for strings.HasSuffix(name, "[]") {
			name = name[:len(name)-2]
		}
		b.WriteString(PlaceName(name))
		b.WriteString(elements[len(name):][:min(len(elements)-len(name), 8)])
	}
	return b.String()
}

// PlaceName returns one name of a place, or what stands for it.
func PlaceName(s string) string {
	switch s {
	case "", "{id}", "{uuid}", "{hex}", "{email}", "{token}", placeMore:
		return s
	}
	if len(s) > maxPlaceName {
		return "{token}"
	}
	switch Segment(s) {
	case None:
		return s
	case Number, ULID:
		return "{id}"
	case UUID:
		return "{uuid}"
	case Hex:
		return "{hex}"
	case Email:
		return "{email}"
	}
	return "{token}"
}
