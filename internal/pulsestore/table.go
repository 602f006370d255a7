// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"fmt"
	"slices"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// table is where rows are read from.
type table struct {
	name   string
	time   string // the column that ranges are about
	final  bool   // rows of which only the newest version counts
	fields *filter.Fields
	// only is what rows must be, unless a filter asks for a field.
	only, unless string
	// grain is how much time a row is about; 0 for an instant. Ranges begin with a whole one.
	grain time.Duration

	nanos   string // time in Unix nanoseconds
	class   string // what histograms tell apart
	listens string // of connections: the port of the end that listens
	unnamed string // of connections: the address of the other end when no name is known
	// How rows are counted: a rollup adds where a table of rows counts.
	count, errors, sent, received, first, last measure
}

// measure is an aggregate function and its arguments.
type measure struct{ name, args string }

// sql calls the function for all rows.
func (m measure) sql() string { return m.name + "(" + m.args + ")" }

// when calls the function for the rows that meet a condition.
func (m measure) when(condition string) string {
	args := condition
	if m.args != "" {
		args = m.args + ", " + condition
	}
	return m.name + "If(" + args + ")"
}

var (
	requestTable = &table{
		name: TableRequests, time: "time", fields: requestFields, only: "part = 0", unless: "part", nanos: "toUnixTimestamp64Nano(time)",
		class: "if(status = 0, 'none', concat(toString(intDiv(status, 100)), 'xx'))",
		count: measure{name: "count"}, errors: measure{"sum", "toUInt64(error_type != '')"},
		sent: measure{"sum", "request_body_size"}, received: measure{"sum", "response_body_size"},
		first: measure{"min", "time"}, last: measure{"max", "time"},
	}
	requestMinutes = rollup(tableRequestsMinute, time.Minute, rollupFields)
	requestHours   = rollup(tableRequestsHour, time.Hour, rollupFields)
	processMinutes = rollup(tableProcessMinute, time.Minute, processFields)
	processHours   = rollup(tableProcessHour, time.Hour, processFields)
	serviceMinutes = rollup(tableServiceMinute, time.Minute, serviceFields)
	serviceHours   = rollup(tableServiceHour, time.Hour, serviceFields)
	// seenEndpoints are asked without the begin of a range: a row is about a month.
	seenEndpoints = &table{name: tableEndpoints, time: "first_seen", fields: rollupFields, first: measure{"min", "first_seen"}}

	// connectionTable has several records of a connection.
	connectionTable = &table{name: tableConnections, time: "start", fields: connectionFields}
	// newestConnections are one row per connection, with its newest figures. A connection that an agent found open when it
	// was started again has another start and counts twice.
	newestConnections = &table{
		name: tableConnections, time: "start", final: true, fields: connectionFields, nanos: "toUnixTimestamp64Nano(start)", class: "toString(visibility)",
		count: measure{name: "count"}, errors: measure{"sum", "toUInt64(close_reason IN ('reset', 'timeout', 'refused'))"},
		sent: measure{"sum", "sent_bytes"}, received: measure{"sum", "received_bytes"}, first: measure{"min", "start"}, last: measure{"max", "time"},
		listens: "if(role = 'server', local_port, peer_port)", unnamed: "if(server_address = '', peer_address, toIPv6('::'))",
	}

	coverageTable = &table{name: tableCoverage, time: "time", fields: coverageFields}
	dnsTable      = &table{name: tableDNS, time: "time", fields: environmentAndProcess}
	findingTable  = &table{name: tableFindings, time: "time", final: true, fields: findingFields}
	objectTable   = &table{name: tablePayloadObjects, time: "time", fields: environmentOnly}
	entryTable    = &table{name: tablePayloadEntries, time: "time", final: true, fields: environmentOnly}
	auditTable    = &table{name: tableAudit, time: "time", fields: environmentOnly}
)

// rollup is a table of sums of requests.
func rollup(name string, grain time.Duration, fields *filter.Fields) *table {
	return &table{
		name: name, time: "time", grain: grain, fields: fields, nanos: "toInt64(toUnixTimestamp(time)) * 1000000000",
		class: "if(status_class = 0, 'none', concat(toString(status_class), 'xx'))",
		count: measure{"sum", "requests"}, errors: measure{"sum", "errors"},
		sent: measure{"sum", "request_bytes"}, received: measure{"sum", "response_bytes"},
		first: measure{"min", "first_seen"}, last: measure{"max", "last_seen"},
	}
}

// Ranges from which on the rows of a rollup are enough.
const (
	minutesFrom = 15 * time.Minute
	hoursFrom   = 6 * time.Hour
)

// requestsFor returns where the requests of a selection are best counted by: the table with the fewest rows that has every
// field which the filter and the scope ask for, and those named, and whose grain fits the step (0 for no steps) and the range.
func requestsFor(q Selection, step time.Duration, fields ...string) *table {
	whole := q.From.IsZero() || q.To.IsZero()
	for _, t := range []struct {
		*table
		from time.Duration
	}{
		{processHours, hoursFrom}, {serviceHours, hoursFrom}, {requestHours, hoursFrom},
		{processMinutes, minutesFrom}, {serviceMinutes, minutesFrom}, {requestMinutes, minutesFrom},
	} {
		if step%t.grain == 0 && (whole || q.To.Sub(q.From) >= t.from) && t.fields.Has(q.Filter) && t.fields.Has(q.Scope.bound) &&
			!slices.ContainsFunc(fields, func(name string) bool { return t.fields.Get(name) == nil }) {
			return t.table
		}
	}
	return requestTable
}

// tableOf returns the table whose rows are counted.
func tableOf(of string) (*table, error) {
	switch of {
	case OfRequests:
		return requestTable, nil
	case OfConnections:
		return newestConnections, nil
	}
	return nil, fmt.Errorf("there are no rows of %q", of)
}

// counted returns where rows of a kind are best counted: see requestsFor and newest.
func (s *Store) counted(q Selection, of string, step time.Duration, more *where, fields ...string) (*table, source, error) {
	switch of {
	case OfRequests:
		t := requestsFor(q, step, fields...)
		from, err := s.rows(t, q, more)
		return t, from, err
	case OfConnections:
		return s.newest(q, step, more, fields...)
	}
	_, err := tableOf(of)
	return nil, source{}, err
}
