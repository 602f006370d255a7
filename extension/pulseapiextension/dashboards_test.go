// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// someRows are 40 requests and 4 connections of two environments, a minute ago.
func someRows(now time.Time) *pulsestore.Rows {
	b := pulsestore.NewRows()
	for n := range 40 {
		r := fullRequest(byte(n+1), now.Add(-time.Minute+time.Duration(n)*time.Second))
		r.Duration = time.Duration(n+1) * time.Millisecond
		r.Status, r.ErrorType = 200, ""
		if n%4 == 0 {
			r.Status, r.ErrorType = 500, "500"
		}
		if n >= 30 {
			r.Environment, r.ServerAddress, r.ServiceName = "other", "other.example", "secret"
		}
		b.AddRequest(&r)
	}
	for n := range 4 {
		start := now.Add(-time.Minute + time.Duration(n)*time.Second)
		c := pulsestore.Connection{Time: start.Add(time.Second), Start: start, ConnectionID: uint64(n + 1), Sequence: 1, State: "established", Role: "client",
			LocalAddress: netip.MustParseAddr("10.0.0.1"), LocalPort: 1, PeerAddress: netip.MustParseAddr("192.0.2.9"), PeerPort: 443, ServerAddress: "api.example.com",
			Protocol: "http", TLSVersion: "1.3", SentBytes: 10, ReceivedBytes: 100, Visibility: "visible"}
		c.Environment, c.ServiceName, c.HostID, c.HostName, c.Executable = "demo", "curl", "3c7b1e", "web-1", "/usr/bin/curl"
		switch n {
		case 1:
			c.TLSVersion = "1.0"
		case 2:
			c.ServerAddress, c.TLSVersion = "", ""
		case 3:
			c.Environment, c.ServiceName = "other", "secret"
		}
		b.AddConnection(&c)
	}
	return b
}

// onStore starts the extension on a real store with someRows.
func onStore(t *testing.T, edit ...func(*Config)) (*server, *pulsestore.Store) {
	t.Helper()
	engine := startClickHouse(t)
	store, err := pulsestore.Open(engine.(pulsestore.Engine).ClickHouseOptions(), pulsestore.DefaultDatabase)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context(), pulsestore.SchemaOptions{}))
	require.NoError(t, store.Insert(t.Context(), someRows(time.Now())))
	cfg := testConfig(t)
	cfg.Environment = "demo"
	for _, f := range edit {
		f(cfg)
	}
	return startOn(t, cfg, nil, host{component.MustNewID("local_clickhouse"): engine}), store
}

func list(t *testing.T, body map[string]any, key string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, one := range body[key].([]any) {
		out = append(out, one.(map[string]any))
	}
	return out
}

