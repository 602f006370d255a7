// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// failing is the kernel as a source, whose reader does something bad with the packet that has a marker.
type failing struct {
	event.Source
	bad func(*event.Packet)
}

type failingHandler struct {
	event.Handler
	bad func(*event.Packet)
}

const badRequest = "GET /fail"

func (s failing) Run(ctx context.Context, h event.Handler) error {
	return s.Source.Run(ctx, &failingHandler{h, s.bad})
}

func (s failing) Detach() error { return s.Source.(detacher).Detach() }

func (h *failingHandler) Packet(p *event.Packet) {
	if strings.HasPrefix(string(p.Data), badRequest) {
		h.bad(p)
	}
	h.Handler.Packet(p)
}

// hooks counts this process's attached BPF programs: each has a link, and none of the links is pinned.
func hooks(t *testing.T) (n int) {
	t.Helper()
	infos, err := filepath.Glob("/proc/self/fdinfo/*")
	require.NoError(t, err)
	for _, path := range infos {
		text, err := os.ReadFile(path)
		if err == nil && strings.Contains(string(text), "link_type:") && !strings.Contains(string(text), "iter") {
			n++
		}
	}
	return n
}

// TestFailsafe has the reader of the real kernel's events panic, and stall: no program stays attached, the watched
// programs go on, and the status says so.
func TestFailsafe(t *testing.T) {
	release := make(chan struct{})
	for name, c := range map[string]struct {
		bad  func(*event.Packet)
		says string
	}{
		"panic": {func(p *event.Packet) { _ = p.Data[cap(p.Data)] }, "panic: runtime error: index out of range"},
		"stall": {func(*event.Packet) { <-release }, "the engine has done nothing for"},
	} {
		t.Run(name, func(t *testing.T) {
			l, h := newLab(t, "failsafe-"+name), &host{}
			l.host = h
			if name == "stall" { // a panic must not be taken for one
				l.tune = func(tap *tap) { tap.lookEvery = 100 * time.Millisecond }
			}
			l.open = func(cfg *Config, logger *zap.Logger) (event.Source, []zap.Field, error) {
				src, fields, err := openKernel(cfg, logger)
				if err != nil {
					return nil, nil, err
				}
				return failing{src, c.bad}, fields, nil
			}
			dir, port := t.TempDir(), freePort(t)
			body := randomFile(t, filepath.Join(dir, "file"), 10_000)
			before := hooks(t)
			l.start(nil)
			require.Greater(t, hooks(t), before)
			l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%d;", port))
			url := fmt.Sprintf("http://127.0.0.1:%d/", port)
			require.Equal(t, body, l.run("curl", "-s", url+"file"))
			l.run("curl", "-s", "-o", "/dev/null", url+"fail?s3cret", url+"file")
			text := h.permanent(t)
			require.Contains(t, text, c.says)
			require.NotContains(t, text, "s3cret")
			require.Equal(t, before, hooks(t), "no program stays attached")
			require.Equal(t, body, l.run("curl", "-s", url+"file"), "the watched programs go on")

			run := l.slot.tap.capture
			for i := len(l.parts) - 1; i >= 0; i-- {
				require.NoError(t, l.parts[i].Shutdown(context.Background()))
			}
			l.parts = nil // its books are not of a whole
			if name == "stall" {
				close(release)
			}
			<-run.ran
		})
	}
}
