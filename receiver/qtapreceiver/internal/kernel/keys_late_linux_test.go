// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// copyOpenSSL copies the system's OpenSSL into a folder.
func copyOpenSSL(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"libcrypto.so.3", "libssl.so.3"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(opensslLibrary(t)), name))
		require.NoError(t, err)
		// Renamed into place: what is mapped must not change.
		require.NoError(t, os.WriteFile(filepath.Join(dir, name+".new"), b, 0o755))
		require.NoError(t, os.Rename(filepath.Join(dir, name+".new"), filepath.Join(dir, name)))
	}
}

// serverOf starts openssl s_server by a shell command, in which $serve is its command line, and
// returns its process and its URL.
func serverOf(t *testing.T, cgroup, script string) (*exec.Cmd, string) {
	t.Helper()
	cert, key := selfSigned(t)
	port := freePort(t)
	cmd := commandIn(t, cgroup, "sh", "-c", script)
	cmd.Dir = filepath.Dir(cert)
	cmd.Env = append(os.Environ(), fmt.Sprintf("serve=openssl s_server -quiet -WWW -cert %s -key %s -port %d", cert, key, port))
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	waitListening(t, port)
	return cmd, fmt.Sprintf("https://127.0.0.1:%d/cert.pem", port)
}

// requireServed asks a server and compares its secrets with the client's key log.
func (h *host) requireServed(server *exec.Cmd, url string) {
	h.t.Helper()
	before := len(h.secretsOf(uint32(server.Process.Pid)))
	log := filepath.Join(h.t.TempDir(), "keys")
	curlIn(h.t, h.cgroup, []string{"SSLKEYLOGFILE=" + log}, url)
	requireDerived(h.t, h.secretsOf(uint32(server.Process.Pid))[before:], log)
}

// TestLibraryReplaced attaches to servers whose library was replaced while they run, as an upgrade
// does: before the capture begins, and after.
func TestLibraryReplaced(t *testing.T) {
	cgroup, dir := newCgroup(t), t.TempDir()
	copyOpenSSL(t, dir)
	first, firstURL := serverOf(t, cgroup, "LD_LIBRARY_PATH="+dir+" exec $serve")
	copyOpenSSL(t, dir)
	h := openHostIn(t, cgroup, nil)
	h.requireServed(first, firstURL)
	second, secondURL := serverOf(t, cgroup, "LD_LIBRARY_PATH="+dir+" exec $serve")
	copyOpenSSL(t, dir)
	third, thirdURL := serverOf(t, cgroup, "LD_LIBRARY_PATH="+dir+" exec $serve")
	h.requireServed(first, firstURL)
	h.requireServed(second, secondURL)
	h.requireServed(third, thirdURL)
}

// TestLibraryInMountNamespace has a library where nobody else sees it, as a container does.
func TestLibraryInMountNamespace(t *testing.T) {
	dir := t.TempDir()
	libs := filepath.Dir(opensslLibrary(t))
	script := fmt.Sprintf(`exec unshare -m sh -c 'mount -t tmpfs tmpfs %[1]s && cp %[2]s/libssl.so.3 %[2]s/libcrypto.so.3 %[1]s && LD_LIBRARY_PATH=%[1]s exec $serve'`, dir, libs)
	for name, early := range map[string]bool{"running already": true, "started later": false} {
		t.Run(name, func(t *testing.T) {
			var server *exec.Cmd
			var url string
			cgroup := newCgroup(t)
			if early {
				server, url = serverOf(t, cgroup, script)
			}
			h := openHostIn(t, cgroup, nil)
			if !early {
				server, url = serverOf(t, cgroup, script)
			}
			require.NoFileExists(t, filepath.Join(dir, "libcrypto.so.3"))
			h.requireServed(server, url)
		})
	}
}

// TestLibraryLoadedLate loads a library that nobody has looked at long after its process was
// started, and uses it soon.
func TestLibraryLoadedLate(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 1000)
	dir := t.TempDir()
	copyOpenSSL(t, dir)
	log := filepath.Join(t.TempDir(), "keys")
	python := h.command("python3", "-c", `
import os, sys, time
assert not any("libcrypto" in l for l in open("/proc/self/maps"))
time.sleep(4)
import ssl
time.sleep(0.1)
assert any(sys.argv[2] in l for l in open("/proc/self/maps"))
c = ssl._create_unverified_context()
c.keylog_filename = sys.argv[3]
import http.client
h = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=c)
h.request("GET", "/file")
assert len(h.getresponse().read()) == 1000
print(os.getpid())`, fmt.Sprint(n.https), filepath.Join(dir, "libcrypto.so.3"), log)
	python.Env = append(os.Environ(), "LD_LIBRARY_PATH="+dir)
	out, err := python.Output()
	require.NoError(t, err)
	var pid uint32
	_, err = fmt.Sscan(string(out), &pid)
	require.NoError(t, err)
	requireDerived(t, h.secretsOf(pid), log)
}

