// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/otel/attribute"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func logs(key string, from, to, count int) plog.Logs {
	ld := plog.NewLogs()
	payloads(ld, key, from, to, count)
	return ld
}

func TestSegments(t *testing.T) {
	h, set := startBucket(t)
	exp := startExporter(t, h, func(cfg *qpoints3exporter.Config) {
		onLocalS3(cfg)
		cfg.Prefix, cfg.Environment = "team-a/", "prod"
		cfg.Tags = map[string]string{"retention": "short"}
	})
	a, b, c := newKey(), newKey(), newKey()

	ld := plog.NewLogs()
	payloads(ld, a, 2, 3, 3) // a pipeline may split and mix the scopes
	payloads(ld, b, 0, 1, 1)
	payloads(ld, a, 0, 2, 3)
	payloads(ld, c, 0, 2, 5) // and lose some
	require.NoError(t, exp.ConsumeLogs(t.Context(), ld))

	got := stored(t, set)
	require.Len(t, got, 3)
	whole, err := archive.Read(got["team-a/prod/"+a])
	require.NoError(t, err)
	require.Len(t, whole, 3)
	x := whole["0000000000000001.har"]
	require.Equal(t, "/0?token=canary", x.Request.Target)
	require.Equal(t, []archive.Header{{Name: "Host", Value: "example.com"}}, x.Request.Headers)
	require.Equal(t, []byte("hello\x00\xff"), x.Response.Body)
	require.Contains(t, got, "team-a/prod/"+b)
	require.NotContains(t, got, "team-a/prod/"+c, "an incomplete segment must not take the key of the whole")
	for key := range got {
		require.NoError(t, objectkey.Validate(strings.TrimPrefix(key, "team-a/prod/")))
	}

	tags, err := rawClient(t, set).GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: &set.Bucket, Key: ptr("team-a/prod/" + b)})
	require.NoError(t, err)
	require.Len(t, tags.TagSet, 1)
	require.Equal(t, "short", *tags.TagSet[0].Value)

	// The same again, in whatever order, is the same objects.
	ld = plog.NewLogs()
	payloads(ld, c, 0, 2, 5)
	payloads(ld, a, 0, 3, 3)
	payloads(ld, b, 0, 1, 1)
	require.NoError(t, exp.ConsumeLogs(t.Context(), ld))
	again := stored(t, set)
	require.Equal(t, got, again)

	// The rest of the incomplete one gets a key of its own.
	require.NoError(t, exp.ConsumeLogs(t.Context(), logs(c, 2, 5, 5)))
	require.Len(t, stored(t, set), 4)

	require.EqualValues(t, 4, exp.count(t, "objects"))
	require.EqualValues(t, 3, exp.count(t, "duplicates"))
	require.EqualValues(t, 3+1+2+6+3, exp.count(t, "entries"))
	require.Zero(t, exp.count(t, "failures"))
	require.Positive(t, exp.count(t, "bytes"))
}

func TestOtherContentIsNeverOverwritten(t *testing.T) {
	h, set := startBucket(t)
	exp := startExporter(t, h, onLocalS3)
	key := newKey()
	_, err := rawClient(t, set).PutObject(t.Context(), &s3.PutObjectInput{Bucket: &set.Bucket, Key: ptr(inDefault(key)), Body: bytes.NewReader([]byte("mine"))})
	require.NoError(t, err)

	good := newKey()
	ld := logs(key, 0, 2, 2)
	payloads(ld, good, 0, 1, 1)
	err = exp.ConsumeLogs(t.Context(), ld)
	require.True(t, consumererror.IsPermanent(err))
	require.ErrorContains(t, err, "exists with other content")
	require.Equal(t, []byte("mine"), stored(t, set)[inDefault(key)])
	require.Contains(t, stored(t, set), inDefault(good), "the other segment is stored")
	require.EqualValues(t, 2, exp.count(t, "entries_dropped", attribute.String("reason", "collision")))
	require.EqualValues(t, 1, exp.count(t, "failures", attribute.String("class", "exists")))
}

