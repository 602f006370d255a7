// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// DNSQuery is one row of `dns`: a query and its response, as one end saw them.
type DNSQuery struct {
	Origin
	Time         time.Time // of the query
	Role         string    // client | server
	Name         string    // lower-case, without the root's dot
	Type         string    // A | AAAA | …
	ResponseCode string    // NOERROR | NXDOMAIN | …; "" when no response was seen
	ErrorType    string    // timeout
	Answers      uint32
	Duration     time.Duration // 0 when not measured
	Transport    string        // udp | tcp
	LocalAddress netip.Addr
	LocalPort    uint16
	PeerAddress  netip.Addr
	PeerPort     uint16
}

// DNSFilter asks for DNS queries, newest first.
type DNSFilter struct {
	Selection
	Limit int    // 1 to 1000
	Name  string // "" means every name
}

type dnsColumns struct {
	batch
	origin                                                    originColumns
	time                                                      []time.Time
	role, name, queryType, responseCode, errorType, transport []string
	answers                                                   []uint32
	duration                                                  []uint64
	localAddress, peerAddress                                 [][16]byte
	localPort, peerPort                                       []uint16
}

func (c *dnsColumns) add(r *DNSQuery) {
	c.origin.add(&r.Origin)
	c.time = append(c.time, r.Time)
	c.role = append(c.role, r.Role)
	c.name = append(c.name, r.Name)
	c.queryType = append(c.queryType, r.Type)
	c.responseCode = append(c.responseCode, r.ResponseCode)
	c.errorType = append(c.errorType, r.ErrorType)
	c.transport = append(c.transport, r.Transport)
	c.answers = append(c.answers, r.Answers)
	c.duration = append(c.duration, uint64(max(r.Duration, 0)))
	c.localAddress = append(c.localAddress, address(r.LocalAddress))
	c.localPort = append(c.localPort, r.LocalPort)
	c.peerAddress = append(c.peerAddress, address(r.PeerAddress))
	c.peerPort = append(c.peerPort, r.PeerPort)
}

func (c *dnsColumns) columns() []column {
	return append(c.origin.columns(), []column{
		{"time", timeType, &c.time},
		{"role", "String", &c.role},
		{"name", "String", &c.name},
		{"type", "String", &c.queryType},
		{"response_code", "String", &c.responseCode},
		{"error_type", "String", &c.errorType},
		{"answers", "UInt32", &c.answers},
		{"duration", "UInt64", &c.duration},
		{"transport", "String", &c.transport},
		{"local_address", "IPv6", &c.localAddress},
		{"local_port", "UInt16", &c.localPort},
		{"peer_address", "IPv6", &c.peerAddress},
		{"peer_port", "UInt16", &c.peerPort},
	}...)
}

// AddDNSQuery adds a row of `dns`. It keeps no pointer to r.
func (b *Rows) AddDNSQuery(r *DNSQuery) {
	b.dns.add(r)
	b.dns.identify(r.Time).number(uint64(r.LocalPort)<<32|uint64(r.PID)).text(r.HostID, r.Name, r.Type, r.Environment)
}

// DNSQueries returns queries, newest first.
func (s *Store) DNSQueries(ctx context.Context, q DNSFilter) ([]DNSQuery, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	w := &where{}
	if q.Name != "" {
		w.and("name = {name:String}", "name", q.Name)
	}
	from, err := s.rows(dnsTable, q.Selection, w)
	if err != nil {
		return nil, err
	}
	var out []DNSQuery
	if err := s.ask(ctx, originSelect+"time, role, name, type, response_code, error_type, answers, duration, transport, local_address, local_port, peer_address, peer_port", from,
		fmt.Sprintf(" ORDER BY time DESC, host_id, local_port, pid, name, type LIMIT 1 BY time, host_id, local_port, pid, name, type, environment LIMIT %d", q.Limit), func(rows driver.Rows) error {
			var r DNSQuery
			var duration uint64
			err := rows.Scan(append(r.scanOrigin(), &r.Time, &r.Role, &r.Name, &r.Type, &r.ResponseCode, &r.ErrorType, &r.Answers, &duration, &r.Transport,
				&r.LocalAddress, &r.LocalPort, &r.PeerAddress, &r.PeerPort)...)
			r.Duration = time.Duration(duration)
			r.LocalAddress, r.PeerAddress = fromColumn(r.LocalAddress), fromColumn(r.PeerAddress)
			out = append(out, r)
			return err
		}); err != nil {
		return nil, fmt.Errorf("read dns queries: %w", err)
	}
	return out, nil
}
