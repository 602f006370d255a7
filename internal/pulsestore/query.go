// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// maxLimit is the greatest Limit of a query.
const maxLimit = 1000

func checkLimit(limit int) error {
	if limit < 1 || limit > maxLimit {
		return fmt.Errorf("limit %d is not between 1 and %d", limit, maxLimit)
	}
	return nil
}

const requestColumnsSQL = originSelect + `time, lower(hex(trace_id)), lower(hex(span_id)), lower(hex(parent_span_id)), kind, connection_id, ` +
	`exchange_sequence, method, scheme, server_address, server_port, client_address, client_port, ` +
	`peer_address, peer_port, path, template, query, status, error_type, protocol_version, tls_version, tls_cipher, duration, timing_send, ` +
	`timing_wait, timing_receive, request_body_size, response_body_size, payload_state, payload_reason, payload_object, payload_visible, ` +
	`part, rpc_system, rpc_method, rpc_status, request_messages, response_messages, close_code`

func scanRequest(rows driver.Rows) (r Request, err error) {
	var trace, span, parent string
	var duration, send, wait, receive uint64
	if err := rows.Scan(append(r.scanOrigin(), &r.Time, &trace, &span, &parent, &r.Kind, &r.ConnectionID,
		&r.ExchangeSequence, &r.Method, &r.Scheme, &r.ServerAddress, &r.ServerPort, &r.ClientAddress, &r.ClientPort,
		&r.PeerAddress, &r.PeerPort, &r.Path, &r.Template, &r.Query, &r.Status, &r.ErrorType, &r.ProtocolVersion, &r.TLSVersion, &r.TLSCipher, &duration, &send,
		&wait, &receive, &r.RequestBodySize, &r.ResponseBodySize, &r.PayloadState, &r.PayloadReason, &r.PayloadObject, &r.PayloadVisible,
		&r.Part, &r.RPCSystem, &r.RPCMethod, &r.RPCStatus, &r.RequestMessages, &r.ResponseMessages, &r.CloseCode)...); err != nil {
		return r, err
	}
	if err := decodeIDs(id{r.TraceID[:], trace}, id{r.SpanID[:], span}, id{r.ParentSpanID[:], parent}); err != nil {
		return r, err
	}
	r.Duration, r.TimingSend, r.TimingWait, r.TimingReceive = time.Duration(duration), time.Duration(send), time.Duration(wait), time.Duration(receive)
	r.ClientAddress, r.PeerAddress = fromColumn(r.ClientAddress), fromColumn(r.PeerAddress)
	return r, nil
}

// fromColumn undoes address.
func fromColumn(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a.Unmap()
}

// newestFirst is the order of the newest requests, by the sorting key: without its first part all rows would be read.
const newestFirst = " ORDER BY toStartOfFiveMinutes(time) DESC, time DESC, span_id DESC"

// Requests implements Reader.
func (s *Store) Requests(ctx context.Context, q RequestQuery) ([]Request, *Cursor, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, nil, err
	}
	w := &where{}
	if q.After != nil {
		// The first condition alone bounds the range that is read.
		w.and("time <= fromUnixTimestamp64Nano({after:Int64}, 'UTC')", "after", q.After.Time.UnixNano())
		w.and("(time < fromUnixTimestamp64Nano({after:Int64}, 'UTC') OR span_id < toFixedString(unhex({after_span:String}), 8))",
			"after_span", hex.EncodeToString(q.After.SpanID[:]))
	}
	whole, end := q.Selection, q.To
	if q.After != nil {
		end = q.After.Time.Add(time.Nanosecond)
	}
	// A repeated insert leaves a row twice until a merge. It is told apart here: the server could not stop early if it did.
	type identity struct {
		trace       [16]byte
		span        [8]byte
		environment string
		time        int64
	}
	seen := map[identity]bool{}
	var out []Request
	for _, piece := range pieces(q.From, end) {
		q.From, q.To = piece[0], piece[1]
		from, err := s.rows(requestTable, q.Selection, w)
		if err != nil {
			return nil, nil, err
		}
		// One row more tells whether there is a next page.
		ask, got := q.Limit+1, 0
		if err := s.ask(ctx, requestColumnsSQL, from, fmt.Sprintf(newestFirst+" LIMIT %d", ask), func(rows driver.Rows) error {
			r, err := scanRequest(rows)
			got++
			if key := (identity{r.TraceID, r.SpanID, r.Environment, r.Time.UnixNano()}); !seen[key] {
				seen[key] = true
				out = append(out, r)
			}
			return err
		}); err != nil {
			return nil, nil, fmt.Errorf("read requests: %w", err)
		}
		if got < ask && len(out) <= q.Limit {
			continue
		}
		missing := max(q.Limit-len(out), 0)
		out = out[:min(len(out), q.Limit)]
		last := &Cursor{Time: out[len(out)-1].Time, SpanID: out[len(out)-1].SpanID}
		if missing == 0 {
			return out, last, nil
		}
		// Rows that were there twice left room.
		more, next, err := s.Requests(ctx, RequestQuery{Selection: whole, Limit: missing, After: last})
		return append(out, more...), next, err
	}
	return out, nil, nil
}

