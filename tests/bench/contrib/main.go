// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command contrib compares `pulse` with the clickhouse exporter of opentelemetry-collector-contrib: CPU time per row
// and bytes on disk per span. See ../README.md.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// Names of the two that are compared.
const (
	pulse   = "pulse"
	contrib = "contrib"
)

// sample is one exporter's share of a round.
type sample struct {
	Exporter string  `json:"exporter"`
	Round    int     `json:"round"`
	Rows     int     `json:"rows"`
	Seconds  float64 `json:"seconds"`
	CPU      float64 `json:"cpu_seconds"`        // of the exporter's process, user and system, while it consumed
	Engine   float64 `json:"engine_cpu_seconds"` // of the engine's process, merges included
	Load     float64 `json:"load_average"`
}

type summary struct {
	RowsPerCPUSecond     map[string]float64 `json:"rows_per_cpu_second"`         // medians
	EngineMicrosPerRow   map[string]float64 `json:"engine_cpu_micros_per_row"`   // medians
	RowsPerSecond        map[string]float64 `json:"rows_per_second"`             // medians
	BytesPerSpan         map[string]float64 `json:"bytes_per_span"`              // on disk, merged; side tables of contrib's traces included
	RollupBytesPerSpan   float64            `json:"pulse_rollup_bytes_per_span"` // what contrib has nothing like
	CPURatio             float64            `json:"rows_per_cpu_second_ratio"`   // median of the rounds' ratios
	CPURatioMin          float64            `json:"rows_per_cpu_second_ratio_min"`
	CPURatioMax          float64            `json:"rows_per_cpu_second_ratio_max"`
	CPURatioWithEngine   float64            `json:"rows_per_cpu_second_ratio_with_engine"`
	DiskRatio            float64            `json:"bytes_per_span_ratio"`
	DiskRatioWithRollups float64            `json:"bytes_per_span_ratio_with_rollups"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var child childConfig
	rounds := flag.Int("rounds", 5, "rounds; both exporters send the same spans in each, one after the other")
	out := flag.String("out", "store.json", "results file")
	flag.StringVar(&child.Exporter, "exporter", "", "internal: be one exporter of a round")
	flag.StringVar(&child.Endpoint, "endpoint", "", "internal: where it sends to")
	flag.IntVar(&child.Round, "round", 0, "internal: the round")
	flag.IntVar(&child.Rows, "rows", 200_000, "spans per round")
	flag.IntVar(&child.Batch, "batch", 10_000, "spans per ConsumeTraces")
	flag.Parse()
	var err error
	if child.Exporter != "" {
		err = child.run(ctx)
	} else {
		err = run(ctx, *rounds, child, *out)
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "contrib:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, rounds int, c childConfig, out string) (err error) {
	dir, err := os.MkdirTemp("", "bench-store")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	factory := localclickhouseextension.NewFactory()
	cfg := factory.CreateDefaultConfig().(*localclickhouseextension.Config)
	cfg.DataDir = filepath.Join(dir, "clickhouse")
	ext, err := factory.Create(ctx, extensiontest.NewNopSettings(factory.Type()), cfg)
	if err != nil {
		return err
	}
	if err := ext.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ext.Shutdown(context.Background())) }()
	opts := ext.(pulsestore.Engine).ClickHouseOptions()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "local_clickhouse"}) },
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return opts.DialContext(ctx, addr) },
			DisableKeepAlives: true,
		},
	}}
	go func() { _ = server.Serve(listener) }()
	defer server.Close()
	c.Endpoint = "http://" + listener.Addr().String()
	engine, err := engineProcess()
	if err != nil {
		return err
	}

	var samples []sample
	for round := range rounds {
		order := []string{pulse, contrib}
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, exporter := range order {
			c.Exporter, c.Round = exporter, round
			s, err := c.measure(ctx, engine)
			if err != nil {
				return err
			}
			samples = append(samples, s)
			fmt.Printf("round %d %-8s %8.0f rows/CPU-second, engine %5.1f µs/row, %6.0f rows/s\n", round, exporter,
				float64(s.Rows)/s.CPU, 1e6*s.Engine/float64(s.Rows), float64(s.Rows)/s.Seconds)
		}
	}
	conn, err := clickhouse.Open(opts)
	if err != nil {
		return err
	}
	defer conn.Close()
	size := func(tables ...string) (float64, error) {
		total := 0.0
		for _, table := range tables {
			if err := conn.Exec(ctx, "OPTIMIZE TABLE qpoint."+table+" FINAL"); err != nil {
				return 0, err
			}
			var bytes uint64
			if err := conn.QueryRow(ctx, "SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND database = 'qpoint' AND table = '"+table+"'").Scan(&bytes); err != nil {
				return 0, err
			}
			total += float64(bytes)
		}
		return total / float64(rounds*c.Rows), nil
	}
	for _, table := range []string{"requests", contribTable} {
		var rows uint64
		if err := conn.QueryRow(ctx, "SELECT count() FROM qpoint."+table).Scan(&rows); err != nil {
			return err
		}
		if rows != uint64(rounds*c.Rows) {
			return fmt.Errorf("%s has %d rows of %d: the exporters did not do the same", table, rows, rounds*c.Rows)
		}
	}
	sum := summarize(samples)
	sum.BytesPerSpan = map[string]float64{}
	if sum.BytesPerSpan[pulse], err = size("requests"); err != nil {
		return err
	}
	if sum.BytesPerSpan[contrib], err = size(contribTable, contribTable+"_trace_id_ts"); err != nil {
		return err
	}
	if sum.RollupBytesPerSpan, err = size("requests_1m", "requests_1h", "processes_1m", "processes_1h"); err != nil {
		return err
	}
	sum.DiskRatio = sum.BytesPerSpan[pulse] / sum.BytesPerSpan[contrib]
	sum.DiskRatioWithRollups = (sum.BytesPerSpan[pulse] + sum.RollupBytesPerSpan) / sum.BytesPerSpan[contrib]
	fmt.Printf("\nrows per CPU-second: pulse %.0f, contrib %.0f, ratio %.2f (%.2f–%.2f); engine's CPU time counted too: %.2f\n",
		sum.RowsPerCPUSecond[pulse], sum.RowsPerCPUSecond[contrib], sum.CPURatio, sum.CPURatioMin, sum.CPURatioMax, sum.CPURatioWithEngine)
	fmt.Printf("bytes on disk per span: pulse %.1f (rollups %.1f more), contrib %.1f, ratio %.2f (%.2f)\n",
		sum.BytesPerSpan[pulse], sum.RollupBytesPerSpan, sum.BytesPerSpan[contrib], sum.DiskRatio, sum.DiskRatioWithRollups)
	b, err := json.MarshalIndent(map[string]any{
		"time": time.Now().UTC().Format(time.RFC3339), "host": map[string]any{"cpus": runtime.NumCPU(), "arch": runtime.GOARCH}, "contrib": contribVersion,
		"rounds": rounds, "rows_per_round": c.Rows, "batch": c.Batch, "summary": sum, "samples": samples,
	}, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(out, append(b, '\n'), 0o644)
}

// measure runs one exporter in a process of its own, so that its CPU time is its alone.
func (c childConfig) measure(ctx context.Context, engine int) (s sample, err error) {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", "-exporter", c.Exporter, "-endpoint", c.Endpoint, "-round", strconv.Itoa(c.Round),
		"-rows", strconv.Itoa(c.Rows), "-batch", strconv.Itoa(c.Batch))
	cmd.Stderr = os.Stderr
	// The child waits at its standard input before it consumes, so that the engine's time is that of the consuming.
	in, err := cmd.StdinPipe()
	if err != nil {
		return s, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return s, err
	}
	if err := cmd.Start(); err != nil {
		return s, err
	}
	ready := make([]byte, 1)
	if _, err := io.ReadFull(stdout, ready); err != nil {
		return s, errors.Join(fmt.Errorf("%s did not start: %w", c.Exporter, err), cmd.Wait())
	}
	before, err := cpuOf(engine)
	if err != nil {
		return s, err
	}
	if err := in.Close(); err != nil {
		return s, err
	}
	text, err := io.ReadAll(stdout)
	if err := errors.Join(err, cmd.Wait()); err != nil {
		return s, fmt.Errorf("%s: %w", c.Exporter, err)
	}
	time.Sleep(3 * time.Second) // the merges that the inserts asked for
	after, err := cpuOf(engine)
	if err != nil {
		return s, err
	}
	if err := json.Unmarshal(bytes.TrimSpace(text), &s); err != nil {
		return s, err
	}
	s.Engine = after - before
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		_, _ = fmt.Sscan(string(load), &s.Load)
	}
	return s, nil
}

func summarize(samples []sample) summary {
	sum := summary{RowsPerCPUSecond: map[string]float64{}, EngineMicrosPerRow: map[string]float64{}, RowsPerSecond: map[string]float64{}}
	byRound := map[int]map[string]sample{}
	for _, exporter := range []string{pulse, contrib} {
		var rate, engine, speed []float64
		for _, s := range samples {
			if s.Exporter == exporter {
				rate, engine, speed = append(rate, float64(s.Rows)/s.CPU), append(engine, 1e6*s.Engine/float64(s.Rows)), append(speed, float64(s.Rows)/s.Seconds)
				if byRound[s.Round] == nil {
					byRound[s.Round] = map[string]sample{}
				}
				byRound[s.Round][exporter] = s
			}
		}
		sum.RowsPerCPUSecond[exporter], sum.EngineMicrosPerRow[exporter], sum.RowsPerSecond[exporter] = median(rate), median(engine), median(speed)
	}
	var ratios, whole []float64
	for _, round := range byRound {
		ratios = append(ratios, round[contrib].CPU/round[pulse].CPU)
		whole = append(whole, (round[contrib].CPU+round[contrib].Engine)/(round[pulse].CPU+round[pulse].Engine))
	}
	sum.CPURatio, sum.CPURatioMin, sum.CPURatioMax, sum.CPURatioWithEngine = median(ratios), slices.Min(ratios), slices.Max(ratios), median(whole)
	return sum
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return math.NaN()
	}
	slices.Sort(v)
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// engineProcess finds the child of this process that is the engine.
func engineProcess() (int, error) {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(os.Getpid()), "-f", "otelcol-local-clickhouse").Output()
	if err != nil {
		return 0, fmt.Errorf("find the engine's process: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// cpuOf returns the user and system time of a process in seconds (proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms).
func cpuOf(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) / 100, errors.Join(err1, err2)
}
