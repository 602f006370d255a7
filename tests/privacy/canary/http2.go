// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/url"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// frames writes what one end of an HTTP/2 connection sends (RFC 9113).
type frames struct {
	out   bytes.Buffer
	table *hpack.Encoder
	block bytes.Buffer
}

func newFrames() *frames {
	f := &frames{}
	f.table = hpack.NewEncoder(&f.block)
	return f
}

func (f *frames) frame(kind http2.FrameType, flags http2.Flags, stream uint32, payload []byte) {
	f.out.Write([]byte{byte(len(payload) >> 16), byte(len(payload) >> 8), byte(len(payload)), byte(kind), byte(flags)})
	_ = binary.Write(&f.out, binary.BigEndian, stream)
	f.out.Write(payload)
}

// headers writes fields, name and value in turn.
func (f *frames) headers(stream uint32, flags http2.Flags, fields ...string) {
	f.block.Reset()
	for i := 0; i < len(fields); i += 2 {
		_ = f.table.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	f.frame(http2.FrameHeaders, flags|http2.FlagHeadersEndHeaders, stream, f.block.Bytes())
}

func (f *frames) take() []byte {
	b := bytes.Clone(f.out.Bytes())
	f.out.Reset()
	return b
}

// http2 is a connection with two requests, and canaries also in frames that belong to none.
func (m *Mint) http2(round int) (c Conversation) {
	c.ALPN = "h2"
	client, server := newFrames(), newFrames()
	client.out.WriteString(http2.ClientPreface)
	client.frame(http2.FrameSettings, 0, 0, nil)
	server.frame(http2.FrameSettings, 0, 0, nil)
	c.client(client.take())
	c.server(server.take())
	for stream := uint32(1); stream <= 3; stream += 2 {
		method := "POST"
		if stream == 3 && round%3 == 0 {
			method = m.short(":method")
		}
		client.headers(stream, 0,
			":method", method, ":scheme", "http", ":authority", m.Token(":authority userinfo")+"@localhost",
			":path", fmt.Sprintf("/%s/%s?%s=%s#%s", Marker, m.ID(":path"), m.ID(":path query key"), m.Any(":path query"), m.Any(":path fragment")),
			"authorization", "Bearer "+m.Any("HTTP/2 header"), "x-"+lower(m.ID("HTTP/2 header name")), m.Any("HTTP/2 header"),
			"cookie", "a="+m.Any("HTTP/2 cookie"), "cookie", lower(m.ID("HTTP/2 cookie name"))+"=1", "content-type", "application/json")
		client.frame(http2.FrameType(0xbe), 0, stream, []byte(m.Any("HTTP/2 extension frame")))
		padding := m.Any("HTTP/2 padding")
		data := fmt.Sprintf(`{"secret": "%s"}`, m.Any("HTTP/2 request body"))
		client.frame(http2.FrameData, http2.FlagDataPadded, stream, append(append([]byte{byte(len(padding))}, data...), padding...))
		client.headers(stream, http2.FlagHeadersEndStream, "x-trailer", m.Any("HTTP/2 trailer"))
		c.client(client.take())

		server.headers(stream, 0, ":status", "200", "set-cookie", m.ID("HTTP/2 cookie name")+"="+m.Any("HTTP/2 cookie"), "location", "/"+m.Any("HTTP/2 header"), "content-type", "text/plain")
		server.frame(http2.FrameType(0xa), 0, stream, append([]byte{0, 0}, m.Any("HTTP/2 extension frame")...)) // ALTSVC (RFC 7838 §4)
		server.frame(http2.FrameData, 0, stream, []byte(m.Any("HTTP/2 response body")))
		server.headers(stream, http2.FlagHeadersEndStream, "x-trailer", m.Any("HTTP/2 trailer"))
		c.server(server.take())
	}
	client.headers(5, http2.FlagHeadersEndStream, ":method", "GET", ":scheme", "http", ":authority", "localhost", ":path", "/"+Marker+"/odd", ":"+lower(m.Token("HTTP/2 unknown pseudo-header")), m.Any("HTTP/2 unknown pseudo-header"))
	c.client(client.take())
	server.frame(http2.FrameGoAway, 0, 0, append([]byte{0, 0, 0, 3, 0, 0, 0, 0}, m.Any("HTTP/2 debug data")...))
	c.server(server.take())
	return c
}

// lower is for names of fields; the search for canaries knows no case.
func lower(s string) string { return string(bytes.ToLower([]byte(s))) }

// grpc is two calls: messages as they are and compressed, metadata in text and binary, and every part of a status.
func (m *Mint) grpc(round int) (c Conversation) {
	c.ALPN = "h2"
	client, server := newFrames(), newFrames()
	client.out.WriteString(http2.ClientPreface)
	client.frame(http2.FrameSettings, 0, 0, nil)
	server.frame(http2.FrameSettings, 0, 0, nil)
	c.client(client.take())
	c.server(server.take())
	for stream := uint32(1); stream <= 3; stream += 2 {
		method := "Get"
		if stream == 3 {
			method = m.ID("gRPC method")
		}
		client.headers(stream, 0, ":method", "POST", ":scheme", "http", ":authority", "localhost", ":path", "/"+Marker+".v1.Store/"+method,
			"content-type", "application/grpc+proto", "te", "trailers", "grpc-encoding", "gzip", "user-agent", "grpc-go/"+m.Token("gRPC metadata"),
			"authorization", "Bearer "+m.Any("gRPC metadata"), "x-"+lower(m.ID("gRPC metadata name")), m.Any("gRPC metadata"),
			"x-user-bin", base64.RawStdEncoding.EncodeToString([]byte(m.Any("gRPC binary metadata"))))
		client.frame(http2.FrameData, http2.FlagDataEndStream, stream, append(message(m.Any("gRPC message"), false), message(m.Any("gRPC compressed message"), true)...))
		c.client(client.take())

		server.headers(stream, 0, ":status", "200", "content-type", "application/grpc+proto", "grpc-encoding", "gzip", "x-header", m.Any("gRPC metadata"))
		server.frame(http2.FrameData, 0, stream, append(message(m.Any("gRPC message"), true), message(m.Any("gRPC message"), false)...))
		status := "7"
		if round%4 == 1 {
			status = m.Token("gRPC status that is no number")
		}
		server.headers(stream, http2.FlagHeadersEndStream, "grpc-status", status, "grpc-message", url.PathEscape("no room for "+m.Any("gRPC status message")),
			"grpc-status-details-bin", base64.RawStdEncoding.EncodeToString([]byte("\x08\x07\x12"+m.Any("gRPC status details"))))
		c.server(server.take())
	}
	return c
}

// message is a length-prefixed message with one field of protobuf.
func message(text string, compressed bool) []byte {
	body := append([]byte{0x0a, byte(len(text))}, text...)
	flag := byte(0)
	if compressed {
		flag = 1
		body = packed(body, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) })
	}
	return append(binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(body))), body...)
}

