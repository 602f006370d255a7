// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
)

func TestMain(m *testing.M) {
	if os.Getenv(peerEnv) != "" {
		peer(os.Args[1:])
		return
	}
	testkit.Main(m)
}

// scripted is a source that plays a list of events when told to.
type scripted struct {
	mu     sync.Mutex
	play   chan func(event.Handler)
	closed int
	fail   error
}

func newScripted() *scripted { return &scripted{play: make(chan func(event.Handler))} }

func (s *scripted) Run(ctx context.Context, h event.Handler) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.play:
			if f == nil {
				return s.fail
			}
			f(h)
		case now := <-time.After(5 * time.Millisecond):
			h.Idle(now.UnixNano())
		}
	}
}

func (s *scripted) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return nil
}

func (s *scripted) open(*Config, *zap.Logger) (event.Source, []zap.Field, error) { return s, nil, nil }

// openExchange is a request that nobody has answered yet, on the client's end of a connection.
func openExchange(h event.Handler) {
	now := time.Now().UnixNano()
	local, remote := netip.MustParseAddrPort("10.0.0.1:4000"), netip.MustParseAddrPort("10.0.0.2:80")
	h.Socket(&event.Socket{Kind: event.SocketConnect, Cookie: 9, Time: now, Local: local, Remote: remote, Role: event.RoleClient})
	h.Socket(&event.Socket{Kind: event.SocketEstablished, Cookie: 9, Time: now, Local: local, Remote: remote, Role: event.RoleClient, SndNxt: 1, RcvNxt: 1})
	data := "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	h.Packet(&event.Packet{Cookie: 9, Time: now, Flags: event.FlagACK, Seq: 1, Len: uint32(len(data)), Data: []byte(data), Local: local, Remote: remote})
}

// exchange is that request and its response, and the end of the connection.
func exchange(h event.Handler) {
	openExchange(h)
	now := time.Now().UnixNano()
	local, remote := netip.MustParseAddrPort("10.0.0.1:4000"), netip.MustParseAddrPort("10.0.0.2:80")
	data := "HTTP/1.1 204 No Content\r\n\r\n"
	h.Packet(&event.Packet{Cookie: 9, Time: now, Dir: 1, Flags: event.FlagACK, Seq: 1, Len: uint32(len(data)), Data: []byte(data), Local: local, Remote: remote})
	h.Socket(&event.Socket{Kind: event.SocketClosed, Cookie: 9, Time: now, Local: local, Remote: remote, CloseReason: event.CloseFIN})
}

// host has the given extensions and remembers what was reported.
type host struct {
	extensions map[component.ID]component.Component
	mu         sync.Mutex
	events     []*componentstatus.Event
}

func (h *host) GetExtensions() map[component.ID]component.Component { return h.extensions }
func (h *host) Report(ev *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, ev)
}

// guard is a privacy_guard.
type guard struct{ component.StartFunc }

func (guard) Shutdown(context.Context) error { return nil }
func (guard) GuardsPayloads() bool           { return true }

func guardedHost() *host {
	return &host{extensions: map[component.ID]component.Component{component.MustNewID("privacy_guard"): guard{}}}
}

func settings(typ component.Type, name string) receiver.Settings {
	set := receivertest.NewNopSettings(typ)
	set.ID = component.NewIDWithName(typ, name)
	return set
}

func TestBothReceiversInAnyOrder(t *testing.T) {
	for _, first := range []string{"qtap", "qtap_payload"} {
		for _, last := range []string{"qtap", "qtap_payload"} {
			t.Run(first+" starts first, "+last+" stops last", func(t *testing.T) {
				ctx, src := context.Background(), newScripted()
				set := settings(metadata.Type, first+last)
				var traces consumertest.TracesSink
				var logs, payloads consumertest.LogsSink
				for range 2 { // and both survive a reload of the collector
					f, cfg := newFactory(src.open), createDefaultConfig()
					tr, err := f.CreateTraces(ctx, set, cfg, &traces)
					require.NoError(t, err)
					lg, err := f.CreateLogs(ctx, set, cfg, &logs)
					require.NoError(t, err)
					pcfg := createDefaultPayloadConfig()
					pcfg.Receiver = set.ID
					pl, err := NewPayloadFactory().CreateLogs(ctx, settings(metadata.PayloadType, ""), pcfg, &payloads)
					require.NoError(t, err)
					traces.Reset()
					logs.Reset()
					payloads.Reset()
					order := []component.Component{tr, lg, pl}
					if first != "qtap" {
						order = []component.Component{pl, lg, tr}
					}
					for _, c := range order {
						require.NoError(t, c.Start(ctx, guardedHost()))
					}
					src.play <- exchange
					require.Eventually(t, func() bool { return traces.SpanCount() == 1 }, testkit.Patience, 5*time.Millisecond)
					order = []component.Component{tr, lg, pl}
					if last == "qtap" {
						order = []component.Component{pl, tr, lg}
					}
					for _, c := range order {
						require.NoError(t, c.Shutdown(ctx))
					}
					require.Equal(t, 1, payloads.LogRecordCount(), "the open segment is handed over")
					events := map[string]int{}
					for _, ld := range logs.AllLogs() {
						for _, rl := range ld.ResourceLogs().All() {
							for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
								events[lr.EventName()]++
							}
						}
					}
					require.Equal(t, map[string]int{semantic.EventConnection: 1, semantic.EventSegment: 1}, events)
					for _, s := range slotOf(set.ID).tap.books() {
						require.True(t, s.Balanced(), "%s %+v", s.Name, s.Totals)
						require.Zero(t, s.InFlight, s.Name)
					}
				}
				require.Equal(t, 2, src.closed)
			})
		}
	}
}

