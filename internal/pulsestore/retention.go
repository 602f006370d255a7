// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// longTTL is how long the audit and the sums by hour are kept at least, unless Retention.Tables says otherwise.
const longTTL = 400 * 24 * time.Hour

// Retention says how long rows are kept, in whole seconds; 0 keeps them for ever. What is said of a table goes before
// what is said of an environment, and that before TTL.
type Retention struct {
	TTL          time.Duration            `json:"ttl"`
	Environments map[string]time.Duration `json:"environments,omitempty"`
	Tables       map[string]time.Duration `json:"tables,omitempty"`
}

// Validate says what is wrong, by the keys' names in a configuration.
func (r Retention) Validate() error {
	var errs []error
	check := func(key string, ttl time.Duration) {
		if ttl < 0 || ttl%time.Second != 0 {
			errs = append(errs, fmt.Errorf("`%s` must be whole seconds, or 0 to keep rows for ever", key))
		}
	}
	check("ttl", r.TTL)
	for _, environment := range slices.Sorted(maps.Keys(r.Environments)) {
		check("environment_ttl::"+environment, r.Environments[environment])
		if !semantic.ValidEnvironment(environment) {
			errs = append(errs, fmt.Errorf("`environment_ttl`: %q is not the name of an environment: a-z, 0-9 and -", environment))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tables)) {
		check("table_ttl::"+name, r.Tables[name])
		if !slices.Contains(Tables(), name) {
			errs = append(errs, fmt.Errorf("`table_ttl`: there is no table %q: name one of %s", name, strings.Join(Tables(), ", ")))
		}
	}
	return errors.Join(errs...)
}

// Of returns how long rows of an environment stay in a table; 0 is for ever.
func (r Retention) Of(name, environment string) time.Duration {
	if ttl, ok := r.Tables[name]; ok {
		return ttl
	}
	for _, t := range storedTables {
		if t.name == name && t.long {
			if r.TTL == 0 {
				return 0
			}
			return max(r.TTL, longTTL)
		}
	}
	if ttl, ok := r.Environments[environment]; ok {
		return ttl
	}
	return r.TTL
}

// perEnvironment returns the environments whose rows have a lifetime of their own in a table.
func (r Retention) perEnvironment(name string) []string {
	var own []string
	for _, environment := range slices.Sorted(maps.Keys(r.Environments)) {
		if r.Of(name, environment) != r.Of(name, "") {
			own = append(own, environment)
		}
	}
	return own
}

// forEver is beyond what DateTime holds less any time that a row may have, so that adding it never overflows.
const forEver = 40 * 365 * 24 * time.Hour

// expression returns when a row of a table expires; "" when none ever does.
func (r Retention) expression(name string) string {
	seconds := func(environment string) int64 {
		ttl := r.Of(name, environment)
		if ttl == 0 {
			ttl = forEver
		}
		return int64(ttl / time.Second)
	}
	var cases strings.Builder
	for _, environment := range r.perEnvironment(name) {
		fmt.Fprintf(&cases, "environment = '%s', %d, ", escape(environment), seconds(environment))
	}
	switch {
	case cases.Len() > 0:
		return fmt.Sprintf("toDateTime(time) + toIntervalSecond(multiIf(%s%d))", &cases, seconds(""))
	case r.Of(name, "") == 0:
		return ""
	}
	return fmt.Sprintf("toDateTime(time) + toIntervalSecond(%d)", seconds(""))
}

// comment is what a table remembers of its retention, so that it is changed only when that is.
func (r Retention) comment(name string) string {
	return "expires: " + cmp.Or(r.expression(name), "never")
}

// statements returns what gives a table its retention; had says that it has a TTL already.
func (r Retention) statements(s schema, t storedTable, had bool) []string {
	alter := strings.TrimSpace("ALTER TABLE " + s.stored(t.name) + " " + s.OnCluster())
	if expires := r.expression(t.name); expires != "" {
		// Whole parts go where all rows of a part expire on one day; else TTL has to pick the rows.
		whole := 0
		if t.daily && len(r.perEnvironment(t.name)) == 0 {
			whole = 1
		}
		return []string{fmt.Sprintf("%s MODIFY SETTING ttl_only_drop_parts = %d", alter, whole), alter + " MODIFY TTL " + expires}
	} else if had {
		return []string{alter + " REMOVE TTL"}
	}
	return nil
}

