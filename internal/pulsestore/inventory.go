// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// EndpointQuery asks for the servers that requests went to.
type EndpointQuery struct {
	Selection
	// ByTemplate tells methods and URL templates apart, and not only servers.
	ByTemplate bool
	// NewSince leaves out what was seen before it, in all that the store keeps. Zero: everything.
	NewSince time.Time
	Limit    int
}

// Endpoint is a server, or a method and URL template of it, with the figures of the selection.
type Endpoint struct {
	ServerAddress       string
	Method, Template    string    // "" when not ByTemplate
	FirstSeen, LastSeen time.Time // the first in all that the store keeps up to the end of the selection
	Requests, Errors    uint64
	RequestBytes        uint64
	ResponseBytes       uint64
	Services            uint64 // how many ask it or are it
	Quantiles
}

// maxKnown is how many endpoints are looked through for what is new, and for when each was seen first.
const maxKnown = 100_000

// Endpoints implements Reader: the most requested first.
func (s *Store) Endpoints(ctx context.Context, q EndpointQuery) ([]Endpoint, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	keys, group := "server_address, '', ''", "server_address"
	if q.ByTemplate {
		keys = "server_address, method, template"
		group = keys
	}
	var seen map[[3]string]time.Time
	var err error
	if !q.NewSince.IsZero() {
		if seen, err = s.endpointsSeen(ctx, q, keys, group, &where{}); err != nil {
			return nil, err
		}
	}
	fields := []string{"server"}
	if q.ByTemplate {
		fields = append(fields, "method", "template")
	}
	t := requestsFor(q.Selection, 0, fields...)
	from, err := s.rows(t, q.Selection, nil)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if !q.NewSince.IsZero() {
		limit = maxKnown
	}
	var out []Endpoint
	if err := s.ask(ctx, strings.Join([]string{keys, t.first.sql(), t.last.sql(), t.count.sql(), t.errors.sql(), t.sent.sql(), t.received.sql()}, ", "), from,
		fmt.Sprintf(" GROUP BY %s ORDER BY 6 DESC, 1, 2, 3 LIMIT %d", group, limit), func(rows driver.Rows) error {
			var e Endpoint
			if err := rows.Scan(&e.ServerAddress, &e.Method, &e.Template, &e.FirstSeen, &e.LastSeen, &e.Requests, &e.Errors, &e.RequestBytes, &e.ResponseBytes); err != nil {
				return err
			}
			if first, ok := seen[e.key()]; ok {
				e.FirstSeen = first
			} else if seen != nil {
				return nil
			}
			if len(out) < q.Limit {
				out = append(out, e)
			}
			return nil
		}); err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	if len(out) == 0 {
		return nil, nil
	}
	if err := s.endpointDetails(ctx, t, q, keys, group, out); err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	return out, nil
}

// endpointDetails reads what costs most per row for those endpoints only that are answered.
func (s *Store) endpointDetails(ctx context.Context, t *table, q EndpointQuery, keys, group string, out []Endpoint) error {
	at := make(map[[3]string]*Endpoint, len(out))
	servers, methods, templates := make([]string, len(out)), make([]string, len(out)), make([]string, len(out))
	for i := range out {
		at[out[i].key()] = &out[i]
		servers[i], methods[i], templates[i] = out[i].ServerAddress, out[i].Method, out[i].Template
	}
	// More than these pass, and are left out below: a set of triples costs several times what sets of one column cost.
	w := &where{}
	w.and("server_address IN (arrayMap(x -> unhex(x), {servers:Array(String)}))", "servers", arrayOf(servers))
	if q.ByTemplate {
		w.and("method IN (arrayMap(x -> unhex(x), {methods:Array(String)}))", "methods", arrayOf(methods))
		w.and("template IN (arrayMap(x -> unhex(x), {templates:Array(String)}))", "templates", arrayOf(templates))
	}
	if q.NewSince.IsZero() {
		seen, err := s.endpointsSeen(ctx, q, keys, group, w)
		if err != nil {
			return err
		}
		for key, first := range seen {
			if at[key] != nil {
				at[key].FirstSeen = first
			}
		}
	}
	from, err := s.rows(t, q.Selection, w)
	if err != nil {
		return err
	}
	spread, durations, quantiles := t.spread()
	return s.ask(ctx, keys+", uniq(service_name), "+spread, from, " GROUP BY "+group, func(rows driver.Rows) error {
		var e Endpoint
		if err := rows.Scan(append([]any{&e.ServerAddress, &e.Method, &e.Template, &e.Services}, durations...)...); err != nil {
			return err
		}
		if to := at[e.key()]; to != nil {
			to.Services, to.Quantiles = e.Services, quantiles()
		}
		return nil
	})
}