// TestNothingComesAfterShutdown: the collector stops a pipeline when its own receivers are stopped, and the signals of one
// receiver in any order. What the engine still holds is handed over while all pipelines still take it.
func TestNothingComesAfterShutdown(t *testing.T) {
	for _, first := range []string{"traces", "logs"} {
		t.Run(first+" stop first", func(t *testing.T) {
			ctx, src, set := context.Background(), newScripted(), settings(metadata.Type, "late-"+first)
			f, cfg := newFactory(src.open), createDefaultConfig()
			var stopped, spans, records, late atomic.Int64
			traces, err := consumer.NewTraces(func(_ context.Context, td ptrace.Traces) error {
				late.Add(stopped.Load())
				spans.Add(int64(td.SpanCount()))
				return nil
			})
			require.NoError(t, err)
			logs, err := consumer.NewLogs(func(_ context.Context, ld plog.Logs) error {
				late.Add(stopped.Load())
				records.Add(int64(ld.LogRecordCount()))
				return nil
			})
			require.NoError(t, err)
			tr, err := f.CreateTraces(ctx, set, cfg, traces)
			require.NoError(t, err)
			lg, err := f.CreateLogs(ctx, set, cfg, logs)
			require.NoError(t, err)
			order := []component.Component{tr, lg}
			if first == "logs" {
				order = []component.Component{lg, tr}
			}
			for range 2 { // also after a reload
				for _, c := range order {
					require.NoError(t, c.Start(ctx, componenttest.NewNopHost()))
				}
				stopped.Store(0)
				spans.Store(0)
				records.Store(0)
				src.play <- openExchange
				for _, c := range order {
					require.NoError(t, c.Shutdown(ctx))
					stopped.Store(1)
				}
				require.EqualValues(t, 1, spans.Load(), "the exchange that was under way")
				require.Positive(t, records.Load(), "its connection")
				require.Zero(t, late.Load(), "a pipeline was given something after its receiver was shut down")
			}
			require.Equal(t, 2, src.closed)
		})
	}
}

