// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

// stages are what the gateway's CPU goes to. A sample belongs to the first whose text is in a function of its stack.
var stages = []struct {
	name string
	of   []string
}{
	{"garbage collection", []string{"runtime.gcBgMarkWorker", "runtime.gcAssistAlloc", "runtime.bgsweep", "runtime.bgscavenge", "runtime.gcStart"}},
	{"queue on disk", []string{"go.etcd.io/bbolt", "storage/filestorage"}},
	{"anonymize", []string{"processor/anonymizeprocessor", "qpoint/internal/detect"}},
	{"insert", []string{"internal/pulsestore", "clickhouse-go", "ch-go", "localclickhouseextension"}},
	{"convert", []string{"exporter/pulseexporter"}},
	{"decompress", []string{"compress/gzip", "compress/flate"}},
	{"decode", []string{"ptraceotlp", "otlpreceiver", "encoding/proto", "UnmarshalProto"}},
	{"queue: encode, decode, batch", []string{"exporterhelper"}},
	{"TLS", []string{"crypto/"}},
	{"gRPC", []string{"google.golang.org/grpc", "golang.org/x/net/http2"}},
}

// profiled is one CPU profile, by stage.
type profiled struct {
	Rate float64 `json:"rows_per_second"`
	// Parts add up to 1, with what is of no stage as `other`.
	Parts map[string]float64 `json:"parts"`
}

// profile takes one of a gateway that is built with an extension for it, at a rate that is held.
func profile(ctx context.Context, c config, rate float64) (p profiled, err error) {
	g, err := startGateway(ctx, c, c.profiled, c.agents, true)
	if err != nil {
		return p, err
	}
	defer func() { err = errors.Join(err, g.Stop(ready)) }()
	of, err := hosts(c.agents, perHost)
	if err != nil {
		return p, err
	}
	agents, err := g.dial(ctx, nil, c.agents, of)
	defer func() { err = errors.Join(err, hangUp(agents)) }()
	if err != nil {
		return p, err
	}
	type taken struct {
		body []byte
		err  error
	}
	done := make(chan taken, 1)
	go func() { // ends with the profile, which is waited for below
		err := proc.Pause(ctx, warmUp+time.Second)
		var body []byte
		if err == nil {
			body, err = get(ctx, g.profile+"?seconds=10")
		}
		done <- taken{body, err}
	}()
	s, err := g.load(ctx, agents, rate, rowsPerRequest(rate, len(agents)), max(c.duration, 15*time.Second))
	t := <-done
	if err := errors.Join(err, t.err); err != nil {
		return p, err
	}
	fmt.Fprintln(os.Stderr, s)
	file := filepath.Join(c.dir, "gateway.pprof")
	if err := os.WriteFile(file, t.body, 0o600); err != nil {
		return p, err
	}
	text, err := exec.CommandContext(ctx, "go", "tool", "pprof", "-traces", "-sample_index=cpu", file).Output()
	if err != nil {
		return p, fmt.Errorf("go tool pprof: %w", err)
	}
	if c.keep != "" {
		if err := os.WriteFile(c.keep, t.body, 0o644); err != nil {
			return p, err
		}
	}
	p.Rate, p.Parts = rate, byStage(text)
	for _, name := range p.names() {
		fmt.Fprintf(os.Stderr, "%5.1f %% %s\n", 100*p.Parts[name], name)
	}
	return p, nil
}

// byStage reads what `go tool pprof -traces` prints: stacks between lines of hyphens, each with its time before the innermost function.
func byStage(text []byte) map[string]float64 {
	parts, total := map[string]float64{}, 0.0
	var value float64
	var stack []string
	flush := func() {
		if value > 0 {
			parts[stageOf(stack)] += value
			total += value
		}
		value, stack = 0, nil
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "---") {
			flush()
			continue
		}
		first, function, both := strings.Cut(line, " ")
		if d, err := time.ParseDuration(first); err == nil && both {
			value, line = d.Seconds(), strings.TrimSpace(function)
		}
		stack = append(stack, line)
	}
	flush()
	for name := range parts {
		parts[name] /= total
	}
	return parts
}

func stageOf(stack []string) string {
	for _, s := range stages {
		for _, text := range s.of {
			if slices.ContainsFunc(stack, func(f string) bool { return strings.Contains(f, text) }) {
				return s.name
			}
		}
	}
	return "other"
}