// applyRetention changes tables that were made with another retention.
func (s *Store) applyRetention(ctx context.Context, schema schema, r Retention) error {
	if err := r.Validate(); err != nil {
		return err
	}
	policy, err := json.Marshal(r)
	if err != nil {
		return err
	}
	for _, t := range storedTables {
		ddl, comment, err := s.definition(ctx, schema, t.name)
		if err != nil {
			return fmt.Errorf("read the retention of %s: %w", t.name, err)
		}
		want := r.comment(t.name)
		var statements []string
		if before, _, _ := strings.Cut(comment, "\n"); before != want {
			statements = r.statements(schema, t, strings.Contains(ddl, " TTL toDateTime(time)"))
		}
		if t.name == policyTable {
			want += "\n" + string(policy)
		}
		if comment == want {
			continue
		}
		// The comment comes last: when a statement before it fails, all are made again.
		statements = append(statements, fmt.Sprintf("ALTER TABLE %s %s MODIFY COMMENT '%s'", schema.stored(t.name), schema.OnCluster(), escape(want)))
		for _, statement := range statements {
			if err := s.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("change the retention of %s: %w", t.name, err)
			}
		}
	}
	return nil
}

// policyTable is the table whose comment has the whole policy, for who asks without having configured it.
const policyTable = TableRequests

// definition returns how the table that holds the rows was made.
func (s *Store) definition(ctx context.Context, schema schema, name string) (ddl, comment string, err error) {
	if schema.cluster != "" {
		name += localSuffix
	}
	err = s.conn.QueryRow(ctx, "SELECT create_table_query, comment FROM system.tables WHERE database = {database:String} AND name = {table:String}",
		named("database", schema.database), named("table", name)).Scan(&ddl, &comment)
	return ddl, comment, err
}

// Retention returns the policy that the tables have.
func (s *Store) Retention(ctx context.Context) (r Retention, err error) {
	comment := ""
	if err := s.system(ctx, "SELECT comment FROM system.tables WHERE database = {database:String} AND name IN ({local:String}, {table:String}) AND comment != ''",
		&where{args: []any{named("database", s.database), named("local", policyTable+localSuffix), named("table", policyTable)}}, func(rows driver.Rows) error {
			return rows.Scan(&comment)
		}); err != nil {
		return r, fmt.Errorf("read the retention: %w", err)
	}
	_, policy, ok := strings.Cut(comment, "\n")
	if !ok {
		return r, errors.New("the tables have no retention policy: let `pulse` make them with `create_schema`")
	}
	if err := json.Unmarshal([]byte(policy), &r); err != nil {
		return r, fmt.Errorf("read the retention: %w", err)
	}
	return r, nil
}

// Expiry is what one environment has in one table that is older than a policy keeps.
type Expiry struct {
	Table, Environment string
	TTL                time.Duration
	Rows               uint64
	Bytes              uint64 // on disk, estimated by the average row of the table
	Oldest, Newest     time.Time
}

