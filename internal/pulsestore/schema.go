// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Names of the tables.
const (
	TableRequests       = "requests" // public: a record that is older than what it keeps is not accepted
	tableConnections    = "connections"
	tablePayloadObjects = "payload_objects"
	tablePayloadEntries = "payload_entries"
	tableCoverage       = "coverage"
	tableDNS            = "dns"
	tableFindings       = "findings"
	tableAudit          = "audit"
	tableRequestsMinute = "requests_1m"
	tableRequestsHour   = "requests_1h"
	tableProcessMinute  = "processes_1m"
	tableProcessHour    = "processes_1h"
	tableServiceMinute  = "services_1m"
	tableServiceHour    = "services_1h"
	tableEndpoints      = "endpoints"
	tableConnectionSums = "connections_10m"
	tableMigrations     = "schema_migrations"
)

// storedTable is what is told apart of the tables that hold data.
type storedTable struct {
	name string
	// shard is by what a cluster spreads the rows: equal rows must meet in one place.
	shard string
	// daily partitions expire as whole parts; those by week, row by row.
	daily bool
	// long tables are kept for at least longTTL unless told otherwise.
	long bool
}

var storedTables = []storedTable{
	{name: TableRequests, shard: "sipHash64(trace_id)", daily: true},
	{name: tableConnections, shard: "sipHash64(host_id, connection_id)"},
	{name: tablePayloadObjects, shard: "sipHash64(key)", daily: true},
	{name: tablePayloadEntries, shard: "sipHash64(trace_id)", daily: true},
	{name: tableCoverage, shard: "sipHash64(host_id)", daily: true},
	{name: tableDNS, shard: "sipHash64(host_id)", daily: true},
	{name: tableFindings, shard: "sipHash64(host_id)", daily: true},
	{name: tableAudit, shard: "sipHash64(id)", long: true},
	// Written by the views of each shard.
	{name: tableRequestsMinute, shard: "rand()", daily: true},
	{name: tableRequestsHour, shard: "rand()", long: true},
	{name: tableProcessMinute, shard: "rand()", daily: true},
	{name: tableProcessHour, shard: "rand()", long: true},
	{name: tableServiceMinute, shard: "rand()", daily: true},
	{name: tableServiceHour, shard: "rand()", long: true},
	{name: tableEndpoints, shard: "rand()", long: true},
	{name: tableConnectionSums, shard: "rand()", daily: true},
}

// Tables returns the names of the tables that hold data and expire.
func Tables() []string {
	names := make([]string, len(storedTables))
	for i, t := range storedTables {
		names[i] = t.name
	}
	return names
}

// deduplicationWindow is how many of the newest inserts a table remembers by their token. A
// retry comes within minutes; with one insert per second this is a quarter of an hour.
const deduplicationWindow = 1000

//go:embed migrations/*.sql
var migrationFiles embed.FS

// SchemaOptions say how the tables are made.
type SchemaOptions struct {
	// Retention says how long rows are kept.
	Retention Retention
	// Cluster is the name of the servers' cluster; "" for one server. Each of its shards then has tables
	// `…_local`, replicated, and the tables of the usual names are Distributed over them.
	Cluster string
}

// migration is one numbered step of the schema. It is never changed once released.
type migration struct {
	version    uint32
	name       string
	statements []string
}

// schema is what the templates see.
type schema struct {
	database string
	cluster  string
}

// OnCluster returns the clause that makes a statement one of the whole cluster.
func (s schema) OnCluster() string {
	if s.cluster == "" {
		return ""
	}
	return "ON CLUSTER " + quote(s.cluster)
}

// Engine returns the table engine that keeps one of several equal rows.
func (s schema) Engine() string { return s.engine("ReplacingMergeTree", "{shard}") }

// EngineBy returns the table engine that keeps the row with the highest value of column.
func (s schema) EngineBy(column string) string {
	return s.engine("ReplacingMergeTree", "{shard}", column)
}

// Aggregating returns the table engine of a rollup.
func (s schema) Aggregating() string { return s.engine("AggregatingMergeTree", "{shard}") }

// engine returns a table engine. On a cluster it is replicated: {replica}, {shard}, {database} and {table} are
// macros that every server fills in; where says which servers are replicas of each other.
func (s schema) engine(name, where string, args ...string) string {
	if s.cluster != "" {
		name = "Replicated" + name
		args = append([]string{"'/clickhouse/tables/" + where + "/{database}/{table}'", "'{shard}-{replica}'"}, args...)
	}
	if len(args) == 0 {
		return name
	}
	return name + "(" + strings.Join(args, ", ") + ")"
}

