// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/kernel"
)

// TestDoctorSays goes through what a host can lack. The real one is driven in tests/e2e.
func TestDoctorSays(t *testing.T) {
	right := kernel.Feature{Name: "CAP_BPF", State: kernel.Supported, Required: true}
	noRight := kernel.Feature{Name: "CAP_BPF", State: kernel.Missing, Required: true, Reason: "grant it"}
	old := kernel.Feature{Name: "uprobe_multi", State: kernel.Missing, Reason: "since Linux 6.6"}
	hidden := kernel.Feature{Name: "ring buffer", State: kernel.Unknown, Required: true}
	for name, c := range map[string]struct {
		features kernel.Features
		open     error
		wrong    string
		says     []string
	}{
		"all":           {kernel.Features{right, old}, nil, "", []string{"ok       CAP_BPF", "without  uprobe_multi: since Linux 6.6", "every program was loaded", "none", "can work here"}},
		"no right":      {kernel.Features{noRight, hidden}, nil, "what is missing: CAP_BPF", []string{"MISSING  CAP_BPF: grant it", "unknown  ring buffer", "cannot work here"}},
		"cannot attach": {kernel.Features{right}, errors.New("no such cgroup"), "attaching to the kernel", []string{"MISSING  no such cgroup", "cannot work here"}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			src := newScripted()
			d := &doctor{w: &out, cfg: createDefaultConfig(), probe: func() kernel.Features { return c.features },
				open: func(*Config, *zap.Logger) (event.Source, []zap.Field, error) { return src, nil, c.open }}
			err := d.examine(50 * time.Millisecond)
			if c.wrong == "" {
				require.NoError(t, err)
				require.Equal(t, 1, src.closed)
			} else {
				require.ErrorContains(t, err, c.wrong)
			}
			for _, line := range c.says {
				require.Contains(t, out.String(), line)
			}
		})
	}
}

// TestEndProcessStops: asking ends with the shutdown that it asked for.
func TestEndProcessStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	endProcess(ctx)
}
