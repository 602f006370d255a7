// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter_test

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"
	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// host is a host with extensions that keeps the reported status events.
type host struct {
	component.Host
	extensions map[component.ID]component.Component

	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *host) GetExtensions() map[component.ID]component.Component { return h.extensions }

func (h *host) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

func (h *host) statuses() (out []componentstatus.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		out = append(out, e.Status())
	}
	return out
}

var localS3 = component.MustNewID("local_s3")

// startBucket starts a real S3 server (versitygw) for the test.
func startBucket(t testing.TB) (*host, s3settings.Settings) {
	t.Helper()
	f := locals3extension.NewFactory()
	cfg := f.CreateDefaultConfig().(*locals3extension.Config)
	cfg.DataDir = filepath.Join(t.TempDir(), "s3")
	cfg.Endpoint = testkit.Addr(t)
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	return &host{Host: componenttest.NewNopHost(), extensions: map[component.ID]component.Component{localS3: ext}},
		ext.(s3settings.Storage).S3Settings()
}

type instance struct {
	exporter.Logs
	tel *componenttest.Telemetry
}

// newExporter creates an exporter without a queue, so that ConsumeLogs gives push's own answer.
func newExporter(t testing.TB, change func(*qpoints3exporter.Config)) instance {
	t.Helper()
	f := qpoints3exporter.NewFactory()
	cfg := f.CreateDefaultConfig().(*qpoints3exporter.Config)
	cfg.Queue = configoptional.None[exporterhelper.QueueBatchConfig]()
	cfg.Retry.Enabled = false
	change(cfg)
	require.NoError(t, cfg.Validate())
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	set := exportertest.NewNopSettings(f.Type())
	set.TelemetrySettings = tel.NewTelemetrySettings()
	exp, err := f.CreateLogs(t.Context(), set, cfg)
	require.NoError(t, err)
	return instance{exp, tel}
}

func startExporter(t testing.TB, h component.Host, change func(*qpoints3exporter.Config)) instance {
	t.Helper()
	exp := newExporter(t, change)
	require.NoError(t, exp.Start(t.Context(), h))
	t.Cleanup(func() { require.NoError(t, exp.Shutdown(context.Background())) })
	return exp
}

func onLocalS3(cfg *qpoints3exporter.Config) { cfg.Storage = &localS3 }

// count returns the value of one of the exporter's own counters, summed over its attributes, or
// with the given attribute only.
func (i instance) count(t *testing.T, name string, attrs ...attribute.KeyValue) (n int64) {
	t.Helper()
	m, err := i.tel.GetMetric("otelcol_exporter_qpoint_s3_" + name)
	if err != nil {
		return 0 // nothing was added to it
	}
	for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
		if len(attrs) == 0 || p.Attributes.Equals(ptr(attribute.NewSet(attrs...))) {
			n += p.Value
		}
	}
	return n
}

func ptr[T any](v T) *T { return &v }

// payloads makes records [from, to) of a segment of count records.
func payloads(ld plog.Logs, key string, from, to, count int) {
	rl := ld.ResourceLogs().AppendEmpty()
	rl.Resource().Attributes().PutStr(semantic.ServiceName, "curl")
	sl := rl.ScopeLogs().AppendEmpty()
	sl.Scope().Attributes().PutStr(semantic.SegmentKey, key)
	sl.Scope().Attributes().PutInt(semantic.SegmentIndex, int64(from))
	sl.Scope().Attributes().PutInt(semantic.SegmentCount, int64(count))
	for i := from; i < to; i++ {
		r := sl.LogRecords().AppendEmpty()
		r.SetEventName(semantic.EventPayload)
		r.SetTimestamp(pcommon.NewTimestampFromTime(time.Date(2026, 11, 24, 6, 0, i, 0, time.UTC)))
		r.SetSpanID(pcommon.SpanID{7: byte(i + 1)})
		r.SetTraceID(pcommon.TraceID{15: 1})
		at := r.Attributes()
		at.PutStr(semantic.PayloadRequestMethod, "GET")
		at.PutStr(semantic.PayloadRequestTarget, fmt.Sprintf("/%d?token=canary", i))
		at.PutStr(semantic.PayloadRequestVersion, "1.1")
		pair := at.PutEmptySlice(semantic.PayloadRequestHeaders).AppendEmpty().SetEmptySlice()
		pair.AppendEmpty().SetStr("Host")
		pair.AppendEmpty().SetStr("example.com")
		at.PutInt(semantic.PayloadResponseStatus, 200)
		at.PutEmptyBytes(semantic.PayloadResponseBody).FromRaw([]byte("hello\x00\xff"))
		at.PutInt(semantic.PayloadResponseBodySize, 7)
	}
}

func newKey() string { return objectkey.New("default", "host-1", time.Now()) }

func rawClient(t *testing.T, set s3settings.Settings) *s3.Client {
	t.Helper()
	return s3.New(s3.Options{
		BaseEndpoint: &set.Endpoint, Region: set.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(string(set.AccessKey), string(set.SecretKey), ""),
	})
}

// stored returns the objects of the bucket by key.
func stored(t *testing.T, set s3settings.Settings) map[string][]byte {
	t.Helper()
	c := rawClient(t, set)
	list, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &set.Bucket})
	require.NoError(t, err)
	out := map[string][]byte{}
	for _, o := range list.Contents {
		res, err := c.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &set.Bucket, Key: o.Key})
		require.NoError(t, err)
		b, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.NoError(t, res.Body.Close())
		out[aws.ToString(o.Key)] = b
	}
	return out
}

func keysOf(m map[string][]byte) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// inDefault is a key's whole name in the environment of a configuration that names none.
func inDefault(key string) string { return objectkey.InBucket("", semantic.DefaultEnvironment, key) }