func TestForeignLogsAreRefused(t *testing.T) {
	h, set := startBucket(t)
	exp := startExporter(t, h, onLocalS3)
	for name, change := range map[string]func(plog.ScopeLogs){
		"no key":      func(sl plog.ScopeLogs) { sl.Scope().Attributes().Remove(semantic.SegmentKey) },
		"bad key":     func(sl plog.ScopeLogs) { sl.Scope().Attributes().PutStr(semantic.SegmentKey, "../x.zip") },
		"not a key":   func(sl plog.ScopeLogs) { sl.Scope().Attributes().PutInt(semantic.SegmentKey, 3) },
		"other event": func(sl plog.ScopeLogs) { sl.LogRecords().At(0).SetEventName(semantic.EventConnection) },
	} {
		ld := logs(newKey(), 0, 2, 2)
		change(ld.ResourceLogs().At(0).ScopeLogs().At(0))
		err := exp.ConsumeLogs(t.Context(), ld)
		require.True(t, consumererror.IsPermanent(err), name)
		require.NotContains(t, err.Error(), "canary")
	}
	require.Empty(t, stored(t, set))
	require.EqualValues(t, 8, exp.count(t, "entries_dropped", attribute.String("reason", "foreign")))
}

func TestStartRefusesABucketThatRefuses(t *testing.T) {
	h, set := startBucket(t)
	configure := func(cfg *qpoints3exporter.Config) {
		cfg.Endpoint, cfg.Bucket, cfg.AccessKey, cfg.SecretKey = set.Endpoint, set.Bucket, set.AccessKey, set.SecretKey
	}
	startExporter(t, h, configure) // the same without a mistake

	for want, mistake := range map[string]func(*qpoints3exporter.Config){
		"NoSuchBucket (HTTP status 404): create the bucket or correct `bucket`": func(cfg *qpoints3exporter.Config) { cfg.Bucket = "elsewhere" },
		"InvalidAccessKeyId (HTTP status 403): correct `access_key`":            func(cfg *qpoints3exporter.Config) { cfg.AccessKey = "AKIAWRONGWRONG" },
		"SignatureDoesNotMatch (HTTP status 403): correct `secret_key`":         func(cfg *qpoints3exporter.Config) { cfg.SecretKey = "wrongsecret" },
		"correct `region`": func(cfg *qpoints3exporter.Config) { cfg.Region = "eu-central-1" },
	} {
		exp := newExporter(t, func(cfg *qpoints3exporter.Config) {
			configure(cfg)
			mistake(cfg)
		})
		err := exp.Start(t.Context(), h)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, set.Endpoint)
		require.NotContains(t, err.Error(), "\n", "one line")
		require.NotContains(t, err.Error(), "wrongsecret")
		require.NotContains(t, err.Error(), string(set.SecretKey))
		require.NoError(t, exp.Shutdown(t.Context()))
	}
}

func TestStartWithoutStorage(t *testing.T) {
	other := component.MustNewID("other")
	h := &host{Host: componenttest.NewNopHost(), extensions: map[component.ID]component.Component{other: nil}}
	err := newExporter(t, onLocalS3).Start(t.Context(), h)
	require.ErrorContains(t, err, "`storage: local_s3`: there is no such extension")
	err = newExporter(t, func(cfg *qpoints3exporter.Config) { cfg.Storage = &other }).Start(t.Context(), h)
	require.ErrorContains(t, err, "does not serve a bucket")
}

func TestWithoutCredentials(t *testing.T) {
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", t.TempDir()+"/none")
	t.Setenv("AWS_CONFIG_FILE", t.TempDir()+"/none")
	h, set := startBucket(t)
	configure := func(cfg *qpoints3exporter.Config) { cfg.Endpoint, cfg.Bucket = set.Endpoint, set.Bucket }
	exp := newExporter(t, configure)
	require.ErrorContains(t, exp.Start(t.Context(), h), "set `access_key` and `secret_key`")
	require.NoError(t, exp.Shutdown(t.Context()))

	t.Setenv("AWS_ACCESS_KEY_ID", string(set.AccessKey))
	t.Setenv("AWS_SECRET_ACCESS_KEY", string(set.SecretKey))
	startExporter(t, h, configure)
}

// TestUnreachable starts without the service, keeps the payloads and stores them when it comes.
func TestUnreachable(t *testing.T) {
	h, set := startBucket(t)
	target := strings.TrimPrefix(set.Endpoint, "http://")
	address := testkit.Addr(t)
	exp := startExporter(t, h, func(cfg *qpoints3exporter.Config) {
		cfg.Endpoint, cfg.Bucket, cfg.AccessKey, cfg.SecretKey = "http://"+address, set.Bucket, set.AccessKey, set.SecretKey
		queue := exporterhelper.NewDefaultQueueConfig()
		cfg.Queue = configoptional.Some(queue)
		cfg.Retry = configretry.NewDefaultBackOffConfig()
		cfg.Retry.InitialInterval = 10 * time.Millisecond
		cfg.Retry.MaxInterval = 20 * time.Millisecond
	})
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, h.statuses())
	key := newKey()
	require.NoError(t, exp.ConsumeLogs(t.Context(), logs(key, 0, 2, 2)))
	require.Eventually(t, func() bool { return exp.count(t, "failures", attribute.String("class", "retry")) > 1 }, testkit.Patience, 10*time.Millisecond)

	forward(t, address, target)
	require.Eventually(t, func() bool { return exp.count(t, "objects") == 1 }, testkit.Patience, 10*time.Millisecond)
	require.Contains(t, stored(t, set), inDefault(key))
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, h.statuses())
}