// arrayOf returns the different ones of texts in hexadecimal as the value of a parameter of type Array(String): what it is quoted by is escaped once
// more on the way.
func arrayOf(texts []string) string {
	slices.Sort(texts)
	texts = slices.Compact(texts)
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = "'" + hex.EncodeToString([]byte(t)) + "'"
	}
	return "[" + strings.Join(quoted, ",") + "]"
}

func (e *Endpoint) key() [3]string { return [3]string{e.ServerAddress, e.Method, e.Template} }

// endpointsSeen returns when each endpoint that w lets through was seen first in all that the store keeps; with NewSince those
// only that were not seen before it.
func (s *Store) endpointsSeen(ctx context.Context, q EndpointQuery, keys, group string, w *where) (map[[3]string]time.Time, error) {
	q.From = time.Time{}
	t := seenEndpoints
	if !t.fields.Has(q.Filter) || !t.fields.Has(q.Scope.bound) {
		t = requestTable
	}
	having := ""
	if !q.NewSince.IsZero() {
		having = " HAVING " + t.first.sql() + " >= fromUnixTimestamp64Nano({new_since:Int64}, 'UTC')"
		w.args = append(w.args, named("new_since", q.NewSince.UnixNano()))
	}
	from, err := s.rows(t, q.Selection, w)
	if err != nil {
		return nil, err
	}
	seen := map[[3]string]time.Time{}
	if err := s.ask(ctx, keys+", "+t.first.sql(), from, fmt.Sprintf(" GROUP BY %s%s ORDER BY 4 DESC LIMIT %d", group, having, maxKnown), func(rows driver.Rows) error {
		var e Endpoint
		err := rows.Scan(&e.ServerAddress, &e.Method, &e.Template, &e.FirstSeen)
		seen[e.key()] = e.FirstSeen
		return err
	}); err != nil {
		return nil, fmt.Errorf("read when endpoints were seen: %w", err)
	}
	return seen, nil
}

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
		spread, durations, quantiles := t.spread()
		if err := s.ask(ctx, strings.Join([]string{"kind, service_name, server_address", t.count.sql(), t.errors.sql(), spread}, ", "), from,
			fmt.Sprintf(" GROUP BY kind, service_name, server_address ORDER BY 4 DESC LIMIT %d", limit), func(rows driver.Rows) error {
				e := Edge{Named: true}
				err := rows.Scan(append([]any{&e.Kind, &e.Service, &e.Peer, &e.Requests, &e.Errors}, durations...)...)
				e.P95 = quantiles().P95
				at(e)
				return err
			}); err != nil {
			return nil, fmt.Errorf("read the edges of requests: %w", err)
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

// findings is an array of what a connection is found guilty of.
const findings = "arrayFilter(x -> x != '', [" +
	"if(tls_version IN ('1.0', '1.1', '1', 'ssl3', '3.0', '2.0'), '" + FindingOldVersion + "', ''), " +
	"if(tls_version = '' AND protocol NOT IN ('', 'tls', 'unknown'), '" + FindingPlaintext + "', ''), " +
	"if(role = 'client' AND (server_address = '' OR isIPv4String(server_address) OR isIPv6String(server_address)), '" + FindingDirectIP + "', ''), " +
	"multiIf(toUnixTimestamp64Second(tls_server_not_after) = 0, '', toUnixTimestamp64Second(tls_server_not_after) <= {end:Int64}, '" + FindingExpired + "', " +
	"toUnixTimestamp64Second(tls_server_not_after) <= {soon:Int64}, '" + FindingExpiring + "', '')])"

// TLSFindings implements Reader: the most connections first.
func (s *Store) TLSFindings(ctx context.Context, q TLSQuery) ([]TLSFinding, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	end := q.To
	if end.IsZero() {
		end = time.Now()
	}
	w := &where{conditions: []string{"notEmpty(" + findings + ")"}}
	w.args = append(w.args, named("end", end.Unix()), named("soon", end.Add(q.ExpiresWithin).Unix()))
	t, from, err := s.newest(q.Selection, 0, w)
	if err != nil {
		return nil, err
	}
	out := []TLSFinding{}
	if err := s.ask(ctx, "arrayJoin("+findings+"), role, service_name, executable, host_name, server_address, "+t.listens+", protocol, tls_version, "+
		"tls_server_subject, tls_server_not_after, any(peer_address), "+t.count.sql()+", sum(sent_bytes + received_bytes), "+t.first.sql()+", "+t.last.sql(), from,
		fmt.Sprintf(" GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 ORDER BY 13 DESC, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 LIMIT %d", q.Limit), func(rows driver.Rows) error {
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
