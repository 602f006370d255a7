// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulseexporter

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configtls"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/qpoint-io/otelcol-qpoint/exporter/pulseexporter/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

// handler answers as a server would, by the embedded engine.
func (h *host) handler() http.Handler {
	opts := h.extensions[engineID].(pulsestore.Engine).ClickHouseOptions()
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: "local_clickhouse"}) },
		Transport: &http.Transport{
			DialContext:       func(ctx context.Context, _, addr string) (net.Conn, error) { return opts.DialContext(ctx, addr) },
			DisableKeepAlives: true,
		},
	}
}

// at is a config without a queue for a server at a URL.
func at(endpoint string) *Config {
	cfg := direct()
	cfg.ClickHouse, cfg.Endpoint, cfg.Compression = nil, endpoint, compressionNone
	return cfg
}

// TestHTTPS stores over TLS: with the server's authority, and not without it. The first of two addresses is dead.
func TestHTTPS(t *testing.T) {
	h := newHost(t)
	server := httptest.NewTLSServer(h.handler())
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	endpoint := "https://127.0.0.1:1," + strings.TrimPrefix(server.URL, "https://")
	ctx := context.Background()

	cfg := at(endpoint)
	cfg.TLS = configoptional.Some(configtls.ClientConfig{Config: configtls.Config{CAFile: ca}})
	require.NoError(t, cfg.Validate())
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, &host{}))
	require.NoError(t, te.ConsumeTraces(ctx, traces(7, policy)))
	require.NoError(t, te.Shutdown(ctx))
	_, count := h.reader(t)
	assert.EqualValues(t, 7, count("requests"))

	stranger := &host{}
	te, err = newTraces(ctx, exportertest.NewNopSettings(metadata.Type), at(endpoint))
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, stranger))
	require.ErrorContains(t, te.ConsumeTraces(ctx, traces(1, policy)), "certificate")
	require.NoError(t, te.Shutdown(ctx))
	assert.Equal(t, componentstatus.StatusRecoverableError, stranger.events[0].Status())
}

// TestNativeTLS follows clickhouse:// up to the protocol's first packet, within TLS: no server that speaks the rest
// can be installed here. The first of two addresses is dead.
func TestNativeTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(nil) // for its certificate
	server.StartTLS()
	defer server.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600))
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: server.TLS.Certificates, MinVersion: tls.VersionTLS12})
	require.NoError(t, err)
	defer listener.Close()
	hello := make(chan string, 16)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			kind, _ := r.ReadByte()
			size, _ := r.ReadByte()
			name := make([]byte, size)
			_, _ = r.Read(name)
			hello <- fmt.Sprint(kind, " ", string(name))
			_ = conn.Close()
		}
	})
	cfg := at("clickhouse://127.0.0.1:1," + listener.Addr().String())
	cfg.TLS = configoptional.Some(configtls.ClientConfig{Config: configtls.Config{CAFile: ca}})
	ctx := context.Background()
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, &host{}))
	assert.Contains(t, <-hello, "0 clickhouse-go", "packet 0 is the client's hello")
	require.NoError(t, te.Shutdown(ctx))
	require.NoError(t, listener.Close())
}

// observed makes the settings of an exporter whose log is kept.
func observed() (*observer.ObservedLogs, zapcore.Core) {
	core, logs := observer.New(zap.InfoLevel)
	return logs, core
}

