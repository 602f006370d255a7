// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/erasure"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

const maxBody = 4 << 10

// openAPI is the contract of the API. A test holds every answer against it.
//
//go:embed openapi.yaml
var openAPI []byte

// api answers /api/v1 and the page.
type api struct {
	reader      pulsestore.Reader
	environment string
	auth        *authenticator
	access      *access
	cookie      sessionCookie
	signer      *signer        // nil without a bucket
	eraser      erasure.Eraser // nil where nobody may change the bucket
	places      *places        // nil without a database of countries
	issuers     []tokenIssuer  // of tokens that write
	page        *page
	links       metric.Int64Counter
	log         *zap.Logger
	audit       *zap.Logger
	now         func() time.Time
	queue       *queue
	timeout     time.Duration // of one query
	rate        *limiter
	streams     streams
	// streamLifetime is tailLifetime; a test has less time.
	streamLifetime time.Duration
	version        string
	done           <-chan struct{} // closed when the server stops: streams end then
}

// problem is an error answer (RFC 9457). Code is stable, Detail is for people.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	Detail string `json:"detail,omitempty"`
	Reason string `json:"reason,omitempty"`
	// Login is where a browser can sign in, relative to the page.
	Login string `json:"login,omitempty"`
	// Position is where a filter is wrong.
	Position *position `json:"position,omitempty"`

	retryAfter string // seconds
}

// position counts UTF-16 code units, as browsers do: the first of what is wrong, and the one after its last.
type position struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

func (p *problem) Error() string { return p.Code + ": " + p.Detail }

func fail(status int, code, detail string) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Code: code, Detail: detail}
}

// question is one request of a caller who may ask it.
type question struct {
	*http.Request
	params
	caller string
	may    permissions
	scope  pulsestore.Scope // what the capability of the route lets the caller see
}

// endpoint answers a question with a value, which becomes JSON, a stream, or an error.
type endpoint func(q *question) (any, error)

// stream is an answer that writes itself.
type stream func(w http.ResponseWriter) error

// route is one question that can be asked.
type route struct {
	pattern string
	needs   capability // "": every authenticated caller
	params  []string
	answer  endpoint
	// tool is the name under which the question can be asked by MCP too, about what it answers. "" for none.
	tool, about string
}

func (a *api) routes() []route {
	rows := []string{"from", "to", "limit", "filter"}
	with := func(more ...string) []string { return append(slices.Clone(rows), more...) }
	return []route{
		{"GET /api/v1/requests", readMetadata, with("cursor", "format"), a.getRequests, "list_requests", "Requests, newest first: who asked whom for what, how long it took and how it ended."},
		{"GET /api/v1/requests/tail", readMetadata, []string{"filter"}, a.tailRequests, "", ""},
		{"GET /api/v1/requests/{trace}/{span}", readMetadata, nil, a.getRequest, "", ""},
		{"GET /api/v1/connections", readMetadata, with("cursor", "format"), a.getConnections, "list_connections", "Connections, newest start first: who talked to whom, bytes, TLS, and whether the content could be read."},
		{"GET /api/v1/connections/tail", readMetadata, []string{"filter"}, a.tailConnections, "", ""},
		{"GET /api/v1/connections/{id}", readMetadata, nil, a.getConnection, "", ""},
		{"GET /api/v1/histogram", readMetadata, []string{"from", "to", "filter", "of", "buckets"}, a.getHistogram, "count_by_time", "Numbers of requests by time and class of status, or of connections by time and visibility."},
		{"GET /api/v1/latency", readMetadata, []string{"from", "to", "filter", "buckets"}, a.getLatency, "latency_by_time", "Quantiles of the durations of requests by time."},
		{"GET /api/v1/latency/heatmap", readMetadata, []string{"from", "to", "filter", "buckets"}, a.getHeatMap, "", ""},
		{"GET /api/v1/facets", readMetadata, with("of", "fields"), a.getFacets, "count_values", "How often each value of some fields occurs."},
		{"GET /api/v1/field-values", readMetadata, with("of", "field", "prefix"), a.getFieldValues, "field_values", "Values of one field that begin with a prefix, the most frequent first."},
		{"GET /api/v1/fields", readMetadata, []string{"of"}, a.getFields, "filter_fields", "The keys that filters have, with their kinds and meaning. Ask this before writing a filter."},
		{"GET /api/v1/filter", readMetadata, []string{"of", "text", "at"}, a.getFilter, "", ""},
		{"GET /api/v1/endpoints", readMetadata, with("by", "new_since"), a.getEndpoints, "list_endpoints", "Inventory of the servers that were asked, or of their endpoints: first and last seen, requests, errors, latency. new_since keeps what was never seen before."},
		{"GET /api/v1/processes", readMetadata, with("new_since"), a.getProcesses, "list_processes", "Inventory of the programs that were observed, with their requests and bytes. new_since keeps what was never seen before."},
		{"GET /api/v1/map", readMetadata, rows, a.getMap, "service_map", "Which service asks which server, and which service answers under which name."},
		{"GET /api/v1/talkers", readMetadata, with("by"), a.getTalkers, "top_talkers", "Values of a field of connections with the most bytes."},
		{"GET /api/v1/tls", readMetadata, with("expires_within"), a.getTLS, "tls_findings", "Connections with weak transport security: old TLS, plaintext, servers without a name, certificates that end soon."},
		{"GET /api/v1/countries", readMetadata, rows, a.getCountries, "traffic_by_country", "Bytes and connections by country of the other end."},
		{"GET /api/v1/findings", readMetadata, rows, a.getFindings, "sensitive_data", "Which program sends or receives which kind of sensitive data (card, email, token, …), with which server and at which place of its messages, how often; never a value. Filter keys: kind, message, location, place, server, port, role, service, exe, host, env and others of the origin. Rows with a reason count messages that were not looked at."},
		{"GET /api/v1/coverage", readMetadata, []string{"from", "to", "limit", "host", "subject"}, a.getCoverage, "coverage", "What is seen and what is not, and why."},
		{"GET /api/v1/audit", readAudit, []string{"from", "to", "limit", "actor", "action"}, a.getAudit, "", ""},
		{"GET /api/v1/tokens", readAudit, nil, a.getTokens, "", ""},
		{"GET /api/v1/retention", readRetention, []string{"ttl", "table", "of_environment", "at"}, a.getRetention, "", ""},
		{"POST /api/v1/erase", eraseData, nil, a.postErase, "", ""},
		{"GET /api/v1/bucket-check", readPayload, nil, a.getBucketCheck, "", ""},
		{"GET /api/v1/storage", readRetention, nil, a.getStorage, "", ""},
		{"POST /api/v1/payload-links", "", nil, a.postPayloadLink, "", ""},
		{"GET /api/v1/config", "", nil, a.getConfig, "", ""},
		{"GET /api/v1/me", "", nil, a.getMe, "", ""},
	}
}

