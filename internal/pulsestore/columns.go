// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"net/netip"
	"time"
)

// column is one column of an INSERT: data points to a slice that clickhouse-go appends whole, without
// reflection on its elements, or to a fixed.
//
// typ is what goes over the wire, and the server converts it to the table's type: String stands
// for LowCardinality(String), whose encoding in clickhouse-go reflects on every value, while the
// server builds the dictionary anyway.
type column struct {
	name, typ string
	data      any
}

const (
	timeType   = "DateTime64(9, 'UTC')"
	secondType = "DateTime('UTC')"
)

// epoch returns t, or the epoch for the zero time, which DateTime has no value for; fromEpoch undoes it.
func epoch(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}
	return t
}

func fromEpoch(t time.Time) time.Time {
	if t.Unix() == 0 {
		return time.Time{}
	}
	return t
}

// values returns what clickhouse-go appends.
func (c column) values() any {
	switch data := c.data.(type) {
	case *[]string:
		return *data
	case *[]time.Time:
		return *data
	case *[]uint64:
		return *data
	case *[]uint32:
		return *data
	case *[]uint16:
		return *data
	case *[][16]byte:
		return *data
	case *[]bool:
		return *data
	case *[]*bool:
		return *data
	case *fixed:
		return data.values()
	}
	return c.data // of no type that a column has: clickhouse-go says so
}

// zero says whether every value is "" or 0: then the table's default is as good.
func (c column) zero() bool {
	switch data := c.data.(type) {
	case *[]string:
		return allZero(*data)
	case *[]uint64:
		return allZero(*data)
	case *[]uint32:
		return allZero(*data)
	case *[]uint16:
		return allZero(*data)
	case *[]bool:
		return allZero(*data)
	case *[]*bool:
		return allZero(*data)
	}
	return false
}

func allZero[T comparable](data []T) bool {
	var zero T
	for _, v := range data {
		if v != zero {
			return false
		}
	}
	return true
}

// reset empties the column and keeps its memory for the next rows, but nothing that its values point to.
func (c column) reset() {
	switch data := c.data.(type) {
	case *[]string:
		empty(data)
	case *[]time.Time:
		empty(data)
	case *[]uint64:
		empty(data)
	case *[]uint32:
		empty(data)
	case *[]uint16:
		empty(data)
	case *[][16]byte:
		empty(data)
	case *[]bool:
		empty(data)
	case *[]*bool:
		empty(data)
	case *fixed:
		data.buf = data.buf[:0]
	}
}

func empty[T any](data *[]T) {
	clear(*data)
	*data = (*data)[:0]
}

// fixed is a column of byte strings of one size, one after the other.
type fixed struct {
	size  int
	buf   []byte
	views [][]byte
}

func (f *fixed) add(b []byte) {
	f.size = len(b)
	f.buf = append(f.buf, b...)
}

func (f *fixed) values() [][]byte {
	f.views = f.views[:0]
	for i := 0; i < len(f.buf); i += f.size {
		f.views = append(f.views, f.buf[i:i+f.size])
	}
	return f.views
}

// address returns a as 16 bytes, IPv4 mapped into IPv6; zero when a is not valid.
func address(a netip.Addr) (b [16]byte) {
	if a.IsValid() {
		b = a.As16()
	}
	return b
}

type requestColumns struct {
	batch
	origin                                            originColumns
	time                                              []time.Time
	traceID, spanID, parentSpanID                     fixed
	kind                                              []string
	connectionID                                      []uint64
	exchangeSequence                                  []uint32
	method, scheme, serverAddress                     []string
	serverPort                                        []uint16
	clientAddress                                     [][16]byte
	clientPort                                        []uint16
	peerAddress                                       [][16]byte
	peerPort                                          []uint16
	path, template, query                             []string
	status                                            []uint16
	errorType, protocolVersion, tlsVersion, tlsCipher []string
	duration, timingSend, timingWait, timingReceive   []uint64
	requestBodySize, responseBodySize                 []uint64
	payloadState, payloadReason, payloadObject        []string
	payloadVisible                                    []bool
	part, requestMessages, responseMessages           []uint32
	rpcSystem, rpcMethod, rpcStatus                   []string
	closeCode                                         []uint16
}

