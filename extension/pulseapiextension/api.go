// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

const (
	maxConcurrentQueries = 8
	queryTimeout         = 15 * time.Second
	queueTimeout         = 2 * time.Second
	maxBody              = 4 << 10
)

// openAPI is the contract of the API. A test holds every answer against it.
//
//go:embed openapi.yaml
var openAPI []byte

// api answers /api/v1 and the page.
type api struct {
	reader      pulsestore.Reader
	environment string
	auth        *authenticator
	cookie      sessionCookie
	signer      *signer // nil without a bucket
	page        *page
	links       metric.Int64Counter
	log         *zap.Logger
	audit       *zap.Logger
	now         func() time.Time
	slots       chan struct{} // one per query that may run now
}

// problem is an error answer (RFC 9457). Code is stable, Detail is for people.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	Reason string `json:"reason,omitempty"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func fail(status int, code, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// endpoint is a handler that answers with a value or an error.
type endpoint func(r *http.Request) (any, error)

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]endpoint{
		"GET /api/v1/requests":                a.getRequests,
		"GET /api/v1/requests/{trace}/{span}": a.getRequest,
		"GET /api/v1/connections":             a.getConnections,
		"GET /api/v1/coverage":                a.getCoverage,
		"GET /api/v1/config":                  a.getConfig,
		"POST /api/v1/payload-links":          a.postPayloadLink,
	} {
		mux.Handle(pattern, a.authenticated(h))
	}
	mux.HandleFunc("POST /api/v1/session", a.postSession)
	mux.Handle("GET /api/v1/healthz", a.answer(a.getHealth))
	mux.HandleFunc("GET /api/v1/openapi.yaml", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/yaml")
		_, _ = w.Write(openAPI)
	})
	mux.Handle("/api/", a.answer(func(r *http.Request) (any, error) {
		return nil, fail(http.StatusNotFound, "no_such_route", r.Method+" "+r.URL.Path+" is not part of the API: see /api/v1/openapi.yaml")
	}))
	mux.Handle("/", a.page)
	return a.guard(mux)
}

// guard turns away what a web page of another origin could send through the user's browser.
func (a *api) guard(next http.Handler) http.Handler {
	origins := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", a.page.csp)
		h.Set("Cache-Control", "no-store")
		if a.auth.local && !localHost(r.Host) {
			a.writeError(w, r, fail(http.StatusMisdirectedRequest, "host_refused", "open Pulse as localhost or by its address: other names are refused without `auth`"))
			return
		}
		if err := origins.Check(r); err != nil {
			a.writeError(w, r, fail(http.StatusForbidden, "origin_refused", "requests from pages of another origin are refused"))
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (a *api) authenticated(h endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := a.auth.check(r, a.cookie)
		if err != nil {
			a.writeError(w, r, a.unauthenticated())
			return
		}
		a.answer(h).ServeHTTP(w, r.WithContext(ctx))
	})
}

func (a *api) unauthenticated() *problem {
	if a.auth.local {
		return fail(http.StatusUnauthorized, "unauthenticated", "send Authorization: Bearer with the token of `local_token_file`, or open the URL that the collector printed")
	}
	return fail(http.StatusUnauthorized, "unauthenticated", "the authenticator refused the request")
}

func (a *api) answer(h endpoint) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := h(r)
		if err != nil {
			a.writeError(w, r, err)
			return
		}
		writeJSON(w, http.StatusOK, "application/json", body)
	})
}

func (a *api) writeError(w http.ResponseWriter, r *http.Request, err error) {
	var p *problem
	switch {
	case errors.As(err, &p):
	case errors.Is(err, context.Canceled):
		return // nobody is left to read the answer
	case errors.Is(err, context.DeadlineExceeded):
		p = fail(http.StatusGatewayTimeout, "query_timeout", "the store took longer than "+queryTimeout.String()+": ask for a shorter time range")
	case neverWritten(err):
		p = fail(http.StatusServiceUnavailable, "no_tables", "nothing was ever written to this database: is a `pulse` exporter running, and is `database` right?")
	default:
		// The text may name hosts or users of the store: it is for the log, not for the caller.
		a.log.Error("cannot answer a request", zap.String("route", r.Pattern), zap.Error(err))
		p = fail(http.StatusServiceUnavailable, "store_unavailable", "the store did not answer: see the collector's log")
	}
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the caller has gone
}

// query runs f with the limits that hold for every question to the store.
func (a *api) query(ctx context.Context, f func(context.Context) error) error {
	timer := time.NewTimer(queueTimeout)
	defer timer.Stop()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return fail(http.StatusServiceUnavailable, "busy", "too many queries are running: try again")
	}
	ctx, cancel := context.WithTimeout(ctx, queryTimeout)
	defer cancel()
	return f(ctx)
}

// decodeBody reads one JSON object without unknown keys.
func decodeBody(r *http.Request, into any) error {
	d := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fail(http.StatusBadRequest, "bad_body", "the body is not the JSON object that /api/v1/openapi.yaml describes")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fail(http.StatusBadRequest, "bad_body", "the body has more than one JSON value")
	}
	return nil
}

type sessionRequest struct {
	Token string `json:"token"`
}

// postSession trades a token for a cookie that scripts cannot read and other sites cannot send.
func (a *api) postSession(w http.ResponseWriter, r *http.Request) {
	var body sessionRequest
	if err := decodeBody(r, &body); err != nil {
		a.writeError(w, r, err)
		return
	}
	id, err := a.auth.open(r.Context(), body.Token, a.now())
	if err != nil {
		a.writeError(w, r, a.unauthenticated())
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: a.cookie.name, Value: id, Path: "/api/", MaxAge: int(sessionLifetime / time.Second),
		HttpOnly: true, Secure: a.cookie.secure, SameSite: http.SameSiteStrictMode,
	})
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) getHealth(r *http.Request) (any, error) {
	ctx, cancel := context.WithTimeout(r.Context(), queueTimeout)
	defer cancel()
	if err := a.query(ctx, a.reader.Ping); err != nil {
		return nil, err
	}
	return map[string]string{"status": "ok"}, nil
}

type configAnswer struct {
	Environment string        `json:"environment"`
	Auth        string        `json:"auth"` // local_token | authenticator
	Limits      limitsAnswer  `json:"limits"`
	Payload     *payloadPlace `json:"payload"`
}

type limitsAnswer struct {
	DefaultLimit   int   `json:"default_limit"`
	MaxLimit       int   `json:"max_limit"`
	DefaultRange   int64 `json:"default_range_ns"`
	ReceiptTimeout int64 `json:"receipt_timeout_ns"`
	LinkLifetime   int64 `json:"link_lifetime_ns"`
}

type payloadPlace struct {
	Origin string `json:"origin"`
	Bucket string `json:"bucket"`
	Prefix string `json:"prefix"`
}

func (a *api) getConfig(r *http.Request) (any, error) {
	if _, err := parseParams(r.URL.Query(), nil); err != nil {
		return nil, err
	}
	c := configAnswer{Environment: a.environment, Auth: "authenticator", Limits: limitsAnswer{
		DefaultLimit: defaultLimit, MaxLimit: maxLimit, DefaultRange: int64(defaultRange),
		ReceiptTimeout: int64(receiptTimeout), LinkLifetime: int64(linkLifetime),
	}}
	if a.auth.local {
		c.Auth = "local_token"
	}
	if a.signer != nil {
		c.Payload = &payloadPlace{Origin: a.signer.origin(), Bucket: a.signer.bucket(), Prefix: a.signer.prefix}
	}
	return c, nil
}
