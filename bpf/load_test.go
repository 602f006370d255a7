// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
)

// maxInstructions is far below the kernel's limit of a million, so that an older or newer
// verifier, which may walk more paths, still has room.
const maxInstructions = 300_000

// TestLoad loads every program into the running kernel, with and without the helpers that some lack.
func TestLoad(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	for _, helpers := range []bool{true, false} {
		spec, err := LoadCapture()
		require.NoError(t, err)
		for name, prog := range spec.Programs {
			require.NotContains(t, name, "__")
			require.LessOrEqual(t, len(prog.Name), 15, "the kernel cuts %s", name)
		}
		require.NoError(t, spec.Variables[CaptureVarSockHelpers].Set(helpers))
		// Only for kernels before 6.3, which the tests in virtual machines boot.
		delete(spec.Programs, CaptureProgSocketAccept)
		coll, err := ebpf.NewCollection(spec)
		var verr *ebpf.VerifierError
		if errors.As(err, &verr) {
			t.Fatalf("%+v", verr)
		}
		require.NoError(t, err)
		for name, prog := range coll.Programs {
			info, err := prog.Info()
			require.NoError(t, err)
			n, ok := info.VerifiedInstructions()
			require.True(t, ok)
			t.Logf("%-16s %6d instructions verified, socket helpers: %v", name, n, helpers)
			require.Less(t, n, uint32(maxInstructions), name)
		}
		coll.Close()
	}
}
