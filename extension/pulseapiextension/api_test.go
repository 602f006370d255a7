// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulseapiextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// server is a started extension and what a test needs to talk to it.
type server struct {
	*apiExtension
	url    string
	token  string
	stdout *bytes.Buffer
	logs   *observer.ObservedLogs
	router routers.Router
	doc    *openapi3.T
}

type host map[component.ID]component.Component

func (h host) GetExtensions() map[component.ID]component.Component { return h }

func testConfig(t *testing.T) *Config {
	cfg := createDefaultConfig().(*Config)
	cfg.NetAddr.Endpoint = "127.0.0.1:0"
	cfg.ClickHouse = "local_clickhouse"
	cfg.LocalTokenFile = filepath.Join(t.TempDir(), "token")
	cfg.Queries.Timeout, cfg.Queries.QueueTimeout = testkit.Patience, testkit.Patience // what is asked here has an answer, if a late one
	cfg.S3 = &S3Config{Endpoint: "http://127.0.0.1:1", Bucket: "qpoint", Region: "us-east-1", PathStyle: true, AccessKey: "AKIDEXAMPLE", SecretKey: "very-secret"}
	return cfg
}

func start(t *testing.T, cfg *Config, reader pulsestore.Reader) *server {
	t.Helper()
	return startOn(t, cfg, reader, host{})
}

func startOn(t *testing.T, cfg *Config, reader pulsestore.Reader, h host) *server {
	t.Helper()
	require.NoError(t, cfg.Validate())
	core, logs := observer.New(zap.DebugLevel)
	set := extensiontest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	e, err := newExtension(set, cfg)
	require.NoError(t, err)
	s := &server{apiExtension: e, stdout: &bytes.Buffer{}, logs: logs}
	e.stdout = s.stdout
	if reader != nil {
		e.openReader = func(context.Context, component.Host) (pulsestore.Reader, io.Closer, error) {
			return reader, io.NopCloser(nil), nil
		}
	}
	require.NoError(t, e.Start(t.Context(), h))
	require.NoError(t, e.Ready())
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		require.NoError(t, e.Shutdown(context.Background()))
	})
	s.url = "http://" + e.addr.String()
	if cfg.local() {
		token, err := os.ReadFile(cfg.LocalTokenFile)
		require.NoError(t, err)
		s.token = strings.TrimSpace(string(token))
	}

	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	doc.Servers = openapi3.Servers{{URL: s.url + "/api/v1"}}
	s.doc = doc
	s.router, err = legacy.NewRouter(doc)
	require.NoError(t, err)
	return s
}

// schema is one of the contract, for what is not one JSON document.
func (s *server) schema(name string) *openapi3.Schema { return s.doc.Components.Schemas[name].Value }

// call sends a request with the token and holds the answer against openapi.yaml.
func (s *server) call(t *testing.T, method, path, body string, edit ...func(*http.Request)) (int, map[string]any, http.Header) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	for _, f := range edit {
		f(r)
	}
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)

	if route, params, err := s.router.FindRoute(r); err == nil {
		require.NoError(t, openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: params, Route: route},
			Status:                 res.StatusCode, Header: res.Header, Body: io.NopCloser(bytes.NewReader(data)),
			Options: &openapi3filter.Options{IncludeResponseStatus: true},
		}), "%s %s\n%s", method, path, data)
	} else {
		require.GreaterOrEqual(t, res.StatusCode, 400, "an answer outside the contract")
	}
	var decoded map[string]any
	if len(data) > 0 {
		require.NoError(t, json.Unmarshal(data, &decoded), "%s", data)
	}
	return res.StatusCode, decoded, res.Header
}

// code sends a request that must fail and returns its problem's code.
func (s *server) code(t *testing.T, status int, method, path, body string, edit ...func(*http.Request)) string {
	t.Helper()
	got, problem, header := s.call(t, method, path, body, edit...)
	require.Equal(t, status, got, "%v", problem)
	require.Equal(t, "application/problem+json", header.Get("Content-Type"))
	return problem["code"].(string)
}

