// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// people is an authenticator whose bearer tokens are names, with the teams that it knows of each.
type people struct {
	component.StartFunc
	component.ShutdownFunc
	teams map[string][]string
}

type person struct {
	name  string
	teams []string
}

func (p person) GetAttribute(name string) any {
	switch name {
	case "subject":
		return p.name
	case "membership":
		return p.teams
	}
	return nil
}
func (person) GetAttributeNames() []string { return []string{"subject", "membership"} }

func (p people) Authenticate(ctx context.Context, h map[string][]string) (context.Context, error) {
	name, ok := strings.CutPrefix(http.Header(h).Get("Authorization"), "Bearer ")
	teams, known := p.teams[name]
	if !ok || !known {
		return ctx, errors.New("unknown")
	}
	info := client.FromContext(ctx)
	info.Auth = person{name, teams}
	return client.NewContext(ctx, info), nil
}

func as(name string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+name) }
}

// TestRoles asks a real store as people with different roles.
func TestRoles(t *testing.T) {
	engine := startClickHouse(t)
	store, err := pulsestore.Open(engine.(pulsestore.Engine).ClickHouseOptions(), pulsestore.DefaultDatabase)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	require.NoError(t, store.Migrate(t.Context(), pulsestore.SchemaOptions{}))
	require.NoError(t, store.Insert(t.Context(), someRows(time.Now())))
	auth := component.MustNewID("people")
	cfg := testConfig(t)
	cfg.Auth = someAuth(auth)
	cfg.Access = &AccessConfig{
		Roles: map[string][]string{
			"shop":    {"metadata:read where env=demo", "payload:read where status:5xx env=demo"},
			"curious": {"metadata:read where method:GET"},
		},
		Grants: []GrantConfig{
			{Attribute: "subject", Value: "root", Roles: []string{"admin"}},
			{Attribute: "membership", Value: "shop", Roles: []string{"shop"}},
			{Attribute: "membership", Value: "others", Roles: []string{"viewer"}},
			{Attribute: "subject", Value: "kim", Roles: []string{"curious"}},
		},
	}
	s := startOn(t, cfg, nil, host{
		component.MustNewID("local_clickhouse"): engine,
		auth:                                    people{teams: map[string][]string{"root": nil, "sam": {"shop"}, "kim": {}, "bo": {"none"}, "both": {"shop", "others"}}},
	})
	count := func(who string) int {
		t.Helper()
		status, body, _ := s.call(t, "GET", "/api/v1/requests", "", as(who))
		require.Equal(t, 200, status, "%v", body)
		return len(body["requests"].([]any))
	}
	require.Equal(t, 40, count("root"))
	require.Equal(t, 30, count("sam"))
	require.Equal(t, 40, count("both"), "roles add up")
	require.Equal(t, 0, count("kim"))
	require.Equal(t, "forbidden", s.code(t, 403, "GET", "/api/v1/requests", "", as("bo")))
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/requests", "", as("eve")))
	require.Equal(t, "forbidden", s.code(t, 403, "GET", "/api/v1/connections", "", as("kim")), "connections have no method: what cannot be bound is not seen")
	_, body, _ := s.call(t, "GET", "/api/v1/endpoints", "", as("sam"))
	require.Len(t, body["endpoints"], 1)
	_, body, _ = s.call(t, "GET", "/api/v1/me", "", as("sam"))
	require.Equal(t, []any{
		map[string]any{"capability": "metadata:read", "where": "environment:=demo"},
		map[string]any{"capability": "payload:read", "where": "(status:5xx environment:=demo)"},
	}, body["capabilities"])
	_, body, _ = s.call(t, "GET", "/api/v1/me", "", as("bo"))
	require.Empty(t, body["capabilities"])

	ok, failed, foreign := fullRequest(2, time.Time{}), fullRequest(1, time.Time{}), fullRequest(33, time.Time{})
	foreign.Environment = "other"
	link := func(r pulsestore.Request, more string) string {
		return fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"%s}`, r.TraceID, r.SpanID, more)
	}
	path := "/api/v1/payload-links"
	require.Equal(t, "no_receipt", s.code(t, 404, "POST", path, link(failed, ""), as("sam")), "the whole object holds what is not for sam")
	receipt := pulsestore.NewRows()
	for _, r := range []pulsestore.Request{failed, foreign} {
		receipt.AddPayloadEntry(&pulsestore.PayloadEntry{
			Time: time.Now(), TraceID: r.TraceID, SpanID: r.SpanID, Environment: r.Environment, Key: testKey, Offset: 100, Length: 23,
		})
	}
	require.NoError(t, store.Insert(t.Context(), receipt))
	status, body, _ := s.call(t, "POST", path, link(failed, ""), as("sam"))
	require.Equal(t, 200, status)
	require.Equal(t, "bytes=100-122", body["range"])
	require.Equal(t, "not_found", s.code(t, 404, "POST", path, link(ok, ""), as("sam")), "seen, but its payload is not for sam")
	require.Equal(t, "not_found", s.code(t, 404, "POST", path, link(foreign, ""), as("sam")))
	require.Equal(t, "forbidden", s.code(t, 403, "POST", path, link(failed, `,"purpose":"export"`), as("sam")))
	require.Equal(t, "forbidden", s.code(t, 403, "POST", path, link(failed, ""), as("kim")))
	status, body, _ = s.call(t, "POST", path, link(foreign, `,"purpose":"export"`), as("root"))
	require.Equal(t, 200, status, "%v", body)
	require.Equal(t, "bad_body", s.code(t, 400, "POST", path, link(failed, `,"purpose":"x"`), as("root")))

	// Each of them is in the audit, for who may read that.
	require.Equal(t, "forbidden", s.code(t, 403, "GET", "/api/v1/audit", "", as("sam")))
	_, body, _ = s.call(t, "GET", "/api/v1/audit", "", as("root"))
	events := list(t, body, "events")
	require.Len(t, events, 7)
	require.Equal(t, []any{"root", "payload.export", "allowed", "other"}, []any{events[0]["actor"], events[0]["action"], events[0]["outcome"], events[0]["environment"]})
	require.Equal(t, []any{"sam", "payload.link", "allowed", "127.0.0.1"}, []any{events[5]["actor"], events[5]["action"], events[5]["outcome"], events[5]["address"]})
	require.Equal(t, []any{"sam", "refused", "no_receipt"}, []any{events[6]["actor"], events[6]["outcome"], events[6]["reason"]})
	_, body, _ = s.call(t, "GET", "/api/v1/audit?actor=kim&limit=5", "", as("root"))
	require.Len(t, body["events"], 1)

	require.Equal(t, "forbidden", s.code(t, 403, "GET", "/api/v1/retention", "", as("sam")))
	status, body, _ = s.call(t, "GET", "/api/v1/retention?ttl=10s", "", as("root"))
	require.Equal(t, 200, status, "%v", body)
	rows := map[string]float64{}
	for _, e := range list(t, body, "expiring") {
		rows[e["table"].(string)] += e["rows"].(float64)
	}
	require.Equal(t, 40.0, rows["requests"])
	_, body, _ = s.call(t, "GET", "/api/v1/retention?ttl=1s&of_environment=other", "", as("root"))
	for _, e := range list(t, body, "expiring") {
		require.Equal(t, "other", e["environment"])
	}
	_, body, _ = s.call(t, "GET", "/api/v1/retention", "", as("root"))
	require.Empty(t, body["expiring"])
	require.Equal(t, "forbidden", s.code(t, 403, "GET", "/api/v1/storage", "", as("sam")))
	status, body, _ = s.call(t, "GET", "/api/v1/storage", "", as("root"))
	require.Equal(t, 200, status, "%v", body)
	rows = map[string]float64{}
	for _, e := range list(t, body, "tables") {
		rows[e["table"].(string)] += e["rows"].(float64)
	}
	require.Equal(t, 40.0, rows["requests"])
	require.NotNil(t, body["objects"])
	for _, query := range []string{"ttl=x", "ttl=1ms", "ttl=-1h", "table=requests", "ttl=1h&table=nothing", "ttl=1h&table=requests&of_environment=other", "ttl=1h&at=x"} {
		require.Equal(t, "bad_parameter", s.code(t, 400, "GET", "/api/v1/retention?"+query, "", as("root")), query)
	}
}

