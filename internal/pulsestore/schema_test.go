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

// TestSchemaGolden shows in a review what a change of the templates does to the DDL.
func TestSchemaGolden(t *testing.T) {
	for name, s := range map[string]schema{
		"default": {database: "qpoint", ttl: 30 * 24 * time.Hour},
		"odd":     {database: "a`b\\c", ttl: 0},
	} {
		t.Run(name, func(t *testing.T) {
			steps, err := s.migrations()
			require.NoError(t, err)
			var out strings.Builder
			for i, step := range steps {
				require.EqualValues(t, i+1, step.version, "versions have no gap")
				fmt.Fprintf(&out, "-- %d %s\n", step.version, step.name)
				for _, statement := range step.statements {
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

// TestColumnsOfSchema holds what is inserted against what the tables have.
func TestColumnsOfSchema(t *testing.T) {
	steps, err := schema{database: "d"}.migrations()
	require.NoError(t, err)
	var statements []string
	for _, step := range steps {
		statements = append(statements, step.statements...)
	}
	rows := NewRows()
	for i, columns := range [][]column{rows.requests.columns(), rows.connections.columns(), rows.objects.columns(), rows.coverage.columns()} {
		var inSchema, inserted []string
		for line := range strings.Lines(statements[i]) {
			if fields := strings.Fields(line); strings.HasPrefix(line, "    ") && fields[0] != "INDEX" {
				inSchema = append(inSchema, fields[0])
			}
		}
		for _, c := range columns {
			inserted = append(inserted, c.name)
		}
		assert.Equal(t, inSchema, inserted)
	}
}