// garbage is what no parser of ours reads, or only the begin of it.
func (m *Mint) garbage(round int) (c Conversation) {
	g := func() string { return m.Any("garbage") }
	switch round % 8 {
	case 0:
		c.client([]byte("SSH-2.0-" + g() + "\r\n"))
		c.server([]byte("SSH-2.0-" + g() + "\r\n"))
	case 1:
		c.client([]byte("*2\r\n$4\r\nAUTH\r\n$64\r\n" + g() + "\r\n"))
		c.server([]byte("-WRONGPASS " + g() + "\r\n"))
	case 2:
		c.server([]byte("220 mail " + g() + "\r\n"))
		c.client([]byte("EHLO " + g() + "\r\nAUTH PLAIN " + base64.StdEncoding.EncodeToString([]byte("\x00alice\x00"+g())) + "\r\nMAIL FROM:<" + g() + "@a.example>\r\n"))
	case 3: // the start of a session of PostgreSQL, and a query
		start := "user\x00" + g() + "\x00database\x00" + g() + "\x00\x00"
		c.client(append(binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(len(start)+8)), 196608), start...))
		c.server([]byte("R\x00\x00\x00\x08\x00\x00\x00\x00"))
		query := "SELECT * FROM users WHERE password = '" + g() + "'\x00"
		c.client(append(binary.BigEndian.AppendUint32([]byte("Q"), uint32(len(query)+4)), query...))
	case 4:
		c.client([]byte("\x00\x01\x02\xff" + g() + "\x00\xfe" + g()))
		c.server([]byte("\xde\xad\xbe\xef" + g()))
	case 5:
		c.client([]byte(g() + "\n" + g() + "\n"))
	case 6:
		c.Raw = true
		c.client([]byte("GET /" + m.ID("TLS port, in the clear") + " HTTP/1.0\r\nX: " + m.Any("TLS port, in the clear") + "\r\n\r\n"))
	case 7:
		c.ALPN = m.Token("ALPN")
		c.client([]byte(g()))
	}
	return c
}

// malformed is HTTP that is broken at one place, and half requests.
func (m *Mint) malformed(round int) (c Conversation) {
	x := func() string { return m.Any("malformed HTTP") }
	h := func() string { return m.Any("half request") }
	path := func(id string) string { return "/" + Marker + "/" + id }
	switch round % 10 {
	case 0:
		c.client([]byte("GET " + path(x()) + " HTTP/9.9\r\nX-Secret: " + x() + "\r\n\r\n"))
	case 1:
		c.client([]byte("GET " + path(m.ID("malformed HTTP")) + " HTTP/1.1\r\nHost: localhost\r\n" + x() + "\r\nX-Secret : " + x() + "\r\n\r\n"))
		c.server([]byte("HTTP/1.1 400 " + x() + "\r\nContent-Length: 0\r\n\r\n"))
	case 2:
		c.client([]byte("POST " + path(m.ID("malformed HTTP")) + " HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + x() + "\r\n" + x() + "\r\n"))
	case 3:
		c.client([]byte("GET " + path(m.ID("malformed HTTP")) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		c.server([]byte(x() + "\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
	case 4:
		c.client([]byte("GET " + path(m.ID("half request")) + "?token=" + h()))
	case 5:
		c.client([]byte("GET " + path(m.ID("half request")) + " HTTP/1.1\r\nHost: localhost\r\nX-Secret: " + h()))
	case 6:
		c.client([]byte("POST " + path(m.ID("half request")) + " HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n" + h()))
	case 7:
		c.client([]byte("GET " + path(m.ID("half request")) + " HTTP/1.1\r\nHost: localhost\r\n\r\n"))
		c.server([]byte("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nX-Secret: " + h() + "\r\n\r\n" + h()))
	case 8:
		c.client([]byte("GET " + path("end") + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"))
		c.server([]byte("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok" + m.Any("after the last response")))
	case 9:
		c.client([]byte("GET " + path(m.ID("malformed HTTP")) + "\x00" + x() + " HTTP/1.1\r\nHost: " + x() + " " + x() + "\r\n\r\n"))
		c.server([]byte("HTTP/1.1 99999 " + x() + "\r\n\r\n" + x()))
	}
	return c
}