// Request implements Reader.
func (s *Store) Request(ctx context.Context, scope Scope, trace [16]byte, span [8]byte) (*Request, error) {
	w := &where{}
	w.span(trace, span)
	named := *requestTable
	named.only = "" // who names a part means it
	from, err := s.rows(&named, Selection{Scope: scope}, w)
	if err != nil {
		return nil, err
	}
	var found *Request
	if err := s.ask(ctx, requestColumnsSQL, from, " ORDER BY time DESC LIMIT 1", func(rows driver.Rows) error {
		r, err := scanRequest(rows)
		found = &r
		return err
	}); err != nil {
		return nil, fmt.Errorf("read a request: %w", err)
	}
	return found, nil
}

const connectionColumnsSQL = originSelect + handshakeSelect + `time, start, connection_id, sequence, state, role, close_reason, local_address, local_port, ` +
	`peer_address, peer_port, server_address, protocol, protocol_version, tls_version, tls_cipher, tls_next_protocol, sent_bytes, received_bytes, ` +
	`sent_packets, received_packets, retransmits, rtt, duration, requests, visibility, reason, transport, name_source`

func scanConnection(rows driver.Rows) (r Connection, err error) {
	var rtt, duration uint64
	err = rows.Scan(append(append(r.scanOrigin(), r.scanHandshake()...), &r.Time, &r.Start, &r.ConnectionID, &r.Sequence, &r.State, &r.Role, &r.CloseReason, &r.LocalAddress, &r.LocalPort,
		&r.PeerAddress, &r.PeerPort, &r.ServerAddress, &r.Protocol, &r.ProtocolVersion, &r.TLSVersion, &r.TLSCipher, &r.TLSNextProtocol, &r.SentBytes,
		&r.ReceivedBytes, &r.SentPackets, &r.ReceivedPackets, &r.Retransmits, &rtt, &duration, &r.Requests, &r.Visibility, &r.Reason, &r.Transport, &r.NameSource)...)
	r.RTT, r.Duration = time.Duration(rtt), time.Duration(duration)
	r.LocalAddress, r.PeerAddress = fromColumn(r.LocalAddress), fromColumn(r.PeerAddress)
	r.TLSServerNotBefore, r.TLSServerNotAfter = fromValidity(r.TLSServerNotBefore), fromValidity(r.TLSServerNotAfter)
	return r, err
}

