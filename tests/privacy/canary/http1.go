// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Marker is a word in every path: metadata keeps it, so that what was searched can be shown to hold metadata.
const Marker = "canaryground"

// Conversation is what goes over one connection, byte for byte: two real processes send it to each other.
type Conversation struct {
	TLS bool `json:"tls"`
	// Raw sends to the port for TLS without TLS.
	Raw   bool   `json:"raw,omitempty"`
	TLS12 bool   `json:"tls12,omitempty"`
	ALPN  string `json:"alpn,omitempty"`
	Steps []Step `json:"steps"`
}

// Step is what one end sends, "client" or "server".
type Step struct {
	Who  string `json:"who"`
	Data []byte `json:"data"` // base64 in JSON
}

func (c *Conversation) client(data []byte) { c.Steps = append(c.Steps, Step{"client", data}) }
func (c *Conversation) server(data []byte) { c.Steps = append(c.Steps, Step{"server", data}) }

// Plan makes conversations until that many canaries are planted.
func (m *Mint) Plan(canaries int) (all []Conversation) {
	for round := 0; len(m.Secrets) < canaries; round++ {
		secure := round%2 == 1
		for _, make := range []func(round int) Conversation{
			m.http1, m.http1, m.webSocket, m.eventStream, m.http2, m.grpc, m.garbage, m.malformed,
		} {
			c := make(round)
			c.TLS, c.TLS12 = secure && !c.Raw, secure && round%4 == 3
			all = append(all, c)
		}
	}
	return all
}

// http1 is two exchanges on one connection, with canaries in every part of both.
func (m *Mint) http1(round int) (c Conversation) {
	for i := range 2 {
		body, head := m.body(2*round+i, "request body")
		var r bytes.Buffer
		method := "POST"
		if i == 0 && m.rng.IntN(4) == 0 {
			method = m.short("method")
		}
		path := fmt.Sprintf("/%s/%s/orders;jsessionid=%s/%s/%s", Marker, m.ID("path"), m.Token("path parameter"), url.PathEscape(m.ID("path")), percentEncoded(m.ID("path")))
		query := fmt.Sprintf("%s=%s&token=%s&%s&q=%s", m.ID("query key"), m.Any("query"), m.Any("query"), m.ID("query without a value"), percentEncoded(m.Any("query")))
		if i == 0 { // the form of a request through a proxy
			path = fmt.Sprintf("http://%s:%s@localhost%s", m.Token("userinfo"), m.Token("userinfo"), path)
		}
		fmt.Fprintf(&r, "%s %s?%s#%s HTTP/1.1\r\n", method, path, query, m.Any("fragment"))
		host := "localhost"
		if i == 1 && round%3 == 0 {
			host = m.Token("userinfo of Host") + ":" + m.Token("userinfo of Host") + "@localhost"
		}
		fmt.Fprintf(&r, "Host: %s\r\n", host)
		fmt.Fprintf(&r, "Authorization: Basic %s\r\n", base64.StdEncoding.EncodeToString([]byte("alice:"+m.Any("header"))))
		for _, name := range []string{
			"Proxy-Authorization: Bearer ", "X-Api-Key: ", "User-Agent: tool/1.0 ", "Referer: http://localhost/", "Origin: https://", "X-Forwarded-For: ",
			"Forwarded: for=", "From: ", "tracestate: vendor=", "baggage: user=", "If-None-Match: W/", "Accept-Language: ", "X-Request-Id: ", "Via: 1.1 ", "Range: ",
			"Content-Disposition: form-data; name=file; filename=",
		} {
			r.WriteString(name + m.Any("header") + "\r\n")
		}
		fmt.Fprintf(&r, "X-%s: %s\r\n", m.ID("header name"), m.Any("header"))
		fmt.Fprintf(&r, "Cookie: session=%s; %s=%s\r\n", m.Any("cookie"), m.ID("cookie name"), m.Any("cookie"))
		r.WriteString(head)
		m.content(&r, body, i == 1)
		c.client(r.Bytes())

		var a bytes.Buffer
		if m.rng.IntN(4) == 0 {
			fmt.Fprintf(&a, "HTTP/1.1 103 Early Hints\r\nLink: </%s>; rel=preload\r\n\r\n", m.Any("interim response"))
		}
		body, head = m.body(2*round+i+3, "response body")
		fmt.Fprintf(&a, "HTTP/1.1 %d %s\r\n", []int{200, 302, 401, 500}[m.rng.IntN(4)], m.Any("reason"))
		for _, name := range []string{
			"Location: /", "WWW-Authenticate: Digest nonce=", "ETag: ", "Server: ", "X-Trace: ", "Alt-Svc: h3=", "Content-Security-Policy: report-uri /", "Content-Location: /", "Link: </",
		} {
			a.WriteString(name + m.Any("header") + "\r\n")
		}
		fmt.Fprintf(&a, "Set-Cookie: %s=%s; Path=/%s; HttpOnly\r\n", m.ID("cookie name"), m.Any("cookie"), m.Any("cookie"))
		fmt.Fprintf(&a, "X-%s: %s\r\n", m.ID("header name"), m.Any("header"))
		a.WriteString(head)
		m.content(&a, body, i == 0)
		c.server(a.Bytes())
	}
	return c
}

