// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receivertest"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/kernel"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
)

// lab is a cgroup of the test's own, and both receivers watching it with the real kernel.
type lab struct {
	t      *testing.T
	cgroup string
	dir    *os.File
	slot   *slot
	open   openFunc
	source event.Source
	lossy  bool // the test makes the ring overflow
	host   component.Host
	tune   func(*tap) // before it starts; may be nil
	logger *zap.Logger

	recording     *recorded // with -record
	recordingName string

	traces   consumertest.TracesSink
	logs     consumertest.LogsSink
	payloads consumertest.LogsSink
	parts    []receiver.Logs
}

// need fails the test under CI and skips it elsewhere.
func need(t *testing.T, ok bool, what string) {
	t.Helper()
	if ok {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("this test needs %s", what)
	}
	t.Skipf("this test needs %s", what)
}

func newLab(t *testing.T, name string) *lab {
	t.Helper()
	need(t, os.Geteuid() == 0, "root, to load BPF programs")
	root := cgroup2Mount()
	need(t, root != "", "a cgroup v2 mount")
	l := &lab{t: t, host: componenttest.NewNopHost(), logger: zaptest.NewLogger(t), cgroup: filepath.Join(root, fmt.Sprintf("qtap-test-%s-%d", name, os.Getpid()))}
	l.open = func(cfg *Config, logger *zap.Logger) (event.Source, []zap.Field, error) {
		src, fields, err := openKernel(cfg, logger)
		l.source = src
		return src, fields, err
	}
	require.NoError(t, os.Mkdir(l.cgroup, 0o755))
	t.Cleanup(func() {
		for range testkit.Patience / (20 * time.Millisecond) {
			if os.Remove(l.cgroup) == nil {
				return
			}
			time.Sleep(20 * time.Millisecond)
		}
		t.Errorf("cgroup %s is still in use", l.cgroup)
	})
	var err error
	l.dir, err = os.Open(l.cgroup)
	require.NoError(t, err)
	t.Cleanup(func() { l.dir.Close() })
	if *record {
		l.recordTo(name)
	}
	return l
}

func cgroup2Mount() string {
	b, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(b)) {
		if before, after, ok := strings.Cut(line, " - "); ok && strings.HasPrefix(after, "cgroup2 ") {
			return strings.Fields(before)[4]
		}
	}
	return ""
}

// start runs `qtap` with traces and logs, and `qtap_payload`.
func (l *lab) start(mod func(*Config, *PayloadConfig)) {
	l.t.Helper()
	require.NoError(l.t, l.tryStart(mod))
	l.t.Cleanup(l.stop)
}

func (l *lab) tryStart(mod func(*Config, *PayloadConfig)) error {
	id := component.MustNewIDWithName("qtap", filepath.Base(l.cgroup))
	l.slot = slotOf(id)
	cfg, pcfg := createDefaultConfig(), createDefaultPayloadConfig()
	cfg.CGroup, cfg.RingSizeMiB = l.cgroup, 8
	pcfg.Receiver, pcfg.Unguarded, pcfg.Segment.MaxAge = id, true, 300*time.Millisecond
	pcfg.MaxBodySize = 1 << 20
	if mod != nil {
		mod(cfg, pcfg)
	}
	set := receivertest.NewNopSettings(metadata.Type)
	set.ID, set.Logger = id, l.logger
	ctx := context.Background()
	f := newFactory(l.open)
	tr, err := f.CreateTraces(ctx, set, cfg, &l.traces)
	require.NoError(l.t, err)
	lg, err := f.CreateLogs(ctx, set, cfg, &l.logs)
	require.NoError(l.t, err)
	pset := receivertest.NewNopSettings(metadata.PayloadType)
	pl, err := NewPayloadFactory().CreateLogs(ctx, pset, pcfg, &l.payloads)
	require.NoError(l.t, err)
	if l.tune != nil {
		l.tune(l.slot.tap)
	}
	for _, c := range []component.Component{pl, tr, lg} {
		if err := c.Start(ctx, l.host); err != nil {
			return err
		}
		l.parts = append(l.parts, c)
	}
	return nil
}

