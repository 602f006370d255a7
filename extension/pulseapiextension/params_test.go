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
	q := pulsestore.RequestQuery{Environment: "demo"}
	for _, seed := range []string{
		"", "limit=10&method=GET", "from=2026-01-01T00:00:00Z&to=2026-01-02T00:00:00+02:00", "connection=00000000000000ff",
		"cursor=" + encodeCursor(&pulsestore.Cursor{Time: now, SpanID: [8]byte{1}}, q), "status_min=200&status_max=299", "path=%ff", "a=b;c", "limit=1&limit=2",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		values, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		q, err := requestQuery(values, "demo", now)
		if err != nil {
			var p *problem
			require.ErrorAs(t, err, &p)
			require.Equal(t, http.StatusBadRequest, p.Status)
			return
		}
		require.Equal(t, "demo", q.Environment)
		require.True(t, q.Limit >= 1 && q.Limit <= maxLimit)
		require.True(t, q.From.Before(q.To))
		require.LessOrEqual(t, q.StatusMax, uint16(999))
		if q.After != nil {
			again, err := decodeCursor(encodeCursor(q.After, q), q)
			require.NoError(t, err)
			require.Equal(t, q.After, again)
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
	objects := map[string]pulsestore.PayloadObject{testKey: {State: "sent"}}
	b.ReportAllocs()
	for b.Loop() {
		_ = requestView(&row, objects, now)
	}
}
