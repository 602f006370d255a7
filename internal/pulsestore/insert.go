// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Rows collects, column by column, what one Insert stores. Use NewRows.
type Rows struct {
	requests    requestColumns
	connections connectionColumns
	objects     objectColumns
	entries     entryColumns
	coverage    coverageColumns
	dns         dnsColumns
	findings    findingColumns
	audit       auditColumns
}

// NewRows returns an empty collection.
func NewRows() *Rows { return &Rows{} }

// rowsOf is one table's part of a collection.
type rowsOf struct {
	table   string
	batch   *batch
	columns func() []column
}

// Reset empties the collection, whose memory then serves the next one.
func (b *Rows) Reset() {
	for _, t := range b.tables() {
		if t.batch.rows == 0 {
			continue
		}
		for _, c := range t.columns() {
			c.reset()
		}
		t.batch.rows, t.batch.buf = 0, t.batch.buf[:0]
		t.batch.hash.Reset()
	}
}

// tables returns the parts in the order in which they are stored.
func (b *Rows) tables() []rowsOf {
	return []rowsOf{
		{TableRequests, &b.requests.batch, b.requests.columns},
		{tableConnections, &b.connections.batch, b.connections.columns},
		{tablePayloadObjects, &b.objects.batch, b.objects.columns},
		{tablePayloadEntries, &b.entries.batch, b.entries.columns},
		{tableCoverage, &b.coverage.batch, b.coverage.columns},
		{tableDNS, &b.dns.batch, b.dns.columns},
		{tableFindings, &b.findings.batch, b.findings.columns},
		{tableAudit, &b.audit.batch, b.audit.columns},
	}
}

// batch counts the rows for one table and hashes their identities, in order: the same rows have the
// same token, whenever and by whichever process they are sent again.
type batch struct {
	rows int
	hash hash.Hash
	buf  []byte
}

// identify begins the identity of the next row.
func (t *batch) identify(at time.Time) *batch {
	if t.hash == nil {
		t.hash = sha256.New()
	}
	t.flush()
	t.rows++
	return t.number(uint64(nanos(at)))
}

func (t *batch) number(n uint64) *batch {
	t.buf = binary.LittleEndian.AppendUint64(t.buf, n)
	return t
}

func (t *batch) bytes(b []byte) *batch {
	t.buf = append(t.buf, b...)
	return t
}

func (t *batch) text(texts ...string) {
	for _, s := range texts {
		t.buf = append(append(t.buf, s...), 0)
	}
}

func (t *batch) flush() {
	t.hash.Write(t.buf)
	t.buf = t.buf[:0]
}

func (t *batch) token() string {
	t.flush()
	return hex.EncodeToString(t.hash.Sum(nil)[:16])
}

// AddRequest adds a row of `requests`. It keeps no pointer to r.
func (b *Rows) AddRequest(r *Request) {
	b.requests.add(r)
	b.requests.identify(r.Time).bytes(r.TraceID[:]).bytes(r.SpanID[:]).text(r.Environment)
}

// AddConnection adds a row of `connections`. It keeps no pointer to r.
func (b *Rows) AddConnection(r *Connection) {
	b.connections.add(r)
	b.connections.identify(r.Time).number(r.ConnectionID).number(uint64(nanos(r.Start))).number(uint64(r.Sequence)).text(r.HostID, r.Environment)
}

// nanos returns t as Unix nanoseconds; 0 for the zero time.
func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Len returns the number of rows.
func (b *Rows) Len() (n int) {
	for _, t := range b.tables() {
		n += t.batch.rows
	}
	return n
}

// Counts returns the number of rows by table.
func (b *Rows) Counts() map[string]int {
	counts := map[string]int{}
	for _, t := range b.tables() {
		counts[t.table] = t.batch.rows
	}
	return counts
}

// Insert stores rows. After an error some tables may have their rows and others not; inserting
// the same rows again, in the same order, stores what is missing and nothing twice.
// Sums may miss them, though, when the server is killed meanwhile: it may remember a push for a view whose part it has not stored.
func (s *Store) Insert(ctx context.Context, rows *Rows) error {
	for _, t := range rows.tables() {
		if t.batch.rows == 0 {
			continue
		}
		if err := s.insert(ctx, t); err != nil {
			return fmt.Errorf("insert into %s: %w", t.table, err)
		}
	}
	return nil
}

func (s *Store) insert(ctx context.Context, t rowsOf) error {
	columns := slices.DeleteFunc(t.columns(), column.zero) // the server fills them in, for less
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
			"insert_deduplication_token": t.batch.token(),
			"insert_deduplicate":         1,
			// A retry must reach the rollups exactly as it reaches the table.
			"deduplicate_blocks_in_dependent_materialized_views": 1,
			// A batch is large already, and an asynchronous insert would be acknowledged before it is stored.
			"async_insert":                  0,
			"distributed_foreground_insert": 1,
			// Late data of many days is one part per day, which the caller bounds.
			"max_partitions_per_insert_block": 0,
		}))
	batch, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+s.table(t.table)+" ("+strings.Join(names, ", ")+")")
	if err != nil {
		return err
	}
	for i, c := range columns {
		if err := batch.Column(i).Append(c.values()); err != nil {
			_ = batch.Abort()
			return fmt.Errorf("column %s: %w", c.name, err)
		}
	}
	if batch.Rows() != t.batch.rows {
		_ = batch.Abort()
		return fmt.Errorf("%d rows became %d", t.batch.rows, batch.Rows())
	}
	return batch.Send()
}