func percentEncoded(s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, "%%%02x", s[i])
	}
	return b.String()
}

// content ends a head and writes the body, chunked with extensions and trailers or not.
func (m *Mint) content(w *bytes.Buffer, body []byte, chunked bool) {
	if !chunked {
		fmt.Fprintf(w, "Content-Length: %d\r\n\r\n", len(body))
		w.Write(body)
		return
	}
	w.WriteString("Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n")
	for len(body) > 0 {
		part := body[:min(len(body), 1+m.rng.IntN(200+len(body)/8))]
		body = body[len(part):]
		fmt.Fprintf(w, "%x", len(part))
		if m.rng.IntN(4) == 0 {
			fmt.Fprintf(w, ";%s=\"%s\"", m.Token("chunk extension"), m.Any("chunk extension"))
		}
		fmt.Fprintf(w, "\r\n%s\r\n", part)
	}
	fmt.Fprintf(w, "0\r\nX-Sum: %s\r\nX-%s: %s\r\n\r\n", m.Any("trailer"), m.ID("trailer name"), m.Any("trailer"))
}

// body makes the content and the header lines that tell its type; kinds take turns.
func (m *Mint) body(kind int, place string) (body []byte, head string) {
	plain := func(kind string) []byte {
		return fmt.Appendf(nil, `{"user": {"%s": "%s", "emails": ["%s"]}, "card": %s, "note": "%s"}`,
			m.ID(place+" "+kind+" name"), m.Any(place+" "+kind), m.Any(place+" "+kind), m.planted(place+" "+kind, m.card()), m.Any(place+" "+kind))
	}
	switch kind % 11 {
	case 0:
		return plain("json"), "Content-Type: application/json; charset=" + m.Token("header") + "\r\n"
	case 1:
		p := place + " xml"
		return fmt.Appendf(nil, `<?xml version="1.0"?><order id="%s"><x-%s>%s</x-%[2]s><!-- %[4]s --><![CDATA[%[5]s]]></order>`,
			m.Any(p), m.ID(p+" name"), m.Any(p), m.Any(p), m.Any(p)), "Content-Type: application/xml\r\n"
	case 2:
		p := place + " form"
		return fmt.Appendf(nil, "%s=%s&password=%s&card=%s", m.ID(p+" name"), url.QueryEscape(m.Any(p)), m.Any(p), percentEncoded(m.Any(p))), "Content-Type: application/x-www-form-urlencoded\r\n"
	case 3:
		p := place + " multipart"
		boundary := m.Token("header")
		return fmt.Appendf(nil, "--%[1]s\r\nContent-Disposition: form-data; name=\"%[2]s\"; filename=\"%[3]s\"\r\nX-Part: %[4]s\r\n\r\n%[5]s\r\n--%[1]s--\r\n",
			boundary, m.ID(p+" name"), m.Any(p), m.Any(p), m.Any(p)), "Content-Type: multipart/form-data; boundary=" + boundary + "\r\n"
	case 4:
		p := place + " text"
		return fmt.Appendf(nil, "My name is %s, my number %s.\nPassword: %s\n", m.Any(p), m.planted(p, m.card()), m.Any(p)), "Content-Type: text/plain\r\n"
	case 5:
		p := place + " binary"
		out := binary.LittleEndian.AppendUint64([]byte{0, 0xff, 0xfe}, m.rng.Uint64())
		out = append(out, m.Any(p)...)
		return append(append(out, 0, 0x80, 0xff), m.Any(p)...), "Content-Type: application/octet-stream\r\n"
	case 6:
		return packed(plain("gzip"), func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }), "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"
	case 7:
		return packed(plain("br"), func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) }), "Content-Type: application/json\r\nContent-Encoding: br\r\n"
	case 8:
		return packed(plain("zstd"), func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z }), "Content-Type: application/json\r\nContent-Encoding: zstd\r\n"
	case 9:
		if m.rng.IntN(8) == 0 {
			return append(bytes.Repeat([]byte("filler. "), 64<<10/8), m.Any("past the cap of a body")...), "Content-Type: text/plain\r\n"
		}
		return plain("json"), "Content-Type: application/vnd.api+json\r\n"
	default:
		return packed(plain("deflate"), func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 6); return z }), "Content-Type: application/json\r\nContent-Encoding: deflate\r\n"
	}
}

