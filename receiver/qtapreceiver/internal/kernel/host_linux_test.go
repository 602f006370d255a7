// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zaptest"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func TestMain(m *testing.M) {
	if os.Getenv("QPOINT_TEST_SERVE") != "" {
		serveAsCollector()
		return
	}
	testkit.Main(m)
}

// needRoot skips a test that cannot run here. In CI it has to run.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() == 0 {
		return
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("needs root")
	}
	t.Skip("needs root")
}

// host is a cgroup of its own in which a test runs programs, and the capture of it.
type host struct {
	t       *testing.T
	cgroup  string
	capture *Capture
	rec     *recorder
	events  // as of the last look
}

// newCgroup makes a cgroup below the cgroup v2 mount.
func newCgroup(t testing.TB) string {
	t.Helper()
	needRoot(t)
	root, err := resolveCgroup("")
	require.NoError(t, err)
	dir, err := os.MkdirTemp(root.mount, "qpoint-test-")
	require.NoError(t, err)
	t.Cleanup(func() {
		// A process that was just killed may still be leaving.
		require.Eventually(t, func() bool { return os.Remove(dir) == nil }, testkit.Patience, 20*time.Millisecond)
	})
	return dir
}

// openHost captures a new cgroup.
func openHost(t *testing.T) *host {
	t.Helper()
	return openHostIn(t, newCgroup(t), nil)
}

func openHostIn(t *testing.T, dir string, change func(*Config)) *host {
	t.Helper()
	cfg := Config{CgroupPath: dir, Level: LevelFull, Keys: true, RingBytes: 32 << 20, Logger: zaptest.NewLogger(t)}
	if change != nil {
		change(&cfg)
	}
	c, err := Open(cfg)
	require.NoError(t, err)
	h := &host{t: t, cgroup: dir, capture: c, rec: newRecorder()}
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	h.run()
	return h
}

// run reads events until the test ends.
func (h *host) run() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.capture.Run(ctx, h.rec) }()
	h.t.Cleanup(func() {
		cancel()
		require.NoError(h.t, <-done)
	})
}

// command is a program that will run in the host's cgroup.
func (h *host) command(name string, args ...string) *exec.Cmd {
	h.t.Helper()
	return commandIn(h.t, h.cgroup, name, args...)
}

func commandIn(t testing.TB, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	f, err := os.Open(dir)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(f.Fd())}
	return cmd
}

// startIn runs a server until the test ends.
func startIn(t *testing.T, dir, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := commandIn(t, dir, name, args...)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	return cmd
}

// settle waits until the ring has been drained after now, and looks.
func (h *host) settle() {
	h.t.Helper()
	h.look()
	was := h.idles
	require.Eventually(h.t, func() bool {
		h.look()
		return h.idles >= was+3
	}, testkit.Patience, 5*time.Millisecond)
}

// ended waits until both ends of a connection have ended, and settles: a program may be gone
// before its peer has closed, on a slow machine long before.
func (h *host) ended(a, b uint16) {
	h.t.Helper()
	require.Eventually(h.t, func() bool {
		h.look()
		return h.connection(a, b)[event.SocketClosed].Cookie != 0 && h.connection(b, a)[event.SocketClosed].Cookie != 0
	}, testkit.Patience, 5*time.Millisecond)
	h.settle()
}

// look takes what has been recorded so far.
func (h *host) look() {
	h.rec.mu.Lock()
	defer h.rec.mu.Unlock()
	h.events = h.rec.events
	h.lost = maps.Clone(h.rec.lost)
}

// freePort returns a port that nothing listens on.
func freePort(t *testing.T) int { return testkit.Port(t) }

// waitListening waits without connecting, which would be captured.
func waitListening(t *testing.T, port int) {
	t.Helper()
	want := fmt.Sprintf(":%04X 0", port) // local address, then a remote address of zeros
	require.Eventually(t, func() bool {
		v4, err := os.ReadFile("/proc/net/tcp")
		require.NoError(t, err)
		v6, err := os.ReadFile("/proc/net/tcp6")
		require.NoError(t, err)
		return strings.Contains(string(v4)+string(v6), want)
	}, testkit.Patience, 10*time.Millisecond)
}

// nginx is a web server with a file of its own, over http and https, IPv4 and IPv6.
type nginx struct {
	cmd         *exec.Cmd
	http, https int
	file        []byte
}

// startNginx starts it in a cgroup. The file is size bytes long and called file.
func startNginx(t *testing.T, cgroup string, size int) *nginx {
	t.Helper()
	dir := t.TempDir()
	require.NoError(t, os.Chmod(dir, 0o755)) // for the worker's user
	for d := dir; d != "/tmp" && d != "/"; d = filepath.Dir(d) {
		require.NoError(t, os.Chmod(d, 0o755))
	}
	n := &nginx{http: freePort(t), https: freePort(t), file: make([]byte, size)}
	_, err := rand.Read(n.file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "file"), n.file, 0o644))
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
		"-subj", "/CN=localhost", "-keyout", filepath.Join(dir, "key.pem"), "-out", filepath.Join(dir, "cert.pem")).CombinedOutput()
	require.NoError(t, err, string(out))
	conf := fmt.Sprintf(`daemon off; worker_processes 2; pid %[1]s/pid; error_log stderr error;
events { worker_connections 256; }
http { access_log off; sendfile on; keepalive_timeout 60; root %[1]s;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen 127.0.0.1:%[2]d; listen [::1]:%[2]d; }
  server { listen 127.0.0.1:%[3]d ssl; listen [::1]:%[3]d ssl; ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem; }
}`, dir, n.http, n.https)
	file := filepath.Join(dir, "nginx.conf")
	require.NoError(t, os.WriteFile(file, []byte(conf), 0o644))
	n.cmd = startIn(t, cgroup, "nginx", "-c", file)
	waitListening(t, n.http)
	waitListening(t, n.https)
	return n
}

