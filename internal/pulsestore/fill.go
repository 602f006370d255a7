// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Piece is the condition that the rows called alias are of the piece that a fill is at, and that a table has no sums of it yet.
func (s schema) Piece(alias, into string) string { return s.PieceOf(alias, "time", into) }

// PieceOf is Piece of rows that have their time in a column of another name.
func (s schema) PieceOf(alias, column, into string) string {
	piece := func(column string) string {
		return column + " >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND " + column + " < fromUnixTimestamp64Nano({to:Int64}, 'UTC')"
	}
	return piece(alias+"."+column) + "\n    AND (SELECT count() FROM " + s.table(into) + " AS filled WHERE " + piece("filled.time") + ") = 0"
}

// isFill says whether a statement of a migration is an INSERT … SELECT that is made piece by piece.
func isFill(statement string) bool {
	return strings.HasPrefix(statement, "INSERT INTO ") && strings.Contains(statement, "{from:Int64}")
}

// fill makes sums of the rows that are older than the sums there are (by the minute and by the hour), by the hour or the day, the newest first: so it goes on where it was
// broken off. Several collectors may fill at the same time: of two that are at one piece one stores it, by its token, and one that comes later
// finds it, or a view that was made since would add it again. Rows that another collector stores while a new table is
// filled are not in its sums.
func (s *Store) fill(ctx context.Context, schema schema, step migration, statement string) error {
	target, rest, _ := strings.Cut(strings.TrimPrefix(statement, "INSERT INTO "), " (")
	_, rest, _ = strings.Cut(rest, "\nFROM ")
	source, _, ok := strings.Cut(rest, " AS ")
	if !ok {
		return fmt.Errorf("%q is no fill", statement)
	}
	length, column := time.Hour, "time"
	if source == schema.table(tableConnections) {
		column = "start"
	}
	if target == schema.table(tableServiceHour) {
		length = 24 * time.Hour
	}
	var count uint64
	var oldest time.Time
	if err := s.conn.QueryRow(ctx, "SELECT count(), min(time) FROM "+target).Scan(&count, &oldest); err != nil {
		return err
	}
	for minutes, hours := range map[string]string{tableRequestsMinute: tableRequestsHour, tableProcessMinute: tableProcessHour} {
		if target != schema.table(minutes) {
			continue
		}
		// What is added by the minute is by its view by the hour, too, and hours are kept for longer: none that is there is to be added to,
		// but for the one that both begin in.
		var hoursCount uint64
		var hour time.Time
		if err := s.conn.QueryRow(ctx, "SELECT count(), min(time) FROM "+schema.table(hours)).Scan(&hoursCount, &hour); err != nil {
			return err
		}
		if hoursCount > 0 && (count == 0 || hour.Before(oldest.Truncate(time.Hour))) {
			count, oldest = hoursCount, hour
		}
	}
	older := ""
	if count > 0 {
		older = fmt.Sprintf(" WHERE "+column+" < fromUnixTimestamp64Nano(%d, 'UTC')", oldest.UnixNano())
	}
	var pieces []time.Time
	if err := s.conn.QueryRow(ctx, fmt.Sprintf("SELECT groupArray(piece) FROM (SELECT DISTINCT toStartOfInterval(toDateTime(%s, 'UTC'), toIntervalHour(%d), 'UTC') AS piece FROM %s%s ORDER BY piece DESC)",
		column, int(length.Hours()), source, older)).Scan(&pieces); err != nil {
		return err
	}
	for _, from := range pieces {
		if applied, err := s.appliedMigrations(ctx, schema); err != nil || applied[step.version] {
			return err
		}
		to := from.Add(length)
		if count > 0 && oldest.Before(to) {
			to = oldest
		}
		settings := clickhouse.Settings{
			"insert_deduplication_token": fmt.Sprintf("fill %d %s %d", step.version, target, from.Unix()), "insert_deduplicate": 1,
			"deduplicate_blocks_in_dependent_materialized_views": 1,
			// One block, as a token is that of a block.
			"max_insert_threads": 1, "min_insert_block_size_rows": 1 << 30, "min_insert_block_size_bytes": 1 << 40,
		}
		if schema.cluster != "" {
			settings["insert_shard_id"], settings["distributed_foreground_insert"] = 1, 1
		}
		if err := s.conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(settings)), statement,
			named("from", from.UnixNano()), named("to", to.UnixNano())); err != nil {
			return fmt.Errorf("fill %s of %s: %w", target, from.Format(time.RFC3339), err)
		}
	}
	return nil
}
