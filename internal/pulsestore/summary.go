// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// maxBuckets is how many buckets a question over time may have.
const maxBuckets = 1000

// TimeQuery asks for figures by time. A bucket begins at a multiple of Step since 1970 in UTC.
type TimeQuery struct {
	Selection
	Of   string        // OfRequests | OfConnections
	Step time.Duration // at least a second, and the range has at most 1000 of them
}

func (q *TimeQuery) check() error {
	if q.Step < time.Second || q.Step%time.Second != 0 || q.From.IsZero() || q.To.IsZero() || q.To.Sub(q.From)/q.Step > maxBuckets {
		return fmt.Errorf("a step of %s is none for this range: whole seconds, at most %d steps", q.Step, maxBuckets)
	}
	return nil
}

// bucket is the number of the step that a row belongs to.
func (q *TimeQuery) bucket(t *table) string { return fmt.Sprintf("intDiv(%s, %d)", t.nanos, q.Step) }

func (q *TimeQuery) at(bucket int64) time.Time { return time.Unix(0, bucket*int64(q.Step)).UTC() }

// Bucket counts the rows of one step by class: of a request that of its status ("2xx", "none" without a response), of a
// connection its visibility.
type Bucket struct {
	Time   time.Time
	Counts map[string]uint64
}

// Histogram implements Reader. Empty buckets are left out.
func (s *Store) Histogram(ctx context.Context, q TimeQuery) ([]Bucket, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	t, from, err := s.counted(q.Selection, q.Of, q.Step, nil)
	if err != nil {
		return nil, err
	}
	var out []Bucket
	if err := s.ask(ctx, q.bucket(t)+", "+t.class+", "+t.count.sql(), from, " GROUP BY 1, 2 ORDER BY 1, 2", func(rows driver.Rows) error {
		var bucket int64
		var class string
		var count uint64
		if err := rows.Scan(&bucket, &class, &count); err != nil {
			return err
		}
		at := q.at(bucket)
		if len(out) == 0 || !out[len(out)-1].Time.Equal(at) {
			out = append(out, Bucket{Time: at, Counts: map[string]uint64{}})
		}
		out[len(out)-1].Counts[class] += count
		return nil
	}); err != nil {
		return nil, fmt.Errorf("count by time: %w", err)
	}
	return out, nil
}

// LatencyBucket has the latency of the requests of one step.
type LatencyBucket struct {
	Time             time.Time
	Requests, Errors uint64
	Quantiles
}

