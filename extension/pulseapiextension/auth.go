// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensionauth"

	"github.com/qpoint-io/otelcol-qpoint/internal/identity"
)

const (
	sessionLifetime = 12 * time.Hour
	maxSessions     = 1000
)

var errUnauthenticated = errors.New("no valid token")

// authenticator decides who may call the API. A program sends its credentials with every
// request; a browser gives a token once and holds a cookie from then on.
type authenticator struct {
	server extensionauth.Server
	local  bool // the local token, not an authenticator extension
	// provider is that of `oidc`; nil without it.
	provider *identityProvider

	mu       sync.Mutex
	sessions map[string]session
}

// session stands for the header it was opened with, which is checked again on every request:
// a token that was revoked ends its sessions.
type session struct {
	header  string
	expires time.Time
}

type sessionCookie struct {
	// name carries the port, because browsers share cookies between the ports of a host.
	name   string
	secure bool
}

// newAuthenticator returns the configured authenticator, or the local one with its token.
func (e *apiExtension) newAuthenticator(ctx context.Context, host component.Host) (*authenticator, string, error) {
	if e.cfg.Auth.HasValue() {
		server, err := e.cfg.Auth.Get().Config.GetServerAuthenticator(ctx, host.GetExtensions())
		if err != nil {
			return nil, "", fmt.Errorf("`auth`: %w", err)
		}
		if _, ok := server.(identity.WriteOnly); ok {
			return nil, "", fmt.Errorf("`auth::authenticator` %s knows tokens that write only: name an authenticator of people who read", e.cfg.Auth.Get().Config.AuthenticatorID)
		}
		return &authenticator{server: server, sessions: map[string]session{}}, "", nil
	}
	if e.cfg.OIDC != nil {
		p := newIdentityProvider(e.cfg.OIDC)
		return &authenticator{server: p, provider: p, sessions: map[string]session{}}, "", nil
	}
	token, err := localToken(e.cfg.LocalTokenFile)
	if err != nil {
		return nil, "", err
	}
	want := []byte("Bearer " + token)
	check := extensionauth.ServerAuthenticateFunc(func(ctx context.Context, sources map[string][]string) (context.Context, error) {
		got := []byte(http.Header(sources).Get("Authorization"))
		if subtle.ConstantTimeCompare(got, want) != 1 {
			return ctx, errUnauthenticated
		}
		return ctx, nil
	})
	return &authenticator{server: check, local: true, sessions: map[string]session{}}, token, nil
}

var tokenShape = regexp.MustCompile(`^[0-9a-zA-Z_-]{32,128}$`)

// localToken reads the token from file, or makes the file, readable by its owner only.
func localToken(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err == nil {
		info, err := os.Stat(file)
		if err != nil {
			return "", fmt.Errorf("`local_token_file`: %w", err)
		}
		token := strings.TrimSpace(string(data))
		switch {
		case info.Mode().Perm()&0o077 != 0:
			return "", fmt.Errorf("`local_token_file` %s can be read by other users: chmod 600 it, or delete it to get a new token", file)
		case !tokenShape.MatchString(token):
			return "", fmt.Errorf("`local_token_file` %s holds no token of 32 to 128 letters and digits: delete it to get a new one", file)
		}
		return token, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("`local_token_file`: %w", err)
	}
	raw := make([]byte, 24)
	_, _ = rand.Read(raw) // never fails, by its contract
	token := hex.EncodeToString(raw)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("`local_token_file`: %w", err)
	}
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("`local_token_file`: %w", err)
	}
	return token, nil
}

// check returns the context of an authenticated request.
func (a *authenticator) check(r *http.Request, cookie sessionCookie) (context.Context, error) {
	if r.Header.Get("Authorization") == "" {
		if c, err := r.Cookie(cookie.name); err == nil {
			if header, ok := a.sessionHeader(c.Value, time.Now()); ok {
				return a.server.Authenticate(r.Context(), map[string][]string{"Authorization": {header}})
			}
		}
	}
	// Without a session the authenticator decides, since it may look at other headers.
	return a.server.Authenticate(r.Context(), r.Header)
}

// open starts a session for a bearer token that the authenticator accepts.
func (a *authenticator) open(ctx context.Context, token string, now time.Time) (id string, err error) {
	header := "Bearer " + token
	if _, err := a.server.Authenticate(ctx, map[string][]string{"Authorization": {header}}); err != nil {
		return "", err
	}
	raw := make([]byte, 32)
	_, _ = rand.Read(raw)
	id = hex.EncodeToString(raw)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropSessions(now)
	a.sessions[id] = session{header: header, expires: now.Add(sessionLifetime)}
	return id, nil
}

// close ends a session.
func (a *authenticator) close(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.sessions, id)
}

func (a *authenticator) sessionHeader(id string, now time.Time) (string, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, ok := a.sessions[id]
	return s.header, ok && now.Before(s.expires)
}

// dropSessions makes room: first of what has expired, then of the oldest.
func (a *authenticator) dropSessions(now time.Time) {
	oldest := ""
	for id, s := range a.sessions {
		switch {
		case now.After(s.expires):
			delete(a.sessions, id)
		case oldest == "" || s.expires.Before(a.sessions[oldest].expires):
			oldest = id
		}
	}
	if len(a.sessions) >= maxSessions {
		delete(a.sessions, oldest)
	}
}

// who names the caller for the audit line.
func (a *authenticator) who(ctx context.Context) string {
	if a.local {
		return "local"
	}
	if auth := client.FromContext(ctx).Auth; auth != nil {
		for _, key := range []string{"subject", "username"} {
			if name, ok := auth.GetAttribute(key).(string); ok && name != "" {
				return name
			}
		}
	}
	return "authenticated"
}

// localHost reports whether a Host header can only come from a page of this machine: a name
// that an attacker's DNS can point at 127.0.0.1 (DNS rebinding) is none.
func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	return isLoopback(strings.Trim(host, "[]"))
}
