// SPDX-License-Identifier: Apache-2.0

// Package l7 is the seam between byte streams and application protocols: what a parser is
// fed, and the exchange it gives back. One package below it per protocol.
package l7

// Stream is what a connection feeds: both directions' plaintext, in order.
//
// A position (pos) names a byte of one direction so that both observers of a connection agree
// on it, whatever either of them missed: for plaintext connections the offset in the TCP
// stream, for TLS the TCP offset of the record plus the index within its plaintext. Positions
// only grow; they are contiguous within one call of Data, not across calls.
type Stream interface {
	// Data delivers the next bytes of a direction. b is valid during the call.
	Data(fromClient bool, t int64, pos uint64, b []byte)
	// Gap says that bytes before the next Data of this direction were not seen; n is their
	// number, or 0 when it cannot be known (a TLS record that was lost).
	Gap(fromClient bool, t int64, pos uint64, n uint64)
	// Close ends both directions. reset is true when the connection did not end by FIN.
	Close(t int64, reset bool)
}

// Watcher is told of the content of a response as it comes.
type Watcher interface {
	// Content takes the next bytes after transfer-decoding; b is valid during the call.
	Content(t int64, b []byte)
	// Missing says that n bytes before the next ones were not seen.
	Missing(n uint64)
}

// Header is one field line as it came: name and value keep their case and bytes.
type Header struct {
	Name  string
	Value string
}

// Message is a request or a response.
type Message struct {
	// Method and Target are set on requests, Status and Reason on responses.
	Method, Target string
	Status         int
	Reason         string
	// Version is the protocol version: "1.0", "1.1", "2".
	Version string
	// Scheme is what a request says of itself (HTTP/2 `:scheme`), "" where the protocol does not.
	Scheme string
	// Protocol is what an extended CONNECT asks for (RFC 8441 `:protocol`): "websocket".
	Protocol string
	Headers  []Header
	// UnknownFields is the number of field lines, of Headers and Trailers together, that were sent and
	// cannot be known: HTTP/2 may refer to what was said before the connection was joined, or in a gap.
	UnknownFields int
	// Trailers are the field lines that came after the content (RFC 9110 §6.5), as they came.
	Trailers []Header
	// Body is what was kept of the content after transfer-decoding, at most the body cap;
	// content-coding is as on the wire.
	Body []byte
	// BodySize is the whole content's size in bytes, whatever was kept of it.
	BodySize uint64
	// Truncated is true when Body is shorter than BodySize because of the cap.
	Truncated bool
	// Missing is the number of content bytes that a gap swallowed; Body then ends before the first of them.
	Missing uint64
	// Start and End are the Unix nanoseconds of the message's first and last byte; 0 when not seen.
	Start, End int64
	// Complete is true when the message's end was seen.
	Complete bool
}

// Get returns the value of the first field with the given name, compared without case, or "".
func (m *Message) Get(name string) string {
	for i := range m.Headers {
		if equalFold(m.Headers[i].Name, name) {
			return m.Headers[i].Value
		}
	}
	return ""
}

// List returns the values of all fields with the given name, compared without case, as one list (RFC 9110 §5.3), or "".
func (m *Message) List(name string) (list string) {
	for i := range m.Headers {
		if !equalFold(m.Headers[i].Name, name) || m.Headers[i].Value == "" {
			continue
		}
		if list != "" {
			list += ", "
		}
		list += m.Headers[i].Value
	}
	return list
}

// Reasons of Exchange.Incomplete.
const (
	IncompleteClosed = "connection_closed" // the connection ended first
	IncompleteReset  = "connection_reset"
	IncompleteGap    = "gap"           // bytes were missing
	IncompleteParse  = "not_parseable" // the bytes were not the protocol any more
	// IncompleteHeader: a header section was larger than the parser's bound.
	IncompleteHeader = "header_too_large"
	// IncompleteCapture: the capture ended first.
	IncompleteCapture = "capture_ended"
	// IncompletePending: more requests waited for a response than the parser's bound.
	IncompletePending = "too_many_pending"
	// IncompleteFields: the method, target or status is among the UnknownFields.
	IncompleteFields = "fields_unknown"
	// HTTP/2: a RST_STREAM with the code CANCEL, REFUSED_STREAM, or any other.
	IncompleteCancelled   = "stream_cancelled"
	IncompleteRefused     = "stream_refused"
	IncompleteStreamReset = "stream_reset"
	// IncompleteGoAway: the server will not look at the request (GOAWAY).
	IncompleteGoAway = "goaway"
)

// CaptureLimit says that an exchange is incomplete because of how it was watched, and not because
// of how it ended.
func (x *Exchange) CaptureLimit() bool {
	switch x.Incomplete {
	case IncompleteGap, IncompleteHeader, IncompletePending, IncompleteFields, IncompleteCapture:
		return true
	}
	return false
}

// Exchange is one request and its response.
type Exchange struct {
	Request  Message
	Response *Message // nil when none was seen
	// Position of the request's first byte in the client's direction.
	Position uint64
	// Sequence counts the exchanges of the connection from 0.
	Sequence uint32
	// Incomplete says why the exchange ended early; "" when it is whole.
	Incomplete string
	// Interim is the number of 1xx responses that came before the final one.
	Interim int
	// RPC is set when the exchange is a gRPC call.
	RPC *RPC
}

// RPC is what is known of a remote procedure call beside its HTTP messages.
type RPC struct {
	// RequestMessages and ResponseMessages count the whole messages each way; -1 when a gap hides the number.
	RequestMessages, ResponseMessages int
}

// equalFold is strings.EqualFold for ASCII field names.
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := 0; i < len(a); i++ {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x|0x20 != y|0x20 || x|0x20 < 'a' || x|0x20 > 'z' {
			return false
		}
	}
	return true
}
