// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"maps"
	"sync"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/governor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/dns"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http1"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http2"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/websocket"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/stream"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

// Drop reasons.
const (
	dropFiltered  = "filtered"     // excluded, or not wanted by configuration
	dropHeldFull  = "held_full"    // the bounds of what may wait for its connection
	dropUnclaimed = "unclaimed"    // no socket event ever named the connection
	dropOpaque    = "opaque"       // a protocol that is not read
	dropRefused   = "not_believed" // the socket does not take the segment
	// dropOverBudget: the receiver's budget did not allow to read it.
	dropOverBudget = reasonOverBudget
)

// counters are the engine's books. They belong to its goroutine; others read snapshots.
type counters struct {
	captured  uint64 // packet bytes that came
	heldBytes uint64 // of them, waiting for their connection
	dropped   map[string]uint64
	refused   uint64 // packets
	stream    stream.Stats

	protocolIn, protocolOut, protocolHeld uint64
	protocolDropped                       map[string]uint64
	plaintextOpaque                       uint64
	tls                                   tls.Stats
	http1                                 http1.Stats
	http2                                 http2.Stats
	websocket                             websocket.Stats
	dns                                   dns.Stats

	datagrams, datagramsRead uint64
	datagramsDropped         map[string]uint64

	exchanges        uint64 // emitted as spans
	exchangesDropped map[string]uint64

	opened                      uint64
	excluded, filtered, secrets uint64
	evicted, expired            uint64
	ruleErrors, rulesUnknown    uint64
	// stopped are the connections whose bytes are not wanted any more, skipped the bytes that were spared, by reason.
	stopped, skipped [event.SkipReasons]uint64
	ordersFailed     uint64
	// unwanted are the bytes of gaps that were ordered, unwantedGaps those that had no others.
	unwanted, unwantedGaps uint64
	lost                   map[string]uint64
}

func (c *counters) init() {
	c.dropped, c.protocolDropped = map[string]uint64{}, map[string]uint64{}
	c.datagramsDropped = map[string]uint64{}
	c.exchangesDropped, c.lost = map[string]uint64{}, map[string]uint64{}
}

func (c *counters) dropBytes(reason string, n uint64) {
	if n > 0 {
		c.dropped[reason] += n
	}
}

func (c *counters) dropProtocol(reason string, n uint64) {
	if n > 0 {
		c.protocolDropped[reason] += n
	}
}

// Stage is one row of the conservation identity: In = Out + Dropped + InFlight.
type Stage struct {
	Name, Unit string
	emit.Totals
}

// Stats is a copy of the engine's books.
type Stats struct {
	Stages      []Stage
	Connections int
	Processes   int
	Opened      uint64
	Evicted     uint64
	Expired     uint64
	Excluded    uint64
	Secrets     uint64
	// SecretsUnreadable are those of Secrets that could not be read from their program's memory.
	SecretsUnreadable uint64
	RuleErrors        uint64
	// Missing are the bytes of streams that were on the wire, wanted, and not captured, Gaps how many runs.
	Missing, Gaps uint64
	// Refused are packets that were not believed whatever they carried: segments that the socket does
	// not take, and resets and ends of streams in the wrong place.
	Refused uint64
	// RulesUnknown are exchanges of which a rule looks at what is not known.
	RulesUnknown uint64
	// Stopped are connections that are not copied any more, Skipped bytes that were not copied, by event.SkipReason.
	Stopped, Skipped [event.SkipReasons]uint64
	// OrdersFailed are orders that the source could not take.
	OrdersFailed uint64
	// Lost are the events that did not fit into the ring, by kind.
	Lost map[string]uint64
	// Budget is what the governor has come to; its Level is "" when there is none.
	Budget governor.State
}

type snapshot struct {
	sync.Mutex
	Stats
}

// publish makes the books readable by others.
func (e *Engine) publish() {
	s := e.stats()
	e.snap.Lock()
	e.snap.Stats = s
	e.snap.Unlock()
}

// Stats returns the books as of the latest Idle or Close. It may be called from any goroutine.
func (e *Engine) Stats() Stats {
	e.snap.Lock()
	defer e.snap.Unlock()
	return e.snap.Stats
}

