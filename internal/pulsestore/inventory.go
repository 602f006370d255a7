// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Program is one on a host, with the figures of the selection.
type Program struct {
	HostName, ServiceName, Executable      string
	FirstSeen, LastSeen                    time.Time // in the selection
	ClientRequests, ServerRequests, Errors uint64
	Connections, NotVisible                uint64
	SentBytes, ReceivedBytes               uint64 // of connections
}

const programColumns = "host_name, service_name, executable"

// Processes implements Reader: the most bytes first, then the most requests. A filter is held against what it fits:
// requests, connections or both; the figures of what it does not fit are 0.
func (s *Store) Processes(ctx context.Context, q Selection, limit int) ([]Program, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	all, err := s.programs(ctx, q)
	return all[:min(len(all), limit)], err
}

// programs returns all of them, in the order of Processes.
func (s *Store) programs(ctx context.Context, q Selection) ([]Program, error) {
	found := map[[3]string]*Program{}
	add := func(scan func(dest ...any) error, dest func(*Program) []any) error {
		var p Program
		if err := scan(append([]any{&p.HostName, &p.ServiceName, &p.Executable, &p.FirstSeen, &p.LastSeen}, dest(&p)...)...); err != nil {
			return err
		}
		id := p.identity()
		old := found[id]
		if old == nil {
			found[id] = &p
			return nil
		}
		if p.FirstSeen.Before(old.FirstSeen) {
			old.FirstSeen = p.FirstSeen
		}
		if p.LastSeen.After(old.LastSeen) {
			old.LastSeen = p.LastSeen
		}
		old.Connections, old.NotVisible, old.SentBytes, old.ReceivedBytes = p.Connections, p.NotVisible, p.SentBytes, p.ReceivedBytes
		return nil
	}
	rest := " GROUP BY " + programColumns + " LIMIT 20000"
	if t := requestsFor(q, 0, "host", "service", "exe"); t.fields.Has(q.Filter) {
		from, err := s.rows(t, q, nil)
		if err != nil {
			return nil, err
		}
		if err := s.ask(ctx, strings.Join([]string{programColumns, t.first.sql(), t.last.sql(), t.count.when("kind = 'client'"), t.count.when("kind = 'server'"), t.errors.sql()}, ", "),
			from, rest, func(rows driver.Rows) error {
				return add(rows.Scan, func(p *Program) []any { return []any{&p.ClientRequests, &p.ServerRequests, &p.Errors} })
			}); err != nil {
			return nil, fmt.Errorf("read processes: %w", err)
		}
	}
	if connectionFields.Has(q.Filter) {
		t, from, err := s.newest(q, 0, nil)
		if err != nil {
			return nil, err
		}
		if err := s.ask(ctx, strings.Join([]string{programColumns, t.first.sql(), t.last.sql(), t.count.sql(), t.count.when("visibility = 'not_visible'"), t.sent.sql(), t.received.sql()}, ", "),
			from, rest, func(rows driver.Rows) error {
				return add(rows.Scan, func(p *Program) []any { return []any{&p.Connections, &p.NotVisible, &p.SentBytes, &p.ReceivedBytes} })
			}); err != nil {
			return nil, fmt.Errorf("read processes: %w", err)
		}
	}
	out := make([]Program, 0, len(found))
	for _, p := range found {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b Program) int {
		return cmp.Or(cmp.Compare(b.SentBytes+b.ReceivedBytes, a.SentBytes+a.ReceivedBytes), cmp.Compare(b.ClientRequests+b.ServerRequests, a.ClientRequests+a.ServerRequests),
			cmp.Compare(a.HostName, b.HostName), cmp.Compare(a.ServiceName, b.ServiceName), cmp.Compare(a.Executable, b.Executable))
	})
	return out, nil
}

// Edge joins a service and what it talked to under a name, as one end saw it.
type Edge struct {
	Kind        string // client: Service asked Peer; server: Service answered as Peer, or answered the address Peer
	Service     string
	Peer        string // name of the server; the address of the other end when no name was seen
	Named       bool   // Peer is the server's name
	Requests    uint64
	Errors      uint64
	P95         time.Duration
	Connections uint64
	Bytes       uint64 // of connections, in both directions
}

// edgeID is a number for each edge of requests.
var edgeID = numbered("kind", "service_name", "server_address")