// Latency implements Reader.
func (s *Store) Latency(ctx context.Context, q TimeQuery) ([]LatencyBucket, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	t := requestsFor(q.Selection, q.Step)
	from, err := s.rows(t, q.Selection, nil)
	if err != nil {
		return nil, err
	}
	spread, spreads := "[]::Array(Float64)", map[uint64]*counts{}
	if t.grain == 0 {
		spread = rowQuantiles
	} else if spreads, err = s.spreads(ctx, from, q.bucket(t)); err != nil {
		return nil, fmt.Errorf("read latency: %w", err)
	}
	var out []LatencyBucket
	if err := s.ask(ctx, q.bucket(t)+", "+t.count.sql()+", "+t.errors.sql()+", "+spread, from, " GROUP BY 1 ORDER BY 1", func(rows driver.Rows) error {
		var bucket int64
		var b LatencyBucket
		var quantiles []float64
		err := rows.Scan(&bucket, &b.Requests, &b.Errors, &quantiles)
		b.Time, b.Quantiles = q.at(bucket), quantilesOf(quantiles)
		if t.grain > 0 {
			b.Quantiles = spreads[uint64(bucket)].quantiles()
		}
		out = append(out, b)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read latency: %w", err)
	}
	return out, nil
}

// HeatCell counts the requests of one step whose duration is more than Low and at most High; a High of 0 is no bound.
type HeatCell struct {
	Time      time.Time
	Low, High time.Duration
	Requests  uint64
}

// HeatMap implements Reader. The bounds of durations are powers of the square root of two, in nanoseconds.
func (s *Store) HeatMap(ctx context.Context, q TimeQuery) ([]HeatCell, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	t := requestsFor(q.Selection, q.Step)
	from, err := s.rows(t, q.Selection, nil)
	if err != nil {
		return nil, err
	}
	bound := func(bucket int) time.Duration { return time.Duration(boundOf(float64(bucket * heatPerCount))) }
	var out []HeatCell
	cell := func(at time.Time, bucket int, requests uint64) {
		if requests == 0 {
			return
		}
		c := HeatCell{Time: at, Requests: requests}
		if bucket > 0 {
			c.Low = bound(bucket - 1)
		}
		if bucket < heatBuckets-1 {
			c.High = bound(bucket)
		}
		out = append(out, c)
	}
	if t.grain > 0 {
		spreads, err := s.spreads(ctx, from, q.bucket(t))
		if err != nil {
			return nil, fmt.Errorf("read the heat map: %w", err)
		}
		for _, step := range slices.Sorted(maps.Keys(spreads)) {
			for bucket, n := range spreads[step].heat() {
				cell(q.at(int64(step)), bucket, n)
			}
		}
		return out, nil
	}
	if err := s.ask(ctx, q.bucket(t)+", toUInt8("+heatBucket+"), count()", from, " GROUP BY 1, 2 ORDER BY 1, 2", func(rows driver.Rows) error {
		var step int64
		var bucket uint8
		var n uint64
		err := rows.Scan(&step, &bucket, &n)
		cell(q.at(step), int(bucket), n)
		return err
	}); err != nil {
		return nil, fmt.Errorf("read the heat map: %w", err)
	}
	return out, nil
}

// FacetQuery asks which values fields have, and how often.
type FacetQuery struct {
	Selection
	Of     string
	Fields []string // names of fields with Facet
	Prefix string   // that values begin with
	Limit  int      // values per field
}

// Facet has the values of one field, the most frequent first.
type Facet struct {
	Field  string
	Values []ValueCount
}

// ValueCount is one value of a field.
type ValueCount struct {
	Value string
	Count uint64
}

// text is the SQL expression of a field's value as text.
func text(f *filter.Field) string {
	if f.Kind == filter.Text || f.Kind == filter.Part {
		return f.Column
	}
	return "toString(" + f.Column + ")"
}

// shown is a value as people write it.
func shown(f *filter.Field, value string) string {
	if f.Kind == filter.IP {
		if a, err := netip.ParseAddr(value); err == nil {
			if a = fromColumn(a); a.IsValid() {
				return a.String()
			}
			return ""
		}
	}
	return value
}

// Facets implements Reader.
func (s *Store) Facets(ctx context.Context, q FacetQuery) ([]Facet, error) {
	if err := checkLimit(q.Limit); err != nil {
		return nil, err
	}
	t, err := tableOf(q.Of)
	if err != nil {
		return nil, err
	}
	out := make([]Facet, 0, len(q.Fields))
	for _, name := range q.Fields {
		f := t.fields.Get(name)
		if f == nil || !f.Facet {
			return nil, fmt.Errorf("%q is no field whose values can be counted", name)
		}
		w := &where{}
		if q.Prefix != "" {
			prefix := q.Prefix
			if f.Kind == filter.IP && !strings.Contains(prefix, ":") {
				prefix = "::ffff:" + prefix
			}
			w.and("startsWith("+text(f)+", {prefix:String})", "prefix", prefix)
		}
		from, rows, err := s.counted(q.Selection, q.Of, 0, w, name)
		if err == nil && !from.fields.Get(name).Facet { // a class of values is none
			from = t
			rows, err = s.rows(t, q.Selection, w)
		}
		if err != nil {
			return nil, err
		}
		facet := Facet{Field: f.Name, Values: []ValueCount{}}
		if err := s.ask(ctx, text(from.fields.Get(name))+", "+from.count.sql(), rows, fmt.Sprintf(" GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT %d", q.Limit), func(rows driver.Rows) error {
			var v ValueCount
			err := rows.Scan(&v.Value, &v.Count)
			v.Value = shown(f, v.Value)
			facet.Values = append(facet.Values, v)
			return err
		}); err != nil {
			return nil, fmt.Errorf("count the values of %s: %w", f.Name, err)
		}
		out = append(out, facet)
	}
	return out, nil
}