// Connections implements Reader. An agent that was started again goes on with a connection that it finds open, under its id and
// with another start: what the one before said last is superseded, or it would be open for ever.
func (s *Store) Connections(ctx context.Context, q ConnectionQuery) ([]Connection, *ConnectionCursor, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, nil, err
	}
	w := &where{}
	if q.After != nil {
		w.and("start <= fromUnixTimestamp64Nano({after:Int64}, 'UTC')", "after", q.After.Start.UnixNano())
		w.and("(start, connection_id) < (fromUnixTimestamp64Nano({after:Int64}, 'UTC'), {after_id:UInt64})", "after_id", q.After.ConnectionID)
	}
	// FINAL reads a range whole, so that it is read piece by piece, the newest first.
	end := q.To
	if q.After != nil {
		end = q.After.Start.Add(time.Nanosecond)
	}
	whole := q.To
	seen := map[connectionIdentity]bool{}
	var out []Connection
	for _, piece := range pieces(q.From, end) {
		q.From, q.To = piece[0], piece[1]
		from, err := s.rows(newestConnections, q.Selection, w)
		if err != nil {
			return nil, nil, err
		}
		// One row more tells whether there is a next page.
		rest := fmt.Sprintf(" ORDER BY start DESC, connection_id DESC LIMIT 1 BY host_id, connection_id, environment LIMIT %d", q.Limit+1)
		if err := s.ask(ctx, connectionColumnsSQL, from, rest, func(rows driver.Rows) error {
			r, err := scanConnection(rows)
			if key := (connectionIdentity{r.HostID, r.Environment, r.ConnectionID}); !seen[key] {
				seen[key] = true
				out = append(out, r)
			}
			return err
		}); err != nil {
			return nil, nil, fmt.Errorf("read connections: %w", err)
		}
		if len(out) > q.Limit {
			out = out[:q.Limit]
			last := out[q.Limit-1]
			out, err := s.withoutSuperseded(ctx, q.Scope, out, whole)
			return out, &ConnectionCursor{Start: last.Start, ConnectionID: last.ConnectionID}, err
		}
	}
	out, err := s.withoutSuperseded(ctx, q.Scope, out, whole)
	return out, nil, err
}

// withoutSuperseded leaves out what is said of a connection under an older start than one that is known before to: it may have been
// on a page before, or not match the filter. Only what was not closed can be superseded.
func (s *Store) withoutSuperseded(ctx context.Context, scope Scope, rows []Connection, to time.Time) ([]Connection, error) {
	var ids []string
	var oldest time.Time
	for i := range rows {
		if r := &rows[i]; r.State != "closed" {
			ids = append(ids, strconv.FormatUint(r.ConnectionID, 10))
			if oldest.IsZero() || r.Start.Before(oldest) {
				oldest = r.Start
			}
		}
	}
	if len(ids) == 0 {
		return rows, nil
	}
	w := &where{}
	w.and("connection_id IN ({ids:Array(UInt64)})", "ids", "["+strings.Join(ids, ",")+"]")
	from, err := s.rows(connectionTable, Selection{Scope: scope, From: oldest, To: to}, w)
	if err != nil {
		return nil, err
	}
	newest := map[connectionIdentity]time.Time{}
	if err := s.ask(ctx, "host_id, environment, connection_id, max(start)", from, " GROUP BY 1, 2, 3", func(rows driver.Rows) error {
		var id connectionIdentity
		var start time.Time
		err := rows.Scan(&id.host, &id.environment, &id.id, &start)
		newest[id] = start
		return err
	}); err != nil {
		return nil, fmt.Errorf("read newer starts of connections: %w", err)
	}
	return slices.DeleteFunc(rows, func(r Connection) bool {
		start, known := newest[connectionIdentity{r.HostID, r.Environment, r.ConnectionID}]
		return known && r.State != "closed" && start.After(r.Start)
	}), nil
}

// connectionIdentity is what a connection is under every start.
type connectionIdentity struct {
	host, environment string
	id                uint64
}

// pieces cuts [from, to) into ever longer ranges, the newest first. Without bounds it is one.
func pieces(from, to time.Time) [][2]time.Time {
	if from.IsZero() || to.IsZero() {
		return [][2]time.Time{{from, to}}
	}
	var out [][2]time.Time
	for length := 5 * time.Minute; from.Before(to); length *= 4 {
		begin := to.Add(-length)
		if begin.Before(from) || length > 30*24*time.Hour {
			begin = from
		}
		out = append(out, [2]time.Time{begin, to})
		to = begin
	}
	return out
}

// Connection implements Reader.
func (s *Store) Connection(ctx context.Context, scope Scope, id uint64) (*Connection, error) {
	w := &where{}
	w.and("connection_id = {connection:UInt64}", "connection", id)
	from, err := s.rows(connectionTable, Selection{Scope: scope}, w)
	if err != nil {
		return nil, err
	}
	var found *Connection
	if err := s.ask(ctx, connectionColumnsSQL, from, " ORDER BY start DESC, sequence DESC, time DESC LIMIT 1", func(rows driver.Rows) error {
		r, err := scanConnection(rows)
		found = &r
		return err
	}); err != nil {
		return nil, fmt.Errorf("read a connection: %w", err)
	}
	return found, nil
}