// TestServerRefuses has a real engine refuse: each kind of refusal is told apart, and each is seen in the log and in the status.
func TestServerRefuses(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	conn, err := clickhouse.Open(h.extensions[engineID].(pulsestore.Engine).ClickHouseOptions())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	exec := func(statements string) {
		for statement := range strings.SplitSeq(statements, "; ") {
			require.NoError(t, conn.Exec(ctx, statement))
		}
	}
	logs, core := observed()
	set := exportertest.NewNopSettings(metadata.Type)
	set.Logger = zap.New(core)
	te, err := newTraces(ctx, set, direct())
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, h))
	defer func() { require.NoError(t, te.Shutdown(ctx)) }()
	next := 0
	push := func() error {
		next++
		td := traces(1, policy)
		putSpan(td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().At(0), next)
		return te.ConsumeTraces(ctx, td)
	}
	require.NoError(t, push())
	for _, c := range []struct {
		name, refuse, recover string
		code                  int32
		want                  outcome
		level                 zapcore.Level
	}{
		{"a column is missing", "ALTER TABLE qpoint.requests RENAME COLUMN scheme TO other_scheme", "ALTER TABLE qpoint.requests RENAME COLUMN other_scheme TO scheme", 16, permanent, zap.ErrorLevel},
		{"the table is missing", "RENAME TABLE qpoint.requests TO qpoint.elsewhere", "RENAME TABLE qpoint.elsewhere TO qpoint.requests", 60, permanent, zap.ErrorLevel},
		// Merges are stopped, or they would make room.
		{"too many parts", "SYSTEM STOP MERGES qpoint.requests; ALTER TABLE qpoint.requests MODIFY SETTING parts_to_throw_insert = 1", "ALTER TABLE qpoint.requests MODIFY SETTING parts_to_throw_insert = 3000", 252, throttle, zap.WarnLevel},
	} {
		t.Run(c.name, func(t *testing.T) {
			exec(c.refuse)
			h.events = nil
			logs.TakeAll()
			err := push()
			var exception *clickhouse.Exception
			require.ErrorAs(t, err, &exception)
			assert.Equal(t, c.code, exception.Code)
			assert.Equal(t, c.want, classify(err))
			assert.Equal(t, c.want == permanent, consumererror.IsPermanent(err))
			require.Len(t, h.events, 1)
			assert.Equal(t, componentstatus.StatusRecoverableError, h.events[0].Status())
			require.NotEmpty(t, logs.FilterMessageSnippet("ClickHouse").All())
			assert.Equal(t, c.level, logs.FilterMessageSnippet("ClickHouse").All()[0].Level)

			exec(c.recover)
			require.NoError(t, push())
			assert.Equal(t, componentstatus.StatusOK, h.events[len(h.events)-1].Status())
		})
	}
	exec("SYSTEM START MERGES qpoint.requests")
	t.Run("away", func(t *testing.T) {
		away, err := newTraces(ctx, set, at("http://127.0.0.1:1"))
		require.NoError(t, err)
		require.NoError(t, away.Start(ctx, &host{}))
		defer func() { require.NoError(t, away.Shutdown(ctx)) }()
		logs.TakeAll()
		err = away.ConsumeTraces(ctx, traces(1, policy))
		require.Error(t, err)
		assert.False(t, consumererror.IsPermanent(err), "what is away may come back")
		assert.Equal(t, zap.WarnLevel, logs.FilterMessageSnippet("sent again").All()[0].Level)
	})
}

// TestBackPressure holds a server back: the queue takes what it may, says so to who sends more, and stores all that it took.
func TestBackPressure(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	open := make(chan struct{})
	inner := h.handler()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.RawQuery, "INSERT") {
			select {
			case <-open:
			case <-r.Context().Done():
				return
			}
		}
		inner.ServeHTTP(w, r)
	}))
	defer server.Close()
	cfg := at(server.URL)
	queue := exporterhelper.NewDefaultQueueConfig()
	queue.Sizer, queue.QueueSize, queue.NumConsumers = exporterhelper.RequestSizerTypeItems, 500, 1
	batch := exporterhelper.NewDefaultBatchConfig()
	batch.Sizer, batch.MinSize, batch.MaxSize, batch.FlushTimeout = exporterhelper.RequestSizerTypeItems, 100, 200, 10*time.Millisecond
	queue.Batch = configoptional.Some(batch)
	cfg.Queue = configoptional.Some(queue)
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, h))
	taken := 0
	var full error
	for full == nil {
		td := traces(10, policy)
		for i, span := range td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
			putSpan(span, taken+i)
		}
		if full = te.ConsumeTraces(ctx, td); full == nil {
			taken += 10
		}
		require.LessOrEqual(t, taken, 500+200, "memory has no bound")
	}
	require.True(t, errors.Is(full, exporterhelper.ErrQueueIsFull), "%v", full)
	assert.False(t, consumererror.IsPermanent(full), "who sends must try again")
	close(open)
	require.NoError(t, te.Shutdown(ctx))
	_, count := h.reader(t)
	assert.EqualValues(t, taken, count("requests"))
}

