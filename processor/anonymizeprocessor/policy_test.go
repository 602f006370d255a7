// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/identity"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
)

const (
	keyA = "0123456789abcdef0123456789abcdef"
	keyB = "fedcba9876543210fedcba9876543210"
)

func with(t *testing.T, change ...func(*Config)) *policy {
	t.Helper()
	cfg := testConfig("test", change...)
	require.NoError(t, cfg.Validate())
	p, err := newPolicy(cfg)
	require.NoError(t, err)
	return p
}

func modes(m map[string]string) func(*Config) { return func(c *Config) { c.Modes = m } }

func keys(list ...KeyConfig) func(*Config) { return func(c *Config) { c.HMACKeys = list } }

var current = keys(KeyConfig{ID: "a", Key: keyA})

func TestModesInPaths(t *testing.T) {
	t.Parallel()
	const was = "/users/Alice@example.com/cards/4111111111111111/orders/42/" + jwt
	for name, tc := range map[string]struct {
		modes map[string]string
		want  string // a pattern
	}{
		"mask": {nil, "^/users/{email}/cards/{id}/orders/{id}/{token}$"},
		"keep": {map[string]string{"email": "keep"}, "^/users/Alice@example.com/cards/{id}/orders/{id}/{token}$"},
		"hmac": {map[string]string{"email": "hmac", "card": "hmac"}, `^/users/{email:a\.[0-9a-f]{24}}/cards/{id:a\.[0-9a-f]{24}}/orders/{id}/{token}$`},
		"drop": {map[string]string{"card": "drop"}, "^$"},
		"all":  {map[string]string{"email": "keep", "card": "keep", "number": "keep", "jwt": "keep"}, "^" + was + "$"},
	} {
		p := with(t, modes(tc.modes), current)
		got, ok := p.path(was, false)
		require.Equal(t, name != "drop", ok, name)
		require.Regexp(t, tc.want, got, name)
		if ok {
			again, _ := p.path(got, false)
			require.Equal(t, got, again, name)
			templ, _ := p.path(got, true)
			require.Equal(t, "/users/{email}/cards/{id}/orders/{id}/{token}", templ, "%s: a template has no values", name)
		}
	}
}

func TestModesOfSpan(t *testing.T) {
	t.Parallel()
	run := func(m map[string]string) (ptrace.Span, map[string]any) {
		a, err := newAnonymizer(componenttest.NewNopTelemetrySettings(), testConfig("test", modes(m), current))
		require.NoError(t, err)
		td, err := a.processTraces(t.Context(), oneSpan(func(s ptrace.Span) {
			s.SetKind(ptrace.SpanKindClient)
			must(s.Attributes().FromRaw(map[string]any{"http.request.method": "GET", "url.full": "https://example.com/users/alice@example.com?x=1"}))
		}))
		require.NoError(t, err)
		s := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0)
		return s, s.Attributes().AsRaw()
	}
	s, attrs := run(map[string]string{"email": "hmac"})
	require.Equal(t, "GET /users/{email}", s.Name())
	require.Equal(t, "/users/{email}", attrs["url.template"])
	require.Regexp(t, `^/users/{email:a\.[0-9a-f]{24}}$`, attrs["url.path"])
	require.Equal(t, fmt.Sprintf("https://example.com%s?x=", attrs["url.path"]), attrs["url.full"])

	s, attrs = run(map[string]string{"email": "drop"})
	require.Equal(t, "GET /users/{email}", s.Name())
	require.Equal(t, map[string]any{"http.request.method": "GET", "url.template": "/users/{email}"}, attrs)
}

func TestModesInNames(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		mode, was, want string
	}{
		{"mask", "job of alice@example.com", "job of {email}"},
		{"mask", "checkout", "checkout"},
		{"mask", "a 4111 1111 1111 1111 b DE89370400440532013000", "a {card} b {iban}"},
		{"mask", "x {email} y", "x {email} y"},
		{"mask", "x {other} y", ""},
		{"mask", "x {email:a.0123456789abcdef01234567}", ""},
		{"keep", "job of alice@example.com", "job of alice@example.com"},
		{"drop", "job of alice@example.com", ""},
	} {
		p := with(t, modes(map[string]string{"email": tc.mode}), current)
		got, ok := p.label(tc.was)
		require.Equal(t, tc.want != "", ok, tc.was)
		if ok {
			require.Equal(t, tc.want, got)
		}
	}
	p := with(t, modes(map[string]string{"email": "hmac"}), current)
	got, ok := p.label("job of alice@example.com")
	require.True(t, ok)
	require.Regexp(t, `^job of {email:a\.[0-9a-f]{24}}$`, got)
	again, ok := p.label(got)
	require.True(t, ok)
	require.Equal(t, got, again)
}