func (c *requestColumns) add(r *Request) {
	c.time = append(c.time, r.Time)
	c.traceID.add(r.TraceID[:])
	c.spanID.add(r.SpanID[:])
	c.parentSpanID.add(r.ParentSpanID[:])
	c.kind = append(c.kind, r.Kind)
	c.origin.add(&r.Origin)
	c.connectionID = append(c.connectionID, r.ConnectionID)
	c.exchangeSequence = append(c.exchangeSequence, r.ExchangeSequence)
	c.method = append(c.method, r.Method)
	c.scheme = append(c.scheme, r.Scheme)
	c.serverAddress = append(c.serverAddress, r.ServerAddress)
	c.serverPort = append(c.serverPort, r.ServerPort)
	c.clientAddress = append(c.clientAddress, address(r.ClientAddress))
	c.clientPort = append(c.clientPort, r.ClientPort)
	c.peerAddress = append(c.peerAddress, address(r.PeerAddress))
	c.peerPort = append(c.peerPort, r.PeerPort)
	c.path = append(c.path, r.Path)
	c.template = append(c.template, r.Template)
	c.query = append(c.query, r.Query)
	c.status = append(c.status, r.Status)
	c.errorType = append(c.errorType, r.ErrorType)
	c.protocolVersion = append(c.protocolVersion, r.ProtocolVersion)
	c.tlsVersion = append(c.tlsVersion, r.TLSVersion)
	c.tlsCipher = append(c.tlsCipher, r.TLSCipher)
	c.duration = append(c.duration, uint64(max(r.Duration, 0)))
	c.timingSend = append(c.timingSend, uint64(max(r.TimingSend, 0)))
	c.timingWait = append(c.timingWait, uint64(max(r.TimingWait, 0)))
	c.timingReceive = append(c.timingReceive, uint64(max(r.TimingReceive, 0)))
	c.requestBodySize = append(c.requestBodySize, r.RequestBodySize)
	c.responseBodySize = append(c.responseBodySize, r.ResponseBodySize)
	c.payloadState = append(c.payloadState, r.PayloadState)
	c.payloadReason = append(c.payloadReason, r.PayloadReason)
	c.payloadObject = append(c.payloadObject, r.PayloadObject)
	c.payloadVisible = append(c.payloadVisible, r.PayloadVisible)
	c.part = append(c.part, r.Part)
	c.rpcSystem = append(c.rpcSystem, r.RPCSystem)
	c.rpcMethod = append(c.rpcMethod, r.RPCMethod)
	c.rpcStatus = append(c.rpcStatus, r.RPCStatus)
	c.requestMessages = append(c.requestMessages, r.RequestMessages)
	c.responseMessages = append(c.responseMessages, r.ResponseMessages)
	c.closeCode = append(c.closeCode, r.CloseCode)
}

func (c *requestColumns) columns() []column {
	return append(c.origin.columns(), []column{
		{"time", timeType, &c.time},
		{"trace_id", "FixedString(16)", &c.traceID},
		{"span_id", "FixedString(8)", &c.spanID},
		{"parent_span_id", "FixedString(8)", &c.parentSpanID},
		{"kind", "String", &c.kind},
		{"connection_id", "UInt64", &c.connectionID},
		{"exchange_sequence", "UInt32", &c.exchangeSequence},
		{"method", "String", &c.method},
		{"scheme", "String", &c.scheme},
		{"server_address", "String", &c.serverAddress},
		{"server_port", "UInt16", &c.serverPort},
		{"client_address", "IPv6", &c.clientAddress},
		{"client_port", "UInt16", &c.clientPort},
		{"peer_address", "IPv6", &c.peerAddress},
		{"peer_port", "UInt16", &c.peerPort},
		{"path", "String", &c.path},
		{"template", "String", &c.template},
		{"query", "String", &c.query},
		{"status", "UInt16", &c.status},
		{"error_type", "String", &c.errorType},
		{"protocol_version", "String", &c.protocolVersion},
		{"tls_version", "String", &c.tlsVersion},
		{"tls_cipher", "String", &c.tlsCipher},
		{"duration", "UInt64", &c.duration},
		{"timing_send", "UInt64", &c.timingSend},
		{"timing_wait", "UInt64", &c.timingWait},
		{"timing_receive", "UInt64", &c.timingReceive},
		{"request_body_size", "UInt64", &c.requestBodySize},
		{"response_body_size", "UInt64", &c.responseBodySize},
		{"payload_state", "String", &c.payloadState},
		{"payload_reason", "String", &c.payloadReason},
		{"payload_object", "String", &c.payloadObject},
		{"payload_visible", "Bool", &c.payloadVisible},
		{"part", "UInt32", &c.part},
		{"rpc_system", "String", &c.rpcSystem},
		{"rpc_method", "String", &c.rpcMethod},
		{"rpc_status", "String", &c.rpcStatus},
		{"request_messages", "UInt32", &c.requestMessages},
		{"response_messages", "UInt32", &c.responseMessages},
		{"close_code", "UInt16", &c.closeCode},
	}...)
}

