// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package restart

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// bpffs mounts a BPF file system of its own.
func bpffs(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	dir := t.TempDir()
	require.NoError(t, unix.Mount("qpoint-test", dir, "bpf", 0, "mode=0700"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	return dir
}

func open(t *testing.T, dir string, ttl time.Duration) *Store {
	t.Helper()
	s, err := Open(dir, ttl, zaptest.NewLogger(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.free()) })
	return s
}

func session() *Session {
	x := &Session{
		TLS:  tls.State{Cipher: 0x1302, SNI: "api.example", ALPN: "http/1.1", Resumed: true, Full: true},
		Role: event.RoleServer, Start: 12, ClientISN: 3, ServerISN: 4, Records: 5, Requests: 6, Exchanges: 7, Waits: true,
	}
	for i, d := range []*tls.DirectionState{&x.TLS.Client, &x.TLS.Server} {
		d.Sequence, d.Offset, d.Size = uint64(i)<<40, uint64(i)<<50, 48
		copy(d.Secret[:], bytes.Repeat([]byte{byte(0x51 + i)}, 48))
		d.IV[3] = 9
		d.MACSize, d.EncryptThenMAC, d.MAC[19] = 20, i == 1, 7
	}
	return x
}

// socket is a connection and its socket's cookie.
func socket(t *testing.T) (net.Conn, event.Cookie) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	raw, err := c.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	var cookie uint64
	require.NoError(t, raw.Control(func(fd uintptr) { cookie, err = unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE) }))
	require.NoError(t, err)
	return c, event.Cookie(cookie)
}

// TestOnThisKernel runs in virtual machines with other kernels.
func TestOnThisKernel(t *testing.T) {
	if features.HaveProgramHelper(ebpf.RawTracepoint, asm.FnForEachMapElem) == nil {
		t.Run("kept", TestSessionsOutliveTheProcess)
		t.Run("forgotten", TestTTL)
		return
	}
	_, err := Open(filepath.Join(bpffs(t), "qpoint"), time.Minute, zap.NewNop())
	require.ErrorContains(t, err, "`tls::restart_state` needs Linux 5.13")
}

func TestSessionsOutliveTheProcess(t *testing.T) {
	dir := filepath.Join(bpffs(t), "qpoint")
	s := open(t, dir, time.Minute)
	require.Nil(t, s.Load(5))
	require.Nil(t, s.Load(own))
	kept, closing, other := session(), session(), session()
	kept.TLS.SNI, other.Quiet = "", true
	conn, cookie := socket(t)
	s.Save(1<<62, kept, false)
	s.Save(cookie, closing, false)
	s.Save(1<<61, other, false)
	require.Equal(t, bpf.RestartDirection{}, s.entry.Client, "no copy is left behind")
	s.Delete(1 << 61)
	require.NoError(t, s.Close())

	st, err := os.Stat(filepath.Join(dir, pinSessions))
	require.NoError(t, err)
	require.Zero(t, st.Mode().Perm()&0o077, "root's alone")

	// Nobody is there when this connection ends, but the kernel.
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, pinSessions), nil)
	require.NoError(t, err)
	defer m.Close()
	var e bpf.RestartEntry
	require.NoError(t, m.Lookup(uint64(cookie), &e))
	require.NoError(t, conn.Close())
	require.Eventually(t, func() bool { return m.Lookup(uint64(cookie), &e) != nil }, testkit.Patience, 10*time.Millisecond)

	s = open(t, dir, time.Minute)
	require.False(t, s.Save(cookie, closing, true), "it has ended: nothing would remove it")
	require.False(t, s.full)
	require.True(t, s.Save(1<<62, kept, true))
	s.unclaimed[1<<62] = struct{}{}
	require.Len(t, s.unclaimed, 1)
	require.Nil(t, s.Load(cookie))
	require.Nil(t, s.Load(1<<61))
	require.Equal(t, kept, s.Load(1<<62))
	require.Equal(t, kept, s.Load(1<<62))
	require.Empty(t, s.unclaimed)

	// A second collector would write over what the first has.
	s.Save(1<<60, kept, false)
	require.NoError(t, s.Close())
	s = open(t, dir, time.Minute)
	s.opened = time.Now().Add(-claimWithin)
	s.beat = time.Time{}
	s.Tick()
	require.Nil(t, s.Load(1<<60), "nobody came for it")
	require.NoError(t, s.sessions.Lookup(uint64(own), &e))
}

