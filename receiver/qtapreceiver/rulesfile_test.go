// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
)

// replace writes a file the way an editor or a ConfigMap does: another file in its place.
func replace(t *testing.T, path, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
	require.NoError(t, os.Rename(path+".new", path))
}

func TestRulesFile(t *testing.T) {
	ctx, src := context.Background(), newScripted()
	file := filepath.Join(t.TempDir(), "rules.yaml")
	cfg := createDefaultConfig()
	cfg.RulesFile = file
	var traces consumertest.TracesSink
	r, err := newFactory(src.open).CreateTraces(ctx, settings(metadata.Type, "rules"), cfg, &traces)
	require.NoError(t, err)
	require.ErrorContains(t, r.Start(ctx, componenttest.NewNopHost()), "`rules_file`", "there must be one at start")
	replace(t, file, "rules: [{match: nonsense}]")
	require.ErrorContains(t, r.Start(ctx, componenttest.NewNopHost()), "rule 1 of `rules`: `match`")

	replace(t, file, "rules: [{match: 'server.port == 80', level: none}]")
	h := guardedHost()
	require.NoError(t, r.Start(ctx, h))
	src.play <- exchange
	src.play <- exchange
	require.Zero(t, traces.SpanCount())

	events := func() []*componentstatus.Event {
		h.mu.Lock()
		defer h.mu.Unlock()
		return slices.Clone(h.events)
	}
	replace(t, file, "rules: [{match: 'server.port ==', level: full}]")
	require.Eventually(t, func() bool { return len(events()) == 1 }, testkit.Patience, 10*time.Millisecond)
	bad := events()[0]
	require.Equal(t, componentstatus.StatusRecoverableError, bad.Status())
	require.ErrorContains(t, bad.Err(), file)
	require.ErrorContains(t, bad.Err(), "what was read before stays")
	src.play <- exchange
	require.NoError(t, os.Remove(file))
	require.Eventually(t, func() bool { return len(events()) == 2 }, testkit.Patience, 10*time.Millisecond, "a file that is gone")
	src.play <- exchange
	require.Zero(t, traces.SpanCount(), "the rules of before stay")

	replace(t, file, "rules: [{match: 'server.port == 443', level: none}]")
	require.Eventually(t, func() bool { return len(events()) == 3 }, testkit.Patience, 10*time.Millisecond)
	require.Equal(t, componentstatus.StatusOK, events()[2].Status())
	src.play <- exchange
	require.Eventually(t, func() bool { return traces.SpanCount() == 1 }, testkit.Patience, 5*time.Millisecond)
	require.NoError(t, r.Shutdown(ctx))
}
