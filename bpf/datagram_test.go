// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
)

func TestDatagramRecord(t *testing.T) {
	spec, err := LoadDatagram()
	require.NoError(t, err)
	l := layoutIn(t, spec, "datagram_record")
	require.Equal(t, DatagramRecordSize, l.size)
	b := random(DatagramRecordSize + 40)
	b[2], b[3] = 33, 0
	var r DatagramRecord
	require.True(t, r.Decode(b))
	require.EqualValues(t, l.uint(t, b, "dir"), r.Dir)
	require.EqualValues(t, l.uint(t, b, "size"), r.Size)
	require.EqualValues(t, l.uint(t, b, "len"), r.Len)
	require.Equal(t, l.uint(t, b, "cookie"), r.Cookie)
	require.Equal(t, l.uint(t, b, "time"), r.Time)
	require.EqualValues(t, l.uint(t, b, "tgid"), r.TGID)
	require.EqualValues(t, l.uint(t, b, "uid"), r.UID)
	requireTuple(t, l.bytes(t, b, "addr"), r.Addr)
	require.Equal(t, l.bytes(t, b, "comm"), r.Comm[:])
	require.Equal(t, b[DatagramRecordSize:DatagramRecordSize+33], r.Data)
	b[2] = 41
	require.False(t, r.Decode(b))
	require.False(t, r.Decode(b[:DatagramRecordSize-1]))
}

// TestLoadDatagram loads every program into the running kernel.
func TestLoadDatagram(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	spec, err := LoadDatagram()
	require.NoError(t, err)
	coll, err := ebpf.NewCollection(spec)
	var verr *ebpf.VerifierError
	if errors.As(err, &verr) {
		t.Fatalf("%+v", verr)
	}
	require.NoError(t, err)
	defer coll.Close()
	for name, prog := range coll.Programs {
		require.LessOrEqual(t, len(name), 15, "the kernel cuts %s", name)
		info, err := prog.Info()
		require.NoError(t, err)
		n, ok := info.VerifiedInstructions()
		require.True(t, ok)
		t.Logf("%-16s %6d instructions verified", name, n)
		require.Less(t, n, uint32(maxInstructions), name)
	}
}
