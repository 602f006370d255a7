// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulsestore_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

func parse(t testing.TB, of, text string) *filter.Expr {
	t.Helper()
	e, err := filter.Parse(text, pulsestore.FieldsOf(of))
	require.NoError(t, err)
	return e
}

// TestQuestions asks everything that a dashboard asks of a small world whose figures are known.
func TestQuestions(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	start := base.Truncate(time.Minute)
	sel := all("production", start, start.Add(2*time.Minute))
	rows := pulsestore.NewRows()
	for n := range 120 { // one a second: two minutes
		r := request(n)
		r.Time = start.Add(time.Duration(n) * time.Second)
		r.Status, r.ErrorType, r.Duration = 200, "", time.Duration(n+1)*time.Millisecond
		r.ServerAddress, r.Template, r.RequestBodySize, r.ResponseBodySize = "a.example", "/x", 1, 10
		switch {
		case n%10 == 0:
			r.Status, r.ErrorType = 503, "503"
		case n == 1:
			r.Status = 0
		}
		if n >= 60 {
			r.ServerAddress, r.ServiceName, r.Template = "new.example", "cart", "/y"
		}
		if n%2 == 1 {
			r.Kind = "server"
		}
		rows.AddRequest(&r)
	}
	other := request(500)
	other.Time, other.Environment, other.ServerAddress = start, "staging", "secret.example"
	rows.AddRequest(&other)
	for n := range 12 {
		c := connection(uint64(n+1), 0)
		c.Start, c.Time = start.Add(time.Duration(n)*time.Second), start.Add(time.Duration(n)*time.Second)
		c.ServerAddress = "a.example"
		switch n {
		case 0:
			c.TLSVersion = "1.0"
		case 1:
			c.TLSVersion = ""
		case 2:
			c.ServerAddress, c.PeerAddress = "", netip.MustParseAddr("192.0.2.7")
		case 4, 5, 6:
			c.TLSServerSubject, c.TLSServerNotAfter = "CN=a.example", sel.To.Add(time.Duration(n-5)*20*24*time.Hour-time.Hour).Truncate(time.Second)
			if n == 5 {
				c.TLSServerNotAfter = sel.To.Add(31 * 24 * time.Hour)
			}
		case 3:
			c.Role, c.ServerAddress, c.LocalPort, c.Visibility, c.Reason = "server", "", 8443, "not_visible", "no_secret"
		}
		rows.AddConnection(&c)
		c.Sequence, c.Time, c.SentBytes, c.ReceivedBytes = 3, c.Time.Add(time.Minute), 100, 1000
		rows.AddConnection(&c)
	}
	foreign := connection(99, 0)
	foreign.Environment = "staging"
	rows.AddConnection(&foreign)
	require.NoError(t, s.Insert(ctx, rows))
	minutes := pulsestore.TimeQuery{Selection: sel, Of: pulsestore.OfRequests, Step: time.Minute}

	t.Run("histogram", func(t *testing.T) {
		got, err := s.Histogram(ctx, minutes)
		require.NoError(t, err)
		assert.Equal(t, []pulsestore.Bucket{
			{Time: start, Counts: map[string]uint64{"2xx": 53, "5xx": 6, "none": 1}},
			{Time: start.Add(time.Minute), Counts: map[string]uint64{"2xx": 54, "5xx": 6}},
		}, got)
		q := minutes
		q.Of = pulsestore.OfConnections
		got, err = s.Histogram(ctx, q)
		require.NoError(t, err)
		assert.Equal(t, []pulsestore.Bucket{{Time: start, Counts: map[string]uint64{"visible": 11, "not_visible": 1}}}, got, "one per connection, not per record")
		for _, step := range []time.Duration{0, time.Millisecond, 1500 * time.Millisecond, time.Second / 2} {
			q.Step = step
			_, err = s.Histogram(ctx, q)
			assert.Error(t, err, "%s", step)
		}
		q.Step, q.To = time.Second, q.From.Add(time.Hour)
		_, err = s.Histogram(ctx, q)
		assert.Error(t, err, "more buckets than a question may have")
	})
	t.Run("latency", func(t *testing.T) {
		got, err := s.Latency(ctx, minutes)
		require.NoError(t, err)
		require.Len(t, got, 2)
		assert.EqualValues(t, 60, got[0].Requests)
		assert.EqualValues(t, 6, got[0].Errors)
		assert.InDelta(t, 30*time.Millisecond, got[0].P50, float64(3*time.Millisecond))
		assert.InDelta(t, 59*time.Millisecond, got[0].P99, float64(3*time.Millisecond))
		assert.InDelta(t, 90*time.Millisecond, got[1].P50, float64(3*time.Millisecond))
	})
	t.Run("heat map", func(t *testing.T) {
		got, err := s.HeatMap(ctx, minutes)
		require.NoError(t, err)
		total := uint64(0)
		for _, c := range got {
			total += c.Requests
			assert.Less(t, c.Low, c.High)
			assert.LessOrEqual(t, c.Low, 120*time.Millisecond)
		}
		assert.EqualValues(t, 120, total)
	})
	t.Run("facets", func(t *testing.T) {
		got, err := s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfRequests, Fields: []string{"server", "status", "peer"}, Limit: 10})
		require.NoError(t, err)
		assert.Equal(t, []pulsestore.Facet{
			{Field: "server", Values: []pulsestore.ValueCount{{Value: "a.example", Count: 60}, {Value: "new.example", Count: 60}}},
			{Field: "status", Values: []pulsestore.ValueCount{{Value: "200", Count: 107}, {Value: "503", Count: 12}, {Value: "0", Count: 1}}},
			{Field: "peer", Values: []pulsestore.ValueCount{{Value: "2001:db8::1", Count: 120}}},
		}, got)
		got, err = s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfConnections, Fields: []string{"peer"}, Prefix: "192.", Limit: 10})
		require.NoError(t, err)
		assert.Equal(t, []pulsestore.Facet{{Field: "peer", Values: []pulsestore.ValueCount{{Value: "192.0.2.7", Count: 1}}}}, got)
		got, err = s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfRequests, Fields: []string{"server"}, Prefix: "new", Limit: 1})
		require.NoError(t, err)
		assert.Equal(t, []pulsestore.ValueCount{{Value: "new.example", Count: 60}}, got[0].Values)
		_, err = s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfRequests, Fields: []string{"path"}, Limit: 10})
		assert.Error(t, err)
	})
	t.Run("endpoints", func(t *testing.T) {
		got, err := s.Endpoints(ctx, pulsestore.EndpointQuery{Selection: all("production", start.Add(90*time.Second), start.Add(10*time.Minute)), Limit: 10})
		require.NoError(t, err)
		require.Len(t, got, 1)
		assert.Equal(t, "new.example", got[0].ServerAddress)
		assert.EqualValues(t, 30, got[0].Requests, "figures are of the range")
		assert.EqualValues(t, 3, got[0].Errors)
		assert.EqualValues(t, 300, got[0].ResponseBytes)
		assert.EqualValues(t, 1, got[0].Services)
		assert.True(t, got[0].FirstSeen.Before(start.Add(90*time.Second)), "the first time it was seen is before the range")
		got, err = s.Endpoints(ctx, pulsestore.EndpointQuery{Selection: sel, NewSince: start.Add(time.Minute), ByTemplate: true, Limit: 10})
		require.NoError(t, err)
		require.Len(t, got, 1, "a.example was there before")
		assert.Equal(t, "/y", got[0].Template)
		assert.EqualValues(t, 60, got[0].Requests)
		got, err = s.Endpoints(ctx, pulsestore.EndpointQuery{Selection: sel, NewSince: start.Add(-time.Minute), Limit: 10})
		require.NoError(t, err)
		assert.Len(t, got, 2)
	})
	t.Run("rollups", func(t *testing.T) {
		// Over minutes and over hours the sums are asked, and answer the same as the rows.
		for _, around := range []time.Duration{30 * time.Minute, 10 * time.Hour} {
			for text, want := range map[string][]uint64{ // requests, errors; rows have to answer the last two
				"": {120, 12}, "status:5xx": {12, 12}, "server:new.*": {60, 6}, "kind:client service:(shop OR cart)": {60, 12}, "status:503": {12, 12}, "new.example": {60, 6},
			} {
				sel := all("production", start.Add(-around).Truncate(time.Hour), start.Add(around).Truncate(time.Hour).Add(time.Hour))
				sel.Filter = parse(t, pulsestore.OfRequests, text)
				for _, step := range []time.Duration{time.Minute, time.Hour} {
					if sel.To.Sub(sel.From)/step > 1000 {
						continue
					}
					q := pulsestore.TimeQuery{Selection: sel, Of: pulsestore.OfRequests, Step: step}
					latency, err := s.Latency(ctx, q)
					require.NoError(t, err)
					heat, err := s.HeatMap(ctx, q)
					require.NoError(t, err)
					hist, err := s.Histogram(ctx, q)
					require.NoError(t, err)
					var got [4]uint64
					for _, b := range latency {
						got[0] += b.Requests
						got[1] += b.Errors
						assert.Greater(t, b.P99, b.P50)
					}
					for _, c := range heat {
						got[2] += c.Requests
						assert.Less(t, c.Low, c.High)
					}
					for _, b := range hist {
						for _, n := range b.Counts {
							got[3] += n
						}
					}
					assert.Equal(t, [4]uint64{want[0], want[1], want[0], want[0]}, got, "%q by %s", text, step)
				}
				endpoints, err := s.Endpoints(ctx, pulsestore.EndpointQuery{Selection: sel, Limit: 10})
				require.NoError(t, err)
				var requests, errors uint64
				for _, e := range endpoints {
					if text == "" && e.ServerAddress == "a.example" { // 1 to 60 ms, within half an octave
						assert.InDelta(t, 30*time.Millisecond, e.P50, float64(5*time.Millisecond))
						assert.InDelta(t, 59*time.Millisecond, e.P99, float64(9*time.Millisecond))
					}
					requests += e.Requests
					errors += e.Errors
				}
				assert.Equal(t, want, []uint64{requests, errors}, text)
				facets, err := s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfRequests, Fields: []string{"environment", "status"}, Limit: 10})
				require.NoError(t, err)
				assert.Equal(t, []pulsestore.ValueCount{{Value: "production", Count: want[0]}}, facets[0].Values)
				assert.NotEmpty(t, facets[1].Values, "single statuses are counted in the rows")
			}
		}
	})
	t.Run("every field", func(t *testing.T) {
		// Whatever table answers, it has the column of each field.
		for _, of := range []string{pulsestore.OfRequests, pulsestore.OfConnections} {
			for _, f := range pulsestore.FieldsOf(of).All() {
				for _, around := range []time.Duration{time.Minute, 30 * time.Minute, 10 * time.Hour} {
					sel := all("production", start.Add(-around), start.Add(around))
					sel.Filter = parse(t, of, f.Name+":*")
					_, err := s.Histogram(ctx, pulsestore.TimeQuery{Selection: sel, Of: of, Step: time.Hour})
					assert.NoError(t, err, "%s of %s", f.Name, of)
					if f.Facet {
						_, err = s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: of, Fields: []string{f.Name}, Limit: 1})
						assert.NoError(t, err, "%s of %s", f.Name, of)
					}
				}
			}
		}
	})
	t.Run("processes", func(t *testing.T) {
		got, err := s.Processes(ctx, sel, 10)
		require.NoError(t, err)
		require.Len(t, got, 2)
		shop := got[0]
		assert.Equal(t, "shop", shop.ServiceName)
		assert.Equal(t, []uint64{30, 30, 6, 12, 1, 1200, 12000}, []uint64{shop.ClientRequests, shop.ServerRequests, shop.Errors, shop.Connections, shop.NotVisible, shop.SentBytes, shop.ReceivedBytes})
		assert.Equal(t, "cart", got[1].ServiceName)
		sel := sel
		sel.Filter = parse(t, pulsestore.OfRequests, "method:GET service:cart")
		got, err = s.Processes(ctx, sel, 10)
		require.NoError(t, err)
		assert.Len(t, got, 1, "connections have no method")
	})
	t.Run("new processes", func(t *testing.T) {
		all, err := s.Processes(ctx, sel, 10)
		require.NoError(t, err)
		got, err := s.NewProcesses(ctx, sel, sel.From, 10)
		require.NoError(t, err)
		assert.Equal(t, all, got, "nobody was there before the range")
		got, err = s.NewProcesses(ctx, sel, all[1].FirstSeen, 10)
		require.NoError(t, err)
		for _, p := range got {
			assert.False(t, p.FirstSeen.Before(all[1].FirstSeen), "%v", p)
		}
		got, err = s.NewProcesses(ctx, sel, sel.To, 10)
		require.NoError(t, err)
		assert.Empty(t, got, "all were there before the end")
		long := sel
		long.From, long.To = sel.To.Add(-24*time.Hour), sel.To.Add(time.Hour).Truncate(time.Hour)
		got, err = s.NewProcesses(ctx, long, sel.From, 10)
		require.NoError(t, err)
		assert.Len(t, got, len(all), "by sums of hours, which begin before it")
		_, err = s.NewProcesses(ctx, sel, sel.From, 0)
		assert.Error(t, err)
	})
	t.Run("edges", func(t *testing.T) {
		got, err := s.Edges(ctx, sel, 100)
		require.NoError(t, err)
		require.NotEmpty(t, got)
		by := map[string]pulsestore.Edge{}
		for _, e := range got {
			by[fmt.Sprint(e.Kind, " ", e.Service, " ", e.Peer, " ", e.Named)] = e
		}
		assert.EqualValues(t, 30, by["client shop a.example true"].Requests)
		assert.EqualValues(t, 10, by["client shop a.example true"].Connections, "both kinds of rows make one edge")
		assert.EqualValues(t, 11000, by["client shop a.example true"].Bytes)
		assert.EqualValues(t, 1, by["client shop 192.0.2.7 false"].Connections)
		assert.EqualValues(t, 1, by["server shop 2001:db8::1 false"].Connections)
		assert.EqualValues(t, 30, by["server cart new.example true"].Requests)
	})
	t.Run("talkers", func(t *testing.T) {
		got, err := s.Talkers(ctx, sel, "server", 10)
		require.NoError(t, err)
		require.Len(t, got, 2)
		assert.Equal(t, pulsestore.Talker{Value: "a.example", Connections: 10, SentBytes: 1000, ReceivedBytes: 10000, LastSeen: got[0].LastSeen}, got[0])
		_, err = s.Talkers(ctx, sel, "rtt", 10)
		assert.Error(t, err)
		peers, err := s.Peers(ctx, sel)
		require.NoError(t, err)
		require.Len(t, peers, 2)
		assert.Equal(t, pulsestore.Peer{Address: netip.MustParseAddr("2001:db8::1"), Connections: 11, SentBytes: 1100, ReceivedBytes: 11000}, peers[0])
	})
	t.Run("findings", func(t *testing.T) {
		got, err := s.TLSFindings(ctx, pulsestore.TLSQuery{Selection: sel, ExpiresWithin: 30 * 24 * time.Hour, Limit: 10})
		require.NoError(t, err)
		kinds := map[string]uint64{}
		for _, f := range got {
			kinds[f.Finding] += f.Connections
		}
		assert.Equal(t, map[string]uint64{pulsestore.FindingOldVersion: 1, pulsestore.FindingPlaintext: 1, pulsestore.FindingDirectIP: 1,
			pulsestore.FindingExpired: 1, pulsestore.FindingExpiring: 1}, kinds)
	})
	t.Run("connection pages", func(t *testing.T) {
		q := pulsestore.ConnectionQuery{Selection: sel, Limit: 5}
		seen := map[uint64]bool{}
		for {
			page, next, err := s.Connections(ctx, q)
			require.NoError(t, err)
			for _, c := range page {
				assert.False(t, seen[c.ConnectionID])
				assert.EqualValues(t, 3, c.Sequence, "the newest record")
				seen[c.ConnectionID] = true
			}
			if next == nil {
				break
			}
			q.After = next
		}
		assert.Len(t, seen, 12)
		q = pulsestore.ConnectionQuery{Selection: sel, Limit: 10}
		q.Filter = parse(t, pulsestore.OfConnections, "sent:1")
		page, _, err := s.Connections(ctx, q)
		require.NoError(t, err)
		assert.Empty(t, page, "an old record of a connection is none of it now")
	})
	t.Run("scope", func(t *testing.T) { scopes(t, s, start) })
}

