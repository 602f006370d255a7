// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// TestOtherPrograms takes the secrets of programs that do not read TLS from a socket
// themselves: asyncio and node keep it in memory, and node brings its own OpenSSL.
func TestOtherPrograms(t *testing.T) {
	h := openHost(t)
	n := startNginx(t, h.cgroup, 1000)
	url := fmt.Sprintf("https://127.0.0.1:%d/file", n.https)
	for name, args := range map[string][]string{
		"python": {"python3", "-c", `
import ssl, sys, urllib.request
c = ssl._create_unverified_context()
assert len(urllib.request.urlopen(sys.argv[1], context=c).read()) == 1000`, url},
		"asyncio": {"python3", "-c", `
import asyncio, ssl, sys
from urllib.parse import urlsplit
async def main():
    r, w = await asyncio.open_connection("127.0.0.1", urlsplit(sys.argv[1]).port, ssl=ssl._create_unverified_context())
    w.write(b"GET /file HTTP/1.0\r\n\r\n")
    assert len((await r.read()).split(b"\r\n\r\n", 1)[1]) == 1000
asyncio.run(main())`, url},
		"node": {"node", "-e", `
process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0"
require("https").get(process.argv[1], r => { let n = 0; r.on("data", d => n += d.length); r.on("end", () => process.exit(n == 1000 ? 0 : 1)) })`, url},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(args[0]); err != nil {
				if os.Getenv("CI") == "true" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			h.settle()
			before := len(h.secrets)
			cmd := h.command(args[0], args[1:]...)
			out, err := cmd.CombinedOutput()
			require.NoError(t, err, string(out))
			// A wrapper may have started the program, so look for its secrets by elimination.
			h.settle()
			workers := n.workers(t)
			labels := map[string]int{}
			for _, s := range h.secrets[before:] {
				if s.TGID != workers[0] && s.TGID != workers[1] {
					labels[s.Label]++
				}
			}
			require.Equal(t, map[string]int{"c hs traffic": 1, "c ap traffic": 1}, labels)
		})
	}
}

// TestNetworkNamespace sees both ends of a connection in another network namespace.
func TestNetworkNamespace(t *testing.T) {
	dir := newCgroup(t)
	h := openHostIn(t, dir, nil)
	port := freePort(t)
	out, err := h.command("unshare", "-n", "sh", "-c", fmt.Sprintf(
		`ip link set lo up; python3 -m http.server --bind 127.0.0.1 %[1]d >/dev/null 2>&1 & server=$!
for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.3; curl -sf -o /dev/null -w '%%{local_port}' http://127.0.0.1:%[1]d/ && break; done
kill $server`, port)).CombinedOutput()
	require.NoError(t, err, string(out))
	var local uint16
	_, err = fmt.Sscan(strings.TrimLeft(string(out), "0"), &local) // a failed attempt prints 0
	require.NoError(t, err, string(out))
	h.ended(local, uint16(port))
	client, server := h.connection(local, uint16(port)), h.connection(uint16(port), local)
	require.Contains(t, client, event.SocketClosed)
	require.Contains(t, server, event.SocketClosed)
	require.Equal(t, "curl", client[event.SocketConnect].Comm)
	require.Equal(t, "python3", server[event.SocketOwner].Comm)
	require.Equal(t, client[event.SocketClosed].BytesReceived, server[event.SocketClosed].BytesSent)
}

// TestOlderKernel does without what kernels before 6.6 and before 5.12 lack: the owner of an
// accepted socket then comes from the scan, secrets from perf uprobes, and the state of sockets
// from a table by their address.
func TestOlderKernel(t *testing.T) {
	for name, lacks := range map[string][]string{
		"6.5":                {featureUprobeMulti},
		"6.1 without fexit":  {featureUprobeMulti, featureTouch, featureAccept},
		"5.10 without fexit": {featureUprobeMulti, featureTouch, featureAccept, featureSockHelpers, featureCookies},
	} {
		t.Run(name, func(t *testing.T) { testOlderKernel(t, lacks) })
	}
}

func testOlderKernel(t *testing.T, lacks []string) {
	dir := newCgroup(t)
	cfg := Config{CgroupPath: dir, Level: LevelFull, Keys: true}.withDefaults()
	features := Probe(cfg)
	for i := range features {
		if slices.Contains(lacks, features[i].Name) {
			features[i].State = Missing
		}
	}
	c, err := open(cfg, features)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	h := &host{t: t, cgroup: dir, capture: c, rec: newRecorder()}
	h.run()
	n := startNginx(t, dir, 1000)

	url := fmt.Sprintf("https://127.0.0.1:%d/file", n.https)
	require.Len(t, h.secretsOf(h.curl(url).pid), 2)
	for name, args := range map[string][]string{
		"wget":                                {"-q", "--no-check-certificate", "-O", os.DevNull, url},
		buildGo(t, []string{"CGO_ENABLED=0"}): {"-wait", "500ms", url},
	} {
		needProgram(t, name)
		cmd := h.command(name, args...)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		require.Contains(t, []int{2, 4}, len(h.secretsOf(uint32(cmd.Process.Pid))), name)
	}

	if bun, err := filepath.Abs("../../../../_build/bun-musl/run"); runtime.GOARCH == "amd64" {
		require.NoError(t, err)
		needProgram(t, bun)
		cmd := h.command(bun, "-e", "await Bun.sleep(1500); await fetch(process.argv[1], {tls: {rejectUnauthorized: false}})", url)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		got := h.secretsOf(uint32(cmd.Process.Pid))
		if slices.Contains(lacks, featureCookies) {
			require.Empty(t, got)
		} else {
			require.Len(t, got, 4, "secrets of BoringSSL")
		}
	}

	cmd := h.command("python3", "-c", "import socket, sys, time; s = socket.create_connection(('127.0.0.1', int(sys.argv[1]))); time.sleep(3)", strconv.Itoa(n.http))
	require.NoError(t, cmd.Start())
	require.Eventually(t, func() bool {
		h.look()
		for _, s := range h.sockets {
			if s.Kind == event.SocketOwner && s.Role == event.RoleServer && s.Comm == "nginx" {
				require.False(t, s.PreExisting)
				require.Contains(t, n.workers(t), s.TGID)
				return true
			}
		}
		return false
	}, testkit.Patience, 50*time.Millisecond)
	require.NoError(t, cmd.Wait())
}
