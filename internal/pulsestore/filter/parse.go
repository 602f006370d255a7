// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Parse reads an expression over fields. Text without a word is nil, which matches everything. The error is an *Error.
func Parse(text string, fields *Fields) (*Expr, error) {
	if len(text) > MaxLength {
		return nil, &Error{MaxLength, len(text), fmt.Sprintf("a filter has at most %d bytes", MaxLength)}
	}
	if !utf8.ValidString(text) {
		return nil, &Error{0, len(text), "a filter is UTF-8 text"}
	}
	p := &parser{text: text, fields: fields}
	p.space()
	if p.end() {
		return nil, nil
	}
	root, err := p.or(nil, 0)
	if err != nil {
		return nil, err
	}
	if !p.end() { // only a parenthesis ends an expression before the text does
		return nil, p.fail(p.pos, p.pos+1, "this ) closes nothing: put it into quotes to search for it")
	}
	return &Expr{root: root}, nil
}

type parser struct {
	text   string
	pos    int
	fields *Fields
	terms  int
}

// key is what values without a key of their own belong to, inside key:( … ).
type key struct {
	field *Field
	op    op
}

func (p *parser) fail(start, end int, format string, args ...any) *Error {
	return &Error{Start: start, End: min(max(end, start), len(p.text)), Message: fmt.Sprintf(format, args...)}
}

func (p *parser) end() bool { return p.pos >= len(p.text) }

func (p *parser) space() {
	for !p.end() {
		r, n := utf8.DecodeRuneInString(p.text[p.pos:])
		if !unicode.IsSpace(r) {
			return
		}
		p.pos += n
	}
}

// word takes the keyword w when it stands alone.
func (p *parser) word(w string) bool {
	rest, ok := strings.CutPrefix(p.text[p.pos:], w)
	if !ok {
		return false
	}
	if r, _ := utf8.DecodeRuneInString(rest); rest != "" && !unicode.IsSpace(r) && r != '(' && r != ')' {
		return false
	}
	p.pos += len(w)
	p.space()
	return true
}