func TestRequests(t *testing.T) {
	now := time.Now()
	full := fullRequest(1, now.Add(-time.Second))
	bare := pulsestore.Request{Time: now.Add(-2 * time.Second), TraceID: [16]byte{9}, SpanID: [8]byte{9}, Kind: "server", Method: "GET", Scheme: "http", Path: "/"}
	s := start(t, testConfig(t), &rows{requests: []pulsestore.Request{bare, full}})

	status, body, _ := s.call(t, "GET", "/api/v1/requests", "")
	require.Equal(t, 200, status)
	list := body["requests"].([]any)
	require.Len(t, list, 2)
	first := list[0].(map[string]any)
	require.Equal(t, "0101"+strings.Repeat("0", 28), first["trace_id"])
	require.Equal(t, "feedfacecafebeef", first["connection_id"])
	require.Equal(t, full.Time.UTC().Format("2006-01-02T15:04:05.000000000Z"), first["time"])
	require.EqualValues(t, 42_000_000, first["duration_ns"])
	require.Equal(t, "2001:db8::1", first["peer_address"])
	second := list[1].(map[string]any)
	for _, absent := range []string{"status", "parent_span_id", "client_address", "timing_wait_ns", "connection_id"} {
		require.NotContains(t, second, absent, "what is not known is absent, not zero")
	}

	status, one, _ := s.call(t, "GET", "/api/v1/requests/"+first["trace_id"].(string)+"/"+first["span_id"].(string), "")
	require.Equal(t, 200, status)
	require.NotEmpty(t, one["expires_at"])
	delete(one, "expires_at") // of one request only
	require.Equal(t, first, one)
	require.Equal(t, "not_found", s.code(t, 404, "GET", "/api/v1/requests/"+strings.Repeat("a", 32)+"/"+strings.Repeat("b", 16), ""))
}

func TestRequestsPages(t *testing.T) {
	now := time.Now().Add(-time.Minute)
	store := &rows{}
	for i := range 25 {
		row := fullRequest(byte(i+1), now)
		row.Time = now.Add(time.Duration(i/2) * time.Second) // pairs share a time: the span id decides
		store.requests = append(store.requests, row)
	}
	s := start(t, testConfig(t), store)
	seen := map[string]bool{}
	cursor := ""
	for range 10 {
		_, body, _ := s.call(t, "GET", "/api/v1/requests?limit=4&filter=method:POST"+cursor, "")
		for _, r := range body["requests"].([]any) {
			id := r.(map[string]any)["span_id"].(string)
			require.False(t, seen[id], "each row comes once")
			seen[id] = true
		}
		next, ok := body["next_cursor"].(string)
		if !ok {
			break
		}
		cursor = "&cursor=" + next
	}
	require.Len(t, seen, 25)
	require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/requests?limit=4&filter=method:GET"+cursor, ""), "a cursor belongs to its filters")
}

func TestBadParameters(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	for query, code := range map[string]string{
		"colour=red": "unknown_parameter", "limit=0": "bad_parameter", "limit=1001": "bad_parameter", "limit=x": "bad_parameter",
		"from=yesterday": "bad_parameter", "from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z": "bad_parameter", "from=0001-01-01T00:00:00Z": "bad_parameter",
		"cursor=AAAA": "bad_parameter", "cursor=%21": "bad_parameter", "filter=status:x": "bad_filter", "filter=sever:a": "bad_filter",
		"filter=connection:1": "bad_filter", "filter=(": "bad_filter", "format=xml": "bad_parameter", "format=csv&limit=100001": "bad_parameter",
		"limit=1&limit=2": "bad_parameter", "filter=%ff": "bad_parameter", "filter=" + strings.Repeat("a", 5000): "bad_parameter",
	} {
		require.Equal(t, code, s.code(t, 400, "GET", "/api/v1/requests?"+query, ""), query)
	}
	require.Equal(t, "unknown_parameter", s.code(t, 400, "GET", "/api/v1/connections?colour=x", ""))
	require.Equal(t, "unknown_parameter", s.code(t, 400, "GET", "/api/v1/config?x=1", ""))
	require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/requests/xyz/0102030405060708", ""))
	require.Equal(t, "no_such_route", s.code(t, 404, "GET", "/api/v1/nothing", ""))
	require.Equal(t, "no_such_route", s.code(t, 404, "DELETE", "/api/v1/requests", ""))
	for _, body := range []string{"", "[]", `{"trace_id":1}`, `{"key":"x"}`, `{} {}`, `{"trace_id":"` + strings.Repeat("a", 5000) + `"}`} {
		require.Equal(t, "bad_body", s.code(t, 400, "POST", "/api/v1/payload-links", body), body)
	}
	require.Equal(t, "bad_parameter", s.code(t, 400, "POST", "/api/v1/payload-links", `{"trace_id":"00","span_id":"00"}`))
}