// rollupTable is a table of sums, with the partitions that it has.
type rollupTable struct{ Name, Partition string }

// Rollups and ProcessRollups are the tables of sums by minute and by hour.
func (schema) Rollups() []rollupTable {
	return []rollupTable{{tableRequestsMinute, "toDate(time)"}, {tableRequestsHour, "toMonday(time)"}}
}

// ProcessRollups see Rollups.
func (schema) ProcessRollups() []rollupTable {
	return []rollupTable{{tableProcessMinute, "toDate(time)"}, {tableProcessHour, "toMonday(time)"}}
}

// ServiceSums see Rollups.
func (schema) ServiceSums() []rollupTable {
	return []rollupTable{{tableServiceMinute, "toDate(time)"}, {tableServiceHour, "toMonday(time)"}}
}

// EverySum are the tables that 0005 and 0008 made, those by hour first: a view is made of columns that are there.
func (schema) EverySum() []string {
	return []string{tableRequestsHour, tableRequestsMinute, tableProcessHour, tableProcessMinute}
}

// SumColumns are what every table of sums has beside what it sums by.
func (schema) SumColumns() string {
	return "requests, errors, request_bytes, response_bytes, duration_sum, duration_max, durations, first_seen, last_seen"
}

// SumOfRequests are SumColumns of rows of `requests` called r, SumOfSums of rows of another table of sums called m.
func (schema) SumOfRequests() string {
	return "count() AS requests, countIf(error_type != '') AS errors,\n    sum(request_body_size) AS request_bytes, sum(response_body_size) AS response_bytes, " +
		"sum(r.duration) AS duration_sum, max(r.duration) AS duration_max,\n    sumMap([toUInt8(greatest(least(ceil(8 * log2(r.duration)) - 104, 255), 0))], [1::UInt64]) AS durations,\n" +
		"    min(r.time) AS first_seen, max(r.time) AS last_seen"
}

// SumOfSums see SumOfRequests.
func (schema) SumOfSums() string {
	return "sum(m.requests) AS requests, sum(m.errors) AS errors, sum(m.request_bytes) AS request_bytes, sum(m.response_bytes) AS response_bytes,\n" +
		"    sum(m.duration_sum) AS duration_sum, max(m.duration_max) AS duration_max, sumMap(m.durations) AS durations,\n    min(m.first_seen) AS first_seen, max(m.last_seen) AS last_seen"
}

// EndpointNumber is what numbers endpoints in the tables that have it as a column.
func (schema) EndpointNumber() string { return numbered(endpointColumns...) }

// Settings returns the table settings.
func (s schema) Settings() string {
	if s.cluster != "" {
		return fmt.Sprintf("ttl_only_drop_parts = 1, replicated_deduplication_window = %d", deduplicationWindow)
	}
	return fmt.Sprintf("ttl_only_drop_parts = 1, non_replicated_deduplication_window = %d", deduplicationWindow)
}

