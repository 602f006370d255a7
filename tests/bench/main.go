// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command bench says what watching costs: nginx under wrk on loopback, with and without the
// collector, in interleaved rounds. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

type config struct {
	collector, config string
	args              []string
	metrics           string
	seen, drops       *regexp.Regexp
	dir, out          string
	rounds            int
	duration, settle  time.Duration
	connections       int
	size              int
	nginxCPU, loadCPU int
	collectorCPUs     string
	only              string
	// cgroup is the folder nginx and wrk run in, cgroupFD an open descriptor of it; -1: this program's own.
	cgroup   string
	cgroupFD int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func flags() (config, error) {
	var c config
	var args, seen, drops string
	flag.StringVar(&c.collector, "collector", "_build/otelcol-qpoint", "collector binary")
	flag.StringVar(&c.config, "config", "distributions/otelcol-qpoint/configs/demo.yaml", "its configuration, which captures at level `full`")
	flag.StringVar(&args, "args", "", "further arguments of the collector, separated by spaces")
	flag.StringVar(&c.metrics, "metrics", "http://127.0.0.1:8888/metrics", "where that configuration exposes the collector's own metrics")
	flag.StringVar(&seen, "seen", `^(otelcol_)?receiver_qtap_stage_out(_total)?\{.*stage="exchanges"`, "own metrics (regexp on name and labels) that count captured exchanges")
	flag.StringVar(&drops, "drops", `dropped|lost|failed|refused|rejected|evicted|expired`, "own metrics (regexp on the name) that count what was given up")
	flag.StringVar(&c.out, "out", "results.json", "results file")
	flag.IntVar(&c.rounds, "rounds", 6, "rounds; each measures every case with and without the collector, in random order")
	flag.DurationVar(&c.duration, "duration", 5*time.Second, "load per measurement")
	flag.DurationVar(&c.settle, "settle", 3*time.Second, "wait after the collector is ready, and before its counters are read")
	flag.IntVar(&c.connections, "connections", 32, "keep-alive connections of wrk")
	flag.IntVar(&c.size, "size", 1024, "bytes per response body")
	flag.IntVar(&c.nginxCPU, "nginx-cpu", 0, "CPU of the nginx worker")
	flag.IntVar(&c.loadCPU, "load-cpu", 1, "CPU of wrk")
	flag.StringVar(&c.collectorCPUs, "collector-cpus", "", "CPU list for the collector (default: any)")
	flag.StringVar(&c.cgroup, "cgroup", "", "cgroup v2 folder to run nginx and wrk in, for a configuration that watches only that; made if missing")
	flag.StringVar(&c.only, "only", "", "http or https (default: both)")
	flag.Parse()
	c.args = strings.Fields(args)
	var err error
	if c.seen, err = regexp.Compile(seen); err != nil {
		return c, fmt.Errorf("-seen: %w", err)
	}
	if c.drops, err = regexp.Compile(drops); err != nil {
		return c, fmt.Errorf("-drops: %w", err)
	}
	if c.rounds < 1 || c.duration < time.Second {
		return c, fmt.Errorf("-rounds %d and -duration %v: at least 1 and 1s", c.rounds, c.duration)
	}
	for _, p := range []*string{&c.collector, &c.config} {
		if *p, err = filepath.Abs(*p); err != nil {
			return c, err
		}
		if _, err := os.Stat(*p); err != nil {
			return c, fmt.Errorf("%w: build it with `make build`, or name it with -collector and -config", err)
		}
	}
	return c, nil
}

// sample is one measurement.
type sample struct {
	Round int `json:"round"`
	// Load is the load average of the last minute when the measurement began.
	Load      float64 `json:"load_average"`
	Case      string  `json:"case"`
	Collector bool    `json:"collector"`

	Requests uint64  `json:"requests"`
	Errors   uint64  `json:"errors"`
	Rate     float64 `json:"requests_per_second"`
	// CPU seconds of the nginx worker, user and system, and of the collector's whole process group.
	NginxUser    float64 `json:"nginx_user_seconds"`
	NginxSystem  float64 `json:"nginx_system_seconds"`
	CollectorCPU float64 `json:"collector_cpu_seconds,omitempty"`
	CollectorRSS uint64  `json:"collector_peak_rss_bytes,omitempty"`
	// Seen is the number of exchanges the collector captured: two per request when it sees both ends.
	Seen  float64            `json:"exchanges_seen,omitempty"`
	Drops map[string]float64 `json:"drops,omitempty"`
	// Counters is what every own metric grew by.
	Counters map[string]float64 `json:"counters,omitempty"`
}

// micros is nginx's CPU time per request in microseconds.
func (s sample) micros() float64 {
	return 1e6 * (s.NginxUser + s.NginxSystem) / float64(s.Requests)
}

func run(ctx context.Context) error {
	c, err := flags()
	if err != nil {
		return err
	}
	if c.dir, err = os.MkdirTemp("", "qpoint-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.dir)
	if err := os.Chmod(c.dir, 0o755); err != nil { // nginx's worker is another user
		return err
	}
	leave, err := c.enterCgroup()
	if err != nil {
		return err
	}
	defer leave()
	site, err := newSite(c)
	if err != nil {
		return err
	}
	var samples []sample
	for round := range c.rounds {
		var todo []sample
		for _, name := range []string{"http", "https"} {
			if c.only == "" || c.only == name {
				todo = append(todo, sample{Round: round, Case: name}, sample{Round: round, Case: name, Collector: true})
			}
		}
		rand.Shuffle(len(todo), func(i, j int) { todo[i], todo[j] = todo[j], todo[i] })
		for _, s := range todo {
			if err := measureWell(ctx, c, site, &s); err != nil {
				return fmt.Errorf("round %d, %s, collector %v: %w", round, s.Case, s.Collector, err)
			}
			fmt.Fprintf(os.Stderr, "round %d/%d %-5s collector=%-5v %7.2f µs/request %8.0f requests/s seen=%.0f drops=%v\n",
				round+1, c.rounds, s.Case, s.Collector, s.micros(), s.Rate, s.Seen, s.Drops)
			samples = append(samples, s)
		}
	}
	if err := writeResults(c, samples); err != nil {
		return err
	}
	fmt.Print(table(samples))
	for _, s := range samples {
		if s.Collector && s.Seen == 0 {
			return errors.New("the collector captured nothing (no metric that matches -seen grew): the figures say nothing")
		}
	}
	return nil
}

// minCPU is how much CPU time nginx must have used for the kernel's 10 ms ticks not to matter.
const minCPU = 0.2

// measureWell measures again when the machine was so busy that next to nothing was served.
func measureWell(ctx context.Context, c config, site site, s *sample) error {
	for try := range 3 {
		m := *s
		if err := measure(ctx, c, site, &m); err != nil {
			return err
		}
		if m.NginxUser+m.NginxSystem >= minCPU {
			*s = m
			return nil
		}
		fmt.Fprintf(os.Stderr, "%s, collector %v: nginx used only %.2f s of CPU, try %d of 3; load average %.1f\n",
			s.Case, s.Collector, m.NginxUser+m.NginxSystem, try+1, loadAverage())
	}
	return errors.New("the machine is too busy with other things to measure")
}

// measure fills in s. The collector starts before nginx, as it does on a host where it is a service.
func measure(ctx context.Context, c config, site site, s *sample) (err error) {
	s.Load = loadAverage()
	var col *collector
	if s.Collector {
		if col, err = startCollector(ctx, c); err != nil {
			return err
		}
		defer func() {
			if stopErr := col.stop(); err == nil && stopErr != nil {
				err = stopErr
			}
		}()
	}
	web, err := startNginx(ctx, c, site)
	if err != nil {
		return err
	}
	defer web.stop()
	if _, err := wrk(ctx, c, site.url(s.Case), time.Second); err != nil {
		return err
	}
	var before map[string]float64
	var colBefore float64
	if col != nil {
		if err := pause(ctx, c.settle); err != nil {
			return err
		}
		if before, err = scrape(ctx, c.metrics); err != nil {
			return err
		}
		if colBefore, err = groupCPU(col.pid()); err != nil {
			return err
		}
	}
	user, system, err := processCPU(web.worker)
	if err != nil {
		return err
	}
	load, err := wrk(ctx, c, site.url(s.Case), c.duration)
	if err != nil {
		return err
	}
	user2, system2, err := processCPU(web.worker)
	if err != nil {
		return err
	}
	s.Requests, s.Errors, s.Rate = load.requests, load.errors, load.rate
	s.NginxUser, s.NginxSystem = user2-user, system2-system
	if col == nil {
		return nil
	}
	if err := pause(ctx, c.settle); err != nil { // what was captured is still on its way: its cost counts
		return err
	}
	colAfter, err := groupCPU(col.pid())
	if err != nil {
		return err
	}
	after, err := scrape(ctx, c.metrics)
	if err != nil {
		return err
	}
	s.CollectorCPU = colAfter - colBefore
	s.CollectorRSS = peakRSS(col.pid())
	s.Counters, s.Drops = map[string]float64{}, map[string]float64{}
	for k, v := range after {
		d := v - before[k]
		if d == 0 {
			continue
		}
		s.Counters[k] = d
		name, _, _ := strings.Cut(k, "{")
		if c.drops.MatchString(name) && d > 0 {
			s.Drops[k] = d
		}
		if c.seen.MatchString(k) {
			s.Seen += d
		}
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