// TestRotation changes the key: what the old one made is still known, and new values are of the new one.
func TestRotation(t *testing.T) {
	t.Parallel()
	email := modes(map[string]string{"email": "hmac"})
	before := with(t, email, current)
	after := with(t, email, keys(KeyConfig{ID: "b", Key: keyB}, KeyConfig{ID: "a", Key: keyA}))
	without := with(t, email, keys(KeyConfig{ID: "b", Key: keyB}))
	impostor := with(t, email, keys(KeyConfig{ID: "a", Key: keyB}))

	old, _ := before.path("/alice@example.com", false)
	require.Contains(t, old, "{email:a.")
	same, _ := before.path("/ALICE%40example.com", false)
	require.Equal(t, old, same, "one address, two ways to write it")
	other, _ := before.path("/bob@example.com", false)
	require.NotEqual(t, old, other)

	kept, _ := after.path(old, false)
	require.Equal(t, old, kept)
	fresh, _ := after.path("/alice@example.com", false)
	require.Contains(t, fresh, "{email:b.")
	for _, p := range []*policy{without, impostor, defaults} {
		foreign, _ := p.path(old, false)
		require.NotContains(t, foreign, old[len("/{email:a."):len(old)-1], "text that only looks like a pseudonym does not pass")
	}
}

func TestKeyFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(keyA+"\n"), 0o600))
	email := modes(map[string]string{"email": "hmac"})
	inline, _ := with(t, email, current).path("/alice@example.com", false)
	fromFile, _ := with(t, email, keys(KeyConfig{ID: "a", KeyFile: file})).path("/alice@example.com", false)
	require.Equal(t, inline, fromFile)

	for content, want := range map[string]string{"short": "`hmac_keys[0]::key_file` has a key of 5 bytes: 32 is the least", strings.Repeat("a", 5000): "must be a file of at most 4096 bytes"} {
		require.NoError(t, os.WriteFile(file, []byte(content), 0o600))
		_, err := newPolicy(testConfig("test", email, keys(KeyConfig{ID: "a", KeyFile: file})))
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), content)
	}
	_, err := newPolicy(testConfig("test", email, keys(KeyConfig{ID: "a", KeyFile: file + ".none"})))
	require.ErrorContains(t, err, "`hmac_keys[0]::key_file`: ")
}

func TestAddresses(t *testing.T) {
	t.Parallel()
	address := func(m string) *policy { return with(t, func(c *Config) { c.Addresses = m }, current) }
	for was, want := range map[string]string{
		"10.1.2.3": "10.1.2.0", "10.1.2.0": "10.1.2.0", "2001:db8:1:2:3:4:5:6": "2001:db8:1::", "::ffff:10.1.2.3": "10.1.2.0", "example.com": "example.com",
		"3.2.1.10.in-addr.arpa": "in-addr.arpa", "1.0.0.2.ip6.arpa.": "ip6.arpa", "in-addr.arpa": "in-addr.arpa",
	} {
		got, ok := address("truncate").host(was)
		require.True(t, ok, was)
		require.Equal(t, want, got)
	}
	p := address("hmac")
	one, ok := p.host("10.1.2.3")
	require.True(t, ok)
	require.Regexp(t, "^fd51:", one, "a unique local address: the store's columns hold addresses only")
	mapped, _ := p.host("::ffff:10.1.2.3")
	require.Equal(t, one, mapped)
	again, _ := p.host(one)
	require.Equal(t, one, again)
	other, _ := p.host("10.1.2.4")
	require.NotEqual(t, one, other)
	forged, _ := p.host(one[:len(one)-1] + "0")
	require.NotEqual(t, one[:len(one)-1]+"0", forged)

	for m, want := range map[string]string{"keep": "https://10.1.2.3:8443/x", "truncate": "https://10.1.2.0:8443/x", "hmac": "https://[" + one + "]:8443/x"} {
		p := address(m)
		got, _, _, ok := p.url("https://10.1.2.3:8443/x")
		require.True(t, ok)
		require.Equal(t, want, got)
		again, _, _, _ := p.url(got)
		require.Equal(t, got, again)
	}
}

