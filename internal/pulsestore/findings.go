// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Finding is one row of `findings`: that a kind of sensitive data was seen at a place of some exchanges of one process. It
// never has the value. A row with a Reason counts messages that were not, or not wholly, looked at.
type Finding struct {
	Origin
	Time          time.Time // of the first exchange that the row counts
	TraceID       [16]byte  // of that exchange
	SpanID        [8]byte
	Kind          string // card | email | jwt | …; "" with a Reason
	Message       string // request | response
	Location      string // path | query | header | cookie | trailer | json | form | multipart | text | binary
	Place         string // name of the header, key or field, cleaned
	Reason        string // why messages were not looked at
	Role          string // client | server | unknown
	ServerAddress string
	ServerPort    uint16
	Count         uint64 // values; with a Reason messages
}

// FindingQuery asks for findings, the most frequent first.
type FindingQuery struct {
	Selection
	Limit int // 1 to 1000
}

// FindingGroup are the rows of `findings` that say the same of a program, on whatever hosts it runs.
type FindingGroup struct {
	// Finding has what the rows have in common. Its Time, TraceID and SpanID are those of the newest exchange that is known; of
	// its Origin the environment, the service and the executable are set.
	Finding
	FirstSeen time.Time
	Hosts     uint64
}

type findingColumns struct {
	batch
	origin                                                      originColumns
	time                                                        []time.Time
	traceID, spanID                                             fixed
	kind, message, location, place, reason, role, serverAddress []string
	serverPort                                                  []uint16
	count                                                       []uint64
}

func (c *findingColumns) add(r *Finding) {
	c.origin.add(&r.Origin)
	c.time = append(c.time, r.Time)
	c.traceID.add(r.TraceID[:])
	c.spanID.add(r.SpanID[:])
	c.kind = append(c.kind, r.Kind)
	c.message = append(c.message, r.Message)
	c.location = append(c.location, r.Location)
	c.place = append(c.place, r.Place)
	c.reason = append(c.reason, r.Reason)
	c.role = append(c.role, r.Role)
	c.serverAddress = append(c.serverAddress, r.ServerAddress)
	c.serverPort = append(c.serverPort, r.ServerPort)
	c.count = append(c.count, r.Count)
}

func (c *findingColumns) columns() []column {
	return append(c.origin.columns(), []column{
		{"time", timeType, &c.time},
		{"trace_id", "FixedString(16)", &c.traceID},
		{"span_id", "FixedString(8)", &c.spanID},
		{"kind", "String", &c.kind},
		{"message", "String", &c.message},
		{"location", "String", &c.location},
		{"place", "String", &c.place},
		{"reason", "String", &c.reason},
		{"role", "String", &c.role},
		{"server_address", "String", &c.serverAddress},
		{"server_port", "UInt16", &c.serverPort},
		{"count", "UInt64", &c.count},
	}...)
}

// AddFinding adds a row of `findings`. It keeps no pointer to r.
func (b *Rows) AddFinding(r *Finding) {
	b.findings.add(r)
	b.findings.identify(r.Time).bytes(r.SpanID[:]).number(uint64(r.ServerPort)<<32|uint64(r.PID)).
		text(r.HostID, r.Kind, r.Message, r.Location, r.Place, r.Reason, r.ServerAddress, r.Role, r.Environment)
}

// Findings implements Reader.
func (s *Store) Findings(ctx context.Context, q FindingQuery) ([]FindingGroup, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	from, err := s.rows(findingTable, q.Selection, nil)
	if err != nil {
		return nil, err
	}
	const same = "environment, service_name, executable, kind, message, location, place, reason, role, server_address, server_port"
	out := []FindingGroup{}
	if err := s.ask(ctx, same+", sum(count) AS found, min(time) AS first, max(time) AS last, lower(hex(argMax(trace_id, time))), lower(hex(argMax(span_id, time))), uniqExact(host_id)", from,
		fmt.Sprintf(" GROUP BY %s ORDER BY found DESC, last DESC, %s LIMIT %d", same, same, q.Limit), func(rows driver.Rows) error {
			var g FindingGroup
			var trace, span string
			if err := rows.Scan(&g.Environment, &g.ServiceName, &g.Executable, &g.Kind, &g.Message, &g.Location, &g.Place, &g.Reason, &g.Role, &g.ServerAddress, &g.ServerPort,
				&g.Count, &g.FirstSeen, &g.Time, &trace, &span, &g.Hosts); err != nil {
				return err
			}
			err := decodeIDs(id{g.TraceID[:], trace}, id{g.SpanID[:], span})
			out = append(out, g)
			return err
		}); err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	return out, nil
}
