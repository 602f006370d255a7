// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// timeQuery is a question over time.
func (q *question) timeQuery(now time.Time) (t pulsestore.TimeQuery, err error) {
	if t.Of, err = q.of(); err != nil {
		return t, err
	}
	if t.Selection, err = q.selection(t.Of, now); err != nil {
		return t, err
	}
	t.Step, err = q.step(t.From, t.To)
	return t, err
}

// view asks the store within the limits and turns what it answers into its JSON.
func view[R, J any](a *api, q *question, ask func(context.Context) ([]R, error), of func(*R) J) ([]J, error) {
	out := []J{}
	err := a.query(q.Context(), func(ctx context.Context) error {
		rows, err := ask(ctx)
		for i := range rows {
			out = append(out, of(&rows[i]))
		}
		return err
	})
	return out, err
}

type bucketJSON struct {
	Time   string            `json:"time"`
	Counts map[string]uint64 `json:"counts"`
}

type histogramAnswer struct {
	Step    int64        `json:"step_ns"`
	Buckets []bucketJSON `json:"buckets"`
}

func (a *api) getHistogram(q *question) (any, error) {
	t, err := q.timeQuery(a.now())
	if err != nil {
		return nil, err
	}
	answer := histogramAnswer{Step: int64(t.Step)}
	answer.Buckets, err = view(a, q, func(ctx context.Context) ([]pulsestore.Bucket, error) { return a.reader.Histogram(ctx, t) },
		func(b *pulsestore.Bucket) bucketJSON { return bucketJSON{timeText(b.Time), b.Counts} })
	return answer, err
}

type quantilesJSON struct {
	P50 int64 `json:"p50_ns"`
	P90 int64 `json:"p90_ns"`
	P95 int64 `json:"p95_ns"`
	P99 int64 `json:"p99_ns"`
}

func quantilesView(q pulsestore.Quantiles) quantilesJSON {
	return quantilesJSON{int64(q.P50), int64(q.P90), int64(q.P95), int64(q.P99)}
}

type latencyJSON struct {
	Time     string `json:"time"`
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
	quantilesJSON
}

type latencyAnswer struct {
	Step    int64         `json:"step_ns"`
	Buckets []latencyJSON `json:"buckets"`
}

func (a *api) getLatency(q *question) (any, error) {
	t, err := q.timeQuery(a.now())
	if err != nil {
		return nil, err
	}
	answer := latencyAnswer{Step: int64(t.Step)}
	answer.Buckets, err = view(a, q, func(ctx context.Context) ([]pulsestore.LatencyBucket, error) { return a.reader.Latency(ctx, t) },
		func(b *pulsestore.LatencyBucket) latencyJSON {
			return latencyJSON{timeText(b.Time), b.Requests, b.Errors, quantilesView(b.Quantiles)}
		})
	return answer, err
}

type heatJSON struct {
	Time     string `json:"time"`
	Low      int64  `json:"low_ns"`
	High     int64  `json:"high_ns,omitempty"`
	Requests uint64 `json:"requests"`
}

type heatAnswer struct {
	Step  int64      `json:"step_ns"`
	Cells []heatJSON `json:"cells"`
}

func (a *api) getHeatMap(q *question) (any, error) {
	t, err := q.timeQuery(a.now())
	if err != nil {
		return nil, err
	}
	answer := heatAnswer{Step: int64(t.Step)}
	answer.Cells, err = view(a, q, func(ctx context.Context) ([]pulsestore.HeatCell, error) { return a.reader.HeatMap(ctx, t) },
		func(c *pulsestore.HeatCell) heatJSON {
			return heatJSON{timeText(c.Time), int64(c.Low), int64(c.High), c.Requests}
		})
	return answer, err
}

type valueJSON struct {
	Value string `json:"value"`
	Count uint64 `json:"count"`
}

type facetJSON struct {
	Field  string      `json:"field"`
	Values []valueJSON `json:"values"`
}

