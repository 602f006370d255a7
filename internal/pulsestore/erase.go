// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// MaxErase is how many exchanges one order may concern.
const MaxErase = 20_000

// ErrManyErase says that an order concerns more than MaxErase exchanges.
var ErrManyErase = fmt.Errorf("more than %d exchanges", MaxErase)

// EraseOrder selects what is to be erased: an exchange with its parts, a trace, a connection with its exchanges, or
// what began in a time.
type EraseOrder struct {
	Scope      Scope
	Trace      [16]byte
	Span       [8]byte // zero: every exchange of the trace
	Connection uint64
	From, To   time.Time // [From, To)
}

// Doomed is an exchange, or a part of one, that an order concerns.
type Doomed struct {
	Environment   string
	Time          time.Time
	End           time.Time // of the exchange; Time where only its payload's place is known
	Trace         [16]byte
	Span          [8]byte
	PayloadState  string
	PayloadObject string // key; "" for none
}

// eraseRequests has parts too.
var eraseRequests = &table{name: TableRequests, time: "time", fields: requestFields}

// conditions narrows a table's rows to those of the order; nil when none of them are.
func (o EraseOrder) conditions(name string) *where {
	w := &where{}
	switch {
	case o.Trace != [16]byte{}:
		if name != TableRequests && name != tablePayloadEntries && name != tableFindings {
			return nil
		}
		w.and(idSelect("trace_id")+" = {trace:String}", "trace", hex.EncodeToString(o.Trace[:]))
		if o.Span != [8]byte{} {
			condition := "span_id = toFixedString(unhex({span:String}), 8)"
			if name == TableRequests {
				condition = "(" + condition + " OR part > 0 AND parent_span_id = toFixedString(unhex({span:String}), 8))"
			}
			w.and(condition, "span", hex.EncodeToString(o.Span[:]))
		}
	case o.Connection != 0:
		if name != TableRequests && name != tablePayloadEntries && name != tableConnections {
			return nil
		}
		w.and("connection_id = {connection:UInt64}", "connection", o.Connection)
	default:
		column := "time"
		switch name {
		case TableRequests, tablePayloadEntries, tableFindings, tableDNS:
		case tableConnections:
			column = "start"
		default:
			grain := sums[name]
			if grain == 0 {
				return nil
			}
			// Sums that are wholly of the time, and no others.
			w.between("time", o.From.Add(grain-1).Truncate(grain), o.To.Truncate(grain))
			return w
		}
		w.between(column, o.From, o.To)
	}
	return w
}

// sums are the tables of sums over time, and over how much of it.
var sums = map[string]time.Duration{
	tableRequestsMinute: time.Minute, tableProcessMinute: time.Minute, tableServiceMinute: time.Minute, tableConnectionSums: 10 * time.Minute,
	tableRequestsHour: time.Hour, tableProcessHour: time.Hour, tableServiceHour: time.Hour,
}

// erasable are the tables that orders reach, in the order in which their rows go: what says where the rest is goes last.
var erasable = append(slices.Sorted(maps.Keys(sums)), tableConnections, tableDNS, tableFindings, tablePayloadEntries, TableRequests)

func (o EraseOrder) validate() error {
	if o.Trace == [16]byte{} && o.Connection == 0 && (o.From.IsZero() || !o.From.Before(o.To)) {
		return errors.New("an order without a trace, a connection or a time")
	}
	if o.Scope.bound != nil {
		return ErrScope
	}
	return nil
}

// Doomed implements Reader.
func (s *Store) Doomed(ctx context.Context, o EraseOrder) (out []Doomed, err error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	found, rows := map[exchange]bool{}, map[Doomed]bool{}
	// take adds the exchanges that a table knows, and then what it says of them.
	take := func(t *table, columns string) error {
		from, err := s.rows(t, Selection{Scope: o.Scope}, o.conditions(t.name))
		if err != nil {
			return err
		}
		ids := "DISTINCT environment, " + idSelect("trace_id") + ", " + idSelect("span_id")
		if err := s.ask(ctx, ids, from, fmt.Sprintf(" LIMIT %d", MaxErase+1), func(rows driver.Rows) error {
			var e exchange
			var trace, span string
			if err := rows.Scan(&e.environment, &trace, &span); err != nil {
				return err
			}
			err := decodeIDs(id{e.trace[:], trace}, id{e.span[:], span})
			found[e] = true
			return err
		}); err != nil {
			return err
		}
		if len(found) > MaxErase {
			return ErrManyErase
		}
		return s.ask(ctx, ids+", time, "+columns, from, "", func(scan driver.Rows) error {
			var d Doomed
			var trace, span string
			var duration uint64
			if err := scan.Scan(&d.Environment, &trace, &span, &d.Time, &duration, &d.PayloadState, &d.PayloadObject); err != nil {
				return err
			}
			d.End = d.Time.Add(time.Duration(duration))
			err := decodeIDs(id{d.Trace[:], trace}, id{d.Span[:], span})
			if !rows[d] {
				rows[d] = true
				out = append(out, d)
			}
			return err
		})
	}
	if err = take(eraseRequests, "duration, toString(payload_state), toString(payload_object)"); err == nil {
		// What a receipt says that has no request, or another place.
		err = take(entryTable, "toUInt64(0), '', toString(key)")
	}
	if errors.Is(err, ErrManyErase) {
		return nil, ErrManyErase
	}
	if err != nil {
		return nil, fmt.Errorf("look for what is to be erased: %w", err)
	}
	return out, nil
}

