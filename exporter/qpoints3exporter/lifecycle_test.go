// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/retention"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestRetentionClasses: the class is in the key and in a tag, and the receipt says until when.
func TestRetentionClasses(t *testing.T) {
	h, set := startBucket(t)
	var sink consumertest.LogsSink
	c := startConnector(t, h, &sink, func(cfg *qpoints3exporter.Config) {
		onLocalS3(cfg)
		cfg.RetentionClasses = retention.Classes{"short": time.Hour, "ever": 0}
		cfg.Tags = map[string]string{"team": "a"}
	})
	for class, want := range map[string]struct {
		stored  string
		expires bool
	}{"short": {"short", true}, "ever": {"ever", false}, "default": {"default", false}, "unheard-of": {"default", false}} {
		sink.Reset()
		key := objectkey.New(class, "host-1", time.Now())
		before := time.Now()
		require.NoError(t, c.ConsumeLogs(t.Context(), logs(key, 0, 1, 1)))
		object := only(t, &sink, semantic.EventObject).Attributes().AsRaw()
		under := object[semantic.SegmentKey].(string)
		require.Equal(t, objectkey.WithClass(key, want.stored), under, "not lost, whatever its class")
		require.Equal(t, under, only(t, &sink, semantic.EventObjectEntry).Attributes().AsRaw()[semantic.SegmentKey])
		require.Equal(t, "default", object[semantic.ObjectEnvironment])
		expires, ok := object[semantic.ObjectExpires].(int64)
		require.Equal(t, want.expires, ok)
		if ok {
			require.WithinRange(t, time.Unix(0, expires), before.Add(time.Hour), time.Now().Add(time.Hour))
		}
		tags, err := rawClient(t, set).GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: &set.Bucket, Key: ptr(inDefault(under))})
		require.NoError(t, err)
		got := map[string]string{}
		for _, tag := range tags.TagSet {
			got[*tag.Key] = *tag.Value
		}
		require.Equal(t, map[string]string{"team": "a", "qpoint.retention_class": want.stored}, got)
	}
}

func only(t *testing.T, sink *consumertest.LogsSink, event string) (found plog.LogRecord) {
	t.Helper()
	n := 0
	for _, ld := range sink.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				if lr.EventName() == event {
					found = lr
					n++
				}
			}
		}
	}
	require.Equal(t, 1, n)
	return found
}

