// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var golden = Retention{TTL: 30 * 24 * time.Hour, Environments: map[string]time.Duration{"staging": time.Hour}, Tables: map[string]time.Duration{"dns": 0, "coverage": time.Hour}}

// TestSchemaGolden shows in a review what a change of the templates does to the DDL.
func TestSchemaGolden(t *testing.T) {
	for name, s := range map[string]schema{
		"default": {database: "qpoint"},
		"odd":     {database: "a`b\\c"},
		"cluster": {database: "qpoint", cluster: "it's"},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := s.migrations()
			require.NoError(t, err)
			var out strings.Builder
			for _, statement := range s.prepare() {
				out.WriteString(statement + ";\n")
			}
			for i, step := range steps {
				require.EqualValues(t, i+1, step.version, "versions have no gap")
				fmt.Fprintf(&out, "-- %d %s\n", step.version, step.name)
				for _, statement := range step.statements {
					out.WriteString(statement + ";\n")
				}
			}
			out.WriteString("-- retention\n")
			for _, table := range storedTables {
				for _, statement := range golden.statements(s, table, true) {
					out.WriteString(statement + ";\n")
				}
			}
			file := "testdata/schema_" + name + ".sql"
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(out.String()), 0o644))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			assert.Equal(t, string(want), out.String(), "run the test with -update and review the difference")
		})
	}
}

// tablesOf reads the columns of each table from the DDL.
func tablesOf(t *testing.T) map[string]map[string]bool {
	steps, err := schema{database: "d"}.migrations()
	require.NoError(t, err)
	out := map[string]map[string]bool{}
	for _, step := range steps {
		for _, statement := range step.statements {
			head, _, _ := strings.Cut(statement, "\n")
			name, ok := strings.CutPrefix(strings.TrimPrefix(head, "ALTER TABLE "), "`d`.")
			if rest, create := strings.CutPrefix(head, "CREATE TABLE IF NOT EXISTS `d`."); create {
				name, ok = rest, true
			}
			if !ok || strings.HasPrefix(head, "ALTER") && !strings.Contains(statement, "ADD COLUMN") {
				continue
			}
			name = strings.Trim(name, "` ")
			if out[name] == nil {
				out[name] = map[string]bool{}
			}
			for line := range strings.Lines(statement) {
				column, isColumn := strings.CutPrefix(line, "    ADD COLUMN IF NOT EXISTS ")
				if !isColumn && strings.HasPrefix(head, "CREATE") {
					column, isColumn = strings.CutPrefix(line, "    ")
				}
				if column, _, _ = strings.Cut(column, " "); isColumn && column != "INDEX" {
					out[name][column] = true
				}
			}
		}
	}
	return out
}

// TestColumnsOfSchema holds what is inserted against what the tables have.
func TestColumnsOfSchema(t *testing.T) {
	inSchema := tablesOf(t)
	for _, rows := range NewRows().tables() {
		inserted := map[string]bool{}
		for _, c := range rows.columns() {
			assert.False(t, inserted[c.name], "%s.%s twice", rows.table, c.name)
			inserted[c.name] = true
		}
		assert.Equal(t, inSchema[rows.table], inserted, rows.table)
	}
}

// TestTablesOfSchema: a table that nobody told of its retention and its shards would grow for ever.
func TestTablesOfSchema(t *testing.T) {
	var known, made []string
	for name := range tablesOf(t) {
		made = append(made, name)
	}
	assert.ElementsMatch(t, append(known, Tables()...), made)
}

// TestClusterAlters: a statement that adds columns is repeated for the Distributed table, which refuses all else.
func TestClusterAlters(t *testing.T) {
	steps, err := schema{database: "d", cluster: "c"}.migrations()
	require.NoError(t, err)
	for _, step := range steps {
		for _, statement := range step.statements {
			if strings.HasPrefix(statement, "ALTER") && strings.Contains(statement, " COLUMN ") {
				assert.NotContains(t, statement, " INDEX ", "a statement that adds columns does nothing else")
			}
		}
	}
}
