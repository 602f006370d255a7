// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulsestore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

// macros are what Grafana's ClickHouse data source puts in the place of a panel's macros.
func macros(sql string, from, to time.Time, environments string) string {
	sql = regexp.MustCompile(`\$__timeFilter\(([^)]+)\)`).ReplaceAllString(sql, fmt.Sprintf("$1 >= toDateTime(%d) AND $1 <= toDateTime(%d)", from.Unix(), to.Unix()))
	sql = regexp.MustCompile(`\$__timeInterval\(([^)]+)\)`).ReplaceAllString(sql, "toStartOfInterval(toDateTime($1), INTERVAL 60 second)")
	return strings.NewReplacer("$__interval_s", "60", "${environment:singlequote}", environments).Replace(sql)
}

// TestGrafanaDashboard runs every query of the dashboard: each must have an answer.
func TestGrafanaDashboard(t *testing.T) {
	text, err := os.ReadFile("../../distributions/otelcol-qpoint/grafana/requests.json")
	require.NoError(t, err)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ RawSQL string }
		}
		Templating struct {
			List []struct{ Type, Query string }
		}
	}
	require.NoError(t, json.Unmarshal(text, &dashboard))
	opts := engine(t)
	s := openStore(t, opts)
	conn := dial(t, opts)
	ctx := context.Background()
	require.NoError(t, s.Migrate(ctx, keep(0)))
	to := time.Now().UTC()
	from := to.Add(-2 * time.Hour)
	require.NoError(t, fill.Store(ctx, s, fill.Options{Rows: 20_000, From: from, To: to.Add(-time.Minute), Seed: 3, Environments: []string{"production", "staging"}}))
	rows := pulsestore.NewRows()
	hidden := connection(77, 1)
	hidden.Visibility = "not_visible"
	rows.AddConnection(&hidden)
	rows.AddDNSQuery(&pulsestore.DNSQuery{Origin: origin, Time: base, Name: "x.example.com", Type: "A", ResponseCode: "NXDOMAIN"})
	rows.AddCoverage(&pulsestore.Coverage{Origin: origin, Time: base, Subject: "process", Name: "java", State: "not_seen", Reason: "no_source", Count: 2})
	require.NoError(t, s.Insert(ctx, rows))

	count := func(sql string) (n int) {
		answer, err := conn.Query(ctx, sql)
		require.NoError(t, err, sql)
		for answer.Next() {
			n++
		}
		require.NoError(t, answer.Err(), sql)
		require.NoError(t, answer.Close())
		return n
	}
	for _, v := range dashboard.Templating.List {
		if v.Type == "query" {
			assert.Equal(t, 2, count(v.Query), "environments to choose from")
		}
	}
	require.Len(t, dashboard.Panels, 12)
	for _, p := range dashboard.Panels {
		t.Run(p.Title, func(t *testing.T) {
			require.Len(t, p.Targets, 1)
			assert.Positive(t, count(macros(p.Targets[0].RawSQL, from.Truncate(time.Hour), to, "'production', 'staging'")))
			if p.Title == "Newest requests" || p.Title == "Endpoints" {
				assert.Zero(t, count(macros(p.Targets[0].RawSQL, from.Truncate(time.Hour), to, "'other'")), "another environment's rows")
			}
		})
	}
}
