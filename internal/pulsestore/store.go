// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// DefaultDatabase is the database that `pulse` writes and `pulse_api` reads.
const DefaultDatabase = "qpoint"

// Store reads and writes the tables of one database. It is safe for concurrent use.
type Store struct {
	conn     driver.Conn
	database string
	limits   Limits
}

var _ Reader = (*Store)(nil)

// Open returns a Store on the server that opts reach. It does not connect yet: see Ping.
// database may not exist before Migrate.
func Open(opts *clickhouse.Options, database string) (*Store, error) {
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return nil, fmt.Errorf("open ClickHouse: %w", err)
	}
	return &Store{conn: conn, database: database, limits: DefaultLimits()}, nil
}

// Ping returns nil when the server answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.conn.Ping(ctx); err != nil {
		return fmt.Errorf("ping ClickHouse: %w", err)
	}
	return nil
}

// Close closes the connections.
func (s *Store) Close() error { return s.conn.Close() }

func (s *Store) table(name string) string { return schema{database: s.database}.table(name) }

// named is a query parameter `{name:Type}`.
func named(name string, value any) driver.NamedValue {
	return clickhouse.Named(name, fmt.Sprint(value))
}
