// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

func without(r *http.Request) { r.Header.Del("Authorization") }

func TestLocalToken(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/requests", "", without))
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/requests", "", func(r *http.Request) {
		r.Header.Set("Authorization", "Bearer "+strings.Repeat("0", 48))
	}))
	for _, route := range []string{"/api/v1/connections", "/api/v1/coverage", "/api/v1/config", "/api/v1/requests/" + strings.Repeat("a", 32) + "/" + strings.Repeat("b", 16)} {
		require.Equal(t, "unauthenticated", s.code(t, 401, "GET", route, "", without))
	}
	require.Equal(t, "unauthenticated", s.code(t, 401, "POST", "/api/v1/payload-links", "{}", without))
	require.Contains(t, s.stdout.String(), s.url+"/#token="+s.token+"\n")
	s.requireLogsWithout(t, s.token)
	info, err := os.Stat(s.cfg.LocalTokenFile)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}

func TestSession(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	require.Equal(t, "unauthenticated", s.code(t, 401, "POST", "/api/v1/session", `{"token":"wrong"}`, without))
	status, _, header := s.call(t, "POST", "/api/v1/session", fmt.Sprintf(`{"token":%q}`, s.token), without)
	require.Equal(t, 204, status)
	cookie, err := http.ParseSetCookie(header.Get("Set-Cookie"))
	require.NoError(t, err)
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.NotContains(t, cookie.Value, s.token)

	with := func(value string) func(*http.Request) {
		return func(r *http.Request) { without(r); r.AddCookie(&http.Cookie{Name: cookie.Name, Value: value}) }
	}
	status, _, _ = s.call(t, "GET", "/api/v1/requests", "", with(cookie.Value))
	require.Equal(t, 200, status)
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/requests", "", with("guess")))
}

func TestSessionsEnd(t *testing.T) {
	valid := "Bearer t"
	a := &authenticator{sessions: map[string]session{}, server: extensionauth.ServerAuthenticateFunc(func(ctx context.Context, h map[string][]string) (context.Context, error) {
		if http.Header(h).Get("Authorization") != valid {
			return ctx, errors.New("no")
		}
		return ctx, nil
	})}
	now := time.Now()
	id, err := a.open(t.Context(), "t", now.Add(-sessionLifetime-time.Second))
	require.NoError(t, err)
	_, ok := a.sessionHeader(id, now)
	require.False(t, ok, "expired")
	first, err := a.open(t.Context(), "t", now)
	require.NoError(t, err)
	r, err := http.NewRequest(http.MethodGet, "/", nil)
	require.NoError(t, err)
	r.AddCookie(&http.Cookie{Name: "c", Value: first})
	_, err = a.check(r, sessionCookie{name: "c"})
	require.NoError(t, err)
	valid = "Bearer another"
	_, err = a.check(r, sessionCookie{name: "c"})
	require.Error(t, err, "a revoked token ends its session")
	valid = "Bearer t"
	for i := range maxSessions {
		_, err := a.open(t.Context(), "t", now.Add(time.Duration(i+1)))
		require.NoError(t, err)
	}
	require.LessOrEqual(t, len(a.sessions), maxSessions)
	_, ok = a.sessionHeader(first, now)
	require.False(t, ok, "the oldest makes room")
}

func TestOtherOriginsAndHosts(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	require.Equal(t, "host_refused", s.code(t, 421, "GET", "/api/v1/requests", "", func(r *http.Request) { r.Host = "rebind.example.com" }))
	require.Equal(t, "host_refused", s.code(t, 421, "GET", "/api/v1/requests", "", func(r *http.Request) { r.Host = "127.0.0.1.nip.example:8686" }))
	for _, ok := range []string{"localhost", "localhost:9000", "[::1]:8686", "127.0.0.1:8686"} {
		status, _, _ := s.call(t, "GET", "/api/v1/config", "", func(r *http.Request) { r.Host = ok })
		require.Equal(t, 200, status, ok)
	}
	require.Equal(t, "origin_refused", s.code(t, 403, "POST", "/api/v1/payload-links", "{}", func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }))
	require.Equal(t, "origin_refused", s.code(t, 403, "POST", "/api/v1/session", "{}", func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }))
	require.Equal(t, "bad_body", s.code(t, 400, "POST", "/api/v1/payload-links", "{", func(r *http.Request) { r.Header.Set("Origin", s.url) }))
}

func TestLocalTokenFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "deep", "token")
	token, err := localToken(file)
	require.NoError(t, err)
	require.Len(t, token, 48)
	again, err := localToken(file)
	require.NoError(t, err)
	require.Equal(t, token, again, "a restart keeps it")
	require.NoError(t, os.Chmod(file, 0o640))
	_, err = localToken(file)
	require.ErrorContains(t, err, "chmod 600")
	require.NoError(t, os.Chmod(file, 0o600))
	require.NoError(t, os.WriteFile(file, []byte("short"), 0o600))
	_, err = localToken(file)
	require.ErrorContains(t, err, "delete it")
	require.NotContains(t, err.Error(), "short")
	_, err = localToken(t.TempDir())
	require.ErrorContains(t, err, "`local_token_file`")
}

// bearer is an authenticator extension that knows one user.
type bearer struct {
	component.StartFunc
	component.ShutdownFunc
}

type subject struct{}

func (subject) GetAttribute(name string) any { return map[string]any{"subject": "ada"}[name] }
func (subject) GetAttributeNames() []string  { return []string{"subject"} }
func (bearer) Authenticate(ctx context.Context, h map[string][]string) (context.Context, error) {
	if http.Header(h).Get("Authorization") != "Bearer ada" {
		return ctx, errors.New("unknown")
	}
	info := client.FromContext(ctx)
	info.Auth = subject{}
	return client.NewContext(ctx, info), nil
}

func TestAuthenticator(t *testing.T) {
	row := fullRequest(1, time.Now())
	cfg := testConfig(t)
	auth := component.MustNewID("bearer")
	cfg.Auth = someAuth(auth)
	store := &rows{requests: []pulsestore.Request{row}, entries: map[[8]byte][]pulsestore.PayloadEntry{row.SpanID: {{Key: testKey, Offset: 100, Length: 23}}}}
	s := startOn(t, cfg, store, host{auth: bearer{}})
	require.Equal(t, []component.ID{component.MustNewID("local_clickhouse"), auth}, s.Dependencies())
	require.NotContains(t, s.stdout.String(), "token")
	ada := func(r *http.Request) { r.Header.Set("Authorization", "Bearer ada") }
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/requests", ""))
	status, body, _ := s.call(t, "GET", "/api/v1/config", "", ada, func(r *http.Request) { r.Host = "pulse.example.com" })
	require.Equal(t, 200, status)
	require.Equal(t, "authenticator", body["auth"])
	status, _, _ = s.call(t, "POST", "/api/v1/payload-links", fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"}`, row.TraceID, row.SpanID), ada)
	require.Equal(t, 200, status)
	require.Equal(t, "ada", store.audit[0].Actor)
	status, _, _ = s.call(t, "POST", "/api/v1/session", `{"token":"ada"}`, without)
	require.Equal(t, 204, status)
	res, err := http.Get(s.url + "/")
	require.NoError(t, err)
	defer res.Body.Close()
	require.Equal(t, 200, res.StatusCode, "the page loads before anyone has signed in")
}
