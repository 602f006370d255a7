// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"cmp"
	"net"
	"net/http"
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// exchange emits the span of one exchange and, when payloads are kept, its payload.
func (e *Engine) exchange(a *application, x *l7.Exchange, p part) {
	c := a.c
	if c.excluded || c.ignored {
		e.counts.exchangesDropped[dropFiltered]++
		return
	}
	target := a.target(x)
	c.instrumentation(x, &target)
	if c.suppressed(x) {
		e.counts.exchangesDropped[dropInstrumented]++
		return
	}
	verdict := e.judge(a, x, &target)
	if verdict.drop() {
		e.counts.exchangesDropped[dropRule]++
		return
	}
	e.counts.exchanges++
	id := c.name(x)
	server := c.role == event.RoleServer
	spanID, parent := id.client, id.parent
	if server {
		spanID = id.server
		if parent.IsEmpty() {
			parent = id.client
		}
	}
	e.emit(a, x, id.trace, spanID, parent, &p, target, verdict)
}

// emit emits the span of an exchange or of a part of one and, when payloads are kept, its payload.
func (e *Engine) emit(a *application, x *l7.Exchange, trace pcommon.TraceID, spanID, parent pcommon.SpanID, p *part, target target, v verdict) {
	c := a.c
	server := c.role == event.RoleServer
	state, reason, key := e.payload(c, x, trace, spanID, target, p, v)

	s := e.set.Emitter.Span(c.proc)
	s.SetTraceID(trace)
	s.SetSpanID(spanID)
	s.SetParentSpanID(parent)
	s.SetKind(ptrace.SpanKindClient)
	if server {
		s.SetKind(ptrace.SpanKindServer)
	}
	s.SetName(spanName(x))
	start, end := bounds(x, e.now)
	s.SetStartTimestamp(pcommon.Timestamp(start))
	s.SetEndTimestamp(pcommon.Timestamp(end))

	m := s.Attributes()
	m.EnsureCapacity(32)
	// A field block that could not be read whole may have had it. The conventions want a method, and this is what they call one that is not known.
	putStr(m, semantic.HTTPRequestMethod, cmp.Or(x.Request.Method, "_OTHER"))
	putRPC(m, x)
	m.PutInt(semantic.HTTPRequestBodySize, int64(x.Request.BodySize))
	if x.Response != nil {
		if x.Response.Status != 0 {
			m.PutInt(semantic.HTTPResponseStatusCode, int64(x.Response.Status))
		}
		m.PutInt(semantic.HTTPResponseBodySize, int64(x.Response.BodySize))
	}
	if !server {
		if x.Request.Target != "" { // else it is not known
			putStr(m, semantic.URLFull, target.full())
		}
	} else {
		putStr(m, semantic.ClientAddress, c.clientText())
		m.PutInt(semantic.ClientPort, int64(c.clientEnd().Port()))
	}
	putStr(m, semantic.URLScheme, target.scheme)
	putStr(m, semantic.URLPath, target.path)
	putStr(m, semantic.URLQuery, target.query)
	putStr(m, semantic.ServerAddress, target.host)
	m.PutInt(semantic.ServerPort, int64(target.port))
	c.putNetwork(m)
	putStr(m, semantic.NetworkProtocolName, "http")
	putStr(m, semantic.NetworkProtocolVersion, x.Request.Version)
	a.putTLS(m)
	putTiming(m, x)
	m.PutStr(semantic.ConnectionID, c.id)
	m.PutInt(semantic.ExchangeSequence, int64(x.Sequence))
	m.PutStr(semantic.PayloadVisibility, "visible")
	m.PutStr(semantic.PayloadState, state)
	putStr(m, semantic.PayloadReason, reason)
	putStr(m, semantic.Instrumented, c.instrumented(x))
	if key != "" {
		m.PutEmptySlice(semantic.PayloadObjects).AppendEmpty().SetStr(key)
	}
	setStatus(s, m, x, server)
	p.putSpan(m)
}

// name derives the ids of an exchange, or takes them from its traceparent.
func (c *conn) name(x *l7.Exchange) ids {
	client, server, ok := c.isns()
	seed := ""
	if !ok {
		seed = c.id
	}
	id := deriveIDs(client, server, seed, x.Position)
	if trace, parent, ok := parseTraceparent(x.Request.Get("traceparent")); ok {
		id.trace, id.parent = trace, parent
	}
	return id
}

// setStatus follows the HTTP and RPC semantic conventions: 4xx is the client's error only, and error.type
// is the status code, unless the exchange did not end well. What the capture missed is no error
// of the exchange.
func setStatus(s ptrace.Span, m pcommon.Map, x *l7.Exchange, server bool) {
	switch rpc := grpcStatus(x); {
	case x.Incomplete != "" && !x.CaptureLimit():
		m.PutStr(semantic.ErrorType, x.Incomplete)
	case rpc != "":
		if !grpcError(rpc, server) {
			return
		}
		m.PutStr(semantic.ErrorType, rpc)
	case x.Response != nil && (x.Response.Status >= 500 || x.Response.Status >= 400 && !server):
		m.PutStr(semantic.ErrorType, strconv.Itoa(x.Response.Status))
	default:
		return
	}
	s.Status().SetCode(ptrace.StatusCodeError)
}

// spanName is the name of a remote procedure, or the method alone: no route is known here, and a path has
// too many values.
func spanName(x *l7.Exchange) string {
	if name := procedure(x); name != "" {
		return strings.ToValidUTF8(name, "\uFFFD")
	}
	switch method := x.Request.Method; method {
	case "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY":
		return method
	}
	return "HTTP"
}

