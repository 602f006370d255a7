// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// recorder is a TCP proxy on loopback that feeds what passes through to a parser per connection.
type recorder struct {
	net.Listener
	backend string
	stats   Stats
	wg      sync.WaitGroup

	mu        sync.Mutex // also orders the two directions of each connection
	exchanges []*l7.Exchange
}

func record(t *testing.T, backend string) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: l, backend: backend}
	r.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r.wg.Go(func() { r.proxy(t, c) })
		}
	})
	return r
}

func (r *recorder) proxy(t *testing.T, client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", r.backend)
	if err != nil {
		t.Error(err)
		return
	}
	defer server.Close()
	p := New(Options{KeepPayload: true, MaxBody: 4 << 20}, func(x *l7.Exchange) { r.exchanges = append(r.exchanges, x) }, &r.stats)
	copyTo := func(dst, src net.Conn, fromClient bool) {
		buf := make([]byte, 1448)
		var pos uint64
		for {
			n, err := src.Read(buf)
			if n > 0 {
				r.mu.Lock()
				p.Data(fromClient, time.Now().UnixNano(), pos, buf[:n])
				r.mu.Unlock()
				pos += uint64(n)
				if _, err := dst.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				_ = dst.(*net.TCPConn).CloseWrite()
				return
			}
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { copyTo(server, client, true) })
	wg.Go(func() { copyTo(client, server, false) })
	wg.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	p.Close(time.Now().UnixNano(), false)
	checkBooks(t, p, &Stats{})
}

// done ends the recording and returns what was seen.
func (r *recorder) done(t *testing.T) []*l7.Exchange {
	t.Helper()
	r.Close()
	r.wg.Wait()
	checkBooks(t, nil, &r.stats)
	return r.exchanges
}

func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is not installed", p)
			}
			t.Skipf("%s is not installed", p)
		}
	}
}

// start runs a server until the test ends, once it accepts connections on addr.
func start(t *testing.T, addr, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for range testkit.Patience / (50 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%s does not listen on %s: %s", name, addr, out.String())
}

func curl(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("curl", append([]string{"-sS", "--max-time", "120", "--noproxy", "*"}, args...)...).Output()
	if err != nil {
		t.Fatalf("curl %q: %v", args, err)
	}
	return out
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

func TestCurlAgainstNginx(t *testing.T) {
	need(t, "nginx", "curl")
	dir := t.TempDir()
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MB
	for name, b := range map[string][]byte{"big.bin": big, "small.txt": []byte("small"), "page.html": bytes.Repeat([]byte("<p>some text</p>\n"), 500)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	addr := testkit.Addr(t)
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http { access_log off; if_modified_since before; types { text/html html; } gzip on; gzip_min_length 1; gzip_http_version 1.0;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  server { listen %[2]s; root %[1]s; location = /none { return 204; } location = /echo { return 200 "done"; } } }
`, dir, addr)), 0o644); err != nil {
		t.Fatal(err)
	}
	start(t, addr, "nginx", "-p", dir, "-c", conf)
	r := record(t, addr)
	url := "http://" + r.Addr().String()
	// One connection: keep-alive, HEAD, 304, chunked with gzip, 204, 404, a range.
	gotBig := curl(t, url+"/small.txt", url+"/big.bin")
	curl(t, "-I", url+"/big.bin", url+"/small.txt")
	curl(t, "-H", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", url+"/small.txt")
	page := curl(t, "-H", "Accept-Encoding: gzip", url+"/page.html", url+"/none", url+"/missing", url+"/small.txt")
	curl(t, "--http1.0", url+"/small.txt")
	// A request body that waits for 100-continue, and one that is chunked.
	curl(t, "-X", "POST", "-H", "Expect: 100-continue", "-H", "Transfer-Encoding: chunked", "--data-binary", "@"+filepath.Join(dir, "small.txt"), url+"/echo")
	xs := r.done(t)
	var got []string
	for _, x := range xs {
		if x.Incomplete != "" || x.Response == nil {
			t.Fatalf("%s %s: %s", x.Request.Method, x.Request.Target, x.Incomplete)
		}
		got = append(got, fmt.Sprintf("%s %s %s %d %d", x.Request.Method, x.Request.Target, x.Request.Version, x.Response.Status, x.Sequence))
		for _, m := range []*l7.Message{&x.Request, x.Response} {
			if m.Start == 0 || m.End < m.Start || x.Response.End < x.Request.Start {
				t.Errorf("%s: times %d %d", x.Request.Target, m.Start, m.End)
			}
		}
	}
	want := `GET /small.txt 1.1 200 0
GET /big.bin 1.1 200 1
HEAD /big.bin 1.1 200 0
HEAD /small.txt 1.1 200 1
GET /small.txt 1.1 304 0
GET /page.html 1.1 200 0
GET /none 1.1 204 1
GET /missing 1.1 404 2
GET /small.txt 1.1 200 3
GET /small.txt 1.0 200 0
POST /echo 1.1 200 0`
	if s := strings.Join(got, "\n"); s != want {
		t.Fatalf("got\n%s\nwant\n%s", s, want)
	}
	if sum(xs[1].Response.Body) != sum(big) || sum(gotBig[len("small"):]) != sum(big) {
		t.Error("the big body differs")
	}
	if g := xs[5].Response; g.Get("Content-Encoding") != "gzip" || g.Get("Transfer-Encoding") != "chunked" || !bytes.HasPrefix(page, g.Body) {
		t.Errorf("the compressed page differs: %d bytes, %v", len(g.Body), g.Headers)
	}
	if p := xs[10]; string(p.Request.Body) != "small" || string(p.Response.Body) != "done" {
		t.Errorf("posted %q, answered %q", p.Request.Body, p.Response.Body)
	}
}

// TestCurlAgainstPython sees close-delimited HTTP/1.0 responses.
func TestCurlAgainstPython(t *testing.T) {
	need(t, "python3", "curl")
	dir := t.TempDir()
	body := bytes.Repeat([]byte("line of text\n"), 5000)
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), body, 0o644); err != nil {
		t.Fatal(err)
	}
	addr := testkit.Addr(t)
	host, port, _ := net.SplitHostPort(addr)
	start(t, addr, "python3", "-m", "http.server", "--bind", host, "--directory", dir, port)
	r := record(t, addr)
	out := curl(t, "http://"+r.Addr().String()+"/a.txt")
	curl(t, "http://"+r.Addr().String()+"/missing", "http://"+r.Addr().String()+"/")
	xs := r.done(t)
	if len(xs) != 3 {
		t.Fatalf("%d exchanges", len(xs))
	}
	for _, x := range xs {
		if x.Incomplete != "" || x.Response == nil || x.Response.Version != "1.0" {
			t.Errorf("%+v", x)
		}
	}
	if sum(xs[0].Response.Body) != sum(body) || !bytes.Equal(out, body) || xs[1].Response.Status != 404 {
		t.Error("the body differs")
	}
}
