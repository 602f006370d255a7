// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulsestore_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// TestSumsAnswerAsRows holds what the sums answer of endpoints, edges and latency against what the rows do, which a filter asks that the sums cannot
// answer. Part of the sums is older than the numbers of endpoints, and one push comes twice.
func TestSumsAnswerAsRows(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	ctx := context.Background()
	from := base.Truncate(time.Hour).Add(-20 * time.Hour)
	push := func(first, n int) *pulsestore.Rows {
		rows := pulsestore.NewRows()
		for i := first; i < first+n; i++ {
			r := request(i)
			r.Time = from.Add(time.Duration(i) * 20 * time.Second)
			// Endpoint k has about twice the requests of endpoint k+1; the method and the template of one are those of others, swapped.
			k := 0
			for i>>k&1 == 1 && k < 9 {
				k++
			}
			r.ServerAddress, r.Method, r.Template = fmt.Sprintf("s%d.example", k%3), []string{"GET", "POST"}[k%2], fmt.Sprintf("/t%d", k/2)
			r.ServiceName, r.Kind = fmt.Sprintf("service-%d", i%(k+1)), []string{"client", "server"}[i%2]
			r.Duration = time.Duration(1+i%97) * time.Millisecond
			if i%5 != 4 {
				r.ErrorType = ""
			}
			rows.AddRequest(&r)
		}
		return rows
	}
	require.NoError(t, s.MigrateTo(ctx, keep(0), 12))
	require.NoError(t, s.Insert(ctx, push(0, 1800)), "ten hours without numbers")
	require.NoError(t, s.Migrate(ctx, keep(0)))
	require.NoError(t, s.Insert(ctx, push(1800, 1700)))
	require.NoError(t, s.Insert(ctx, push(1800, 1700)), "a retry")

	sel := all("production", from, from.Add(20*time.Hour))
	rows := sel
	rows.Filter = parse(t, pulsestore.OfRequests, "-path:nowhere")
	// Of few requests a quantile is one of them, or what lies between two.
	const many = 100
	near := func(requests uint64, want, got pulsestore.Quantiles, of string) {
		t.Helper()
		if requests < many {
			return
		}
		for i, w := range []time.Duration{want.P50, want.P90, want.P95, want.P99} {
			assert.InEpsilon(t, w, []time.Duration{got.P50, got.P90, got.P95, got.P99}[i], 0.2, of)
		}
	}
	for _, q := range []pulsestore.EndpointQuery{
		{Limit: 100}, {Limit: 2}, {ByTemplate: true, Limit: 100}, {ByTemplate: true, Limit: 3}, {ByTemplate: true, NewSince: from.Add(30 * time.Minute), Limit: 100},
		{NewSince: from.Add(-time.Hour), Limit: 1},
	} {
		of := fmt.Sprint(q.ByTemplate, q.Limit, q.NewSince)
		q.Selection = rows
		want, err := s.Endpoints(ctx, q)
		require.NoError(t, err, of)
		q.Selection = sel
		got, err := s.Endpoints(ctx, q)
		require.NoError(t, err, of)
		require.NotEmpty(t, want, of)
		require.Len(t, got, len(want), of)
		for i := range want {
			near(want[i].Requests, want[i].Quantiles, got[i].Quantiles, of)
			got[i].Quantiles = want[i].Quantiles
		}
		assert.Equal(t, want, got, of)
		for i := range got[1:] {
			assert.GreaterOrEqual(t, got[i].Requests, got[i+1].Requests, of)
		}
	}

	want, err := s.Edges(ctx, rows, 100)
	require.NoError(t, err)
	got, err := s.Edges(ctx, sel, 100)
	require.NoError(t, err)
	require.Len(t, got, len(want))
	for i := range want {
		if want[i].Requests >= many {
			assert.InEpsilon(t, want[i].P95, got[i].P95, 0.2)
		}
		got[i].P95 = want[i].P95
	}
	assert.Equal(t, want, got)

	of := pulsestore.TimeQuery{Selection: rows, Of: pulsestore.OfRequests, Step: time.Hour}
	exact, err := s.Latency(ctx, of)
	require.NoError(t, err)
	require.NotEmpty(t, exact)
	heat, err := s.HeatMap(ctx, of)
	require.NoError(t, err)
	of.Selection = sel
	latency, err := s.Latency(ctx, of)
	require.NoError(t, err)
	require.Len(t, latency, len(exact))
	for i := range exact {
		near(exact[i].Requests, exact[i].Quantiles, latency[i].Quantiles, exact[i].Time.String())
		latency[i].Quantiles = exact[i].Quantiles
	}
	assert.Equal(t, exact, latency)
	sums, err := s.HeatMap(ctx, of)
	require.NoError(t, err)
	assert.Equal(t, heat, sums)
}
