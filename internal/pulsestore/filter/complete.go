// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Completion is what may stand at a place of an unfinished expression.
type Completion struct {
	// Start and End are the bytes of the text that an item replaces.
	Start, End int
	// Field is whose value is being written; "" while it may be a key.
	Field string
	// Prefix is what is there already, up to the place, without quotes.
	Prefix string
	// Items are texts to insert: keys with their colon, or the values of a closed set. Other values are to be asked of the store.
	Items []string
}

// Complete says what may be written at the byte offset pos of text.
func Complete(text string, pos int, fields *Fields) Completion {
	pos = min(max(pos, 0), len(text))
	start, quoted := wordStart(text[:pos])
	end := pos
	for end < len(text) {
		r, n := utf8.DecodeRuneInString(text[end:])
		if r == '"' && quoted {
			end++
			break
		}
		if !quoted && (unicode.IsSpace(r) || r == '(' || r == ')' || r == '"') {
			break
		}
		end += n
	}
	word := text[start:pos]
	for strings.HasPrefix(word, "-") {
		word = word[1:]
		start++
	}
	p := &parser{text: word, fields: fields}
	name := p.key()
	if name == "" {
		c := Completion{Start: start, End: end, Prefix: strings.TrimPrefix(word, `"`)}
		for i := range fields.list {
			for _, key := range append([]string{fields.list[i].Name}, fields.list[i].Aliases...) {
				if strings.HasPrefix(key, strings.ToLower(word)) && (word != "" || key == fields.list[i].Name) {
					c.Items = append(c.Items, key+":")
				}
			}
		}
		return c
	}
	field := fields.Get(name)
	if field == nil {
		return Completion{Start: start, End: end}
	}
	_, n := operator(word[p.pos:])
	value := start + p.pos + n
	c := Completion{Start: value, End: end, Field: field.Name, Prefix: strings.TrimPrefix(text[value:pos], `"`)}
	values := field.Values
	if field.Kind == Bool {
		values = []string{"true", "false"}
	}
	for _, v := range values {
		if strings.HasPrefix(v, c.Prefix) {
			c.Items = append(c.Items, Quote(v))
		}
	}
	slices.Sort(c.Items)
	return c
}

// wordStart returns where the last word of text begins, and whether it ends inside quotes.
func wordStart(text string) (start int, quoted bool) {
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '\\' && i+n < len(text):
			_, next := utf8.DecodeRuneInString(text[i+n:])
			n += next
		case r == '"':
			quoted = !quoted
		case !quoted && (unicode.IsSpace(r) || r == '(' || r == ')'):
			start = i + n
		}
		i += n
	}
	return start, quoted
}
