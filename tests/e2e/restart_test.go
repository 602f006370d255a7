// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// keepAlive is a client with one connection that it keeps: it gets each path that it reads.
const keepAlive = `
import http.client, ssl, sys
c = http.client.HTTPSConnection("localhost", int(sys.argv[1]), context=ssl.create_default_context(cafile=sys.argv[2]))
for line in sys.stdin:
    c.request("GET", line.strip())
    r = c.getresponse()
    print(r.status, len(r.read()), c.sock.getsockname()[1], flush=True)
`

// nodeServer is an https server that says which path was asked for.
const nodeServer = `
const https = require("https"), fs = require("fs");
https.createServer({key: fs.readFileSync(process.argv[2]), cert: fs.readFileSync(process.argv[3]), keepAliveTimeout: 600000},
  (q, r) => r.end("this is " + q.url)).listen(Number(process.argv[1]), "localhost");
`

// talker runs keepAlive against a server.
type talker struct {
	t     *testing.T
	write func(string)
	out   *bufio.Scanner
	port  string // of its connection, once there is one
}

func newTalker(t *testing.T, c *cgroup, port int, cert string) *talker {
	t.Helper()
	cmd := c.command(context.Background(), "python3", "-c", keepAlive, strconv.Itoa(port), cert)
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	cmd.Stderr = os.Stderr
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = cmd.Wait()
	})
	return &talker{t: t, out: bufio.NewScanner(stdout), write: func(path string) {
		_, err := fmt.Fprintln(stdin, path)
		require.NoError(t, err)
	}}
}

func (k *talker) get(paths ...string) {
	k.t.Helper()
	for _, path := range paths {
		k.write(path)
		require.True(k.t, k.out.Scan(), "%v", k.out.Err())
		f := strings.Fields(k.out.Text())
		require.Len(k.t, f, 3)
		require.Equal(k.t, "200", f[0])
		if k.port == "" {
			k.port = f[2]
		}
		require.Equal(k.t, k.port, f[2], "it is still the same connection")
	}
}

// connection is what the tests read of one row of GET /api/v1/connections.
type connection struct {
	Time       time.Time `json:"time"`
	Start      time.Time `json:"start"`
	State      string    `json:"state"`
	Role       string    `json:"role"`
	Requests   int       `json:"requests"`
	Visibility string    `json:"visibility"`
	Reason     string    `json:"reason"`

	Executable    string `json:"executable"`
	ServerAddress string `json:"server_address"`
	SentBytes     int64  `json:"sent_bytes"`
	ReceivedBytes int64  `json:"received_bytes"`
}

