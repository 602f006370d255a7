// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"math"
	"time"
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

// counts are those of durations by bucket, in the order of buckets.
type counts struct {
	buckets  []uint8
	requests []uint64
}

// countColumns are two columns of a table of sums, for counts.
const countColumns = "(sumMap(durations) AS spread).1, spread.2"

func (c *counts) dest() []any { return []any{&c.buckets, &c.requests} }

// quantiles places each quantile in its bucket as if durations were spread evenly there, by their logarithm.
func (c *counts) quantiles() Quantiles {
	var total uint64
	for _, n := range c.requests {
		total += n
	}
	at := func(level float64) time.Duration {
		left := level * float64(total)
		for i, n := range c.requests {
			if f := float64(n); n > 0 && left <= f {
				return time.Duration(boundOf(float64(c.buckets[i]) - 1 + left/f))
			}
			left -= float64(n)
		}
		return 0
	}
	return Quantiles{at(0.5), at(0.9), at(0.95), at(0.99)}
}

// heat adds the counts of each bucket of a heat map.
func (c *counts) heat() (heat [heatBuckets]uint64) {
	for i, n := range c.requests {
		heat[min((int(c.buckets[i])+heatPerCount-1)/heatPerCount, heatBuckets-1)] += n
	}
	return heat
}

// Quantiles are of the durations of requests.
type Quantiles struct{ P50, P90, P95, P99 time.Duration }

// spread returns the columns by which the durations of a group are read, where they go, and their quantiles then: of rows within
// 1 %, of sums as exact as their buckets, which are a twelfth wide.
func (t *table) spread() (columns string, dest []any, read func() Quantiles) {
	if t.grain > 0 {
		var c counts
		return countColumns, c.dest(), c.quantiles
	}
	var v []float64
	return "arrayMap(x -> toFloat64(x), quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99)(duration))", []any{&v}, func() (q Quantiles) {
		if len(v) == 4 && !math.IsNaN(v[0]) {
			q = Quantiles{time.Duration(v[0]), time.Duration(v[1]), time.Duration(v[2]), time.Duration(v[3])}
		}
		return q
	}
}
