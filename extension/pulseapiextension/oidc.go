// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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
	maxLogins     = 1000
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
			errs = append(errs, fmt.Errorf("`oidc.%s` is not an https URL", key))
		}
	}
	if o.ClientID == "" {
		errs = append(errs, errors.New("`oidc.client_id` is missing"))
	}
	if !strings.HasSuffix(o.RedirectURL, loginPath+"/callback") {
		errs = append(errs, fmt.Errorf("`oidc.redirect_url` does not end in %s/callback", loginPath))
	}
	return errors.Join(errs...)
}

// identityProvider checks ID tokens, and leads browsers through the authorization code flow with PKCE (RFC 7636).
type identityProvider struct {
	cfg    *OIDCConfig
	client *http.Client

	mu       sync.Mutex
	provider *oidc.Provider // nil until the issuer has answered once
	logins   map[string]login
}

// login is a flow that has begun, by its state.
type login struct {
	nonce, verifier string
	expires         time.Time
}

func newIdentityProvider(cfg *OIDCConfig) *identityProvider {
	// A transport of its own: nothing of it may be left open when the extension has stopped.
	return &identityProvider{cfg: cfg, client: &http.Client{Timeout: 10 * time.Second, Transport: http.DefaultTransport.(*http.Transport).Clone()}, logins: map[string]login{}}
}

func (p *identityProvider) close() {
	if p != nil {
		p.client.CloseIdleConnections()
	}
}

// discover asks the issuer once, when it is first needed: it may start later than we do.
func (p *identityProvider) discover() (*oidc.Provider, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.provider == nil {
		// The provider keeps this context to fetch keys with, so it is no request's.
		provider, err := oidc.NewProvider(oidc.ClientContext(context.Background(), p.client), p.cfg.IssuerURL)
		if err != nil {
			return nil, fmt.Errorf("`oidc.issuer_url` does not answer: %w", err)
		}
		p.provider = provider
	}
	return p.provider, nil
}

// Authenticate implements extensionauth.Server for ID tokens as bearer tokens.
func (p *identityProvider) Authenticate(ctx context.Context, sources map[string][]string) (context.Context, error) {
	token, ok := strings.CutPrefix(http.Header(sources).Get("Authorization"), "Bearer ")
	if !ok {
		return ctx, errUnauthenticated
	}
	provider, err := p.discover()
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

// begin returns where a browser has to go, and the state that it has to come back with.
func (p *identityProvider) begin(now time.Time) (state, location string, err error) {
	provider, err := p.discover()
	if err != nil {
		return "", "", err
	}
	l := login{nonce: random(), verifier: oauth2.GenerateVerifier(), expires: now.Add(loginLifetime)}
	state = random()
	p.mu.Lock()
	defer p.mu.Unlock()
	for s, old := range p.logins {
		if now.After(old.expires) {
			delete(p.logins, s)
		}
	}
	if len(p.logins) >= maxLogins {
		return "", "", errBusy()
	}
	p.logins[state] = l
	return state, p.oauth(provider).AuthCodeURL(state, oidc.Nonce(l.nonce), oauth2.S256ChallengeOption(l.verifier)), nil
}

// finish trades the code for an ID token, once per state.
func (p *identityProvider) finish(ctx context.Context, state, code string, now time.Time) (string, error) {
	p.mu.Lock()
	l, ok := p.logins[state]
	delete(p.logins, state)
	p.mu.Unlock()
	if !ok || now.After(l.expires) {
		return "", errUnauthenticated
	}
	provider, err := p.discover()
	if err != nil {
		return "", err
	}
	token, err := p.oauth(provider).Exchange(oidc.ClientContext(ctx, p.client), code, oauth2.VerifierOption(l.verifier))
	if err != nil {
		return "", errUnauthenticated // the cause may hold what the provider said, tokens among it
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: p.cfg.ClientID}).Verify(ctx, raw)
	if err != nil || id.Nonce != l.nonce {
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
func (a *api) loginCookie(state string, age time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: a.cookie.name + "_login", Value: state, Path: loginPath, MaxAge: int(age / time.Second), HttpOnly: true, Secure: a.cookie.secure, SameSite: http.SameSiteLaxMode,
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
	state, location, err := a.auth.provider.begin(a.now())
	if err != nil {
		a.writeError(w, r, err)
		return
	}
	http.SetCookie(w, a.loginCookie(state, loginLifetime))
	http.Redirect(w, r, location, http.StatusSeeOther)
}

// getLoginCallback is where the provider leads back to. The session begins as by POST /session.
func (a *api) getLoginCallback(w http.ResponseWriter, r *http.Request) {
	state := r.URL.Query().Get("state")
	cookie, err := r.Cookie(a.cookie.name + "_login")
	if a.auth.provider == nil || err != nil || state == "" || cookie.Value != state {
		a.refuse(w, r)
		return
	}
	http.SetCookie(w, a.loginCookie("", -time.Second))
	token, err := a.auth.provider.finish(r.Context(), state, r.URL.Query().Get("code"), a.now())
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