// stop shuts down and checks that every stage's books balance, with nothing left in flight.
func (l *lab) stop() {
	if l.parts == nil {
		return
	}
	tap := l.slot.tap
	for i := len(l.parts) - 1; i >= 0; i-- {
		require.NoError(l.t, l.parts[i].Shutdown(context.Background()))
	}
	l.parts = nil
	l.writeRecording()
	for _, s := range tap.books() {
		require.True(l.t, s.Balanced(), "stage %s: %+v", s.Name, s.Totals)
		require.Zero(l.t, s.InFlight, "stage %s", s.Name)
	}
	if !l.lossy {
		require.Empty(l.t, tap.engine.Stats().Lost)
	}
}

// found waits until the secrets of a program, or of whoever else runs it, are captured: it is looked for when it starts, beside everything else.
func (l *lab) found(exe string) {
	l.t.Helper()
	c := l.source.(*kernel.Capture)
	require.Eventually(l.t, func() bool {
		return slices.ContainsFunc(c.Summary().Libraries, func(file string) bool { return strings.HasSuffix(file, exe) })
	}, testkit.Patience, 10*time.Millisecond, "%s is not found", exe)
}

// command prepares a program to run in the lab's cgroup from its first instruction.
func (l *lab) command(name string, args ...string) *exec.Cmd {
	path, err := exec.LookPath(name)
	need(l.t, err == nil, name)
	cmd := exec.Command(path, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(l.dir.Fd()), Pdeathsig: syscall.SIGKILL}
	return cmd
}

// serve runs a server until the end of the test and waits for its port.
func (l *lab) serve(port int, name string, args ...string) *exec.Cmd {
	l.t.Helper()
	cmd := l.command(name, args...)
	cmd.Stderr = io.Discard
	require.NoError(l.t, cmd.Start())
	l.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	require.Eventually(l.t, func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return false
		}
		c.Close()
		return true
	}, testkit.Patience, 20*time.Millisecond)
	return cmd
}

// run runs a client to its end and returns what it printed.
func (l *lab) run(name string, args ...string) []byte {
	l.t.Helper()
	cmd := l.command(name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(l.t, err, stderr.String())
	return out
}

type seen struct {
	span ptrace.Span
	res  pcommon.Map
}

func (l *lab) spans(path string) (client, server *seen) {
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				if p, _ := s.Attributes().Get(semantic.URLPath); p.Str() != path {
					continue
				}
				if _, part := s.Attributes().Get(semantic.ExchangePart); part {
					continue // a slow machine takes long enough for them
				}
				if s.Kind() == ptrace.SpanKindClient {
					client = &seen{s, rs.Resource().Attributes()}
				} else {
					server = &seen{s, rs.Resource().Attributes()}
				}
			}
		}
	}
	return client, server
}

func (l *lab) payload(id pcommon.SpanID) (out plog.LogRecord, key string, ok bool) {
	for _, ld := range l.payloads.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if lr.SpanID() == id {
						k, _ := sl.Scope().Attributes().Get(semantic.SegmentKey)
						return lr, k.Str(), true
					}
				}
			}
		}
	}
	return plog.NewLogRecord(), "", false
}

func (l *lab) records(event string, match func(pcommon.Map) bool) (out []pcommon.Map) {
	for _, ld := range l.logs.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				if lr.EventName() == event && match(lr.Attributes()) {
					out = append(out, lr.Attributes())
				}
			}
		}
	}
	return out
}

func text(m pcommon.Map, key string) string {
	v, ok := m.Get(key)
	if !ok {
		return ""
	}
	return v.AsString()
}