type connectionColumns struct {
	batch
	origin                                                 originColumns
	time, start                                            []time.Time
	connectionID                                           []uint64
	sequence                                               []uint32
	state, role, closeReason                               []string
	localAddress                                           [][16]byte
	localPort                                              []uint16
	peerAddress                                            [][16]byte
	peerPort                                               []uint16
	serverAddress, protocol, protocolVersion               []string
	tlsVersion, tlsCipher, tlsNextProtocol                 []string
	sentBytes, receivedBytes, sentPackets, receivedPackets []uint64
	retransmits                                            []uint32
	rtt, duration                                          []uint64
	requests                                               []uint32
	visibility, reason, transport, nameSource              []string
	tls                                                    handshakeColumns
}

func (c *connectionColumns) add(r *Connection) {
	c.time = append(c.time, r.Time)
	c.start = append(c.start, r.Start)
	c.connectionID = append(c.connectionID, r.ConnectionID)
	c.sequence = append(c.sequence, r.Sequence)
	c.state = append(c.state, r.State)
	c.role = append(c.role, r.Role)
	c.closeReason = append(c.closeReason, r.CloseReason)
	c.origin.add(&r.Origin)
	c.localAddress = append(c.localAddress, address(r.LocalAddress))
	c.localPort = append(c.localPort, r.LocalPort)
	c.peerAddress = append(c.peerAddress, address(r.PeerAddress))
	c.peerPort = append(c.peerPort, r.PeerPort)
	c.serverAddress = append(c.serverAddress, r.ServerAddress)
	c.protocol = append(c.protocol, r.Protocol)
	c.protocolVersion = append(c.protocolVersion, r.ProtocolVersion)
	c.tlsVersion = append(c.tlsVersion, r.TLSVersion)
	c.tlsCipher = append(c.tlsCipher, r.TLSCipher)
	c.tlsNextProtocol = append(c.tlsNextProtocol, r.TLSNextProtocol)
	c.sentBytes = append(c.sentBytes, r.SentBytes)
	c.receivedBytes = append(c.receivedBytes, r.ReceivedBytes)
	c.sentPackets = append(c.sentPackets, r.SentPackets)
	c.receivedPackets = append(c.receivedPackets, r.ReceivedPackets)
	c.retransmits = append(c.retransmits, r.Retransmits)
	c.rtt = append(c.rtt, uint64(max(r.RTT, 0)))
	c.duration = append(c.duration, uint64(max(r.Duration, 0)))
	c.requests = append(c.requests, r.Requests)
	c.visibility = append(c.visibility, r.Visibility)
	c.reason = append(c.reason, r.Reason)
	c.transport = append(c.transport, r.Transport)
	c.nameSource = append(c.nameSource, r.NameSource)
	c.tls.add(&r.Handshake)
}

func (c *connectionColumns) columns() []column {
	return append(append(c.origin.columns(), c.tls.columns()...), []column{
		{"time", timeType, &c.time},
		{"start", timeType, &c.start},
		{"connection_id", "UInt64", &c.connectionID},
		{"sequence", "UInt32", &c.sequence},
		{"state", "String", &c.state},
		{"role", "String", &c.role},
		{"close_reason", "String", &c.closeReason},
		{"local_address", "IPv6", &c.localAddress},
		{"local_port", "UInt16", &c.localPort},
		{"peer_address", "IPv6", &c.peerAddress},
		{"peer_port", "UInt16", &c.peerPort},
		{"server_address", "String", &c.serverAddress},
		{"protocol", "String", &c.protocol},
		{"protocol_version", "String", &c.protocolVersion},
		{"tls_version", "String", &c.tlsVersion},
		{"tls_cipher", "String", &c.tlsCipher},
		{"tls_next_protocol", "String", &c.tlsNextProtocol},
		{"sent_bytes", "UInt64", &c.sentBytes},
		{"received_bytes", "UInt64", &c.receivedBytes},
		{"sent_packets", "UInt64", &c.sentPackets},
		{"received_packets", "UInt64", &c.receivedPackets},
		{"retransmits", "UInt32", &c.retransmits},
		{"rtt", "UInt64", &c.rtt},
		{"duration", "UInt64", &c.duration},
		{"requests", "UInt32", &c.requests},
		{"visibility", "String", &c.visibility},
		{"reason", "String", &c.reason},
		{"transport", "String", &c.transport},
		{"name_source", "String", &c.nameSource},
	}...)
}
