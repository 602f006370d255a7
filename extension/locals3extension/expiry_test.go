// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestExpiry: what is older than its class is kept goes, by itself, and nothing else does.
func TestExpiry(t *testing.T) {
	cfg := testConfig(t)
	tel := componenttest.NewTelemetry()
	set := extensiontest.NewNopSettings(metadata.Type)
	set.TelemetrySettings = tel.NewTelemetrySettings()
	ext, err := NewFactory().Create(t.Context(), set, cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	defer func() { require.NoError(t, ext.Shutdown(t.Context())) }()
	c := client(t, ext.(s3settings.Storage).S3Settings())
	var keys []string
	age := func(name string, by time.Duration) {
		path := filepath.Join(cfg.DataDir, cfg.Bucket, name)
		at := time.Now().Add(-by)
		require.NoError(t, os.Chtimes(path, at, at))
	}
	now := time.Now()
	for i, o := range []struct {
		class string
		age   time.Duration
	}{{"short", 3 * time.Hour}, {"short", 2 * time.Hour}, {"short", time.Minute}, {"short", 0}, {"long", 3 * time.Hour}, {"ever", 3 * time.Hour}} {
		key := objectkey.InBucket("p/", "prod", objectkey.New(o.class, "h", now.Add(-o.age)))
		require.NoError(t, c.Put(t.Context(), objectstore.Put{Key: key, Body: fmt.Appendf(nil, "payload %d", i), Digest: "d"}))
		age(key, o.age)
		keys = append(keys, key)
	}
	// Stored late: it counts from then, as in S3.
	late := objectkey.InBucket("p/", "prod", objectkey.New("short", "h", now.Add(-5*time.Hour)))
	require.NoError(t, c.Put(t.Context(), objectstore.Put{Key: late, Body: []byte("x"), Digest: "d"}))

	left := func() (left []string) {
		require.NoError(t, c.List(t.Context(), "", func(o objectstore.Listed) bool { left = append(left, o.Key); return true }))
		return left
	}
	require.Len(t, left(), 7, "nothing goes without rules")
	withdraw := ext.(s3settings.Expirer).Expire([]s3settings.Expiry{{Prefix: "p/prod/short/", After: time.Hour}, {Prefix: "p/prod/long/", After: 24 * time.Hour}})
	defer withdraw()
	require.Eventually(t, func() bool { return len(left()) == 5 }, testkit.Patience, 10*time.Millisecond)
	require.ElementsMatch(t, append(keys[2:], late), left())
	require.NoFileExists(t, filepath.Join(cfg.DataDir, cfg.Bucket, keys[0]))
	require.Eventually(t, func() bool {
		m, err := tel.GetMetric("otelcol_extension_local_s3_expired_objects")
		return err == nil && m.Data.(metricdata.Sum[int64]).DataPoints[0].Value == 2
	}, testkit.Patience, 10*time.Millisecond)
	m, err := tel.GetMetric("otelcol_extension_local_s3_expired_bytes")
	require.NoError(t, err)
	require.EqualValues(t, len("payload 0")*2, m.Data.(metricdata.Sum[int64]).DataPoints[0].Value)
}