func TestDomains(t *testing.T) {
	t.Parallel()
	p := with(t, current, func(c *Config) {
		c.Domains = []DomainConfig{{Zone: "example.com", Mode: "registrable"}, {Zone: "corp.example.com", Mode: "hmac"}, {Zone: "open.corp.example.com", Mode: "keep"}, {Zone: "internal", Mode: "hmac"}, {Zone: "lan", Mode: "registrable"}}
	})
	for was, want := range map[string]string{
		"example.org": "^example.org$", "a.b.example.com": "^example.com$", "A.B.Example.Com.": "^example.com$", "notexample.com": "^notexample.com$", "example.com": "^example.com$",
		"db-7.corp.example.com": `^h-a-[0-9a-f]{24}\.corp\.example\.com$`, "corp.example.com": "^corp.example.com$", "www.open.corp.example.com": "^www.open.corp.example.com$",
		"vault.internal": `^h-a-[0-9a-f]{24}\.internal$`, "nas.home.lan": "^home.lan$",
	} {
		got, ok := p.host(was)
		require.True(t, ok, was)
		require.Regexp(t, want, got, was)
		again, ok := p.host(got)
		require.True(t, ok, was)
		require.Equal(t, got, again, was)
	}
	one, _ := p.host("db-7.corp.example.com")
	same, _ := p.host("DB-7.corp.example.com.")
	require.Equal(t, one, same)
	url, _, _, ok := p.url("https://db-7.corp.example.com:8443/x")
	require.True(t, ok)
	require.Equal(t, "https://"+one+":8443/x", url)
	forged, _ := p.host("h-a-0123456789abcdef01234567.corp.example.com")
	require.NotContains(t, forged, "0123456789abcdef01234567")
	require.Equal(t, "O=Example", p.distinguishedName("CN=db-7.corp.example.com,O=Example"))
}

func TestFieldsInPaths(t *testing.T) {
	t.Parallel()
	for was, want := range map[string]string{
		"/password/hunter": "/password/{token}", "/reset-password/abcdef/x": "/reset-password/{token}/x", "/ssn/secretword": "/ssn/{id}", "/password/reset": "/password/reset", "/auth/login": "/auth/login",
		"/oauth2/token": "/oauth2/token", "/email/verify": "/email/verify", "/email/alice": "/email/{email}", "/call-555-234-4567": "/{id}", "/2024-01-31": "/{date}", "/tokens/list": "/tokens/list",
	} {
		got, ok := cleanPath(was)
		require.True(t, ok)
		require.Equal(t, want, got)
	}
}

// TestLearnedTemplates sees more words than an API has at one position.
func TestLearnedTemplates(t *testing.T) {
	t.Parallel()
	a, err := newAnonymizer(componenttest.NewNopTelemetrySettings(), testConfig("test", func(c *Config) { c.PathWords = 20 }))
	require.NoError(t, err)
	td := ptrace.NewTraces()
	rs := td.ResourceSpans().AppendEmpty()
	rs.Resource().Attributes().PutStr("service.name", "shop")
	ss := rs.ScopeSpans().AppendEmpty()
	add := func(kind ptrace.SpanKind, key, url string, status int64) {
		s := ss.Spans().AppendEmpty()
		s.SetKind(kind)
		s.SetName("GET")
		s.Attributes().PutStr("http.request.method", "GET")
		s.Attributes().PutStr(key, url)
		s.Attributes().PutStr("server.address", "api.example.com")
		s.Attributes().PutInt("http.response.status_code", status)
	}
	for i := range 21 {
		name := "user" + string(rune('a'+i))
		add(ptrace.SpanKindServer, "url.path", "/people/"+name+"/orders", 200)
		add(ptrace.SpanKindClient, "url.full", "https://api.example.com/repos/"+name+"?q=1", 200)
		add(ptrace.SpanKindServer, "url.path", "/scan/"+name, 404)
	}
	add(ptrace.SpanKindServer, "url.path", "/scan/real", 200)
	add(ptrace.SpanKindServer, "url.path", "/health", 200)
	td, err = a.processTraces(t.Context(), td)
	require.NoError(t, err)
	names := map[string]int{}
	spans := td.ResourceSpans().At(0).ScopeSpans().At(0).Spans()
	for _, s := range spans.All() {
		names[s.Name()]++
		for k, v := range s.Attributes().All() {
			require.NotContains(t, v.AsString(), "/user", k)
		}
	}
	require.Equal(t, map[string]int{"GET /people/{name}/orders": 21, "GET /repos/{name}": 21, "GET /scan/{name}": 21, "GET /scan/real": 1, "GET /health": 1}, names,
		"what a server does not have teaches nothing of what it has")
	full, _ := spans.At(1).Attributes().Get("url.full")
	require.Equal(t, "https://api.example.com/repos/{name}?q=", full.Str())
}

