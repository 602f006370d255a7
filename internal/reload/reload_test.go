// SPDX-License-Identifier: Apache-2.0

package reload

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestLoad(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	var used string
	f := &File{Key: "a_file", Path: path, Logger: zap.NewNop(), Use: func(text []byte) error {
		if string(text) == "wrong" {
			return errors.New("it is wrong")
		}
		used = string(text)
		return nil
	}}
	require.ErrorContains(t, f.Load(), "`a_file`")
	require.NoError(t, os.WriteFile(path, []byte("wrong"), 0o600))
	require.EqualError(t, f.Load(), "`a_file` "+path+": it is wrong")
	require.NoError(t, os.WriteFile(path, []byte(strings.Repeat("x", maxSize+1)), 0o600))
	require.ErrorContains(t, f.Load(), "is larger than")
	require.NoError(t, os.WriteFile(path, []byte("right"), 0o600))
	require.NoError(t, f.Load())
	require.Equal(t, "right", used)
	f.Check = func(os.FileInfo) error { return errors.New("not so") }
	require.ErrorContains(t, f.Load(), "not so")
}

func TestWatch(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("one"), 0o600))
	used := make(chan string, 10)
	f := &File{Key: "a_file", Path: path, Logger: zap.NewNop(), Use: func(text []byte) error { used <- string(text); return nil }}
	require.NoError(t, f.Load())
	require.Equal(t, "one", <-used)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); f.Watch(ctx, componenttest.NewNopHost()) }()
	require.NoError(t, os.WriteFile(path+".new", []byte("two"), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
	select {
	case text := <-used:
		require.Equal(t, "two", text)
	case <-time.After(testkit.Patience):
		t.Fatal("the change was not seen")
	}
	cancel()
	<-done
	require.Empty(t, used, "a file that did not change is not used again")
}
