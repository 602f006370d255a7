// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

type coverageJSON struct {
	Time        string `json:"time"`
	Environment string `json:"environment"`
	HostID      string `json:"host_id"`
	HostName    string `json:"host_name,omitempty"`
	Subject     string `json:"subject"`
	Name        string `json:"name,omitempty"`
	State       string `json:"state"`
	Reason      string `json:"reason,omitempty"`
	Advice      string `json:"advice,omitempty"`
	Count       uint64 `json:"count"`
	ServiceName string `json:"service_name,omitempty"`
	PID         uint32 `json:"pid,omitempty"`
	Executable  string `json:"executable,omitempty"`
	User        string `json:"user,omitempty"`
	ContainerID string `json:"container_id,omitempty"`
	PodUID      string `json:"pod_uid,omitempty"`
}

type coverageAnswer struct {
	Coverage []coverageJSON `json:"coverage"`
}

func (a *api) getCoverage(p *question) (any, error) {
	var err error
	q := pulsestore.CoverageQuery{HostID: p.params["host"], Subject: p.params["subject"]}
	if q.Selection, err = p.selection(pulsestore.OfRequests, a.now()); err != nil {
		return nil, err
	}
	// A report is a page of its own: the default is the most.
	if q.Limit, err = p.int("limit", maxLimit, maxLimit); err != nil {
		return nil, err
	}
	answer := coverageAnswer{Coverage: []coverageJSON{}}
	err = a.query(p.Context(), func(ctx context.Context) error {
		rows, err := a.reader.Coverage(ctx, q)
		for i := range rows {
			answer.Coverage = append(answer.Coverage, coverageView(&rows[i]))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func coverageView(row *pulsestore.Coverage) coverageJSON {
	return coverageJSON{
		Time: timeText(row.Time), Environment: row.Environment, HostID: row.HostID, HostName: row.HostName,
		Subject: row.Subject, Name: row.Name, State: row.State, Reason: row.Reason, Advice: row.Advice, Count: row.Count,
		ServiceName: row.ServiceName, PID: row.PID, Executable: row.Executable, User: row.User, ContainerID: row.ContainerID, PodUID: row.PodUID,
	}
}
