// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

var update = flag.Bool("update", false, "write the golden files")

// golden compares all that came out of a bench with testdata/<name>.json. Object keys are
// random and the times of observation are the test's own, so both are replaced.
func golden(t *testing.T, b *bench, name string) {
	t.Helper()
	const key = "KEY"
	for _, s := range b.spans() {
		if v, ok := s.Attributes().Get(semantic.PayloadObjects); ok {
			v.Slice().At(0).SetStr(key)
		}
	}
	logs := append([]plog.Logs{b.ld}, b.segs...)
	for _, ld := range logs {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				if _, ok := sl.Scope().Attributes().Get(semantic.SegmentKey); ok {
					sl.Scope().Attributes().PutStr(semantic.SegmentKey, key)
				}
				for _, lr := range sl.LogRecords().All() {
					lr.SetObservedTimestamp(0)
					if _, ok := lr.Attributes().Get(semantic.SegmentKey); ok {
						lr.Attributes().PutStr(semantic.SegmentKey, key)
					}
				}
			}
		}
	}
	// Segments of different services close in no certain order.
	sortResources(b.ld)
	all := plog.NewLogs()
	for _, seg := range b.segs {
		seg.ResourceLogs().MoveAndAppendTo(all.ResourceLogs())
	}
	sortResources(all)

	traces, err := (&ptrace.JSONMarshaler{}).MarshalTraces(b.td)
	require.NoError(t, err)
	out := []byte(`{"traces":` + string(traces))
	for _, part := range []struct {
		label string
		ld    plog.Logs
	}{{"logs", b.ld}, {"payloads", all}} {
		j, err := (&plog.JSONMarshaler{}).MarshalLogs(part.ld)
		require.NoError(t, err)
		out = append(out, []byte(`,"`+part.label+`":`+string(j))...)
	}
	var pretty bytes.Buffer
	require.NoError(t, json.Indent(&pretty, append(out, '}'), "", " "))
	pretty.WriteByte('\n')

	path := filepath.Join("testdata", name+".json")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(path, pretty.Bytes(), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run the test with -update once")
	require.Equal(t, string(want), pretty.String())
}

func sortResources(ld plog.Logs) {
	name := func(rl plog.ResourceLogs) string {
		v, _ := rl.Resource().Attributes().Get(semantic.ServiceName)
		return v.Str() + rl.ScopeLogs().At(0).LogRecords().At(0).EventName()
	}
	ld.ResourceLogs().Sort(func(a, b plog.ResourceLogs) bool { return name(a) < name(b) })
}
