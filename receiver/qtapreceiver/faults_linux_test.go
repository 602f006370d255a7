// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
				dropped := map[string]uint64{}
				for _, s := range l.slot.tap.books() {
					for reason, n := range s.Dropped {
						if n > 0 {
							dropped[s.Name+"/"+reason] = n
						}
					}
				}
				t.Logf("line: %d lost, %d doubled, %d reordered, %d broken; ends: %+v; dropped %v", line.lost, line.duplicated, line.reordered, line.broken, sum, dropped)
				require.Equal(t, tally{whole: 2 * n}, sum)
				require.Zero(t, l.slot.tap.engine.Stats().Missing, "bytes by the kernel's count that were not seen")
			})
		}
	}
}
