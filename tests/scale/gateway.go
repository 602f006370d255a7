// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

const environments = 10

// token is that of an agent: one of its own, of one of ten environments.
func token(agent int) string { return fmt.Sprintf("agent-%026d", agent) + strings.Repeat("t", 16) }

// gateway is the real binary with configs/pulse.yaml on one core, its engine on the other.
type gateway struct {
	*proc.Child
	engine     int // process id of the embedded ClickHouse
	cert       string
	grpc, http int
	metrics    string
	profile    string // of the profiling extension; empty: there is none
}

// startGateway starts it with tokens for so many agents, and waits until it takes spans.
func startGateway(ctx context.Context, c config, binary string, agents int, profile bool) (*gateway, error) {
	dir, err := os.MkdirTemp(c.dir, "gateway-")
	if err != nil {
		return nil, err
	}
	ports, err := freePorts(5)
	if err != nil {
		return nil, err
	}
	g := &gateway{grpc: ports[0], http: ports[1], metrics: fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[2])}
	var key string
	if g.cert, key, err = certificate(dir); err != nil {
		return nil, err
	}
	var file bytes.Buffer
	file.WriteString("environments:\n")
	for e := range environments {
		fmt.Fprintf(&file, "  env-%d:\n    tokens:\n", e)
		for a := e; a < agents; a += environments {
			fmt.Fprintf(&file, "      - {name: agent-%d, sha256: \"%x\"}\n", a, sha256.Sum256([]byte(token(a))))
		}
	}
	tokens := filepath.Join(dir, "tokens.yaml")
	if err := os.WriteFile(tokens, file.Bytes(), 0o600); err != nil {
		return nil, err
	}
	args := []string{"-c", strconv.Itoa(c.gatewayCPU), binary, "--config", c.config}
	overlays := []string{
		fmt.Sprintf("extensions::pulse_api::endpoint: 127.0.0.1:%d", ports[3]),
		fmt.Sprintf("service::telemetry::metrics::readers: [{pull: {exporter: {prometheus: {host: 127.0.0.1, port: %d}}}}]", ports[2]),
	}
	if profile {
		g.profile = fmt.Sprintf("http://127.0.0.1:%d/debug/pprof/profile", ports[4])
		overlays = append(overlays, fmt.Sprintf("extensions::pprof: {endpoint: '127.0.0.1:%d'}", ports[4]),
			"service::extensions: [privacy_guard, pulse_tokens, local_clickhouse, file_storage, pulse_api, pprof]")
	}
	for _, o := range overlays {
		args = append(args, "--config", "yaml:"+o)
	}
	if g.Child, err = proc.Start(-1, "taskset", []string{
		"QPOINT_DATA_DIR=" + dir, "PULSE_TOKENS_FILE=" + tokens, "PULSE_TLS_CERT=" + g.cert, "PULSE_TLS_KEY=" + key,
		fmt.Sprintf("PULSE_GRPC_ENDPOINT=127.0.0.1:%d", g.grpc), fmt.Sprintf("PULSE_HTTP_ENDPOINT=127.0.0.1:%d", g.http),
	}, args...); err != nil {
		return nil, err
	}
	err = g.Await(ctx, ready, func() error {
		if !bytes.Contains(g.Output(), []byte("Everything is ready")) {
			return errors.New("it has not said that everything is ready")
		}
		return nil
	})
	if err == nil {
		err = g.moveEngine(c.otherCPU)
	}
	if err != nil {
		return nil, errors.Join(err, g.Stop(ready))
	}
	return g, nil
}

// moveEngine gives the engine the other core: it inherited the gateway's.
func (g *gateway) moveEngine(cpu int) error {
	children, err := childrenOf(g.PID())
	if err != nil {
		return err
	}
	if len(children) != 1 {
		return fmt.Errorf("the gateway has %d children, not the engine alone", len(children))
	}
	g.engine = children[0]
	return pin(g.engine, cpu)
}

// reading is what the gateway says of itself and the kernel of its processes, at one time.
type reading struct {
	at                       time.Time
	gateway, engine, self    float64 // CPU seconds
	busy, stolen             float64 // CPU seconds of the machine
	queued, stored, accepted float64 // rows
	rss, engineRSS           uint64
}

func (g *gateway) read(ctx context.Context) (reading, error) {
	var errs [5]error
	r := reading{}
	var samples []sample
	samples, errs[0] = scrape(ctx, g.metrics)
	r.at = time.Now()
	r.gateway, errs[1] = cpuOf(g.PID())
	r.engine, errs[2] = cpuOf(g.engine)
	r.self, errs[3] = cpuOf(os.Getpid())
	r.busy, r.stolen, errs[4] = proc.MachineCPU()
	r.rss, r.engineRSS = resident(g.PID()), resident(g.engine)
	r.queued = sum(samples, "otelcol_exporter_queue_size", `data_type="traces"`)
	r.stored = sum(samples, "otelcol_exporter_pulse_rows", `table="requests"`)
	r.accepted = sum(samples, "otelcol_receiver_accepted_spans", "")
	return r, errors.Join(errs[:]...)
}

// drained waits until the queue has nothing left.
func (g *gateway) drained(ctx context.Context) error {
	var last float64
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); {
		r, err := g.read(ctx)
		if err != nil {
			return err
		}
		if last = r.accepted - r.stored; last == 0 {
			return nil
		}
		if err := proc.Pause(ctx, 500*time.Millisecond); err != nil {
			return err
		}
	}
	return fmt.Errorf("%.0f rows that the gateway took were not stored within 3 minutes", last)
}

// quantile of sorted durations, in milliseconds.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]) / 1e6
}

func sortedCopy(d []time.Duration) []time.Duration {
	d = slices.Clone(d)
	slices.Sort(d)
	return d
}
