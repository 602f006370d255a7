// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/connector"
	"go.opentelemetry.io/collector/connector/connectortest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/exporter/exporterhelper"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"
	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter/qpoints3connector"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

func startConnector(t *testing.T, h component.Host, next consumer.Logs, change func(*qpoints3exporter.Config)) connector.Logs {
	t.Helper()
	c, err := tryConnector(t, h, next, change)
	require.NoError(t, err)
	return c
}

// tryConnector returns the error of Start. set is what it runs with, or nothing.
func tryConnector(t *testing.T, h component.Host, next consumer.Logs, change func(*qpoints3exporter.Config), set ...connector.Settings) (connector.Logs, error) {
	t.Helper()
	f := qpoints3connector.NewFactory()
	cfg := f.CreateDefaultConfig().(*qpoints3exporter.Config)
	cfg.Queue = configoptional.None[exporterhelper.QueueBatchConfig]()
	cfg.Retry.Enabled = false
	change(cfg)
	c, err := f.CreateLogsToLogs(t.Context(), append(set, connectortest.NewNopSettings(f.Type()))[0], cfg, next)
	require.NoError(t, err)
	if err := c.Start(t.Context(), h); err != nil {
		return nil, err
	}
	t.Cleanup(func() { require.NoError(t, c.Shutdown(context.Background())) })
	return c, nil
}

// TestReceipts: the receipt says what is in the bucket, and each entry's range is that exchange and nothing else.
func TestReceipts(t *testing.T) {
	h, set := startBucket(t)
	var sink consumertest.LogsSink
	c := startConnector(t, h, &sink, func(cfg *qpoints3exporter.Config) {
		onLocalS3(cfg)
		cfg.Prefix, cfg.Environment = "team-a/", "prod"
	})
	whole, cut := newKey(), newKey()
	ld := logs(whole, 2, 4, 4)
	payloads(ld, whole, 0, 2, 4)
	payloads(ld, cut, 0, 2, 5)
	require.NoError(t, c.ConsumeLogs(t.Context(), ld))

	objects := stored(t, set)
	require.Len(t, objects, 2)
	require.Len(t, sink.AllLogs(), 2)
	for i, key := range []string{whole, cut} {
		receipt := sink.AllLogs()[i]
		var object plog.LogRecord
		var entries []plog.LogRecord
		for _, rl := range receipt.ResourceLogs().All() {
			require.Equal(t, map[string]any{semantic.ServiceName: "curl"}, rl.Resource().Attributes().AsRaw())
			for _, lr := range rl.ScopeLogs().At(0).LogRecords().All() {
				switch lr.EventName() {
				case semantic.EventObject:
					object = lr
				case semantic.EventObjectEntry:
					entries = append(entries, lr)
				default:
					t.Fatalf("event %q", lr.EventName())
				}
			}
		}
		at := object.Attributes().AsRaw()
		stored := at[semantic.SegmentKey].(string)
		require.NoError(t, objectkey.Validate(stored))
		require.Equal(t, key == whole, stored == key, "a part of a segment has a key of its own")
		bytes := objects["team-a/prod/"+stored]
		require.NotEmpty(t, bytes)
		sum := sha256.Sum256(bytes)
		require.Equal(t, hex.EncodeToString(sum[:]), at[semantic.ObjectSHA256])
		require.EqualValues(t, len(bytes), at[semantic.ObjectSize])
		require.Equal(t, "stored", at[semantic.SegmentState])
		require.EqualValues(t, len(entries), at[semantic.SegmentEntries])
		require.Len(t, entries, map[bool]int{true: 4, false: 2}[key == whole])
		for n, lr := range entries {
			require.Equal(t, fmt.Sprintf("%016x", n+1), lr.SpanID().String())
			require.Equal(t, "00000000000000000000000000000001", lr.TraceID().String())
			at := lr.Attributes().AsRaw()
			from, length := at[semantic.ObjectEntryOffset].(int64), at[semantic.ObjectEntryLength].(int64)
			res, err := rawClient(t, set).GetObject(t.Context(), &s3.GetObjectInput{
				Bucket: &set.Bucket, Key: ptr("team-a/prod/" + at[semantic.SegmentKey].(string)), Range: ptr(fmt.Sprintf("bytes=%d-%d", from, from+length-1)),
			})
			require.NoError(t, err)
			part, err := io.ReadAll(res.Body)
			require.NoError(t, err)
			require.NoError(t, res.Body.Close())
			x := inflate(t, part)
			require.Equal(t, lr.SpanID().String(), x.SpanID)
			require.Equal(t, fmt.Sprintf("/%d?token=canary", n), x.Request.Target)
		}
		require.NotContains(t, fmt.Sprint(receiptText(t, receipt)), "canary", "a receipt has no payload")
	}
}

