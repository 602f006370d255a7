// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// maxLimit is the greatest Limit of a query.
const maxLimit = 1000

// where collects conditions and their parameters. Values never become part of the SQL text.
type where struct {
	conditions []string
	args       []any
}

// and adds a condition with one parameter `{name:Type}`.
func (w *where) and(condition, name string, value any) {
	w.conditions = append(w.conditions, condition)
	w.args = append(w.args, named(name, value))
}

// environment adds the predicate that keeps environments apart; "" means every environment.
func (w *where) environment(environment string) {
	if environment != "" {
		w.and("environment = {environment:String}", "environment", environment)
	}
}

// span names one exchange, by the expression that the index of trace ids is on.
func (w *where) span(trace [16]byte, span [8]byte) {
	w.and(idSelect("trace_id")+" = {trace:String}", "trace", hex.EncodeToString(trace[:]))
	w.and("span_id = toFixedString(unhex({span:String}), 8)", "span", hex.EncodeToString(span[:]))
}

// between bounds column to [from, to); a zero time is no bound.
func (w *where) between(column string, from, to time.Time) {
	if !from.IsZero() {
		w.and(column+" >= fromUnixTimestamp64Nano({from:Int64}, 'UTC')", "from", from.UnixNano())
	}
	if !to.IsZero() {
		w.and(column+" < fromUnixTimestamp64Nano({to:Int64}, 'UTC')", "to", to.UnixNano())
	}
}

func (w *where) sql() string {
	if len(w.conditions) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(w.conditions, " AND ")
}

// limits bound every question.
var limits = clickhouse.Settings{
	"max_execution_time":             30,
	"max_result_rows":                100_000,
	"max_rows_to_group_by":           10_000_000,
	"max_bytes_before_external_sort": 256 << 20,
}