func TestRateLimit(t *testing.T) {
	cfg := testConfig(t)
	cfg.RequestsPerSecond = 1
	s := start(t, cfg, &rows{})
	moment := time.Now()
	s.api.now = func() time.Time { return moment } // however long the calls take
	limited := false
	for range 10 {
		status, body, header := s.call(t, "GET", "/api/v1/me", "")
		if status == http.StatusTooManyRequests {
			limited = true
			require.Equal(t, "rate_limited", body["code"])
			require.NotEmpty(t, header.Get("Retry-After"))
		}
	}
	require.True(t, limited)
	guesses := map[int]int{}
	for range 10 {
		status, _, _ := s.call(t, "POST", "/api/v1/session", `{"token":"guess"}`, without)
		guesses[status]++
	}
	require.NotZero(t, guesses[401])
	require.NotZero(t, guesses[429], "guessing is slowed down")

	l := newLimiter(1)
	now := time.Now()
	for n := range maxCallers {
		require.NoError(t, l.check(fmt.Sprint(n), now))
	}
	require.Error(t, l.check("one more", now))
	require.NoError(t, l.check("one more", now.Add(time.Minute)), "who has been idle is forgotten")
	require.Len(t, l.callers, 1)
}

func TestQueue(t *testing.T) {
	q := newQueue(1, 10*time.Millisecond)
	require.NoError(t, q.enter(t.Context()))
	require.Error(t, q.enter(t.Context()), "waits, and gives up")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, q.enter(ctx), context.Canceled)
	q.wait = time.Minute
	done := make(chan error)
	for range q.most {
		go func() { done <- q.enter(t.Context()) }()
	}
	require.Eventually(t, func() bool { return q.waiting.Load() == q.most }, testkit.Patience, time.Millisecond)
	require.Error(t, q.enter(t.Context()), "no more may wait")
	for range q.most {
		q.leave()
		require.NoError(t, <-done)
	}
	q.leave()
}

