// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Rows collects, column by column, what one Insert stores. The zero value is not ready: use NewRows.
type Rows struct {
	requests    requestColumns
	connections connectionColumns
	objects     objectColumns
	coverage    coverageColumns
	// Hashes of the identities of the rows of each table, in order.
	requestHash, connectionHash, objectHash, coverageHash hash.Hash
}

// NewRows returns an empty collection.
func NewRows() *Rows {
	return &Rows{
		requests: requestColumns{
			traceID: fixed{size: 16}, spanID: fixed{size: 8}, parentSpanID: fixed{size: 8},
		},
		requestHash: sha256.New(), connectionHash: sha256.New(), objectHash: sha256.New(), coverageHash: sha256.New(),
	}
}

// AddRequest adds a row of `requests`. It keeps no pointer to r.
func (b *Rows) AddRequest(r *Request) {
	b.requests.add(r)
	var id [32]byte
	binary.LittleEndian.PutUint64(id[:], uint64(nanos(r.Time)))
	copy(id[8:], r.TraceID[:])
	copy(id[24:], r.SpanID[:])
	b.requestHash.Write(id[:])
}

// AddConnection adds a row of `connections`.
func (b *Rows) AddConnection(r *Connection) {
	b.connections.add(r)
	var id [28]byte
	binary.LittleEndian.PutUint64(id[:], uint64(nanos(r.Start)))
	binary.LittleEndian.PutUint64(id[8:], r.ConnectionID)
	binary.LittleEndian.PutUint64(id[16:], uint64(nanos(r.Time)))
	binary.LittleEndian.PutUint32(id[24:], r.Sequence)
	b.connectionHash.Write(id[:])
	b.connectionHash.Write([]byte(r.HostID))
}

// AddPayloadObject adds a row of `payload_objects`.
func (b *Rows) AddPayloadObject(r *PayloadObject) {
	b.objects.add(r)
	b.objectHash.Write([]byte(r.Key))
	b.objectHash.Write([]byte(r.State))
	b.objectHash.Write(binary.LittleEndian.AppendUint64(nil, uint64(nanos(r.Time))))
}

// nanos returns t as Unix nanoseconds; 0 for the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Len returns the number of rows.
func (b *Rows) Len() int {
	return len(b.requests.time) + len(b.connections.time) + len(b.objects.time) + len(b.coverage.time)
}

// Counts returns the number of rows by table.
func (b *Rows) Counts() map[string]int {
	return map[string]int{
		tableRequests: len(b.requests.time), tableConnections: len(b.connections.time), tablePayloadObjects: len(b.objects.time),
		tableCoverage: len(b.coverage.time),
	}
}

// Insert stores rows. After an error some tables may have their rows and others not; inserting
// the same rows again, in the same order, stores what is missing and nothing twice.
func (s *Store) Insert(ctx context.Context, rows *Rows) error {
	if n := len(rows.requests.time); n > 0 {
		if err := s.insert(ctx, tableRequests, rows.requests.columns(), n, rows.requestHash); err != nil {
			return err
		}
	}
	if n := len(rows.connections.time); n > 0 {
		if err := s.insert(ctx, tableConnections, rows.connections.columns(), n, rows.connectionHash); err != nil {
			return err
		}
	}
	if n := len(rows.objects.time); n > 0 {
		if err := s.insert(ctx, tablePayloadObjects, rows.objects.columns(), n, rows.objectHash); err != nil {
			return err
		}
	}
	if n := len(rows.coverage.time); n > 0 {
		return s.insert(ctx, tableCoverage, rows.coverage.columns(), n, rows.coverageHash)
	}
	return nil
}

func (s *Store) insert(ctx context.Context, table string, columns []column, rows int, identity hash.Hash) error {
	names := make([]string, len(columns))
	types := make([]clickhouse.ColumnNameAndType, len(columns))
	for i, c := range columns {
		names[i] = c.name
		types[i] = clickhouse.ColumnNameAndType{Name: c.name, Type: c.typ}
	}
	ctx = clickhouse.Context(ctx,
		clickhouse.WithColumnNamesAndTypes(types), // spares a DESCRIBE per insert
		clickhouse.WithSettings(clickhouse.Settings{
			// The token, and not the data, is what a retry is recognised by: the engine would
			// compare its own blocks, which may be cut differently.
			"insert_deduplication_token": hex.EncodeToString(identity.Sum(nil)[:16]),
			"insert_deduplicate":         1,
			// A batch is large already, and an asynchronous insert would be acknowledged before it is stored.
			"async_insert": 0,
			// Late data of many days is one part per day, which the caller bounds.
			"max_partitions_per_insert_block": 0,
		}))
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+s.table(table)+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	for i, c := range columns {
		if err := batch.Column(i).Append(c.data); err != nil {
			_ = batch.Abort()
			return fmt.Errorf("insert into %s, column %s: %w", table, c.name, err)
		}
	}
	if batch.Rows() != rows {
		_ = batch.Abort()
		return fmt.Errorf("insert into %s: %d rows became %d", table, rows, batch.Rows())
	}
	if err := batch.Send(); err != nil {
		return fmt.Errorf("insert into %s: %w", table, err)
	}
	return nil
}