// verify checks the spans, the payloads and the connection records of one exchange at both ends.
func (l *lab) verify(path string, body []byte, clientExe, serverExe, scheme, url string) {
	t := l.t
	t.Helper()
	var c, s *seen
	require.Eventually(t, func() bool { c, s = l.spans(path); return c != nil && s != nil }, testkit.Patience, 20*time.Millisecond, "spans of %s", path)
	require.Equal(t, c.span.TraceID(), s.span.TraceID(), "both ends are one trace")
	require.Equal(t, c.span.SpanID(), s.span.ParentSpanID())
	require.Equal(t, url, text(c.span.Attributes(), semantic.URLFull))
	for exe, x := range map[string]*seen{clientExe: c, serverExe: s} {
		require.Contains(t, text(x.res, semantic.ProcessExecutableName), exe)
		require.Equal(t, "root", text(x.res, semantic.ProcessOwner))
		require.NotEmpty(t, text(x.res, semantic.HostID))
		m := x.span.Attributes()
		require.Equal(t, scheme, text(m, semantic.URLScheme))
		require.Equal(t, "200", text(m, semantic.HTTPResponseStatusCode))
		require.Equal(t, strconv.Itoa(len(body)), text(m, semantic.HTTPResponseBodySize))
		if scheme == "https" {
			require.Equal(t, "true", text(m, semantic.TLSEstablished))
			require.NotEmpty(t, text(m, semantic.TLSCipher))
		}
		require.Equal(t, "pending", text(m, semantic.PayloadState))
		objects, ok := m.Get(semantic.PayloadObjects)
		require.True(t, ok)
		key := objects.Slice().At(0).Str()
		require.NoError(t, objectkey.Validate(key))

		var lr plog.LogRecord
		var at string
		require.Eventually(t, func() bool { var ok bool; lr, at, ok = l.payload(x.span.SpanID()); return ok }, testkit.Patience, 20*time.Millisecond, "payload of %s", path)
		require.Equal(t, key, at)
		require.Equal(t, x.span.TraceID(), lr.TraceID())
		got, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
		require.Equal(t, sha256.Sum256(body), sha256.Sum256(got.Bytes().AsRaw()), "%s: body of %d bytes, got %d", exe, len(body), got.Bytes().Len())
		require.Eventually(t, func() bool {
			return len(l.records(semantic.EventSegment, func(m pcommon.Map) bool {
				return text(m, semantic.SegmentKey) == key && text(m, semantic.SegmentState) == "sent"
			})) == 1
		}, testkit.Patience, 20*time.Millisecond)

		id := text(m, semantic.ConnectionID)
		var closed []pcommon.Map
		require.Eventually(t, func() bool {
			closed = l.records(semantic.EventConnection, func(m pcommon.Map) bool {
				return text(m, semantic.ConnectionID) == id && text(m, semantic.ConnectionState) == "closed"
			})
			return len(closed) == 1
		}, testkit.Patience, 20*time.Millisecond, "closing record of %s", exe)
		seq, _ := m.Get(semantic.ExchangeSequence) // the asked-for exchange is the connection's last
		require.Equal(t, strconv.FormatInt(seq.Int()+1, 10), text(closed[0], semantic.ConnectionRequests))
		sent, _ := closed[0].Get(semantic.ConnectionSentBytes)
		received, _ := closed[0].Get(semantic.ConnectionReceivedBytes)
		// A client that is done may reset the connection (s_client does at times): the server's books end with what
		// was acknowledged until then, though every byte had reached the client's host.
		if role := text(closed[0], semantic.ConnectionRole); role == "client" || text(closed[0], semantic.ConnectionCloseReason) != "reset" {
			require.Greater(t, sent.Int()+received.Int(), int64(len(body)), "%s: %v", exe, closed[0].AsRaw())
		}
	}
}

func freePort(t *testing.T) int { return testkit.Port(t) }

func randomFile(t *testing.T, path string, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b)
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return b
}
