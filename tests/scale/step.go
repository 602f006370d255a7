// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

const (
	// maxDelay bounds the 99th percentile of the time from when a request is due to its answer.
	maxDelay = time.Second
	// inFlight is how many requests of an agent may wait for an answer: what its exporter's queue has consumers for.
	inFlight = 10
	// warmUp is not counted.
	warmUp = 3 * time.Second
)

// step is what was seen at one rate.
type step struct {
	Agents         int     `json:"agents"`
	RowsPerRequest int     `json:"rows_per_request"`
	Offered        float64 `json:"offered_rows_per_second"`
	Accepted       float64 `json:"accepted_rows_per_second"`
	Stored         float64 `json:"stored_rows_per_second"`
	Requests       float64 `json:"requests_per_second"`
	// Refused are requests by the gRPC status that refused them, Skipped those that an agent could not send because ten of its own waited.
	Refused map[string]int `json:"refused_requests,omitempty"`
	Skipped int            `json:"skipped_requests,omitempty"`
	P50     float64        `json:"p50_ms"`
	P99     float64        `json:"p99_ms"`
	// Queued is how many rows the gateway's queue had in the middle and at the end.
	QueuedMiddle float64 `json:"queued_rows_middle"`
	QueuedEnd    float64 `json:"queued_rows_end"`
	// CPUs are parts of one core.
	Gateway float64 `json:"gateway_cpu"`
	Engine  float64 `json:"engine_cpu"`
	Fleet   float64 `json:"agents_cpu"`
	Stolen  float64 `json:"stolen_cpu"`
	Other   float64 `json:"other_cpu"` // of whatever else ran on the machine
	// Row costs in microseconds of CPU.
	GatewayPerRow float64 `json:"gateway_us_per_row"`
	EnginePerRow  float64 `json:"engine_us_per_row"`
	RSS           uint64  `json:"gateway_rss_bytes"`
	EngineRSS     uint64  `json:"engine_rss_bytes"`
	// Why is what did not hold; empty: the gateway kept up.
	Why string `json:"why,omitempty"`
}

// tally counts what became of requests.
type tally struct {
	mu        sync.Mutex
	delays    []time.Duration
	accepted  int // rows
	requests  int
	refused   map[string]int
	skipped   int
	firstText string
}

// load sends rows at a rate, evenly from all agents and whatever becomes of those before: an agent has one request every so often, at a
// time of its own. A gateway that is slow meets a backlog, not fewer requests.
func (g *gateway) load(ctx context.Context, agents []*agent, rate float64, rowsPerRequest int, d time.Duration) (step, error) {
	interval := time.Duration(float64(rowsPerRequest*len(agents)) / rate * float64(time.Second))
	frames := max(1, min(8, 150_000/(rowsPerRequest*len(agents))))
	for _, a := range agents {
		if err := a.prepare(rowsPerRequest, frames); err != nil {
			return step{}, err
		}
	}
	t := &tally{refused: map[string]int{}}
	start := time.Now().Add(200 * time.Millisecond)
	from, to := start.Add(warmUp), start.Add(warmUp+d)
	sending, cancel := context.WithDeadline(ctx, to)
	defer cancel()
	var all sync.WaitGroup
	for i, a := range agents {
		first := start.Add(interval * time.Duration(i) / time.Duration(len(agents)))
		all.Go(func() { a.run(sending, ctx, t, first, from, interval) })
	}
	readings := make([]reading, 0, 3)
	var err error
	for _, at := range []time.Time{from, from.Add(d / 2), to} {
		var r reading
		if err = proc.Pause(ctx, time.Until(at)); err == nil {
			r, err = g.read(ctx)
		}
		if err != nil {
			break
		}
		readings = append(readings, r)
	}
	cancel()
	all.Wait()
	if err != nil {
		return step{}, err
	}
	s := summarize(readings, t, rate, d)
	s.Agents, s.RowsPerRequest = len(agents), rowsPerRequest
	s.Why = s.verdict()
	return s, g.drained(ctx)
}

