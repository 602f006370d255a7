// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"errors"
	"sync"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/retention"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/engine"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

// registry is where the components of one process meet by component id: a `qtap` receiver's
// traces and logs share one tap, and `qtap_payload` finds the tap it belongs to. The collector
// starts receivers in no certain order, so either side may come first.
var registry = struct {
	sync.Mutex
	slots map[component.ID]*slot
}{slots: map[component.ID]*slot{}}

// slot is the meeting point of one `qtap` id.
type slot struct {
	mu      sync.Mutex
	tap     *tap // created; nil when there is none
	running *engine.Engine
	emitter *emit.Emitter[*process.Info]
	payload *engine.Payloads
	books   *emit.PayloadBooks
}

func slotOf(id component.ID) *slot {
	registry.Lock()
	defer registry.Unlock()
	s := registry.slots[id]
	if s == nil {
		s = &slot{books: emit.NewPayloadBooks()}
		registry.slots[id] = s
	}
	return s
}

// tapOf returns the tap of a `qtap` component, shared by its signals.
func (s *slot) tapOf(cfg *Config, create func() (*tap, error)) (*tap, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tap != nil && s.tap.cfg == cfg && !s.tap.ended() {
		return s.tap, nil
	}
	t, err := create()
	if err != nil {
		return nil, err
	}
	s.tap = t
	return t, nil
}

// exists reports whether a `qtap` receiver was created and not shut down since.
func (s *slot) exists() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tap != nil && !s.tap.ended()
}

// attachEngine joins a started engine with the payload path, if there is one.
func (s *slot) attachEngine(e *engine.Engine, em *emit.Emitter[*process.Info]) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return errors.New("a receiver with this id runs already in this process")
	}
	if s.payload != nil {
		if err := e.CheckRules(retention.Check); err != nil {
			return err
		}
	}
	s.running, s.emitter = e, em
	e.SetPayloads(s.payload)
	return nil
}

func (s *slot) detachEngine() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running, s.emitter = nil, nil
}

// attachPayload joins the payload path with the engine, now or when that starts.
func (s *slot) attachPayload(p *engine.Payloads) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.payload != nil {
		return errors.New("another qtap_payload receiver takes its payloads already")
	}
	// Who stores payloads has started before them, and before or after the engine: whoever comes second asks.
	if s.running != nil {
		if err := s.running.CheckRules(retention.Check); err != nil {
			return err
		}
	}
	s.payload = p
	if s.running != nil {
		s.running.SetPayloads(p)
	}
	return nil
}

func (s *slot) detachPayload() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.payload = nil
	if s.running != nil {
		s.running.SetPayloads(nil)
	}
}

func (s *slot) payloads() *engine.Payloads {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.payload
}

// report emits what the payload path has to say, and no payload, through the `qtap` receiver.
func (s *slot) report(ld plog.Logs, n int) {
	s.mu.Lock()
	em := s.emitter
	s.mu.Unlock()
	if em != nil {
		em.LogNow(ld, n)
	}
}
