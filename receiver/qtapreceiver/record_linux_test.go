// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"compress/gzip"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event/replay"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
)

var record = flag.Bool("record", false, "record the kernel's events of every test that is run, for the replay tests")

// recorded is a source whose events are written down on their way.
type recorded struct {
	event.Source
	buf bytes.Buffer
}

func (r *recorded) Run(ctx context.Context, h event.Handler) error {
	rec := replay.NewRecorder(&r.buf, h)
	err := r.Source.Run(ctx, rec)
	if e := rec.Flush(); err == nil {
		err = e
	}
	return err
}

// known passes on what belongs to processes that own a recorded socket: a recording must not
// carry the secrets of whoever else was busy on the host.
type known struct {
	*replay.Recorder
	tgids map[uint32]bool
	pass  bool

	lastIdle int64
}

func (k *known) Socket(s *event.Socket) {
	if s.TGID != 0 {
		k.tgids[s.TGID] = true
	}
	if k.pass {
		k.Recorder.Socket(s)
	}
}

func (k *known) Secret(s *event.Secret) {
	if k.pass && k.tgids[s.TGID] {
		k.Recorder.Secret(s)
	}
}

func (k *known) Process(p *event.Process) {
	if k.pass && k.tgids[p.TGID] {
		k.Recorder.Process(p)
	}
}

func (k *known) Packet(p *event.Packet) {
	if k.pass {
		k.Recorder.Packet(p)
	}
}

// recordTo writes what the lab's kernel reports to testdata/replay/<name>.jsonl.gz. The next test that
// is run without a kernel compares what comes of it (engine.TestCorpus, -update).
func (l *lab) recordTo(name string) {
	open := l.open
	l.open = func(cfg *Config, logger *zap.Logger) (event.Source, []zap.Field, error) {
		s, fields, err := open(cfg, logger)
		l.recording = &recorded{Source: s}
		return l.recording, fields, err
	}
	l.recordingName = name
}

func (l *lab) writeRecording() {
	if l.recording == nil {
		return
	}
	play := func(h event.Handler) {
		require.NoError(l.t, replay.NewSource(bytes.NewReader(l.recording.buf.Bytes())).Run(context.Background(), h))
	}
	k := &known{Recorder: replay.NewRecorder(io.Discard, nil), tgids: map[uint32]bool{}}
	play(k)
	dir := filepath.Join("testdata", "replay")
	require.NoError(l.t, os.MkdirAll(dir, 0o755))
	f, err := os.Create(filepath.Join(dir, l.recordingName+".jsonl.gz"))
	require.NoError(l.t, err)
	z, err := gzip.NewWriterLevel(f, gzip.BestCompression)
	require.NoError(l.t, err)
	k.Recorder, k.pass = replay.NewRecorder(z, nil), true
	play(quiet{k})
	require.NoError(l.t, k.Flush())
	require.NoError(l.t, z.Close())
	require.NoError(l.t, f.Close())
}

// quiet leaves out the moments at which nothing happened.
type quiet struct{ *known }

func (q quiet) Idle(now int64) {
	if now/1e8 != q.lastIdle/1e8 {
		q.Recorder.Idle(now)
	}
	q.lastIdle = now
}

// TestE2ERecord plays what it recorded of real programs again: the same spans must come out, and so
// they must where no kernel is. With -record it renews internal/engine/testdata/replay/*.jsonl.
func TestE2ERecord(t *testing.T) {
	for _, version := range []string{"plain", "1.3", "1.2", "h2"} {
		l := newLab(t, "rec"+version)
		var src *recorded
		l.open = func(cfg *Config, logger *zap.Logger) (event.Source, []zap.Field, error) {
			s, fields, err := openKernel(cfg, logger)
			src = &recorded{Source: s}
			return src, fields, err
		}
		l.start(nil)
		dir, port := t.TempDir(), freePort(t)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "hello"), []byte("hello, replay\n"), 0o644))
		scheme, how := "http", "--http1.1"
		if version == "plain" {
			l.serve(port, "python3", "-m", "http.server", "--bind", "127.0.0.1", "--directory", dir, strconv.Itoa(port))
		} else {
			scheme = "https"
			selfSigned(t, dir)
			listen, protocol := "ssl", version
			if version == "h2" {
				listen, protocol, how = "ssl http2", "1.3", "--http2"
			}
			l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%[1]d %[4]s; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem; ssl_protocols TLSv%[3]s;", port, dir, protocol, listen))
		}
		url := fmt.Sprintf("%s://lab.test:%d/hello", scheme, port)
		l.run("curl", "-sk", how, "--resolve", fmt.Sprintf("lab.test:%d:127.0.0.1", port), url, url+"?again", "--next", "-sk", how, "--resolve", fmt.Sprintf("lab.test:%d:127.0.0.1", port), "-d", "a=b", url)
		time.Sleep(500 * time.Millisecond)
		l.stop()
		require.Equal(t, 6, l.traces.SpanCount())
		require.Equal(t, spanIDs(&l.traces), spanIDs(replayed(t, src.buf.Bytes())))
		if !*record {
			continue
		}

		k := &known{Recorder: replay.NewRecorder(&bytes.Buffer{}, nil), tgids: map[uint32]bool{}}
		require.NoError(t, replay.NewSource(bytes.NewReader(src.buf.Bytes())).Run(context.Background(), k))
		path := filepath.Join("internal", "engine", "testdata", "replay", version+".jsonl")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		f, err := os.Create(path)
		require.NoError(t, err)
		k.Recorder, k.pass = replay.NewRecorder(f, nil), true
		require.NoError(t, replay.NewSource(bytes.NewReader(src.buf.Bytes())).Run(context.Background(), k))
		require.NoError(t, k.Flush())
		require.NoError(t, f.Close())
	}
}

// replayed returns what a receiver makes of a recording.
func replayed(t *testing.T, recording []byte) *consumertest.TracesSink {
	ctx, sink := context.Background(), &consumertest.TracesSink{}
	set := settings(metadata.Type, "replay")
	r, err := newFactory(func(*Config, *zap.Logger) (event.Source, []zap.Field, error) {
		return replay.NewSource(bytes.NewReader(recording)), nil, nil
	}).CreateTraces(ctx, set, createDefaultConfig(), sink)
	require.NoError(t, err)
	require.NoError(t, r.Start(ctx, componenttest.NewNopHost()))
	require.Eventually(t, func() bool { return sink.SpanCount() == 6 }, testkit.Patience, 5*time.Millisecond, "spans of the recording")
	require.NoError(t, r.Shutdown(ctx))
	return sink
}

func spanIDs(sink *consumertest.TracesSink) map[string]bool {
	ids := map[string]bool{}
	for _, td := range sink.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			for _, s := range rs.ScopeSpans().At(0).Spans().All() {
				ids[s.TraceID().String()+s.SpanID().String()+s.ParentSpanID().String()+s.Kind().String()] = true
			}
		}
	}
	return ids
}