// workers are the processes that answer.
func (n *nginx) workers(t *testing.T) []uint32 {
	t.Helper()
	var children []string
	require.Eventually(t, func() bool { // they are made after it listens
		b, err := os.ReadFile(fmt.Sprintf("/proc/%[1]d/task/%[1]d/children", n.cmd.Process.Pid))
		children = strings.Fields(string(b))
		return err == nil && len(children) == 2
	}, testkit.Patience, 10*time.Millisecond)
	var pids []uint32
	for _, f := range children {
		pid, err := strconv.ParseUint(f, 10, 32)
		require.NoError(t, err)
		pids = append(pids, uint32(pid))
	}
	return pids
}

// curled is what curl says of a transfer.
type curled struct {
	pid  uint32
	body []byte
	// localPort and the sizes in bytes are curl's own count; sizes without TLS.
	localPort                uint16
	request, header, payload uint64
}

func (h *host) curl(args ...string) curled {
	h.t.Helper()
	return curlIn(h.t, h.cgroup, nil, args...)
}

func curlIn(t *testing.T, cgroup string, env []string, args ...string) curled {
	t.Helper()
	out := filepath.Join(t.TempDir(), "body")
	cmd := commandIn(t, cgroup, "curl", append([]string{"-sSk", "--max-time", "120", "-o", out,
		"-w", "%{local_port} %{size_request} %{size_header} %{size_download}"}, args...)...)
	cmd.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	require.NoError(t, cmd.Run(), stderr.String())
	c := curled{pid: uint32(cmd.Process.Pid)}
	_, err := fmt.Sscan(stdout.String(), &c.localPort, &c.request, &c.header, &c.payload)
	require.NoError(t, err)
	c.body, err = os.ReadFile(out)
	require.NoError(t, err)
	return c
}

// recorder keeps events.
type recorder struct {
	mu sync.Mutex
	events
	// on is called with each event before it is kept, on the goroutine of Run; nil: not.
	on func(any)
}

type events struct {
	packets   []event.Packet
	sockets   []event.Socket
	secrets   []event.Secret
	processes []event.Process
	lost      map[string]uint64
	skipped   [event.SkipReasons]uint64
	idles     int
}

func newRecorder() *recorder { return &recorder{events: events{lost: map[string]uint64{}}} }

func (r *recorder) Packet(p *event.Packet) {
	if r.on != nil {
		r.on(p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *p
	c.Data = append([]byte(nil), p.Data...)
	r.packets = append(r.packets, c)
}

func (r *recorder) Socket(s *event.Socket) {
	if r.on != nil {
		r.on(s)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sockets = append(r.sockets, *s)
}

func (r *recorder) Secret(s *event.Secret) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := *s
	c.Secret = append([]byte(nil), s.Secret...)
	c.Context = append([]byte(nil), s.Context...)
	r.secrets = append(r.secrets, c)
}

func (r *recorder) Process(p *event.Process) {
	if r.on != nil {
		r.on(p)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.processes = append(r.processes, *p)
}

func (r *recorder) Lost(kind string, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lost[kind] += n
}

func (r *recorder) Skipped(reason event.SkipReason, n uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.skipped[reason] += n
}

func (r *recorder) Idle(int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idles++
}

// connection returns the events of the sockets with the given local and remote ports, by kind.
func (r *events) connection(local, remote uint16) map[event.SocketKind]event.Socket {
	found := map[event.SocketKind]event.Socket{}
	var cookie event.Cookie
	for _, s := range r.sockets {
		if s.Local.Port() == local && s.Remote.Port() == remote {
			found[s.Kind] = s
			cookie = s.Cookie
		}
	}
	for _, s := range r.sockets { // a connecting socket has no port yet
		if s.Kind == event.SocketConnect && s.Cookie == cookie {
			found[s.Kind] = s
		}
	}
	return found
}

// stream rebuilds one direction of a socket from the sequence number of its first byte.
func (r *events) stream(t *testing.T, cookie event.Cookie, dir event.Direction, first uint32, size int) []byte {
	t.Helper()
	b, missing := make([]byte, size), bytes.Repeat([]byte{1}, size)
	for _, p := range r.packets {
		if p.Cookie != cookie || p.Dir != dir || len(p.Data) == 0 {
			continue
		}
		at := int(int32(p.Seq + p.Off - first)) // streams of tests are below 2 GiB
		require.GreaterOrEqual(t, at, 0, "before the first byte")
		require.LessOrEqual(t, at+len(p.Data), size, "after the last byte")
		copy(b[at:], p.Data)
		clear(missing[at : at+len(p.Data)])
	}
	require.Equal(t, -1, bytes.IndexByte(missing, 1), "the first missing byte of %d", size)
	return b
}
