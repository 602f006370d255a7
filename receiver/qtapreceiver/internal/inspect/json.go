// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// maxDepth is how deep JSON is walked into; what is deeper is text, or taken out where the policy names places in it.
const maxDepth = 64

// reasonSyntax says that a body is not the JSON that it is said to be, or too deep, so that a path names nothing in it.
const reasonSyntax = "syntax"

// minKey is the length, in bytes, up to which keys are kept whatever a policy names: a longer one has no place of its own.
const minKey = 64

// element is one step from the root of a document: a key, or a position in an array.
type element struct {
	name   []byte // what the key means; nil where it is long
	index  int    // -1 for a key
	long   bool   // the key is longer than any that is asked for
	hidden bool   // something was taken out of the key
	kind   detect.Kind
	named  string // why the policy wants the value gone, for its key alone
}

// element returns the step that a key is, once for all that is below it. raw is what is between the quotes.
func (in *Inspector) element(raw []byte) element {
	e := element{index: -1}
	name := raw
	if bytes.IndexByte(raw, '\\') >= 0 && len(raw) <= len(`\u0000`)*in.maxKey {
		name = in.unquote(raw)
	}
	if e.long = len(name) > in.maxKey; e.long {
		return e
	}
	start := len(in.names)
	in.names = append(in.names, name...)
	e.name = in.names[start:]
	e.kind = detect.Field(string(e.name))
	if p := in.set.Redact; p != nil && len(p.fields) > 0 {
		e.named = p.field(string(e.name))
	}
	return e
}

// json looks at JSON values behind each other: one document, or lines of them. A document that is cut is looked at as far as
// it goes. Where guessed, nobody said that it is JSON: what has no object is text then. reason is set when the policy needs
// the document's structure, and it has none, or is too deep.
func (in *Inspector) json(b []byte, cut, guessed bool) (reason string) {
	w := walker{in: in, b: b}
	in.path, in.names = in.path[:0], in.names[:0]
	for w.space(); w.i < len(w.b); w.space() {
		if b[w.i] == 0x1e { // RFC 7464
			w.i++
			continue
		}
		w.word = len(b)
		if w.value(0) {
			continue
		}
		in.path, in.names = in.path[:0], in.names[:0]
		switch {
		case w.deep:
			return reasonSyntax
		case w.i >= len(b) && cut && w.word == len(b):
		case in.set.Redact.structured() && (w.keyed || !guessed):
			return reasonSyntax
		}
		in.location, in.place = locationText, nowhere
		in.look(b[min(w.i, w.word):], plain, detect.None, "")
		return ""
	}
	return ""
}

// walker goes through JSON (RFC 8259) without building anything of it.
type walker struct {
	in *Inspector
	b  []byte
	i  int

	word  int  // where the word is that is none of JSON; len(b): there is none
	keyed bool // an object with a key was seen
	deep  bool // there is more than is walked into, and the policy may name it
}

func (w *walker) space() {
	for w.i < len(w.b) && (w.b[w.i] == ' ' || w.b[w.i] == '\n' || w.b[w.i] == '\r' || w.b[w.i] == '\t') {
		w.i++
	}
}

// value looks at one value; false when it is not valid, or cut.
func (w *walker) value(depth int) bool {
	if w.i >= len(w.b) {
		return false
	}
	named := w.in.set.Redact.path(w.in.path)
	start := w.i
	switch c := w.b[w.i]; c {
	case '{', '[':
		ok := depth < maxDepth && w.inside(depth, c == '{')
		if depth >= maxDepth {
			if w.deep = w.in.set.Redact.structured(); w.deep {
				return false
			}
			ok = w.over()
			w.leaf(w.b[start:w.i], plain, detect.None, "")
		}
		if named != "" {
			// What is inside was looked at already.
			w.in.marked(named)
			mask(w.b[start:w.i], number)
		}
		return ok
	case '"':
		ok := w.quoted()
		end := w.i
		if ok {
			end--
		}
		w.leaf(w.b[start+1:end], quoted, w.field(), named)
		return ok
	default:
		for w.i < len(w.b) && literal[w.b[w.i]] {
			w.i++
		}
		switch word := w.b[start:w.i]; {
		case len(word) > 0 && (word[0] == '-' || word[0] >= '0' && word[0] <= '9'):
		case string(word) == "true" || string(word) == "false" || string(word) == "null":
		default:
			begun := func(of string) bool { return strings.HasPrefix(of, string(word)) }
			if w.i < len(w.b) || !begun("true") && !begun("false") && !begun("null") {
				w.word = start
			}
			return false
		}
		w.leaf(w.b[start:w.i], number, w.field(), named)
		return true
	}
}