// query is the one way by which questions reach the server.
func (s *Store) query(ctx context.Context, sql string, w *where, scan func(driver.Rows) error) error {
	rows, err := s.conn.Query(clickhouse.Context(ctx, clickhouse.WithSettings(limits)), sql, w.args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

func checkLimit(limit int) error {
	if limit < 1 || limit > maxLimit {
		return fmt.Errorf("limit %d is not between 1 and %d", limit, maxLimit)
	}
	return nil
}

const requestSelect = "SELECT " + originSelect + `time, lower(hex(trace_id)), lower(hex(span_id)), lower(hex(parent_span_id)), kind, connection_id, ` +
	`exchange_sequence, method, scheme, server_address, server_port, client_address, client_port, ` +
	`peer_address, peer_port, path, template, query, status, error_type, protocol_version, tls_version, tls_cipher, duration, timing_send, ` +
	`timing_wait, timing_receive, request_body_size, response_body_size, payload_state, payload_reason, payload_object, payload_visible, ` +
	`part, rpc_system, rpc_method, rpc_status, request_messages, response_messages, close_code FROM `

func scanRequest(rows driver.Rows) (r Request, err error) {
	var trace, span, parent string
	var duration, send, wait, receive uint64
	if err := rows.Scan(append(r.Origin.scan(), &r.Time, &trace, &span, &parent, &r.Kind, &r.ConnectionID,
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

// onceRequest keeps one of the rows that a repeated insert left, before a merge does.
const onceRequest = " LIMIT 1 BY time, span_id, trace_id, environment"

// Requests implements Reader.
func (s *Store) Requests(ctx context.Context, q RequestQuery) ([]Request, *Cursor, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, nil, err
	}
	w := &where{}
	w.environment(q.Environment)
	w.between("time", q.From, q.To)
	if q.After != nil {
		// The first condition alone bounds the range that is read.
		w.and("time <= fromUnixTimestamp64Nano({after:Int64}, 'UTC')", "after", q.After.Time.UnixNano())
		w.and("(time < fromUnixTimestamp64Nano({after:Int64}, 'UTC') OR span_id < toFixedString(unhex({after_span:String}), 8))",
			"after_span", hex.EncodeToString(q.After.SpanID[:]))
	}
	if q.ConnectionID != 0 {
		w.and("connection_id = {connection:UInt64}", "connection", q.ConnectionID)
	}
	for _, f := range []struct{ column, value string }{
		{"server_address", q.ServerAddress}, {"method", q.Method}, {"executable", q.Executable},
	} {
		if f.value != "" {
			w.and(f.column+" = {"+f.column+":String}", f.column, f.value)
		}
	}
	if q.StatusMin != 0 {
		w.and("status >= {status_min:UInt16}", "status_min", q.StatusMin)
	}
	if q.StatusMax != 0 {
		w.and("status <= {status_max:UInt16}", "status_max", q.StatusMax)
	}
	if !q.Parts {
		w.conditions = append(w.conditions, "part = 0")
	}
	if q.PathContains != "" {
		w.and("position(path, {path:String}) > 0", "path", q.PathContains)
	}
	// One row more tells whether there is a next page.
	sql := fmt.Sprintf("%s%s%s ORDER BY time DESC, span_id DESC%s LIMIT %d", requestSelect, s.table(TableRequests), w.sql(), onceRequest, q.Limit+1)
	var out []Request
	if err := s.query(ctx, sql, w, func(rows driver.Rows) error {
		r, err := scanRequest(rows)
		out = append(out, r)
		return err
	}); err != nil {
		return nil, nil, fmt.Errorf("read requests: %w", err)
	}
	if len(out) <= q.Limit {
		return out, nil, nil
	}
	out = out[:q.Limit]
	last := out[q.Limit-1]
	return out, &Cursor{Time: last.Time, SpanID: last.SpanID}, nil
}

// Request implements Reader.
func (s *Store) Request(ctx context.Context, environment string, trace [16]byte, span [8]byte) (*Request, error) {
	w := &where{}
	w.environment(environment)
	w.span(trace, span)
	var found *Request
	if err := s.query(ctx, requestSelect+s.table(TableRequests)+w.sql()+" ORDER BY time DESC LIMIT 1", w, func(rows driver.Rows) error {
		r, err := scanRequest(rows)
		found = &r
		return err
	}); err != nil {
		return nil, fmt.Errorf("read a request: %w", err)
	}
	return found, nil
}

const connectionSelect = "SELECT " + originSelect + handshakeSelect + `time, start, connection_id, sequence, state, role, close_reason, local_address, local_port, ` +
	`peer_address, peer_port, server_address, protocol, protocol_version, tls_version, tls_cipher, tls_next_protocol, sent_bytes, received_bytes, ` +
	`sent_packets, received_packets, retransmits, rtt, duration, requests, visibility, reason, transport, name_source FROM `

// Connections implements Reader.
func (s *Store) Connections(ctx context.Context, q ConnectionQuery) ([]Connection, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	w := &where{}
	w.environment(q.Environment)
	w.between("start", q.From, q.To)
	if q.ConnectionID != 0 {
		w.and("connection_id = {connection:UInt64}", "connection", q.ConnectionID)
	}
	// An agent that was restarted goes on with a connection that it finds open, under its id and with another
	// start: what the one before said last is superseded, or it would be open for ever.
	sql := fmt.Sprintf("%s%s%s ORDER BY start DESC, host_id, connection_id, environment, sequence DESC, time DESC "+
		"LIMIT 1 BY host_id, connection_id, environment LIMIT %d", connectionSelect, s.table(tableConnections), w.sql(), q.Limit)
	var out []Connection
	if err := s.query(ctx, sql, w, func(rows driver.Rows) error {
		var r Connection
		var rtt, duration uint64
		err := rows.Scan(append(append(r.Origin.scan(), r.Handshake.scan()...), &r.Time, &r.Start, &r.ConnectionID, &r.Sequence, &r.State, &r.Role, &r.CloseReason, &r.LocalAddress, &r.LocalPort,
			&r.PeerAddress, &r.PeerPort, &r.ServerAddress, &r.Protocol, &r.ProtocolVersion, &r.TLSVersion, &r.TLSCipher, &r.TLSNextProtocol, &r.SentBytes,
			&r.ReceivedBytes, &r.SentPackets, &r.ReceivedPackets, &r.Retransmits, &rtt, &duration, &r.Requests, &r.Visibility, &r.Reason, &r.Transport, &r.NameSource)...)
		r.RTT, r.Duration = time.Duration(rtt), time.Duration(duration)
		r.LocalAddress, r.PeerAddress = fromColumn(r.LocalAddress), fromColumn(r.PeerAddress)
		r.TLSServerNotBefore, r.TLSServerNotAfter = fromValidity(r.TLSServerNotBefore), fromValidity(r.TLSServerNotAfter)
		out = append(out, r)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read connections: %w", err)
	}
	return out, nil
}
