// SPDX-License-Identifier: Apache-2.0

package filestorageextension

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// disk is a real file whose disk is full when it is told.
type disk struct {
	storage.Client
	full bool
}

func (d *disk) Batch(ctx context.Context, ops ...*storage.Operation) error {
	for _, op := range ops {
		if d.full && op.Type != storage.Get {
			return unix.ENOSPC
		}
	}
	return d.Client.Batch(ctx, ops...)
}

var exporter = component.MustNewID("otlp")

// start returns a started extension whose files are in a folder.
func start(t *testing.T, folder string) storage.Extension {
	t.Helper()
	f := NewFactory()
	cfg := f.CreateDefaultConfig()
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"directory": folder}).Unmarshal(cfg))
	e, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e.(storage.Extension)
}

// open opens the file of a queue through the client, on a disk of its own.
func open(t *testing.T, folder string) (*client, *disk) {
	t.Helper()
	c, err := start(t, folder).GetClient(t.Context(), component.KindExporter, exporter, "")
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(folder, "exporter_otlp_"), "the file that contrib's extension writes")
	d := &disk{Client: c.(*client).Client}
	return newClient(d, zap.NewNop()), d
}

func get(t *testing.T, c storage.Client, key string) string {
	t.Helper()
	v, err := c.Get(t.Context(), key)
	require.NoError(t, err)
	return string(v)
}

// What exporterhelper's queue does.
func put(c storage.Client, meta, key, item string) error {
	return c.Batch(context.Background(), storage.SetOperation("meta", []byte(meta)), storage.SetOperation(key, []byte(item)))
}

func take(c storage.Client, meta, key string) (string, error) {
	op := storage.GetOperation(key)
	err := c.Batch(context.Background(), storage.SetOperation("meta", []byte(meta)), op)
	return string(op.Value), err
}

func finish(c storage.Client, meta, key string) error {
	return c.Batch(context.Background(), storage.SetOperation("meta", []byte(meta)), storage.DeleteOperation(key))
}

// TestTakenOutOfAFullDisk: what was taken is read and sent while the disk is full, and what is new is refused.
func TestTakenOutOfAFullDisk(t *testing.T) {
	folder := t.TempDir()
	c, d := open(t, folder)
	require.NoError(t, put(c, "w1", "0", "first"))
	require.NoError(t, put(c, "w2", "1", "second"))
	d.full = true
	require.ErrorIs(t, put(c, "w3", "2", "third"), unix.ENOSPC)
	item, err := take(c, "w2 r1", "0")
	require.NoError(t, err)
	require.Equal(t, "first", item)
	require.NoError(t, finish(c, "w2 r1 done", "0"))
	require.Empty(t, get(t, c, "0"), "as if it were written")
	require.Equal(t, "w2 r1 done", get(t, c, "meta"))
	require.ErrorIs(t, put(c, "w3", "2", "third"), unix.ENOSPC)

	// Should it end now, the file says what it said before.
	require.Equal(t, "first", get(t, d, "0"))
	require.Equal(t, "w2", get(t, d, "meta"))

	item, err = take(c, "w2 r2", "1")
	require.NoError(t, err)
	require.Equal(t, "second", item)
	d.full = false
	require.NoError(t, finish(c, "w2 r2 done", "1"))
	require.Empty(t, c.late)
	for _, key := range []string{"0", "1", "2"} {
		require.Empty(t, get(t, d, key))
	}
	require.Equal(t, "w2 r2 done", get(t, d, "meta"))
	require.NoError(t, c.Close(t.Context()))
}

// TestStartedOnAFullDisk: a queue that starts reads what was under way, deletes it, and takes it anew under other keys. That cannot be refused.
func TestStartedOnAFullDisk(t *testing.T) {
	folder := t.TempDir()
	c, _ := open(t, folder)
	require.NoError(t, put(c, "w1", "0", "first"))
	require.NoError(t, put(c, "w2", "1", "second"))
	require.NoError(t, c.Close(t.Context()))

	restart := func(c *client) {
		t.Helper()
		require.Equal(t, "w2", get(t, c, "meta"))
		a, b := storage.GetOperation("0"), storage.GetOperation("1")
		require.NoError(t, c.Batch(t.Context(), a, b))
		require.Equal(t, "first second", string(a.Value)+" "+string(b.Value))
		require.NoError(t, c.Batch(t.Context(), storage.DeleteOperation("0"), storage.DeleteOperation("1")))
		require.NoError(t, put(c, "w3", "2", "first"))
		require.NoError(t, put(c, "w4", "3", "second"))
	}
	c, d := open(t, folder)
	d.full = true
	restart(c)
	require.Error(t, put(c, "w5", "4", "new"), "what nobody has acknowledged")
	require.NoError(t, c.Close(t.Context())) // and again, still full

	c, d = open(t, folder)
	d.full = true
	restart(c)
	d.full = false
	item, err := take(c, "w4 r3", "2")
	require.NoError(t, err)
	require.Equal(t, "first", item)
	require.Equal(t, "second", get(t, d, "3"))
	require.Empty(t, get(t, d, "0"))
	require.NoError(t, c.Close(t.Context()))
}

// TestWalk writes what waits before.
func TestWalk(t *testing.T) {
	c, d := open(t, t.TempDir())
	require.NoError(t, put(c, "w1", "0", "first"))
	d.full = true
	require.NoError(t, finish(c, "done", "0"))
	d.full = false
	seen := map[string]string{}
	c.Client = d.Client
	require.NoError(t, c.Walk(t.Context(), func(key string, value []byte) ([]*storage.Operation, error) {
		seen[key] = string(value)
		return nil, nil
	}))
	require.Equal(t, map[string]string{"meta": "done"}, seen)
	require.NoError(t, c.Close(t.Context()))
}
