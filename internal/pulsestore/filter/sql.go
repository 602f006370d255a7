// SPDX-License-Identifier: Apache-2.0

package filter

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Param is one parameter `{Name:Type}` of a statement.
type Param struct{ Name, Type, Value string }

// SQL returns the condition that e is over the columns of fields, and its parameters, whose names begin with prefix. Every
// value is a parameter, every column is one of fields. It fails when fields lacks one that e has: see Fields.Has.
func (e *Expr) SQL(fields *Fields, prefix string) (string, []Param, error) {
	if e == nil {
		return "1", nil, nil
	}
	c := &compiler{fields: fields, prefix: prefix}
	c.node(e.root)
	return c.sql.String(), c.params, c.err
}

type compiler struct {
	fields *Fields
	prefix string
	sql    strings.Builder
	params []Param
	err    error
}

func (c *compiler) param(typ, value string) string {
	name := c.prefix + strconv.Itoa(len(c.params))
	c.params = append(c.params, Param{name, typ, value})
	return "{" + name + ":" + typ + "}"
}

func (c *compiler) node(n node) {
	switch n := n.(type) {
	case and:
		c.all(n, " AND ")
	case or:
		c.all(n, " OR ")
	case not:
		c.sql.WriteString("NOT ")
		c.node(n.node)
	case *term:
		c.sql.WriteString("(" + c.term(n) + ")")
	}
}

func (c *compiler) all(nodes []node, between string) {
	c.sql.WriteByte('(')
	for i, n := range nodes {
		if i > 0 {
			c.sql.WriteString(between)
		}
		c.node(n)
	}
	c.sql.WriteByte(')')
}

func (c *compiler) term(t *term) string {
	if t.field == "" {
		var any []string
		for _, name := range c.fields.text {
			any = append(any, c.part(c.fields.Get(name).Column, t.value))
		}
		if len(any) == 0 {
			c.err = errors.New("words without a key cannot be searched for here")
			return "0"
		}
		return strings.Join(any, " OR ")
	}
	f := c.fields.Get(t.field)
	if f == nil || f.Kind != t.kind {
		c.err = fmt.Errorf("there is no key %q here", t.field)
		return "0"
	}
	if t.value.any() && t.op == opIs {
		return isSet(f)
	}
	sql := c.compare(f, t)
	if t.op == opUnequal {
		return "NOT (" + sql + ")"
	}
	return sql
}

// isSet is the condition that the field of a row holds something.
func isSet(f *Field) string {
	switch f.Kind {
	case Text, Part:
		return f.Column + " != ''"
	case IP:
		return f.Column + " != toIPv6('::')"
	case Fixed8:
		return f.Column + " != toFixedString('', 8)"
	case Fixed16:
		return f.Column + " != toFixedString('', 16)"
	}
	return f.Column + " != 0"
}

func (c *compiler) compare(f *Field, t *term) string {
	switch f.Kind {
	case Part:
		if t.op == opIs && t.value.literal() {
			return c.part(f.Column, t.value)
		}
		return c.whole(f.Column, t.value)
	case Text:
		return c.whole(f.Column, t.value)
	case IP:
		if t.net.low == t.net.high {
			return f.Column + " = toIPv6(" + c.param("String", t.net.low.String()) + ")"
		}
		return f.Column + " >= toIPv6(" + c.param("String", t.net.low.String()) + ") AND " + f.Column + " <= toIPv6(" + c.param("String", t.net.high.String()) + ")"
	case Bool:
		if t.value[0] == "true" {
			return f.Column
		}
		return "NOT " + f.Column
	case ID8:
		n, _ := strconv.ParseUint(t.value[0], 16, 64) // typed has checked it
		return f.Column + " = " + c.param("UInt64", strconv.FormatUint(n, 10))
	case Fixed8:
		return f.Column + " = toFixedString(unhex(" + c.param("String", t.value[0]) + "), 8)"
	case Fixed16:
		return "lower(hex(" + f.Column + ")) = " + c.param("String", strings.ToLower(t.value[0]))
	}
	if f.Class > 0 {
		return c.class(f, t)
	}
	number := func(n uint64) string { return c.param("UInt64", strconv.FormatUint(n, 10)) }
	switch {
	case t.op == opLess || t.op == opAtMost || t.op == opMore || t.op == opAtLeast:
		return f.Column + " " + string(t.op) + " " + number(t.low)
	case t.low == t.high:
		return f.Column + " = " + number(t.low)
	}
	return f.Column + " >= " + number(t.low) + " AND " + f.Column + " <= " + number(t.high)
}

// class compares a number of which the column has only how many whole multiples of f.Class it holds.
func (c *compiler) class(f *Field, t *term) string {
	low, high, above := t.low/f.Class, t.high/f.Class, t.low
	ok := t.low%f.Class == 0 && (t.high+1)%f.Class == 0
	switch t.op {
	case opAtLeast, opLess:
		ok = t.low%f.Class == 0
	case opMore, opAtMost:
		above++
		ok = above%f.Class == 0
	}
	if !ok {
		c.err = fmt.Errorf("%s is known in steps of %d only", f.Name, f.Class)
		return "0"
	}
	number := func(n uint64) string { return c.param("UInt64", strconv.FormatUint(n, 10)) }
	switch t.op {
	case opAtLeast, opMore:
		return f.Column + " >= " + number(above/f.Class)
	case opLess, opAtMost:
		return f.Column + " < " + number(above/f.Class)
	}
	return f.Column + " >= " + number(low) + " AND " + f.Column + " <= " + number(high)
}

// part is the condition that column holds the pattern somewhere.
func (c *compiler) part(column string, p pattern) string {
	if p.literal() {
		return "position(" + column + ", " + c.param("String", p[0]) + ") > 0"
	}
	return column + " LIKE " + c.param("String", "%"+like(p)+"%")
}

// whole is the condition that column is the pattern from begin to end.
func (c *compiler) whole(column string, p pattern) string {
	switch {
	case p.literal():
		return column + " = " + c.param("String", p[0])
	case len(p) == 2 && p[1] == "":
		return "startsWith(" + column + ", " + c.param("String", p[0]) + ")"
	}
	return column + " LIKE " + c.param("String", like(p))
}

func like(p pattern) string {
	escape := strings.NewReplacer(`\`, `\\`, "%", `\%`, "_", `\_`)
	pieces := make([]string, len(p))
	for i, piece := range p {
		pieces[i] = escape.Replace(piece)
	}
	return strings.Join(pieces, "%")
}
