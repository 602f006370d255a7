// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter/filtertest"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// fillRequests and fillConnections make rows of the last hour in the engine itself, without a wire between.
const fillRequests = `INSERT INTO qpoint.requests (time, trace_id, span_id, kind, environment, service_name, host_name, executable, method, scheme, server_address,
	server_port, peer_address, path, template, status, error_type, duration, request_body_size, response_body_size, connection_id)
SELECT now64(9) - toIntervalMillisecond(number * 3), toFixedString(unhex(leftPad(hex(cityHash64(number, 1)), 32, 'a')), 16), toFixedString(unhex(leftPad(hex(cityHash64(number)), 16, '0')), 8),
	if(number % 2, 'client', 'server'), 'demo', concat('service-', toString(number % 50)),
	concat('host-', toString(number % 20)), '/usr/bin/curl', ['GET', 'POST', 'PUT'][number % 3 + 1], 'https', concat('api-', toString(cityHash64(number) % 500), '.example.com'),
	443, toIPv6(concat('10.0.', toString(number % 256), '.', toString(cityHash64(number) % 256))), concat('/v1/', hex(cityHash64(number, 2)), '/x'), '/v1/{id}/x',
	[200, 200, 200, 404, 500][cityHash64(number, 3) % 5 + 1], if(cityHash64(number, 3) % 5 = 4, '500', ''), cityHash64(number, 4) % 1000000000, number % 1000, number % 100000, number % 100000
FROM numbers(`

const fillConnections = `INSERT INTO qpoint.connections (time, start, connection_id, sequence, state, role, environment, service_name, host_id, host_name, executable, peer_address,
	peer_port, server_address, protocol, tls_version, sent_bytes, received_bytes, visibility)
SELECT now64(9), now64(9) - toIntervalMillisecond(number * 30), number, 1, 'closed', 'client', 'demo', concat('service-', toString(number % 50)), 'h', 'host', '/usr/bin/curl',
	toIPv6(concat('10.0.', toString(number % 256), '.', toString(cityHash64(number) % 256))), 443, concat('api-', toString(number % 500), '.example.com'), 'http', '1.3', number, number * 2, 'visible'
FROM numbers(`

// TestHostile asks 1,000 random questions of a million requests, eight at a time: each has an answer or a named refusal
// within its limit, and the store is there afterwards with all its rows.
func TestHostile(t *testing.T) {
	engine := startClickHouse(t)
	opts := engine.(pulsestore.Engine).ClickHouseOptions()
	store, err := pulsestore.Open(opts, pulsestore.DefaultDatabase)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context(), pulsestore.SchemaOptions{}))
	conn, err := clickhouse.Open(opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	const rows = 1_000_000
	const piece = 50_000 // an insert holds its rows and their sums in memory at once
	for first := 0; first < rows; first += piece {
		require.NoError(t, conn.Exec(t.Context(), fillRequests+fmt.Sprintf("%d, %d)", first, piece)))
	}
	for first := 0; first < rows/10; first += piece {
		require.NoError(t, conn.Exec(t.Context(), fillConnections+fmt.Sprintf("%d, %d)", first, piece)))
	}

	cfg := testConfig(t)
	cfg.RequestsPerSecond = 100_000
	cfg.Queries.Timeout, cfg.Queries.QueueTimeout, cfg.Queries.MaxMemoryMiB = 2*time.Second, testkit.Patience, 256
	s := startOn(t, cfg, nil, host{component.MustNewID("local_clickhouse"): engine})
	cfg = testConfig(t) // what a busy machine does not answer in two seconds is asked again here
	cfg.RequestsPerSecond, cfg.Queries.MaxMemoryMiB = 100_000, 256
	patient := startOn(t, cfg, nil, host{component.MustNewID("local_clickhouse"): engine})

	var mu sync.Mutex
	codes := map[string]int{}
	slowest := time.Duration(0)
	work := make(chan string)
	var wg sync.WaitGroup
	ask := func(s *server, path string) (status int) {
		r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, s.url+path, nil)
		if !assertNoError(t, path, err) {
			return 0
		}
		r.Header.Set("Authorization", "Bearer "+s.token)
		res, err := http.DefaultClient.Do(r)
		if !assertNoError(t, path, err) {
			return 0
		}
		_ = res.Body.Close()
		switch res.StatusCode {
		case http.StatusOK, http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusGatewayTimeout:
		default:
			t.Errorf("%s answered %d", path, res.StatusCode)
		}
		return res.StatusCode
	}
	for range 8 {
		wg.Go(func() {
			for path := range work {
				began := time.Now()
				status := ask(s, path)
				mu.Lock()
				codes[fmt.Sprint(status)]++
				slowest = max(slowest, time.Since(began))
				mu.Unlock()
				if status == http.StatusGatewayTimeout {
					again := ask(patient, path)
					mu.Lock()
					codes[fmt.Sprint(again)]++
					mu.Unlock()
				}
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		work <- randomQuestion(r)
	}
	close(work)
	wg.Wait()
	t.Logf("answers by status: %v, slowest %s", codes, slowest)
	require.Greater(t, codes["200"], 300)
	require.NotZero(t, codes["400"])
	require.Less(t, slowest, testkit.Patience, "a question outlives its limits")
	for _, e := range s.logs.FilterMessage("cannot answer a request").All() {
		t.Errorf("%v", e.ContextMap())
	}
	status, _, _ := s.call(t, "GET", "/api/v1/healthz", "")
	require.Equal(t, 200, status)
	var n uint64
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT count() FROM qpoint.requests").Scan(&n))
	require.EqualValues(t, rows, n)
}

func assertNoError(t *testing.T, path string, err error) bool {
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return err == nil
}

// randomQuestion is a path with a random filter, range and whatever else the route takes.
func randomQuestion(r *rand.Rand) string {
	routes := []string{
		"requests?", "requests?limit=1000&", "connections?", "histogram?", "histogram?of=connections&", "latency?", "latency/heatmap?", "facets?fields=server,status,peer&",
		"field-values?field=server&prefix=api-&", "endpoints?", "endpoints?by=endpoint&", "processes?", "map?", "talkers?by=peer&", "tls?", "requests?format=ndjson&limit=5000&",
	}
	route := routes[r.IntN(len(routes))]
	of := pulsestore.OfRequests
	if route == "connections?" || route == "tls?" || route == "talkers?by=peer&" || route == "histogram?of=connections&" {
		of = pulsestore.OfConnections
	}
	values := url.Values{"filter": {filtertest.Random(r, pulsestore.FieldsOf(of))}}
	switch r.IntN(4) {
	case 0: // as long as there can be
		values.Set("from", "1970-01-01T00:00:00Z")
		values.Set("to", "2200-12-31T23:59:59.999999999Z")
	case 1:
		values.Set("from", time.Now().Add(-time.Duration(r.Int64N(int64(time.Hour)))).UTC().Format(time.RFC3339Nano))
	case 2:
		values.Set("to", time.Now().Add(time.Duration(r.Int64N(int64(1000*time.Hour)))).UTC().Format(time.RFC3339Nano))
	}
	return "/api/v1/" + route + values.Encode()
}
