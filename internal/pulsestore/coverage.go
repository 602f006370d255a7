// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// coverageIdentity is what one row of `coverage` is about; rows of the same are one. A feature has one state at
// a time, and so has the governor; the connections of a process may have several.
const coverageIdentity = "host_id, subject, name, executable, container_id, service_name, if(subject IN ('feature', 'governor'), '', state), " +
	"if(subject IN ('feature', 'governor'), '', reason), environment"

type coverageColumns struct {
	batch
	origin                               originColumns
	time                                 []time.Time
	subject, name, state, reason, advice []string
	count                                []uint64
}

func (c *coverageColumns) add(r *Coverage) {
	c.origin.add(&r.Origin)
	c.time = append(c.time, r.Time)
	c.subject = append(c.subject, r.Subject)
	c.name = append(c.name, r.Name)
	c.state = append(c.state, r.State)
	c.reason = append(c.reason, r.Reason)
	c.advice = append(c.advice, r.Advice)
	c.count = append(c.count, r.Count)
}

func (c *coverageColumns) columns() []column {
	return append(c.origin.columns(), []column{
		{"time", timeType, &c.time},
		{"subject", "String", &c.subject},
		{"name", "String", &c.name},
		{"state", "String", &c.state},
		{"reason", "String", &c.reason},
		{"advice", "String", &c.advice},
		{"count", "UInt64", &c.count},
	}...)
}

// AddCoverage adds a row of `coverage`. It keeps no pointer to r.
func (b *Rows) AddCoverage(r *Coverage) {
	b.coverage.add(r)
	b.coverage.identify(r.Time).text(r.Environment, r.HostID, r.Subject, r.Name, r.Executable, r.ContainerID, r.ServiceName, r.State, r.Reason)
}

// Coverage implements Reader.
func (s *Store) Coverage(ctx context.Context, q CoverageQuery) ([]Coverage, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	w := &where{}
	if q.HostID != "" {
		w.and("host_id = {host:String}", "host", q.HostID)
	}
	if q.Subject != "" {
		w.and("subject = {subject:String}", "subject", q.Subject)
	}
	from, err := s.rows(coverageTable, q.Selection, w)
	if err != nil {
		return nil, err
	}
	rest := fmt.Sprintf(" ORDER BY %s, time DESC LIMIT 1 BY %s LIMIT %d", coverageIdentity, coverageIdentity, q.Limit)
	var out []Coverage
	if err := s.ask(ctx, originSelect+"time, subject, name, state, reason, advice, count", from, rest, func(rows driver.Rows) error {
		var r Coverage
		err := rows.Scan(append(r.scanOrigin(), &r.Time, &r.Subject, &r.Name, &r.State, &r.Reason, &r.Advice, &r.Count)...)
		out = append(out, r)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	return out, nil
}
