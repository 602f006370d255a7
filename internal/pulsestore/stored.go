// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Stored is what one environment has in one table. Rows that are stored twice count twice, as they do on disk.
type Stored struct {
	Table, Environment string
	Rows               uint64
	Bytes              uint64 // on disk, estimated by the average row of the table
	Oldest, Newest     time.Time
}

// StoredObjects are the segments of payloads of one environment, retention class and state, as their newest records say.
type StoredObjects struct {
	Environment, RetentionClass, State string
	Objects, Entries                   uint64
	Bytes                              uint64 // before compression
	Size                               uint64 // of those objects whose receipt came
	Sized                              uint64 // how many these are
	Oldest, Newest                     time.Time
	FirstExpiry                        time.Time // when the first of them expires; zero when that is not known of any
}

// Stored answers what the tables hold, by environment.
func (s *Store) Stored(ctx context.Context, scope Scope) ([]Stored, error) {
	perRow, err := s.bytesPerRow(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the sizes of tables: %w", err)
	}
	out := []Stored{}
	for _, t := range storedTables {
		from, err := s.rows(&table{name: t.name, time: "time", fields: environmentOnly}, Selection{Scope: scope}, nil)
		if err != nil {
			return nil, err
		}
		if err := s.ask(ctx, "environment, count(), toDateTime64(min(time), 9, 'UTC'), toDateTime64(max(time), 9, 'UTC')", from,
			" GROUP BY environment ORDER BY environment", func(rows driver.Rows) error {
				v := Stored{Table: t.name}
				err := rows.Scan(&v.Environment, &v.Rows, &v.Oldest, &v.Newest)
				v.Bytes = uint64(float64(v.Rows) * perRow[t.name])
				out = append(out, v)
				return err
			}); err != nil {
			return nil, fmt.Errorf("ask what %s holds: %w", t.name, err)
		}
	}
	return out, nil
}

// newestObjects are one row per segment: what is known of it now.
var newestObjects = &table{name: tablePayloadObjects, time: "time", final: true, fields: environmentOnly}

// StoredObjects answers what the bucket holds as far as the records of segments say.
func (s *Store) StoredObjects(ctx context.Context, scope Scope) ([]StoredObjects, error) {
	from, err := s.rows(newestObjects, Selection{Scope: scope}, nil)
	if err != nil {
		return nil, err
	}
	out := []StoredObjects{}
	if err := s.ask(ctx, "environment, retention_class, state, count(), sum(toUInt64(entries)), sum(bytes), sum(size), countIf(size > 0), min(opened), max(closed), "+
		"minIf(expires, toUnixTimestamp(expires) > 0)", from, " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3 LIMIT 1000", func(rows driver.Rows) error {
		var v StoredObjects
		err := rows.Scan(&v.Environment, &v.RetentionClass, &v.State, &v.Objects, &v.Entries, &v.Bytes, &v.Size, &v.Sized, &v.Oldest, &v.Newest, &v.FirstExpiry)
		v.FirstExpiry = fromEpoch(v.FirstExpiry)
		out = append(out, v)
		return err
	}); err != nil {
		return nil, fmt.Errorf("ask what the bucket holds: %w", err)
	}
	return out, nil
}
