// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"context"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

// sweeper removes what is older than the rules keep: versitygw has no lifecycle of its own. As there, the age of an
// object counts from when it was written.
type sweeper struct {
	logger                  *zap.Logger
	objects, bytes, trouble metric.Int64Counter

	mu    sync.Mutex
	rules map[*[]s3settings.Expiry]bool
	woken chan struct{} // has room for one: the rules have changed
}

func newSweeper(logger *zap.Logger, meter metric.Meter) (*sweeper, error) {
	s := &sweeper{logger: logger, rules: map[*[]s3settings.Expiry]bool{}, woken: make(chan struct{}, 1)}
	for _, c := range []struct {
		to               *metric.Int64Counter
		name, unit, desc string
	}{
		{&s.objects, "expired_objects", "{object}", "Objects removed because they were older than their class is kept."},
		{&s.bytes, "expired_bytes", "By", "Bytes of the objects removed."},
		{&s.trouble, "expiry_failures", "{failure}", "Times that old objects could not be listed or removed."},
	} {
		var err error
		if *c.to, err = meter.Int64Counter("otelcol_extension_local_s3_"+c.name, metric.WithUnit(c.unit), metric.WithDescription(c.desc)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Expire implements s3settings.Expirer.
func (s *sweeper) Expire(rules []s3settings.Expiry) (withdraw func()) {
	rules = slices.Clone(rules)
	s.mu.Lock()
	s.rules[&rules] = true
	s.mu.Unlock()
	s.wake()
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.rules, &rules)
	}
}

func (s *sweeper) wake() {
	select {
	case s.woken <- struct{}{}:
	default:
	}
}

func (s *sweeper) current() (all []s3settings.Expiry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for rules := range s.rules {
		all = append(all, *rules...)
	}
	return all
}

// every is how often it is looked, so that an object outlives its class by little.
func every(rules []s3settings.Expiry) time.Duration {
	shortest := time.Hour * 24
	for _, r := range rules {
		shortest = min(shortest, r.After)
	}
	return max(time.Second, shortest/24)
}

// run sweeps until ctx ends.
func (s *sweeper) run(ctx context.Context, store *objectstore.S3) {
	defer store.CloseIdle()
	for ctx.Err() == nil {
		rules := s.current()
		for _, r := range rules {
			s.sweep(ctx, store, r, time.Now())
		}
		next := time.NewTimer(every(rules))
		select {
		case <-ctx.Done():
		case <-s.woken:
		case <-next.C:
		}
		next.Stop()
	}
}

// sweep removes what one rule does not keep any longer.
func (s *sweeper) sweep(ctx context.Context, store *objectstore.S3, rule s3settings.Expiry, now time.Time) {
	before := now.Add(-rule.After)
	var old []objectstore.Listed
	err := store.List(ctx, rule.Prefix, func(o objectstore.Listed) bool {
		if o.Stored.Before(before) {
			old = append(old, o)
		}
		// Keys are in the order of time, and no object is older than its segment.
		opened := objectkey.Opened(objectkey.WithClass("/"+o.Key[len(rule.Prefix):], objectkey.DefaultClass))
		return opened.IsZero() || opened.Before(before)
	})
	var removed, bytes int64
	for _, o := range old {
		if failed := store.Delete(ctx, o.Key); failed != nil {
			err = failed
			break
		}
		removed, bytes = removed+1, bytes+o.Size
	}
	s.objects.Add(ctx, removed)
	s.bytes.Add(ctx, bytes)
	if removed > 0 {
		s.logger.Info("Old payloads were removed.", zap.String("prefix", rule.Prefix), zap.Duration("kept_for", rule.After), zap.Int64("objects", removed), zap.Int64("bytes", bytes))
	}
	if err != nil && ctx.Err() == nil {
		s.trouble.Add(ctx, 1)
		s.logger.Warn("Old payloads could not be removed; it is tried again.", zap.String("prefix", rule.Prefix), zap.Error(err))
	}
}
