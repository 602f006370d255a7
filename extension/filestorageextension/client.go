// SPDX-License-Identifier: Apache-2.0

package filestorageextension

import (
	"context"
	"errors"
	"slices"
	"sync"

	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

// client is what a queue of exporterhelper writes to. Such a queue (its `persistent_queue.go`) writes in three cases: an item that it takes; where
// it reads, when it takes an item out; and where it reads, with the deletion of an item that was sent. When the second fails, it leaves
// the item out, and so loses it. It fails when the disk is full, because a B+ tree that never writes over what is valid needs a page for it.
//
// So what fails while items are taken out or deleted is not given up but written later, together with the next thing that is written: until
// then the file says what it said before, and a collector that starts from it sends again what was sent meanwhile. Only what is new may be
// refused, which its sender is told.
type client struct {
	storage.Client
	logger *zap.Logger

	mu    sync.Mutex
	late  []*storage.Operation // Sets and Deletes that could not be written yet, one for each key
	read  map[string]bool      // keys that a starting queue has read
	moved int                  // of these, what it deletes and is about to take anew under other keys
}

func newClient(c storage.Client, logger *zap.Logger) *client {
	return &client{Client: c, logger: logger, read: map[string]bool{}}
}

// Get implements storage.Client.
func (c *client) Get(ctx context.Context, key string) ([]byte, error) {
	op := storage.GetOperation(key)
	err := c.Batch(ctx, op)
	return op.Value, err
}

// Set implements storage.Client.
func (c *client) Set(ctx context.Context, key string, value []byte) error {
	return c.Batch(ctx, storage.SetOperation(key, value))
}

// Delete implements storage.Client.
func (c *client) Delete(ctx context.Context, key string) error {
	return c.Batch(ctx, storage.DeleteOperation(key))
}

// Batch implements storage.Client.
func (c *client) Batch(ctx context.Context, ops ...*storage.Operation) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	gets, sets, deletes := count(ops)
	switch {
	case gets > 0 && sets > 0: // it has started
		clear(c.read)
		c.moved = 0
	case gets+sets == 0:
		for _, op := range ops {
			if c.read[op.Key] {
				c.moved++
			}
		}
	}
	isNew := sets > 1 && gets+deletes == 0 // an item, and where the queue ends
	if isNew && c.moved > 0 {
		c.moved--
		isNew = false
	}
	err := c.Client.Batch(ctx, append(slices.Clone(c.late), ops...)...)
	switch {
	case err == nil && len(c.late) > 0:
		c.logger.Info("What waited for space on the disk is written", zap.Int("operations", len(c.late)))
		c.late = nil
	case err == nil:
	case isNew:
		return err
	default:
		if err := c.postpone(ctx, ops, err); err != nil {
			return err
		}
	}
	if sets+deletes == 0 {
		for _, op := range ops {
			c.read[op.Key] = op.Value != nil
		}
	}
	return nil
}

// postpone answers what is asked, and keeps what is to be written.
func (c *client) postpone(ctx context.Context, ops []*storage.Operation, cause error) error {
	before := len(c.late)
	for _, op := range ops {
		if op.Type != storage.Get {
			c.late = slices.DeleteFunc(c.late, func(l *storage.Operation) bool { return l.Key == op.Key })
			c.late = append(c.late, op)
			continue
		}
		i := slices.IndexFunc(c.late, func(l *storage.Operation) bool { return l.Key == op.Key })
		if i >= 0 {
			op.Value = c.late[i].Value // nil of a Delete
			continue
		}
		// To read alone takes no page.
		if err := c.Client.Batch(ctx, op); err != nil {
			return errors.Join(cause, err)
		}
	}
	if before == 0 && len(c.late) > 0 {
		c.logger.Warn("What was taken out of a queue cannot be noted yet: it is sent again should the collector end before", zap.Error(cause))
	}
	return nil
}

// count says how many operations there are of each kind.
func count(ops []*storage.Operation) (gets, sets, deletes int) {
	for _, op := range ops {
		switch op.Type {
		case storage.Get:
			gets++
		case storage.Set:
			sets++
		case storage.Delete:
			deletes++
		}
	}
	return gets, sets, deletes
}

// Walk implements storage.Walker. What is still to be written is, before.
func (c *client) Walk(ctx context.Context, f storage.WalkFunc) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w, ok := c.Client.(storage.Walker)
	if !ok {
		return errors.New("the storage cannot be walked")
	}
	if len(c.late) > 0 {
		if err := c.Client.Batch(ctx, c.late...); err != nil {
			return err
		}
		c.late = nil
	}
	return w.Walk(ctx, f)
}

// Close implements storage.Client. What could not be written until now is tried once more.
func (c *client) Close(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.late) > 0 {
		_ = c.Client.Batch(ctx, c.late...) // the file stays as it was: what it has is sent again
		c.late = nil
	}
	return c.Client.Close(ctx)
}