func packed(plain []byte, to func(io.Writer) io.WriteCloser) []byte {
	var out bytes.Buffer
	w := to(&out)
	_, _ = w.Write(plain)
	_ = w.Close()
	return out.Bytes()
}

// webSocket is a handshake and messages of every kind in both directions (RFC 6455).
func (m *Mint) webSocket(int) (c Conversation) {
	key := base64.StdEncoding.EncodeToString([]byte(m.letters(mixedAlnum, 16)))
	protocol := m.Token("WebSocket protocol")
	c.client(fmt.Appendf(nil, "GET /%s/socket?ticket=%s HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n\r\n",
		Marker, m.Any("query"), key, protocol))
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	c.server(fmt.Appendf(nil, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\nSec-WebSocket-Extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover\r\n\r\n",
		base64.StdEncoding.EncodeToString(sum[:]), protocol))
	const text, bin, closing, ping, pong = 1, 2, 8, 9, 10
	const deflated = 0x40 // RFC 7692 §6
	for _, masked := range []bool{true, false} {
		var b []byte
		say := func(opcode byte, final bool, payload string) {
			b = append(b, m.wsFrame(opcode, final, masked, payload)...)
		}
		say(text, true, `{"chat": "`+m.Any("WebSocket text")+`"}`)
		say(bin, true, "\x00\xff"+m.Any("WebSocket binary"))
		say(text|deflated, true, m.deflated("WebSocket deflated"))
		say(ping, true, m.Any("WebSocket ping"))
		half := m.Any("WebSocket fragments")
		say(text, false, half[:len(half)/2])
		say(pong, true, m.Any("WebSocket pong"))
		say(0, true, half[len(half)/2:])
		say(closing, true, "\x03\xe8"+m.Any("WebSocket close reason"))
		c.Steps = append(c.Steps, Step{map[bool]string{true: "client", false: "server"}[masked], b})
	}
	return c
}

// deflated is a message as permessage-deflate sends it: without the empty block at its end (RFC 7692 §7.2.1).
func (m *Mint) deflated(place string) string {
	var out bytes.Buffer
	w, _ := flate.NewWriter(&out, 6)
	_, _ = fmt.Fprintf(w, `{"chat": "%s", "again": "%[1]s"}`, m.Any(place))
	_ = w.Flush()
	return string(bytes.TrimSuffix(out.Bytes(), []byte{0, 0, 0xff, 0xff}))
}

func (m *Mint) wsFrame(opcode byte, final, masked bool, payload string) []byte {
	if final {
		opcode |= 0x80
	}
	b := []byte{opcode, byte(len(payload))}
	if len(payload) > 125 {
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(len(payload)))
	}
	if !masked {
		return append(b, payload...)
	}
	b[1] |= 0x80
	mask := binary.BigEndian.AppendUint32(nil, m.rng.Uint32())
	b = append(b, mask...)
	for i := range len(payload) {
		b = append(b, payload[i]^mask[i%4])
	}
	return b
}

// eventStream is a response of server-sent events.
func (m *Mint) eventStream(int) (c Conversation) {
	c.client(fmt.Appendf(nil, "GET /%s/events?after=%s HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: %s\r\nAccept: text/event-stream\r\n\r\n", Marker, m.Any("query"), m.Any("header")))
	var a bytes.Buffer
	a.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range 3 {
		event := fmt.Sprintf(": %s\nevent: %s\nid: %s\ndata: {\"text\": \"%s\"}\ndata: %s\n\n",
			m.Any("SSE comment"), m.Token("SSE event"), m.Any("SSE id"), m.Any("SSE data"), m.Any("SSE data"))
		fmt.Fprintf(&a, "%x\r\n%s\r\n", len(event), event)
	}
	a.WriteString("0\r\n\r\n")
	c.server(a.Bytes())
	return c
}
