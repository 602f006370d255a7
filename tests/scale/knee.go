// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

// knee is the highest rate that was held, and what the steps around it cost.
type knee struct {
	Agents int `json:"agents"`
	// Held is the highest rate at which nothing was refused, the queue did not grow and exports were answered in time; NotHeld the lowest at
	// which that was not so.
	Held    float64 `json:"held_rows_per_second"`
	NotHeld float64 `json:"not_held_rows_per_second"`
	Why     string  `json:"why"`
	// First is what had least left at the lowest rate that was not held: see saturated.
	First string `json:"saturated"`
	Steps []step `json:"steps"`
}

// findKnee doubles the rate until it is not held, and then halves the difference a few times. Each agent has a request a second.
func (g *gateway) findKnee(ctx context.Context, agents []*agent, first float64, halvings int, d time.Duration) (k knee, err error) {
	k.Agents = len(agents)
	// The engine's first inserts are slow, and are no step's.
	if _, err := g.load(ctx, agents, first/4, rowsPerRequest(first/4, len(agents)), d); err != nil {
		return k, err
	}
	try := func(rate float64) (bool, error) {
		s, err := g.load(ctx, agents, rate, rowsPerRequest(rate, len(agents)), d)
		if err != nil {
			return false, fmt.Errorf("%.0f rows/s: %w", rate, err)
		}
		fmt.Fprintln(os.Stderr, s)
		k.Steps = append(k.Steps, s)
		if s.Why == "" {
			k.Held = max(k.Held, rate)
			return true, nil
		}
		if k.NotHeld == 0 || rate < k.NotHeld {
			k.NotHeld, k.Why, k.First = rate, s.Why, s.saturated()
		}
		return false, nil
	}
	for rate := first; ; rate *= 2 {
		held, err := try(rate)
		if err != nil {
			return k, err
		}
		if !held {
			break
		}
		if rate > 1e6 {
			return k, errors.New("no rate was too high: the load was not sent")
		}
	}
	for range halvings {
		if _, err := try((k.Held + k.NotHeld) / 2); err != nil {
			return k, err
		}
	}
	return k, nil
}

// rowsPerRequest is what an agent has in a second.
func rowsPerRequest(rate float64, agents int) int { return max(1, int(rate/float64(agents)+0.5)) }

// saturated names what had no more to give: the gateway's core, or the other one, which the engine, the agents and all else share.
func (s step) saturated() string {
	const full = 0.95
	own, other := s.Gateway, s.Engine+s.Fleet
	switch {
	case own >= full && own >= other:
		return "gateway"
	case other >= full:
		return "engine and agents"
	case own+other+s.Other+s.Stolen >= 2*full:
		return "machine" // others ran on it
	}
	return "none"
}

// cost is what the gateway pays by a least squares fit over steps: CPU = idle + requests × PerRequest + rows × PerRow.
type cost struct {
	Idle       float64 `json:"idle_cpu"`
	PerRequest float64 `json:"us_per_request"`
	PerRow     float64 `json:"us_per_row"`
	// How many rows a second one core takes in requests of 1000 rows, and of one.
	RowsLarge float64 `json:"rows_per_core_large_requests"`
	RowsOne   float64 `json:"rows_per_core_one_row_requests"`
	Steps     []step  `json:"steps"`
}

// fit is given steps that were held, and the CPU of the gateway without any agent.
func fit(idle float64, steps []step) (c cost, err error) {
	c.Idle, c.Steps = idle, steps
	var qq, qr, rr, qy, ry float64
	for _, s := range steps {
		y, q, r := s.Gateway-idle, s.Requests, s.Accepted
		qq, qr, rr, qy, ry = qq+q*q, qr+q*r, rr+r*r, qy+q*y, ry+r*y
	}
	det := qq*rr - qr*qr
	if det <= 1e-9*qq*rr {
		return c, errors.New("the steps do not differ in rows a request: nothing can be told apart")
	}
	perRequest, perRow := (qy*rr-ry*qr)/det, (ry*qq-qy*qr)/det
	c.PerRequest, c.PerRow = perRequest*1e6, perRow*1e6
	c.RowsLarge, c.RowsOne = (1-idle)/(perRow+perRequest/1000), (1-idle)/(perRow+perRequest)
	return c, nil
}

// costs measures the gateway at requests of different sizes, well below the knee.
func (g *gateway) costs(ctx context.Context, agents []*agent, held float64, d time.Duration) (cost, error) {
	before, err := g.read(ctx)
	if err != nil {
		return cost{}, err
	}
	if err := proc.Pause(ctx, d/2); err != nil {
		return cost{}, err
	}
	after, err := g.read(ctx)
	if err != nil {
		return cost{}, err
	}
	idle := (after.gateway - before.gateway) / after.at.Sub(before.at).Seconds()
	var steps []step
	for _, x := range []struct {
		part float64 // of the rate that is held
		rows int
	}{{0.02, 1}, {0.2, 10}, {0.4, 40}, {0.4, 200}} {
		s, err := g.load(ctx, agents, held*x.part, x.rows, d)
		if err != nil {
			return cost{}, err
		}
		fmt.Fprintln(os.Stderr, s)
		if s.Why == "" {
			steps = append(steps, s)
		}
	}
	return fit(idle, steps)
}

// connected is what so many connections take of the gateway's memory.
type connected struct {
	Connections int `json:"connections"`
	// Idle is after the handshakes and half a minute of nothing; Active while each sends a row every five seconds.
	Idle   uint64 `json:"idle_rss_bytes"`
	Active uint64 `json:"active_rss_bytes"`
	// IdleEach and ActiveEach are more than without connections, by their number.
	IdleEach   float64 `json:"idle_bytes_each"`
	ActiveEach float64 `json:"active_bytes_each"`
}

// memory measures a fresh gateway with more and more connections.
func memory(ctx context.Context, c config) (out []connected, err error) {
	most := c.connections[len(c.connections)-1]
	g, err := startGateway(ctx, c, c.collector, most, false)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, g.Stop(ready)) }()
	rows, err := hosts(504, 20)
	if err != nil {
		return nil, err
	}
	var agents []*agent
	defer func() { err = errors.Join(err, hangUp(agents)) }()
	// What the first rows bring, no connection is to be charged with.
	if agents, err = g.dial(ctx, agents, 1, rows); err != nil {
		return nil, err
	}
	if _, err := g.load(ctx, agents, 400, 400, 10*time.Second); err != nil {
		return nil, err
	}
	base := resident(g.PID())
	for _, n := range c.connections {
		if agents, err = g.dial(ctx, agents, n, rows); err != nil {
			return nil, err
		}
		if err := proc.Pause(ctx, c.idle); err != nil {
			return nil, err
		}
		x := connected{Connections: n, Idle: resident(g.PID())}
		s, err := g.load(ctx, agents, float64(n)/5, 1, 10*time.Second)
		if err != nil {
			return nil, err
		}
		x.Active = s.RSS
		x.IdleEach, x.ActiveEach = (float64(x.Idle)-float64(base))/float64(n), (float64(x.Active)-float64(base))/float64(n)
		fmt.Fprintf(os.Stderr, "%d connections: %.0f MB idle, %.0f MB active, %.0f and %.0f KiB each\n", n, float64(x.Idle)/1e6, float64(x.Active)/1e6, x.IdleEach/1024, x.ActiveEach/1024)
		out = append(out, x)
	}
	return out, nil
}