func TestPayloadNeedsAGuard(t *testing.T) {
	ctx := context.Background()
	set := settings(metadata.Type, "guarded")
	_, err := newFactory(newScripted().open).CreateTraces(ctx, set, createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	cfg := createDefaultPayloadConfig()
	cfg.Receiver = set.ID
	r, err := NewPayloadFactory().CreateLogs(ctx, settings(metadata.PayloadType, ""), cfg, consumertest.NewNop())
	require.NoError(t, err)
	err = r.Start(ctx, componenttest.NewNopHost())
	require.ErrorContains(t, err, "`privacy_guard`")
	require.ErrorContains(t, err, "`unguarded: true`")
	require.NoError(t, r.Shutdown(ctx))

	cfg.Unguarded = true
	require.NoError(t, r.Start(ctx, componenttest.NewNopHost()))
	require.NoError(t, r.Shutdown(ctx))
	require.NoError(t, r.Shutdown(ctx), "twice")
}

func TestPayloadNeedsItsReceiver(t *testing.T) {
	ctx := context.Background()
	cfg := createDefaultPayloadConfig()
	cfg.Receiver = component.MustNewIDWithName("qtap", "nobody")
	r, err := NewPayloadFactory().CreateLogs(ctx, settings(metadata.PayloadType, ""), cfg, consumertest.NewNop())
	require.NoError(t, err)
	err = r.Start(ctx, guardedHost())
	require.ErrorContains(t, err, "`receiver` \"qtap/nobody\" is not in any pipeline")
	require.NoError(t, r.Shutdown(ctx))
}

func TestOnlyOnePayloadReceiver(t *testing.T) {
	ctx := context.Background()
	set := settings(metadata.Type, "one")
	_, err := newFactory(newScripted().open).CreateTraces(ctx, set, createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	cfg := createDefaultPayloadConfig()
	cfg.Receiver = set.ID
	a, err := NewPayloadFactory().CreateLogs(ctx, settings(metadata.PayloadType, "a"), cfg, consumertest.NewNop())
	require.NoError(t, err)
	b, err := NewPayloadFactory().CreateLogs(ctx, settings(metadata.PayloadType, "b"), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, a.Start(ctx, guardedHost()))
	require.ErrorContains(t, b.Start(ctx, guardedHost()), "another qtap_payload")
	require.NoError(t, b.Shutdown(ctx))
	require.NoError(t, a.Shutdown(ctx))
}

func TestStartFailureIsOneClearError(t *testing.T) {
	ctx := context.Background()
	missing := errors.New("this host lacks CAP_BPF")
	f := newFactory(func(*Config, *zap.Logger) (event.Source, []zap.Field, error) { return nil, nil, missing })
	set := settings(metadata.Type, "fails")
	r, err := f.CreateTraces(ctx, set, createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	err = r.Start(ctx, componenttest.NewNopHost())
	require.ErrorIs(t, err, missing)
	require.ErrorContains(t, err, "qtap/fails: ")
	require.NoError(t, r.Shutdown(ctx))
}

func TestSourceFailureIsReported(t *testing.T) {
	ctx, src := context.Background(), newScripted()
	src.fail = errors.New("ring is gone")
	h := &host{}
	r, err := newFactory(src.open).CreateTraces(ctx, settings(metadata.Type, "dies"), createDefaultConfig(), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Start(ctx, h))
	src.play <- nil
	require.Eventually(t, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		return len(h.events) == 1 && h.events[0].Status() == componentstatus.StatusPermanentError
	}, testkit.Patience, 5*time.Millisecond)
	require.NoError(t, r.Shutdown(ctx))
}

func TestShutdownWithoutStart(t *testing.T) {
	ctx := context.Background()
	f, cfg, set := newFactory(newScripted().open), createDefaultConfig(), settings(metadata.Type, "idle")
	r, err := f.CreateLogs(ctx, set, cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, r.Shutdown(ctx))
	require.False(t, slotOf(set.ID).exists())
	p, err := NewPayloadFactory().CreateLogs(ctx, settings(metadata.PayloadType, ""), createDefaultPayloadConfig(), consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, p.Shutdown(ctx))
}

// TestOwnMetrics reads the books as a collector's operator does.
func TestOwnMetrics(t *testing.T) {
	ctx, src, tel := context.Background(), newScripted(), componenttest.NewTelemetry()
	set := settings(metadata.Type, "metrics")
	set.TelemetrySettings = tel.NewTelemetrySettings()
	var traces consumertest.TracesSink
	r, err := newFactory(src.open).CreateTraces(ctx, set, createDefaultConfig(), &traces)
	require.NoError(t, err)
	require.NoError(t, r.Start(ctx, componenttest.NewNopHost()))
	src.play <- exchange
	require.Eventually(t, func() bool { return traces.SpanCount() == 1 }, testkit.Patience, 5*time.Millisecond)

	read := func(name string) map[string]int64 {
		got, err := tel.GetMetric("otelcol_receiver_qtap_" + name)
		require.NoError(t, err)
		points := map[string]int64{}
		var all []metricdata.DataPoint[int64]
		switch d := got.Data.(type) {
		case metricdata.Sum[int64]:
			require.True(t, d.IsMonotonic)
			all = d.DataPoints
		case metricdata.Gauge[int64]:
			all = d.DataPoints
		}
		for _, p := range all {
			stage, _ := p.Attributes.Value("stage")
			points[stage.AsString()] += p.Value
		}
		return points
	}
	require.Eventually(t, func() bool { return read("stage_out")["exchanges"] == 1 && read("stage_out")["spans"] == 1 }, testkit.Patience, 20*time.Millisecond)
	in, out, dropped, inFlight := read("stage_in"), read("stage_out"), read("stage_dropped"), read("stage_in_flight")
	for stage := range in {
		require.Equal(t, in[stage], out[stage]+dropped[stage]+inFlight[stage], stage)
	}
	require.EqualValues(t, 1, read("connections_opened")[""])
	require.NoError(t, r.Shutdown(ctx))
	require.NoError(t, tel.Shutdown(ctx))
}
