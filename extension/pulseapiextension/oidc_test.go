// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/coreos/go-oidc/v3/oidc/oidctest"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// provider is an OpenID Connect provider that signs everybody in as sam of the team shop. Discovery, keys and signatures
// are go-oidc's; the two endpoints of the code flow check what RFC 6749 and RFC 7636 say.
type provider struct {
	t   *testing.T
	url string
	key crypto.PrivateKey

	mu    sync.Mutex
	codes map[string]url.Values // what each was asked for with
	nonce string                // is answered instead of the one that was asked for
}

func newProvider(t *testing.T) *provider {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	discovery := &oidctest.Server{PublicKeys: []oidctest.PublicKey{{PublicKey: key.Public(), KeyID: "k", Algorithm: oidc.RS256}}}
	p := &provider{t: t, key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.Handle("/", discovery)
	mux.HandleFunc("GET /auth", p.auth)
	mux.HandleFunc("POST /token", p.token)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	p.url = server.URL
	discovery.SetIssuer(p.url)
	return p
}

func (p *provider) auth(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := r.URL.Query()
	code := fmt.Sprint("code-", len(p.codes))
	p.codes[code] = q
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"state": {q.Get("state")}, "code": {code}}.Encode(), http.StatusFound)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	asked, ok := p.codes[r.FormValue("code")]
	delete(p.codes, r.FormValue("code"))
	challenge := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if !ok || asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(challenge[:]) {
		http.Error(w, `{"error":"invalid_grant"}`, http.StatusBadRequest)
		return
	}
	nonce := asked.Get("nonce")
	if p.nonce != "" {
		nonce = p.nonce
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"access_token": "a", "token_type": "Bearer", "id_token": p.sign("pulse", nonce, time.Hour)})
}

func (p *provider) sign(audience, nonce string, lifetime time.Duration) string {
	claims, err := json.Marshal(map[string]any{
		"iss": p.url, "aud": audience, "sub": "7", "email": "sam@example.com", "groups": []string{"shop"}, "nonce": nonce,
		"iat": time.Now().Unix(), "exp": time.Now().Add(lifetime).Unix(),
	})
	require.NoError(p.t, err)
	return oidctest.SignIDToken(p.key, "k", oidc.RS256, string(claims))
}

func TestOIDC(t *testing.T) {
	p := newProvider(t)
	cfg := testConfig(t)
	cfg.NetAddr.Endpoint = testkit.Addr(t)
	cfg.OIDC = &OIDCConfig{IssuerURL: p.url, ClientID: "pulse", ClientSecret: "very-secret-client", RedirectURL: "http://" + cfg.NetAddr.Endpoint + "/api/v1/login/callback", UsernameClaim: "email"}
	cfg.Access = &AccessConfig{Grants: []GrantConfig{{Attribute: "groups", Value: "shop", Roles: []string{"viewer"}}}}
	s := start(t, cfg, &rows{})
	require.NotContains(t, s.stdout.String(), "token")

	// A program sends an ID token.
	good := p.sign("pulse", "", time.Hour)
	status, body, _ := s.call(t, "GET", "/api/v1/me", "", as(good))
	require.Equal(t, 200, status)
	require.Equal(t, "sam@example.com", body["who"])
	require.Len(t, body["capabilities"], 1)
	for name, bad := range map[string]string{"audience": p.sign("other", "", time.Hour), "expired": p.sign("pulse", "", -time.Hour), "signature": good[:len(good)-4] + "AAAA", "none": "x"} {
		require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/me", "", as(bad)), name)
	}
	_, body, _ = s.call(t, "GET", "/api/v1/me", "", without)
	require.Equal(t, "api/v1/login", body["login"], "the page knows where to sign in")

	// A browser goes to the provider and comes back with a session.
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()
	var visited []string
	browser := &http.Client{Jar: jar, Transport: transport, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		visited = append(visited, r.URL.String())
		return nil
	}}
	get := func(path string) (*http.Response, error) {
		res, err := browser.Get(s.url + path)
		if err == nil {
			t.Cleanup(func() { _ = res.Body.Close() })
		}
		return res, err
	}
	res, err := get("/api/v1/login")
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, s.url+"/", res.Request.URL.String(), "the page")
	for _, u := range visited {
		require.NotContains(t, u, "eyJ", "no token is in a URL")
	}
	res, err = get("/api/v1/me")
	require.NoError(t, err)
	require.Equal(t, 200, res.StatusCode)
	callback := visited[1]
	require.Contains(t, callback, "/login/callback?")

	// Neither a second time, nor from another browser, nor with another nonce.
	res, err = browser.Get(callback)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, 401, res.StatusCode)
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/login/callback?state=x&code=y", "", without))
	p.mu.Lock()
	p.nonce = "stolen"
	p.mu.Unlock()
	res, err = get("/api/v1/login")
	require.NoError(t, err)
	require.Equal(t, 401, res.StatusCode)

	// Signed out.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodDelete, s.url+"/api/v1/session", nil)
	require.NoError(t, err)
	res, err = browser.Do(r)
	require.NoError(t, err)
	_ = res.Body.Close()
	require.Equal(t, 204, res.StatusCode)
	res, err = get("/api/v1/me")
	require.NoError(t, err)
	require.Equal(t, 401, res.StatusCode)
	s.requireLogsWithout(t, good, "very-secret-client", "eyJ")
}

