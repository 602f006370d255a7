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
	Time             time.Time
	TraceID          [16]byte
	SpanID           [8]byte
	ParentSpanID     [8]byte // zero when the span has no parent
	Kind             string  // client | server
	Environment      string
	ServiceName      string
	HostID           string
	HostName         string
	PID              uint32
	Executable       string // path
	User             string
	ContainerID      string
	PodUID           string
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
}

// Connection is one row of `connections`: the newest record of one connection end.
type Connection struct {
	Time            time.Time // of the record
	Start           time.Time
	ConnectionID    uint64
	Sequence        uint32
	State           string // open | established | closed
	Role            string // client | server | unknown
	CloseReason     string
	Environment     string
	ServiceName     string
	HostID          string
	HostName        string
	PID             uint32
	Executable      string
	User            string
	ContainerID     string
	PodUID          string
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
}

// PayloadObject is one row of `payload_objects`: a segment that was handed over, or lost.
type PayloadObject struct {
	Time        time.Time // of the record
	Key         string    // without prefix
	Environment string
	HostID      string
	State       string // sent | lost
	Reason      string
	Entries     uint32
	Bytes       uint64
	Opened      time.Time
	Closed      time.Time
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
	// PayloadObjects returns the rows of the given keys that exist.
	PayloadObjects(ctx context.Context, keys []string) (map[string]PayloadObject, error)
	Ping(ctx context.Context) error
}
