// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/config/configopaque"
	"golang.org/x/oauth2"
)

const (
	// loginLifetime is how long a person may take at the provider.
	loginLifetime = 10 * time.Minute
	loginPath     = "/api/v1/login"
)

// OIDCConfig lets people sign in at an OpenID Connect provider, and programs send its ID tokens.
type OIDCConfig struct {
	// IssuerURL is the provider's; its discovery document is below it.
	IssuerURL    string              `mapstructure:"issuer_url"`
	ClientID     string              `mapstructure:"client_id"`
	ClientSecret configopaque.String `mapstructure:"client_secret"`
	// RedirectURL is /api/v1/login/callback of this Pulse as browsers reach it.
	RedirectURL string `mapstructure:"redirect_url"`
	// Scopes are asked for beside openid.
	Scopes []string `mapstructure:"scopes"`
	// UsernameClaim names the caller, for the audit. Empty: sub.
	UsernameClaim string `mapstructure:"username_claim"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func (o *OIDCConfig) validate() error {
	var errs []error
	for key, value := range map[string]string{"issuer_url": o.IssuerURL, "redirect_url": o.RedirectURL} {
		u, err := url.Parse(value)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
			errs = append(errs, fmt.Errorf("`oidc::%s` is not an https URL", key))
		}
	}
	if o.ClientID == "" {
		errs = append(errs, errors.New("`oidc::client_id` is missing"))
	}
	if !strings.HasSuffix(o.RedirectURL, loginPath+"/callback") {
		errs = append(errs, fmt.Errorf("`oidc::redirect_url` does not end in %s/callback", loginPath))
	}
	return errors.Join(errs...)
}

// identityProvider checks ID tokens, and leads browsers through the authorization code flow with PKCE (RFC 7636).
type identityProvider struct {
	cfg    *OIDCConfig
	client *http.Client

	// sealed keeps what a browser's cookie holds of a flow from being read or made by others. Nothing of a flow is kept here, so
	// that nobody can take the room of others by beginning many.
	sealed cipher.AEAD

	mu       sync.Mutex
	provider *oidc.Provider // nil until the issuer has answered once
	asking   *discovery     // under way
}

// discovery is one question to the issuer; what came of it is there when done is closed.
type discovery struct {
	done     chan struct{}
	provider *oidc.Provider
	err      error
}

// login is a flow that has begun, as the cookie of its browser holds it.
type login struct {
	State, Nonce, Verifier string
	Expires                time.Time
}

func newIdentityProvider(cfg *OIDCConfig) *identityProvider {
	// A transport of its own: nothing of it may be left open when the extension has stopped.
	p := &identityProvider{cfg: cfg, client: &http.Client{Timeout: 10 * time.Second, Transport: http.DefaultTransport.(*http.Transport).Clone()}}
	key := make([]byte, 32)
	_, _ = rand.Read(key)              // never fails, by its contract
	block, _ := aes.NewCipher(key)     // fails for other sizes of keys only
	p.sealed, _ = cipher.NewGCM(block) // fails for other ciphers only
	return p
}

func (p *identityProvider) close() {
	if p != nil {
		p.client.CloseIdleConnections()
	}
}

// discover asks the issuer when it is first needed: it may start later than we do. Whoever comes while it is asked waits for
// the same answer, as long as ctx lets it.
func (p *identityProvider) discover(ctx context.Context) (*oidc.Provider, error) {
	p.mu.Lock()
	if p.provider != nil {
		defer p.mu.Unlock()
		return p.provider, nil
	}
	if d := p.asking; d != nil {
		p.mu.Unlock()
		select {
		case <-d.done:
			return d.provider, d.err
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	d := &discovery{done: make(chan struct{})}
	p.asking = d
	p.mu.Unlock()
	// The provider keeps this context to fetch keys with, so it is no request's.
	if d.provider, d.err = oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.cfg.IssuerURL); d.err != nil {
		d.err = fmt.Errorf("`oidc::issuer_url` does not answer: %w", d.err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.provider, p.asking = d.provider, nil
	close(d.done)
	return d.provider, d.err
}

// Authenticate implements extensionauth.Server for ID tokens as bearer tokens.
func (p *identityProvider) Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error) {
	token, ok := strings.CutPrefix(http.Header(sources).Get("Authorization"), "Bearer ")
	if !ok {
		return ctx, errUnauthenticated
	}
	provider, err := p.discover(ctx)
	if err != nil {
		return ctx, err
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}).Verify(ctx, token)
	if err != nil {
		return ctx, errUnauthenticated // the cause may hold parts of the token
	}
	c := claims{}
	if err := id.Claims(&c); err != nil {
		return ctx, errUnauthenticated
	}
	info := client.FromContext(ctx)
	info.Auth = identified{c, nonEmpty(p.cfg.UsernameClaim, "sub")}
	return client.NewContext(ctx, info), nil
}

type claims map[string]any

// identified is a caller by its claims; subject is the one that names it.
type identified struct {
	claims
	name string
}

func (i identified) GetAttribute(name string) any {
	if name == "subject" {
		name = i.name
	}
	return i.claims[name]
}

func (i identified) GetAttributeNames() []string {
	names := []string{"subject"}
	for name := range i.claims {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (p *identityProvider) oauth(provider *oidc.Provider) *oauth2.Config {
	return &oauth2.Config{
		ClientID: p.cfg.ClientID, ClientSecret: string(p.cfg.ClientSecret), RedirectURL: p.cfg.RedirectURL,
		Endpoint: provider.Endpoint(), Scopes: append([]string{oidc.ScopeOpenID}, p.cfg.Scopes...),
	}
}

// begin returns where a browser has to go, and the cookie that it has to come back with.
func (p *identityProvider) begin(ctx context.Context, now time.Time) (cookie, location string, err error) {
	provider, err := p.discover(ctx)
	if err != nil {
		return "", "", err
	}
	l := login{State: random(), Nonce: random(), Verifier: oauth2.GenerateVerifier(), Expires: now.Add(loginLifetime)}
	return p.seal(l), p.oauth(provider).AuthCodeURL(l.State, oidc.Nonce(l.Nonce), oauth2.S256ChallengeOption(l.Verifier)), nil
}

func (p *identityProvider) seal(l login) string {
	text, _ := json.Marshal(l) // texts and a time
	nonce := make([]byte, p.sealed.NonceSize())
	_, _ = rand.Read(nonce) // never fails, by its contract
	return base64.RawURLEncoding.EncodeToString(p.sealed.Seal(nonce, nonce, text, nil))
}

// unseal returns the flow of a cookie, if it is one that this process began for a browser that comes back in time.
func (p *identityProvider) unseal(cookie string, now time.Time) (l login, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(cookie)
	n := p.sealed.NonceSize()
	if err != nil || len(b) < n {
		return l, false
	}
	text, err := p.sealed.Open(nil, b[:n], b[n:], nil)
	return l, err == nil && json.Unmarshal(text, &l) == nil && l.State != "" && !now.After(l.Expires)
}

// finish trades the code for an ID token. The provider takes a code once.
func (p *identityProvider) finish(ctx context.Context, cookie, state, code string, now time.Time) (string, error) {
	l, ok := p.unseal(cookie, now)
	if !ok || subtle.ConstantTimeCompare([]byte(l.State), []byte(state)) != 1 {
		return "", errUnauthenticated
	}
	provider, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	token, err := p.oauth(provider).Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(l.Verifier))
	if err != nil {
		return "", errUnauthenticated // the cause may hold what the provider said, tokens among it
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}).Verify(ctx, raw)
	if err != nil || id.Nonce != l.Nonce {
		return "", errUnauthenticated
	}
	return raw, nil
}

// random is 32 hex digits that cannot be guessed.
func random() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails, by its contract
	return hex.EncodeToString(b)
}

// loginCookie ties a flow to the browser that began it. Lax: the provider leads back by a link of another site.
func (a *api) loginCookie(value string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: a.cookie.name + "_login", Value: value, Path: loginPath, MaxAge: int(age / time.Second), HttpOnly: true, Secure: a.cookie.secure, SameSite: http.SameSiteLaxMode,
	}
}

// getLogin leads a browser to the provider.
func (a *api) getLogin(w http.ResponseWriter, r *http.Request) {
	if a.auth.provider == nil {
		a.writeError(w, r, fail(http.StatusNotFound, "no_login", "this Pulse has no `oidc`: send a token"))
		return
	}
	if err := a.rate.check("address "+remoteHost(r), a.now()); err != nil {
		a.writeError(w, r, err)
		return
	}
	cookie, location, err := a.auth.provider.begin(r.Context(), a.now())
	if err != nil {
		a.writeError(w, r, err)
		return
	}
	http.SetCookie(w, a.loginCookie(cookie, loginLifetime))
	http.Redirect(w, r, location, http.StatusSeeOther)
}

// getLoginCallback is where the provider leads back to. The session begins as by POST /session.
func (a *api) getLoginCallback(w http.ResponseWriter, r *http.Request) {
	cookie, err := r.Cookie(a.cookie.name + "_login")
	if a.auth.provider == nil || err != nil {
		a.refuse(w, r)
		return
	}
	http.SetCookie(w, a.loginCookie("", -time.Second))
	token, err := a.auth.provider.finish(r.Context(), cookie.Value, r.URL.Query().Get("state"), r.URL.Query().Get("code"), a.now())
	if err == nil {
		err = a.openSession(w, r, token)
	}
	if err != nil {
		a.refuse(w, r)
		return
	}
	// Relative, so that it holds behind a prefix of a reverse proxy.
	w.Header().Set("Location", "../../../")
	w.WriteHeader(http.StatusSeeOther)
}
