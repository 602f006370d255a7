// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/base64"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	harVersion  = "1.2"
	creatorName = "otelcol-qpoint"
	// creatorVersion is the version of our use of HAR. It is not the version of the build: the
	// same exchange must give the same bytes after an upgrade, or a retried segment would look
	// like different content under the same key.
	creatorVersion = "1"

	encodingBase64 = "base64"
	timeFormat     = "2006-01-02T15:04:05.000000000Z07:00"
)

func toHAR(x *Exchange) harFile {
	e := harEntry{
		StartedDateTime: x.Started.UTC().Format(timeFormat),
		Request:         toRequest(x),
		Response:        toResponse(x.Response),
		ServerIPAddress: valid(x.ServerIP),
		Connection:      valid(x.ConnectionID),
		TraceID:         valid(x.TraceID),
		SpanID:          valid(x.SpanID),
		Scheme:          valid(x.Scheme),
		ServerAddress:   valid(x.ServerAddress),
		ServerPort:      x.ServerPort,
		Incomplete:      valid(x.Incomplete),
	}
	e.Part = x.Part
	if x.RedactionPolicy != "" {
		e.Redaction = &harRedaction{Policy: valid(x.RedactionPolicy), Removed: append([]Redaction{}, x.Redactions...)}
	}
	if len(x.Messages) > 0 {
		e.ResourceType, e.Messages = "websocket", toMessages(x.Messages)
	}
	if x.Response != nil {
		e.Events = events(x.Response)
	}
	for k, v := range x.Resource {
		if e.Resource == nil {
			e.Resource = make(map[string]string, len(x.Resource))
		}
		e.Resource[valid(k)] = valid(v)
	}
	for _, t := range []struct {
		name string
		d    time.Duration
		to   *float64
	}{{"send", x.Send, &e.Timings.Send}, {"wait", x.Wait, &e.Timings.Wait}, {"receive", x.Receive, &e.Timings.Receive}} {
		if t.d < 0 {
			*t.to = -1
			e.Timings.NotMeasured = append(e.Timings.NotMeasured, t.name)
			continue
		}
		*t.to = float64(t.d) / 1e6
		e.Time += *t.to
	}
	return harFile{harLog{
		Version: harVersion,
		Creator: harCreator{creatorName, creatorVersion},
		Entries: []harEntry{e},
	}}
}

func toRequest(x *Exchange) harRequest {
	m := &x.Request
	full := absoluteURL(x)
	r := harRequest{
		Method:      valid(m.Method),
		URL:         full,
		HTTPVersion: httpVersion(m.Version),
		Cookies:     requestCookies(m),
		Headers:     pairs(m.Headers),
		QueryString: queryString(full),
		HeadersSize: -1,
		BodySize:    m.BodySize,
	}
	r.Trailers = pairs(m.Trailers)
	r.Target, r.TargetBase64 = exact(m.Target)
	if len(m.Body) > 0 || m.BodySize > 0 || m.Truncated {
		p := harPostData{MimeType: valid(m.Get("Content-Type")), ContentEncoding: valid(m.contentEncoding()), Decoded: m.Decoded}
		p.Text, p.Encoding = bodyText(m)
		if m.Truncated {
			p.Truncated, p.OriginalSize = true, m.BodySize
		}
		r.PostData = &p
	}
	return r
}

func toResponse(m *Message) harResponse {
	if m == nil {
		return harResponse{Cookies: []harCookie{}, Headers: []harPair{}, HeadersSize: -1, NotSeen: true}
	}
	r := harResponse{
		Status:      m.Status,
		HTTPVersion: httpVersion(m.Version),
		Cookies:     responseCookies(m),
		Headers:     pairs(m.Headers),
		Content: harContent{
			Size:            m.BodySize,
			MimeType:        valid(m.Get("Content-Type")),
			ContentEncoding: valid(m.contentEncoding()),
			Decoded:         m.Decoded,
		},
		RedirectURL: valid(m.Get("Location")),
		HeadersSize: -1,
		BodySize:    m.BodySize,
	}
	r.Trailers = pairs(m.Trailers)
	r.StatusText, r.StatusTextBase64 = exact(m.Reason)
	r.Content.Text, r.Content.Encoding = bodyText(m)
	if m.Truncated {
		r.Content.Truncated, r.Content.OriginalSize = true, m.BodySize
	}
	return r
}

