// SPDX-License-Identifier: Apache-2.0

// Package emit turns what the engine found into pdata, groups it by resource, and hands it to
// the pipelines: every queue is bounded and every drop is counted with its reason.
package emit

import (
	"sort"
	"sync"
	"sync/atomic"
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

	in, out  atomic.Uint64
	inFlight atomic.Int64

	mu      sync.Mutex
	dropped map[string]uint64
}

// NewLedger returns an empty book.
func NewLedger(stage, unit string) *Ledger {
	return &Ledger{Stage: stage, Unit: unit, dropped: map[string]uint64{}}
}

// Enter takes n items in; they are in flight.
func (l *Ledger) Enter(n uint64) {
	l.inFlight.Add(int64(n))
	l.in.Add(n)
}

// Leave hands n items on.
func (l *Ledger) Leave(n uint64) {
	l.out.Add(n)
	l.inFlight.Add(-int64(n))
}

// Drop gives n items up.
func (l *Ledger) Drop(reason string, n uint64) {
	if n == 0 {
		return
	}
	l.mu.Lock()
	l.dropped[reason] += n
	l.mu.Unlock()
	l.inFlight.Add(-int64(n))
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
	t := Totals{In: l.in.Load(), Out: l.out.Load(), InFlight: l.inFlight.Load(), Dropped: make(map[string]uint64, len(l.dropped))}
	for k, v := range l.dropped {
		t.Dropped[k] = v
	}
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

// Reasons returns the drop reasons in order.
func (t Totals) Reasons() []string {
	r := make([]string, 0, len(t.Dropped))
	for k := range t.Dropped {
		r = append(r, k)
	}
	sort.Strings(r)
	return r
}