// connections lists the rows of one connection.
func (c *collector) connections(t *testing.T, since time.Time, id string) []connection {
	t.Helper()
	query := url.Values{"filter": {"connection:" + id}, "from": {since.UTC().Format(time.RFC3339Nano)}}
	var page struct {
		Connections []connection `json:"connections"`
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/connections?"+query.Encode()), &page))
	return page.Connections
}

// numbered returns "/prefix1", "/prefix2", …
func numbered(prefix string, n int) (paths []string) {
	for i := range n {
		paths = append(paths, "/"+prefix+strconv.Itoa(i+1))
	}
	return paths
}

// TestRestart starts the collector again while https connections stay open, after a SIGTERM and after a SIGKILL:
// what is said on them later is read, and each stays one connection.
func TestRestart(t *testing.T) {
	bpffs := t.TempDir()
	require.NoError(t, unix.Mount("qpoint-test", bpffs, "bpf", 0, "mode=0700"))
	t.Cleanup(func() { require.NoError(t, unix.Unmount(bpffs, unix.MNT_DETACH)) })
	directory := filepath.Join(bpffs, "qpoint")
	overlays := []string{
		"receivers::qtap::tls::restart_state::directory: " + directory,
		"receivers::qtap::connection_interval: 1s",
	}
	in, data := newCgroup(t), t.TempDir()
	start := func() *collector {
		c := launchIn(t, in, data, overlays...)
		c.ready(t)
		c.login(t)
		return c
	}
	began := time.Now().Add(-time.Second)

	c := start()
	nginx := startNginx(t, in)
	for _, p := range []string{"a", "b", "c", "d"} {
		for i := range 9 {
			require.NoError(t, os.WriteFile(filepath.Join(nginx.dir, p+strconv.Itoa(i+1)), []byte("content "+p), 0o644))
		}
	}
	cert, key := certificate(t)
	nodePort := freePort(t)
	in.start(t, "node", "-e", nodeServer, strconv.Itoa(nodePort), key, cert)
	waitPort(t, nodePort)
	talkers := map[string]*talker{"": newTalker(t, in, nginx.https, nginx.cert), "node-": newTalker(t, in, nodePort, cert)}
	get := func(name string, n int) {
		t.Helper()
		for prefix, k := range talkers {
			if prefix == "" {
				k.get(numbered(name, n)...)
			} else {
				k.get(numbered(prefix+name, n)...)
			}
		}
	}
	// both holds what both ends of an exchange have to say, and returns the connections of both ends.
	both := func(path string) map[string]string {
		t.Helper()
		client, server := c.pair(t, began, "GET", path)
		for _, r := range []request{client, server} {
			require.Equal(t, 200, r.Status, path)
			require.Equal(t, "https", r.Scheme)
			require.Equal(t, "1.3", r.TLSVersion)
			require.NotEqual(t, "not_visible", r.Payload.State)
		}
		require.Equal(t, client.TraceID, server.TraceID)
		require.Equal(t, client.SpanID, server.ParentSpanID)
		return map[string]string{"client": client.ConnectionID, "server": server.ConnectionID}
	}

	get("a", 5)
	ids := map[string]map[string]string{"": both("/a5"), "node-": both("/node-a5")}
	// again starts the collector, and waits until it has found what is open.
	again := func() {
		t.Helper()
		at := time.Now()
		c = start()
		for _, ends := range ids {
			for _, id := range ends {
				require.Eventually(t, func() bool {
					rows := c.connections(t, began, id)
					return len(rows) == 1 && rows[0].Time.After(at)
				}, testkit.Patience, 50*time.Millisecond, "connection %s", id)
			}
		}
	}

	// Nothing is said in between: the next exchange is whole.
	require.Zero(t, c.stop().ExitCode())
	again()
	require.Contains(t, c.log.String(), "TLS connections that an earlier process read are taken over")
	get("b", 2)
	require.Equal(t, ids[""], both("/b1"))
	require.Equal(t, ids["node-"], both("/node-b1"))
	require.Equal(t, ids[""], both("/b2"))

	// Killed, and a lot is said before it is back. Who answered what is known again after some exchanges.
	require.NoError(t, c.cmd.Process.Kill())
	c.stop()
	get("c", 9)
	again()
	get("d", 8)
	for _, d := range []string{"d8", "node-d8"} {
		both("/" + d)
	}
	for _, r := range c.requests(t, began) {
		require.False(t, strings.Contains(r.Path, "/c") || strings.HasPrefix(r.Path, "/node-c"), "nobody was there to see %s", r.Path)
	}
	client, server := c.pair(t, began, "GET", "/d8")
	for _, r := range []request{client, server} {
		if body := c.payload(t, r).responseBody(t); string(body) != "content d" {
			t.Errorf("the %s's payload is %q", r.Kind, body)
		}
	}

	// Every end is one connection from its beginning to its end.
	for prefix, ends := range ids {
		for end, id := range ends {
			rows := c.connections(t, began, id)
			require.Len(t, rows, 1, "%s%s", prefix, end)
			require.Equal(t, end, rows[0].Role)
			require.Equal(t, "established", rows[0].State)
			require.Equal(t, "visible", rows[0].Visibility)
			require.GreaterOrEqual(t, rows[0].Requests, 5+2, "the count goes on")
			require.Less(t, rows[0].Start.Sub(began), 20*time.Second, "its start is that of the first who saw it")
		}
	}

	// When a connection ends, its secrets go, whether the collector is there or not.
	require.Zero(t, c.stop().ExitCode())
	entries, err := os.ReadDir(directory)
	require.NoError(t, err)
	require.Len(t, entries, 2)
	for _, e := range entries {
		info, err := e.Info()
		require.NoError(t, err)
		require.Zero(t, info.Mode().Perm()&0o077)
	}
}

// TestRestartStateNeedsABPFFileSystem: a folder elsewhere would be on a disk.
func TestRestartStateNeedsABPFFileSystem(t *testing.T) {
	dir := t.TempDir()
	c := launch(t, t.TempDir(), "receivers::qtap::tls::restart_state::directory: "+dir)
	require.NotZero(t, c.exits(t, 60*time.Second))
	require.Contains(t, c.log.String(), "`tls::restart_state::directory` "+dir+" is not in a BPF file system: mount one")
}