func (a *api) handler() http.Handler {
	mux := http.NewServeMux()
	routes := a.routes()
	for _, r := range routes {
		mux.Handle(r.pattern, a.asked(r))
	}
	mux.Handle("/api/v1/mcp", a.newMCP(a.version))
	mux.HandleFunc("POST /api/v1/session", a.postSession)
	mux.HandleFunc("DELETE /api/v1/session", a.deleteSession)
	mux.HandleFunc("GET "+loginPath, a.getLogin)
	mux.HandleFunc("GET "+loginPath+"/callback", a.getLoginCallback)
	mux.Handle("GET /api/v1/healthz", a.answer(func(r *http.Request) (any, error) { return a.getHealth(r.Context()) }))
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

// asked lets a route's question through when its caller is known, not too hasty, and may ask it.
func (a *api) asked(r route) http.Handler {
	return a.known(func(w http.ResponseWriter, req *http.Request, caller string, may permissions) {
		a.answer(func(req *http.Request) (any, error) { return a.ask(r, req, caller, may) }).ServeHTTP(w, req)
	})
}

// ask is the one way to a route's answer, by HTTP and by MCP.
func (a *api) ask(r route, req *http.Request, caller string, may permissions) (any, error) {
	q := &question{Request: req, caller: caller, may: may}
	var err error
	if r.needs != "" {
		if q.scope, err = a.scope(may, r.needs); err != nil {
			return nil, err
		}
	}
	if q.params, err = parseParams(req.URL.Query(), r.params); err != nil {
		return nil, err
	}
	return r.answer(q)
}

// scope is what a capability lets someone see: the one place where roles become predicates.
func (a *api) scope(may permissions, c capability) (pulsestore.Scope, error) {
	scope, ok := may.scope(pulsestore.OnlyEnvironment(a.environment), c)
	if !ok {
		return scope, fail(http.StatusForbidden, "forbidden", "your roles do not include "+string(c)+": ask who runs this Pulse (`access::grants`)")
	}
	return scope, nil
}

// known lets requests of authenticated callers through, as often as they may ask.
func (a *api) known(next func(w http.ResponseWriter, r *http.Request, caller string, may permissions)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, err := a.auth.check(r, a.cookie)
		if err != nil {
			a.refuse(w, r)
			return
		}
		caller := a.auth.who(ctx)
		if err := a.rate.check("caller "+caller, a.now()); err != nil {
			a.writeError(w, r, err)
			return
		}
		next(w, r.WithContext(ctx), caller, a.access.of(ctx))
	})
}

