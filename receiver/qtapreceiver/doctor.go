// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	ossignal "os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/engine"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/kernel"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// doctorWatch is how long the doctor watches the host's connections.
const doctorWatch = 5 * time.Second

// startDoctor examines the host instead of watching it. What is missing is Start's error, so that the collector
// exits with 1; otherwise the collector is asked to end, as by its operator.
func (t *tap) startDoctor() error {
	d := &doctor{w: os.Stdout, probe: func() kernel.Features { return kernel.Probe(kernelConfig(t.cfg, zap.NewNop())) }, cfg: t.cfg, open: t.open}
	if err := d.examine(doctorWatch); err != nil {
		return fmt.Errorf("%s: `doctor`: %w", t.set.ID, err)
	}
	var ctx context.Context
	ctx, t.cancel = context.WithCancel(context.Background())
	t.wg.Go(func() { endProcess(ctx) })
	t.running, t.over = true, false
	return nil
}

// endProcess asks the collector to shut down until it does: it listens only after every component has started.
func endProcess(ctx context.Context) {
	early := make(chan os.Signal, 1)
	ossignal.Notify(early, syscall.SIGTERM) // which would kill the process before somebody listens
	defer ossignal.Stop(early)
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		return
	}
	for ctx.Err() == nil {
		_ = self.Signal(syscall.SIGTERM)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// doctor writes the report.
type doctor struct {
	w     io.Writer
	probe func() kernel.Features
	cfg   *Config
	open  openFunc
	err   error
}

func (d *doctor) say(format string, args ...any) {
	if _, err := fmt.Fprintf(d.w, format+"\n", args...); err != nil && d.err == nil {
		d.err = err
	}
}

// examine returns an error when the receiver could not work here.
func (d *doctor) examine(watch time.Duration) error {
	d.say("This is what `qtap` finds on this host, with the rights of user id %d.", os.Geteuid())
	features := d.probe()
	missing := d.features("Rights of the collector", features, true)
	missing = append(missing, d.features("Kernel", features, false)...)
	if len(missing) == 0 {
		if err := d.attach(watch); err != nil {
			d.say("\nAttaching\n  MISSING  %s", err)
			missing = append(missing, "attaching to the kernel")
		}
	}
	if len(missing) > 0 {
		d.say("\nResult: `qtap` cannot work here. What is missing: %s.", strings.Join(missing, ", "))
		return errors.Join(d.err, fmt.Errorf("what is missing: %s", strings.Join(missing, ", ")))
	}
	d.say("\nResult: `qtap` can work here.")
	return d.err
}

// features says what there is of the rights, or of the kernel, and returns the names of what is required and not there.
func (d *doctor) features(title string, features kernel.Features, rights bool) (missing []string) {
	d.say("\n%s", title)
	for _, f := range features {
		if strings.HasPrefix(f.Name, "CAP_") != rights {
			continue
		}
		switch {
		case f.State == kernel.Supported:
			d.say("  ok       %s", f.Name)
		case f.State == kernel.Unknown:
			d.say("  unknown  %s: %s", f.Name, coverage.Advice("not_probed"))
		case f.Required:
			d.say("  MISSING  %s: %s", f.Name, f.Reason)
			missing = append(missing, f.Name)
		default:
			d.say("  without  %s: %s", f.Name, f.Reason)
		}
	}
	return missing
}

// attach attaches as the receiver does, watches for a while, and says what was seen.
func (d *doctor) attach(watch time.Duration) error {
	src, _, err := d.open(d.cfg, zap.NewNop())
	if err != nil {
		return err
	}
	d.say("\nAttaching\n  ok       every program was loaded and attached")
	if rows := hostCoverage(src); d.cfg.TLS.Enabled {
		d.say("\nTLS libraries whose secrets are read")
		n := 0
		for _, row := range rows {
			if row.Subject == coverage.SubjectLibrary {
				d.say("  ok       %s", row.Name)
				n++
			}
		}
		if n == 0 {
			d.say("  none     no running program has mapped one yet: they are found when they are")
		}
		d.say("  without  %s: their connections are reported with the reason", strings.Join(notVisible, ", "))
	}

	// The report at the end has what an earlier one said, with newer figures.
	processes, drops := map[string]string{}, map[string]string{}
	emitter := emit.New[*process.Info](emit.Scope{}, emit.Consumers{Logs: func(_ context.Context, ld plog.Logs, _ int) error {
		for _, rl := range ld.ResourceLogs().All() {
			exe := ""
			if v, ok := rl.Resource().Attributes().Get(semantic.ProcessExecutablePath); ok {
				exe = v.Str()
			}
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				if lr.EventName() != semantic.EventCoverage {
					continue
				}
				m := lr.Attributes().AsRaw()
				text := func(key string) string { s, _ := m[key].(string); return s }
				about := text(semantic.CoverageName) + "\x00" + exe + "\x00" + text(semantic.CoverageReason)
				switch text(semantic.CoverageSubject) {
				case coverage.SubjectProcess:
					if text(semantic.CoverageState) == coverage.StateSeen {
						processes[about] = fmt.Sprintf("  seen     %s, connections: %d", exe, m[semantic.CoverageCount])
					} else {
						processes[about] = fmt.Sprintf("  NOT SEEN %s, connections: %d, %s: %s",
							exe, m[semantic.CoverageCount], text(semantic.CoverageReason), text(semantic.CoverageAdvice))
					}
				case coverage.SubjectDrops:
					drops[about] = fmt.Sprintf("  %s, %s: %d", text(semantic.CoverageName), text(semantic.CoverageReason), m[semantic.CoverageCount])
				}
			}
		}
		return nil
	}, Traces: func(context.Context, ptrace.Traces, int) error { return nil }})
	var e *engine.Engine
	e = engine.New(engine.Settings{
		Include: d.cfg.Ports.Include, Exclude: d.cfg.Ports.Exclude, Egress: true, Ingress: true, Interval: d.cfg.ConnectionInterval, Level: rules.LevelHeaders,
		Emitter: emitter, Processes: process.NewResolver("/", process.ReadHost("/")),
		// Only the report at the end is wanted, and a long interval does not give one before.
		UnreadTLS: unreadTLS(src), Coverage: engine.CoverageSettings{Interval: time.Hour, Books: func() []engine.Stage { return e.Stats().Stages }},
	})
	ctx, cancel := context.WithTimeout(context.Background(), watch)
	defer cancel()
	err = src.Run(ctx, e)
	if ctx.Err() != nil {
		err = nil
	}
	err = errors.Join(err, src.Close())
	e.Close(time.Now().UnixNano())
	emitter.Close(context.Background())

	d.say("\nPrograms with TLS traffic in %s", watch)
	d.lines(processes)
	d.say("\nGiven up, by stage and reason")
	d.lines(drops)
	return err
}

func (d *doctor) lines(of map[string]string) {
	if len(of) == 0 {
		d.say("  none")
	}
	for _, line := range slices.Sorted(maps.Values(of)) {
		d.say("%s", line)
	}
}
