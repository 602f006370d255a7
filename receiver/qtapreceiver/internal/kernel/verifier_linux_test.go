// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"regexp"
	"strconv"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// maxInstructions is far below the kernel's limit of a million, so that an older or newer
// verifier, which may walk more paths, still has room.
const maxInstructions = 300_000

var processed = regexp.MustCompile(`processed (\d+) insns`)

// TestVerifier attaches what this kernel gets, and records how far its verifier had to walk.
func TestVerifier(t *testing.T) {
	c, err := Open(Config{CgroupPath: newCgroup(t), Level: LevelFull, Keys: true, logLevel: ebpf.LogLevelStats})
	require.NoError(t, err)
	defer c.Close()
	checkVerifier(t, c)
}

func checkVerifier(t *testing.T, c *Capture) {
	t.Helper()
	require.Contains(t, c.coll.Programs, bpf.CaptureProgPacketEgress)
	for name, prog := range c.coll.Programs {
		n := uint64(0)
		// Each global function is verified alone and has a line of its own; the last is the whole.
		for _, m := range processed.FindAllStringSubmatch(prog.VerifierLog, -1) {
			var err error
			n, err = strconv.ParseUint(m[1], 10, 32)
			require.NoError(t, err)
		}
		require.NotZero(t, n, "%s: no statistics in %q", name, prog.VerifierLog)
		t.Logf("%-16s %6d instructions verified", name, n)
		require.Less(t, n, uint64(maxInstructions), name)
	}
}