// TestQuestions asks every route of a real store; call holds each answer against openapi.yaml.
func TestQuestions(t *testing.T) {
	s, store := onStore(t, func(c *Config) { c.RequestsPerSecond = 1000 })
	get := func(path string) map[string]any {
		t.Helper()
		status, body, _ := s.call(t, "GET", "/api/v1/"+path, "")
		require.Equal(t, 200, status, "%s: %v", path, body)
		require.NotContains(t, fmt.Sprint(body), "other.example", "another environment")
		require.NotContains(t, fmt.Sprint(body), "secret", "another environment")
		return body
	}
	filter := func(text string) string { return "filter=" + url.QueryEscape(text) }

	require.Len(t, list(t, get("requests?"+filter("status:5xx dur:>20ms")), "requests"), 3)
	require.Len(t, list(t, get("requests?"+filter("server:api.* -status:500 (peer:2001:db8::/32 OR path:/none)")), "requests"), 22)
	connections := list(t, get("connections?limit=2"), "connections")
	require.Len(t, connections, 2)
	next := get("connections?limit=2&cursor=" + get("connections?limit=2")["next_cursor"].(string))
	require.Len(t, next["connections"], 1)
	require.NotContains(t, next, "next_cursor")
	require.Equal(t, connections[0], get("connections/"+connections[0]["connection_id"].(string)))
	require.Equal(t, "not_found", s.code(t, 404, "GET", "/api/v1/connections/00000000000000ff", ""))
	require.Equal(t, "not_found", s.code(t, 404, "GET", "/api/v1/connections/0000000000000004", ""), "another environment's")

	total := 0.0
	for _, b := range list(t, get("histogram?buckets=500"), "buckets") {
		for _, n := range b["counts"].(map[string]any) {
			total += n.(float64)
		}
	}
	require.Equal(t, 30.0, total)
	require.NotEmpty(t, get("histogram?of=connections&" + filter("tls:1.0"))["buckets"])
	latency := list(t, get("latency"), "buckets")
	require.NotEmpty(t, latency)
	require.Greater(t, latency[0]["p99_ns"], latency[0]["p50_ns"])
	require.NotEmpty(t, get("latency/heatmap")["cells"])

	facets := list(t, get("facets?fields=service,status,http.request.method"), "facets")
	require.Len(t, facets, 3)
	require.Equal(t, map[string]any{"field": "service", "values": []any{map[string]any{"value": "curl", "count": 30.0}}}, facets[0])
	require.Equal(t, "method", facets[2]["field"])
	require.Equal(t, []any{map[string]any{"value": "api.example.com", "count": 2.0}}, get("field-values?of=connections&field=server&prefix=api")["values"])
	require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/facets?fields=path", ""))
	require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/facets", ""))
	require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/field-values?field=nothing", ""))
	require.Greater(t, len(list(t, get("fields"), "fields")), 20)

	require.Equal(t, "(status:>=500 curl)", get("filter?text=" + url.QueryEscape("status>=500 curl"))["canonical"])
	wrong := get("filter?at=9&text=" + url.QueryEscape("ü method:"))
	require.Equal(t, 2.0, wrong["error"].(map[string]any)["start"])
	require.Equal(t, "method", wrong["completion"].(map[string]any)["field"])
	require.Contains(t, fmt.Sprint(get("filter?at=2&text=st")["completion"]), "status:")

	endpoints := list(t, get("endpoints"), "endpoints")
	require.Len(t, endpoints, 1)
	require.Equal(t, []any{30.0, 8.0}, []any{endpoints[0]["requests"], endpoints[0]["errors"]})
	require.Equal(t, "POST", list(t, get("endpoints?by=endpoint"), "endpoints")[0]["method"])
	require.Empty(t, get("endpoints?new_since=" + url.QueryEscape(time.Now().Add(-time.Second).UTC().Format(time.RFC3339)))["endpoints"])
	processes := list(t, get("processes"), "processes")
	require.Len(t, processes, 1)
	require.Equal(t, []any{30.0, 3.0, 330.0}, []any{processes[0]["client_requests"], processes[0]["connections"], processes[0]["sent_bytes"].(float64) + processes[0]["received_bytes"].(float64)})
	require.Len(t, get("processes?" + filter("received:>1mb"))["processes"], 0, "a filter over connections alone")
	require.Len(t, get("processes?new_since=2000-01-01T00:00:00Z")["processes"], 1)
	require.Len(t, get("processes?new_since=2100-01-01T00:00:00Z")["processes"], 0)
	m := get("map")
	require.Len(t, m["nodes"], 3)
	require.Len(t, m["edges"], 2)
	require.Equal(t, "service:curl", list(t, m, "edges")[0]["from"])
	talkers := get("talkers?by=peer")
	require.Equal(t, "192.0.2.9", list(t, talkers, "talkers")[0]["value"])
	require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/talkers?by=rtt", ""))
	kinds := map[any]bool{}
	for _, f := range list(t, get("tls"), "findings") {
		kinds[f["finding"]] = true
	}
	require.Equal(t, map[any]bool{"old_version": true, "plaintext": true, "direct_ip": true}, kinds)
	require.Equal(t, "no_countries", s.code(t, 404, "GET", "/api/v1/countries", ""))
	me := get("me")
	require.Equal(t, "local", me["who"])
	require.Len(t, me["capabilities"], len(capabilities))

	t.Run("export", func(t *testing.T) { exports(t, s) })
	t.Run("tail", func(t *testing.T) { tails(t, s, store) })
	t.Run("mcp", func(t *testing.T) { tools(t, s) })
	s.requireLogsWithout(t, s.token)
}

func (s *server) raw(t *testing.T, path string, edit ...func(*http.Request)) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	for _, f := range edit {
		f(r)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { _ = res.Body.Close() })
	return res
}

func exports(t *testing.T, s *server) {
	schema := s.schema("Request")
	res := s.raw(t, "/api/v1/requests?format=ndjson&filter=status:500")
	require.Equal(t, "application/x-ndjson", res.Header.Get("Content-Type"))
	lines := 0
	for d := json.NewDecoder(res.Body); d.More(); lines++ {
		var row map[string]any
		require.NoError(t, d.Decode(&row))
		require.NoError(t, schema.VisitJSON(row))
	}
	require.Equal(t, 8, lines)
	for path, want := range map[string]int{
		"requests?format=csv&filter=status:500": 8, "requests?format=csv&limit=5": 5, "connections?format=csv": 3, "connections?format=csv&filter=tls:1.1": 0,
	} {
		res = s.raw(t, "/api/v1/"+path)
		require.Equal(t, "text/csv; charset=utf-8; header=present", res.Header.Get("Content-Type"))
		table, err := csv.NewReader(res.Body).ReadAll()
		require.NoError(t, err)
		require.Len(t, table, want+1, path)
		require.Contains(t, table[0], "time")
	}
	require.Equal(t, "'=1+1", harmless("=1+1"))
	require.Equal(t, "bad_filter", s.code(t, 400, "GET", "/api/v1/requests?format=csv&filter=x:", ""))
}

