// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// coverageIdentity is what one row of `coverage` is about; rows of the same are one. A feature has one state at
// a time; the connections of a process may have several.
const coverageIdentity = "host_id, subject, name, executable, container_id, service_name, if(subject = 'feature', '', state), " +
	"if(subject = 'feature', '', reason), environment"

type coverageColumns struct {
	time                                                        []time.Time
	environment, hostID, hostName, subject, name, state, reason []string
	advice                                                      []string
	count                                                       []uint64
	serviceName                                                 []string
	pid                                                         []uint32
	executable, user, containerID, podUID                       []string
}

func (c *coverageColumns) add(r *Coverage) {
	c.time = append(c.time, r.Time)
	c.environment = append(c.environment, r.Environment)
	c.hostID = append(c.hostID, r.HostID)
	c.hostName = append(c.hostName, r.HostName)
	c.subject = append(c.subject, r.Subject)
	c.name = append(c.name, r.Name)
	c.state = append(c.state, r.State)
	c.reason = append(c.reason, r.Reason)
	c.advice = append(c.advice, r.Advice)
	c.count = append(c.count, r.Count)
	c.serviceName = append(c.serviceName, r.ServiceName)
	c.pid = append(c.pid, r.PID)
	c.executable = append(c.executable, r.Executable)
	c.user = append(c.user, r.User)
	c.containerID = append(c.containerID, r.ContainerID)
	c.podUID = append(c.podUID, r.PodUID)
}

func (c *coverageColumns) columns() []column {
	return []column{
		{"time", timeType, c.time},
		{"environment", "String", c.environment},
		{"host_id", "String", c.hostID},
		{"host_name", "String", c.hostName},
		{"subject", "String", c.subject},
		{"name", "String", c.name},
		{"state", "String", c.state},
		{"reason", "String", c.reason},
		{"advice", "String", c.advice},
		{"count", "UInt64", c.count},
		{"service_name", "String", c.serviceName},
		{"pid", "UInt32", c.pid},
		{"executable", "String", c.executable},
		{"user", "String", c.user},
		{"container_id", "String", c.containerID},
		{"pod_uid", "String", c.podUID},
	}
}

// AddCoverage adds a row of `coverage`.
func (b *Rows) AddCoverage(r *Coverage) {
	b.coverage.add(r)
	b.coverageHash.Write(binary.LittleEndian.AppendUint64(nil, uint64(nanos(r.Time))))
	for _, s := range []string{r.Environment, r.HostID, r.Subject, r.Name, r.Executable, r.ContainerID, r.ServiceName, r.State, r.Reason} {
		b.coverageHash.Write([]byte(s))
		b.coverageHash.Write([]byte{0})
	}
}

// Coverage implements Reader.
func (s *Store) Coverage(ctx context.Context, q CoverageQuery) ([]Coverage, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	w := &where{}
	w.environment(q.Environment)
	w.between("time", q.From, q.To)
	if q.HostID != "" {
		w.and("host_id = {host:String}", "host", q.HostID)
	}
	if q.Subject != "" {
		w.and("subject = {subject:String}", "subject", q.Subject)
	}
	sql := fmt.Sprintf("SELECT time, environment, host_id, host_name, subject, name, state, reason, advice, count, service_name, pid, executable, user, "+
		"container_id, pod_uid FROM %s%s ORDER BY %s, time DESC LIMIT 1 BY %s LIMIT %d", s.table(tableCoverage), w.sql(), coverageIdentity, coverageIdentity, q.Limit)
	var out []Coverage
	if err := s.query(ctx, sql, w, func(rows driver.Rows) error {
		var r Coverage
		err := rows.Scan(&r.Time, &r.Environment, &r.HostID, &r.HostName, &r.Subject, &r.Name, &r.State, &r.Reason, &r.Advice, &r.Count,
			&r.ServiceName, &r.PID, &r.Executable, &r.User, &r.ContainerID, &r.PodUID)
		out = append(out, r)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read coverage: %w", err)
	}
	return out, nil
}
