// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
)

// permanent waits for a permanent error and returns its text.
func (h *host) permanent(t *testing.T) (text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		for _, ev := range h.events {
			if ev.Status() == componentstatus.StatusPermanentError {
				text = ev.Err().Error()
				return true
			}
		}
		return false
	}, time.Minute, 5*time.Millisecond)
	return text
}

func (s *scripted) closes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// TestPanic: a panic of the engine detaches the source, is reported without what was read, and leaves the rest alone.
func TestPanic(t *testing.T) {
	ctx, src, h := context.Background(), newScripted(), &host{}
	var traces consumertest.TracesSink
	set := settings(metadata.Type, "panics")
	r, err := newFactory(src.open).CreateTraces(ctx, set, createDefaultConfig(), &traces)
	require.NoError(t, err)
	require.NoError(t, r.Start(ctx, h))
	src.play <- exchange
	src.play <- func(event.Handler) { panic("the request had: s3cret") }
	text := h.permanent(t)
	require.Contains(t, text, "qtap/panics has failed and is detached")
	require.Contains(t, text, "panic: a value of type string at qtapreceiver.TestPanic")
	require.NotContains(t, text, "s3cret")
	require.Equal(t, 1, src.closes())
	require.NoError(t, r.Shutdown(ctx))
	require.Equal(t, 1, src.closes())
	for _, s := range slotOf(set.ID).tap.books() {
		if s.Name == "spans" || s.Name == "logs" {
			require.True(t, s.Balanced(), "%s %+v", s.Name, s.Totals)
			require.Zero(t, s.InFlight, s.Name)
		}
	}
}

// detachable is a source that can be detached while it runs.
type detachable struct {
	*scripted
	detached atomic.Int32
}

func (d *detachable) Detach() error {
	d.detached.Add(1)
	return nil
}

// TestStall: an engine that does nothing any more is detached, and nobody waits for it.
func TestStall(t *testing.T) {
	ctx, src, h := context.Background(), &detachable{scripted: newScripted()}, &host{}
	set := settings(metadata.Type, "stalls")
	r, err := newFactory(func(*Config, *zap.Logger) (event.Source, []zap.Field, error) { return src, nil, nil }).
		CreateTraces(ctx, set, createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	tap := slotOf(set.ID).tap
	tap.lookEvery = 50 * time.Millisecond
	require.NoError(t, r.Start(ctx, h))
	c, release := tap.capture, make(chan struct{})
	require.Eventually(t, func() bool { return c.engine.Beats() > 0 }, time.Minute, time.Millisecond)
	select {
	case src.play <- func(event.Handler) { <-release }:
	case <-c.stuck: // the machine was slower than that
	}
	text := h.permanent(t)
	require.Contains(t, text, "the engine has done nothing for 1.5s")
	require.EqualValues(t, 1, src.detached.Load())
	require.NoError(t, r.Shutdown(ctx))

	// It goes on after all, and ends.
	close(release)
	<-c.ran
	require.Equal(t, 1, src.closes())
	require.Len(t, h.events, 1)
}
