// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// TestPreExisting opens a connection before the capture begins.
func TestPreExisting(t *testing.T) {
	dir := newCgroup(t)
	n := startNginx(t, dir, 1000)
	client := commandIn(t, dir, "python3", "-c", `
import socket, sys
s = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
print(s.getsockname()[1], flush=True)
for line in sys.stdin:
    s.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
    b = b""
    while not (b"\r\n\r\n" in b and len(b.split(b"\r\n\r\n", 1)[1]) == 1000): b += s.recv(65536)
    print(len(b), flush=True)
`, strconv.Itoa(n.http))
	stdin, err := client.StdinPipe()
	require.NoError(t, err)
	stdout, err := client.StdoutPipe()
	require.NoError(t, err)
	client.Stderr = os.Stderr
	require.NoError(t, client.Start())
	defer func() { _ = client.Wait() }()
	defer stdin.Close()
	var port, size int
	exchange := func() {
		_, err := io.WriteString(stdin, "\n")
		require.NoError(t, err)
		_, err = fmt.Fscan(stdout, &size)
		require.NoError(t, err)
	}
	_, err = fmt.Fscan(stdout, &port)
	require.NoError(t, err)
	exchange()

	h := openHostIn(t, dir, func(c *Config) { c.StatsInterval = 100 * time.Millisecond })
	var ours, theirs event.Socket
	require.Eventually(t, func() bool {
		h.look()
		ours = h.connection(uint16(port), uint16(n.http))[event.SocketStats]
		theirs = h.connection(uint16(n.http), uint16(port))[event.SocketStats]
		return ours.Cookie != 0 && theirs.Cookie != 0
	}, testkit.Patience, 10*time.Millisecond)
	require.True(t, ours.PreExisting)
	require.True(t, theirs.PreExisting)
	require.Equal(t, event.RoleClient, ours.Role)
	require.Equal(t, event.RoleServer, theirs.Role)
	require.EqualValues(t, size, ours.BytesReceived)
	require.EqualValues(t, size, theirs.BytesSent)
	require.EqualValues(t, theirs.BytesReceived, ours.BytesSent)
	owners := map[uint32]bool{}
	for _, s := range h.sockets {
		owners[s.TGID] = true
	}
	require.True(t, owners[uint32(client.Process.Pid)])
	require.True(t, owners[n.workers(t)[0]] || owners[n.workers(t)[1]])

	exchange()
	h.settle()
	data := map[event.Cookie]int{}
	for _, p := range h.packets {
		data[p.Cookie] += len(p.Data)
		require.False(t, p.Seq-ours.RcvNxt > 1<<20 && p.Seq-ours.SndNxt > 1<<20)
	}
	require.Len(t, data, 2)
	require.Equal(t, data[ours.Cookie], data[theirs.Cookie])
	require.Greater(t, data[ours.Cookie], size)
	// The counters follow.
	require.Eventually(t, func() bool {
		h.look()
		return h.connection(uint16(port), uint16(n.http))[event.SocketStats].BytesReceived == uint64(2*size)
	}, testkit.Patience, 10*time.Millisecond)

	stdin.Close()
	require.NoError(t, client.Wait())
	// Not before the server has closed its end too, for which the client's exit does not wait.
	require.Eventually(t, func() bool {
		h.look()
		return h.connection(uint16(port), uint16(n.http))[event.SocketClosed].Cookie != 0
	}, testkit.Patience, 10*time.Millisecond)
	closed := h.connection(uint16(port), uint16(n.http))[event.SocketClosed]
	require.Equal(t, event.CloseFIN, closed.CloseReason)
	require.EqualValues(t, 2*size, closed.BytesReceived)
	require.True(t, closed.PreExisting)
}

// TestPreExistingRoles finds out who opened connections whose listener is gone, and their initial sequence
// numbers, from the kernel's books; and reads the last counters of what is open at the end.
func TestPreExistingRoles(t *testing.T) {
	dir := newCgroup(t)
	cmd := commandIn(t, dir, "python3", "-c", `
import socket, sys
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
a, _ = l.accept()
print(l.getsockname()[1], c.getsockname()[1], flush=True)
l.close()
for line in sys.stdin:
    c.sendall(b"x" * 100000); n = 0
    while n < 100000: n += len(a.recv(1 << 20))
    a.sendall(b"y" * 3000); n = 0
    while n < 3000: n += len(c.recv(1 << 20))
    print("ok", flush=True)
`)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	defer func() { _ = cmd.Wait() }()
	defer stdin.Close()
	var server, client uint16
	_, err = fmt.Fscan(stdout, &server, &client)
	require.NoError(t, err)
	talk := func() {
		_, err := io.WriteString(stdin, "\n")
		require.NoError(t, err)
		var ok string
		_, err = fmt.Fscan(stdout, &ok)
		require.NoError(t, err)
	}
	talk()

	c, err := Open(Config{CgroupPath: dir, StatsInterval: time.Hour, RingBytes: 1 << 20, Logger: zaptest.NewLogger(t)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	h := &host{t: t, cgroup: dir, capture: c, rec: newRecorder()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx, h.rec) }()
	var ours, theirs event.Socket
	require.Eventually(t, func() bool {
		h.look()
		ours, theirs = h.connection(client, server)[event.SocketStats], h.connection(server, client)[event.SocketStats]
		return ours.Cookie != 0 && theirs.Cookie != 0
	}, testkit.Patience, 10*time.Millisecond)
	if ours.Retransmits+theirs.Retransmits == 0 {
		require.Equal(t, event.RoleClient, ours.Role)
		require.Equal(t, event.RoleServer, theirs.Role)
		require.EqualValues(t, 100000, ours.BytesSent)
	}
	require.True(t, ours.HasISN && theirs.HasISN)
	// Retransmits, which a slow machine has, blur who opened the connection: then its SYN is not known to count.
	sent := func(s event.Socket) uint32 {
		if s.Local.Port() == client && s.Role == event.RoleUnknown {
			return s.SndISN + 1
		}
		return s.SndISN
	}
	require.Equal(t, sent(ours), theirs.RcvISN)
	require.Equal(t, ours.RcvISN, sent(theirs))
	first := ours
	talk()
	cancel()
	require.NoError(t, <-done)
	h.look()
	ours, theirs = h.connection(client, server)[event.SocketStats], h.connection(server, client)[event.SocketStats]
	require.EqualValues(t, 2*100000, ours.BytesSent-uint64(sent(ours)-ours.SndISN), "counted at the end")
	require.EqualValues(t, 2*100000, theirs.BytesReceived)
	require.EqualValues(t, 2*3000, ours.BytesReceived)
	require.Equal(t, first.SndISN, ours.SndISN, "whatever went by")
	require.Equal(t, first.RcvISN, ours.RcvISN)
	var ns unix.Stat_t
	require.NoError(t, unix.Stat("/proc/self/ns/net", &ns))
	require.EqualValues(t, ns.Ino, ours.Netns)
	packets := 0
	for _, p := range h.packets {
		require.EqualValues(t, ns.Ino, p.Netns)
		packets++
	}
	require.NotZero(t, packets)
}
