// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// TestCloseReasons ends connections in different ways.
func TestCloseReasons(t *testing.T) {
	h := openHost(t)
	refused := freePort(t)
	cmd := h.command("curl", "-s", fmt.Sprintf("http://127.0.0.1:%d/", refused))
	require.Error(t, cmd.Run())
	out, err := h.command("python3", "-c", `
import socket, struct
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
a, _ = l.accept()
c.sendall(b"hello")
a.recv(5)
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
print(l.getsockname()[1], c.getsockname()[1])
c.close()
try: a.recv(1)
except ConnectionResetError: pass
a.close()
`).CombinedOutput()
	require.NoError(t, err, string(out))
	var server, client uint16
	_, err = fmt.Sscan(string(out), &server, &client)
	require.NoError(t, err)
	h.settle()
	require.Equal(t, event.CloseReset, h.connection(client, server)[event.SocketClosed].CloseReason)
	require.Equal(t, event.CloseReset, h.connection(server, client)[event.SocketClosed].CloseReason)
	require.EqualValues(t, 5, h.connection(client, server)[event.SocketClosed].BytesSent)
	require.EqualValues(t, 5, h.connection(server, client)[event.SocketClosed].BytesReceived)
	found := false
	for _, s := range h.sockets {
		if int(s.Remote.Port()) == refused && s.Kind == event.SocketClosed {
			require.Equal(t, event.CloseRefused, s.CloseReason)
			require.False(t, found, "closed twice")
			found = true
		}
	}
	require.True(t, found)
}

// TestAcceptAfterReset accepts a connection whose client has reset it already: nothing may follow
// its end, or it would be open for ever.
func TestAcceptAfterReset(t *testing.T) {
	h := openHost(t)
	out, err := h.command("python3", "-c", `
import socket, struct, time
l = socket.create_server(("127.0.0.1", 0))
c = socket.create_connection(l.getsockname())
c.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
print(l.getsockname()[1], c.getsockname()[1])
c.close()
time.sleep(0.2)
a, _ = l.accept()
try: a.recv(1)
except ConnectionResetError: pass
a.close()
`).CombinedOutput()
	require.NoError(t, err, string(out))
	var server, client uint16
	_, err = fmt.Sscan(string(out), &server, &client)
	require.NoError(t, err)
	h.settle()
	var kinds []event.SocketKind
	for _, s := range h.sockets {
		if s.Local.Port() == server && s.Remote.Port() == client {
			kinds = append(kinds, s.Kind)
		}
	}
	require.NotEmpty(t, kinds)
	require.Equal(t, event.SocketClosed, kinds[len(kinds)-1], "%v", kinds)
}

// TestProcesses sees programs start and end, and what they were, long after they are gone: by a symbolic
// link, from another folder, and on a mount of its own.
func TestProcesses(t *testing.T) {
	h := openHost(t)
	program, err := exec.LookPath("true")
	require.NoError(t, err)
	program, err = filepath.EvalSymlinks(program)
	require.NoError(t, err)
	dir, err := filepath.EvalSymlinks(t.TempDir())
	require.NoError(t, err)
	require.NoError(t, os.Symlink(program, filepath.Join(dir, "link")))
	tmpfs := filepath.Join(dir, "mount")
	require.NoError(t, os.Mkdir(tmpfs, 0o755))
	require.NoError(t, unix.Mount("qpoint-test", tmpfs, "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(tmpfs, unix.MNT_DETACH)) })
	b, err := os.ReadFile(program)
	require.NoError(t, err)
	deep := tmpfs + strings.Repeat("/d", 20)
	require.NoError(t, os.MkdirAll(deep, 0o755))
	for _, name := range []string{tmpfs + "/copy", deep + "/copy"} {
		require.NoError(t, os.WriteFile(name, b, 0o755))
	}
	for name, want := range map[string]string{
		program: program, "./link": program, "mount/copy": tmpfs + "/copy", deep + "/copy": deep + "/copy",
	} {
		cmd := h.command(name)
		cmd.Path, cmd.Dir = name, dir
		require.NoError(t, cmd.Run())
		h.settle()
		var seen []bool
		for _, p := range h.processes {
			if p.TGID == uint32(cmd.Process.Pid) {
				seen = append(seen, p.Exited)
				require.EqualValues(t, os.Getuid(), p.UID)
				if !p.Exited {
					require.Equal(t, want, p.Executable)
				}
			}
		}
		require.Equal(t, []bool{false, true}, seen)
	}
}

// enterCgroup moves the test's own process into a cgroup until the test ends.
func enterCgroup(t *testing.T, dir string) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/cgroup")
	require.NoError(t, err)
	root, err := resolveCgroup("")
	require.NoError(t, err)
	old := ""
	for line := range strings.Lines(string(b)) {
		if path, ok := strings.CutPrefix(line, "0::"); ok {
			old = filepath.Join(root.mount, strings.TrimSpace(path))
		}
	}
	require.NotEmpty(t, old)
	pid := []byte(strconv.Itoa(os.Getpid()))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), pid, 0))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(filepath.Join(old, "cgroup.procs"), pid, 0)) })
}