type facetsAnswer struct {
	Facets []facetJSON `json:"facets"`
}

const (
	defaultFacets = 10
	maxFacets     = 12 // fields of one question
)

func facetView(f *pulsestore.Facet) facetJSON {
	out := facetJSON{f.Field, []valueJSON{}}
	for _, v := range f.Values {
		out.Values = append(out.Values, valueJSON(v))
	}
	return out
}

// facetQuery is what facets and the values of a field have in common.
func (q *question) facetQuery(now time.Time, fields []string, prefix string, limit int) (f pulsestore.FacetQuery, err error) {
	if f.Of, err = q.of(); err != nil {
		return f, err
	}
	for _, name := range fields {
		if field := pulsestore.FieldsOf(f.Of).Get(name); field == nil || !field.Facet {
			return f, badParam("field", fmt.Sprintf("%q is none whose values can be counted: see /api/v1/fields", name))
		}
	}
	f.Fields, f.Prefix = fields, prefix
	if f.Selection, err = q.selection(f.Of, now); err != nil {
		return f, err
	}
	f.Limit, err = q.int("limit", limit, maxLimit)
	return f, err
}

func (a *api) getFacets(q *question) (any, error) {
	fields := strings.FieldsFunc(q.params["fields"], func(r rune) bool { return r == ',' })
	if len(fields) == 0 || len(fields) > maxFacets {
		return nil, badParam("fields", fmt.Sprintf("names no fields, or more than %d, with commas between them", maxFacets))
	}
	f, err := q.facetQuery(a.now(), fields, "", defaultFacets)
	if err != nil {
		return nil, err
	}
	var answer facetsAnswer
	answer.Facets, err = view(a, q, func(ctx context.Context) ([]pulsestore.Facet, error) { return a.reader.Facets(ctx, f) }, facetView)
	return answer, err
}

type valuesAnswer struct {
	Values []valueJSON `json:"values"`
}

func (a *api) getFieldValues(q *question) (any, error) {
	f, err := q.facetQuery(a.now(), []string{q.params["field"]}, q.params["prefix"], defaultFacets)
	if err != nil {
		return nil, err
	}
	facets, err := view(a, q, func(ctx context.Context) ([]pulsestore.Facet, error) { return a.reader.Facets(ctx, f) }, facetView)
	if err != nil {
		return nil, err
	}
	return valuesAnswer{facets[0].Values}, nil
}

type endpointJSON struct {
	ServerAddress string `json:"server_address"`
	Method        string `json:"method,omitempty"`
	Template      string `json:"template,omitempty"`
	FirstSeen     string `json:"first_seen"`
	LastSeen      string `json:"last_seen"`
	Requests      uint64 `json:"requests"`
	Errors        uint64 `json:"errors"`
	RequestBytes  uint64 `json:"request_bytes"`
	ResponseBytes uint64 `json:"response_bytes"`
	Services      uint64 `json:"services"`
	quantilesJSON
}

type endpointsAnswer struct {
	Endpoints []endpointJSON `json:"endpoints"`
}

func (a *api) getEndpoints(q *question) (any, error) {
	var e pulsestore.EndpointQuery
	switch by := q.params["by"]; by {
	case "", "server":
	case "endpoint":
		e.ByTemplate = true
	default:
		return nil, badParam("by", "is neither server nor endpoint")
	}
	var err error
	if e.Selection, err = q.selection(pulsestore.OfRequests, a.now()); err != nil {
		return nil, err
	}
	if e.NewSince, err = q.time("new_since", time.Time{}); err != nil {
		return nil, err
	}
	if e.Limit, err = q.int("limit", defaultLimit, maxLimit); err != nil {
		return nil, err
	}
	var answer endpointsAnswer
	answer.Endpoints, err = view(a, q, func(ctx context.Context) ([]pulsestore.Endpoint, error) { return a.reader.Endpoints(ctx, e) },
		func(e *pulsestore.Endpoint) endpointJSON {
			return endpointJSON{
				e.ServerAddress, e.Method, e.Template, timeText(e.FirstSeen), timeText(e.LastSeen), e.Requests, e.Errors,
				e.RequestBytes, e.ResponseBytes, e.Services, quantilesView(e.Quantiles),
			}
		})
	return answer, err
}