func TestFiltersReachTheStore(t *testing.T) {
	store := &rows{}
	cfg := testConfig(t)
	cfg.Environment = "prod"
	s := start(t, cfg, store)
	s.call(t, "GET", "/api/v1/requests?"+url.Values{
		"from": {"2026-01-01T00:00:00Z"}, "to": {"2026-01-02T00:00:00.5+01:00"}, "limit": {"7"}, "filter": {`server:"a b" path:"'; DROP TABLE"`},
	}.Encode(), "")
	require.Len(t, store.asked, 1)
	q := store.asked[0]
	require.Equal(t, "prod", q.Scope.Environment())
	require.Nil(t, q.Scope.Bound())
	require.Equal(t, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), q.From)
	require.Equal(t, time.Date(2026, 1, 1, 23, 0, 0, 5e8, time.UTC), q.To)
	require.Equal(t, 7, q.Limit)
	require.Equal(t, `(server:"a b" path:"'; DROP TABLE")`, q.Filter.String())

	_, problem, _ := s.call(t, "GET", "/api/v1/requests?filter="+url.QueryEscape("ü😀 status:x"), "")
	require.Equal(t, map[string]any{"start": 11.0, "end": 12.0}, problem["position"], "as a browser counts")
}

func TestConnections(t *testing.T) {
	now := time.Now()
	s := start(t, testConfig(t), &rows{connections: []pulsestore.Connection{
		{Time: now, Start: now.Add(-time.Minute), ConnectionID: 5, Sequence: 2, State: "established", Role: "client", Origin: testOrigin,
			LocalAddress: netip.MustParseAddr("::ffff:10.0.0.1"), LocalPort: 1, PeerAddress: netip.MustParseAddr("10.0.0.2"), PeerPort: 2,
			ServerAddress: "x.example", Protocol: "http", ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "C", TLSNextProtocol: "h2",
			Handshake: pulsestore.Handshake{TLSResumed: new(true), TLSClientJA3: "ada70206e40642a3e4461f35503241d5", TLSClientJA4: "t13d1516h2_8daaf6152771_e5627efa2ab1",
				TLSServerSubject: "CN=x.example", TLSServerIssuer: "CN=CA", TLSServerNotBefore: now, TLSServerNotAfter: now},
			SentBytes: 1, ReceivedBytes: 2, SentPackets: 3, ReceivedPackets: 4, Retransmits: 5, RTT: 6, Duration: 7, Requests: 8, Visibility: "not_visible", Reason: "attached_late"},
		{Time: now, Start: now, ConnectionID: 6},
	}})
	_, body, _ := s.call(t, "GET", "/api/v1/connections", "")
	list := body["connections"].([]any)
	require.Len(t, list, 2)
	require.Equal(t, "10.0.0.1", list[0].(map[string]any)["local_address"])
	require.Equal(t, "0000000000000005", list[0].(map[string]any)["connection_id"])
	require.NotContains(t, list[1], "rtt_ns")
}

var testOrigin = pulsestore.Origin{
	Environment: "demo", ServiceName: "curl", HostID: "h", HostName: "n", PID: 1, Executable: "/bin/x", User: "u", ContainerID: "c", PodUID: "p",
}

func TestCoverage(t *testing.T) {
	now := time.Now()
	s := start(t, testConfig(t), &rows{coverage: []pulsestore.Coverage{
		{Origin: testOrigin, Time: now, Subject: "process", Name: "x", State: "not_seen", Reason: "no_secret", Advice: "do this", Count: 3},
		{Origin: pulsestore.Origin{HostID: "other"}, Time: now, Subject: "feature", Name: "CAP_BPF", State: "missing"},
	}})
	_, body, _ := s.call(t, "GET", "/api/v1/coverage", "")
	require.Len(t, body["coverage"], 2)
	_, body, _ = s.call(t, "GET", "/api/v1/coverage?host=h&subject=process&limit=5", "")
	list := body["coverage"].([]any)
	require.Len(t, list, 1)
	require.Equal(t, "do this", list[0].(map[string]any)["advice"])
	require.EqualValues(t, 3, list[0].(map[string]any)["count"])
	require.Equal(t, "unknown_parameter", s.code(t, 400, "GET", "/api/v1/coverage?pid=1", ""))
}

