// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/bench/peer"
	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

// sample is one measurement.
type sample struct {
	measurement
	Round int       `json:"round"`
	Time  time.Time `json:"time"`
	// LoadAverage is that of the last minute when the measurement began.
	LoadAverage float64 `json:"load_average"`
	// Error is why there is no measurement.
	Error string `json:"error,omitempty"`

	outcome
	// CPU seconds while the load ran: of the watched program, by the scheduler's clock and by user and system in ticks
	// of 10 ms; of the whole machine; and what the hypervisor took.
	CPU     float64 `json:"cpu_seconds"`
	User    float64 `json:"user_seconds"`
	System  float64 `json:"system_seconds"`
	Machine float64 `json:"machine_cpu_seconds"`
	Stolen  float64 `json:"stolen_seconds"`

	// Watcher are the CPU seconds of what watches, from before the load until it has settled; Engine those of the
	// embedded ClickHouse, which is a process of its own.
	Watcher     float64 `json:"watcher_cpu_seconds,omitempty"`
	Engine      float64 `json:"engine_cpu_seconds,omitempty"`
	WatcherRSS  uint64  `json:"watcher_rss_bytes,omitempty"`
	WatcherPeak uint64  `json:"watcher_peak_rss_bytes,omitempty"`
	// Seen is the number of exchanges the collector captured: two per request when it sees both ends.
	Seen  float64            `json:"exchanges_seen,omitempty"`
	Drops map[string]float64 `json:"drops,omitempty"`
	// Peer is what the comparison program copied, warm-up included.
	Peer *peer.Counts `json:"peer,omitempty"`
}

// micros is the watched program's CPU time per request in microseconds.
func (s sample) micros() float64 { return 1e6 * s.CPU / float64(s.Requests) }

// rate is requests per second.
func (s sample) rate() float64 { return float64(s.Requests) / s.Seconds }

func (s sample) line(rounds int) string {
	text := fmt.Sprintf("round %d/%d %-36s", s.Round+1, rounds, s.measurement)
	if s.Error != "" {
		return text + " failed: " + s.Error
	}
	text += fmt.Sprintf(" %9.2f µs/request %8.0f requests/s", s.micros(), s.rate())
	if s.Latency != nil {
		text += fmt.Sprintf(" p99 %.0f µs", s.Latency.P99)
	}
	if s.Watcher > 0 {
		text += fmt.Sprintf(" watcher %.0f mCPU", 1e3*s.Watcher/s.Seconds)
	}
	if s.Seen > 0 {
		text += fmt.Sprintf(" seen %.0f", s.Seen)
	}
	return text
}

// minCPU is how many seconds of CPU time the watched program must have used for its figures to say something.
const minCPU = 0.01

// measureWell measures again when the machine was so busy that next to nothing was served, or when something
// failed that may not the next time.
func measureWell(ctx context.Context, c config, s site, round int, m measurement) sample {
	x := sample{measurement: m, Round: round, Time: time.Now().UTC(), LoadAverage: proc.LoadAverage()}
	for try := range 2 {
		t := x
		err := measure(ctx, c, s, &t)
		if err == nil && t.CPU < minCPU {
			err = fmt.Errorf("the watched program used only %.3f s of CPU", t.CPU)
		}
		if err == nil {
			return t
		}
		if x.Error = err.Error(); ctx.Err() != nil {
			return x
		}
		fmt.Fprintf(os.Stderr, "%s, try %d of 2: %v (load average %.1f)\n", m, try+1, err, proc.LoadAverage())
	}
	return x
}