// either is a selection whose filter may be over requests, over connections, or over both.
func (q *question) either(now time.Time) (s pulsestore.Selection, limit int, err error) {
	if s, err = q.selection(pulsestore.OfRequests, now); err != nil {
		other, e := q.selection(pulsestore.OfConnections, now)
		if e != nil {
			return s, 0, err
		}
		s = other
	}
	limit, err = q.int("limit", defaultLimit, maxLimit)
	return s, limit, err
}

type processJSON struct {
	HostName       string `json:"host_name"`
	ServiceName    string `json:"service_name"`
	Executable     string `json:"executable"`
	FirstSeen      string `json:"first_seen"`
	LastSeen       string `json:"last_seen"`
	ClientRequests uint64 `json:"client_requests"`
	ServerRequests uint64 `json:"server_requests"`
	Errors         uint64 `json:"errors"`
	Connections    uint64 `json:"connections"`
	NotVisible     uint64 `json:"not_visible"`
	SentBytes      uint64 `json:"sent_bytes"`
	ReceivedBytes  uint64 `json:"received_bytes"`
}

type processesAnswer struct {
	Processes []processJSON `json:"processes"`
}

func (a *api) getProcesses(q *question) (any, error) {
	s, limit, err := q.either(a.now())
	if err != nil {
		return nil, err
	}
	since, err := q.time("new_since", time.Time{})
	if err != nil {
		return nil, err
	}
	var answer processesAnswer
	answer.Processes, err = view(a, q, func(ctx context.Context) ([]pulsestore.Program, error) {
		if !since.IsZero() {
			return a.reader.NewProcesses(ctx, s, since, limit)
		}
		return a.reader.Processes(ctx, s, limit)
	},
		func(p *pulsestore.Program) processJSON {
			return processJSON{
				p.HostName, p.ServiceName, p.Executable, timeText(p.FirstSeen), timeText(p.LastSeen),
				p.ClientRequests, p.ServerRequests, p.Errors, p.Connections, p.NotVisible, p.SentBytes, p.ReceivedBytes,
			}
		})
	return answer, err
}

type nodeJSON struct {
	ID   string `json:"id"`
	Kind string `json:"kind"` // service | server | address
	Name string `json:"name"`
}

type edgeJSON struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Requests    uint64 `json:"requests"`
	Errors      uint64 `json:"errors"`
	P95         int64  `json:"p95_ns,omitempty"`
	Connections uint64 `json:"connections"`
	Bytes       uint64 `json:"bytes"`
}

type mapAnswer struct {
	Nodes []nodeJSON `json:"nodes"`
	Edges []edgeJSON `json:"edges"`
}

// getMap draws edges from who asks to who answers. A server's name stands between the two ends, as each end saw it:
// the same name joins them, nothing else does.
func (a *api) getMap(q *question) (any, error) {
	s, limit, err := q.either(a.now())
	if err != nil {
		return nil, err
	}
	answer := mapAnswer{Nodes: []nodeJSON{}}
	known := map[string]bool{}
	node := func(kind, name string) string {
		id := kind + ":" + name
		if !known[id] {
			known[id] = true
			answer.Nodes = append(answer.Nodes, nodeJSON{id, kind, name})
		}
		return id
	}
	answer.Edges, err = view(a, q, func(ctx context.Context) ([]pulsestore.Edge, error) { return a.reader.Edges(ctx, s, limit) },
		func(e *pulsestore.Edge) edgeJSON {
			service := node("service", e.Service)
			peer := "address"
			if e.Named {
				peer = "server"
			}
			out := edgeJSON{service, node(peer, e.Peer), e.Requests, e.Errors, int64(e.P95), e.Connections, e.Bytes}
			if e.Kind == "server" {
				out.From, out.To = out.To, out.From
			}
			return out
		})
	slices.SortFunc(answer.Nodes, func(a, b nodeJSON) int { return strings.Compare(a.ID, b.ID) })
	return answer, err
}

