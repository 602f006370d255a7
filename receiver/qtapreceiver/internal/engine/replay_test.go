// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event/replay"
)

// clock follows the recording's time, so that the bench closes at its end and not in the past.
type clock struct {
	event.Handler
	b *bench
}

func (c clock) Idle(now int64) {
	c.b.now = now
	c.Handler.Idle(now)
}

// TestReplay plays what the kernel reported of real programs (curl with python and nginx; see
// TestRecord of the receiver) and compares everything that comes out, without root.
func TestReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/replay/*.jsonl")
	require.NoError(t, err)
	require.Len(t, files, 4)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		t.Run(name, func(t *testing.T) {
			f, err := os.Open(file)
			require.NoError(t, err)
			src := replay.NewSource(f)
			defer src.Close()
			b := newBench(t, withPayloads(1<<16))
			require.NoError(t, src.Run(context.Background(), clock{b.e, b}))
			b.idle(2 * time.Second)
			b.close()

			spans := b.spans()
			require.Len(t, spans, 6, "three requests, two ends")
			methods := map[string]int{}
			traces := map[string][]ptrace.Span{}
			for _, s := range spans {
				methods[s.Name()]++
				traces[s.TraceID().String()] = append(traces[s.TraceID().String()], s)
				require.Equal(t, "pending", str(t, s.Attributes(), semantic.PayloadState))
				version := map[string]string{"plain": "1.1", "h2": "2"}[name]
				if version != "" {
					require.Contains(t, []string{version, "1.0"}, str(t, s.Attributes(), semantic.NetworkProtocolVersion))
				}
				if name != "plain" {
					require.Equal(t, strings.Replace(name, "h2", "1.3", 1), str(t, s.Attributes(), semantic.TLSProtocolVersion))
				}
			}
			require.Equal(t, map[string]int{"GET": 4, "POST": 2}, methods)
			require.Len(t, traces, 3)
			golden(t, b, "replay_"+name)
		})
	}
}
