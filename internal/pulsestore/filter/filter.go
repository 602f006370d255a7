// SPDX-License-Identifier: Apache-2.0

// Package filter is the language in which people and programs say which rows they mean:
//
//	status:>=500 dur:>1s -method:GET (server:*.example.com OR peer:10.0.0.0/8) "checkout"
//
//	or    = and { "OR" and }
//	and   = not { [ "AND" ] not }
//	not   = [ "-" | "NOT" ] ( "(" or ")" | term )
//	term  = key op ( value | "(" or ")" ) | value
//	op    = ":" | "=" | "!=" | ">" | ">=" | "<" | "<=", each of which may follow a ":"
//	value = "quoted \" text" | word, in which * stands for anything and \ takes a meaning away
//
// A word without a key is searched for in the fields that the table names for it. What `key:value` means depends on the
// field's Kind. Expressions become SQL whose columns come from an allow-list and whose values are parameters: no text of
// a caller is ever part of a statement.
package filter

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of one expression.
const (
	// MaxLength is how many bytes an expression may have.
	MaxLength = 4096
	maxTerms  = 64
	maxDepth  = 32
)

// Error says where an expression is wrong, and how to mend it. Its text holds parts of the expression.
type Error struct {
	// Start and End are offsets in bytes: the first of what is wrong, and the one after its last.
	Start, End int
	Message    string
}

func (e *Error) Error() string { return fmt.Sprintf("at %d: %s", e.Start+1, e.Message) }

// Expr is a parsed expression. A nil Expr matches everything.
type Expr struct{ root node }

// node is one of and, or, not, *term.
type node interface{ write(*strings.Builder) }

type (
	and []node
	or  []node
	not struct{ node }
)

// op is how a term compares.
type op string

const (
	opIs      op = ":" // what the field's kind makes of it
	opEqual   op = "="
	opUnequal op = "!="
	opLess    op = "<"
	opAtMost  op = "<="
	opMore    op = ">"
	opAtLeast op = ">="
)

// term is one comparison. field is "" for a word without a key.
type term struct {
	field string
	kind  Kind
	op    op
	value pattern
	// low and high are the bounds, both included, of kinds that are numbers.
	low, high uint64
	net       network
}

// pattern is text whose pieces are apart by anything.
type pattern []string

func (p pattern) literal() bool { return len(p) == 1 }
func (p pattern) any() bool     { return len(p) == 2 && p[0] == "" && p[1] == "" }

// String returns the expression in a form that is the same for all ways to write it, as far as spaces and quotes go.
func (e *Expr) String() string {
	if e == nil {
		return ""
	}
	var b strings.Builder
	e.root.write(&b)
	return b.String()
}

// Fields returns the names of the fields that the expression compares, sorted; "" for words without a key.
func (e *Expr) Fields() []string {
	var names []string
	if e != nil {
		terms(e.root, func(t *term) { names = append(names, t.field) })
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Lacking returns, as Fields does, the names of the fields of which rows that lack them may match: below a negation, compared by !=, or
// with what is empty.
func (e *Expr) Lacking() []string {
	var names []string
	var walk func(n node)
	walk = func(n node) {
		switch n := n.(type) {
		case and:
			for _, child := range n {
				walk(child)
			}
		case or:
			for _, child := range n {
				walk(child)
			}
		case not:
			terms(n.node, func(t *term) { names = append(names, t.field) })
		case *term:
			if n.op == opUnequal || strings.Join(n.value, "") == "" && (n.op != opIs || !n.value.any()) {
				names = append(names, n.field)
			}
		}
	}
	if e != nil {
		walk(e.root)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func terms(n node, f func(*term)) {
	switch n := n.(type) {
	case and:
		for _, child := range n {
			terms(child, f)
		}
	case or:
		for _, child := range n {
			terms(child, f)
		}
	case not:
		terms(n.node, f)
	case *term:
		f(n)
	}
}

// And returns the expression that matches what all of them match.
func And(all ...*Expr) *Expr { return join(all, func(n []node) node { return and(n) }) }

// Or returns the expression that matches what one of them matches; nil, which matches everything, when one is nil.
func Or(all ...*Expr) *Expr {
	if slices.Contains(all, nil) {
		return nil
	}
	return join(all, func(n []node) node { return or(n) })
}

func join(all []*Expr, with func([]node) node) *Expr {
	var nodes []node
	for _, e := range all {
		if e != nil {
			nodes = append(nodes, e.root)
		}
	}
	switch len(nodes) {
	case 0:
		return nil
	case 1:
		return &Expr{root: nodes[0]}
	}
	return &Expr{root: with(nodes)}
}

func (n and) write(b *strings.Builder) { writeAll(b, n, " ") }
func (n or) write(b *strings.Builder)  { writeAll(b, n, " OR ") }

func (n not) write(b *strings.Builder) {
	b.WriteByte('-')
	n.node.write(b)
}

func writeAll(b *strings.Builder, nodes []node, between string) {
	b.WriteByte('(')
	for i, n := range nodes {
		if i > 0 {
			b.WriteString(between)
		}
		n.write(b)
	}
	b.WriteByte(')')
}

func (t *term) write(b *strings.Builder) {
	if t.field != "" {
		b.WriteString(t.field)
		if t.op != opIs {
			b.WriteByte(':')
		}
		b.WriteString(string(t.op))
	}
	t.value.write(b)
}

func (p pattern) write(b *strings.Builder) {
	if p.literal() {
		b.WriteString(Quote(p[0]))
		return
	}
	for i, piece := range p {
		if i > 0 {
			b.WriteByte('*')
		}
		for _, r := range piece {
			if r < utf8.RuneSelf && !plainByte(byte(r)) || unicode.IsSpace(r) {
				b.WriteByte('\\')
			}
			b.WriteRune(r)
		}
	}
}

// Quote returns text as a value that means exactly it.
func Quote(text string) string {
	plain := text != "" && text != "OR" && text != "AND" && text != "NOT"
	for _, c := range []byte(text) {
		plain = plain && plainByte(c)
	}
	if plain {
		return text
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

// plainByte reports whether c means itself wherever it stands.
func plainByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_./%@{}", c) >= 0
}
