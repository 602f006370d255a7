// SPDX-License-Identifier: Apache-2.0

package fill

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// copiedTable says how the rows of a table are multiplied.
type copiedTable struct {
	name, time string
	// own is what a copy has of its own, as expressions over the row: {k:UInt64} is the number of the copy, {shift:Int64} by how many
	// nanoseconds it is later. An id becomes the same one wherever it is, so that both ends of an exchange, its
	// connection and its segment still belong together.
	own []string
}

var copiedTables = []copiedTable{
	{"requests", "time", []string{
		shifted("time"), as("trace_id", "sipHash128(trace_id, {k:UInt64})"), as("span_id", spanID("span_id")),
		as("parent_span_id", "if(parent_span_id = toFixedString('', 8), parent_span_id, "+spanID("parent_span_id")+")"),
		connectionID, port("client_port"), port("peer_port"), objectKey("payload_object"),
		scaled("timing_send", "span_id"), scaled("timing_wait", "span_id"), scaled("timing_receive", "span_id"), scaled("duration", "span_id"),
		scaled("request_body_size", "span_id"), scaled("response_body_size", "span_id"),
	}},
	// What is open at the end of the base is open in one of ten copies, as if all agents were killed then, and in the last one.
	{"connections", "start", []string{
		as("state", "if(state = 'established' AND {k:UInt64} % 10 != {last:UInt64} % 10, 'closed', state)"),
		shifted("time"), shifted("start"), connectionID, port("local_port"), port("peer_port"),
		scaled("sent_bytes", "connection_id"), scaled("received_bytes", "connection_id"), scaled("rtt", "connection_id"),
	}},
	{"payload_objects", "opened", []string{shifted("time"), shifted("opened"), shifted("closed"), objectKey("key"), scaled("bytes", "key")}},
}

const connectionID = "intHash64(bitXor(connection_id, {k:UInt64})) AS connection_id"

func as(column, sql string) string { return sql + " AS " + column }

func shifted(column string) string {
	return as(column, "fromUnixTimestamp64Nano(toUnixTimestamp64Nano("+column+") + {shift:Int64}, 'UTC')")
}

func spanID(column string) string {
	return "reinterpretAsFixedString(sipHash64(" + column + ", {k:UInt64}))"
}

// port leaves those of servers.
func port(column string) string {
	return as(column, fmt.Sprintf("toUInt16(if(%[1]s < 32768, %[1]s, 32768 + (%[1]s - 32768 + {k:UInt64} * 577) %% 28000))", column))
}

// scaled is between three and five quarters of what the row has, by one factor for all that has the same id: a row's figures still fit each other.
func scaled(column, id string) string {
	return as(column, fmt.Sprintf("toUInt64(%s * (0.75 + (sipHash64(%s, {k:UInt64}) %% 4096) / 8192))", column, id))
}

// objectKey keeps the form of keys: what is before the hour, YYYY/MM/DD/HH/, the host, and ULID.zip.
func objectKey(column string) string {
	const hour = "extract(%[1]s::String, '[0-9]{4}/[0-9]{2}/[0-9]{2}/[0-9]{2}')"
	return as(column, fmt.Sprintf("if(%[1]s = '', '', concat(replaceOne(left(%[1]s::String, length(%[1]s) - 30), "+hour+", "+
		"formatDateTime(parseDateTimeOrZero("+hour+", '%%Y/%%m/%%d/%%H', 'UTC') + toIntervalSecond(intDiv({shift:Int64}, 1000000000)), '%%Y/%%m/%%d/%%H', 'UTC')), "+
		"left(hex(sipHash128(%[1]s, {k:UInt64})), 26), '.zip'))", column))
}

// StoreMany is Store for more rows than go through a client in minutes: base of them are stored by Store, at the rate that
// all have together, and the server copies those as often as it takes, each time later and with other ids and figures. What views add
// up they add up of the copies as well. conn has to reach the database of s.
func StoreMany(ctx context.Context, s *pulsestore.Store, conn driver.Conn, database string, base int, o Options) error {
	if o.Rows <= base {
		return Store(ctx, s, o)
	}
	if base < 1 || o.Rows%base != 0 {
		return fmt.Errorf("fill: %d rows are no multiple of %d", o.Rows, base)
	}
	if !o.To.After(o.From) {
		return errors.New("fill: there are no rows in no time")
	}
	copies := o.Rows / base
	window := o.To.Sub(o.From) / time.Duration(copies)
	first := o
	first.Rows, first.To = base, o.From.Add(window)
	if err := Store(ctx, s, first); err != nil {
		return err
	}
	// The last copy is made first: the base ends somewhat later than its window, and none of the copies may be copied.
	for k := copies - 1; k > 0; k-- {
		for _, t := range copiedTables {
			sql := fmt.Sprintf("INSERT INTO `%[1]s`.%[2]s SELECT * REPLACE (%[4]s) FROM (SELECT * FROM `%[1]s`.%[2]s "+
				"WHERE %[3]s >= fromUnixTimestamp64Nano({from:Int64}, 'UTC') AND %[3]s < fromUnixTimestamp64Nano({to:Int64}, 'UTC'))",
				database, t.name, t.time, strings.Join(t.own, ", "))
			var args []any
			for name, value := range map[string]int64{"k": int64(k), "last": int64(copies - 1), "shift": int64(window) * int64(k), "from": first.From.UnixNano(), "to": first.To.Add(window).UnixNano()} {
				args = append(args, clickhouse.Named(name, fmt.Sprint(value)))
			}
			if err := conn.Exec(ctx, sql, args...); err != nil {
				return fmt.Errorf("fill: copy %d of %s: %w", k, t.name, err)
			}
		}
		if o.Progress != nil {
			o.Progress((copies - k + 1) * base)
		}
	}
	return nil
}
