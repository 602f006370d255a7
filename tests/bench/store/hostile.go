// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter/filtertest"
)

// hostile asks n random questions, eight at a time, each within two seconds and 256 MiB. It fails when one ends in any
// way but an answer or the refusal that it is too much, or when the store is not there afterwards.
func hostile(ctx context.Context, s *pulsestore.Store, to time.Time, n int) (map[string]int, error) {
	s.SetLimits(pulsestore.Limits{Time: 2 * time.Second, Memory: 256 << 20})
	fields := pulsestore.FieldsOf(pulsestore.OfRequests)
	var mu sync.Mutex
	outcomes, failed := map[string]int{}, error(nil)
	work := make(chan *filter.Expr)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for e := range work {
				sel := pulsestore.Selection{Scope: pulsestore.EveryEnvironment(), From: to.Add(-24 * time.Hour), To: to, Filter: e}
				_, _, err := s.Requests(ctx, pulsestore.RequestQuery{Selection: sel, Limit: 100})
				if err == nil {
					_, err = s.Histogram(ctx, pulsestore.TimeQuery{Selection: sel, Of: pulsestore.OfRequests, Step: time.Hour})
				}
				mu.Lock()
				switch {
				case err == nil:
					outcomes["answered"]++
				case errors.Is(err, pulsestore.ErrTime):
					outcomes["too long"]++
				case errors.Is(err, pulsestore.ErrSize):
					outcomes["too large"]++
				default:
					failed = errors.Join(failed, fmt.Errorf("%s: %w", e, err))
				}
				mu.Unlock()
			}
		})
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range n {
		e, err := filter.Parse(filtertest.Random(r, fields), fields)
		if err != nil {
			mu.Lock()
			outcomes["no filter"]++
			mu.Unlock()
			continue
		}
		work <- e
	}
	close(work)
	wg.Wait()
	return outcomes, errors.Join(failed, s.Ping(ctx))
}
