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
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// TestEraseRows: what an order concerns goes from every table that has it, and nothing else does.
func TestEraseRows(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	rows := pulsestore.NewRows()
	all := make([]pulsestore.Request, 8)
	for n := range all {
		all[n] = request(n)
		all[n].TraceID[0] = 7
		if n == 7 { // the same ids in another environment
			all[n] = all[1]
			all[n].Environment = "staging"
		}
	}
	part := all[1]
	part.Part, part.ParentSpanID, part.SpanID = 1, all[1].SpanID, [8]byte{0xaa}
	for _, r := range append(all, part) {
		rows.AddRequest(&r)
		rows.AddPayloadEntry(&pulsestore.PayloadEntry{Time: r.Time, TraceID: r.TraceID, SpanID: r.SpanID, Environment: r.Environment, ConnectionID: r.ConnectionID, Key: r.PayloadObject, Length: 1})
		rows.AddFinding(&pulsestore.Finding{Origin: r.Origin, Time: r.Time, TraceID: r.TraceID, SpanID: r.SpanID, Kind: "card", Count: 1})
	}
	for _, id := range []uint64{all[2].ConnectionID, all[5].ConnectionID} {
		c := connection(5, 1)
		c.ConnectionID = id
		rows.AddConnection(&c)
	}
	require.NoError(t, s.Insert(ctx, rows))
	production := pulsestore.OnlyEnvironment("production")
	erase := func(o pulsestore.EraseOrder) (map[string]uint64, int) {
		doomed, err := s.Doomed(ctx, o)
		require.NoError(t, err)
		would, err := s.EraseRows(ctx, o, doomed, true)
		require.NoError(t, err)
		counts, err := s.EraseRows(ctx, o, doomed, false)
		require.NoError(t, err)
		assert.Equal(t, would, counts, "what was said beforehand")
		spans := map[[8]byte]bool{}
		for _, d := range doomed {
			spans[d.Span] = true
		}
		again, err := s.Doomed(ctx, o)
		require.NoError(t, err)
		assert.Empty(t, again)
		return counts, len(spans)
	}
	left := func() (n int) {
		out, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: pulsestore.Selection{Scope: pulsestore.EveryEnvironment()}, Limit: 100})
		require.NoError(t, err)
		return len(out)
	}
	require.Equal(t, 8, left())

	counts, n := erase(pulsestore.EraseOrder{Scope: production, Trace: all[1].TraceID, Span: all[1].SpanID})
	assert.Equal(t, 2, n, "the exchange and its part")
	assert.EqualValues(t, 2, counts["requests"])
	assert.EqualValues(t, 2, counts["payload_entries"])
	assert.EqualValues(t, 2, counts["findings"])
	assert.Equal(t, 7, left(), "not the neighbour, nor the same ids in another environment")

	counts, n = erase(pulsestore.EraseOrder{Scope: production, Connection: all[2].ConnectionID})
	assert.Equal(t, 1, n)
	assert.EqualValues(t, 1, counts["connections"])
	assert.EqualValues(t, 1, counts["findings"])
	assert.Equal(t, 6, left())
	c, err := s.Connection(ctx, production, all[2].ConnectionID)
	require.NoError(t, err)
	assert.Nil(t, c)

	counts, n = erase(pulsestore.EraseOrder{Scope: production, Trace: all[4].TraceID})
	assert.Equal(t, 1, n, "every span of a trace")
	assert.EqualValues(t, 1, counts["requests"])

	counts, _ = erase(pulsestore.EraseOrder{Scope: production, From: all[0].Time, To: all[3].Time.Add(time.Nanosecond)})
	assert.EqualValues(t, 2, counts["requests"], "0 and 3")
	assert.Equal(t, 3, left())

	_, err = s.Doomed(ctx, pulsestore.EraseOrder{Scope: production})
	require.Error(t, err, "an order that selects nothing must not select everything")
	_, err = s.Doomed(ctx, pulsestore.EraseOrder{Scope: production, To: time.Now()})
	require.Error(t, err)
	_, err = s.Doomed(ctx, pulsestore.EraseOrder{Trace: all[1].TraceID})
	require.ErrorContains(t, err, "without a scope")
	e, err := filter.Parse("service=shop", pulsestore.FieldsOf(pulsestore.OfRequests))
	require.NoError(t, err)
	_, err = s.Doomed(ctx, pulsestore.EraseOrder{Scope: production.Where(e), Trace: all[1].TraceID})
	require.ErrorIs(t, err, pulsestore.ErrScope)
}

