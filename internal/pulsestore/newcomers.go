// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// NewProcesses answers as Processes does, but only with the programs that were seen first at since or later, in all that the
// store keeps up to the end of the selection.
func (s *Store) NewProcesses(ctx context.Context, q Selection, since time.Time, limit int) ([]Program, error) {
	if err := checkLimit(limit); err != nil {
		return nil, err
	}
	known, err := s.programsBefore(ctx, q, since)
	if err != nil {
		return nil, err
	}
	all, err := s.programs(ctx, q)
	if err != nil {
		return nil, err
	}
	out := []Program{}
	for _, p := range all {
		if len(out) < limit && !known[p.identity()] {
			out = append(out, p)
		}
	}
	return out, nil
}

// programsBefore returns the programs of the selection that were seen before a time.
func (s *Store) programsBefore(ctx context.Context, q Selection, since time.Time) (map[[3]string]bool, error) {
	q.From, q.To = time.Time{}, since
	known := map[[3]string]bool{}
	read := func(rows driver.Rows) error {
		var p Program
		err := rows.Scan(&p.HostName, &p.ServiceName, &p.Executable)
		known[p.identity()] = true
		return err
	}
	requests := requestsFor(q, 0, "host", "service", "exe")
	for _, of := range []struct {
		t    *table
		seen string // when a row was first seen: sums by time hold what came after since, too
	}{{requests, requests.first.args}, {connectionTable, "start"}} {
		if !of.t.fields.Has(q.Filter) {
			continue
		}
		w := &where{}
		w.and(of.seen+" < fromUnixTimestamp64Nano({since:Int64}, 'UTC')", "since", since.UnixNano())
		from, err := s.rows(of.t, q, w)
		if err != nil {
			return nil, err
		}
		if err := s.ask(ctx, programColumns, from, fmt.Sprintf(" GROUP BY %s LIMIT %d", programColumns, maxKnown), read); err != nil {
			return nil, fmt.Errorf("read which processes are known: %w", err)
		}
	}
	return known, nil
}

func (p *Program) identity() [3]string { return [3]string{p.HostName, p.ServiceName, p.Executable} }
