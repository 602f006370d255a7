// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bufio"
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// rightsTable is the table of docs/security.md (a test of tests/docs compares them).
//
//go:embed testdata/rights.md
var rightsTable string

// rightsRows returns the table's rows: what, and the capabilities that it takes on this kernel.
func rightsRows(t *testing.T) (what []string, caps map[string][]string) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(rightsTable), "\n")
	cells := func(line string) (out []string) {
		for c := range strings.SplitSeq(strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|"), "|") {
			out = append(out, strings.TrimSpace(c))
		}
		return out
	}
	head := cells(lines[0])
	caps = map[string][]string{}
	for _, line := range lines[2:] {
		row := cells(line)
		require.Len(t, row, len(head))
		what = append(what, row[0])
		for i, cell := range row[1:] {
			release, before := strings.CutPrefix(cell, "before Linux ")
			switch {
			case cell == "yes", before && kernelBefore(t, release):
				caps[row[0]] = append(caps[row[0]], strings.Trim(head[i+1], "`"))
			case !before:
				require.Empty(t, cell)
			}
		}
	}
	return what, caps
}

// kernelBefore says whether the kernel is older than a release, such as "6.15".
func kernelBefore(t *testing.T, release string) bool {
	t.Helper()
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	var own, other [2]int
	_, err = fmt.Sscanf(string(b), "%d.%d", &own[0], &own[1])
	require.NoError(t, err, "%s", b)
	_, err = fmt.Sscanf(release, "%d.%d", &other[0], &other[1])
	require.NoError(t, err, release)
	return slices.Compare(own[:], other[:]) < 0
}

// TestRights measures the table: with the capabilities that a row names the thing works, and without any one of them it does not, so none can be
// taken away, but for those that CAP_SYS_ADMIN contains where a kernel asks for that. What kernels before 5.11 ask for is given by other means than a
// capability, as docs/security.md says: no limit on locked memory.
func TestRights(t *testing.T) {
	need(t, os.Geteuid() == 0, "root, to give rights away")
	what, caps := rightsRows(t)
	dir, program := t.TempDir(), peerProgram(t)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "page"), []byte("hello rights"), 0o644))
	selfSigned(t, dir)
	features := []func(l *rightsLab, rights []string, enough bool) (works bool, got watched){
		func(l *rightsLab, rights []string, _ bool) (bool, watched) {
			got := l.watchPlain(rights, watcher{Level: LevelConnections})
			return got.Connections == 2, got
		},
		func(l *rightsLab, rights []string, _ bool) (bool, watched) {
			got := l.watchPlain(rights, watcher{Level: LevelFull})
			return slices.Contains(got.Bodies, "hello rights"), got
		},
		func(l *rightsLab, rights []string, _ bool) (bool, watched) {
			got := l.watchPlain(rights, watcher{Level: LevelFull})
			return slices.Contains(got.Executables, l.program), got
		},
		func(l *rightsLab, rights []string, _ bool) (bool, watched) {
			got := l.watchPlain(rights, watcher{Level: LevelFull})
			return slices.Contains(got.Services, "service-of-root"), got
		},
		func(l *rightsLab, rights []string, enough bool) (bool, watched) {
			got := l.watchKeyLog(rights, enough)
			return slices.Contains(got.Bodies, "hello rights"), got
		},
		func(l *rightsLab, rights []string, _ bool) (bool, watched) {
			got := l.watchTLS(rights)
			return slices.Contains(got.Bodies, "hello rights"), got
		},
		func(l *rightsLab, rights []string, _ bool) (bool, watched) {
			got := l.watchReplaced(rights)
			return slices.Contains(got.Bodies, "hello rights"), got
		},
	}
	require.Len(t, features, len(what))
	for i, row := range what {
		t.Run(row, func(t *testing.T) {
			l := &rightsLab{newLab(t, fmt.Sprintf("rights%d", i)), dir, program}
			works, got := features[i](l, caps[row], true)
			require.True(t, works, "with %v: %+v", caps[row], got)
			admin := slices.Contains(caps[row], "CAP_SYS_ADMIN")
			for j, without := range caps[row] {
				// Kernels before 6.6 that were not updated since 2025 ask for less.
				if admin && slices.Contains([]string{"CAP_SYS_ADMIN", "CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_CHECKPOINT_RESTORE"}, without) {
					continue
				}
				works, got := features[i](l, slices.Delete(slices.Clone(caps[row]), j, j+1), false)
				require.False(t, works, "it works without %s: %+v", without, got)
				t.Logf("without %s: %.300s", without, cmp.Or(got.Error, fmt.Sprintf("%+v", got)))
			}
		})
	}
}

// rightsLab is a lab that is watched by another process than the test's, of a user without root.
type rightsLab struct {
	*lab
	dir     string // has a page and a certificate
	program string // serves it
}

// watchPlain watches a request between two processes of root.
func (l *rightsLab) watchPlain(rights []string, w watcher) (got watched) {
	port := freePort(l.t)
	server := l.command(l.program, "serve", fmt.Sprintf("127.0.0.1:%d", port), l.dir)
	server.Env = append(os.Environ(), peerEnv+"=1", "OTEL_SERVICE_NAME=service-of-root")
	l.during(server, port, func() {
		got = l.watch(rights, w, func(func()) { l.curl(fmt.Sprintf("http://127.0.0.1:%d/page", port)) })
	})
	return got
}