// sse reads events from a stream until one satisfies want.
func sse(t *testing.T, body io.Reader, want func(name, id, data string) bool) {
	t.Helper()
	var name, id, data string
	for lines := bufio.NewScanner(body); lines.Scan(); {
		switch line := lines.Text(); {
		case line == "":
			if name != "" && want(name, id, data) {
				return
			}
			name, id, data = "", "", ""
		case strings.HasPrefix(line, "event: "):
			name = line[7:]
		case strings.HasPrefix(line, "id: "):
			id = line[4:]
		case strings.HasPrefix(line, "data: "):
			data = line[6:]
		}
	}
	t.Fatal("the stream ended")
}

func tails(t *testing.T, s *server, store *pulsestore.Store) {
	schema := s.schema("Request")
	insert := func(n byte, at time.Time) {
		b := pulsestore.NewRows()
		r := fullRequest(n, at)
		b.AddRequest(&r)
		require.NoError(t, store.Insert(t.Context(), b))
	}
	res := s.raw(t, "/api/v1/requests/tail?filter=method:POST")
	require.Equal(t, "text/event-stream", res.Header.Get("Content-Type"))
	insert(200, time.Now())
	var position string
	seen := map[string]int{}
	next := func(span string) func(name, id, data string) bool {
		return func(name, id, data string) bool {
			require.Equal(t, "row", name)
			var row map[string]any
			require.NoError(t, json.Unmarshal([]byte(data), &row))
			require.NoError(t, schema.VisitJSON(row))
			require.NotEqual(t, "other", row["environment"])
			seen[row["span_id"].(string)]++
			position = id
			return row["span_id"] == span
		}
	}
	sse(t, res.Body, next("02c8000000000000"))
	insert(201, time.Now().Add(-5*time.Second)) // stored late
	sse(t, res.Body, next("02c9000000000000"))
	require.Equal(t, 1, seen["02c8000000000000"], "each row once")
	require.NoError(t, res.Body.Close())

	// What came while nobody listened is told to who comes back.
	insert(202, time.Now())
	res = s.raw(t, "/api/v1/requests/tail", func(r *http.Request) { r.Header.Set("Last-Event-ID", position) })
	sse(t, res.Body, next("02ca000000000000"))
	require.NoError(t, res.Body.Close())
	require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/requests/tail", "", func(r *http.Request) { r.Header.Set("Last-Event-ID", "x") }))

	res = s.raw(t, "/api/v1/connections/tail")
	b := pulsestore.NewRows()
	c := pulsestore.Connection{Time: time.Now(), Start: time.Now(), ConnectionID: 77, State: "open", Role: "client"}
	c.Environment, c.HostID = "demo", "h"
	b.AddConnection(&c)
	require.NoError(t, store.Insert(t.Context(), b))
	sse(t, res.Body, func(_, _, data string) bool {
		return strings.Contains(data, "000000000000004d") && strings.Contains(data, "open")
	})
	c.Sequence, c.State, c.Time = 1, "closed", time.Now()
	b = pulsestore.NewRows()
	b.AddConnection(&c)
	require.NoError(t, store.Insert(t.Context(), b))
	sse(t, res.Body, func(_, _, data string) bool {
		return strings.Contains(data, "000000000000004d") && strings.Contains(data, "closed")
	})
	require.NoError(t, res.Body.Close())
	require.Eventually(t, func() bool { return s.api.streams.open() == 0 }, testkit.Patience, 10*time.Millisecond, "a stream ends when its client leaves")

	var open []*http.Response
	for range maxStreamsPerCaller {
		open = append(open, s.raw(t, "/api/v1/requests/tail"))
	}
	require.Equal(t, "too_many_streams", s.code(t, 429, "GET", "/api/v1/requests/tail", ""))
	for _, res := range open {
		require.NoError(t, res.Body.Close())
	}
}

type withToken struct{ token string }

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.token)
	return http.DefaultTransport.RoundTrip(r)
}

