// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math/rand/v2"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

// layout is a C struct of the object: where each member is.
type layout struct {
	size    int
	members map[string][2]int // offset, size
}

func layoutOf(t *testing.T, name string) layout {
	t.Helper()
	spec, err := LoadCapture()
	require.NoError(t, err)
	return layoutIn(t, spec, name)
}

func layoutIn(t *testing.T, spec *ebpf.CollectionSpec, name string) layout {
	t.Helper()
	var s *btf.Struct
	require.NoError(t, spec.Types.TypeByName(name, &s))
	l := layout{size: int(s.Size), members: map[string][2]int{}}
	end := 0
	for _, m := range s.Members {
		size, err := btf.Sizeof(m.Type)
		require.NoError(t, err)
		require.Equal(t, end, int(m.Offset.Bytes()), "implicit padding before %s.%s", name, m.Name)
		end = int(m.Offset.Bytes()) + size
		l.members[m.Name] = [2]int{int(m.Offset.Bytes()), size}
	}
	require.Equal(t, l.size, end, "implicit padding at the end of %s", name)
	return l
}

func (l layout) bytes(t *testing.T, b []byte, member string) []byte {
	t.Helper()
	m, ok := l.members[member]
	require.True(t, ok, member)
	return b[m[0] : m[0]+m[1]]
}

func (l layout) uint(t *testing.T, b []byte, member string) uint64 {
	t.Helper()
	var v uint64
	for i, x := range l.bytes(t, b, member) {
		v |= uint64(x) << (8 * i)
	}
	return v
}

func random(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	return b
}

func requireTuple(t *testing.T, b []byte, got Tuple) {
	t.Helper()
	l := layoutOf(t, "tuple")
	require.Equal(t, tupleSize, l.size)
	require.Equal(t, l.bytes(t, b, "local"), got.Local[:])
	require.Equal(t, l.bytes(t, b, "remote"), got.Remote[:])
	require.EqualValues(t, l.uint(t, b, "local_port"), got.LocalPort)
	require.EqualValues(t, l.uint(t, b, "remote_port"), got.RemotePort)
	require.EqualValues(t, l.uint(t, b, "netns"), got.Netns)
}

// The tests fill records with random bytes and read every member both by the object's BTF and
// by the Go mirror.

func TestPacketRecordABI(t *testing.T) {
	l := layoutOf(t, "packet_record")
	require.Equal(t, PacketRecordSize, l.size)
	b := random(l.size + 300)
	size := l.members["size"]
	copy(b[size[0]:], []byte{200, 0})
	var r PacketRecord
	require.True(t, r.Decode(b))
	require.EqualValues(t, l.uint(t, b, "dir"), r.Dir)
	require.EqualValues(t, l.uint(t, b, "flags"), r.Flags)
	require.EqualValues(t, l.uint(t, b, "len"), r.Len)
	require.EqualValues(t, l.uint(t, b, "cookie"), r.Cookie)
	require.EqualValues(t, l.uint(t, b, "time"), r.Time)
	require.EqualValues(t, l.uint(t, b, "seq"), r.Seq)
	require.EqualValues(t, l.uint(t, b, "ack"), r.Ack)
	require.EqualValues(t, l.uint(t, b, "off"), r.Off)
	require.EqualValues(t, l.uint(t, b, "checks"), r.Checks)
	require.EqualValues(t, l.uint(t, b, "sum"), r.Sum)
	require.EqualValues(t, l.uint(t, b, "rcv_nxt"), r.RcvNxt)
	require.EqualValues(t, 200, r.Size)
	require.Equal(t, b[l.size:l.size+200], r.Data)
	requireTuple(t, l.bytes(t, b, "addr"), r.Addr)
}

func TestSocketRecordABI(t *testing.T) {
	l := layoutOf(t, "socket_record")
	require.Equal(t, SocketRecordSize, l.size)
	b := random(l.size)
	var r SocketRecord
	require.True(t, r.Decode(b))
	for member, got := range map[string]uint64{
		"what": uint64(r.What), "role": uint64(r.Role), "reason": uint64(r.Reason), "tgid": uint64(r.TGID),
		"cookie": r.Cookie, "time": r.Time, "cgroup": r.Cgroup, "uid": uint64(r.UID), "flags": uint64(r.Flags),
		"rcv_nxt": uint64(r.RcvNxt), "snd_nxt": uint64(r.SndNxt), "segs_out": uint64(r.SegsOut),
		"segs_in": uint64(r.SegsIn), "retransmits": uint64(r.Retransmits), "rtt_us": uint64(r.RTTMicros),
		"bytes_acked": r.BytesAcked, "bytes_received": r.BytesReceived, "snd_una": uint64(r.SndUna),
	} {
		require.Equal(t, l.uint(t, b, member), got, member)
	}
	require.Equal(t, l.bytes(t, b, "comm"), r.Comm[:])
	requireTuple(t, l.bytes(t, b, "addr"), r.Addr)
}

func TestSecretRecordABI(t *testing.T) {
	l := layoutOf(t, "secret_record")
	require.Equal(t, SecretRecordSize, l.size)
	b := random(l.size)
	for m, n := range map[string]byte{"label_size": 12, "secret_size": 48, "context_size": 32} {
		b[l.members[m][0]] = n
	}
	var r SecretRecord
	require.True(t, r.Decode(b))
	require.EqualValues(t, l.uint(t, b, "what"), r.What)
	require.EqualValues(t, l.uint(t, b, "tgid"), r.TGID)
	require.Equal(t, l.uint(t, b, "time"), r.Time)
	require.Equal(t, l.bytes(t, b, "label")[:12], r.Label)
	require.Equal(t, l.bytes(t, b, "secret")[:48], r.Secret)
	require.Equal(t, l.bytes(t, b, "context")[:32], r.Context)
}

func TestProcessRecordABI(t *testing.T) {
	l := layoutOf(t, "process_record")
	require.Equal(t, ProcessRecordSize, l.size)
	b := random(l.size + 30)
	b[2], b[3] = 25, 0
	var r ProcessRecord
	require.True(t, r.Decode(b))
	require.EqualValues(t, l.uint(t, b, "size"), len(r.Path))
	require.EqualValues(t, l.uint(t, b, "uid"), r.UID)
	require.Equal(t, b[l.size:l.size+25], r.Path)
	require.False(t, new(ProcessRecord).Decode(b[:l.size+24]))
	require.EqualValues(t, l.uint(t, b, "exited"), r.Exited)
	require.EqualValues(t, l.uint(t, b, "tgid"), r.TGID)
	require.Equal(t, l.uint(t, b, "time"), r.Time)
}

func FuzzDecode(f *testing.F) {
	f.Add(make([]byte, PacketRecordSize))
	f.Add(make([]byte, SecretRecordSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p PacketRecord
		if p.Decode(b) && len(p.Data) != int(p.Size) {
			t.Fatal("size")
		}
		new(SocketRecord).Decode(b)
		new(SecretRecord).Decode(b)
		new(ProcessRecord).Decode(b)
	})
}
