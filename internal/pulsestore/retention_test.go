// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulsestore_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

const day = 24 * time.Hour

func TestRetentionOf(t *testing.T) {
	r := pulsestore.Retention{TTL: 30 * day, Environments: map[string]time.Duration{"staging": 7 * day, "keep": 0}, Tables: map[string]time.Duration{"dns": day}}
	require.NoError(t, r.Validate())
	for _, c := range []struct {
		table, environment string
		want               time.Duration
	}{
		{"requests", "production", 30 * day}, {"requests", "staging", 7 * day}, {"connections", "keep", 0},
		{"dns", "production", day}, {"dns", "staging", day}, {"dns", "keep", day},
		{"audit", "staging", 400 * day}, {"requests_1h", "production", 400 * day}, {"requests_1m", "staging", 7 * day},
	} {
		assert.Equal(t, c.want, r.Of(c.table, c.environment), "%s of %s", c.table, c.environment)
	}
	assert.Zero(t, pulsestore.Retention{}.Of("audit", ""), "for ever is for ever")
	assert.Equal(t, 500*day, pulsestore.Retention{TTL: 500 * day}.Of("requests_1h", ""))
	assert.ErrorContains(t, pulsestore.Retention{TTL: -1}.Validate(), "`ttl`")
	assert.ErrorContains(t, pulsestore.Retention{Environments: map[string]time.Duration{"a'b": day}}.Validate(), "`environment_ttl`")
	assert.ErrorContains(t, pulsestore.Retention{Tables: map[string]time.Duration{"x": day}}.Validate(), "there is no table \"x\"")
}

// TestExpiring asks what would go, lets it go, and holds the one against the other.
func TestExpiring(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	conn := dial(t, opts)
	ctx := context.Background()
	require.NoError(t, s.Migrate(ctx, keep(0)))
	policy, err := s.Retention(ctx)
	require.NoError(t, err)
	assert.Equal(t, pulsestore.Retention{}, policy)

	now := time.Now().UTC()
	rows := pulsestore.NewRows()
	for i, c := range []struct {
		environment string
		age         time.Duration
	}{
		{"production", time.Hour}, {"production", 20 * day}, {"production", 31 * day}, {"production", 40 * day},
		{"staging", time.Hour}, {"staging", 8 * day}, {"staging", 20 * day}, {"keep", 40 * day},
	} {
		r := request(i)
		r.Environment, r.Time = c.environment, now.Add(-c.age)
		rows.AddRequest(&r)
		rows.AddDNSQuery(&pulsestore.DNSQuery{Origin: r.Origin, Time: r.Time, Name: "n", Type: "A", LocalPort: uint16(i)})
		rows.AddAuditEvent(&pulsestore.AuditEvent{Time: r.Time, ID: [16]byte{byte(i + 1)}, Environment: c.environment, Action: "a"})
	}
	require.NoError(t, s.Insert(ctx, rows))
	policy = pulsestore.Retention{
		TTL: 30 * day, Environments: map[string]time.Duration{"staging": 7 * day, "keep": 0}, Tables: map[string]time.Duration{"dns": day},
	}
	goes := map[[2]string]uint64{}
	expiries, err := s.Expiring(ctx, policy, now, pulsestore.EveryEnvironment())
	require.NoError(t, err)
	for _, e := range expiries {
		if e.Table == "requests" || e.Table == "dns" || e.Table == "audit" {
			goes[[2]string{e.Table, e.Environment}] = e.Rows
			assert.Positive(t, e.Bytes)
			assert.Equal(t, policy.Of(e.Table, e.Environment), e.TTL)
			assert.False(t, e.Oldest.After(e.Newest))
		}
	}
	assert.Equal(t, map[[2]string]uint64{
		{"requests", "production"}: 2, {"requests", "staging"}: 2,
		{"dns", "production"}: 3, {"dns", "staging"}: 2, {"dns", "keep"}: 1,
	}, goes)
	one, err := s.Expiring(ctx, policy, now, pulsestore.OnlyEnvironment("staging"))
	require.NoError(t, err)
	for _, e := range one {
		assert.Equal(t, "staging", e.Environment)
	}
	later, err := s.Expiring(ctx, policy, now.Add(15*day), pulsestore.OnlyEnvironment("production"))
	require.NoError(t, err)
	for _, e := range later {
		if e.Table == "requests" {
			assert.EqualValues(t, 3, e.Rows, "in two weeks")
		}
	}
	has := map[[2]string]uint64{}
	stored, err := s.Stored(ctx, pulsestore.EveryEnvironment())
	require.NoError(t, err)
	for _, v := range stored {
		has[[2]string{v.Table, v.Environment}] = v.Rows
		assert.Positive(t, v.Bytes, v.Table)
		assert.False(t, v.Oldest.After(v.Newest), v.Table)
	}
	for _, table := range []string{"requests", "dns", "audit"} {
		assert.Equal(t, []uint64{4, 3, 1}, []uint64{has[[2]string{table, "production"}], has[[2]string{table, "staging"}], has[[2]string{table, "keep"}]}, table)
	}
	stored, err = s.Stored(ctx, pulsestore.OnlyEnvironment("staging"))
	require.NoError(t, err)
	for _, v := range stored {
		assert.Equal(t, "staging", v.Environment)
	}
	count := func(table, environment string) (n uint64) {
		require.NoError(t, conn.QueryRow(ctx, "SELECT count() FROM qpoint."+table+" WHERE environment = '"+environment+"'").Scan(&n))
		return n
	}
	assert.EqualValues(t, 4, count("requests", "production"), "to ask removes nothing")

	require.NoError(t, s.Migrate(ctx, pulsestore.SchemaOptions{Retention: policy}))
	inForce, err := s.Retention(ctx)
	require.NoError(t, err)
	assert.Equal(t, policy, inForce)
	for _, table := range []string{"requests", "dns", "audit"} {
		require.NoError(t, conn.Exec(ctx, "OPTIMIZE TABLE qpoint."+table+" FINAL"))
		assert.EqualValues(t, 4-goes[[2]string{table, "production"}], count(table, "production"), table)
		assert.EqualValues(t, 3-goes[[2]string{table, "staging"}], count(table, "staging"), table)
		assert.EqualValues(t, 1-goes[[2]string{table, "keep"}], count(table, "keep"), table)
	}
	expiries, err = s.Expiring(ctx, policy, time.Now(), pulsestore.EveryEnvironment())
	require.NoError(t, err)
	for _, e := range expiries {
		assert.NotContains(t, []string{"requests", "dns", "audit"}, e.Table, "it is gone already")
	}

	// The same again changes nothing: no table is rewritten at every start.
	var before, after uint64
	mutations := "SELECT count() FROM system.mutations WHERE database = 'qpoint'"
	require.NoError(t, conn.QueryRow(ctx, mutations).Scan(&before))
	require.NoError(t, s.Migrate(ctx, pulsestore.SchemaOptions{Retention: policy}))
	require.NoError(t, conn.QueryRow(ctx, mutations).Scan(&after))
	assert.Equal(t, before, after)
}

