// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// ErrScope says that what a caller may see is bound by a field that the asked table does not have: it sees nothing of it.
var ErrScope = errors.New("your access is bound by a field that these rows do not have")

// Scope says which rows a caller may see. The zero Scope sees nothing, so that a question which forgets it has no answer.
type Scope struct {
	known       bool
	environment string
	bound       *filter.Expr
}

// EveryEnvironment sees all rows.
func EveryEnvironment() Scope { return Scope{known: true} }

// OnlyEnvironment sees the rows of one environment; of every one when name is "".
func OnlyEnvironment(name string) Scope { return Scope{known: true, environment: name} }

// Where narrows the scope to the rows that match e too.
func (s Scope) Where(e *filter.Expr) Scope {
	s.bound = filter.And(s.bound, e)
	return s
}

// Environment is the only environment that is seen; "" for every one.
func (s Scope) Environment() string { return s.environment }

// Bound is what rows must match beside their environment; nil for all.
func (s Scope) Bound() *filter.Expr { return s.bound }

// Selection is what every question has in common.
type Selection struct {
	Scope    Scope
	From, To time.Time    // [From, To); a zero time is no bound
	Filter   *filter.Expr // nil for all rows
}

// source is a part of a statement: a table, and the rows of it that a question may read. Store.rows is the only
// function that makes one and Store.ask the only one that sends one, so no question can miss the predicate.
type source struct {
	sql  string
	args []any
}

// rows returns the rows of t that sel asks for, within what its scope may see, and within more.
func (s *Store) rows(t *table, sel Selection, more *where) (source, error) {
	if !sel.Scope.known {
		return source{}, errors.New("a question without a scope")
	}
	w := &where{}
	w.environment(sel.Scope.environment)
	if t.grain > 0 {
		sel.From = sel.From.Truncate(t.grain)
	}
	w.between(t.time, sel.From, sel.To)
	if !boundable(t.fields, sel.Scope.bound) || w.filter(t, sel.Scope.bound, "scope") != nil {
		return source{}, ErrScope
	}
	if err := w.filter(t, sel.Filter, "filter"); err != nil {
		return source{}, err
	}
	if t.only != "" && !slices.Contains(sel.Filter.Fields(), t.unless) {
		w.conditions = append(w.conditions, t.only)
	}
	if more != nil {
		w.conditions = append(w.conditions, more.conditions...)
		w.args = append(w.args, more.args...)
	}
	from := s.table(t.name)
	if t.final {
		from += " FINAL"
	}
	return source{sql: from + w.sql(), args: w.args}, nil
}

// where collects conditions and their parameters. Values never become part of the SQL text.
type where struct {
	conditions []string
	args       []any
}

// and adds a condition with one parameter `{name:Type}`.
func (w *where) and(condition, name string, value any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, named(name, value))
}

// anyOf adds the condition that a number is one of some, which may be many.
func (w *where) anyOf(number string, of []uint64) {
	text := make([]string, len(of))
	for i, n := range of {
		text[i] = strconv.FormatUint(n, 10)
	}
	w.and(number+" IN ({numbers:Array(UInt64)})", "numbers", "["+strings.Join(text, ",")+"]")
}

// numbered is a number for what is the same in all columns. Columns of few values are hashed value by value and not row by row, and
// grouping by one number takes a fraction of what grouping by texts does. Two different ones may have one number, once in 2^64.
func numbered(columns ...string) string {
	sql := "sipHash64(" + columns[0] + ")"
	for i, column := range columns[1:] {
		// The second argument keeps equal values of two columns apart, which would cancel each other.
		sql = fmt.Sprintf("bitXor(%s, sipHash64(%s, %d))", sql, column, i+1)
	}
	return sql
}

// environment adds the predicate that keeps environments apart; "" means every environment.
func (w *where) environment(environment string) {
	if environment != "" {
		w.and("environment = {environment:String}", "environment", environment)
	}
}

// span names one exchange, by the expression that the index of trace ids is on.
func (w *where) span(trace [16]byte, span [8]byte) {
	w.and(idSelect("trace_id")+" = {trace:String}", "trace", hex.EncodeToString(trace[:]))
	w.and("span_id = toFixedString(unhex({span:String}), 8)", "span", hex.EncodeToString(span[:]))
}

// between bounds column to [from, to); a zero time is no bound.
func (w *where) between(column string, from, to time.Time) {
	if !from.IsZero() {
		w.and(column+" >= fromUnixTimestamp64Nano({from:Int64}, 'UTC')", "from", from.UnixNano())
	}
	if !to.IsZero() {
		w.and(column+" < fromUnixTimestamp64Nano({to:Int64}, 'UTC')", "to", to.UnixNano())
	}
}

func (w *where) filter(t *table, e *filter.Expr, prefix string) error {
	if e == nil {
		return nil
	}
	sql, params, err := e.SQL(t.fields, prefix)
	if err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	w.conditions = append(w.conditions, sql)
	for _, p := range params {
		w.args = append(w.args, named(p.Name, p.Value))
	}
	return nil
}

func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}