func TestOIDCConfig(t *testing.T) {
	ok := OIDCConfig{IssuerURL: "https://id.example.com", ClientID: "pulse", RedirectURL: "https://pulse.example.com/api/v1/login/callback"}
	require.NoError(t, ok.validate())
	for want, edit := range map[string]func(*OIDCConfig){
		"`oidc::issuer_url` is not an https URL": func(o *OIDCConfig) { o.IssuerURL = "http://id.example.com" },
		"`oidc::client_id` is missing":           func(o *OIDCConfig) { o.ClientID = "" },
		"does not end in /api/v1/login":          func(o *OIDCConfig) { o.RedirectURL = "https://pulse.example.com/" },
	} {
		bad := ok
		edit(&bad)
		require.ErrorContains(t, bad.validate(), want)
	}
	cfg := testConfig(t)
	cfg.OIDC, cfg.Auth = &ok, someAuth(component.MustNewID("x"))
	require.ErrorContains(t, cfg.Validate(), "exclude each other")
	cfg = testConfig(t)
	cfg.OIDC, cfg.NetAddr.Endpoint = &ok, "0.0.0.0:8686"
	require.NoError(t, cfg.Validate(), "people sign in: other hosts may reach it")

	s := start(t, testConfig(t), &rows{})
	require.Equal(t, "no_login", s.code(t, 404, "GET", "/api/v1/login", ""))
}

// TestStrangersLogins: however many flows a stranger begins, another person can sign in; and a cookie is good only as it was given.
func TestStrangersLogins(t *testing.T) {
	issuer := newProvider(t)
	p := newIdentityProvider(&OIDCConfig{IssuerURL: issuer.url, ClientID: "pulse"})
	defer p.close()
	now := time.Now()
	for range 3000 {
		_, _, err := p.begin(t.Context(), now)
		require.NoError(t, err)
	}
	cookie, location, err := p.begin(t.Context(), now)
	require.NoError(t, err)
	l, ok := p.unseal(cookie, now)
	require.True(t, ok)
	require.Contains(t, location, "state="+l.State)
	require.NotContains(t, cookie+location, l.Verifier)

	_, ok = p.unseal(cookie, now.Add(loginLifetime+time.Second))
	require.False(t, ok, "too late")
	changed := []byte(cookie)
	changed[20] ^= 1
	other := newIdentityProvider(&OIDCConfig{IssuerURL: issuer.url, ClientID: "pulse"})
	defer other.close()
	for _, bad := range []string{"", "x", string(changed), other.seal(l), base64.RawURLEncoding.EncodeToString([]byte(`{"State":"s"}`))} {
		_, ok := p.unseal(bad, now)
		require.False(t, ok)
	}
	_, err = p.finish(t.Context(), cookie, "another state", "code", now)
	require.ErrorIs(t, err, errUnauthenticated)
}

// TestSlowIssuer: who waits for an issuer that does not answer waits no longer than it wants to, and they ask it once.
func TestSlowIssuer(t *testing.T) {
	asked, answer := make(chan struct{}, 10), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		asked <- struct{}{}
		<-answer
	}))
	defer server.Close()
	p := newIdentityProvider(&OIDCConfig{IssuerURL: server.URL, ClientID: "pulse"})
	defer p.close()
	var first sync.WaitGroup
	first.Go(func() { _, err := p.discover(context.Background()); assert.Error(t, err) })
	<-asked
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := p.discover(gone)
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, asked)
	close(answer)
	first.Wait()
}
