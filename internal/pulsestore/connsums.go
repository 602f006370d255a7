// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"slices"
	"strings"
	"time"
)

// connectionSumKeys are what `connections_10m` sums by beside the time: expressions over a record, and the columns that they become.
var connectionSumKeys = []struct{ sql, column string }{
	{"environment", "environment"}, {"role", "role"}, {"host_id", "host_id"}, {"host_name", "host_name"}, {"service_name", "service_name"},
	{"executable", "executable"}, {"k8s_namespace", "k8s_namespace"}, {"server_address", "server_address"},
	{"if(role = 'server', local_port, r.peer_port)", "server_port"}, {"if(server_address = '', r.peer_address, toIPv6('::'))", "unnamed_peer"},
	{"transport", "transport"}, {"protocol", "protocol"}, {"tls_version", "tls_version"}, {"tls_server_subject", "tls_server_subject"},
	{"tls_server_not_after", "tls_server_not_after"}, {"visibility", "visibility"},
}

// connectionSums are the sums: what one record adds, and how they are added up.
var connectionSums = []struct{ add, one, column string }{
	{"count()", "1::UInt64", "connections"},
	{"countIf(close_reason IN ('reset', 'timeout', 'refused'))", "toUInt64(close_reason IN ('reset', 'timeout', 'refused'))", "errors"},
	{"sum(r.sent_bytes)", "sent_bytes", "sent_bytes"}, {"sum(r.received_bytes)", "received_bytes", "received_bytes"},
	{"any(r.peer_address)", "peer_address", "peer_address"}, {"min(r.start)", "start", "first_seen"}, {"max(r.time)", "time", "last_seen"},
}

const connectionSumTime = "toStartOfTenMinutes(toDateTime(r.start, 'UTC')) AS time"

// ConnectionSumKeys, ConnectionSumColumns and SumOfConnections are parts of the statements that fill `connections_10m`.
func (schema) ConnectionSumKeys() string {
	keys := []string{"time"}
	for _, k := range connectionSumKeys {
		keys = append(keys, k.column)
	}
	return strings.Join(keys, ", ")
}

// ConnectionSumColumns see ConnectionSumKeys.
func (s schema) ConnectionSumColumns() string {
	columns := []string{s.ConnectionSumKeys()}
	for _, c := range connectionSums {
		columns = append(columns, c.column)
	}
	return strings.Join(columns, ", ")
}

// SumOfConnections see ConnectionSumKeys; the rows are called r.
func (schema) SumOfConnections() string {
	sql := []string{connectionSumTime}
	for _, k := range connectionSumKeys {
		sql = append(sql, aliased(k.sql, k.column))
	}
	for _, c := range connectionSums {
		sql = append(sql, aliased(c.add, c.column))
	}
	return strings.Join(sql, ",\n    ")
}

func aliased(sql, column string) string {
	if sql == column {
		return sql
	}
	return sql + " AS " + column
}

// connectionTenMinutes are the sums, of the statement that summedConnections makes.
var connectionTenMinutes = &table{
	name: tableConnectionSums, time: "time", grain: 10 * time.Minute, fields: connectionSumFields, nanos: "toInt64(toUnixTimestamp(began)) * 1000000000", class: "toString(visibility)",
	count: measure{"sum", "connections"}, errors: measure{"sum", "errors"}, sent: measure{"sum", "sent_bytes"}, received: measure{"sum", "received_bytes"},
	first: measure{"min", "first_seen"}, last: measure{"max", "last_seen"}, listens: "server_port", unnamed: "unnamed_peer",
}

// tenMinutesFrom is the range from which on ten minutes are exact enough.
const tenMinutesFrom = 2 * time.Hour

// newest returns where the connections of a selection are best counted: their sums where those have every field that is asked for.
func (s *Store) newest(q Selection, step time.Duration, more *where, fields ...string) (*table, source, error) {
	t := connectionTenMinutes
	if step%t.grain != 0 || !q.From.IsZero() && !q.To.IsZero() && q.To.Sub(q.From) < tenMinutesFrom || !t.fields.Has(q.Filter) || !t.fields.Has(q.Scope.bound) ||
		slices.ContainsFunc(fields, func(name string) bool { return t.fields.Get(name) == nil }) {
		from, err := s.rows(newestConnections, q, more)
		return newestConnections, from, err
	}
	from, err := s.summedConnections(q, more)
	return t, from, err
}

// summedConnections returns the sums of the connections that are closed, and a row for each that is not. Conditions are on columns that both have.
func (s *Store) summedConnections(q Selection, more *where) (source, error) {
	if !q.From.IsZero() {
		q.From = q.From.Truncate(connectionTenMinutes.grain)
	}
	sums, err := s.rows(connectionTenMinutes, q, more)
	if err != nil {
		return source{}, err
	}
	// FINAL reads all that lies among what an index lets through. Of starts in the sorting key it reads those only: of every connection that was said
	// to be open, and so each with all its records. Later ones may say that it is closed, and of other fields something else, so nothing else narrows them.
	open := &where{conditions: []string{"state != 'closed'"}}
	said, err := s.rows(connectionTable, Selection{Scope: OnlyEnvironment(q.Scope.environment), From: q.From, To: q.To}, open)
	if err != nil {
		return source{}, err
	}
	open.conditions = append(open.conditions, "start GLOBAL IN (SELECT start FROM "+said.sql+")")
	if more != nil {
		open.conditions, open.args = append(open.conditions, more.conditions...), more.args
	}
	rest, err := s.rows(newestConnections, q, open)
	if err != nil {
		return source{}, err
	}
	columns, one := []string{"time AS began"}, []string{"toStartOfTenMinutes(toDateTime(start, 'UTC')) AS began"}
	for _, k := range connectionSumKeys {
		columns, one = append(columns, k.column), append(one, aliased(strings.ReplaceAll(k.sql, "r.", ""), k.column))
	}
	for _, c := range connectionSums {
		columns, one = append(columns, c.column), append(one, aliased(c.one, c.column))
	}
	return source{sql: "(SELECT " + strings.Join(columns, ", ") + " FROM " + sums.sql + " UNION ALL SELECT " + strings.Join(one, ", ") + " FROM " + rest.sql + ")", args: sums.args}, nil
}