// TestLifecycleOfBucket: the rules of a bucket are held against the classes. The bucket is real; that it has a lifecycle
// is what the server in front of it says, in the documented form: no S3 server that runs here has one.
func TestLifecycleOfBucket(t *testing.T) {
	h, set := startBucket(t)
	start := func(t *testing.T, status int, body, lifecycle string) (plog.LogRecord, error) {
		proxy := httptest.NewServer(fault(t, set.Endpoint, func(w http.ResponseWriter, r *http.Request) bool {
			if !r.URL.Query().Has("lifecycle") {
				return false
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
			return true
		}))
		t.Cleanup(proxy.Close)
		var sink consumertest.LogsSink
		c, err := tryConnector(t, h, &sink, func(cfg *qpoints3exporter.Config) {
			onServer(cfg, set, proxy.URL)
			cfg.RetentionClasses = retention.Classes{"short": retention.Day}
			cfg.Lifecycle = lifecycle
		})
		if err != nil {
			return plog.LogRecord{}, err
		}
		require.NoError(t, c.ConsumeLogs(t.Context(), logs(objectkey.New("short", "host-1", time.Now()), 0, 1, 1)))
		return only(t, &sink, semantic.EventObject), nil
	}
	good := `<LifecycleConfiguration><Rule><ID>x</ID><Status>Enabled</Status><Filter><Prefix>default/short/</Prefix></Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>`
	none := `<Error><Code>NoSuchLifecycleConfiguration</Code></Error>`

	before := time.Now()
	object, err := start(t, 200, good, qpoints3exporter.LifecycleRequire)
	require.NoError(t, err)
	at, ok := object.Attributes().Get(semantic.ObjectExpires)
	require.True(t, ok)
	expires := time.Unix(0, at.Int()).UTC()
	require.Zero(t, expires.Sub(expires.Truncate(24*time.Hour)), "S3 removes at midnight UTC")
	require.WithinRange(t, expires, before.Add(24*time.Hour-time.Second), time.Now().Add(48*time.Hour))

	for _, tc := range []struct {
		status int
		body   string
		want   []string
	}{
		{404, none, []string{`objects below "default/short/" are never removed: no rule does it after 1 days`, `{"Rules":[{`, `"Prefix":"default/short/"`}},
		{403, `<Error><Code>AccessDenied</Code></Error>`, []string{"cannot be verified", "AccessDenied", "s3:GetLifecycleConfiguration"}},
		{501, `<Error><Code>NotImplemented</Code></Error>`, []string{"cannot be verified", "`lifecycle: off`"}},
	} {
		object, err = start(t, tc.status, tc.body, qpoints3exporter.LifecycleVerify)
		require.NoError(t, err, "payloads are kept in any case")
		_, ok = object.Attributes().Get(semantic.ObjectExpires)
		require.False(t, ok, "until when is not guessed")
		_, err = start(t, tc.status, tc.body, qpoints3exporter.LifecycleRequire)
		for _, want := range tc.want {
			require.ErrorContains(t, err, want)
		}
	}
}

// TestLifecycleOfLateBucket: a bucket that does not answer at start is held against the classes when it does.
func TestLifecycleOfLateBucket(t *testing.T) {
	h, set := startBucket(t)
	none := `<Error><Code>NoSuchLifecycleConfiguration</Code></Error>`
	good := `<LifecycleConfiguration><Rule><ID>x</ID><Status>Enabled</Status><Filter><Prefix>default/short/</Prefix></Filter><Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>`
	for _, mode := range []string{qpoints3exporter.LifecycleVerify, qpoints3exporter.LifecycleRequire, qpoints3exporter.LifecycleOff} {
		var up, right atomic.Bool
		var looked atomic.Int32
		proxy := httptest.NewServer(fault(t, set.Endpoint, func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case !up.Load():
				w.WriteHeader(http.StatusServiceUnavailable)
			case !r.URL.Query().Has("lifecycle"):
				return false
			case right.Load():
				looked.Add(1)
				_, _ = w.Write([]byte(good))
			default:
				looked.Add(1)
				w.WriteHeader(http.StatusNotFound)
				_, _ = w.Write([]byte(none))
			}
			return true
		}))
		t.Cleanup(proxy.Close)
		var sink consumertest.LogsSink
		c := startConnector(t, h, &sink, func(cfg *qpoints3exporter.Config) {
			onServer(cfg, set, proxy.URL)
			cfg.RetentionClasses = retention.Classes{"short": retention.Day}
			cfg.Lifecycle = mode
		})
		key := objectkey.New("short", "host-1", time.Now())
		err := c.ConsumeLogs(t.Context(), logs(key, 0, 1, 1))
		require.Error(t, err)
		require.False(t, consumererror.IsPermanent(err))

		up.Store(true)
		if mode == qpoints3exporter.LifecycleRequire {
			err = c.ConsumeLogs(t.Context(), logs(key, 0, 1, 1))
			require.ErrorContains(t, err, "the lifecycle is not as `retention_classes` says")
			require.False(t, consumererror.IsPermanent(err), "whoever applies the lifecycle loses nothing")
			require.NotContains(t, stored(t, set), inDefault(key))
			require.Empty(t, sink.AllLogs())
		}
		right.Store(true)
		before := looked.Load()
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				assert.NoError(t, c.ConsumeLogs(t.Context(), logs(objectkey.New("short", "host-1", time.Now()), 0, 1, 1)))
			})
		}
		wg.Wait()
		sink.Reset()
		require.NoError(t, c.ConsumeLogs(t.Context(), logs(key, 0, 1, 1)))
		require.Contains(t, stored(t, set), inDefault(key))
		_, ok := only(t, &sink, semantic.EventObject).Attributes().Get(semantic.ObjectExpires)
		require.Equal(t, mode != qpoints3exporter.LifecycleOff, ok, mode)
		require.EqualValues(t, map[bool]int{true: 1}[ok], looked.Load()-before, "once")
	}
}

