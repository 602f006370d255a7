// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// PayloadObject is one row of `payload_objects`: an object of the bucket. It is first what the receiver says
// when it hands a segment over, or loses it; the receipt of who stored it is a newer row in its place.
type PayloadObject struct {
	Time        time.Time // of the record; the newest wins
	Key         string    // without prefix
	Environment string
	HostID      string
	State       string // sent | lost, of the receiver; stored | erased, of who has the bucket
	Reason      string
	Entries     uint32
	Bytes       uint64 // before compression
	Opened      time.Time
	Closed      time.Time
	// What follows is known from a receipt only.
	Size           uint64    // bytes of the object
	SHA256         [32]byte  // of the object; zero when unknown
	Expires        time.Time // when the bucket's lifecycle removes it; zero when unknown or never
	RetentionClass string
}

// ObjectID names an object: a key is below its environment.
type ObjectID struct{ Environment, Key string }

// PayloadEntry is one row of `payload_entries`: where in an object the payload of one exchange, or of one of
// its parts, lies.
type PayloadEntry struct {
	Time         time.Time // of the exchange
	TraceID      [16]byte
	SpanID       [8]byte
	Environment  string
	HostID       string
	ConnectionID uint64
	Key          string // of the object, without prefix
	Offset       uint64 // of the entry in the object: its local header
	Length       uint64 // bytes of the entry, header included; a link is signed for exactly [Offset, Offset+Length)
}

type objectColumns struct {
	batch
	time                                    []time.Time
	key, environment, hostID, state, reason []string
	entries                                 []uint32
	bytes                                   []uint64
	opened, closed                          []time.Time
	size                                    []uint64
	sha256                                  fixed
	expires                                 []time.Time
	retentionClass                          []string
}

func (c *objectColumns) add(r *PayloadObject) {
	c.time = append(c.time, r.Time)
	c.key = append(c.key, r.Key)
	c.environment = append(c.environment, r.Environment)
	c.hostID = append(c.hostID, r.HostID)
	c.state = append(c.state, r.State)
	c.reason = append(c.reason, r.Reason)
	c.entries = append(c.entries, r.Entries)
	c.bytes = append(c.bytes, r.Bytes)
	c.opened = append(c.opened, r.Opened)
	c.closed = append(c.closed, r.Closed)
	c.size = append(c.size, r.Size)
	c.sha256.add(r.SHA256[:])
	c.expires = append(c.expires, epoch(r.Expires))
	c.retentionClass = append(c.retentionClass, r.RetentionClass)
}

func (c *objectColumns) columns() []column {
	return []column{
		{"time", timeType, &c.time},
		{"key", "String", &c.key},
		{"environment", "String", &c.environment},
		{"host_id", "String", &c.hostID},
		{"state", "String", &c.state},
		{"reason", "String", &c.reason},
		{"entries", "UInt32", &c.entries},
		{"bytes", "UInt64", &c.bytes},
		{"opened", timeType, &c.opened},
		{"closed", timeType, &c.closed},
		{"size", "UInt64", &c.size},
		{"sha256", "FixedString(32)", &c.sha256},
		{"expires", secondType, &c.expires},
		{"retention_class", "String", &c.retentionClass},
	}
}

// AddPayloadObject adds a row of `payload_objects`. It keeps no pointer to r.
func (b *Rows) AddPayloadObject(r *PayloadObject) {
	b.objects.add(r)
	b.objects.identify(r.Time).text(r.Key, r.Environment, r.State)
}

type entryColumns struct {
	batch
	time                     []time.Time
	traceID, spanID          fixed
	environment, hostID, key []string
	connectionID             []uint64
	offset, length           []uint64
}

func (c *entryColumns) add(r *PayloadEntry) {
	c.time = append(c.time, r.Time)
	c.traceID.add(r.TraceID[:])
	c.spanID.add(r.SpanID[:])
	c.environment = append(c.environment, r.Environment)
	c.hostID = append(c.hostID, r.HostID)
	c.key = append(c.key, r.Key)
	c.connectionID = append(c.connectionID, r.ConnectionID)
	c.offset = append(c.offset, r.Offset)
	c.length = append(c.length, r.Length)
}

