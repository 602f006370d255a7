// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command scale says what one gateway takes: many virtual agents in this process, each with a connection and a token of its own, send to
// the real binary at a rising rate. It also counts what the packing of payloads asks of a bucket. See README.md.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

type config struct {
	collector, profiled  string
	config, out, report  string
	keep                 string
	dir                  string
	agents, halvings     int
	gatewayCPU, otherCPU int
	first                float64
	duration, idle       time.Duration
	packing              time.Duration
	connections          []int
	parts                map[string]bool
}

// results is what is written. A part that was not measured keeps what the file had.
type results struct {
	Time        string      `json:"time"`
	Host        host        `json:"host"`
	Knee        *knee       `json:"knee,omitempty"`
	Cost        *cost       `json:"cost,omitempty"`
	Profile     *profiled   `json:"profile,omitempty"`
	Connections []connected `json:"connections,omitempty"`
	Objects     []packing   `json:"objects,omitempty"`
}

type host struct {
	CPUs       int     `json:"cpus"`
	Arch       string  `json:"arch"`
	LoadBefore float64 `json:"load_average_before"`
	LoadAfter  float64 `json:"load_average_after"`
	Kernel     string  `json:"kernel"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "scale:", err)
		os.Exit(1)
	}
}

func flags() (c config, err error) {
	var connections, only string
	flag.StringVar(&c.collector, "collector", "_build/otelcol-qpoint", "collector binary")
	flag.StringVar(&c.profiled, "profiled", "", "the same with the pprof extension; empty: no profile is taken")
	flag.StringVar(&c.config, "config", "distributions/otelcol-qpoint/configs/pulse.yaml", "the gateway's configuration")
	flag.StringVar(&c.out, "out", "tests/scale/results.json", "results file; what is not measured keeps what it says")
	flag.StringVar(&c.report, "report", "tests/scale/results.md", "report of what the results file says")
	flag.StringVar(&c.keep, "keep-profile", "", "file to keep the CPU profile in")
	flag.IntVar(&c.agents, "agents", 500, "virtual agents")
	flag.Float64Var(&c.first, "rate", 4000, "first rate in rows a second")
	flag.IntVar(&c.halvings, "halvings", 3, "how often the difference between held and not held is halved")
	flag.DurationVar(&c.duration, "duration", 12*time.Second, "of each step")
	flag.DurationVar(&c.idle, "idle", 15*time.Second, "how long connections do nothing before memory is read")
	flag.DurationVar(&c.packing, "packing", 20*time.Second, "how long exchanges are sent at each rate when objects are counted")
	flag.StringVar(&connections, "connections", "500,1000,2000", "numbers of connections to read the memory at")
	flag.StringVar(&only, "only", "knee,profile,memory,objects", "what is measured; a profile is of 0.7 of the rate that was held, by the results file")
	flag.IntVar(&c.gatewayCPU, "gateway-cpu", 0, "CPU of the gateway")
	flag.IntVar(&c.otherCPU, "other-cpu", 1, "CPU of its engine and of the agents")
	flag.Parse()
	for n := range strings.SplitSeq(connections, ",") {
		v, err := strconv.Atoi(n)
		if err != nil || v < 1 || len(c.connections) > 0 && v <= c.connections[len(c.connections)-1] {
			return c, fmt.Errorf("-connections %s: rising numbers, separated by commas", connections)
		}
		c.connections = append(c.connections, v)
	}
	c.parts = map[string]bool{}
	for part := range strings.SplitSeq(only, ",") {
		c.parts[part] = true
	}
	for _, path := range []*string{&c.collector, &c.config, &c.profiled} {
		if *path == "" {
			continue
		}
		if *path, err = filepath.Abs(*path); err != nil {
			return c, err
		}
		if _, err := os.Stat(*path); err != nil {
			return c, fmt.Errorf("%w: build it with `make bench-scale`", err)
		}
	}
	return c, nil
}

func run(ctx context.Context) error {
	c, err := flags()
	if err != nil {
		return err
	}
	var r results
	if b, err := os.ReadFile(c.out); err == nil {
		if err := json.Unmarshal(b, &r); err != nil {
			return fmt.Errorf("-out: %w", err)
		}
	}
	if c.dir, err = os.MkdirTemp("", "qpoint-scale-"); err != nil {
		return err
	}
	defer os.RemoveAll(c.dir)
	r.Host = host{CPUs: runtime.NumCPU(), Arch: runtime.GOARCH, LoadBefore: proc.LoadAverage(), Kernel: kernel()}
	if r.Host.CPUs > 1 {
		if err := pin(os.Getpid(), c.otherCPU); err != nil {
			return err
		}
		runtime.GOMAXPROCS(1)
	}
	for _, part := range []struct {
		name    string
		measure func(context.Context, config, *results) error
	}{
		{"knee", measureKnee},
		{"profile", func(ctx context.Context, c config, r *results) error {
			if c.profiled == "" || r.Knee == nil || r.Knee.Held == 0 {
				return nil
			}
			p, err := profile(ctx, c, 0.7*r.Knee.Held)
			r.Profile = &p
			return err
		}},
		{"memory", func(ctx context.Context, c config, r *results) (err error) {
			r.Connections, err = memory(ctx, c)
			return err
		}},
		{"objects", func(ctx context.Context, c config, r *results) (err error) {
			r.Objects, err = objects(ctx, c)
			return err
		}},
	} {
		if !c.parts[part.name] {
			continue
		}
		if err := part.measure(ctx, c, &r); err != nil {
			return fmt.Errorf("%s: %w", part.name, err)
		}
		r.Time, r.Host.LoadAfter = time.Now().UTC().Format(time.RFC3339), proc.LoadAverage()
		b, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			return err
		}
		if err := os.WriteFile(c.out, append(b, '\n'), 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(c.report, []byte(r.report()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// perHost is how many different rows an agent has.
const perHost = 200

// measureKnee finds the knee, and what rows and requests cost below it.
func measureKnee(ctx context.Context, c config, r *results) (err error) {
	g, err := startGateway(ctx, c, c.collector, c.agents, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, g.Stop(ready)) }()
	rows, err := hosts(c.agents, perHost)
	if err != nil {
		return err
	}
	agents, err := g.dial(ctx, nil, c.agents, rows)
	defer func() { err = errors.Join(err, hangUp(agents)) }()
	if err != nil {
		return err
	}
	k, err := g.findKnee(ctx, agents, c.first, c.halvings, c.duration)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "held: %.0f rows/s; not held: %.0f (%s; saturated: %s)\n", k.Held, k.NotHeld, k.Why, k.First)
	x, err := g.costs(ctx, agents, k.Held, c.duration)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "%.1f µs a request and %.1f µs a row; idle %.3f; one core takes %.0f rows/s in large requests, %.0f one by one\n", x.PerRequest, x.PerRow, x.Idle, x.RowsLarge, x.RowsOne)
	r.Knee, r.Cost = &k, &x
	return nil
}

func kernel() string {
	b, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(b))
}