// migrations renders the embedded files, in order.
func (s schema) migrations() ([]migration, error) {
	files, err := fs.Glob(migrationFiles, "migrations/*.sql")
	if err != nil {
		return nil, err
	}
	var all []migration
	for _, file := range files {
		number, name, _ := strings.Cut(strings.TrimSuffix(path.Base(file), ".sql"), "_")
		version, err := strconv.ParseUint(number, 10, 32)
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", file, err)
		}
		text, err := migrationFiles.ReadFile(file)
		if err != nil {
			return nil, err
		}
		tmpl, err := template.New(file).Funcs(template.FuncMap{
			"table": s.stored,
			"read":  s.table,
		}).Parse(string(text))
		if err != nil {
			return nil, err
		}
		var out strings.Builder
		if err := tmpl.Execute(&out, s); err != nil {
			return nil, err
		}
		m := migration{version: uint32(version), name: name}
		for statement := range strings.SplitSeq(out.String(), ";\n") {
			if statement = tidy(statement); statement != "" {
				m.statements = append(append(m.statements, statement), s.distribute(statement)...)
			}
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	return all, nil
}

// distribute returns what a cluster's Distributed table needs after statement on the table that it spreads.
func (s schema) distribute(statement string) []string {
	if s.cluster == "" {
		return nil
	}
	for _, t := range storedTables {
		switch {
		case strings.HasPrefix(statement, "CREATE TABLE IF NOT EXISTS "+s.stored(t.name)+" "):
			return []string{fmt.Sprintf("CREATE TABLE IF NOT EXISTS %s %s AS %s\nENGINE = Distributed('%s', '%s', '%s', %s)",
				s.table(t.name), s.OnCluster(), s.stored(t.name), escape(s.cluster), escape(s.database), escape(t.name+localSuffix), t.shard)}
		case strings.HasPrefix(statement, "ALTER TABLE "+s.stored(t.name)+" ") && strings.Contains(statement, " COLUMN ") && !strings.Contains(statement, " MATERIALIZE COLUMN "):
			return []string{strings.Replace(statement, s.stored(t.name), s.table(t.name), 1)}
		}
	}
	return nil
}

// tidy drops comment lines and empty lines.
func tidy(statement string) string {
	var out strings.Builder
	for line := range strings.Lines(statement) {
		if line = strings.TrimRight(line, " \n"); line != "" && !strings.HasPrefix(line, "--") {
			out.WriteString(line + "\n")
		}
	}
	return strings.TrimSpace(out.String())
}

// localSuffix ends the names of a cluster's tables that hold the rows of one shard.
const localSuffix = "_local"

// table returns the qualified, quoted name by which a table is read and written.
func (s schema) table(name string) string { return quote(s.database) + "." + quote(name) }

// stored returns the name of the table that holds the rows.
func (s schema) stored(name string) string {
	if s.cluster != "" && slices.ContainsFunc(storedTables, func(t storedTable) bool { return t.name == name }) {
		name += localSuffix
	}
	return s.table(name)
}

// quote returns name as a ClickHouse identifier.
func quote(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// escape returns text for the inside of a string literal.
func escape(text string) string { return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(text) }

// Migrate brings the database to the schema of this binary. Collectors may call it at the same
// time; a schema that is newer than the binary is left alone, as newer columns have defaults.
func (s *Store) Migrate(ctx context.Context, opts SchemaOptions) error {
	if err := s.migrateTo(ctx, opts, math.MaxUint32); err != nil {
		return err
	}
	return s.applyRetention(ctx, schema{database: s.database, cluster: opts.Cluster}, opts.Retention)
}

func (s *Store) migrateTo(ctx context.Context, opts SchemaOptions, last uint32) error {
	schema := schema{database: s.database, cluster: opts.Cluster}
	steps, err := schema.migrations()
	if err != nil {
		return err
	}
	for _, statement := range schema.prepare() {
		if err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare database %q: %w", s.database, err)
		}
	}
	applied, err := s.appliedMigrations(ctx, schema)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	for _, step := range steps {
		if applied[step.version] || step.version > last {
			continue
		}
		for _, statement := range step.statements {
			if err = s.apply(ctx, schema, step, statement); err == nil {
				continue
			}
			// Another collector may have been faster, and be at the next step already.
			if applied, _ := s.appliedMigrations(ctx, schema); applied[step.version] {
				break
			}
			return fmt.Errorf("migrate to schema %d (%s): %w", step.version, step.name, err)
		}
		if err := s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT %d, '%s', now64(3)", schema.table(tableMigrations), step.version, step.name)); err != nil {
			return fmt.Errorf("note schema %d (%s): %w", step.version, step.name, err)
		}
	}
	return nil
}

// apply makes one statement of a migration.
func (s *Store) apply(ctx context.Context, schema schema, step migration, statement string) error {
	if isFill(statement) {
		return s.fill(ctx, schema, step, statement)
	}
	// Another collector may be at the step before still, changing rows by the column that goes now.
	for strings.Contains(statement, " DROP COLUMN ") {
		var running uint64
		if err := s.conn.QueryRow(ctx, "SELECT count() FROM system.mutations WHERE NOT is_done AND database = {database:String}", named("database", s.database)).Scan(&running); err != nil {
			return err
		}
		if running == 0 {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return s.conn.Exec(ctx, statement)
}

// prepare returns the statements before the first migration.
func (s schema) prepare() []string {
	return []string{
		strings.TrimSpace("CREATE DATABASE IF NOT EXISTS " + quote(s.database) + " " + s.OnCluster()),
		"CREATE TABLE IF NOT EXISTS " + s.table(tableMigrations) + " " + s.OnCluster() + ` (version UInt32, name String, applied_at DateTime64(3, 'UTC'))
ENGINE = ` + s.engine("ReplacingMergeTree", "all") + ` ORDER BY version`,
	}
}

func (s *Store) appliedMigrations(ctx context.Context, schema schema) (map[uint32]bool, error) {
	rows, err := s.conn.Query(ctx, "SELECT version FROM "+schema.table(tableMigrations))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	applied := map[uint32]bool{}
	for rows.Next() {
		var version uint32
		if err := rows.Scan(&version); err != nil {
			return nil, err
		}
		applied[version] = true
	}
	return applied, rows.Err()
}
