// SPDX-License-Identifier: Apache-2.0

// Package emit turns what the engine found into pdata, groups it by resource, and hands it to
// the pipelines: every queue is bounded and every drop is counted with its reason.
package emit

import (
	"maps"
	"sync"
)

// Ledger is the book of one stage. The conservation identity
//
//	In = Out + sum(Dropped) + InFlight
//
// holds whenever the stage is at rest; InFlight is counted on its own, not derived, so that the
// identity can be wrong. All methods are safe for concurrent use.
type Ledger struct {
	Stage string // attribute value of the stage's metrics
	Unit  string // UCUM unit of what is counted: "By", "{exchange}", …

	mu     sync.Mutex // one lock for all, so that Totals are of one moment
	totals Totals
}

// NewLedger returns an empty book.
func NewLedger(stage, unit string) *Ledger {
	return &Ledger{Stage: stage, Unit: unit, totals: Totals{Dropped: map[string]uint64{}}}
}

// Enter takes n items in; they are in flight.
func (l *Ledger) Enter(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.In += n
	l.totals.InFlight += int64(n)
}

// Leave hands n items on.
func (l *Ledger) Leave(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.Out += n
	l.totals.InFlight -= int64(n)
}

// Drop gives n items up.
func (l *Ledger) Drop(reason string, n uint64) {
	if n == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.Dropped[reason] += n
	l.totals.InFlight -= int64(n)
}

// Totals are the values of a Ledger at one moment.
type Totals struct {
	In, Out  uint64
	InFlight int64
	Dropped  map[string]uint64
}

// Totals returns a copy.
func (l *Ledger) Totals() Totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.totals
	t.Dropped = maps.Clone(t.Dropped)
	return t
}

// DroppedTotal is the sum over the reasons.
func (t Totals) DroppedTotal() (n uint64) {
	for _, v := range t.Dropped {
		n += v
	}
	return n
}

// Balanced reports whether the conservation identity holds.
func (t Totals) Balanced() bool {
	return t.InFlight >= 0 && t.In == t.Out+t.DroppedTotal()+uint64(t.InFlight)
}
