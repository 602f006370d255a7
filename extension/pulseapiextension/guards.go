// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// queue lets a bounded number of questions reach the store at once. Further ones wait for a while, and no more than a
// few of them.
type queue struct {
	slots   chan struct{}
	waiting atomic.Int64
	most    int64 // that may wait
	wait    time.Duration
}

func newQueue(slots int, wait time.Duration) *queue {
	return &queue{slots: make(chan struct{}, slots), most: int64(8 * slots), wait: wait}
}

// enter takes a place; leave must be called when there is no error.
func (q *queue) enter(ctx context.Context) error {
	select {
	case q.slots <- struct{}{}:
		return nil
	default:
	}
	if q.waiting.Add(1) > q.most {
		q.waiting.Add(-1)
		return errBusy()
	}
	defer q.waiting.Add(-1)
	timer := time.NewTimer(q.wait)
	defer timer.Stop()
	select {
	case q.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return errBusy()
	}
}

func (q *queue) leave() { <-q.slots }

func errBusy() *problem {
	return fail(http.StatusServiceUnavailable, "busy", "too many queries are running (`queries::concurrent`): try again")
}

// limiter bounds how many requests a second each caller makes. It remembers a bounded number of callers.
type limiter struct {
	perSecond rate.Limit
	burst     int

	mu      sync.Mutex
	callers map[string]*rate.Limiter
}

const maxCallers = 10_000

func newLimiter(perSecond int) *limiter {
	return &limiter{perSecond: rate.Limit(perSecond), burst: 2 * perSecond, callers: map[string]*rate.Limiter{}}
}

// check returns a problem when a caller has asked too often.
func (l *limiter) check(caller string, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	one, ok := l.callers[caller]
	if !ok {
		if len(l.callers) >= maxCallers {
			for name, old := range l.callers { // those that have been idle have all their tokens
				if old.TokensAt(now) >= float64(l.burst) {
					delete(l.callers, name)
				}
			}
		}
		if len(l.callers) >= maxCallers {
			return errRate(time.Second)
		}
		one = rate.NewLimiter(l.perSecond, l.burst)
		l.callers[caller] = one
	}
	if one.AllowN(now, 1) {
		return nil
	}
	return errRate(time.Duration(float64(time.Second) / float64(l.perSecond)))
}

func errRate(wait time.Duration) *problem {
	p := fail(http.StatusTooManyRequests, "rate_limited", "you ask more often than `requests_per_second` allows: wait")
	p.retryAfter = strconv.Itoa(int(max(wait, time.Second) / time.Second))
	return p
}

// streams bounds how many live streams are open, of all callers and of one.
type streams struct {
	mu    sync.Mutex
	all   int
	perID map[string]int
}

const (
	maxStreams          = 64
	maxStreamsPerCaller = 8
)

func (s *streams) enter(caller string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams || s.perID[caller] >= maxStreamsPerCaller {
		p := fail(http.StatusTooManyRequests, "too_many_streams", "too many live streams are open: close one")
		p.retryAfter = "5"
		return p
	}
	if s.perID == nil {
		s.perID = map[string]int{}
	}
	s.all++
	s.perID[caller]++
	return nil
}

func (s *streams) leave(caller string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.perID[caller]--; s.perID[caller] == 0 {
		delete(s.perID, caller)
	}
}