func (e *Engine) stats() Stats {
	c := &e.counts
	st := &c.stream
	var budget governor.State
	if e.set.Budget != nil {
		budget = e.set.Budget.State()
	}
	return Stats{
		Stages: []Stage{
			{"capture", "By", emit.Totals{In: c.captured, Out: st.In, InFlight: int64(c.heldBytes), Dropped: maps.Clone(c.dropped)}},
			{"stream", "By", emit.Totals{In: st.In, Out: st.Delivered, InFlight: int64(st.Buffered), Dropped: map[string]uint64{
				"duplicate": st.Duplicate, "conflict": st.Conflict, "late": st.Late, "out_of_window": st.OutOfWindow,
				"unanchored": st.Unanchored, "after_close": st.AfterClose,
			}}},
			{"protocol", "By", emit.Totals{In: c.protocolIn, Out: c.protocolOut, InFlight: int64(c.protocolHeld), Dropped: maps.Clone(c.protocolDropped)}},
			{"tls", "By", emit.Totals{In: c.tls.In, Out: c.tls.Consumed, InFlight: int64(c.tls.Buffered), Dropped: map[string]uint64{
				"gap": c.tls.Skipped, "not_visible": c.tls.Dropped,
			}}},
			c.http1Stage(),
			c.http2Stage(),
			c.websocketStage(),
			c.dnsStage(),
			{"datagrams", "{datagram}", emit.Totals{In: c.datagrams, Out: c.datagramsRead, Dropped: maps.Clone(c.datagramsDropped)}},
			{"exchanges", "{exchange}", emit.Totals{In: c.http1.Requests.Load() + c.http2.Requests.Load(), Out: c.exchanges, InFlight: e.pending(), Dropped: maps.Clone(c.exchangesDropped)}},
		},
		Connections: len(e.byCookie),
		Processes:   e.set.Processes.Len(),
		Opened:      c.opened,
		Evicted:     c.evicted,
		Expired:     c.expired,
		Excluded:    c.excluded,
		Secrets:     c.secrets,

		SecretsUnreadable: e.keys.Stats().Unreadable,

		RuleErrors: c.ruleErrors,
		Missing:    st.Gap - c.unwanted,
		Gaps:       st.Gaps - c.unwantedGaps,
		Refused:    c.refused + st.Refused,

		RulesUnknown: c.rulesUnknown,
		Stopped:      c.stopped,
		Skipped:      c.skipped,
		OrdersFailed: c.ordersFailed,
		Lost:         maps.Clone(c.lost),
		Budget:       budget,
	}
}

// http1Stage has no count of its own for what is held for reassembly: that is what is left.
func (c *counters) http1Stage() Stage {
	h := &c.http1
	t := emit.Totals{In: h.BytesIn.Load(), Out: h.BytesMessage.Load(), Dropped: map[string]uint64{}}
	left := t.In - t.Out
	for i := range h.Skipped {
		n := h.Skipped[i].Load()
		t.Dropped[http1.Skip(i).String()] = n
		left -= n
	}
	t.InFlight = int64(left)
	return Stage{"http1", "By", t}
}

// http2Stage is the same for HTTP/2.
func (c *counters) http2Stage() Stage {
	h := &c.http2
	t := emit.Totals{In: h.BytesIn.Load(), Out: h.BytesMessage.Load(), Dropped: map[string]uint64{}}
	left := t.In - t.Out
	for i := range h.Skipped {
		n := h.Skipped[i].Load()
		t.Dropped[http2.Skip(i).String()] = n
		left -= n
	}
	t.InFlight = int64(left)
	return Stage{"http2", "By", t}
}

func (c *counters) websocketStage() Stage {
	w := &c.websocket
	t := emit.Totals{In: w.BytesIn.Load(), Out: w.BytesFrame.Load(), Dropped: map[string]uint64{"resync": w.Skipped.Load()}}
	t.InFlight = int64(t.In - t.Out - w.Skipped.Load())
	return Stage{"websocket", "By", t}
}

func (c *counters) dnsStage() Stage {
	d := &c.dns
	t := emit.Totals{In: d.BytesIn.Load(), Out: d.BytesMessage.Load(), Dropped: map[string]uint64{"skipped": d.Skipped.Load()}}
	t.InFlight = int64(t.In - t.Out - d.Skipped.Load())
	return Stage{"dns", "By", t}
}

func (c *counters) dropDatagram(reason string) { c.datagramsDropped[reason]++ }

// pending counts the requests that wait for their response.
func (e *Engine) pending() (n int64) {
	for _, c := range e.byCookie {
		n += c.app.pending()
	}
	return n
}

func (a *application) pending() (n int64) {
	if a.http1 != nil {
		n += int64(a.http1.Pending())
	}
	if a.http2 != nil {
		n += int64(a.http2.Pending())
	}
	for _, i := range a.inner {
		n += i.pending()
	}
	return n
}
