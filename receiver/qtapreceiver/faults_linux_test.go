// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// TestFaults sends real exchanges over a bad line between two network namespaces. TCP repairs it
// all, so every exchange must be seen, whole, at both ends.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name string
		faults
	}{
		{"loss", faults{loss: .03}},
		{"reorder", faults{reorder: .1}},
		{"duplicate", faults{duplicate: .1}},
		{"corrupt", faults{corrupt: .03}},
		{"all", faults{loss: .01, duplicate: .02, reorder: .05, corrupt: .01, delay: time.Millisecond}},
	} {
		for _, p := range []struct {
			name       string
			h2, secure bool
		}{{"http1", false, false}, {"https", false, true}, {"h2", true, true}} {
			if *exchanges <= 1000 && c.name != "all" && c.name+p.name != "corrupthttp1" {
				continue // the short form
			}
			t.Run(c.name+"-"+p.name, func(t *testing.T) {
				l := newLab(t, "faults-"+c.name+p.name)
				near, far := newNamespace(t, "near"), newNamespace(t, "far")
				line := connect(t, near.tun("10.99.0.1/24"), far.tun("10.99.0.2/24"), c.faults)
				l.start(nil)
				dir := t.TempDir()
				selfSigned(t, dir)
				exe, scheme, h2 := goPeer(t), "http", fmt.Sprintf("-h2=%t", p.h2)
				serve := []string{h2, "-listen", "10.99.0.2:8443"}
				if p.secure {
					scheme, serve = "https", append(serve, "-cert", dir+"/cert.pem", "-key", dir+"/key.pem")
				}
				server := far.within(l, exe, serve...)
				client := near.within(l, exe, h2, "-conns", "20", "-requests", "20", scheme+"://10.99.0.2:8443")
				n, servers, pids := runPeers(l, 8443, server, client, 400)
				l.settled(2 * n)
				l.stop()
				sum := judge(t, l.witnesses(), n, servers, pids)
				t.Logf("line: %d lost, %d doubled, %d reordered, %d broken", line.lost, line.duplicated, line.reordered, line.broken)
				l.account(n, sum)
			})
		}
	}
}

// sluggish is a source whose reader falls asleep now and then, so that the ring overflows.
type sluggish struct{ event.Source }

type sluggishHandler struct {
	event.Handler
	packets int
}

func (s sluggish) Run(ctx context.Context, h event.Handler) error {
	return s.Source.Run(ctx, &sluggishHandler{Handler: h})
}

func (h *sluggishHandler) Packet(p *event.Packet) {
	if h.packets++; h.packets%500 == 0 {
		time.Sleep(100 * time.Millisecond)
	}
	h.Handler.Packet(p)
}

// TestOverflow makes the ring overflow under real exchanges. What is reported is right all the same;
// what is missing is counted, to the byte, for the connection that it is missing from.
func TestOverflow(t *testing.T) {
	const conns, each = 50, 40
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			l := newLab(t, "overflow-"+scheme)
			l.lossy = true
			open := l.open
			l.open = func(cfg *Config, logger *zap.Logger) (event.Source, []zap.Field, error) {
				src, fields, err := open(cfg, logger)
				return sluggish{src}, fields, err
			}
			l.start(func(c *Config, _ *PayloadConfig) { c.RingSizeMiB = 1 })
			dir := t.TempDir()
			selfSigned(t, dir)
			n, servers, client := runGo(false, conns, 1)(l, dir, scheme == "https", conns*each)
			l.settled(2 * n)
			l.stop()

			st := l.slot.tap.engine.Stats()
			require.Positive(t, st.Lost["packet"], "the ring overflowed")
			require.Len(t, st.Lost, 1, "there is room for what is not a packet: %v", st.Lost)
			all := l.witnesses()
			sum := judge(t, all, n, servers, client)
			require.Positive(t, sum.whole)
			require.Positive(t, sum.incomplete+sum.absent)

			// The kernel's own count of each connection against what was read of it.
			var carried, missing int64
			holes := map[string]bool{}
			for _, m := range l.records(semantic.EventConnection, func(m pcommon.Map) bool { return text(m, semantic.ConnectionState) == "closed" }) {
				number := func(key string) int64 { v, _ := m.Get(key); return v.Int() }
				carried += number(semantic.ConnectionSentBytes) + number(semantic.ConnectionReceivedBytes)
				missing += number(semantic.ConnectionMissingBytes)
				if holes[text(m, semantic.ConnectionID)] = number(semantic.ConnectionMissingBytes) > 0; !holes[text(m, semantic.ConnectionID)] {
					require.EqualValues(t, each, number(semantic.ConnectionRequests), "nothing is missing of this connection")
				}
			}
			for _, s := range l.slot.tap.books() {
				if s.Name == "stream" {
					// Both ends see the alert that ends TLS go (24 bytes), whether it is acknowledged or not.
					slack := map[string]int64{"https": 2 * conns * 24}[scheme]
					read := int64(s.Out)
					require.GreaterOrEqual(t, read+missing, carried, "carried = read + missing")
					require.LessOrEqual(t, read+missing, carried+slack, "carried = read + missing")
				}
			}
			require.EqualValues(t, missing, st.Missing, "the connections' records have it all")
			for _, w := range all {
				require.True(t, w.incomplete == "" && !w.truncated || holes[w.connection], "%s %s is said to be incomplete without a hole", w.kind, w.path)
			}
			t.Logf("%d exchanges, two ends each: %+v; the ring lost %d packets; of %d bytes %d are missing, in %d gaps", n, sum, st.Lost["packet"], carried, missing, st.Gaps)
		})
	}
}
