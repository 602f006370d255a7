// SPDX-License-Identifier: Apache-2.0

// Package pulsestore is the ClickHouse side of Pulse: schema, migrations, inserts and the
// questions that the query API asks. It knows nothing of payloads or object storage.
package pulsestore

import (
	"context"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Engine is implemented by extensions that bring a ClickHouse of their own
// (`local_clickhouse`): `pulse` and `pulse_api` find them by component id.
type Engine interface {
	// ClickHouseOptions returns options that reach the engine. Valid after the extension's Start returned.
	ClickHouseOptions() *clickhouse.Options
}

// Request is one row of `requests`: the span of one exchange, anonymized.
type Request struct {
	Origin
	Time             time.Time
	TraceID          [16]byte
	SpanID           [8]byte
	ParentSpanID     [8]byte // zero when the span has no parent
	Kind             string  // client | server
	ConnectionID     uint64
	ExchangeSequence uint32
	Method           string
	Scheme           string // http | https
	ServerAddress    string
	ServerPort       uint16
	ClientAddress    netip.Addr // zero when unknown
	ClientPort       uint16
	PeerAddress      netip.Addr
	PeerPort         uint16
	Path             string // cleaned
	Template         string
	Query            string // keys only
	Status           uint16 // 0 when no response was seen
	ErrorType        string
	ProtocolVersion  string // 1.0 | 1.1 | 2 | 3
	TLSVersion       string // "" for plaintext
	TLSCipher        string
	Duration         time.Duration
	TimingSend       time.Duration // 0 when not measured
	TimingWait       time.Duration
	TimingReceive    time.Duration
	RequestBodySize  uint64
	ResponseBodySize uint64
	PayloadState     string
	PayloadReason    string
	PayloadObject    string // segment key; "" when there is none
	PayloadVisible   bool
	// Part counts the parts of an exchange that goes on, from 1. 0 is the request itself; parts are not
	// requests and count in no rollup.
	Part      uint32
	RPCSystem string
	RPCMethod string // "pkg.Service/Method"
	RPCStatus string // name of the code, such as "OK"
	// RequestMessages and ResponseMessages are those of a gRPC call, or of the client and of the server in a part of a WebSocket.
	RequestMessages  uint32
	ResponseMessages uint32
	CloseCode        uint16 // of a WebSocket (RFC 6455 §7.4); 0 when none was seen
}

// Connection is one row of `connections`: the newest record of one connection end.
type Connection struct {
	Origin
	Handshake
	Time            time.Time // of the record
	Start           time.Time
	ConnectionID    uint64
	Sequence        uint32
	State           string // open | established | closed
	Role            string // client | server | unknown
	CloseReason     string
	LocalAddress    netip.Addr
	LocalPort       uint16
	PeerAddress     netip.Addr
	PeerPort        uint16
	ServerAddress   string // SNI or Host
	Protocol        string
	ProtocolVersion string
	TLSVersion      string
	TLSCipher       string
	TLSNextProtocol string
	SentBytes       uint64
	ReceivedBytes   uint64
	SentPackets     uint64
	ReceivedPackets uint64
	Retransmits     uint32
	RTT             time.Duration
	Duration        time.Duration
	Requests        uint32
	Visibility      string // visible | not_visible
	Reason          string
	Transport       string // tcp | udp
	NameSource      string // where ServerAddress comes from when the connection itself does not name it: dns
}

// Coverage is one row of `coverage`: the newest answer to whether something is seen, and why not.
type Coverage struct {
	Origin            // the newest that the row counts
	Time    time.Time // of the record
	Subject string    // feature | library | process | drops
	Name    string
	State   string
	Reason  string
	Advice  string
	Count   uint64
}

// CoverageQuery asks for the newest coverage rows of every host, or of one.
type CoverageQuery struct {
	Environment string
	From, To    time.Time
	Limit       int
	HostID      string
	Subject     string
}

// Cursor is the position after a row in newest-first order.
type Cursor struct {
	Time   time.Time
	SpanID [8]byte
}

// RequestQuery asks for requests, newest first.
type RequestQuery struct {
	Environment string // "" means every environment
	From, To    time.Time
	Limit       int // 1 to 1000
	After       *Cursor
	// Each of these is ignored when empty.
	ConnectionID  uint64
	ServerAddress string
	Method        string
	StatusMin     uint16
	StatusMax     uint16
	Executable    string
	PathContains  string
	// Parts asks for the parts of exchanges that go on too.
	Parts bool
}

// ConnectionQuery asks for connections, newest start first.
type ConnectionQuery struct {
	Environment  string
	From, To     time.Time
	Limit        int
	ConnectionID uint64
}

// Reader answers the query API. A missing row is (nil, nil).
type Reader interface {
	Requests(ctx context.Context, q RequestQuery) (rows []Request, next *Cursor, err error)
	Request(ctx context.Context, environment string, trace [16]byte, span [8]byte) (*Request, error)
	Connections(ctx context.Context, q ConnectionQuery) ([]Connection, error)
	// Coverage returns the newest row of each identity, by host, subject and name.
	Coverage(ctx context.Context, q CoverageQuery) ([]Coverage, error)
	// PayloadObjects returns the rows of the given keys that exist.
	PayloadObjects(ctx context.Context, keys []string) (map[string]PayloadObject, error)
	Ping(ctx context.Context) error
}
