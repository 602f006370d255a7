// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// programs are the peers: each serves on a port, in a folder with a certificate, and asks n times.
type program struct {
	name string
	// secure and plain HTTP are two cases. start returns the server and asks; both end with the test.
	run func(l *lab, dir string, secure bool, n int) (asked int, servers map[int]bool, client func(port int) int)
}

// spread divides n exchanges over connections.
func spread(n, most int) (conns, each int) {
	conns = min(most, max(1, n/3))
	return conns, (n + conns - 1) / conns
}

// firstPort is a range of ports of the clients' own choice, below those that the kernel chooses.
var firstPort = atomic.Int32{}

func init() { firstPort.Store(int32(10000 + os.Getpid()*97%12000)) }

// runCurl asks nginx: in one process for each exchange, in one process for many of them one after the
// other, and in parallel.
func runCurl(l *lab, dir string, secure bool, n int) (int, map[int]bool, func(int) int) {
	port, scheme, tls := freePort(l.t), "http", ""
	if secure {
		scheme, tls = "https", fmt.Sprintf("ssl; ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem", dir)
	}
	l.nginx(port, dir, fmt.Sprintf(`listen 127.0.0.1:%d %s; location ~ ^/(?<seq>.+)$ { return 200 "seq=$seq port=$remote_port pid=$pid\n"; }`, port, tls))
	var mu sync.Mutex
	pids := map[int]int{} // of curl, by port
	var work []func()
	process := func(first, count, parallel int) {
		ports := max(1, 2*parallel)
		local := int(firstPort.Add(int32(ports))) - ports
		said := local
		var conf bytes.Buffer
		for seq := first; seq < first+count; seq++ {
			if seq > first {
				conf.WriteString("next\n")
			}
			if parallel > 0 {
				said = 0 // curl takes any of the range
			}
			fmt.Fprintf(&conf, "url = \"%s://127.0.0.1:%d/%07d\"\ndata = \"seq=%07d port=%05d pid=%07d\\n%s\"\nlocal-port = %d-%d\nhttp1.1\ninsecure\nsilent\nshow-error\noutput = /dev/null\nfail\n",
				scheme, port, seq, seq, said, 0, strings.Repeat("x", seq*7919%1999), local, local+ports-1)
		}
		args := []string{"-K", "-"}
		if parallel > 0 {
			args = append(args, "-Z", "--parallel-max", strconv.Itoa(parallel))
		}
		work = append(work, func() {
			cmd := l.command("curl", args...)
			var stderr bytes.Buffer
			cmd.Stdin, cmd.Stderr = &conf, &stderr
			if err := cmd.Start(); err != nil {
				l.t.Error(err)
				return
			}
			mu.Lock()
			for p := range ports {
				pids[local+p] = cmd.Process.Pid
			}
			mu.Unlock()
			if err := cmd.Wait(); err != nil {
				l.t.Errorf("curl: %v: %s", err, stderr.String())
			}
		})
	}
	seq := 0
	for single := min((n+19)/20, 300); seq < single; seq++ {
		process(seq, 1, 0)
	}
	for parallel := seq + n/5; seq < parallel; seq += min(200, parallel-seq) {
		process(seq, min(200, parallel-seq), 8)
	}
	for ; seq < n; seq += min(100, n-seq) {
		process(seq, min(100, n-seq), 0)
	}
	queue := make(chan func(), len(work))
	for _, w := range work {
		queue <- w
	}
	close(queue)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for w := range queue {
				w()
			}
		})
	}
	wg.Wait()
	return n, workers(l.t, dir), func(port int) int { return pids[port] }
}

// workers are the processes of the nginx in dir that answer.
func workers(t *testing.T, dir string) map[int]bool {
	b, err := os.ReadFile(filepath.Join(dir, "pid"))
	require.NoError(t, err)
	pid := strings.TrimSpace(string(b))
	b, err = os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
	require.NoError(t, err)
	out := map[int]bool{}
	for _, f := range strings.Fields(string(b)) {
		n, _ := strconv.Atoi(f)
		out[n] = true
	}
	require.NotEmpty(t, out)
	return out
}

// runPeers starts a server and asks it with a client, both made by their commands.
func runPeers(l *lab, port int, server, client *exec.Cmd, n int) (int, map[int]bool, func(int) int) {
	l.background(server, port)
	if i := slices.IndexFunc(server.Args, func(arg string) bool { return filepath.Base(arg) == "gopeer" }); i >= 0 {
		if slices.Contains(server.Args, "-cert") {
			l.found(server.Args[i]) // the client's is the same file
		}
	} else {
		time.Sleep(300 * time.Millisecond) // for a library that is not mapped by anything yet
	}
	var stderr bytes.Buffer
	client.Stderr = &stderr
	require.NoError(l.t, client.Run(), stderr.String())
	return n, map[int]bool{server.Process.Pid: true}, func(int) int { return client.Process.Pid }
}

func runGo(h2 bool, conns, streams int) func(*lab, string, bool, int) (int, map[int]bool, func(int) int) {
	return func(l *lab, dir string, secure bool, n int) (int, map[int]bool, func(int) int) {
		exe, port := goPeer(l.t), freePort(l.t)
		conns, each := spread(n, conns*streams)
		if streams > 1 {
			conns = (conns + streams - 1) / streams
		}
		addr, scheme := fmt.Sprintf("127.0.0.1:%d", port), "http"
		serve := []string{"-listen", addr}
		if secure {
			scheme, serve = "https", append(serve, "-cert", dir+"/cert.pem", "-key", dir+"/key.pem")
		}
		proto := fmt.Sprintf("-h2=%t", h2)
		return runPeers(l, port, l.command(exe, append(serve, proto)...), l.command(exe, proto, "-conns", strconv.Itoa(conns),
			"-streams", strconv.Itoa(streams), "-requests", strconv.Itoa(each), scheme+"://"+addr), each*conns*streams)
	}
}

func runNode(l *lab, dir string, secure bool, n int) (int, map[int]bool, func(int) int) {
	const script = "testdata/attribution/peer.js"
	conns, each := spread(n, 300)
	port, scheme := freePort(l.t), "http"
	serve := []string{script, "serve", strconv.Itoa(port)}
	if secure {
		scheme, serve = "https", append(serve, dir)
	}
	return runPeers(l, port, l.command("node", serve...),
		l.command("node", script, "ask", fmt.Sprintf("%s://127.0.0.1:%d", scheme, port), strconv.Itoa(conns), strconv.Itoa(each)), each*conns)
}

func runAsyncio(l *lab, dir string, secure bool, n int) (int, map[int]bool, func(int) int) {
	const script = "testdata/attribution/peer.py"
	conns, each := spread(n, 100)
	port, scheme := freePort(l.t), "http"
	serve := []string{script, "serve", strconv.Itoa(port)}
	if secure {
		scheme, serve = "https", append(serve, dir)
	}
	return runPeers(l, port, l.command("python3", serve...),
		l.command("python3", script, "ask", scheme, strconv.Itoa(port), strconv.Itoa(conns), strconv.Itoa(each)), each*conns)
}

// goPeer builds testdata/attribution/gopeer.
func goPeer(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "gopeer")
	cmd := exec.Command("go", "build", "-o", out, ".")
	cmd.Dir, cmd.Env = "testdata/attribution/gopeer", append(os.Environ(), "CGO_ENABLED=0")
	b, err := cmd.CombinedOutput()
	require.NoError(t, err, string(b))
	return out
}