// measure fills in s.
func measure(ctx context.Context, c config, site site, s *sample) (err error) {
	w := wayNamed(s.Way)
	var watch *watcher
	defer func() {
		if watch == nil {
			return
		}
		if stopErr := watch.stop(); err == nil {
			err = stopErr
		}
		if err == nil && w.peer != "" {
			var n peer.Counts
			if n, err = watch.counts(); err == nil && n.Calls == 0 {
				err = errors.New("the comparison program copied nothing")
			}
			s.Peer = &n
		}
	}()
	if watch, err = startBefore(ctx, c, w); err != nil {
		return err
	}
	on, err := startWatched(ctx, c, site, s.Program)
	if err != nil {
		return err
	}
	defer func() { _ = on.Stop(10 * time.Second) }()
	if watch == nil {
		if watch, err = startAfter(ctx, c, site, s.measurement, on); err != nil {
			return err
		}
	}
	load, err := startLoad(ctx, c, s.measurement, site.url(s.measurement))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.close()) }()
	before := take(ctx, c, watch, on)
	if before.err != nil {
		return before.err
	}
	if s.outcome, err = load.run(ctx); err != nil {
		return err
	}
	if s.Requests == 0 || s.Errors > s.Requests/100 {
		return fmt.Errorf("of %d requests %d failed", s.Requests, s.Errors)
	}
	after := take(ctx, c, nil, on)
	if after.err != nil {
		return after.err
	}
	s.CPU, s.User, s.System = after.cpu-before.cpu, after.user-before.user, after.system-before.system
	s.Machine, s.Stolen = after.machine-before.machine, after.stolen-before.stolen
	if watch == nil {
		return nil
	}
	settled, err := settle(ctx, c, watch, on)
	if err != nil {
		return err
	}
	s.Watcher, s.Engine = settled.leader-before.leader, settled.others-before.others
	if w.level == "" { // a proxy's worker is a process of its own
		s.Watcher, s.Engine = s.Watcher+s.Engine, 0
	}
	s.WatcherRSS, s.WatcherPeak = proc.Memory(watch.PID())
	s.count(c, before.metrics, settled.metrics)
	if w.level != "" && w.level != "connections" && s.Seen == 0 {
		return errors.New("the collector captured nothing (no metric that matches -seen grew)")
	}
	return nil
}

// settle waits until what was captured has arrived, whose cost counts: until nothing more does, or for ten waits.
func settle(ctx context.Context, c config, watch *watcher, on *watched) (s state, err error) {
	last := -1.0
	for range 10 {
		if err := proc.Pause(ctx, c.settle); err != nil {
			return s, err
		}
		if s = take(ctx, c, watch, on); s.err != nil {
			return s, s.err
		}
		seen := 0.0
		for k, v := range s.metrics {
			if c.seen.MatchString(k) {
				seen += v
			}
		}
		if seen == last || s.metrics == nil {
			break
		}
		last = seen
	}
	return s, nil
}

// count fills in what the collector's own metrics grew by.
func (s *sample) count(c config, before, after map[string]float64) {
	for k, v := range after {
		d := v - before[k]
		if d <= 0 {
			continue
		}
		name, _, _ := strings.Cut(k, "{")
		if c.drops.MatchString(name) {
			if s.Drops == nil {
				s.Drops = map[string]float64{}
			}
			s.Drops[short(k)] += d
		}
		if c.seen.MatchString(k) {
			s.Seen += d
		}
	}
}

// short leaves out the labels that every series of the collector has.
func short(series string) string {
	name, labels, ok := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	if !ok {
		return series
	}
	var keep []string
	for _, l := range strings.Split(labels, ",") {
		if !strings.HasPrefix(l, "otel_scope_") {
			keep = append(keep, l)
		}
	}
	return name + "{" + strings.Join(keep, ",") + "}"
}

// state is what is read before a load and after it.
type state struct {
	cpu, user, system, machine, stolen float64
	leader, others                     float64
	metrics                            map[string]float64
	err                                error
}

func take(ctx context.Context, c config, watch *watcher, on *watched) (s state) {
	var errs [5]error
	if watch != nil {
		if watch.way.level != "" {
			s.metrics, errs[0] = scrape(ctx, c.metrics)
		}
		s.leader, s.others, errs[1] = proc.GroupCPU(watch.PID())
	}
	s.user, s.system, errs[2] = proc.CPU(on.worker)
	s.machine, s.stolen, errs[3] = proc.MachineCPU()
	s.cpu, errs[4] = proc.PreciseCPU(on.worker)
	s.err = errors.Join(errs[:]...)
	return s
}
