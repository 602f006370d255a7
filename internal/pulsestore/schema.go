// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"cmp"
	"context"
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Names of the tables.
const (
	tableRequests       = "requests"
	tableConnections    = "connections"
	tablePayloadObjects = "payload_objects"
	tableCoverage       = "coverage"
	tableMigrations     = "schema_migrations"
)

// deduplicationWindow is how many of the newest inserts a table remembers by their token. A
// retry comes within minutes; with one insert per second this is a quarter of an hour.
const deduplicationWindow = 1000

//go:embed migrations/*.sql
var migrationFiles embed.FS

// SchemaOptions say how the tables are made.
type SchemaOptions struct {
	// TTL is how long rows are kept, in whole seconds; 0 keeps them for ever.
	TTL time.Duration
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
	ttl      time.Duration
}

// OnCluster, Engine and EngineBy are where a cluster's DDL differs.
func (s schema) OnCluster() string { return "" }

// Engine returns the table engine that keeps one of several equal rows.
func (s schema) Engine() string { return "ReplacingMergeTree" }

// EngineBy returns the table engine that keeps the row with the highest value of column.
func (s schema) EngineBy(column string) string { return "ReplacingMergeTree(" + column + ")" }

// TTL returns the TTL clause, or nothing.
func (s schema) TTL() string {
	if s.ttl == 0 {
		return ""
	}
	return "TTL " + s.ttlExpression()
}

func (s schema) ttlExpression() string {
	return "toDateTime(time) + toIntervalSecond(" + strconv.FormatInt(int64(s.ttl/time.Second), 10) + ")"
}

// Settings returns the table settings. Whole parts expire, so that TTL never rewrites data.
func (s schema) Settings() string {
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
			"table": s.table,
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
				m.statements = append(m.statements, statement)
			}
		}
		all = append(all, m)
	}
	slices.SortFunc(all, func(a, b migration) int { return cmp.Compare(a.version, b.version) })
	return all, nil
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

// table returns the qualified, quoted name of a table.
func (s schema) table(name string) string { return quote(s.database) + "." + quote(name) }

// quote returns name as a ClickHouse identifier.
func quote(name string) string {
	return "`" + strings.NewReplacer(`\`, `\\`, "`", "\\`").Replace(name) + "`"
}

// Migrate brings the database to the schema of this binary. Collectors may call it at the same
// time; a schema that is newer than the binary is left alone, as newer columns have defaults.
func (s *Store) Migrate(ctx context.Context, opts SchemaOptions) error {
	schema := schema{database: s.database, ttl: opts.TTL}
	steps, err := schema.migrations()
	if err != nil {
		return err
	}
	for _, statement := range []string{
		"CREATE DATABASE IF NOT EXISTS " + quote(s.database),
		"CREATE TABLE IF NOT EXISTS " + schema.table(tableMigrations) + ` (version UInt32, name String, applied_at DateTime64(3, 'UTC'))
ENGINE = ReplacingMergeTree ORDER BY version`,
	} {
		if err := s.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare database %q: %w", s.database, err)
		}
	}
	applied, err := s.appliedMigrations(ctx, schema)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	for _, step := range steps {
		if applied[step.version] {
			continue
		}
		for _, statement := range step.statements {
			if err := s.conn.Exec(ctx, statement); err != nil {
				return fmt.Errorf("migrate to schema %d (%s): %w", step.version, step.name, err)
			}
		}
		if err := s.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT %d, '%s', now64(3)", schema.table(tableMigrations), step.version, step.name)); err != nil {
			return fmt.Errorf("note schema %d (%s): %w", step.version, step.name, err)
		}
	}
	return s.applyTTL(ctx, schema)
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

// applyTTL changes tables that were made with another TTL.
func (s *Store) applyTTL(ctx context.Context, schema schema) error {
	for _, table := range []string{tableRequests, tableConnections, tablePayloadObjects, tableCoverage} {
		var ddl string
		if err := s.conn.QueryRow(ctx, "SELECT create_table_query FROM system.tables WHERE database = {database:String} AND name = {table:String}",
			named("database", schema.database), named("table", table)).Scan(&ddl); err != nil {
			return fmt.Errorf("read the TTL of %s: %w", table, err)
		}
		_, clause, has := strings.Cut(ddl, "\nTTL ")
		if !has {
			_, clause, has = strings.Cut(ddl, " TTL ")
		}
		var change string
		switch {
		case schema.ttl == 0 && has:
			change = "REMOVE TTL"
		case schema.ttl > 0 && (!has || !strings.HasPrefix(clause, schema.ttlExpression())):
			change = "MODIFY TTL " + schema.ttlExpression()
		default:
			continue
		}
		if err := s.conn.Exec(ctx, "ALTER TABLE "+schema.table(table)+" "+change); err != nil {
			return fmt.Errorf("change the TTL of %s: %w", table, err)
		}
	}
	return nil
}