// Expiring answers what would go at a time under a policy, and removes nothing. Rows that a merge has removed
// already are not among it; rows that are stored twice count twice, as they do on disk. environment "" means every one.
func (s *Store) Expiring(ctx context.Context, r Retention, at time.Time, scope Scope) ([]Expiry, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	perRow, err := s.bytesPerRow(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the sizes of tables: %w", err)
	}
	var out []Expiry
	for _, t := range storedTables {
		w := &where{}
		own := r.perEnvironment(t.name)
		var any []string
		older := func(environment, name, guard string) {
			ttl := r.Of(t.name, environment)
			if ttl == 0 {
				return
			}
			any = append(any, guard+"time <= fromUnixTimestamp64Nano({"+name+":Int64}, 'UTC')")
			w.args = append(w.args, named(name, at.Add(-ttl).UnixNano()))
		}
		var others []string
		for i, environment := range own {
			name := fmt.Sprint("own", i)
			older(environment, "before_"+name, "environment = {"+name+":String} AND ")
			w.args = append(w.args, named(name, environment))
			others = append(others, "environment != {"+name+":String} AND ")
		}
		older("", "before", strings.Join(others, ""))
		if len(any) == 0 {
			continue
		}
		w.conditions = append(w.conditions, "("+strings.Join(any, " OR ")+")")
		from, err := s.rows(&table{name: t.name, time: "time", fields: environmentOnly}, Selection{Scope: scope}, w)
		if err != nil {
			return nil, err
		}
		if err := s.ask(ctx, "environment, count(), toDateTime64(min(time), 9, 'UTC'), toDateTime64(max(time), 9, 'UTC')", from,
			" GROUP BY environment ORDER BY environment", func(rows driver.Rows) error {
				e := Expiry{Table: t.name}
				err := rows.Scan(&e.Environment, &e.Rows, &e.Oldest, &e.Newest)
				e.TTL, e.Bytes = r.Of(t.name, e.Environment), uint64(float64(e.Rows)*perRow[t.name])
				out = append(out, e)
				return err
			}); err != nil {
			return nil, fmt.Errorf("ask what would go of %s: %w", t.name, err)
		}
	}
	return out, nil
}

// bytesPerRow returns the average size of a table's row on the disk of the server that answers.
func (s *Store) bytesPerRow(ctx context.Context) (map[string]float64, error) {
	sizes := map[string]float64{}
	err := s.system(ctx, "SELECT table, sum(bytes_on_disk) / sum(rows) FROM system.parts WHERE active AND rows > 0 AND database = {database:String} GROUP BY table",
		&where{args: []any{named("database", s.database)}}, func(rows driver.Rows) error {
			var name string
			var size float64
			err := rows.Scan(&name, &size)
			sizes[strings.TrimSuffix(name, localSuffix)] = size
			return err
		})
	return sizes, err
}

// ObjectExpiry is what one environment has in the bucket of one retention class, by the receipts that are kept.
type ObjectExpiry struct {
	Environment, Class string
	Objects, Bytes     uint64
	// Expiring is how many of them are gone at the time that was asked about, and ExpiringBytes how much.
	Expiring, ExpiringBytes uint64
	// Unknown is how many are kept for ever, or until nobody knows when.
	Unknown uint64
	// Next is when the next one goes; zero when none does.
	Next time.Time
}

// storedObjects are the objects that are in the bucket, as far as receipts say.
var storedObjects = &table{name: tablePayloadObjects, time: "time", final: true, fields: environmentOnly}

// ExpiringObjects implements Reader.
func (s *Store) ExpiringObjects(ctx context.Context, at time.Time, scope Scope) (out []ObjectExpiry, err error) {
	w := &where{}
	w.and("state = 'stored' AND (expires = toDateTime(0) OR expires > now())", "at", at.Unix())
	from, err := s.rows(storedObjects, Selection{Scope: scope}, w)
	if err != nil {
		return nil, err
	}
	const goes = "expires != toDateTime(0) AND toUnixTimestamp(expires) <= {at:Int64}"
	if err := s.ask(ctx, "environment, retention_class, count(), sum(size), countIf("+goes+"), sumIf(size, "+goes+"), countIf(expires = toDateTime(0)), "+
		"minIf(expires, expires != toDateTime(0))", from, " GROUP BY environment, retention_class ORDER BY environment, retention_class", func(rows driver.Rows) error {
		var e ObjectExpiry
		err := rows.Scan(&e.Environment, &e.Class, &e.Objects, &e.Bytes, &e.Expiring, &e.ExpiringBytes, &e.Unknown, &e.Next)
		e.Next = fromEpoch(e.Next)
		out = append(out, e)
		return err
	}); err != nil {
		return nil, fmt.Errorf("ask which objects would go: %w", err)
	}
	return out, nil
}