// exchange is one of those that Doomed are rows of, or a part of one.
type exchange struct {
	environment string
	trace       [16]byte
	span        [8]byte
}

// chunks returns conditions that each exchange of doomed meets one of, in pieces that a statement can hold.
func chunks(doomed []Doomed) (out []*where) {
	of := map[string][]string{}
	seen := map[exchange]bool{}
	for _, d := range doomed {
		e := exchange{d.Environment, d.Trace, d.Span}
		if !seen[e] {
			seen[e] = true
			of[e.environment] = append(of[e.environment], fmt.Sprintf("('%x','%x')", e.trace, e.span))
		}
	}
	for _, environment := range slices.Sorted(maps.Keys(of)) {
		for list := range slices.Chunk(of[environment], 1000) {
			w := &where{}
			w.and("environment = {of:String}", "of", environment)
			w.conditions = append(w.conditions, "("+idSelect("trace_id")+", "+idSelect("span_id")+") IN ("+strings.Join(list, ", ")+")")
			out = append(out, w)
		}
	}
	return out
}

// EraseRows implements Reader.
func (s *Store) EraseRows(ctx context.Context, o EraseOrder, doomed []Doomed, dryRun bool) (map[string]uint64, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	schema, err := s.layout(ctx)
	if err != nil {
		return nil, fmt.Errorf("erase: %w", err)
	}
	counts := map[string]uint64{}
	remove := func(name string, w *where) error {
		if w == nil {
			return nil
		}
		t := &table{name: name, time: "time", fields: environmentOnly}
		from, err := s.rows(t, Selection{Scope: o.Scope}, w)
		if err != nil {
			return err
		}
		var n uint64
		if err := s.ask(ctx, "count()", from, "", func(rows driver.Rows) error { return rows.Scan(&n) }); err != nil {
			return err
		}
		if counts[name] += n; n == 0 || dryRun {
			return nil
		}
		_, condition, _ := strings.Cut(from.sql, " WHERE ")
		// A mutation writes the parts anew, and the old ones are gone from the disk some minutes later; DELETE FROM would only mask rows.
		// mutations_sync waits for every replica.
		sql := "ALTER TABLE " + schema.stored(name) + " " + schema.OnCluster() + " DELETE WHERE " + condition + " SETTINGS mutations_sync = 2"
		return s.conn.Exec(ctx, sql, from.args...)
	}
	for _, name := range erasable {
		if name == tablePayloadEntries || name == tableFindings {
			// What is said of a part names its own span, and not that of its exchange: those that were found, and what the order itself
			// says, each row once.
			own := ""
			var args []any
			if w := o.conditions(name); w != nil {
				own, args = "("+strings.Join(w.conditions, " AND ")+")", w.args
			}
			for i, w := range chunks(doomed) {
				condition := strings.Join(w.conditions, " AND ")
				switch {
				case own != "" && i == 0:
					condition = "(" + condition + " OR " + own + ")"
				case own != "":
					condition += " AND NOT " + own
				}
				if err := remove(name, &where{conditions: []string{condition}, args: append(w.args, args...)}); err != nil {
					return counts, fmt.Errorf("erase rows of %s: %w", name, err)
				}
			}
			if len(doomed) > 0 {
				continue
			}
		}
		if err := remove(name, o.conditions(name)); err != nil {
			return counts, fmt.Errorf("erase rows of %s: %w", name, err)
		}
	}
	return counts, nil
}

// PutObjects implements Reader.
func (s *Store) PutObjects(ctx context.Context, objects ...PayloadObject) error {
	rows := NewRows()
	for i := range objects {
		rows.AddPayloadObject(&objects[i])
	}
	return s.Insert(ctx, rows)
}

var distributed = regexp.MustCompile(`^Distributed\('((?:[^'\\]|\\.)*)'`)

// layout returns where the rows are: in tables of the usual names, or in those of a cluster's shards.
func (s *Store) layout(ctx context.Context) (schema, error) {
	at := schema{database: s.database}
	err := s.system(ctx, "SELECT engine_full FROM system.tables WHERE database = {database:String} AND name = {table:String}",
		&where{args: []any{named("database", s.database), named("table", TableRequests)}}, func(rows driver.Rows) error {
			var engine string
			err := rows.Scan(&engine)
			at.cluster = clusterOf(engine)
			return err
		})
	return at, err
}

// clusterOf returns the cluster of a Distributed table, "" for another engine.
func clusterOf(engine string) string {
	if m := distributed.FindStringSubmatch(engine); m != nil {
		return strings.NewReplacer(`\\`, `\`, `\'`, `'`).Replace(m[1])
	}
	return ""
}
