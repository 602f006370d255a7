// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"
)

// EndpointQuery asks for the servers that requests went to.
type EndpointQuery struct {
	Selection
	// ByTemplate tells methods and URL templates apart, and not only servers.
	ByTemplate bool
	// NewSince leaves out what was seen before it, in all that the store keeps. Zero: everything.
	NewSince time.Time
	Limit    int
}

// Endpoint is a server, or a method and URL template of it, with the figures of the selection.
type Endpoint struct {
	ServerAddress       string
	Method, Template    string    // "" when not ByTemplate
	FirstSeen, LastSeen time.Time // the first in all that the store keeps up to the end of the selection
	Requests, Errors    uint64
	RequestBytes        uint64
	ResponseBytes       uint64
	Services            uint64 // how many ask it or are it
	Quantiles
}

// maxKnown is how many endpoints are looked through for what is new.
const maxKnown = 100_000

// endpointColumns tell endpoints apart. Their number is stored: it must never change.
var endpointColumns = []string{"server_address", "method", "template"}

func (q *EndpointQuery) columns() []string {
	if q.ByTemplate {
		return endpointColumns
	}
	return endpointColumns[:1]
}

// number is that of an endpoint in t.
func (q *EndpointQuery) number(t *table) string {
	if q.ByTemplate && (t == requestHours || t == seenEndpoints) {
		return "endpoint"
	}
	return numbered(q.columns()...)
}

// Endpoints implements Reader: the most requested first. Which those are is asked first, by number, and all else of them alone.
func (s *Store) Endpoints(ctx context.Context, q EndpointQuery) ([]Endpoint, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	fields := []string{"server"}
	if q.ByTemplate {
		fields = append(fields, "method", "template")
	}
	t := requestsFor(q.Selection, 0, fields...)
	out, err := s.endpoints(ctx, t, q)
	if err != nil {
		return nil, fmt.Errorf("read endpoints: %w", err)
	}
	return out, nil
}

func (s *Store) endpoints(ctx context.Context, t *table, q EndpointQuery) ([]Endpoint, error) {
	var seen map[uint64]time.Time
	var err error
	if !q.NewSince.IsZero() {
		if seen, err = s.endpointsSeen(ctx, q, nil); err != nil {
			return nil, err
		}
	}
	top, err := s.mostRequested(ctx, t, q, seen)
	if err != nil || len(top) == 0 {
		return nil, err
	}
	number, columns := q.number(t), strings.Join(q.columns(), ", ")
	w := &where{}
	w.anyOf(number, top)
	from, err := s.rows(t, q.Selection, w)
	if err != nil {
		return nil, err
	}
	names, quantiles := columns, "[]::Array(Float64)"
	if !q.ByTemplate {
		names += ", '', ''"
	}
	if t.grain == 0 {
		quantiles = rowQuantiles
	}
	var spreads map[uint64]*counts
	var out []Endpoint
	var ids []uint64
	group, ctx := errgroup.WithContext(ctx)
	if t.grain > 0 {
		group.Go(func() (err error) {
			spreads, err = s.spreads(ctx, from, number)
			return err
		})
	}
	if seen == nil {
		group.Go(func() (err error) {
			seen, err = s.endpointsSeen(ctx, q, top)
			return err
		})
	}
	group.Go(func() error {
		return s.ask(ctx, strings.Join([]string{names, number, t.first.sql(), t.last.sql(), t.count.sql(), t.errors.sql(), t.sent.sql(), t.received.sql(), "uniq(service_name)", quantiles}, ", "),
			from, " GROUP BY "+columns+", "+number, func(rows driver.Rows) error {
				var e Endpoint
				var id uint64
				var quantiles []float64
				err := rows.Scan(&e.ServerAddress, &e.Method, &e.Template, &id, &e.FirstSeen, &e.LastSeen, &e.Requests, &e.Errors, &e.RequestBytes, &e.ResponseBytes, &e.Services, &quantiles)
				e.Quantiles = quantilesOf(quantiles)
				out, ids = append(out, e), append(ids, id)
				return err
			})
	})
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, id := range ids {
		if t.grain > 0 {
			out[i].Quantiles = spreads[id].quantiles()
		}
		if first, ok := seen[id]; ok {
			out[i].FirstSeen = first
		}
	}
	slices.SortFunc(out, func(a, b Endpoint) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.ServerAddress, b.ServerAddress), cmp.Compare(a.Method, b.Method), cmp.Compare(a.Template, b.Template))
	})
	return out[:min(len(out), q.Limit)], nil
}

// mostRequested returns the numbers of the endpoints with the most requests; of those in among only, if that is not nil.
func (s *Store) mostRequested(ctx context.Context, t *table, q EndpointQuery, among map[uint64]time.Time) ([]uint64, error) {
	from, err := s.rows(t, q.Selection, nil)
	if err != nil {
		return nil, err
	}
	limit := q.Limit
	if among != nil {
		limit = maxKnown
	}
	var top []uint64
	err = s.ask(ctx, q.number(t)+", "+t.count.sql(), from, fmt.Sprintf(" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %d", limit), func(rows driver.Rows) error {
		var id, requests uint64
		err := rows.Scan(&id, &requests)
		if _, ok := among[id]; (ok || among == nil) && len(top) < q.Limit {
			top = append(top, id)
		}
		return err
	})
	return top, err
}

// endpointsSeen returns when endpoints were seen first in all that the store keeps: those of some numbers, or those that were not seen before NewSince.
func (s *Store) endpointsSeen(ctx context.Context, q EndpointQuery, of []uint64) (map[uint64]time.Time, error) {
	q.From = time.Time{}
	t := seenEndpoints
	if !t.fields.Has(q.Filter) || !t.fields.Has(q.Scope.bound) {
		t = requestTable
	}
	w, having := &where{}, ""
	if of != nil {
		w.anyOf(q.number(t), of)
	} else {
		having = " HAVING " + t.first.sql() + " >= fromUnixTimestamp64Nano({new_since:Int64}, 'UTC')"
		w.args = append(w.args, named("new_since", q.NewSince.UnixNano()))
	}
	from, err := s.rows(t, q.Selection, w)
	if err != nil {
		return nil, err
	}
	seen := map[uint64]time.Time{}
	if err := s.ask(ctx, q.number(t)+", "+t.first.sql(), from, fmt.Sprintf(" GROUP BY 1%s ORDER BY 2 DESC LIMIT %d", having, maxKnown), func(rows driver.Rows) error {
		var id uint64
		var first time.Time
		err := rows.Scan(&id, &first)
		seen[id] = first
		return err
	}); err != nil {
		return nil, fmt.Errorf("read when endpoints were seen: %w", err)
	}
	return seen, nil
}
