// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"
)

// natRules rewrite both ends' addresses: the client asks the router, and the server sees the router ask.
const natRules = `table ip nat {
	chain before { type nat hook prerouting priority dstnat; ip daddr 10.98.1.1 tcp dport 80 dnat to 10.98.2.2:8080; }
	chain after { type nat hook postrouting priority srcnat; ip daddr 10.98.2.2 masquerade random; }
}
`

// TestTraceJoin has one receiver at either end of connections through a NAT that changes addresses
// and ports. Without a header, every pair of spans must be one trace, and no other two.
func TestTraceJoin(t *testing.T) {
	client, server := newLab(t, "join-client"), newLab(t, "join-server")
	router, near, far := newNode(t)
	router.nft(natRules)

	client.start(func(c *Config, _ *PayloadConfig) { c.Directions = []string{DirectionEgress} })
	server.start(func(c *Config, _ *PayloadConfig) { c.Directions = []string{DirectionIngress} })
	exe, n := goPeer(t), min(*exchanges, 10000)
	server.background(far.within(server, exe, "-listen", "10.98.2.2:8080"), 8080)
	var stderr bytes.Buffer
	ask := near.within(client, exe, "-conns", strconv.Itoa(n), "-at-once", "50", "-nat", "http://10.98.1.1:80")
	ask.Stderr = &stderr
	require.NoError(t, ask.Run(), stderr.String())
	client.settled(n)
	server.settled(n)
	client.stop()
	server.stop()

	// Each payload says which exchange it belongs to; the two ends do not know each other's port.
	byTrace := map[pcommon.TraceID]*witness{}
	for _, w := range client.witnesses() {
		require.Equal(t, ptrace.SpanKindClient, w.kind)
		if byTrace[w.trace] != nil {
			t.Errorf("%s and %s are one trace", w.path, byTrace[w.trace].path)
		}
		byTrace[w.trace] = w
	}
	joined, wrong, rewritten, served := 0, 0, 0, server.witnesses()
	for _, s := range served {
		c := byTrace[s.trace]
		if c == nil {
			continue
		}
		delete(byTrace, s.trace) // a second that claims it is wrong
		a, okA := readTruth(c.request)
		b, okB := readTruth(s.request)
		if okA && okB && a == b && c.path == s.path && s.parent == c.span {
			joined++
			if s.port != c.port {
				rewritten++
			}
		} else {
			wrong++
			t.Errorf("%s (port %d) and %s (port %d) are one trace", c.path, c.port, s.path, s.port)
		}
	}
	t.Logf("%d connections: %d joined, %d falsely, %d server spans without a client's", n, joined, wrong, len(served)-joined-wrong)
	require.Zero(t, wrong)
	require.Greater(t, rewritten*100, joined*99, "ports are the same by chance only")
	require.GreaterOrEqual(t, joined*1000, n*999)
}