// TestOwnSockets talks to and from this process, in and out of the captured cgroup: neither end
// may leave anything but the note to forget it.
func TestOwnSockets(t *testing.T) {
	for name, inside := range map[string]bool{"own process in the cgroup": true, "own process elsewhere": false} {
		t.Run(name, func(t *testing.T) {
			dir := newCgroup(t)
			if inside {
				enterCgroup(t, dir)
			}
			n := startNginx(t, dir, 100_000)
			handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 100_000)) })
			serve := func(ip string) (port int) {
				l, err := net.Listen("tcp", ip+":0")
				require.NoError(t, err)
				server := &http.Server{Handler: handler}
				go func() { _ = server.Serve(l) }()
				t.Cleanup(func() { server.Close() })
				return l.Addr().(*net.TCPAddr).Port
			}
			get := func(client *http.Client) {
				r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/file", n.http))
				require.NoError(t, err)
				b, err := io.ReadAll(r.Body)
				require.NoError(t, err)
				require.NoError(t, r.Body.Close())
				require.Equal(t, n.file, b)
			}
			before := &http.Client{Transport: &http.Transport{}} // keeps a connection
			defer before.CloseIdleConnections()
			listeners := []int{serve("127.0.0.1"), serve("[::1]"), serve("")}
			get(before)

			h := openHostIn(t, dir, nil)
			listeners = append(listeners, serve("127.0.0.1"), serve("[::1]"), serve(""))
			after := &http.Client{Transport: &http.Transport{}}
			get(before)
			get(after)
			after.CloseIdleConnections()
			before.CloseIdleConnections()
			for i, port := range listeners {
				h.curl(fmt.Sprintf("http://%s:%d/", []string{"127.0.0.1", "[::1]", "127.0.0.1"}[i%3], port))
			}
			// Something that is to be seen, as proof that the capture works.
			c := h.curl(fmt.Sprintf("http://127.0.0.1:%d/file", n.http))
			h.ended(c.localPort, uint16(n.http))
			require.Contains(t, h.connection(c.localPort, uint16(n.http)), event.SocketClosed)

			forgotten := map[event.Cookie]bool{}
			foreign := func(local, remote uint16) bool { return local == c.localPort || remote == c.localPort }
			for _, s := range h.sockets {
				if s.Kind == event.SocketExcluded {
					forgotten[s.Cookie] = true
				}
			}
			for _, s := range h.sockets {
				if !foreign(s.Local.Port(), s.Remote.Port()) && !forgotten[s.Cookie] {
					// curl's connect, whose port is not known yet
					require.Equal(t, event.SocketConnect, s.Kind, "%+v", s)
					require.Equal(t, c.pid, s.TGID, "%+v", s)
				}
				require.NotEqual(t, uint32(os.Getpid()), s.TGID)
			}
			for _, p := range h.packets {
				if !foreign(p.Local.Port(), p.Remote.Port()) {
					require.Empty(t, p.Data, "%+v", p)
					require.True(t, forgotten[p.Cookie], "%+v", p)
				}
			}
			require.GreaterOrEqual(t, len(forgotten), 6+2)
		})
	}
}

// serveAsCollector is another process of this program: a server that prints its port and, on
// each line that it reads, downloads what the line names.
func serveAsCollector() {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		fmt.Println(err)
		return
	}
	go func() {
		_ = http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) }))
	}()
	fmt.Println(l.Addr().(*net.TCPAddr).Port)
	var url string
	for {
		if _, err := fmt.Scanln(&url); err != nil {
			return
		}
		r, err := http.Get(url)
		if err != nil {
			fmt.Println(err)
			return
		}
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Println(n, err)
		r.Body.Close()
	}
}

// TestOtherCollector leaves out the connections of another process of this program, which was
// there before or comes later.
func TestOtherCollector(t *testing.T) {
	dir := newCgroup(t)
	n := startNginx(t, dir, 1000)
	url := fmt.Sprintf("http://127.0.0.1:%d/file", n.http)
	start := func() (port int, get func()) {
		cmd := commandIn(t, dir, "/proc/self/exe")
		cmd.Path = "/proc/" + strconv.Itoa(os.Getpid()) + "/exe"
		cmd.Env = append(os.Environ(), "QPOINT_TEST_SERVE=1")
		stdin, err := cmd.StdinPipe()
		require.NoError(t, err)
		stdout, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			require.NoError(t, stdin.Close())
			require.NoError(t, cmd.Wait())
		})
		_, err = fmt.Fscanln(stdout, &port)
		require.NoError(t, err)
		return port, func() {
			_, err := fmt.Fprintln(stdin, url)
			require.NoError(t, err)
			var size int
			var failure string
			_, err = fmt.Fscanln(stdout, &size, &failure)
			require.NoError(t, err)
			require.Equal(t, 1000, size)
			require.Equal(t, "<nil>", failure)
		}
	}
	before, getBefore := start()
	getBefore() // leaves a connection open
	h := openHostIn(t, dir, nil)
	after, getAfter := start()
	for range 2 {
		getBefore()
		getAfter()
		for _, port := range []int{before, after} {
			h.curl(fmt.Sprintf("http://127.0.0.1:%d/", port))
		}
	}
	c := h.curl(url)
	h.ended(c.localPort, uint16(n.http))
	require.Contains(t, h.connection(c.localPort, uint16(n.http)), event.SocketClosed)
	for _, p := range h.packets {
		if p.Local.Port() != c.localPort && p.Remote.Port() != c.localPort {
			require.Empty(t, p.Data, "%+v", p)
		}
	}
	excluded := map[event.Cookie]bool{}
	for _, s := range h.sockets {
		if s.Kind == event.SocketExcluded {
			excluded[s.Cookie] = true
		}
	}
	require.GreaterOrEqual(t, len(excluded), 12)
}