// Edges implements Reader: the most requests first. A filter is held against what it fits, as in Processes.
func (s *Store) Edges(ctx context.Context, q Selection, limit int) ([]Edge, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	type identity struct {
		kind, service, peer string
		named               bool
	}
	found := map[identity]*Edge{}
	at := func(e Edge) *Edge {
		id := identity{e.Kind, e.Service, e.Peer, e.Named}
		if found[id] == nil {
			found[id] = &e
		}
		return found[id]
	}
	if t := requestsFor(q, 0, "service", "server"); t.fields.Has(q.Filter) {
		from, err := s.rows(t, q, nil)
		if err != nil {
			return nil, err
		}
		columns := []string{"kind, service_name, server_address", t.count.sql(), t.errors.sql(), "[]::Array(Float64)"}
		if t.grain == 0 {
			columns[3] = rowQuantiles
		}
		requested := map[*Edge]uint64{}
		if err := s.ask(ctx, strings.Join(append(columns, edgeID), ", "), from,
			fmt.Sprintf(" GROUP BY kind, service_name, server_address ORDER BY 4 DESC, 1, 2, 3 LIMIT %d", limit), func(rows driver.Rows) error {
				e := Edge{Named: true}
				var quantiles []float64
				var id uint64
				err := rows.Scan(&e.Kind, &e.Service, &e.Peer, &e.Requests, &e.Errors, &quantiles, &id)
				e.P95 = quantilesOf(quantiles).P95
				requested[at(e)] = id
				return err
			}); err != nil {
			return nil, fmt.Errorf("read the edges of requests: %w", err)
		}
		if t.grain > 0 && len(requested) > 0 {
			w := &where{}
			w.anyOf(edgeID, slices.Collect(maps.Values(requested)))
			if from, err = s.rows(t, q, w); err != nil {
				return nil, err
			}
			spreads, err := s.spreads(ctx, from, edgeID)
			if err != nil {
				return nil, fmt.Errorf("read the latency of edges: %w", err)
			}
			for e, id := range requested {
				e.P95 = spreads[id].quantiles().P95
			}
		}
	}
	if connectionFields.Has(q.Filter) {
		t, from, err := s.newest(q, 0, nil)
		if err != nil {
			return nil, err
		}
		if err := s.ask(ctx, strings.Join([]string{"role, service_name, server_address, " + t.unnamed, t.count.sql(), t.sent.sql(), t.received.sql()}, ", "), from,
			fmt.Sprintf(" GROUP BY 1, 2, 3, 4 ORDER BY 5 DESC LIMIT %d", limit), func(rows driver.Rows) error {
				var e Edge
				var address netip.Addr
				var count, sent, received uint64
				if err := rows.Scan(&e.Kind, &e.Service, &e.Peer, &address, &count, &sent, &received); err != nil {
					return err
				}
				if e.Named = e.Peer != ""; !e.Named {
					e.Peer = address.Unmap().String()
				}
				to := at(e)
				to.Connections += count
				to.Bytes += sent + received
				return nil
			}); err != nil {
			return nil, fmt.Errorf("read the edges of connections: %w", err)
		}
	}
	out := make([]Edge, 0, len(found))
	for _, e := range found {
		out = append(out, *e)
	}
	slices.SortFunc(out, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(b.Bytes, a.Bytes), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Peer, b.Peer),
			cmp.Compare(a.Kind, b.Kind))
	})
	return out[:min(len(out), limit)], nil
}

// Talker is one value of a field of connections, with the bytes of those that have it.
type Talker struct {
	Value                    string
	Connections              uint64
	SentBytes, ReceivedBytes uint64
	LastSeen                 time.Time
}

// Talkers implements Reader: the most bytes first. by is the name of a field of connections with Facet. Bytes are those of
// the connections that began in the selection.
func (s *Store) Talkers(ctx context.Context, q Selection, by string, limit int) ([]Talker, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	f := connectionFields.Get(by)
	if f == nil || !f.Facet {
		return nil, fmt.Errorf("%q is no field whose values can be counted", by)
	}
	t, from, err := s.newest(q, 0, nil, by)
	if err != nil {
		return nil, err
	}
	out := []Talker{}
	if err := s.ask(ctx, strings.Join([]string{text(f), t.count.sql(), t.sent.sql(), t.received.sql(), t.last.sql()}, ", "), from,
		fmt.Sprintf(" GROUP BY 1 ORDER BY %s + %s DESC, 1 LIMIT %d", t.sent.sql(), t.received.sql(), limit), func(rows driver.Rows) error {
			var v Talker
			err := rows.Scan(&v.Value, &v.Connections, &v.SentBytes, &v.ReceivedBytes, &v.LastSeen)
			v.Value = shown(f, v.Value)
			out = append(out, v)
			return err
		}); err != nil {
		return nil, fmt.Errorf("read top talkers: %w", err)
	}
	return out, nil
}

// Kinds of TLSFinding.
const (
	FindingOldVersion = "old_version"          // TLS before 1.2 (RFC 8996)
	FindingPlaintext  = "plaintext"            // a known protocol without TLS
	FindingDirectIP   = "direct_ip"            // a client that named no server
	FindingExpired    = "expired_certificate"  // at the end of the selection
	FindingExpiring   = "expiring_certificate" // within a time from then
)

// TLSQuery asks for connections whose transport security is weak.
type TLSQuery struct {
	Selection
	// ExpiresWithin is how soon after the end of the selection a certificate has to end to be found.
	ExpiresWithin time.Duration
	Limit         int
}