// TestPayloadState goes through everything that a span, its segment and the clock can say.
func TestPayloadState(t *testing.T) {
	for _, tc := range []struct {
		row, object, objectReason string // object "" for no row
		age                       time.Duration
		state, reason, link       string // link: the problem's code, "" when one is issued
	}{
		{"pending", "", "", time.Second, "pending", "", ""},
		{"pending", "", "", 2 * time.Minute, "lost", "no_receipt", ""},
		{"pending", "sent", "", time.Second, "sent", "", ""},
		{"pending", "sent", "", time.Hour, "sent", "", ""},
		{"pending", "lost", "queue_full", time.Second, "lost", "queue_full", "payload_lost"},
		{"pending", "stored", "", time.Second, "sent", "", ""},
		{"pending", "erased", "asked", time.Hour, "erased", "asked", "payload_erased"},
		{"truncated", "", "", time.Second, "truncated", "body_cap", ""},
		{"truncated", "sent", "", time.Second, "truncated", "body_cap", ""},
		{"truncated", "lost", "queue_full", time.Second, "lost", "queue_full", "payload_lost"},
		{"filtered", "", "", time.Second, "filtered", "body_cap", "payload_filtered"},
		{"sampled_out", "", "", time.Hour, "sampled_out", "body_cap", "payload_sampled_out"},
		{"not_visible", "", "", time.Hour, "not_visible", "body_cap", "payload_not_visible"},
		{"lost", "sent", "", time.Second, "lost", "body_cap", "payload_lost"},
		{"", "", "", time.Second, "", "", "payload_none"},
	} {
		t.Run(fmt.Sprintf("%s with %q after %s", tc.row, tc.object, tc.age), func(t *testing.T) {
			row := fullRequest(1, time.Now().Add(-tc.age))
			row.PayloadState = tc.row
			if tc.row != "pending" && tc.row != "" {
				row.PayloadReason = "body_cap"
			}
			store := &rows{requests: []pulsestore.Request{row}, objects: map[pulsestore.ObjectID]pulsestore.PayloadObject{},
				entries: map[[8]byte][]pulsestore.PayloadEntry{row.SpanID: {{Key: testKey, Offset: 1, Length: 2}}}}
			if tc.object != "" {
				store.objects[pulsestore.ObjectID{Environment: "demo", Key: testKey}] = pulsestore.PayloadObject{Environment: "demo", Key: testKey, State: tc.object, Reason: tc.objectReason}
			}
			s := start(t, testConfig(t), store)
			_, body, _ := s.call(t, "GET", "/api/v1/requests", "")
			payload := body["requests"].([]any)[0].(map[string]any)["payload"].(map[string]any)
			require.Equal(t, tc.state, payload["state"])
			reason, _ := payload["reason"].(string)
			require.Equal(t, tc.reason, reason)
			ids := fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"}`, row.TraceID, row.SpanID)
			if tc.link != "" {
				require.Equal(t, tc.link, s.code(t, 404, "POST", "/api/v1/payload-links", ids))
				return
			}
			status, _, _ := s.call(t, "POST", "/api/v1/payload-links", ids)
			require.Equal(t, 200, status)
		})
	}
}

