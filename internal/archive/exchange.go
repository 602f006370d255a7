// SPDX-License-Identifier: Apache-2.0

// Package archive packs captured exchanges into a standard ZIP file with one HAR 1.2 file
// (http://www.softwareishard.com/blog/har-12-spec/) per exchange, and reads it back.
//
// What was on the wire survives byte for byte: the order, case, repeats and bytes of the
// header fields, and the bodies after transfer-decoding. Where HAR has no room for that, keys
// that begin with '_' (custom fields in HAR) carry it.
package archive

import (
	"strings"
	"time"
)

// Header is one field line as it came on the wire.
type Header struct {
	Name  string
	Value string
}

// Message is a request or a response.
type Message struct {
	// Method and Target (RFC 9112 §3.2) are set on requests, Status and Reason on responses.
	Method, Target string
	Status         int
	Reason         string
	// Version is the protocol version without its name: "1.1".
	Version string
	Headers []Header
	// Trailers are the field lines that came after the content (RFC 9110 §6.5).
	Trailers []Header
	// Body is what was kept of the content after transfer-decoding, with its content-coding.
	Body []byte
	// BodySize is the size of the whole content in bytes, whatever was kept of it.
	BodySize uint64
	// Truncated is true when Body is not the whole content.
	Truncated bool
	// Decoded is true when the content-coding was undone before the body was kept: in parts of an exchange, which
	// could not be decoded by themselves. BodySize is then that of the decoded bytes.
	Decoded bool
	// Arrivals say when the parts of an event stream came, in order; known for nothing else.
	Arrivals []Arrival
}

// Get returns the value of the first field with the given name, compared without case, or "".
func (m *Message) Get(name string) string {
	for i := range m.Headers {
		if strings.EqualFold(m.Headers[i].Name, name) {
			return m.Headers[i].Value
		}
	}
	return ""
}

// contentEncoding returns the content-coding of the body, or "" when there is none.
func (m *Message) contentEncoding() string {
	if m.Decoded {
		return ""
	}
	if e := m.Get("Content-Encoding"); !strings.EqualFold(e, "identity") {
		return e
	}
	return ""
}

// NotMeasured is the value of a timing that was not measured.
const NotMeasured = time.Duration(-1)

// Exchange is one request and its response.
type Exchange struct {
	// TraceID and SpanID are lower-case hex digits. SpanID names the file in the archive.
	TraceID, SpanID string
	// Started is the time of the request's first byte.
	Started time.Time
	// Send, Wait and Receive are the measured phases, or NotMeasured.
	Send, Wait, Receive time.Duration

	// Scheme is "http" or "https". ServerAddress and ServerPort say where the request went to
	// when it carries no Host field.
	Scheme        string
	ServerAddress string
	ServerPort    int64
	// ServerIP is the IP address of the server, ConnectionID the connection the exchange was
	// seen on. Either may be empty.
	ServerIP     string
	ConnectionID string
	// Incomplete says why the exchange ended early; "" when it is whole.
	Incomplete string
	// Resource describes the observed process: attribute name to value.
	Resource map[string]string

	// Part is 0 for an exchange, and counts from 1 the parts of one that goes on: their body is the
	// part's, and their messages.
	Part int64
	// RedactionPolicy is the hash of the policy by which the exchange was redacted, "" for none, and Redactions what was taken out.
	RedactionPolicy string
	Redactions      []Redaction
	// Messages were sent on a WebSocket after this handshake.
	Messages []WebSocketMessage

	// Sealed is the whole file of the exchange, encrypted by a Sealer. SpanID is all that is known beside it.
	Sealed []byte

	Request Message
	// Response is nil when none was seen.
	Response *Message
}

// Redaction says that values were taken out of an exchange: overwritten by as many bytes, or the body removed where the
// policy could not be applied to it.
type Redaction struct {
	// At is the place in the HAR entry: `request.url`, `request.headers[3]`, `response.content`, `_webSocketMessages[2]`.
	At string `json:"at"`
	// Reason is what the policy names: header, field, json_path, the kind that a detector found; `not_redactable:` and why for
	// a body, or a part of one, that was removed.
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}
