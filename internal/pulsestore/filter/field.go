// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"fmt"
	"slices"
	"strings"
)

// Kind is what values of a field are, and so how they compare.
type Kind string

const (
	// Text compares whole, * stands for anything.
	Text Kind = "text"
	// Part is text of which a part is enough; `=` compares whole.
	Part Kind = "part"
	// Number is a whole number: 443, >=500, 200..299, and 5xx for 500..599.
	Number Kind = "number"
	// Bytes is a Number with an optional unit: b, kb, mb, gb (powers of 1000), kib, mib, gib (of 1024).
	Bytes Kind = "bytes"
	// Duration is a length of time with its unit: ns, us, ms, s, m, h. The column holds nanoseconds.
	Duration Kind = "duration"
	// IP is an address or a network: 10.0.0.1, 10.0.0.0/8, 2001:db8::/32. The column is an IPv6, IPv4 mapped into it.
	IP Kind = "ip"
	// Bool is true or false.
	Bool Kind = "bool"
	// ID8 is an id of 16 hex digits whose column is a UInt64.
	ID8 Kind = "id8"
	// Fixed8 is an id of 16 hex digits whose column is a FixedString(8).
	Fixed8 Kind = "fixed8"
	// Fixed16 is an id of 32 hex digits whose column is a FixedString(16). It is compared by the expression lower(hex(column)),
	// which an index may be on.
	Fixed16 Kind = "fixed16"
)

// Field is one key of the language.
type Field struct {
	Name string
	// Aliases mean the same, such as the name of the semantic conventions.
	Aliases []string
	Kind    Kind
	// Column is the SQL expression that the key stands for.
	Column      string
	Description string
	// Values are what the field can have when that is a closed set.
	Values []string
	// Class is n when Column holds a number divided by n: it can be compared in whole multiples of n only. 0 when it is whole.
	Class uint64
	// Facet says that counting the field's values is a sensible question: they are few.
	Facet bool
}

// Fields are the keys that one table has. It is the allow-list of columns.
type Fields struct {
	list []Field
	keys map[string]int // by lower-case name or alias
	text []string
}

// NewFields returns the set of list, in that order; words without a key are searched for in the fields named by text.
// It panics when a name is there twice: sets are constants of the program.
func NewFields(list []Field, text ...string) *Fields {
	f := &Fields{list: list, keys: map[string]int{}, text: text}
	for i := range list {
		for _, name := range append([]string{list[i].Name}, list[i].Aliases...) {
			if _, twice := f.keys[strings.ToLower(name)]; twice {
				panic("filter: two fields are called " + name)
			}
			f.keys[strings.ToLower(name)] = i
		}
	}
	for _, name := range text {
		if f.Get(name) == nil {
			panic("filter: there is no field " + name)
		}
	}
	return f
}

// All returns the fields in their order.
func (f *Fields) All() []Field { return slices.Clone(f.list) }

// Get returns the field with that name or alias, in any case of letters; nil when there is none.
func (f *Fields) Get(name string) *Field {
	i, ok := f.keys[strings.ToLower(name)]
	if !ok {
		return nil
	}
	return &f.list[i]
}

// Has reports whether e can be asked of this table.
func (f *Fields) Has(e *Expr) bool {
	_, _, err := e.SQL(f, "")
	return err == nil
}

// unknown says that there is no such key, and which one may have been meant.
func (f *Fields) unknown(name string) string {
	best, distance := "", 3
	for key := range f.keys {
		if d := editDistance(strings.ToLower(name), key); d < distance || d == distance && best != "" && key < best {
			best, distance = key, d
		}
	}
	if best != "" && distance < 3 {
		return fmt.Sprintf("there is no key %q: did you mean %q?", name, best)
	}
	return fmt.Sprintf("there is no key %q: put the text into quotes to search for it", name)
}

// editDistance is that of Levenshtein, in bytes.
func editDistance(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		left := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			left, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, left+cost)
		}
	}
	return row[len(b)]
}
