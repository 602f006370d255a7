// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// AuditEvent is one row of `audit`: who asked for what, and what came of it. It holds no payload, no token
// and no object key: trace and span say which exchange it is about.
type AuditEvent struct {
	Time        time.Time
	ID          [16]byte // chosen by who writes the event; rows with the same are one
	Environment string
	Actor       string     // who, as the authenticator knows it
	Role        string     // what allowed it
	Address     netip.Addr // the client's; zero when unknown
	Action      string     // payload.link | payload.export | payload.verify | data.erase | …
	Outcome     string     // allowed | refused | failed | dry_run | done
	Reason      string
	TraceID     [16]byte // zero when it is not about one exchange
	SpanID      [8]byte
	// Detail is what else belongs to the action, such as the selection of an erase command.
	Detail string
	// Count is how many exchanges or objects it concerned.
	Count uint64
}

// AuditFilter asks for audit events, newest first.
type AuditFilter struct {
	Selection
	Limit  int // 1 to 1000
	Actor  string
	Action string
}

type auditColumns struct {
	batch
	time                                                      []time.Time
	id, traceID, spanID                                       fixed
	environment, actor, role, action, outcome, reason, detail []string
	address                                                   [][16]byte
	count                                                     []uint64
}

func (c *auditColumns) add(r *AuditEvent) {
	c.time = append(c.time, r.Time)
	c.id.add(r.ID[:])
	c.environment = append(c.environment, r.Environment)
	c.actor = append(c.actor, r.Actor)
	c.role = append(c.role, r.Role)
	c.address = append(c.address, address(r.Address))
	c.action = append(c.action, r.Action)
	c.outcome = append(c.outcome, r.Outcome)
	c.reason = append(c.reason, r.Reason)
	c.traceID.add(r.TraceID[:])
	c.spanID.add(r.SpanID[:])
	c.detail = append(c.detail, r.Detail)
	c.count = append(c.count, r.Count)
}

func (c *auditColumns) columns() []column {
	return []column{
		{"time", timeType, &c.time},
		{"id", "FixedString(16)", &c.id},
		{"environment", "String", &c.environment},
		{"actor", "String", &c.actor},
		{"role", "String", &c.role},
		{"address", "IPv6", &c.address},
		{"action", "String", &c.action},
		{"outcome", "String", &c.outcome},
		{"reason", "String", &c.reason},
		{"trace_id", "FixedString(16)", &c.traceID},
		{"span_id", "FixedString(8)", &c.spanID},
		{"detail", "String", &c.detail},
		{"count", "UInt64", &c.count},
	}
}

// AddAuditEvent adds a row of `audit`. It keeps no pointer to r.
func (b *Rows) AddAuditEvent(r *AuditEvent) {
	b.audit.add(r)
	b.audit.identify(r.Time).bytes(r.ID[:])
}

// Audit implements Reader.
func (s *Store) Audit(ctx context.Context, events ...AuditEvent) error {
	rows := NewRows()
	for i := range events {
		if events[i].ID == [16]byte{} {
			return errors.New("an audit event needs an id")
		}
		rows.AddAuditEvent(&events[i])
	}
	return s.Insert(ctx, rows)
}

// AuditEvents implements Reader.
func (s *Store) AuditEvents(ctx context.Context, q AuditFilter) ([]AuditEvent, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	w := &where{}
	if q.Actor != "" {
		w.and("actor = {actor:String}", "actor", q.Actor)
	}
	if q.Action != "" {
		w.and("action = {action:String}", "action", q.Action)
	}
	from, err := s.rows(auditTable, q.Selection, w)
	if err != nil {
		return nil, err
	}
	var out []AuditEvent
	if err := s.ask(ctx, "time, "+idSelect("id")+", environment, actor, role, address, action, outcome, reason, "+idSelect("trace_id")+", "+idSelect("span_id")+", detail, count", from,
		fmt.Sprintf(" ORDER BY time DESC, id LIMIT 1 BY time, id LIMIT %d", q.Limit), func(rows driver.Rows) error {
			var r AuditEvent
			var eventID, traceID, spanID string
			if err := rows.Scan(&r.Time, &eventID, &r.Environment, &r.Actor, &r.Role, &r.Address, &r.Action, &r.Outcome, &r.Reason, &traceID, &spanID,
				&r.Detail, &r.Count); err != nil {
				return err
			}
			r.Address = fromColumn(r.Address)
			err := decodeIDs(id{r.ID[:], eventID}, id{r.TraceID[:], traceID}, id{r.SpanID[:], spanID})
			out = append(out, r)
			return err
		}); err != nil {
		return nil, fmt.Errorf("read the audit: %w", err)
	}
	return out, nil
}

// idSelect returns the expression that reads an identifier's column: clickhouse-go would give its bytes as text.
// The index of trace ids is on this expression, which the otel views have too.
func idSelect(column string) string { return "lower(hex(" + column + "))" }

// id is an identifier and its text as idSelect reads it.
type id struct {
	to   []byte
	text string
}

func decodeIDs(ids ...id) error {
	for _, id := range ids {
		if len(id.text) != 2*len(id.to) {
			return fmt.Errorf("an identifier of %d hex digits, want %d", len(id.text), 2*len(id.to))
		}
		if _, err := hex.Decode(id.to, []byte(id.text)); err != nil {
			return err
		}
	}
	return nil
}
