// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulsestore_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// TestConnectionSums holds what the sums of connections answer against the rows, which answer for short ranges: connections that were
// there before the sums, that are closed in a later push, in a push that comes twice, and that are open still.
func TestConnectionSums(t *testing.T) {
	opts := engine(t)
	s := openStore(t, opts)
	ctx := context.Background()
	from := base.Truncate(time.Hour).Add(-24 * time.Hour)
	const n = 600 // one in half a minute: five hours
	push := func(first, last int, state string) *pulsestore.Rows {
		rows := pulsestore.NewRows()
		for i := first; i < last; i++ {
			if state == "closed" && i%10 == 9 {
				continue
			}
			c := connection(uint64(i)+1, 0)
			c.Start = from.Add(time.Duration(i) * 30 * time.Second)
			c.State, c.CloseReason, c.Time = state, "", c.Start
			c.ServerAddress, c.Visibility = fmt.Sprintf("s%d.example", i%3), []string{"visible", "not_visible"}[i%2]
			if i%7 == 0 {
				c.ServerAddress, c.PeerAddress = "", netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 4)})
			}
			if i%11 == 0 {
				c.Role, c.LocalPort = "server", 8443
			}
			if i%5 == 0 {
				c.TLSVersion = "1.0"
			}
			if state == "closed" {
				c.Sequence, c.Time, c.SentBytes, c.ReceivedBytes, c.CloseReason = 5, c.Start.Add(time.Minute), 100+uint64(i), 1000, "reset"
			}
			rows.AddConnection(&c)
		}
		return rows
	}
	require.NoError(t, s.MigrateTo(ctx, keep(0), 11))
	require.NoError(t, s.Insert(ctx, push(0, 300, "open")))
	require.NoError(t, s.Insert(ctx, push(0, 150, "closed")))
	require.NoError(t, s.Migrate(ctx, keep(0)))
	require.NoError(t, s.Insert(ctx, push(150, 300, "closed")))
	require.NoError(t, s.Insert(ctx, push(300, n, "open")))
	require.NoError(t, s.Insert(ctx, push(300, n, "closed")))
	require.NoError(t, s.Insert(ctx, push(300, n, "closed")), "a retry")

	type figures struct{ histogram, talkers, edges, findings, processes, facets map[string]uint64 }
	ask := func(got figures, sel pulsestore.Selection) {
		hist, err := s.Histogram(ctx, pulsestore.TimeQuery{Selection: sel, Of: pulsestore.OfConnections, Step: 30 * time.Minute})
		require.NoError(t, err)
		for _, b := range hist {
			for class, count := range b.Counts {
				got.histogram[b.Time.String()+class] += count
			}
		}
		talkers, err := s.Talkers(ctx, sel, "server", 100)
		require.NoError(t, err)
		for _, v := range talkers {
			got.talkers[v.Value] += v.Connections*1e12 + v.SentBytes + v.ReceivedBytes
		}
		edges, err := s.Edges(ctx, sel, 100)
		require.NoError(t, err)
		for _, e := range edges {
			got.edges[fmt.Sprint(e.Kind, e.Service, e.Peer, e.Named)] += e.Connections*1e12 + e.Bytes
		}
		findings, err := s.TLSFindings(ctx, pulsestore.TLSQuery{Selection: sel, Limit: 100})
		require.NoError(t, err)
		for _, f := range findings {
			got.findings[fmt.Sprint(f.Finding, f.Role, f.ServerAddress, f.PeerPort)] += f.Connections*1e12 + f.Bytes
			assert.True(t, f.Peer.IsValid())
		}
		processes, err := s.Processes(ctx, sel, 100)
		require.NoError(t, err)
		for _, p := range processes {
			got.processes[p.ServiceName] += p.Connections*1e12 + p.NotVisible*1e9 + p.SentBytes + p.ReceivedBytes
		}
		facets, err := s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfConnections, Fields: []string{"role"}, Limit: 10})
		require.NoError(t, err)
		for _, v := range facets[0].Values {
			got.facets[v.Value] += v.Count
		}
	}
	fresh := func() figures {
		return figures{map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}, map[string]uint64{}}
	}
	for _, filter := range []string{"", "-server:s1.example", "visibility:not_visible"} {
		want, got := fresh(), fresh()
		sel := all("production", from, from.Add(5*time.Hour))
		sel.Filter = parse(t, pulsestore.OfConnections, filter)
		for at := sel.From; at.Before(sel.To); at = at.Add(30 * time.Minute) {
			part := sel
			part.From, part.To = at, at.Add(30*time.Minute)
			ask(want, part)
		}
		require.NotEmpty(t, want.histogram)
		ask(got, sel)
		assert.Equal(t, want, got, filter)
	}
}

// TestClosedOnce: the index on the state leaves out the newest record of a connection, which says that it is closed, but not so that its
// older one counts as an open connection, whatever a profile of the server says.
func TestClosedOnce(t *testing.T) {
	opts := engine(t)
	profile := *opts
	profile.Settings = clickhouse.Settings{"use_skip_indexes_if_final": 1, "use_skip_indexes_if_final_exact_mode": 0}
	for name, value := range opts.Settings {
		profile.Settings[name] = value
	}
	s := openStore(t, &profile)
	ctx := context.Background()
	require.NoError(t, s.Migrate(ctx, keep(0)))
	require.NoError(t, dial(t, opts).Exec(ctx, "SYSTEM STOP MERGES qpoint.connections"))
	for sequence, state := range []string{"open", "closed"} {
		rows := pulsestore.NewRows()
		for i := range uint64(100) {
			c := connection(i+1, uint32(sequence))
			c.State = state
			rows.AddConnection(&c)
		}
		require.NoError(t, s.Insert(ctx, rows))
	}
	talkers, err := s.Talkers(ctx, all("production", base.Add(-3*time.Hour), base.Add(time.Hour)), "service", 10)
	require.NoError(t, err)
	require.Len(t, talkers, 1)
	assert.EqualValues(t, 100, talkers[0].Connections)
}
