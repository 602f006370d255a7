// SPDX-License-Identifier: Apache-2.0

package emit

import (
	"context"
	"sync"
)

// Drop reasons of a lane.
const (
	DropQueueFull = "queue_full" // the pipeline was slower than the host, for longer than the queue
	DropRefused   = "refused"    // the pipeline returned an error
	DropDetached  = "detached"   // nobody takes this signal
	DropFailed    = "failed"     // the receiver itself has failed
)

// lane hands batches to one consumer from a goroutine of its own, so that a slow pipeline
// never holds up the reading of the ring.
type lane[T any] struct {
	queue   chan batch[T]
	bytes   int64 // the bound of queued
	consume func(context.Context, T, int) error
	done    func(batch[T], error)
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup

	mu      sync.Mutex
	settled sync.Cond // signalled when pending falls
	queued  int64
	pending int
	closed  bool
}

type batch[T any] struct {
	data  T
	items int
	bytes int64
}

// newLane starts a lane of at most depth batches and maxBytes bytes (0: no bound). done is
// told the outcome of every batch that was queued, in order.
func newLane[T any](depth int, maxBytes int64, consume func(context.Context, T, int) error, done func(batch[T], error)) *lane[T] {
	l := &lane[T]{queue: make(chan batch[T], depth), bytes: maxBytes, consume: consume, done: done}
	l.settled.L = &l.mu
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.wg.Go(l.run)
	return l
}

func (l *lane[T]) run() {
	for b := range l.queue {
		err := l.consume(l.ctx, b.data, b.items)
		l.done(b, err)
		l.mu.Lock()
		l.queued -= b.bytes
		l.pending--
		l.settled.Broadcast()
		l.mu.Unlock()
	}
}

// offer queues a batch; false means that it was not taken.
func (l *lane[T]) offer(b batch[T]) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.bytes > 0 && l.queued > 0 && l.queued+b.bytes > l.bytes {
		return false
	}
	select {
	case l.queue <- b:
		l.queued += b.bytes
		l.pending++
		return true
	default:
		return false
	}
}

// drain waits until everything queued was handed over and settled, or ctx ends.
func (l *lane[T]) drain(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.settled.Broadcast()
	})
	defer stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.pending > 0 && ctx.Err() == nil {
		l.settled.Wait()
	}
}

// close hands over what is queued and ends the goroutine. When ctx ends first, the consumer's
// context is cancelled and what is left is handed over with that.
func (l *lane[T]) close(ctx context.Context) {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.queue)
	}
	l.mu.Unlock()
	finished := context.AfterFunc(ctx, l.cancel)
	l.wg.Wait()
	finished()
	l.cancel()
}