func TestPolicyIsDescribed(t *testing.T) {
	t.Parallel()
	cfg := testConfig("described", modes(map[string]string{"email": "hmac"}), current, func(c *Config) { c.Domains = []DomainConfig{{Zone: "Corp.Example.com.", Mode: "hmac"}} })
	a, err := newAnonymizer(componenttest.NewNopTelemetrySettings(), cfg)
	require.NoError(t, err)
	require.NoError(t, a.start(t.Context(), componenttest.NewNopHost()))
	var mine privacy.Policy
	for _, p := range privacy.Policies() {
		if p.Hash == a.hash {
			mine = p
		}
	}
	require.NoError(t, a.shutdown(t.Context()))
	require.Equal(t, "described", mine.Environment)
	require.Equal(t, "hmac", mine.Modes["email"])
	require.Equal(t, "mask", mine.Modes["card"])
	require.Equal(t, []string{"a"}, mine.HMACKeys)
	require.Equal(t, []privacy.Domain{{Zone: "corp.example.com", Mode: "hmac"}}, mine.Domains)
	require.NotContains(t, fmt.Sprint(mine), keyA)
}

// TestPolicyHashSaysWhatDiffers changes every key of the configuration but the secrets.
func TestPolicyHashSaysWhatDiffers(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, change := range []func(*Config){
		func(*Config) {}, modes(map[string]string{"email": "keep"}), modes(map[string]string{"email": "hmac"}), func(c *Config) { c.Addresses = "truncate" }, func(c *Config) { c.PathWords = 7 },
		current, keys(KeyConfig{ID: "b", Key: keyA}), func(c *Config) { c.Domains = []DomainConfig{{Zone: "a.example", Mode: "keep"}} }, func(c *Config) { c.Domains = []DomainConfig{{Zone: "a.example", Mode: "hmac"}} },
	} {
		hash := policyHash(testConfig("test", change))
		require.False(t, seen[hash])
		seen[hash] = true
	}
	require.Equal(t, policyHash(testConfig("test")), policyHash(testConfig("test", modes(map[string]string{"email": "mask"}))), "the default, said aloud")
}

// TestEnvironmentsLearnApart: words that one environment makes up change no path of another.
func TestEnvironmentsLearnApart(t *testing.T) {
	t.Parallel()
	cfg := createDefaultConfig().(*Config)
	cfg.EnvironmentFromClient, cfg.PathWords = true, 20
	a, err := newAnonymizer(componenttest.NewNopTelemetrySettings(), cfg)
	require.NoError(t, err)
	name := func(environment, path string) string {
		td := ptrace.NewTraces()
		rs := td.ResourceSpans().AppendEmpty()
		rs.Resource().Attributes().PutStr("service.name", "shop")
		s := rs.ScopeSpans().AppendEmpty().Spans().AppendEmpty()
		s.SetKind(ptrace.SpanKindServer)
		s.Attributes().PutStr("http.request.method", "GET")
		s.Attributes().PutStr("url.path", path)
		td, err := a.processTraces(client.NewContext(t.Context(), client.Info{Auth: &identity.Sender{Environment: environment}}), td)
		require.NoError(t, err)
		return td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0).Name()
	}
	for i := range 30 {
		name("theirs", "/madeup"+string(rune('a'+i)))
	}
	require.Equal(t, "GET /{name}", name("theirs", "/health"))
	require.Equal(t, "GET /health", name("ours", "/health"))
}