// bounds are the first and last moments of an exchange that were seen.
func bounds(x *l7.Exchange, now int64) (start, end int64) {
	times := [4]int64{x.Request.Start, x.Request.End}
	if x.Response != nil {
		times[2], times[3] = x.Response.Start, x.Response.End
	}
	for _, t := range times {
		if t == 0 {
			continue
		}
		if start == 0 {
			start = t
		}
		end = max(end, t)
	}
	if start == 0 {
		return now, now
	}
	return start, max(start, end)
}

// putTiming puts the phases that were measured, and no others.
func putTiming(m pcommon.Map, x *l7.Exchange) {
	phase := func(key string, from, to int64) {
		if from != 0 && to >= from {
			m.PutInt(key, to-from)
		}
	}
	phase(semantic.TimingSend, x.Request.Start, x.Request.End)
	if x.Response != nil {
		phase(semantic.TimingWait, x.Request.End, x.Response.Start)
		phase(semantic.TimingReceive, x.Response.Start, x.Response.End)
	}
}

// putNetwork puts the addresses of the connection, as its observed end sees them.
func (c *conn) putNetwork(m pcommon.Map) {
	m.PutStr(semantic.NetworkTransport, "tcp")
	if a := c.tuple.remote.Addr(); a.IsValid() {
		if a.Is4() {
			m.PutStr(semantic.NetworkType, "ipv4")
		} else {
			m.PutStr(semantic.NetworkType, "ipv6")
		}
	}
	putStr(m, semantic.NetworkLocalAddress, c.localText)
	if p := c.tuple.local.Port(); p != 0 {
		m.PutInt(semantic.NetworkLocalPort, int64(p))
	}
	putStr(m, semantic.NetworkPeerAddress, c.remoteText)
	if p := c.tuple.remote.Port(); p != 0 {
		m.PutInt(semantic.NetworkPeerPort, int64(p))
	}
}

// putStr puts a string that came from outside: OTLP strings are UTF-8, and empty says nothing.
func putStr(m pcommon.Map, key, value string) {
	if value != "" {
		m.PutStr(key, strings.ToValidUTF8(value, "\uFFFD"))
	}
}

// target is what a request asks for, put together from its request line, its Host and its connection.
type target struct {
	scheme, host string
	port         uint16
	authority    string // host and port as the client named them
	path, query  string
	raw          string // a target that is no URL: "*", or an authority
}

func (a *application) target(x *l7.Exchange) target {
	c := a.c
	t := target{scheme: "http", authority: x.Request.Get("Host")}
	if a.encrypted && !a.open {
		t.scheme = "https"
	}
	if s := x.Request.Scheme; s == "http" || s == "https" {
		t.scheme = s // what the client says may be what was before a proxy took the TLS off
	}
	rest := x.Request.Target
	switch {
	case x.Request.Method == http.MethodConnect && x.Request.Scheme == "": // not the extended one of RFC 8441
		t.raw = withoutUserinfo(rest)
		t.authority, rest = rest, ""
	case rest == "*":
		t.raw, rest = rest, ""
	case !strings.HasPrefix(rest, "/"):
		// absolute-form, as clients talk to a proxy (RFC 9112 §3.2.2); it overrides Host.
		if scheme, after, ok := strings.Cut(rest, "://"); ok {
			t.scheme = strings.ToLower(scheme)
			i := strings.IndexAny(after, "/?")
			if i < 0 {
				i = len(after)
			}
			t.authority, rest = after[:i], after[i:]
		}
		if !strings.HasPrefix(rest, "/") {
			rest = "/" + rest
		}
	}
	t.authority = withoutUserinfo(t.authority)
	rest, _, _ = strings.Cut(rest, "#")
	t.path, t.query, _ = strings.Cut(rest, "?")

	t.host, t.port = splitAuthority(t.authority)
	if t.host == "" {
		t.host = a.sni()
	}
	if t.host == "" {
		t.host = c.serverText()
	}
	if t.port == 0 {
		t.port = c.serverEnd().Port()
	}
	if t.authority == "" {
		t.authority = net.JoinHostPort(t.host, strconv.Itoa(int(t.port)))
		if t.port == 80 && t.scheme == "http" || t.port == 443 && t.scheme == "https" {
			t.authority = strings.TrimSuffix(t.authority, ":"+strconv.Itoa(int(t.port)))
		}
	}
	return t
}

// full is url.full: rebuilt from parts, so that userinfo or a fragment are never in it.
func (t target) full() string {
	if t.raw == "*" {
		return t.scheme + "://" + t.authority
	}
	if t.raw != "" {
		return t.scheme + "://" + t.raw
	}
	u := t.scheme + "://" + t.authority + t.path
	if t.query != "" {
		u += "?" + t.query
	}
	return u
}

// withoutUserinfo takes "user:password@" off an authority. It has no place in Host or CONNECT
// (RFC 9110 §4.2.4), but nobody stops a client.
func withoutUserinfo(a string) string { return a[strings.LastIndexByte(a, '@')+1:] }

// splitAuthority splits "host", "host:port" and "[v6]:port"; port is 0 when it is not said.
func splitAuthority(a string) (host string, port uint16) {
	a = withoutUserinfo(strings.TrimSpace(a))
	if h, p, err := net.SplitHostPort(a); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil {
			return h, 0
		}
		return h, uint16(n)
	}
	return strings.Trim(a, "[]"), 0
}