// refuse turns an unknown caller away. Whoever guesses tokens is slowed down, by address.
func (a *api) refuse(w http.ResponseWriter, r *http.Request) {
	if err := a.rate.check("address "+remoteHost(r), a.now()); err != nil {
		a.writeError(w, r, err)
		return
	}
	a.writeError(w, r, a.unauthenticated())
}

func remoteHost(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

func (a *api) unauthenticated() *problem {
	if a.auth.local {
		return fail(http.StatusUnauthorized, "unauthenticated", "send Authorization: Bearer with the token of `local_token_file`, or open the URL that the collector printed")
	}
	p := fail(http.StatusUnauthorized, "unauthenticated", "the authenticator refused the request")
	if a.auth.provider != nil {
		p.Login = strings.TrimPrefix(loginPath, "/")
		p.Detail = "sign in at " + loginPath + ", or send an ID token of `oidc`"
	}
	return p
}

func (a *api) answer(h func(*http.Request) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := h(r)
		if err != nil {
			a.writeError(w, r, err)
			return
		}
		if write, ok := body.(stream); ok {
			if err := write(w); err != nil && r.Context().Err() == nil {
				// The head is sent: all that is left is to end early, which clients notice.
				a.log.Warn("a stream ended early", zap.String("route", r.Pattern), zap.Error(err))
				panic(http.ErrAbortHandler)
			}
			return
		}
		writeJSON(w, http.StatusOK, "application/json", body)
	})
}

func (a *api) writeError(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problemOf(r.Pattern, err)
	if p == nil {
		return // nobody is left to read the answer
	}
	switch p.Status {
	case http.StatusUnauthorized:
		w.Header().Set("WWW-Authenticate", "Bearer")
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		w.Header().Set("Retry-After", cmp.Or(p.retryAfter, "1"))
	}
	writeJSON(w, p.Status, "application/problem+json", p)
}

// problemOf is what a caller is told of an error; nil when the caller has left.
func (a *api) problemOf(route string, err error) *problem {
	var p *problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.Canceled):
		return nil
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, pulsestore.ErrTime):
		return fail(http.StatusGatewayTimeout, "query_timeout", "the store took longer than "+a.timeout.String()+" (`queries::timeout`): ask for a shorter time range")
	case errors.Is(err, pulsestore.ErrSize):
		return fail(http.StatusUnprocessableEntity, "query_too_large", "the question needs more memory or rows than one may have (`queries`): ask for a shorter time range or a narrower filter")
	case errors.Is(err, pulsestore.ErrBusy):
		return errBusy()
	case errors.Is(err, pulsestore.ErrScope):
		return fail(http.StatusForbidden, "forbidden", pulsestore.ErrScope.Error())
	case errors.Is(err, pulsestore.ErrNoTables):
		return fail(http.StatusServiceUnavailable, "no_tables", "nothing was ever written to this database: is a `pulse` exporter running, and is `database` right?")
	}
	// The text may name hosts or users of the store: it is for the log, not for the caller.
	a.log.Error("cannot answer a request", zap.String("route", route), zap.Error(err))
	return fail(http.StatusServiceUnavailable, "store_unavailable", "the store did not answer: see the collector's log")
}

func writeJSON(w http.ResponseWriter, status int, contentType string, body any) {
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // fails only when the caller has gone
}

// query runs f with the limits that hold for every question to the store.
func (a *api) query(ctx context.Context, f func(context.Context) error) error {
	if err := a.queue.enter(ctx); err != nil {
		return err
	}
	defer a.queue.leave()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
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
	if err := a.openSession(w, r, body.Token); err != nil {
		a.refuse(w, r)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) openSession(w http.ResponseWriter, r *http.Request, token string) error {
	id, err := a.auth.open(r.Context(), token, a.now())
	if err != nil {
		return err
	}
	http.SetCookie(w, &http.Cookie{
		Name: a.cookie.name, Value: id, Path: "/api/", MaxAge: int(sessionLifetime / time.Second),
		HttpOnly: true, Secure: a.cookie.secure, SameSite: http.SameSiteStrictMode,
	})
	return nil
}

// deleteSession ends the session of the cookie.
func (a *api) deleteSession(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(a.cookie.name); err == nil {
		a.auth.close(c.Value)
	}
	http.SetCookie(w, &http.Cookie{Name: a.cookie.name, Path: "/api/", MaxAge: -1, HttpOnly: true, Secure: a.cookie.secure, SameSite: http.SameSiteStrictMode})
	w.WriteHeader(http.StatusNoContent)
}

func (a *api) getHealth(ctx context.Context) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, a.queue.wait)
	defer cancel()
	if err := a.query(ctx, a.reader.Ping); err != nil {
		return nil, err
	}
	return map[string]string{"status": "ok"}, nil
}
