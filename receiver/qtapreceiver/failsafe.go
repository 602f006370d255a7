// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/engine"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/panics"
)

// When the receiver fails itself, it leaves the host alone: its programs are detached, and the rest of the collector goes
// on. A panic is no secret, but its error has nothing of what was read.

// stallBeats is how many looks in a row at an engine that does nothing make it a stalled one. They are counted, not
// timed: when the whole process was stopped, there were none.
const stallBeats = 30

// detacher is a source that can be detached while its Run does not return.
type detacher interface{ Detach() error }

// capture is one run of the engine.
type capture struct {
	source event.Source
	engine *engine.Engine
	cancel context.CancelFunc
	ran    chan struct{} // closed when Run has returned
	stuck  chan struct{} // closed when it is not awaited any more

	mu      sync.Mutex
	failure error
}

func newCapture(src event.Source) *capture {
	return &capture{source: src, ran: make(chan struct{}), stuck: make(chan struct{})}
}

// fail notes why the capture has ended; false says that it had failed already.
func (c *capture) fail(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure != nil {
		return false
	}
	c.failure = err
	return true
}

// failed returns why the capture has ended by itself, or nil.
func (c *capture) failed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failure
}

// run reads events until ctx ends. Whatever else ends it is the end of the capture.
func (t *tap) run(ctx context.Context, host component.Host, c *capture) {
	defer close(c.ran)
	err := panics.Catch(func() error { return c.source.Run(ctx, c.engine) })
	var caught *panics.Error
	panicked := errors.As(err, &caught)
	if !panicked && (err == nil || ctx.Err() != nil) && c.failed() == nil {
		return
	}
	if panicked {
		c.engine.Abandon()
	}
	if c.fail(err) {
		t.report(host, errors.Join(err, c.source.Close()))
	} else {
		_ = c.source.Close() // it went on after all: what was attached is gone already
	}
}

// watch looks whether the engine goes on. One that does not is left where it is, as no goroutine can be ended from
// outside.
func (t *tap) watch(host component.Host, c *capture) {
	look := time.NewTicker(t.lookEvery)
	defer look.Stop()
	beats, still := uint64(0), 0
	for still < stallBeats {
		select {
		case <-c.ran:
			return
		case <-look.C:
		}
		if now := c.engine.Beats(); now != beats || now == 0 {
			beats, still = now, 0
		} else {
			still++
		}
	}
	err := fmt.Errorf("the engine has done nothing for %s, at %s", stallBeats*t.lookEvery, strings.Join(stackOf("(*tap).run"), ", "))
	if !c.fail(err) {
		return
	}
	defer close(c.stuck)
	c.cancel()
	if d, ok := c.source.(detacher); ok {
		err = errors.Join(err, d.Detach())
	}
	t.report(host, err)
}

// end waits for the end of Run and ends the engine, as far as its state allows. It reports whether the engine is at rest:
// one that is stuck must not be touched.
func (c *capture) end(now int64) (rests bool, err error) {
	c.cancel()
	select {
	case <-c.ran:
	case <-c.stuck:
		select {
		case <-c.ran: // it was slow, and is at rest after all
		default:
			return false, nil
		}
	}
	var caught *panics.Error
	switch failure := c.failed(); {
	case errors.As(failure, &caught):
	case failure != nil:
		c.engine.Close(now)
	default:
		err = c.source.Close()
		c.engine.Close(now)
	}
	return true, err
}

func (t *tap) report(host component.Host, err error) {
	err = fmt.Errorf("%s has failed and is detached, nothing is captured any more: %w", t.set.ID, err)
	t.set.Logger.Error("The capture has failed", zap.Error(err))
	componentstatus.ReportStatus(host, componentstatus.NewPermanentErrorEvent(err))
}

// stackOf names the innermost functions of the goroutine that is in the named method of this package; nothing when there
// are several, or none.
func stackOf(method string) (where []string) {
	records := make([]runtime.StackRecord, runtime.NumGoroutine()+64)
	n, ok := runtime.GoroutineProfile(records)
	if !ok {
		return nil
	}
	for i := range records[:n] {
		pcs := records[i].Stack()
		var functions []string
		frames := runtime.CallersFrames(pcs)
		for more := len(pcs) > 0; more; {
			var f runtime.Frame
			f, more = frames.Next()
			functions = append(functions, f.Function)
		}
		if slices.ContainsFunc(functions, func(f string) bool { return strings.HasSuffix(f, "qtapreceiver."+method) }) {
			if where != nil {
				return nil
			}
			where = panics.Frames(pcs)
		}
	}
	return where
}