// bodyText returns the body as HAR carries it, and "base64" when that is how.
func bodyText(m *Message) (text, encoding string) {
	if m.contentEncoding() == "" && utf8.Valid(m.Body) {
		return string(m.Body), ""
	}
	if len(m.Body) == 0 {
		return "", ""
	}
	return base64.StdEncoding.EncodeToString(m.Body), encodingBase64
}

// exact returns s as JSON can carry it, and in base64 when that is not exactly s.
func exact(s string) (text, b64 string) {
	if utf8.ValidString(s) {
		return s, ""
	}
	return valid(s), base64.StdEncoding.EncodeToString([]byte(s))
}

func valid(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

func httpVersion(v string) string { return "HTTP/" + valid(v) }

func pairs(hs []Header) []harPair {
	out := make([]harPair, len(hs))
	for i, h := range hs {
		out[i].Name, out[i].NameBase64 = exact(h.Name)
		out[i].Value, out[i].ValueBase64 = exact(h.Value)
	}
	return out
}

// absoluteURL rebuilds the URL of the request from the target, the Host field and, failing that,
// the address that the connection went to.
func absoluteURL(x *Exchange) string {
	target := valid(x.Request.Target)
	if strings.Contains(target, "://") && !strings.HasPrefix(target, "/") {
		return target // absolute-form
	}
	scheme := valid(x.Scheme)
	if scheme == "" {
		scheme = "http"
	}
	host := valid(x.Request.Get("Host"))
	if host == "" {
		host = valid(x.ServerAddress)
		if host == "" {
			host = valid(x.ServerIP)
		}
		if x.ServerPort != 0 {
			host = net.JoinHostPort(host, strconv.FormatInt(x.ServerPort, 10))
		}
	}
	if !strings.HasPrefix(target, "/") { // asterisk-form, authority-form, nothing
		target = "/"
	}
	return scheme + "://" + host + target
}

func queryString(full string) []harPair {
	out := []harPair{}
	_, query, _ := strings.Cut(full, "?")
	query, _, _ = strings.Cut(query, "#")
	for query != "" {
		var part string
		part, query, _ = strings.Cut(query, "&")
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		out = append(out, harPair{Name: unescape(name), Value: unescape(value)})
	}
	return out
}

// unescape decodes a query component, or returns it as it is when it cannot be decoded.
func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return valid(u)
	}
	return s
}

func requestCookies(m *Message) []harCookie {
	out := []harCookie{}
	for i := range m.Headers {
		if !strings.EqualFold(m.Headers[i].Name, "Cookie") {
			continue
		}
		for part := range strings.SplitSeq(m.Headers[i].Value, ";") {
			if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok {
				out = append(out, harCookie{Name: valid(name), Value: valid(value)})
			}
		}
	}
	return out
}

func responseCookies(m *Message) []harCookie {
	out := []harCookie{}
	for i := range m.Headers {
		if !strings.EqualFold(m.Headers[i].Name, "Set-Cookie") {
			continue
		}
		c, err := http.ParseSetCookie(m.Headers[i].Value)
		if err != nil {
			continue // the header list has it in any case
		}
		h := harCookie{
			Name: valid(c.Name), Value: valid(c.Value), Path: valid(c.Path), Domain: valid(c.Domain),
			HTTPOnly: c.HttpOnly, Secure: c.Secure,
		}
		if !c.Expires.IsZero() {
			h.Expires = c.Expires.UTC().Format(timeFormat)
		}
		out = append(out, h)
	}
	return out
}