func TestPayloadLink(t *testing.T) {
	row := fullRequest(1, time.Now())
	bad := fullRequest(2, time.Now())
	bad.PayloadObject = "../../other-bucket/secret.zip"
	cfg := testConfig(t)
	cfg.Prefix = "team=a/x"
	store := &rows{requests: []pulsestore.Request{row, bad}, entries: map[[8]byte][]pulsestore.PayloadEntry{row.SpanID: {{Key: testKey, Offset: 100, Length: 23}}}}
	s := start(t, cfg, store)
	ids := fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"}`, row.TraceID, row.SpanID)
	status, body, _ := s.call(t, "POST", "/api/v1/payload-links", ids)
	require.Equal(t, 200, status)
	u, err := url.Parse(body["url"].(string))
	require.NoError(t, err)
	require.Equal(t, "/qpoint/team%3Da/xdemo/"+testKey, u.EscapedPath())
	require.Equal(t, "60", u.Query().Get("X-Amz-Expires"))
	require.Equal(t, "host;range", u.Query().Get("X-Amz-SignedHeaders"), "no header but a range: no CORS preflight")
	require.Equal(t, "0201000000000000.har", body["entry"])
	require.Equal(t, "team=a/xdemo/"+testKey, body["key"])

	require.Equal(t, "bad_key", s.code(t, 404, "POST", "/api/v1/payload-links", fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"}`, bad.TraceID, bad.SpanID)))
	require.Equal(t, "not_found", s.code(t, 404, "POST", "/api/v1/payload-links", `{"trace_id":"`+strings.Repeat("a", 32)+`","span_id":"`+strings.Repeat("b", 16)+`"}`))

	events := store.audit
	require.Len(t, events, 3)
	require.Equal(t, pulsestore.AuditEvent{
		Time: events[0].Time, ID: events[0].ID, Environment: "demo", Actor: "local", Role: "payload:read", Address: netip.MustParseAddr("127.0.0.1"), Action: "payload.link",
		Outcome: "allowed", TraceID: row.TraceID, SpanID: row.SpanID, Count: 1,
	}, events[0])
	require.NotZero(t, events[0].ID)
	require.Equal(t, []string{"refused", "bad_key"}, []string{events[1].Outcome, events[1].Reason})
	require.Equal(t, []string{"refused", "not_found"}, []string{events[2].Outcome, events[2].Reason})
	require.Equal(t, 3, s.logs.FilterMessage("payload link").Len())
	s.requireLogsWithout(t, testKey, u.Query().Get("X-Amz-Signature"), "very-secret", s.token)
}

// TestPayloadLinkOfEntry: once its receipt is there, a link is for the bytes of one exchange.
func TestPayloadLinkOfEntry(t *testing.T) {
	row := fullRequest(1, time.Now())
	const part = "default/2026/11/24/07/3c7b1e/01KAV3T0QW8ZJ5V6X7Y8Z9ABCD.1.zip"
	store := &rows{requests: []pulsestore.Request{row}, entries: map[[8]byte][]pulsestore.PayloadEntry{row.SpanID: {{Key: part, Offset: 100, Length: 23}}}}
	s := start(t, testConfig(t), store)
	ids := fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"}`, row.TraceID, row.SpanID)
	status, body, _ := s.call(t, "POST", "/api/v1/payload-links", ids)
	require.Equal(t, 200, status)
	require.Equal(t, "bytes=100-122", body["range"])
	require.Equal(t, "demo/"+part, body["key"])
	u, err := url.Parse(body["url"].(string))
	require.NoError(t, err)
	require.Equal(t, "host;range", u.Query().Get("X-Amz-SignedHeaders"))

	// A row names keys below its own environment, whatever it says.
	store.mu.Lock()
	store.requests[0].Environment = "other"
	store.mu.Unlock()
	_, body, _ = s.call(t, "POST", "/api/v1/payload-links", ids)
	require.Equal(t, "other/"+part, body["key"])

	// Without a receipt nobody gets the bytes of an exchange's neighbours.
	store.mu.Lock()
	store.entries = nil
	store.mu.Unlock()
	require.Equal(t, "no_receipt", s.code(t, 404, "POST", "/api/v1/payload-links", ids))

	// What cannot be written to the audit does not happen.
	store.mu.Lock()
	store.entries = map[[8]byte][]pulsestore.PayloadEntry{row.SpanID: {{Key: part, Offset: 100, Length: 23}}}
	store.auditErr = errors.New("disk full")
	store.mu.Unlock()
	status, body, _ = s.call(t, "POST", "/api/v1/payload-links", ids)
	require.Equal(t, 503, status)
	require.NotContains(t, body, "url")
}

func (s *server) requireLogsWithout(t *testing.T, secrets ...string) {
	t.Helper()
	for _, entry := range s.logs.All() {
		line := fmt.Sprint(entry.Message, entry.ContextMap())
		for _, secret := range secrets {
			require.NotContains(t, line, secret)
		}
	}
}

// TestConfigTellsPolicies: what `anonymize` runs with is shown, its zones and environments to those only who see all rows.
func TestConfigTellsPolicies(t *testing.T) {
	for _, p := range []privacy.Policy{
		{Hash: "00000000000000aa", Version: "1", Environment: "policies", Modes: map[string]string{"card": "mask"}, Addresses: "truncate", Domains: []privacy.Domain{{Zone: "corp.example", Mode: "hmac"}}, HMACKeys: []string{"a"}, PathWords: 100},
		{Hash: "00000000000000ab", Version: "1", Environment: "other", Modes: map[string]string{}, Addresses: "keep", Domains: []privacy.Domain{}, HMACKeys: []string{}, PathWords: 100},
	} {
		t.Cleanup(privacy.Register(p))
	}
	find := func(list []privacy.Policy, hash string) *privacy.Policy {
		for i := range list {
			if list[i].Hash == hash {
				return &list[i]
			}
		}
		return nil
	}
	s := start(t, testConfig(t), &rows{})
	_, body, _ := s.call(t, "GET", "/api/v1/config", "")
	require.Contains(t, fmt.Sprint(body["policies"]), "corp.example")

	bound, err := filter.Parse("service=shop", pulsestore.FieldsOf(pulsestore.OfRequests))
	require.NoError(t, err)
	one := &api{environment: "policies"}
	require.Nil(t, find(one.policies(everything()), "00000000000000ab"), "another environment's")
	require.Equal(t, "corp.example", find(one.policies(everything()), "00000000000000aa").Domains[0].Zone)
	for _, may := range []permissions{{}, {readMetadata: {bound}}} {
		p := find(one.policies(may), "00000000000000aa")
		require.Equal(t, "mask", p.Modes["card"])
		require.Empty(t, p.Environment)
		require.Empty(t, p.Domains)
	}
}

func TestWithoutBucket(t *testing.T) {
	cfg := testConfig(t)
	cfg.S3 = nil
	row := fullRequest(1, time.Now())
	s := start(t, cfg, &rows{requests: []pulsestore.Request{row}})
	_, body, header := s.call(t, "GET", "/api/v1/config", "")
	require.Nil(t, body["payload"])
	require.Contains(t, header.Get("Content-Security-Policy"), "connect-src 'self';")
	require.Equal(t, "no_bucket", s.code(t, 404, "POST", "/api/v1/payload-links", fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"}`, row.TraceID, row.SpanID)))
}

func TestStoreTrouble(t *testing.T) {
	store := &rows{err: errors.New("dial tcp 10.9.8.7:9000: user default, password hunter2")}
	cfg := testConfig(t)
	cfg.Queries.QueueTimeout = 100 * time.Millisecond
	s := start(t, cfg, store)
	status, body, header := s.call(t, "GET", "/api/v1/requests", "")
	require.Equal(t, 503, status)
	require.Equal(t, "store_unavailable", body["code"])
	require.NotContains(t, body["detail"], "10.9.8.7", "what the store says is for the log")
	require.Equal(t, "1", header.Get("Retry-After"))
	require.Equal(t, "store_unavailable", s.code(t, 503, "GET", "/api/v1/healthz", ""))

	store.mu.Lock()
	store.err = nil
	store.block = make(chan struct{})
	store.mu.Unlock()
	concurrent := s.cfg.Queries.Concurrent
	answers := make(chan string, concurrent+1)
	for range concurrent {
		go func() { _, body, _ := s.call(t, "GET", "/api/v1/requests", ""); answers <- fmt.Sprint(body["code"]) }()
	}
	require.Eventually(t, func() bool { return len(s.api.queue.slots) == concurrent }, testkit.Patience, 10*time.Millisecond)
	require.Equal(t, "busy", s.code(t, 503, "GET", "/api/v1/requests", ""), "one more than may run at once")
	close(store.block)
	for range concurrent {
		require.Equal(t, "<nil>", <-answers)
	}
}

func TestHealth(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	status, _, _ := s.call(t, "GET", "/api/v1/healthz", "", func(r *http.Request) { r.Header.Del("Authorization") })
	require.Equal(t, 200, status)
	res, err := http.Get(s.url + "/api/v1/openapi.yaml")
	require.NoError(t, err)
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	require.Equal(t, openAPI, data)
}

func TestFindings(t *testing.T) {
	s := start(t, testConfig(t), &rows{findings: []pulsestore.FindingGroup{
		{Finding: pulsestore.Finding{Origin: pulsestore.Origin{ServiceName: "shop"}, Kind: "card", Message: "request", Location: "json", Place: "cards[].number", Role: "client", Count: 3}, Hosts: 1},
		{Finding: pulsestore.Finding{Reason: "cpu_budget", Count: 9}, Hosts: 2},
	}})
	_, body, _ := s.call(t, "GET", "/api/v1/findings?filter=kind:card+place:cards*", "")
	list := body["findings"].([]any)
	require.Len(t, list, 2)
	require.Equal(t, "cards[].number", list[0].(map[string]any)["place"])
	require.NotContains(t, list[1], "kind")
	require.Equal(t, "bad_filter", s.code(t, 400, "GET", "/api/v1/findings?filter=status:200", ""))
}