func TestTTL(t *testing.T) {
	dir := filepath.Join(bpffs(t), "qpoint")
	s := open(t, dir, time.Second)
	for i := range 100 {
		s.Save(event.Cookie(1<<62+i), session(), false)
	}
	require.NoError(t, s.Close())
	time.Sleep(1100 * time.Millisecond)
	conn, _ := socket(t)
	require.NoError(t, conn.Close()) // any end of a connection makes the kernel look
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, pinSessions), nil)
	require.NoError(t, err)
	defer m.Close()
	var key uint64
	require.Eventually(t, func() bool { return m.NextKey(nil, &key) != nil }, testkit.Patience, 10*time.Millisecond, "everything is gone")

	// Where nothing looked, the next start does.
	s = open(t, dir, time.Minute)
	s.Save(1<<62, session(), false)
	require.NoError(t, s.Close())
	core, logs := observer.New(zap.InfoLevel)
	time.Sleep(20 * time.Millisecond)
	s, err = Open(dir, 10*time.Millisecond, zap.New(core))
	require.NoError(t, err)
	require.Nil(t, s.Load(1<<62))
	require.Equal(t, 1, logs.FilterMessageSnippet("older than `tls::restart_state::ttl`").Len())
	require.NoError(t, s.Close())
}

func TestAnotherVersionIsDiscarded(t *testing.T) {
	for name, spec := range map[string]ebpf.MapSpec{
		"another layout":  {ValueSize: 100, MaxEntries: 8192},
		"another version": {ValueSize: 464, MaxEntries: 8192},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(bpffs(t), "qpoint")
			require.NoError(t, os.Mkdir(dir, 0o700))
			spec.Type, spec.KeySize, spec.Flags = ebpf.Hash, 8, unix.BPF_F_NO_PREALLOC
			m, err := ebpf.NewMap(&spec)
			require.NoError(t, err)
			defer m.Close()
			value := bytes.Repeat([]byte{0x77}, int(spec.ValueSize))
			require.NoError(t, m.Put(uint64(0), value))
			require.NoError(t, m.Put(uint64(1<<62), value))
			require.NoError(t, m.Pin(filepath.Join(dir, pinSessions)))

			core, logs := observer.New(zap.InfoLevel)
			s, err := Open(dir, time.Minute, zap.New(core))
			require.NoError(t, err)
			require.Equal(t, 1, logs.FilterMessageSnippet("another version").Len())
			require.Nil(t, s.Load(1<<62))
			s.Save(1<<62, session(), false)
			require.NotNil(t, s.Load(1<<62))
			require.NoError(t, s.Close())
			var key uint64
			require.Error(t, m.NextKey(nil, &key), "the old ones are gone, whoever holds the map")
		})
	}
}

func TestOpenNamesWhatIsWrong(t *testing.T) {
	fs := bpffs(t)
	_, err := Open(filepath.Join(t.TempDir(), "qpoint"), time.Minute, zap.NewNop())
	require.ErrorContains(t, err, "mount one (mount -t bpf bpf /sys/fs/bpf)")
	_, err = Open(t.TempDir(), time.Minute, zap.NewNop())
	require.ErrorContains(t, err, "is not in a BPF file system")
	_, err = Open(filepath.Join(fs, "a", "b"), time.Minute, zap.NewNop())
	require.ErrorContains(t, err, "mount a BPF file system (mount -t bpf bpf /sys/fs/bpf)")
	open2 := filepath.Join(fs, "open")
	require.NoError(t, os.Mkdir(open2, 0o700))
	require.NoError(t, os.Chmod(open2, 0o755))
	_, err = Open(open2, time.Minute, zap.NewNop())
	require.ErrorContains(t, err, fmt.Sprintf("chmod 700 %s", open2))
}