var literal = func() (t [256]bool) {
	for _, c := range "+-.0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// inside looks at the members of an object, or the elements of an array.
func (w *walker) inside(depth int, object bool) bool {
	closing := byte(']')
	if object {
		closing = '}'
	}
	w.i++
	w.space()
	if w.i < len(w.b) && w.b[w.i] == closing {
		w.i++
		return true
	}
	w.in.path = append(w.in.path, element{index: 0})
	level, names := len(w.in.path), len(w.in.names)
	for {
		if object {
			start := w.i + 1
			if w.i >= len(w.b) || w.b[w.i] != '"' {
				return false
			}
			w.keyed = true
			ok := w.quoted()
			key := w.b[min(start, len(w.b)):w.i]
			if ok {
				key = key[:len(key)-1]
			}
			// A key may be a value: an object of users by their addresses. Its place is the object.
			w.in.path, w.in.names = w.in.path[:level-1], w.in.names[:names]
			step, edited := w.in.element(key), w.in.edited
			w.in.edited = false
			w.leaf(key, quoted, detect.None, "")
			step.hidden = w.in.edited
			w.in.edited = w.in.edited || edited
			if !ok {
				return false
			}
			w.in.path = append(w.in.path, step)
			w.space()
			if w.i >= len(w.b) || w.b[w.i] != ':' {
				return false
			}
			w.i++
			w.space()
		}
		if !w.value(depth + 1) {
			return false
		}
		w.in.path = w.in.path[:level]
		w.space()
		if w.i >= len(w.b) {
			return false
		}
		switch w.b[w.i] {
		case ',':
			w.i++
			w.space()
			w.in.path[level-1].index++
			if object {
				w.in.path[level-1].index = -1
			}
		case closing:
			w.i++
			w.in.path, w.in.names = w.in.path[:level-1], w.in.names[:names]
			return true
		default:
			return false
		}
	}
}

// quoted goes over a string, to behind its closing quote.
func (w *walker) quoted() bool {
	for w.i++; w.i < len(w.b); w.i++ {
		j := bytes.IndexByte(w.b[w.i:], '"')
		if j < 0 {
			break
		}
		w.i += j
		slashes := 0
		for w.b[w.i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			w.i++
			return true
		}
	}
	w.i = len(w.b)
	return false
}

// over goes over an array or object of any depth.
func (w *walker) over() bool {
	for depth := 0; w.i < len(w.b); w.i++ {
		switch w.b[w.i] {
		case '"':
			if !w.quoted() {
				return false
			}
			w.i--
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				w.i++
				return true
			}
		}
	}
	return false
}

func (w *walker) leaf(raw []byte, f form, field detect.Kind, named string) {
	w.in.location, w.in.place = locationJSON, w.in.inJSON
	w.in.look(raw, f, field, named)
}

// field is what the nearest key announces of the value at hand.
func (w *walker) field() detect.Kind {
	for i := len(w.in.path) - 1; i >= 0; i-- {
		if e := w.in.path[i]; e.index < 0 {
			return e.kind
		}
	}
	return detect.None
}

// jsonPlace names the path at hand: `user.cards[].number`.
func (in *Inspector) jsonPlace() string {
	var b strings.Builder
	for _, e := range in.path {
		if e.index >= 0 {
			b.WriteString("[]")
			continue
		}
		if b.Len() > 0 {
			b.WriteByte('.')
		}
		if e.long || e.hidden {
			b.WriteString("{token}")
			continue
		}
		b.WriteString(detect.PlaceName(string(e.name)))
	}
	return detect.Place(b.String())
}