// TestEraseTime: all of a time goes, also what is of no exchange that is stored, and what of an exchange is of another time; no more than was said.
func TestEraseTime(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	rows := pulsestore.NewRows()
	const n = pulsestore.MaxErase + 1
	at := func(i int) time.Time { return base.Add(time.Duration(i) * time.Millisecond) }
	for i := range n {
		r := request(i)
		rows.AddRequest(&r)
		for range 1 + i%2 { // some are in two places
			rows.AddPayloadEntry(&pulsestore.PayloadEntry{Time: r.Time, TraceID: r.TraceID, SpanID: r.SpanID, Environment: r.Environment, Key: fmt.Sprint(i), Length: 1})
		}
		if i < 3000 {
			rows.AddFinding(&pulsestore.Finding{Origin: r.Origin, Time: r.Time.Add(-time.Hour), TraceID: r.TraceID, SpanID: r.SpanID, Kind: "card", Count: 1})
		}
	}
	for i := range 7 {
		orphan := request(n + i)
		rows.AddFinding(&pulsestore.Finding{Origin: orphan.Origin, Time: at(i), TraceID: orphan.TraceID, SpanID: orphan.SpanID, Kind: "card", Count: 1})
	}
	require.NoError(t, s.Insert(ctx, rows))
	production := pulsestore.OnlyEnvironment("production")
	_, err := s.Doomed(ctx, pulsestore.EraseOrder{Scope: production, From: at(0), To: at(n)})
	require.ErrorIs(t, err, pulsestore.ErrManyErase)
	_, err = s.Doomed(ctx, pulsestore.EraseOrder{Scope: production, From: at(0), To: at(n - 1)})
	require.NoError(t, err, "as many exchanges as one order may concern, each with a request and places of payloads")

	o := pulsestore.EraseOrder{Scope: production, From: at(0), To: at(2500)}
	doomed, err := s.Doomed(ctx, o)
	require.NoError(t, err)
	would, err := s.EraseRows(ctx, o, doomed, true)
	require.NoError(t, err)
	assert.EqualValues(t, 2500, would["requests"])
	assert.EqualValues(t, 2500+7, would["findings"], "those of the exchanges, and of the time")
	counts, err := s.EraseRows(ctx, o, doomed, false)
	require.NoError(t, err)
	assert.Equal(t, would, counts)
	groups, err := s.Findings(ctx, pulsestore.FindingQuery{Selection: all("production", base.Add(-2*time.Hour), at(n)), Limit: 100})
	require.NoError(t, err)
	require.Len(t, groups, 1)
	assert.EqualValues(t, 500, groups[0].Count)
}

// TestExpiringObjects: what is in the bucket, by class, and what of it will be gone.
func TestExpiringObjects(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	now := time.Now().UTC().Truncate(time.Second)
	put := func(key, class, state string, size uint64, expires time.Time) pulsestore.PayloadObject {
		return pulsestore.PayloadObject{Time: now, Key: key, Environment: "production", State: state, Opened: now, Size: size, Expires: expires, RetentionClass: class}
	}
	require.NoError(t, s.PutObjects(ctx,
		put("a", "short", "sent", 0, time.Time{}), put("b", "short", "stored", 10, now.Add(time.Hour)), put("c", "short", "stored", 20, now.Add(3*time.Hour)),
		put("d", "short", "stored", 1, now.Add(-time.Hour)), put("e", "default", "stored", 5, time.Time{}), put("f", "default", "erased", 0, time.Time{})))
	got, err := s.ExpiringObjects(ctx, now.Add(2*time.Hour), pulsestore.OnlyEnvironment("production"))
	require.NoError(t, err)
	require.Equal(t, []pulsestore.ObjectExpiry{
		{Environment: "production", Class: "default", Objects: 1, Bytes: 5, Unknown: 1},
		{Environment: "production", Class: "short", Objects: 2, Bytes: 30, Expiring: 1, ExpiringBytes: 10, Next: now.Add(time.Hour)},
	}, got)
	got, err = s.ExpiringObjects(ctx, now, pulsestore.OnlyEnvironment("staging"))
	require.NoError(t, err)
	require.Empty(t, got)
}