type talkerJSON struct {
	Value         string `json:"value"`
	Connections   uint64 `json:"connections"`
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`
	LastSeen      string `json:"last_seen"`
}

type talkersAnswer struct {
	By      string       `json:"by"`
	Talkers []talkerJSON `json:"talkers"`
}

func (a *api) getTalkers(q *question) (any, error) {
	by := nonEmpty(q.params["by"], "service")
	field := pulsestore.FieldsOf(pulsestore.OfConnections).Get(by)
	if field == nil || !field.Facet {
		return nil, badParam("by", "is none whose values can be counted: see /api/v1/fields?of=connections")
	}
	s, err := q.selection(pulsestore.OfConnections, a.now())
	if err != nil {
		return nil, err
	}
	limit, err := q.int("limit", defaultLimit, maxLimit)
	if err != nil {
		return nil, err
	}
	answer := talkersAnswer{By: field.Name}
	answer.Talkers, err = view(a, q, func(ctx context.Context) ([]pulsestore.Talker, error) {
		return a.reader.Talkers(ctx, s, field.Name, limit)
	},
		func(t *pulsestore.Talker) talkerJSON {
			return talkerJSON{t.Value, t.Connections, t.SentBytes, t.ReceivedBytes, timeText(t.LastSeen)}
		})
	return answer, err
}

type findingJSON struct {
	Finding       string `json:"finding"`
	Role          string `json:"role"`
	ServiceName   string `json:"service_name"`
	Executable    string `json:"executable,omitempty"`
	HostName      string `json:"host_name,omitempty"`
	ServerAddress string `json:"server_address,omitempty"`
	PeerAddress   string `json:"peer_address,omitempty"`
	Port          uint16 `json:"port,omitempty"`
	Protocol      string `json:"protocol,omitempty"`
	TLSVersion    string `json:"tls_version,omitempty"`
	Subject       string `json:"tls_server_subject,omitempty"`
	NotAfter      string `json:"tls_server_not_after,omitempty"`
	Connections   uint64 `json:"connections"`
	Bytes         uint64 `json:"bytes"`
	FirstSeen     string `json:"first_seen"`
	LastSeen      string `json:"last_seen"`
}

type tlsAnswer struct {
	Findings []findingJSON `json:"findings"`
}

// defaultExpires is how soon a certificate has to end to be a finding.
const defaultExpires = 30 * 24 * time.Hour

func (a *api) getTLS(q *question) (any, error) {
	ask := pulsestore.TLSQuery{ExpiresWithin: defaultExpires}
	var err error
	if ask.Selection, err = q.selection(pulsestore.OfConnections, a.now()); err != nil {
		return nil, err
	}
	if text, ok := q.params["expires_within"]; ok {
		if ask.ExpiresWithin, err = parseTTL(text); err != nil || ask.ExpiresWithin < 0 {
			return nil, badParam("expires_within", "is not a length of time such as 30d")
		}
	}
	if ask.Limit, err = q.int("limit", defaultLimit, maxLimit); err != nil {
		return nil, err
	}
	var answer tlsAnswer
	answer.Findings, err = view(a, q, func(ctx context.Context) ([]pulsestore.TLSFinding, error) { return a.reader.TLSFindings(ctx, ask) },
		func(f *pulsestore.TLSFinding) findingJSON {
			return findingJSON{
				f.Finding, f.Role, f.ServiceName, f.Executable, f.HostName, f.ServerAddress, addrText(f.Peer), f.PeerPort, f.Protocol, f.TLSVersion,
				f.Subject, knownTime(f.NotAfter), f.Connections, f.Bytes, timeText(f.FirstSeen), timeText(f.LastSeen),
			}
		})
	return answer, err
}
