// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// FuzzRequestQuery: whatever a client sends is refused by name, or is a question within the limits.
func FuzzRequestQuery(f *testing.F) {
	now := time.Unix(1_800_000_000, 0)
	scope := pulsestore.OnlyEnvironment("demo")
	for _, seed := range []string{
		"", "limit=10&filter=method:GET", "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00+02:00", "filter=connection:00000000000000ff",
		"cursor=" + encodeCursor(now, [8]byte{1}, pulsestore.OfRequests, pulsestore.Selection{Scope: scope}), "filter=status:200..299", "filter=%ff", "a=b;c", "limit=1&limit=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q := question{scope: scope}
		var ask pulsestore.RequestQuery
		if q.params, err = parseParams(values, []string{"from", "to", "limit", "filter", "cursor"}); err == nil {
			ask, err = q.requestQuery(now)
		}
		if err != nil {
			var p *problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, http.StatusBadRequest, p.Status)
			if p.Position != nil {
				require.True(t, p.Position.Start >= 0 && p.Position.End >= p.Position.Start)
			}
			return
		}
		require.Equal(t, "demo", ask.Scope.Environment())
		require.True(t, ask.Limit >= 1 && ask.Limit <= maxLimit)
		require.True(t, ask.From.Before(ask.To))
		step, err := q.step(ask.From, ask.To)
		require.NoError(t, err)
		require.LessOrEqual(t, ask.To.Sub(ask.From)/step, time.Duration(60))
		if ask.After != nil {
			at, id, err := decodeCursor(encodeCursor(ask.After.Time, ask.After.SpanID, pulsestore.OfRequests, ask.Selection), pulsestore.OfRequests, ask.Selection)
			require.NoError(t, err)
			require.Equal(t, *ask.After, pulsestore.Cursor{Time: at, SpanID: id})
		}
	})
}

// FuzzIDs: an id that is accepted is written back as it came.
func FuzzIDs(f *testing.F) {
	f.Add("0123456789abcdef0123456789abcdef", "0123456789abcdef")
	f.Add("", "0000000000000000")
	f.Add("ABCDEFABCDEFABCDEFABCDEFABCDEFAB", "../../../../etc.")
	f.Fuzz(func(t *testing.T, trace, span string) {
		row := pulsestore.Request{}
		var err error
		if row.TraceID, err = parseTraceID(trace); err == nil {
			require.Equal(t, trace, requestView(&row, nil, time.Time{}).TraceID)
		}
		if row.SpanID, err = parseSpanID(span); err == nil {
			require.Equal(t, span, requestView(&row, nil, time.Time{}).SpanID)
		}
	})
}

// BenchmarkRequestView is the cost per row of a list, which every open page asks for each second.
func BenchmarkRequestView(b *testing.B) {
	now := time.Now()
	row := fullRequest(1, now)
	objects := map[pulsestore.ObjectID]pulsestore.PayloadObject{{Environment: "demo", Key: testKey}: {State: "sent"}}
	b.ReportAllocs()
	for b.Loop() {
		_ = requestView(&row, objects, now)
	}
}
