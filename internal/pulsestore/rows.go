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
	Selection
	Limit   int
	HostID  string
	Subject string
}

// Cursor is the position after a row in newest-first order.
type Cursor struct {
	Time   time.Time
	SpanID [8]byte
}

// ConnectionCursor is the position after a connection in newest-first order.
type ConnectionCursor struct {
	Start        time.Time
	ConnectionID uint64
}

// RequestQuery asks for requests, newest first.
type RequestQuery struct {
	Selection
	Limit int // 1 to 1000
	After *Cursor
}

// ConnectionQuery asks for connections, newest start first.
type ConnectionQuery struct {
	Selection
	Limit int
	After *ConnectionCursor
}

// Reader answers the query API. A missing row is (nil, nil).
type Reader interface {
	Requests(ctx context.Context, q RequestQuery) (rows []Request, next *Cursor, err error)
	Request(ctx context.Context, scope Scope, trace [16]byte, span [8]byte) (*Request, error)
	Connections(ctx context.Context, q ConnectionQuery) (rows []Connection, next *ConnectionCursor, err error)
	// Connection returns the newest record of a connection.
	Connection(ctx context.Context, scope Scope, id uint64) (*Connection, error)
	// Coverage returns the newest row of each identity, by host, subject and name.
	Coverage(ctx context.Context, q CoverageQuery) ([]Coverage, error)
	// PayloadObjects returns the rows of the given keys that exist.
	PayloadObjects(ctx context.Context, scope Scope, keys []string) (map[ObjectID]PayloadObject, error)

	// Histogram counts rows by time and class.
	Histogram(ctx context.Context, q TimeQuery) ([]Bucket, error)
	// Latency has the quantiles of the durations of requests by time.
	Latency(ctx context.Context, q TimeQuery) ([]LatencyBucket, error)
	// HeatMap counts requests by time and duration.
	HeatMap(ctx context.Context, q TimeQuery) ([]HeatCell, error)
	// Facets counts the values of fields.
	Facets(ctx context.Context, q FacetQuery) ([]Facet, error)
	// Endpoints is the inventory of servers.
	Endpoints(ctx context.Context, q EndpointQuery) ([]Endpoint, error)
	// Processes is the inventory of programs.
	Processes(ctx context.Context, q Selection, limit int) ([]Program, error)
	// NewProcesses returns those that were first seen at since or later.
	NewProcesses(ctx context.Context, q Selection, since time.Time, limit int) ([]Program, error)
	// Edges are the service map.
	Edges(ctx context.Context, q Selection, limit int) ([]Edge, error)
	// Talkers are the values of a field of connections with the most bytes.
	Talkers(ctx context.Context, q Selection, by string, limit int) ([]Talker, error)
	// TLSFindings are connections whose transport security is weak.
	TLSFindings(ctx context.Context, q TLSQuery) ([]TLSFinding, error)
	// Findings says which program sends or receives which kind of sensitive data, with whom and where in its messages.
	Findings(ctx context.Context, q FindingQuery) ([]FindingGroup, error)
	// Peers are the addresses that connections had at their other end.
	Peers(ctx context.Context, q Selection) ([]Peer, error)

	// PayloadEntries returns where the payload of one exchange lies; nothing before its receipt came.
	PayloadEntries(ctx context.Context, scope Scope, trace [16]byte, span [8]byte) ([]PayloadEntry, error)
	// AuditEvents returns who asked for what, newest first.
	AuditEvents(ctx context.Context, q AuditFilter) ([]AuditEvent, error)
	// Audit stores events, and is the one thing that Reader writes: what they permit may happen when it returns nil.
	Audit(ctx context.Context, events ...AuditEvent) error
	// Retention returns the policy that the tables have; Expiring what would go under another.
	Retention(ctx context.Context) (Retention, error)
	Expiring(ctx context.Context, r Retention, at time.Time, scope Scope) ([]Expiry, error)
	// Stored and StoredObjects return what the tables, and the bucket by their records, hold.
	Stored(ctx context.Context, scope Scope) ([]Stored, error)
	StoredObjects(ctx context.Context, scope Scope) ([]StoredObjects, error)

	// ExpiringObjects returns what is in the bucket, by class, and how much of it is gone at a time.
	ExpiringObjects(ctx context.Context, at time.Time, scope Scope) ([]ObjectExpiry, error)
	// Doomed returns the exchanges that an order concerns, at most MaxErase; more is ErrManyErase.
	Doomed(ctx context.Context, o EraseOrder) ([]Doomed, error)
	// EraseRows removes the rows of an order, or only counts them, by table. What was doomed says where payloads are, so it goes last:
	// the same order can be given again after an error. The audit stays, and so do sums of minutes and hours that are not
	// wholly within an order's time.
	EraseRows(ctx context.Context, o EraseOrder, doomed []Doomed, dryRun bool) (map[string]uint64, error)
	// PutObjects stores what has become of objects.
	PutObjects(ctx context.Context, objects ...PayloadObject) error

	Ping(ctx context.Context) error
}