// inflate reads an entry from its own bytes alone: local header (APPNOTE 4.3.7), then the deflated file.
func inflate(t *testing.T, part []byte) archive.Exchange {
	t.Helper()
	require.Equal(t, "PK\x03\x04", string(part[:4]))
	size := int(binary.LittleEndian.Uint32(part[18:]))
	header := 30 + int(binary.LittleEndian.Uint16(part[26:])) + int(binary.LittleEndian.Uint16(part[28:]))
	require.Len(t, part, header+size, "the entry and not a byte of its neighbour")
	har, err := io.ReadAll(flate.NewReader(bytes.NewReader(part[header:])))
	require.NoError(t, err)
	x, err := archive.ReadHAR(har)
	require.NoError(t, err)
	return x
}

func receiptText(t *testing.T, ld plog.Logs) string {
	t.Helper()
	text, err := (&plog.JSONMarshaler{}).MarshalLogs(ld)
	require.NoError(t, err)
	return string(text)
}

// TestReceiptRefused: a receipt that is refused is tried again with the segment, which is found in the bucket.
func TestReceiptRefused(t *testing.T) {
	h, set := startBucket(t)
	var sink consumertest.LogsSink
	fails := 1
	next, err := consumer.NewLogs(func(ctx context.Context, ld plog.Logs) error {
		if fails > 0 {
			fails--
			return errors.New("queue is full")
		}
		return sink.ConsumeLogs(ctx, ld)
	})
	require.NoError(t, err)
	tel := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, tel.Shutdown(context.Background())) })
	settings := connectortest.NewNopSettings(metadata.Type)
	settings.TelemetrySettings = tel.NewTelemetrySettings()
	c, err := tryConnector(t, h, next, onLocalS3, settings)
	require.NoError(t, err)
	ld := logs(newKey(), 0, 2, 2)
	err = c.ConsumeLogs(t.Context(), ld)
	require.ErrorContains(t, err, "queue is full")
	require.False(t, consumererror.IsPermanent(err))
	require.Len(t, stored(t, set), 1)
	require.NoError(t, c.ConsumeLogs(t.Context(), ld))
	require.Len(t, stored(t, set), 1)
	require.Equal(t, 3, sink.LogRecordCount())
	counted := instance{tel: tel}
	require.EqualValues(t, 2, counted.count(t, "entries"), "each exchange once")
	require.EqualValues(t, 1, counted.count(t, "objects"))
	require.EqualValues(t, 1, counted.count(t, "duplicates"))
}

func TestConnectorLifecycle(t *testing.T) {
	h, _ := startBucket(t)
	f := qpoints3connector.NewFactory()
	cfg := f.CreateDefaultConfig().(*qpoints3exporter.Config)
	onLocalS3(cfg)
	c, err := f.CreateLogsToLogs(t.Context(), connectortest.NewNopSettings(f.Type()), cfg, consumertest.NewNop())
	require.NoError(t, err)
	require.NoError(t, c.Shutdown(t.Context()), "shutdown without start")
	for range 2 {
		c, err = f.CreateLogsToLogs(t.Context(), connectortest.NewNopSettings(f.Type()), cfg, consumertest.NewNop())
		require.NoError(t, err)
		require.NoError(t, c.Start(t.Context(), h))
		require.NoError(t, c.Shutdown(t.Context()))
	}
	require.NoError(t, componenttest.CheckConfigStruct(cfg))
}