// TestThrottle injects what no local server says. Everything else passes to the real one.
func TestThrottle(t *testing.T) {
	h, set := startBucket(t)
	var slow atomic.Int32
	slow.Store(2)
	proxy := httptest.NewServer(fault(t, set.Endpoint, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut || slow.Add(-1) < 0 {
			return false
		}
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`<?xml version="1.0"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate. canary</Message></Error>`))
		return true
	}))
	defer proxy.Close()
	exp := startExporter(t, h, func(cfg *qpoints3exporter.Config) {
		cfg.Endpoint, cfg.Bucket, cfg.AccessKey, cfg.SecretKey = proxy.URL, set.Bucket, set.AccessKey, set.SecretKey
	})

	// Two segments: one is throttled and comes back alone, with what it was.
	bad, good := newKey(), newKey()
	ld := logs(bad, 0, 2, 2)
	payloads(ld, good, 0, 1, 1)
	slow.Store(1)
	err := exp.ConsumeLogs(t.Context(), ld)
	require.ErrorContains(t, err, "SlowDown (HTTP status 503)")
	require.NotContains(t, err.Error(), "canary")
	require.False(t, consumererror.IsPermanent(err))
	var part consumererror.Logs
	require.ErrorAs(t, err, &part)
	want := logs(bad, 0, 2, 2)
	require.NoError(t, plogEqual(want, part.Data()))
	require.Equal(t, []string{inDefault(good)}, keysOf(stored(t, set)))
	require.EqualValues(t, 1, exp.count(t, "failures", attribute.String("class", "throttle")))

	// exporterhelper waits as long as the server asked for and sends that part again.
	slow.Store(1)
	retrying := startExporter(t, h, func(cfg *qpoints3exporter.Config) {
		cfg.Endpoint, cfg.Bucket, cfg.AccessKey, cfg.SecretKey = proxy.URL, set.Bucket, set.AccessKey, set.SecretKey
		cfg.Retry = configretry.NewDefaultBackOffConfig()
		cfg.Retry.InitialInterval = time.Millisecond
	})
	start := time.Now()
	require.NoError(t, retrying.ConsumeLogs(t.Context(), ld))
	require.GreaterOrEqual(t, time.Since(start), time.Second)
	require.Contains(t, stored(t, set), inDefault(bad))
	require.EqualValues(t, 1, retrying.count(t, "duplicates"))
}

// TestRefusedWhileRunning drops what cannot be stored, and says so.
func TestRefusedWhileRunning(t *testing.T) {
	h, set := startBucket(t)
	var refuse atomic.Bool
	proxy := httptest.NewServer(fault(t, set.Endpoint, func(w http.ResponseWriter, r *http.Request) bool {
		if !refuse.Load() {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`<Error><Code>AccessDenied</Code><Message>canary</Message></Error>`))
		return true
	}))
	defer proxy.Close()
	exp := startExporter(t, h, func(cfg *qpoints3exporter.Config) {
		cfg.Endpoint, cfg.Bucket, cfg.AccessKey, cfg.SecretKey = proxy.URL, set.Bucket, set.AccessKey, set.SecretKey
	})
	refuse.Store(true)
	err := exp.ConsumeLogs(t.Context(), logs(newKey(), 0, 2, 2))
	require.True(t, consumererror.IsPermanent(err))
	require.ErrorContains(t, err, "AccessDenied (HTTP status 403): the credentials need s3:ListBucket")
	require.NotContains(t, err.Error(), "canary")
	require.EqualValues(t, 2, exp.count(t, "entries_dropped", attribute.String("reason", "refused")))
	refuse.Store(false)
	require.NoError(t, exp.ConsumeLogs(t.Context(), logs(newKey(), 0, 2, 2)))
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK}, h.statuses())
}

func TestLifecycle(t *testing.T) {
	h, _ := startBucket(t)
	require.NoError(t, newExporter(t, onLocalS3).Shutdown(t.Context()), "shutdown without start")
	for range 2 {
		exp := newExporter(t, onLocalS3)
		require.NoError(t, exp.Start(t.Context(), h))
		require.NoError(t, exp.ConsumeLogs(t.Context(), logs(newKey(), 0, 1, 1)))
		require.NoError(t, exp.Shutdown(t.Context()))
	}
}