// tools talks to the MCP endpoint as the SDK's own client.
func tools(t *testing.T, s *server) {
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	client := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	connect := func(token string) (*mcp.ClientSession, error) {
		return client.Connect(ctx, &mcp.StreamableClientTransport{
			Endpoint: s.url + "/api/v1/mcp", HTTPClient: &http.Client{Transport: withToken{token}}, DisableStandaloneSSE: true, MaxRetries: -1,
		}, nil)
	}
	_, err := connect("wrong")
	require.Error(t, err)
	session, err := connect(s.token)
	require.NoError(t, err)
	defer func() { require.NoError(t, session.Close()) }()
	listed, err := session.ListTools(ctx, nil)
	require.NoError(t, err)
	names := map[string]bool{}
	for _, tool := range listed.Tools {
		names[tool.Name] = true
		require.True(t, tool.Annotations.ReadOnlyHint)
		require.NotContains(t, strings.ToLower(tool.Name), "payload")
	}
	for _, want := range []string{"list_requests", "list_connections", "count_by_time", "list_endpoints", "service_map", "coverage", "filter_fields"} {
		require.True(t, names[want], want)
	}
	text := func(name string, args map[string]any) (string, bool) {
		res, err := session.CallTool(ctx, &mcp.CallToolParams{Name: name, Arguments: args})
		require.NoError(t, err)
		return res.Content[0].(*mcp.TextContent).Text, res.IsError
	}
	body, failed := text("list_requests", map[string]any{"filter": "status:5xx", "limit": 3})
	require.False(t, failed, body)
	var answer requestsAnswer
	require.NoError(t, json.Unmarshal([]byte(body), &answer))
	require.Len(t, answer.Requests, 3)
	body, failed = text("list_requests", map[string]any{"filter": "status:x"})
	require.True(t, failed)
	require.Contains(t, body, "bad_filter")
	body, failed = text("list_requests", map[string]any{"format": "csv"})
	require.True(t, failed, body)
	for name := range names {
		args := map[string]any{}
		switch name {
		case "count_values":
			args["fields"] = "service"
		case "field_values":
			args["field"] = "service"
		case "traffic_by_country":
			continue
		}
		body, failed := text(name, args)
		require.False(t, failed, "%s: %s", name, body)
		require.NotContains(t, body, "other.example", name)
		require.NotContains(t, body, "X-Amz", name)
	}
	_, err = session.CallTool(ctx, &mcp.CallToolParams{Name: "payload-links"})
	require.Error(t, err)
}

// TestToolsRate: a batch of calls in one request is as many questions.
func TestToolsRate(t *testing.T) {
	cfg := testConfig(t)
	cfg.RequestsPerSecond = 5 // a burst of 10, of which the request takes one
	store := &rows{}
	s := start(t, cfg, store)
	call := `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"list_requests","arguments":{}}}`
	calls := make([]string, 30)
	for i := range calls {
		calls[i] = fmt.Sprintf(call, i+1)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/api/v1/mcp", strings.NewReader("["+strings.Join(calls, ",")+"]"))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Protocol-Version", "2025-03-26") // later ones have no batches
	now := time.Now()
	s.api.now = func() time.Time { return now }
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode, "%s", body)
	require.Equal(t, 21, strings.Count(string(body), `"isError":true`), "%s", body)
	require.Contains(t, string(body), "rate_limited")
	require.Len(t, store.asked, 9)
}

// TestTailOfClockAhead: a row whose clock is ahead is told when its time has come, and hides no other meanwhile.
func TestTailOfClockAhead(t *testing.T) {
	now := time.Now()
	near, far, late := fullRequest(1, now.Add(tailAhead/2)), fullRequest(2, now.Add(time.Hour)), fullRequest(3, now.Add(-tailLateness/2))
	store := &rows{requests: []pulsestore.Request{near, far}}
	s := start(t, testConfig(t), store)
	s.api.now = func() time.Time { return now }
	res := s.raw(t, "/api/v1/requests/tail")
	defer res.Body.Close()
	told := func(row pulsestore.Request) {
		t.Helper()
		sse(t, res.Body, func(name, id, data string) bool {
			require.Equal(t, "row", name)
			require.Equal(t, fmt.Sprint(now.UnixNano()), id)
			require.Contains(t, data, fmt.Sprintf("%x", row.SpanID))
			return true
		})
	}
	told(near)
	store.mu.Lock()
	store.requests = append(store.requests, late)
	store.mu.Unlock()
	told(late)
}

// TestTailEnds: a stream does not outlive what it was opened with.
func TestTailEnds(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	s.api.streamLifetime = 100 * time.Millisecond
	res := s.raw(t, "/api/v1/requests/tail")
	defer res.Body.Close()
	_, err := io.Copy(io.Discard, res.Body)
	require.NoError(t, err, "a clean end")
	require.Eventually(t, func() bool { return s.api.streams.open() == 0 }, testkit.Patience, 10*time.Millisecond)
}

// TestStopsWithStreams: a live stream must not keep the collector from stopping.
func TestStopsWithStreams(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	res := s.raw(t, "/api/v1/requests/tail")
	ctx, cancel := context.WithTimeout(context.Background(), testkit.Patience)
	defer cancel()
	require.NoError(t, s.Shutdown(ctx))
	_, err := io.Copy(&bytes.Buffer{}, res.Body)
	require.NoError(t, err)
}

// open is how many live streams there are.
func (s *streams) open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all
}