// TestLateData sends times of ten years at once: what is too old is refused and counted, and the rest makes no
// more parts than there are days that are accepted.
func TestLateData(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	cfg := direct()
	cfg.TTL = 0
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, h))
	defer func() { require.NoError(t, te.Shutdown(ctx)) }()
	td := traces(3650, policy)
	for i, span := range td.ResourceSpans().At(0).ScopeSpans().At(0).Spans().All() {
		span.SetStartTimestamp(pcommon.NewTimestampFromTime(time.Now().Add(-time.Duration(i) * 24 * time.Hour)))
	}
	err = te.ConsumeTraces(ctx, td)
	require.True(t, consumererror.IsPermanent(err))
	require.ErrorContains(t, err, string(reasonTime))
	_, count := h.reader(t)
	assert.EqualValues(t, 45, count("requests"))
	conn, err := clickhouse.Open(h.extensions[engineID].(pulsestore.Engine).ClickHouseOptions())
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close()) }()
	var partitions uint64
	for _, table := range []string{"requests", "requests_1m", "requests_1h"} {
		require.NoError(t, conn.QueryRow(ctx, "SELECT uniqExact(partition) FROM system.parts WHERE active AND database = 'qpoint' AND table = '"+table+"'").Scan(&partitions))
		assert.LessOrEqual(t, partitions, uint64(46), table)
	}
	// Connections of all ages that may be: by week.
	ld := logs(policy)
	records := ld.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords()
	first := records.At(0)
	for i := range 399 {
		r := records.AppendEmpty()
		first.CopyTo(r)
		r.Attributes().PutInt("qpoint.connection.start", time.Now().Add(-time.Duration(i)*24*time.Hour).UnixNano())
		r.Attributes().PutStr("qpoint.connection.id", fmt.Sprintf("%016x", i))
	}
	le, err := newLogs(ctx, exportertest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, le.Start(ctx, h))
	defer func() { require.NoError(t, le.Shutdown(ctx)) }()
	require.NoError(t, le.ConsumeLogs(ctx, ld))
	require.NoError(t, conn.QueryRow(ctx, "SELECT uniqExact(partition) FROM system.parts WHERE active AND database = 'qpoint' AND table = 'connections'").Scan(&partitions))
	assert.LessOrEqual(t, partitions, uint64(60))
	assert.GreaterOrEqual(t, count("connections"), uint64(399))
}

// TestFleet stores the spans of a fleet and reads the rows back that they were made of.
func TestFleet(t *testing.T) {
	h := newHost(t)
	ctx := context.Background()
	to := time.Now().UTC()
	rows, err := fill.Requests(2000, fill.Options{From: to.Add(-time.Hour), To: to, Seed: 5})
	require.NoError(t, err)
	te, err := newTraces(ctx, exportertest.NewNopSettings(metadata.Type), direct())
	require.NoError(t, err)
	require.NoError(t, te.Start(ctx, h))
	defer func() { require.NoError(t, te.Shutdown(ctx)) }()
	require.NoError(t, te.ConsumeTraces(ctx, fill.Traces(rows, policy)))
	store, count := h.reader(t)
	assert.EqualValues(t, len(rows), count("requests"))
	for i := 0; i < len(rows); i += 97 {
		got, err := store.Request(ctx, pulsestore.EveryEnvironment(), rows[i].TraceID, rows[i].SpanID)
		require.NoError(t, err)
		assert.Equal(t, &rows[i], got)
	}
}