// run is one agent until sending is over. Its requests then have a minute left.
func (a *agent) run(sending, ctx context.Context, t *tally, due, from time.Time, interval time.Duration) {
	var waiting sync.WaitGroup
	defer waiting.Wait()
	slots := make(chan struct{}, inFlight)
	for ; proc.Pause(sending, time.Until(due)) == nil; due = due.Add(interval) {
		counted := !due.Before(from)
		select {
		case slots <- struct{}{}:
		default:
			if counted {
				t.mu.Lock()
				t.skipped++
				t.mu.Unlock()
			}
			continue
		}
		at := due
		body, rows := a.message(time.Now())
		waiting.Go(func() {
			defer func() { <-slots }()
			answered, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			rejected, err := a.send(answered, body)
			if counted {
				t.add(time.Since(at), rows-int(rejected), err)
			}
		})
	}
}

func (t *tally) add(delay time.Duration, accepted int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.requests++
	t.delays = append(t.delays, delay)
	if err != nil {
		t.refused[status.Code(err).String()]++
		if t.firstText == "" {
			t.firstText = err.Error()
		}
		return
	}
	t.accepted += accepted
}

func summarize(r []reading, t *tally, rate float64, d time.Duration) step {
	a, m, b := r[0], r[1], r[2]
	seconds := b.at.Sub(a.at).Seconds()
	delays := sortedCopy(t.delays)
	s := step{
		Offered: rate, Accepted: float64(t.accepted) / d.Seconds(), Stored: (b.stored - a.stored) / seconds, Requests: float64(t.requests) / d.Seconds(),
		Refused: t.refused, Skipped: t.skipped, P50: quantile(delays, 0.5), P99: quantile(delays, 0.99),
		QueuedMiddle: m.accepted - m.stored, QueuedEnd: b.accepted - b.stored,
		Gateway: (b.gateway - a.gateway) / seconds, Engine: (b.engine - a.engine) / seconds, Fleet: (b.self - a.self) / seconds,
		Stolen: (b.stolen - a.stolen) / seconds, RSS: b.rss, EngineRSS: b.engineRSS,
	}
	s.Other = max(0, (b.busy-a.busy)/seconds-s.Gateway-s.Engine-s.Fleet)
	if s.Stored > 0 {
		// Rows are paid for on their way in and on their way out: by the mean of both.
		through := ((b.accepted - a.accepted) + (b.stored - a.stored)) / 2
		s.GatewayPerRow = (b.gateway - a.gateway) / through * 1e6
		s.EnginePerRow = (b.engine - a.engine) / (b.stored - a.stored) * 1e6
	}
	return s
}

// verdict says what did not hold.
func (s step) verdict() string {
	refused := 0
	for _, n := range s.Refused {
		refused += n
	}
	switch {
	case refused > 0:
		return fmt.Sprintf("%d requests were refused", refused)
	case s.Skipped > 0:
		return fmt.Sprintf("%d requests could not be sent: ten before them had no answer", s.Skipped)
	case s.P99 > float64(maxDelay.Milliseconds()):
		return fmt.Sprintf("the 99th percentile of an export was %.0f ms", s.P99)
	// What is between two pushes is a second of the rate, more or less.
	case s.QueuedEnd-s.QueuedMiddle > math.Max(2*s.Offered, 1000):
		return fmt.Sprintf("the queue grew from %.0f to %.0f rows", s.QueuedMiddle, s.QueuedEnd)
	case s.Accepted < 0.98*s.Offered:
		return fmt.Sprintf("only %.0f rows a second were taken", s.Accepted)
	}
	return ""
}

func (s step) String() string {
	text := fmt.Sprintf("%6.0f rows/s of %d agents, %d a request: taken %6.0f, stored %6.0f, p99 %5.0f ms, CPU gateway %.2f, engine %.2f, agents %.2f, other %.2f, stolen %.2f; µs a row %.1f and %.1f",
		s.Offered, s.Agents, s.RowsPerRequest, s.Accepted, s.Stored, s.P99, s.Gateway, s.Engine, s.Fleet, s.Other, s.Stolen, s.GatewayPerRow, s.EnginePerRow)
	if s.Why != "" {
		text += ": " + s.Why
	}
	return text
}