// lateStorage is local_s3 before it answers: it is told another address, on which nobody listens yet.
type lateStorage struct {
	component.Component
	s3settings.Expirer
	set s3settings.Settings
}

func (s lateStorage) S3Settings() s3settings.Settings { return s.set }

// TestExpiryOfLateStorage: a storage that removes old objects itself is told to, whether it answers yet or not.
func TestExpiryOfLateStorage(t *testing.T) {
	h, set := startBucket(t)
	late := lateStorage{h.extensions[localS3], h.extensions[localS3].(s3settings.Expirer), set}
	address := testkit.Addr(t)
	late.set.Endpoint = "http://" + address
	h.extensions[localS3] = late
	var sink consumertest.LogsSink
	c := startConnector(t, h, &sink, func(cfg *qpoints3exporter.Config) {
		onLocalS3(cfg)
		cfg.RetentionClasses = retention.Classes{"short": time.Second}
	})
	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, h.statuses())
	forward(t, address, strings.TrimPrefix(set.Endpoint, "http://"))
	require.NoError(t, c.ConsumeLogs(t.Context(), logs(objectkey.New("short", "host-1", time.Now()), 0, 1, 1)))
	_, ok := only(t, &sink, semantic.EventObject).Attributes().Get(semantic.ObjectExpires)
	require.True(t, ok)
	require.Eventually(t, func() bool { return len(stored(t, set)) == 0 }, testkit.Patience, 100*time.Millisecond)
}

func TestDeclaredClasses(t *testing.T) {
	require.NoError(t, retention.Check("short"), "who stores them is elsewhere")
	h, _ := startBucket(t)
	startExporter(t, h, func(cfg *qpoints3exporter.Config) {
		onLocalS3(cfg)
		cfg.RetentionClasses = retention.Classes{"short": time.Hour}
	})
	require.NoError(t, retention.Check("short"))
	require.NoError(t, retention.Check("default"))
	require.NoError(t, retention.Check(""))
	require.EqualError(t, retention.Check("shrot"), "`retention_class: shrot` is not among `retention_classes` of qpoint_s3: declare it there, or name one of default, short")
}

func TestRetentionConfig(t *testing.T) {
	for want, change := range map[string]func(*qpoints3exporter.Config){
		"`retention_classes`: \"2y\" is not the name":  func(c *qpoints3exporter.Config) { c.RetentionClasses = retention.Classes{"2y": 0} },
		"`retention_classes::a` is 36h0m0s":            func(c *qpoints3exporter.Config) { c.RetentionClasses = retention.Classes{"a": 36 * time.Hour} },
		"`retention_classes::a` must be whole seconds": func(c *qpoints3exporter.Config) { c.RetentionClasses = retention.Classes{"a": -retention.Day} },
		"`lifecycle` is \"no\"":                        func(c *qpoints3exporter.Config) { c.Lifecycle = "no" },
		"`environment` must be":                        func(c *qpoints3exporter.Config) { c.Environment = "a/b" },
		"`tags` has \"qpoint.retention_class\"":        func(c *qpoints3exporter.Config) { c.Tags = map[string]string{retention.Tag: "x"} },
	} {
		cfg := qpoints3exporter.NewFactory().CreateDefaultConfig().(*qpoints3exporter.Config)
		cfg.Bucket = "payloads"
		change(cfg)
		err := cfg.Validate()
		require.Error(t, err)
		require.True(t, strings.Contains(err.Error(), want), err.Error())
	}
}

func onServer(cfg *qpoints3exporter.Config, set s3settings.Settings, endpoint string) {
	cfg.Endpoint, cfg.Bucket, cfg.AccessKey, cfg.SecretKey = endpoint, set.Bucket, set.AccessKey, set.SecretKey
}
