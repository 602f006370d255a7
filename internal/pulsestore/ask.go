// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Limits bound every question that a Store asks.
type Limits struct {
	Time   time.Duration // of one statement
	Memory uint64        // bytes of one statement
	Rows   uint64        // that one statement may read; 0 for no bound
	// Threads of one statement; 0 leaves it to the server.
	Threads int
}

// DefaultLimits are those of a Store that was not given any.
func DefaultLimits() Limits { return Limits{Time: 15 * time.Second, Memory: 1 << 30} }

// maxGroups is how many groups a question may have while it counts.
const maxGroups = 2_000_000

func (l Limits) settings() clickhouse.Settings {
	s := clickhouse.Settings{
		"max_execution_time":                 l.Time.Seconds(),
		"max_memory_usage":                   l.Memory,
		"max_rows_to_read":                   l.Rows,
		"max_result_rows":                    100_000,
		"max_result_bytes":                   64 << 20,
		"max_rows_to_group_by":               maxGroups,
		"max_bytes_before_external_sort":     l.Memory / 4,
		"max_bytes_before_external_group_by": l.Memory / 4,
		// A part of ours never has more: a hostile expression is refused before it is analysed.
		"max_query_size": 256 << 10,
		// The columns of a list are read of the rows that are shown, and not of those that are sorted.
		"query_plan_max_limit_for_lazy_materialization": 2 * maxLimit,
		// With FINAL, a row and its newer version are always in the same partition.
		"do_not_merge_across_partitions_select_final": 1,
		// What an index leaves out is still looked at for newer versions of what it does not: a connection that is closed is not open, too.
		"use_skip_indexes_if_final": 1, "use_skip_indexes_if_final_exact_mode": 1,
		// Sums are few rows and much to do for each: the server would read less than some 200,000 of them by one thread.
		"merge_tree_min_rows_for_concurrent_read": 32 << 10, "merge_tree_min_bytes_for_concurrent_read": 32 << 20,
	}
	if l.Threads > 0 {
		s["max_threads"] = l.Threads
	}
	return s
}

// SetLimits sets the bounds of questions. It is to be called before the first one.
func (s *Store) SetLimits(l Limits) { s.limits = l }

// Errors that say that a question was too much, and not wrong.
var (
	// ErrTime says that a statement took longer than Limits.Time.
	ErrTime = errors.New("the question took too long")
	// ErrSize says that a statement needed more memory, rows or groups than it may have.
	ErrSize = errors.New("the question needs too much memory or too many rows")
	// ErrBusy says that the server runs as many statements as it may.
	ErrBusy = errors.New("the store is busy")
	// ErrNoTables says that nothing was ever written to the database.
	ErrNoTables = errors.New("the database has no tables")
)

// Codes of ClickHouse (src/Common/ErrorCodes.cpp).
const (
	codeUnknownTable            = 60
	codeUnknownDatabase         = 81
	codeTooManyRows             = 158
	codeTimeout                 = 159
	codeTooSlow                 = 160
	codeTooManySimultaneous     = 202
	codeMemory                  = 241
	codeTooManyBytes            = 307
	codeTooManyRowsOrBytes      = 396
	codeNotEnoughSpace          = 243
	codeCannotReserveForQueries = 745
)

// classify wraps what a caller has to tell apart.
func classify(err error) error {
	var e *clickhouse.Exception
	if !errors.As(err, &e) {
		return err
	}
	var class error
	switch e.Code {
	case codeTimeout, codeTooSlow:
		class = ErrTime
	case codeTooManyRows, codeMemory, codeTooManyBytes, codeTooManyRowsOrBytes, codeNotEnoughSpace:
		class = ErrSize
	case codeTooManySimultaneous, codeCannotReserveForQueries:
		class = ErrBusy
	case codeUnknownTable, codeUnknownDatabase:
		class = ErrNoTables
	default:
		return err
	}
	return fmt.Errorf("%w: %w", class, err)
}

// ask is the one way by which questions reach the server.
func (s *Store) ask(ctx context.Context, columns string, from source, rest string, scan func(driver.Rows) error) error {
	if from.sql == "" {
		return errors.New("a question without a source")
	}
	return s.send(ctx, "SELECT "+columns+" FROM "+from.sql+rest, from.args, scan)
}

// system asks what the server knows of our tables; no row of them is in its answers.
func (s *Store) system(ctx context.Context, sql string, w *where, scan func(driver.Rows) error) error {
	return s.send(ctx, sql, w.args, scan)
}

func (s *Store) send(ctx context.Context, sql string, args []any, scan func(driver.Rows) error) error {
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithSettings(s.limits.settings())), sql, args...)
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return classify(rows.Err())
}
