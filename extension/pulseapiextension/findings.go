// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"encoding/hex"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

type dataFindingJSON struct {
	Kind          string `json:"kind,omitempty"`
	Reason        string `json:"reason,omitempty"`
	Message       string `json:"message,omitempty"`
	Location      string `json:"location,omitempty"`
	Place         string `json:"place,omitempty"`
	Role          string `json:"role"`
	Environment   string `json:"environment"`
	ServiceName   string `json:"service_name"`
	Executable    string `json:"executable,omitempty"`
	ServerAddress string `json:"server_address,omitempty"`
	ServerPort    uint16 `json:"server_port,omitempty"`
	Count         uint64 `json:"count"`
	Hosts         uint64 `json:"hosts"`
	FirstSeen     string `json:"first_seen"`
	LastSeen      string `json:"last_seen"`
	TraceID       string `json:"trace_id"`
	SpanID        string `json:"span_id"`
}

type dataFindingsAnswer struct {
	Findings []dataFindingJSON `json:"findings"`
}

// getFindings answers who sends which kind of sensitive data where. No value is in the store.
func (a *api) getFindings(q *question) (any, error) {
	var ask pulsestore.FindingQuery
	var err error
	if ask.Selection, err = q.selection(pulsestore.OfFindings, a.now()); err != nil {
		return nil, err
	}
	if ask.Limit, err = q.int("limit", defaultLimit, maxLimit); err != nil {
		return nil, err
	}
	var answer dataFindingsAnswer
	answer.Findings, err = view(a, q, func(ctx context.Context) ([]pulsestore.FindingGroup, error) { return a.reader.Findings(ctx, ask) },
		func(g *pulsestore.FindingGroup) dataFindingJSON {
			return dataFindingJSON{
				g.Kind, g.Reason, g.Message, g.Location, g.Place, g.Role, g.Environment, g.ServiceName, g.Executable, g.ServerAddress, g.ServerPort,
				g.Count, g.Hosts, timeText(g.FirstSeen), timeText(g.Time), hex.EncodeToString(g.TraceID[:]), hex.EncodeToString(g.SpanID[:]),
			}
		})
	return answer, err
}