func (c *entryColumns) columns() []column {
	return []column{
		{"time", timeType, &c.time},
		{"trace_id", "FixedString(16)", &c.traceID},
		{"span_id", "FixedString(8)", &c.spanID},
		{"environment", "String", &c.environment},
		{"host_id", "String", &c.hostID},
		{"key", "String", &c.key},
		{"connection_id", "UInt64", &c.connectionID},
		{"offset", "UInt64", &c.offset},
		{"length", "UInt64", &c.length},
	}
}

// AddPayloadEntry adds a row of `payload_entries`. It keeps no pointer to r.
func (b *Rows) AddPayloadEntry(r *PayloadEntry) {
	b.entries.add(r)
	b.entries.identify(r.Time).bytes(r.TraceID[:]).bytes(r.SpanID[:]).number(r.Offset).text(r.Key, r.Environment)
}

// PayloadObjects implements Reader.
func (s *Store) PayloadObjects(ctx context.Context, scope Scope, keys []string) (map[ObjectID]PayloadObject, error) {
	if len(keys) == 0 {
		return map[ObjectID]PayloadObject{}, nil
	}
	if len(keys) > maxLimit {
		return nil, errors.New("more keys than one question may have")
	}
	w, any := &where{}, make([]string, len(keys))
	for i, key := range keys {
		name := fmt.Sprint("key", i)
		any[i] = "key = {" + name + ":String}"
		w.args = append(w.args, named(name, key))
	}
	w.conditions = []string{"(" + strings.Join(any, " OR ") + ")"}
	// Whoever sees a request sees what became of its segment, which has no fields that could bound it further.
	scope.bound = nil
	from, err := s.rows(objectTable, Selection{Scope: scope}, w)
	if err != nil {
		return nil, err
	}
	out := make(map[ObjectID]PayloadObject, len(keys))
	if err := s.ask(ctx, "time, key, environment, host_id, state, reason, entries, bytes, opened, closed, size, "+idSelect("sha256")+", expires, retention_class", from,
		" ORDER BY environment, key, time DESC LIMIT 1 BY environment, key", func(rows driver.Rows) error {
			var r PayloadObject
			var sum string
			if err := rows.Scan(&r.Time, &r.Key, &r.Environment, &r.HostID, &r.State, &r.Reason, &r.Entries, &r.Bytes, &r.Opened, &r.Closed,
				&r.Size, &sum, &r.Expires, &r.RetentionClass); err != nil {
				return err
			}
			r.Expires = fromEpoch(r.Expires)
			err := decodeIDs(id{r.SHA256[:], sum})
			out[ObjectID{r.Environment, r.Key}] = r
			return err
		}); err != nil {
		return nil, fmt.Errorf("read payload objects: %w", err)
	}
	return out, nil
}

// PayloadEntries returns where the payload of one exchange lies; nothing before its receipt came. The caller has to have
// seen the exchange: an entry has no fields that could bound it further than its environment.
func (s *Store) PayloadEntries(ctx context.Context, scope Scope, trace [16]byte, span [8]byte) ([]PayloadEntry, error) {
	w := &where{}
	w.span(trace, span)
	scope.bound = nil
	from, err := s.rows(entryTable, Selection{Scope: scope}, w)
	if err != nil {
		return nil, err
	}
	var out []PayloadEntry
	if err := s.ask(ctx, "time, "+idSelect("trace_id")+", "+idSelect("span_id")+", environment, host_id, key, connection_id, offset, length", from,
		" ORDER BY key, offset LIMIT 1000", func(rows driver.Rows) error {
			var r PayloadEntry
			var traceID, spanID string
			if err := rows.Scan(&r.Time, &traceID, &spanID, &r.Environment, &r.HostID, &r.Key, &r.ConnectionID, &r.Offset, &r.Length); err != nil {
				return err
			}
			err := decodeIDs(id{r.TraceID[:], traceID}, id{r.SpanID[:], spanID})
			out = append(out, r)
			return err
		}); err != nil {
		return nil, fmt.Errorf("read payload entries: %w", err)
	}
	return out, nil
}