// TestStoredObjects sums what the newest record of each segment says.
func TestStoredObjects(t *testing.T) {
	ctx := context.Background()
	s := newStore(t)
	now := time.Now().Truncate(time.Second).UTC()
	rows := pulsestore.NewRows()
	add := func(key, environment, state string, edit func(*pulsestore.PayloadObject)) {
		o := pulsestore.PayloadObject{Time: now, Key: key, Environment: environment, State: state, Entries: 2, Bytes: 1000, Opened: now.Add(-time.Minute), Closed: now}
		if edit != nil {
			edit(&o)
		}
		rows.AddPayloadObject(&o)
	}
	add("a", "one", "sent", nil)
	add("a", "one", "stored", func(o *pulsestore.PayloadObject) {
		o.Time, o.Size, o.Expires, o.RetentionClass = now.Add(time.Second), 300, now.Add(time.Hour), "short"
	})
	add("b", "one", "stored", func(o *pulsestore.PayloadObject) {
		o.Size, o.Expires, o.RetentionClass = 200, now.Add(time.Minute), "short"
	})
	add("c", "one", "sent", nil)
	add("d", "two", "lost", nil)
	require.NoError(t, s.Insert(ctx, rows))
	got, err := s.StoredObjects(ctx, pulsestore.EveryEnvironment())
	require.NoError(t, err)
	opened := now.Add(-time.Minute)
	assert.Equal(t, []pulsestore.StoredObjects{
		{Environment: "one", State: "sent", Objects: 1, Entries: 2, Bytes: 1000, Oldest: opened, Newest: now},
		{Environment: "one", RetentionClass: "short", State: "stored", Objects: 2, Entries: 4, Bytes: 2000, Size: 500, Sized: 2, Oldest: opened, Newest: now, FirstExpiry: now.Add(time.Minute)},
		{Environment: "two", State: "lost", Objects: 1, Entries: 2, Bytes: 1000, Oldest: opened, Newest: now},
	}, got)
	got, err = s.StoredObjects(ctx, pulsestore.OnlyEnvironment("two"))
	require.NoError(t, err)
	assert.Len(t, got, 1)
	_, err = s.StoredObjects(ctx, pulsestore.Scope{})
	assert.Error(t, err, "no question without a scope")
}
