// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"context"
	"math"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Tables of sums count durations in buckets, eight an octave: see migration 0010.
const (
	bucketsPerOctave = 8
	firstBucket      = 13 // log2 of its bound in nanoseconds
)

// boundOf is what took longest in a bucket of the tables of sums.
func boundOf(bucket float64) float64 { return math.Exp2(firstBucket + bucket/bucketsPerOctave) }

// heatBucket is the number of the bucket of a heat map that a request belongs to: half an octave each.
const heatBucket = "greatest(least(ceil(2 * log2(duration)) - 26, 51), 0)"

const (
	heatBuckets  = 52
	heatPerCount = bucketsPerOctave / 2 // buckets of sums in one of a heat map
)

// counts are those of durations by bucket.
type counts [256]uint64

// spreads returns the counts of durations of the rows of a table of sums, by a number. sumMap would be one column of the statement that asks for
// the other sums, and takes three times as long as an ARRAY JOIN whose keys are numbers.
func (s *Store) spreads(ctx context.Context, from source, key string) (map[uint64]*counts, error) {
	from.sql = "(SELECT k, bucket, sum(n) AS requests FROM (SELECT toUInt64(" + key + ") AS k, durations FROM " + from.sql +
		") ARRAY JOIN durations.1 AS bucket, durations.2 AS n GROUP BY k, bucket)"
	out := map[uint64]*counts{}
	return out, s.ask(ctx, "k, groupArray(bucket), groupArray(requests)", from, " GROUP BY k", func(rows driver.Rows) error {
		var k uint64
		var buckets []uint8
		var requests []uint64
		err := rows.Scan(&k, &buckets, &requests)
		c := &counts{}
		for i, bucket := range buckets {
			c[bucket] += requests[i]
		}
		out[k] = c
		return err
	})
}

// quantiles places each quantile in its bucket as if durations were spread evenly there, by their logarithm.
func (c *counts) quantiles() Quantiles {
	if c == nil {
		return Quantiles{}
	}
	var total uint64
	for _, n := range c {
		total += n
	}
	at := func(level float64) time.Duration {
		left := level * float64(total)
		for bucket, n := range c {
			if f := float64(n); n > 0 && left <= f {
				return time.Duration(boundOf(float64(bucket) - 1 + left/f))
			}
			left -= float64(n)
		}
		return 0
	}
	return Quantiles{at(0.5), at(0.9), at(0.95), at(0.99)}
}

// heat adds the counts of each bucket of a heat map.
func (c *counts) heat() (heat [heatBuckets]uint64) {
	for bucket, n := range c {
		heat[min((bucket+heatPerCount-1)/heatPerCount, heatBuckets-1)] += n
	}
	return heat
}

// Quantiles are of the durations of requests: of sums as exact as their buckets, which are a twelfth wide, of rows within 1 %.
type Quantiles struct{ P50, P90, P95, P99 time.Duration }

// rowQuantiles is the column that the quantiles of rows are read from, which a table of sums has not: see spreads.
const rowQuantiles = "arrayMap(x -> toFloat64(x), quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99)(duration))"

// quantilesOf returns what rowQuantiles said.
func quantilesOf(v []float64) (q Quantiles) {
	if len(v) == 4 && !math.IsNaN(v[0]) {
		q = Quantiles{time.Duration(v[0]), time.Duration(v[1]), time.Duration(v[2]), time.Duration(v[3])}
	}
	return q
}