func TestBadAccess(t *testing.T) {
	for want, c := range map[string]AccessConfig{
		"nobody could do anything": {},
		"is not a capability":      {Roles: map[string][]string{"x": {"payload:write"}}, Grants: []GrantConfig{{Roles: []string{"x"}}}},
		`did you mean "server"`:    {Roles: map[string][]string{"x": {"payload:read where sever=a"}}, Grants: []GrantConfig{{Roles: []string{"x"}}}},
		"the filter is empty":      {Roles: map[string][]string{"x": {"payload:read where  "}}, Grants: []GrantConfig{{Roles: []string{"x"}}}},
		"takes no filter":          {Roles: map[string][]string{"x": {"audit:read where server=a"}}, Grants: []GrantConfig{{Roles: []string{"x"}}}},
		"is a built-in role":       {Roles: map[string][]string{"admin": {"audit:read"}}, Grants: []GrantConfig{{Roles: []string{"admin"}}}},
		`there is no role "y"`:     {Grants: []GrantConfig{{Roles: []string{"y"}}}},
		"gives no `roles`":         {Grants: []GrantConfig{{Attribute: "a", Value: "b"}}},
		"both `attribute`":         {Grants: []GrantConfig{{Attribute: "a", Roles: []string{"viewer"}}}},
	} {
		_, err := newAccess(&c)
		require.ErrorContains(t, err, want)
	}
	cfg := testConfig(t)
	cfg.Access = &AccessConfig{Grants: []GrantConfig{{Roles: []string{"viewer"}}}}
	require.ErrorContains(t, cfg.Validate(), "`access` needs `auth` or `oidc`")
}