// FuzzMappings reads records that no kernel writes.
func FuzzMappings(f *testing.F) {
	real := make([]byte, 128)
	real[0], real[6], real[8], real[48], real[72] = 10, 80, 7, 1, '/'
	f.Add(real, uint64(0))
	f.Add(real, uint64(100))
	f.Fuzz(func(t *testing.T, b []byte, at uint64) {
		if len(b) < 128 {
			return
		}
		m := &mappings{seen: map[mappedFile]bool{}}
		told := 0
		size := m.record(&mappingRing{data: b[:128]}, at%(1<<62), func(uint32) { told++ })
		if size < perfHeaderSize || told != len(m.seen) {
			t.Fatal(size, told)
		}
	})
}

// TestLibraryOnOverlay has one library in the lower layer of two overlay file systems, as containers of one image do.
// Each process is read, and once: both files are one inode to the kernel.
func TestLibraryOnOverlay(t *testing.T) {
	cgroup, dir := newCgroup(t), t.TempDir()
	lower := filepath.Join(dir, "lower")
	require.NoError(t, os.Mkdir(lower, 0o755))
	copyOpenSSL(t, lower)
	// In a mount namespace of its own, as a container.
	start := func(name string) (*exec.Cmd, string) {
		for _, d := range []string{"upper", "work", "merged"} {
			require.NoError(t, os.MkdirAll(filepath.Join(dir, name, d), 0o755))
		}
		merged := filepath.Join(dir, name, "merged")
		return serverOf(t, cgroup, fmt.Sprintf(`exec unshare -m sh -c 'mount -t tmpfs tmpfs %[3]s && mkdir %[3]s/upper %[3]s/work && mount -t overlay overlay -o lowerdir=%[1]s,upperdir=%[3]s/upper,workdir=%[3]s/work %[2]s && LD_LIBRARY_PATH=%[2]s exec $serve'`,
			lower, merged, filepath.Join(dir, name, "upper")))
	}
	first, firstURL := start("first")
	h := openHostIn(t, cgroup, nil)
	second, secondURL := start("second")
	h.requireServed(first, firstURL)
	h.requireServed(second, secondURL)
	h.requireServed(first, firstURL)
}

// TestIdentifyCopiedUp: a change of mode alone makes a file of its own of one in a lower layer, with the same content,
// size and time of modification.
func TestIdentifyCopiedUp(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	require.NoError(t, unix.Mount("tmpfs", dir, "tmpfs", 0, ""))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(dir, unix.MNT_DETACH)) })
	for _, d := range []string{"lower", "upper", "work", "first", "upper2", "work2", "second"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, d), 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "lower", "lib"), []byte("library"), 0o600))
	id := func(name string) fileID {
		f, err := os.Open(filepath.Join(dir, name, "lib"))
		require.NoError(t, err)
		defer f.Close()
		id, err := identify(int(f.Fd()))
		require.NoError(t, err)
		return id
	}
	for name, n := range map[string]string{"first": "", "second": "2"} {
		options := fmt.Sprintf("lowerdir=%[1]s/lower,upperdir=%[1]s/upper%[2]s,workdir=%[1]s/work%[2]s", dir, n)
		require.NoError(t, unix.Mount("overlay", filepath.Join(dir, name), "overlay", 0, options))
		t.Cleanup(func() { require.NoError(t, unix.Unmount(filepath.Join(dir, name), unix.MNT_DETACH)) })
	}
	before := id("first")
	require.NotEmpty(t, before.lower, "needs Linux 6.6")
	require.Equal(t, before, id("second"), "one file")
	time.Sleep(20 * time.Millisecond) // the clock of file times ticks
	require.NoError(t, os.Chmod(filepath.Join(dir, "second", "lib"), 0o755))
	require.Equal(t, before, id("first"))
	require.NotEqual(t, before, id("second"))
}
