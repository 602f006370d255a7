// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestProbePoint(t *testing.T) {
	for name, c := range map[string]struct {
		code string
		want uint64
	}{
		"test, je, ret":             {"4885ff 7401 90 c3", 3},
		"endbr64, test, je":         {"f30f1efa 4885ff 7401 90 c3", 7},
		"endbr64, push":             {"f30f1efa 55 c3", 4},
		"je at once":                {"7401 90 c3", 0},
		"near je":                   {"4885ff 0f8400000000 c3", 3},
		"cmp of registers":          {"4839f7 7400 c3", 3},
		"cmp with memory":           {"48833f00 7400 c3", 0},
		"changes an argument":       {"4831ff 7400 c3", 0},
		"loop back to the jump":     {"4885ff 7402 ebfc c3", 0},
		"loop back to the test":     {"4885ff 7402 ebf9 c3", 3},
		"tail call":                 {"4885ff 7402 ffe0 c3", 3},
		"call in front":             {"e800000000 7400 c3", 0},
		"not an instruction":        {"4885ff 7400 06", 0},
		"nothing":                   {"", 0},
		"subtract from the stack":   {"4883ec18 7400 c3", 0},
		"push of an extended":       {"4885ff 4154 c3", 3},
		"jump with a segment hint":  {"4885ff 3e7400 c3", 0},
		"runs out":                  {"4885ff", 0},
		"test with an immediate":    {"40f6c701 7400 c3", 4},
		"test of memory":            {"48f70701000000 7400 c3", 0},
		"jump over the point is ok": {"4885ff 7400 eb00 c3", 3},
	} {
		code, err := hex.DecodeString(strings.ReplaceAll(c.code, " ", ""))
		require.NoError(t, err)
		require.Equal(t, c.want, probePoint(code), name)
	}
}

// TestProbePointOfLibrary checks the real function: a point that is not the entry is a
// conditional jump or a push.
func TestProbePointOfLibrary(t *testing.T) {
	f, err := os.Open(opensslLibrary(t))
	require.NoError(t, err)
	defer f.Close()
	e, err := openELF(f, nativeMachine)
	require.NoError(t, err)
	fn, err := findFunction(e, "EVP_KDF_derive")
	require.NoError(t, err)
	at := probePoint(fn.code)
	t.Logf("offset %d in % x", at, fn.code)
	if at > 0 {
		b := fn.code[at]
		require.True(t, b >= 0x70 && b < 0x80 || b >= 0x50 && b < 0x58 || b == 0x0f, "%#x", b)
	}
}