// watchTLS watches a request over TLS.
func (l *rightsLab) watchTLS(rights []string) (got watched) {
	port := freePort(l.t)
	l.during(l.tlsServer(port), port, func() {
		got = l.watch(rights, watcher{Level: LevelFull, TLS: true}, func(func()) { l.curl(fmt.Sprintf("https://127.0.0.1:%d/page", port)) })
	})
	return got
}

// clientOfPage loads its TLS library, says so, waits for a line, and asks. It waits for another line before it ends, if it is told to.
const clientOfPage = `
import socket, ssl, sys
context = ssl._create_unverified_context()
context.keylog_filename = sys.argv[2] or None
print("loaded", flush=True)
sys.stdin.readline()
tls = context.wrap_socket(socket.create_connection(("127.0.0.1", int(sys.argv[1]))), suppress_ragged_eofs=True)
tls.sendall(b"GET /page HTTP/1.0\r\n\r\n")
answer = b""
while not answer.endswith(b"hello rights"): answer += tls.recv(1000)
print("answered", flush=True)
sys.stdin.readline()
`

// pageClient is a running clientOfPage.
type pageClient struct {
	l     *rightsLab
	in    io.WriteCloser
	lines *bufio.Scanner
	cmd   *exec.Cmd
}

// startClient starts a client that has its library loaded when this returns.
func (l *rightsLab) startClient(port int, keyLog string, env ...string) *pageClient {
	c := &pageClient{l: l, cmd: l.command("python3", "-c", clientOfPage, fmt.Sprint(port), keyLog)}
	c.cmd.Env, c.cmd.Stderr = append(os.Environ(), env...), os.Stderr
	var err error
	c.in, err = c.cmd.StdinPipe()
	require.NoError(l.t, err)
	out, err := c.cmd.StdoutPipe()
	require.NoError(l.t, err)
	c.lines = bufio.NewScanner(out)
	require.NoError(l.t, c.cmd.Start())
	l.t.Cleanup(func() { // it has ended, unless nobody let it ask
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	})
	c.expect("loaded")
	return c
}

func (c *pageClient) expect(line string) {
	require.True(c.l.t, c.lines.Scan())
	require.Equal(c.l.t, line, c.lines.Text())
}

// ask has the page when it returns; the connection stays.
func (c *pageClient) ask() {
	_, err := fmt.Fprintln(c.in)
	require.NoError(c.l.t, err)
	c.expect("answered")
}

func (c *pageClient) end() {
	require.NoError(c.l.t, c.in.Close())
	require.NoError(c.l.t, c.cmd.Wait())
}

// watchKeyLog watches a request over TLS whose client writes a key log. It comes beside the packets: where the rights are enough, the connection
// stays until what it carried was read.
func (l *rightsLab) watchKeyLog(rights []string, enough bool) (got watched) {
	port, logs := freePort(l.t), l.t.TempDir()
	require.NoError(l.t, os.Chmod(filepath.Dir(logs), 0o755))
	require.NoError(l.t, os.Chmod(logs, 0o755))
	file := filepath.Join(logs, "client.log")
	require.NoError(l.t, os.WriteFile(file, nil, 0o600))
	l.during(l.tlsServer(port), port, func() {
		got = l.watch(rights, watcher{Level: LevelFull, KeyLogs: []string{file}}, func(read func()) {
			client := l.startClient(port, file)
			client.ask()
			if enough {
				read()
			}
			client.end()
		})
	})
	return got
}

// watchReplaced watches a request over TLS of programs whose library lies on no path any more.
func (l *rightsLab) watchReplaced(rights []string) (got watched) {
	dir, port := l.t.TempDir(), freePort(l.t)
	for _, name := range []string{"libssl.so.3", "libcrypto.so.3"} {
		paths, err := filepath.Glob("/usr/lib*/*/" + name)
		require.NoError(l.t, err)
		need(l.t, len(paths) > 0, "OpenSSL 3")
		b, err := os.ReadFile(paths[0])
		require.NoError(l.t, err)
		require.NoError(l.t, os.WriteFile(filepath.Join(dir, name), b, 0o644))
	}
	path := "LD_LIBRARY_PATH=" + dir
	server := l.tlsServer(port)
	server.Env = append(os.Environ(), path)
	l.during(server, port, func() {
		client := l.startClient(port, "", path)
		for _, name := range []string{"libssl.so.3", "libcrypto.so.3"} {
			require.NoError(l.t, os.Remove(filepath.Join(dir, name)))
		}
		got = l.watch(rights, watcher{Level: LevelFull, TLS: true}, func(func()) {
			client.ask()
			client.end()
		})
	})
	return got
}

// tlsServer serves the page over TLS.
func (l *rightsLab) tlsServer(port int) *exec.Cmd {
	server := l.command("openssl", "s_server", "-quiet", "-WWW", "-accept", fmt.Sprintf("127.0.0.1:%d", port), "-tls1_3", "-cert", "cert.pem", "-key", "key.pem")
	server.Dir = l.dir
	return server
}

func (l *rightsLab) curl(url string) {
	out, err := l.command("curl", "-sSk", "--http1.1", url).Output()
	require.NoError(l.t, err)
	require.Equal(l.t, "hello rights", string(out))
}

// during runs f while a server runs, and waits for its end. A server runs before the collector does, and after: what is new to a host may be missed
// in its first moment, and what is gone cannot be asked for its name.
func (l *rightsLab) during(server *exec.Cmd, port int, f func()) {
	server.Stdout, server.Stderr = io.Discard, io.Discard
	require.NoError(l.t, server.Start())
	defer func() {
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	}()
	awaitListening(l.t, server, port)
	f()
}