// TLSFinding is what is wrong with the transport security of some connections.
type TLSFinding struct {
	Finding, Role, ServiceName, Executable, HostName, ServerAddress string
	PeerPort                                                        uint16
	Protocol, TLSVersion                                            string
	Subject                                                         string     // of the server's certificate
	NotAfter                                                        time.Time  // of it; zero when not known
	Peer                                                            netip.Addr // one of them
	Connections, Bytes                                              uint64
	FirstSeen, LastSeen                                             time.Time
}

// What a connection is found guilty of, as conditions that are cheap for many rows: of columns of few values each value is looked at once.
const (
	isOldVersion = "tls_version IN ('1.0', '1.1', '1', 'ssl3', '3.0', '2.0')"
	isPlaintext  = "(tls_version = '' AND protocol NOT IN ('', 'tls', 'unknown'))"
	isDirectIP   = "(role = 'client' AND (server_address = '' OR isIPv4String(server_address) OR isIPv6String(server_address)))"
	ends         = "toUnixTimestamp64Second(tls_server_not_after)" // 0: not known
	isExpired    = "(" + ends + " != 0 AND " + ends + " <= {end:Int64})"
	isExpiring   = "(" + ends + " != 0 AND " + ends + " <= {soon:Int64})"
)

// findings is an array of those.
const findings = "arrayFilter(x -> x != '', [if(" + isOldVersion + ", '" + FindingOldVersion + "', ''), if(" + isPlaintext + ", '" + FindingPlaintext + "', ''), " +
	"if(" + isDirectIP + ", '" + FindingDirectIP + "', ''), multiIf(" + isExpired + ", '" + FindingExpired + "', " + isExpiring + ", '" + FindingExpiring + "', '')])"

// TLSFindings implements Reader: the most connections first.
func (s *Store) TLSFindings(ctx context.Context, q TLSQuery) ([]TLSFinding, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	end := q.To
	if end.IsZero() {
		end = time.Now()
	}
	w := &where{conditions: []string{"(" + strings.Join([]string{isOldVersion, isPlaintext, isDirectIP, isExpired, isExpiring}, " OR ") + ")"}}
	w.args = append(w.args, named("end", end.Unix()), named("soon", end.Add(q.ExpiresWithin).Unix()))
	t, from, err := s.newest(q.Selection, 0, w)
	if err != nil {
		return nil, err
	}
	out := []TLSFinding{}
	// The findings are not grouped by, as the other columns say what they are: they are made of the groups, which are few.
	if err := s.ask(ctx, "arrayJoin("+findings+"), role, service_name, executable, host_name, server_address, "+t.listens+", protocol, tls_version, "+
		"tls_server_subject, tls_server_not_after, any(peer_address), "+t.count.sql()+", sum(sent_bytes + received_bytes), "+t.first.sql()+", "+t.last.sql(), from,
		fmt.Sprintf(" GROUP BY 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 ORDER BY 13 DESC, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 LIMIT %d", q.Limit), func(rows driver.Rows) error {
			var f TLSFinding
			err := rows.Scan(&f.Finding, &f.Role, &f.ServiceName, &f.Executable, &f.HostName, &f.ServerAddress, &f.PeerPort, &f.Protocol, &f.TLSVersion,
				&f.Subject, &f.NotAfter, &f.Peer, &f.Connections, &f.Bytes, &f.FirstSeen, &f.LastSeen)
			f.Peer, f.NotAfter = fromColumn(f.Peer), fromValidity(f.NotAfter)
			out = append(out, f)
			return err
		}); err != nil {
		return nil, fmt.Errorf("read findings: %w", err)
	}
	return out, nil
}

// Peer is an address, with the bytes of the connections with it.
type Peer struct {
	Address                  netip.Addr
	Connections              uint64
	SentBytes, ReceivedBytes uint64
}

// MaxPeers is how many addresses Peers returns.
const MaxPeers = 50_000

// Peers implements Reader: the addresses of the other ends, the most bytes first, at most 50,000.
func (s *Store) Peers(ctx context.Context, q Selection) ([]Peer, error) {
	t := newestConnections
	from, err := s.rows(t, q, nil)
	if err != nil {
		return nil, err
	}
	var out []Peer
	if err := s.ask(ctx, strings.Join([]string{"peer_address", t.count.sql(), t.sent.sql(), t.received.sql()}, ", "), from,
		fmt.Sprintf(" GROUP BY 1 ORDER BY %s + %s DESC, 1 LIMIT %d", t.sent.sql(), t.received.sql(), MaxPeers), func(rows driver.Rows) error {
			var p Peer
			err := rows.Scan(&p.Address, &p.Connections, &p.SentBytes, &p.ReceivedBytes)
			p.Address = fromColumn(p.Address)
			out = append(out, p)
			return err
		}); err != nil {
		return nil, fmt.Errorf("read peers: %w", err)
	}
	return out, nil
}