func (p *parser) or(in *key, depth int) (node, error) {
	if depth > maxDepth {
		return nil, p.fail(p.pos, p.pos+1, "parentheses are nested more than %d deep", maxDepth)
	}
	var all or
	for {
		n, err := p.and(in, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		if !p.word("OR") {
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

func (p *parser) and(in *key, depth int) (node, error) {
	var all and
	for {
		start := p.pos
		if p.end() || p.text[p.pos] == ')' || p.word("OR") || p.word("AND") {
			return nil, p.fail(start, p.pos, "something to look for is missing here")
		}
		n, err := p.not(in, depth)
		if err != nil {
			return nil, err
		}
		all = append(all, n)
		p.space()
		if p.word("AND") {
			continue
		}
		here := p.pos
		if p.end() || p.text[p.pos] == ')' || p.word("OR") {
			p.pos = here
			break
		}
	}
	if len(all) == 1 {
		return all[0], nil
	}
	return all, nil
}

func (p *parser) not(in *key, depth int) (node, error) {
	negate := false
	for start := p.pos; ; {
		switch {
		case !p.end() && p.text[p.pos] == '-':
			p.pos++
		case p.word("NOT"):
		default:
			n, err := p.primary(in, depth)
			if err == nil && negate {
				n = not{n}
			}
			return n, err
		}
		negate = !negate
		if p.end() || p.text[p.pos] == ')' || p.text[p.pos] == ' ' {
			return nil, p.fail(start, p.pos, "what is not to be there must follow the - : put it into quotes to search for it")
		}
	}
}

func (p *parser) primary(in *key, depth int) (node, error) {
	if p.text[p.pos] == '(' {
		return p.group(in, depth)
	}
	if p.terms++; p.terms > maxTerms {
		return nil, p.fail(p.pos, len(p.text), "a filter has at most %d terms", maxTerms)
	}
	start := p.pos
	if in != nil {
		// Inside key:( … ) each value may have an operator of its own.
		k := *in
		if o, n := operator(p.text[p.pos:]); n > 0 && o != opIs {
			k.op = o
			p.pos += n
		}
		return p.value(k, start)
	}
	name := p.key()
	if name == "" {
		return p.value(key{op: opIs}, start)
	}
	field := p.fields.Get(name)
	if field == nil {
		return nil, p.fail(start, start+len(name), "%s", p.fields.unknown(name))
	}
	o, n := operator(p.text[p.pos:])
	p.pos += n
	k := key{field, o}
	if !p.end() && p.text[p.pos] == '(' {
		return p.group(&k, depth)
	}
	return p.value(k, start)
}

func (p *parser) group(in *key, depth int) (node, error) {
	open := p.pos
	p.pos++
	p.space()
	n, err := p.or(in, depth+1)
	if err != nil {
		return nil, err
	}
	if p.end() {
		return nil, p.fail(open, open+1, "this ( is not closed")
	}
	p.pos++
	return n, nil
}

// key takes a name, if an operator follows it.
func (p *parser) key() string {
	rest := p.text[p.pos:]
	n := 0
	for n < len(rest) && (rest[n] >= 'a' && rest[n] <= 'z' || rest[n] >= 'A' && rest[n] <= 'Z' ||
		n > 0 && (rest[n] >= '0' && rest[n] <= '9' || rest[n] == '_' || rest[n] == '.')) {
		n++
	}
	if n == 0 {
		return ""
	}
	if _, op := operator(rest[n:]); op == 0 {
		return ""
	}
	p.pos += n
	return rest[:n]
}

// operator returns the operator that s begins with, and its length.
func operator(s string) (op, int) {
	rest, colon := strings.CutPrefix(s, ":")
	for _, o := range []op{opAtLeast, opAtMost, opUnequal, opMore, opLess, opEqual} {
		if strings.HasPrefix(rest, string(o)) {
			return o, len(s) - len(rest) + len(o)
		}
	}
	if colon {
		return opIs, 1
	}
	return opIs, 0
}

// value takes a value and makes the term. start is where the term began.
func (p *parser) value(k key, start int) (node, error) {
	at := p.pos
	var value pattern
	if !p.end() && p.text[p.pos] == '"' {
		text, err := p.quoted()
		if err != nil {
			return nil, err
		}
		value = pattern{text}
	} else {
		var err error
		if value, err = p.bare(); err != nil {
			return nil, err
		}
		if p.pos == at {
			return nil, p.fail(start, p.pos, "a value must follow %s", p.text[start:p.pos])
		}
	}
	t := &term{op: k.op, value: value}
	if k.field != nil {
		t.field, t.kind = k.field.Name, k.field.Kind
		if what := t.typed(k.field); what != "" {
			return nil, p.fail(at, p.pos, "%s", what)
		}
	}
	return t, nil
}

func (p *parser) quoted() (string, error) {
	open := p.pos
	var b strings.Builder
	for p.pos++; !p.end(); p.pos++ {
		switch c := p.text[p.pos]; {
		case c == '"':
			p.pos++
			return b.String(), nil
		case c == '\\' && p.pos+1 < len(p.text):
			p.pos++
			b.WriteByte(p.text[p.pos])
		default:
			b.WriteByte(c)
		}
	}
	return "", p.fail(open, len(p.text), "this \" is not closed")
}

// bare takes a word, in which * stands for anything.
func (p *parser) bare() (pattern, error) {
	value := pattern{""}
	var b strings.Builder
	for !p.end() {
		r, n := utf8.DecodeRuneInString(p.text[p.pos:])
		if unicode.IsSpace(r) || r == '(' || r == ')' || r == '"' {
			break
		}
		switch r {
		case '\\':
			if p.pos+n == len(p.text) {
				return nil, p.fail(p.pos, p.pos+1, "a \\ takes the meaning of what follows: write two to search for one")
			}
			p.pos += n
			r, n = utf8.DecodeRuneInString(p.text[p.pos:])
			b.WriteRune(r)
		case '*':
			value[len(value)-1] = b.String()
			b.Reset()
			if len(value) == 1 || value[len(value)-1] != "" { // ** is *
				value = append(value, "")
			}
		default:
			b.WriteRune(r)
		}
		p.pos += n
	}
	value[len(value)-1] = b.String()
	return value, nil
}