// scopes asks every question within scopes that must see nothing of the other environment, nor of another service.
func scopes(t *testing.T, s *pulsestore.Store, start time.Time) {
	ctx := context.Background()
	from, to := start.Add(-time.Hour), start.Add(time.Hour)
	ask := func(scope pulsestore.Scope) map[string]error {
		sel := pulsestore.Selection{Scope: scope, From: from, To: to}
		minutes := pulsestore.TimeQuery{Selection: sel, Of: pulsestore.OfRequests, Step: time.Minute}
		connections := minutes
		connections.Of = pulsestore.OfConnections
		got := map[string]error{}
		see := func(name string, rows any, err error) {
			got[name] = err
			if err == nil {
				assert.NotContains(t, fmt.Sprintf("%+v", rows), "production", name)
				assert.NotContains(t, fmt.Sprintf("%+v", rows), "a.example", name)
				assert.NotContains(t, fmt.Sprintf("%+v", rows), "new.example", name)
			}
		}
		requests, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: sel, Limit: 1000})
		see("requests", requests, err)
		conns, _, err := s.Connections(ctx, pulsestore.ConnectionQuery{Selection: sel, Limit: 1000})
		see("connections", conns, err)
		hidden := request(3)
		one, err := s.Request(ctx, scope, hidden.TraceID, hidden.SpanID)
		assert.Nil(t, one)
		see("request", nil, err)
		c, err := s.Connection(ctx, scope, 1)
		assert.Nil(t, c)
		see("connection", nil, err)
		hist, err := s.Histogram(ctx, minutes)
		see("histogram", hist, err)
		if err == nil {
			n := uint64(0)
			for _, b := range hist {
				for _, c := range b.Counts {
					n += c
				}
			}
			assert.LessOrEqual(t, n, uint64(1), "the one row of staging")
		}
		hist, err = s.Histogram(ctx, connections)
		see("histogram of connections", hist, err)
		latency, err := s.Latency(ctx, minutes)
		see("latency", latency, err)
		heat, err := s.HeatMap(ctx, minutes)
		see("heat map", heat, err)
		facets, err := s.Facets(ctx, pulsestore.FacetQuery{Selection: sel, Of: pulsestore.OfRequests, Fields: []string{"environment", "server"}, Limit: 100})
		see("facets", facets, err)
		endpoints, err := s.Endpoints(ctx, pulsestore.EndpointQuery{Selection: sel, Limit: 100})
		see("endpoints", endpoints, err)
		processes, err := s.Processes(ctx, sel, 100)
		see("processes", processes, err)
		edges, err := s.Edges(ctx, sel, 100)
		see("edges", edges, err)
		talkers, err := s.Talkers(ctx, sel, "environment", 100)
		see("talkers", talkers, err)
		found, err := s.TLSFindings(ctx, pulsestore.TLSQuery{Selection: sel, Limit: 100})
		see("findings", found, err)
		peers, err := s.Peers(ctx, sel)
		see("peers", peers, err)
		assert.LessOrEqual(t, len(peers), 1)
		coverage, err := s.Coverage(ctx, pulsestore.CoverageQuery{Selection: sel, Limit: 100})
		see("coverage", coverage, err)
		places, err := s.Findings(ctx, pulsestore.FindingQuery{Selection: sel, Limit: 100})
		see("places of findings", places, err)
		objects, err := s.PayloadObjects(ctx, scope, []string{"k"})
		see("objects", objects, err)
		programs, err := s.NewProcesses(ctx, sel, from, 100)
		see("new processes", programs, err)
		stored, err := s.Stored(ctx, scope)
		see("stored", stored, err)
		expiring, err := s.ExpiringObjects(ctx, to, scope)
		see("expiring objects", expiring, err)
		// From two hours on, sums of connections answer.
		connections.Step = 10 * time.Minute
		connections.From, connections.To = from.Add(-time.Hour), to.Add(time.Hour)
		hist, err = s.Histogram(ctx, connections)
		see("histogram of summed connections", hist, err)
		counted := uint64(0)
		for _, b := range hist {
			for _, c := range b.Counts {
				counted += c
			}
		}
		assert.LessOrEqual(t, counted, uint64(1), "the one connection of staging")
		talkers, err = s.Talkers(ctx, connections.Selection, "environment", 100)
		see("talkers of summed connections", talkers, err)
		return got
	}
	for name, err := range ask(pulsestore.Scope{}) {
		assert.Error(t, err, "%s: the zero scope sees nothing", name)
	}
	for name, err := range ask(pulsestore.OnlyEnvironment("staging")) {
		assert.NoError(t, err, name)
	}
	for name, err := range ask(pulsestore.EveryEnvironment().Where(parse(t, pulsestore.OfRequests, "env:staging"))) {
		assert.NoError(t, err, name)
	}
	ofConnections := []string{"connections", "connection", "histogram of connections", "histogram of summed connections", "talkers of summed connections", "processes",
		"new processes", "edges", "talkers", "findings", "peers"}
	environmentOnly := []string{"stored", "expiring objects"}
	for text, refused := range map[string][]string{
		"template:/none":                append([]string{"places of findings", "coverage"}, ofConnections...),
		"service:none host:none":        nil,
		"-service:* -host:*":            nil,
		"-kind:server method:NONE":      append([]string{"places of findings", "coverage"}, ofConnections...),
		"none":                          append([]string{"places of findings", "coverage"}, ofConnections...),
		"peer:192.0.2.99":               {"places of findings", "coverage"},
		"server:none":                   {"coverage"},
		"-(server:* OR -env:none)":      append([]string{"coverage"}, ofConnections...),
		"server!=a.example method:NONE": append([]string{"places of findings", "coverage"}, ofConnections...),
	} {
		bound := ask(pulsestore.OnlyEnvironment("production").Where(parse(t, pulsestore.OfRequests, text)))
		for _, name := range []string{"requests", "request", "histogram", "heat map", "latency"} {
			assert.NoError(t, bound[name], "%s within %s", name, text)
		}
		for _, name := range append(refused, environmentOnly...) {
			assert.ErrorIs(t, bound[name], pulsestore.ErrScope, "%s within %s: what cannot be bound is not seen", name, text)
		}
		for name, err := range bound {
			if !slices.Contains(append(refused, environmentOnly...), name) {
				assert.NoError(t, err, "%s within %s", name, text)
			}
		}
	}
	// Keys that mean something else there, each with rows that a bound of that meaning would show.
	for text, refused := range map[string][]string{
		"-kind:server": append([]string{"places of findings", "coverage"}, ofConnections...), "kind:client": {"places of findings"},
		"-reason:x": append([]string{"places of findings", "coverage"}, ofConnections...), "bytes:>=0": ofConnections, "dur:>=0s": ofConnections, "-port:1": ofConnections,
		"-version:x": ofConnections, "-tls:x": ofConnections, "-server:x": ofConnections, `server:""`: ofConnections, "server:=*": ofConnections, "-cipher:x": ofConnections, "-x": append([]string{"places of findings", "coverage"}, ofConnections...),
	} {
		sel := pulsestore.Selection{Scope: pulsestore.EveryEnvironment().Where(parse(t, pulsestore.OfRequests, text)), From: from, To: to}
		for _, name := range refused {
			var err error
			switch name {
			case "places of findings":
				_, err = s.Findings(ctx, pulsestore.FindingQuery{Selection: sel, Limit: 100})
			case "coverage":
				_, err = s.Coverage(ctx, pulsestore.CoverageQuery{Selection: sel, Limit: 100})
			case "connections":
				_, _, err = s.Connections(ctx, pulsestore.ConnectionQuery{Selection: sel, Limit: 100})
			case "processes":
				_, err = s.Processes(ctx, sel, 100)
			default:
				continue
			}
			assert.ErrorIs(t, err, pulsestore.ErrScope, "%s within %s", name, text)
		}
	}
	sel := pulsestore.Selection{Scope: pulsestore.EveryEnvironment(), From: from, To: to, Filter: parse(t, pulsestore.OfFindings, "-kind:card")}
	_, err := s.Findings(ctx, pulsestore.FindingQuery{Selection: sel, Limit: 100})
	assert.NoError(t, err, "what a caller asks for is about these rows")
}

// TestOddEndpoints: names that need quoting get their quantiles, by rows and by sums.
func TestOddEndpoints(t *testing.T) {
	s := newStore(t)
	ctx := context.Background()
	rows := pulsestore.NewRows()
	odd := []string{`/it's`, `/back\slash`, "/tab\there", `/"quoted"`, `/\'`, "/new\nline", "/ü,{id}]"}
	for i, template := range odd {
		r := request(i)
		r.Time, r.Template, r.ServerAddress, r.Duration = base, template, `o'dd\`, time.Millisecond
		rows.AddRequest(&r)
	}
	require.NoError(t, s.Insert(ctx, rows))
	for _, around := range []time.Duration{time.Minute, time.Hour, 10 * time.Hour} {
		got, err := s.Endpoints(ctx, pulsestore.EndpointQuery{Selection: all("production", base.Add(-around), base.Add(around)), ByTemplate: true, Limit: 100})
		require.NoError(t, err)
		require.Len(t, got, len(odd))
		for _, e := range got {
			assert.InEpsilon(t, time.Millisecond, e.P50, 0.1, e.Template)
			assert.EqualValues(t, 1, e.Services)
			assert.Equal(t, base, e.FirstSeen)
		}
	}
}
