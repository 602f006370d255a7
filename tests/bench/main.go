// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command bench says what watching costs: programs under load on loopback, with and without the
// collector, and with what else would be put in the way, in interleaved rounds. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

type config struct {
	collector, configs string
	args               []string
	metrics            string
	seen, drops        *regexp.Regexp
	dir, self          string
	out, report        string
	quick, resume      bool
	rounds             int
	budget             time.Duration
	duration, settle   time.Duration
	connections        int
	watchedCPU         int
	loadCPU            int
	collectorCPUs      string
	only               *regexp.Regexp
	// cgroup is the folder that programs and loads run in, cgroupFD an open descriptor of it; -1: this program's own.
	cgroup   string
	cgroupFD int
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := command(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// command is what this process does: the bench, or one of the programs that it starts of itself.
func command(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "load":
			return loadCommand(ctx, args[1:])
		case "serve":
			return serveCommand(ctx, args[1:])
		case "peer":
			return peerCommand(ctx, args[1:])
		}
	}
	return run(ctx)
}

func flags() (config, error) {
	var c config
	var args, seen, drops, only string
	flag.StringVar(&c.collector, "collector", "_build/otelcol-qpoint", "collector binary")
	flag.StringVar(&c.configs, "configs", "tests/bench/configs", "folder of its configurations")
	flag.StringVar(&args, "args", "", "further arguments of the collector, separated by spaces")
	flag.StringVar(&c.metrics, "metrics", "http://127.0.0.1:8888/metrics", "where those configurations expose the collector's own metrics")
	flag.StringVar(&seen, "seen", `^(otelcol_)?receiver_qtap_stage_out(_total)?\{.*stage="exchanges"`, "own metrics (regexp on name and labels) that count captured exchanges")
	flag.StringVar(&drops, "drops", `dropped|lost|failed|refused|rejected|evicted|expired`, "own metrics (regexp on the name) that count what was given up")
	flag.StringVar(&c.out, "out", "tests/bench/results.json", "results file, written after each measurement")
	flag.StringVar(&c.report, "report", "tests/bench/results.md", "report file")
	flag.BoolVar(&c.quick, "quick", false, "the short form: the cases that matter most, 3 rounds of 3 s, at most 12 minutes")
	flag.BoolVar(&c.resume, "resume", false, "go on with the results file: what it has is not measured again")
	flag.IntVar(&c.rounds, "rounds", 5, "rounds; each measures every case in every way, in random order")
	flag.DurationVar(&c.budget, "budget", 0, "no measurement begins after this time; 0: no bound")
	flag.DurationVar(&c.duration, "duration", 5*time.Second, "load per measurement")
	flag.DurationVar(&c.settle, "settle", time.Second, "wait after the collector is ready, and before its counters are read")
	flag.IntVar(&c.connections, "connections", 32, "keep-alive connections of a load")
	flag.IntVar(&c.watchedCPU, "watched-cpu", 0, "CPU of the watched program")
	flag.IntVar(&c.loadCPU, "load-cpu", 1, "CPU of the load")
	flag.StringVar(&c.collectorCPUs, "collector-cpus", "", "CPU list for the collector (default: any)")
	flag.StringVar(&c.cgroup, "cgroup", ownCgroup, "cgroup v2 folder to run programs and loads in, the only one that is captured; own: one that is made and removed; empty: the whole host is captured")
	flag.StringVar(&only, "only", "", "measure what matches this regexp on `program/scheme/load/way`, and what it is compared with")
	flag.Parse()
	if c.quick {
		given := map[string]bool{}
		flag.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range map[string]string{"rounds": "3", "duration": "3s", "budget": "11m30s"} {
			if !given[name] {
				if err := flag.Set(name, value); err != nil {
					return c, err
				}
			}
		}
	}
	c.args = strings.Fields(args)
	for name, x := range map[string]struct {
		to   **regexp.Regexp
		text string
	}{"seen": {&c.seen, seen}, "drops": {&c.drops, drops}, "only": {&c.only, only}} {
		var err error
		if *x.to, err = regexp.Compile(x.text); err != nil {
			return c, fmt.Errorf("-%s: %w", name, err)
		}
	}
	if c.rounds < 1 || c.duration < time.Second {
		return c, fmt.Errorf("-rounds %d and -duration %v: at least 1 and 1s", c.rounds, c.duration)
	}
	var err error
	if c.self, err = os.Executable(); err != nil {
		return c, err
	}
	for _, p := range []*string{&c.collector, &c.configs} {
		if *p, err = filepath.Abs(*p); err != nil {
			return c, err
		}
		if _, err := os.Stat(*p); err != nil {
			return c, fmt.Errorf("%w: build it with `make build`, or name it with -collector and -configs", err)
		}
	}
	return c, nil
}

func run(ctx context.Context) error {
	c, err := flags()
	if err != nil {
		return err
	}
	res, err := openResults(c)
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
	if err := measureAll(ctx, c, res); err != nil {
		return err
	}
	text := report(res)
	fmt.Print(text)
	if err := os.WriteFile(c.report, []byte(text), 0o644); err != nil {
		return err
	}
	if len(res.good()) == 0 {
		return errors.New("nothing was measured")
	}
	return nil
}

// measureAll goes through the rounds. What fails is noted, and the rest goes on.
func measureAll(ctx context.Context, c config, res *results) error {
	s, err := newSite(c)
	if err != nil {
		return err
	}
	todo, missing := plan(c)
	res.Missing = missing
	began := time.Now()
	for round := range c.rounds {
		for _, m := range shuffled(todo) {
			if res.has(round, m) {
				continue
			}
			if c.budget > 0 && time.Since(began) > c.budget {
				res.Stopped = fmt.Sprintf("the budget of %v was used up in round %d of %d", c.budget, round+1, c.rounds)
				return res.write()
			}
			x := measureWell(ctx, c, s, round, m)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			fmt.Fprintln(os.Stderr, x.line(c.rounds))
			res.add(x)
			if err := res.write(); err != nil {
				return err
			}
		}
	}
	return nil
}
