// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	mrand "math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c" //nolint:staticcheck // net/http does not upgrade

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/http1"
)

// recorder is a proxy on loopback that feeds what passes through to a parser per connection. With
// certificates it ends TLS on both sides, for h2 by ALPN.
type recorder struct {
	net.Listener
	dial  func() (net.Conn, error)
	stats Stats
	h1    http1.Stats
	wg    sync.WaitGroup

	mu        sync.Mutex // also orders the two directions of each connection
	exchanges []*l7.Exchange
	firsts    []*l7.Exchange // of HTTP/1
}

func record(t *testing.T, backend string, secure *tls.Certificate) *recorder {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{Listener: l, dial: func() (net.Conn, error) { return net.Dial("tcp", backend) }}
	if secure != nil {
		r.Listener = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{*secure}, NextProtos: []string{"h2"}})
		r.dial = func() (net.Conn, error) {
			return tls.Dial("tcp", backend, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h2"}})
		}
	}
	r.wg.Go(func() {
		for {
			c, err := r.Accept()
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
	server, err := r.dial()
	if err != nil {
		t.Error(err)
		return
	}
	defer server.Close()
	opt := Options{KeepPayload: true, MaxBody: 4 << 20, MaxHeld: 64 << 20}
	emit := func(x *l7.Exchange) { r.exchanges = append(r.exchanges, x) }
	var p l7.Stream
	var early []byte // of the server, before the client said what this is
	copyTo := func(dst, src net.Conn, fromClient bool) {
		buf := make([]byte, 1448)
		var pos uint64
		for {
			n, err := src.Read(buf)
			if n > 0 {
				r.mu.Lock()
				if p == nil && fromClient {
					if match, _ := Sniff(buf[:n]); match {
						p = New(opt, emit, &r.stats)
					} else {
						p = http1.New(http1.Options{KeepPayload: true, OnTunnel: func(x *l7.Exchange) l7.Stream {
							opt := opt
							opt.Upgraded = x
							return New(opt, emit, &r.stats)
						}}, func(x *l7.Exchange) { r.firsts = append(r.firsts, x) }, &r.h1)
					}
					if len(early) > 0 {
						p.Data(false, time.Now().UnixNano(), 0, early)
					}
				}
				if p == nil {
					early = append(early, buf[:n]...)
				} else {
					p.Data(fromClient, time.Now().UnixNano(), pos, buf[:n])
				}
				r.mu.Unlock()
				pos += uint64(n)
				if _, err := dst.Write(buf[:n]); err != nil {
					return
				}
			}
			if err != nil {
				if c, ok := dst.(interface{ CloseWrite() error }); ok {
					_ = c.CloseWrite()
				}
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
	if p != nil {
		p.Close(time.Now().UnixNano(), false)
	}
}

// done ends the recording and returns what was seen.
func (r *recorder) done(t *testing.T) []*l7.Exchange {
	t.Helper()
	r.Close()
	r.wg.Wait()
	checkBooks(t, nil, &r.stats)
	if n := r.stats.Desyncs.Load() + r.stats.UnknownFields.Load(); n > 0 {
		t.Errorf("%d desyncs, %d unknown fields", r.stats.Desyncs.Load(), r.stats.UnknownFields.Load())
	}
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

func curl(t *testing.T, args ...string) []byte {
	t.Helper()
	out, err := exec.Command("curl", append([]string{"-sS", "-k", "--max-time", "120", "--noproxy", "*"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("curl %q: %v %s", args, err, out)
	}
	return out
}

func sum(b []byte) string { return fmt.Sprintf("%x", sha256.Sum256(b)) }

// echo answers with the sum of what it got, in headers and trailers, and with content of the size asked for.
var echo = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	var size int
	_, _ = fmt.Sscan(req.Header.Get("X-Size"), &size)
	w.Header().Set("Trailer", "X-End")
	w.Header().Set("X-Id", req.Header.Get("X-Id"))
	w.Header().Set("X-Sum", sum(body))
	w.Header().Add("X-Trailed", req.Trailer.Get("X-Last"))
	if req.URL.Query().Has("early") {
		w.WriteHeader(http.StatusEarlyHints)
	}
	w.WriteHeader(200 + len(body)%7)
	for left := size; left > 0; {
		n := min(left, 1+mrand.IntN(9000))
		_, _ = w.Write(bytes.Repeat([]byte(req.Header.Get("X-Id")+";"), n)[:n])
		left -= n
	}
	w.Header().Set("X-End", "end of "+req.Header.Get("X-Id"))
})

func goServer(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h2c.NewHandler(echo, &http2.Server{})} //nolint:staticcheck // as above
	var wg sync.WaitGroup
	wg.Go(func() { _ = srv.Serve(l) })
	t.Cleanup(func() { _ = srv.Close(); wg.Wait() })
	return l.Addr().String()
}

// TestGoMultiplexed compares with what Go's client and server (golang.org/x/net/http2) say at both ends.
func TestGoMultiplexed(t *testing.T) {
	r := record(t, goServer(t), nil)
	tr := &http.Transport{Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	type got struct {
		status  int
		header  http.Header
		body    []byte
		trailer string
		sent    []byte
	}
	const n = 400
	all := make([]got, n)
	var wg sync.WaitGroup
	work := make(chan int)
	for range 30 {
		wg.Go(func() {
			for i := range work {
				g := &all[i]
				g.sent = bytes.Repeat([]byte{byte(i)}, i*i%100_000)
				pr, pw := io.Pipe()
				req, _ := http.NewRequest(http.MethodPost, fmt.Sprintf("http://%s/%d?early", r.Addr(), i), pr)
				req.Header.Set("X-Id", strconv.Itoa(i))
				req.Header.Set("X-Size", strconv.Itoa(i*7919%200_000))
				if i%11 == 0 {
					req.Header.Set("X-Long", strings.Repeat(fmt.Sprint(i, "~"), 9000)) // needs CONTINUATION
				}
				req.Trailer = http.Header{"X-Last": nil}
				go func() {
					_, _ = pw.Write(g.sent)
					req.Trailer.Set("X-Last", fmt.Sprint("last ", i))
					pw.Close()
				}()
				res, err := tr.RoundTrip(req)
				if err != nil {
					t.Error(i, err)
					continue
				}
				g.status, g.header = res.StatusCode, res.Header
				g.body, _ = io.ReadAll(res.Body)
				res.Body.Close()
				g.trailer = res.Trailer.Get("X-End")
			}
		})
	}
	for i := range n {
		work <- i
	}
	close(work)
	wg.Wait()
	tr.CloseIdleConnections()
	xs := r.done(t)
	if len(xs) != n {
		t.Fatalf("%d exchanges", len(xs))
	}
	deepest := uint32(0)
	defer func() {
		if deepest < n/4 {
			t.Errorf("the longest connection had %d streams", deepest+1)
		}
	}()
	for _, x := range xs {
		deepest = max(deepest, x.Sequence)
		var i int
		_, _ = fmt.Sscan(x.Request.Get("x-id"), &i)
		g := all[i]
		a := x.Response
		if x.Incomplete != "" || a == nil || x.Interim != 1 || !x.Request.Complete || !a.Complete || x.Request.Target != fmt.Sprintf("/%d?early", i) || x.Request.Get("host") != r.Addr().String() {
			t.Fatalf("%d: %+v %+v", i, x, a)
		}
		if sum(x.Request.Body) != sum(g.sent) || x.Request.BodySize != uint64(len(g.sent)) || a.Get("x-sum") != sum(g.sent) {
			t.Errorf("%d: request body of %d bytes, sent %d", i, x.Request.BodySize, len(g.sent))
		}
		if sum(a.Body) != sum(g.body) || a.Status != g.status || a.Get("x-id") != strconv.Itoa(i) {
			t.Errorf("%d: response %d of %d bytes, got %d of %d", i, a.Status, a.BodySize, g.status, len(g.body))
		}
		if len(a.Trailers) != 1 || a.Trailers[0].Value != g.trailer || a.Get("x-trailed") != x.Request.Trailers[0].Value {
			t.Errorf("%d: trailers %v %v", i, a.Trailers, x.Request.Trailers)
		}
		for name, vs := range g.header {
			if a.Get(name) != vs[0] {
				t.Errorf("%d: %s is %q, got %q", i, name, a.Get(name), vs[0])
			}
		}
	}
}

// TestCurlUpgrade sees HTTP/1.1 become HTTP/2.
func TestCurlUpgrade(t *testing.T) {
	need(t, "curl")
	r := record(t, goServer(t), nil)
	url := "http://" + r.Addr().String()
	out := curl(t, "--http2", "-H", "X-Id: 7", "-H", "X-Size: 50000", url+"/a", url+"/b")
	xs := r.done(t)
	if len(r.firsts) != 1 || r.firsts[0].Response.Status != 101 || len(xs) != 2 {
		t.Fatalf("%d exchanges before, %d after", len(r.firsts), len(xs))
	}
	positions := map[uint64]bool{r.firsts[0].Position: true}
	var bodies []byte
	for i, x := range xs {
		if x.Incomplete != "" || x.Request.Target != []string{"/a", "/b"}[i] || x.Response.Version != "2" || x.Response.Get("x-id") != "7" || x.Sequence != uint32(i+1) || positions[x.Position] {
			t.Errorf("%+v %+v", x, x.Response)
		}
		positions[x.Position] = true
		bodies = append(bodies, x.Response.Body...)
	}
	if !bytes.Equal(out, bodies) {
		t.Errorf("%d bytes, curl got %d", len(bodies), len(out))
	}
}

// certificate makes one for localhost.
func certificate(t *testing.T, dir string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	k, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	_ = pem.Encode(&out, &pem.Block{Type: "PRIVATE KEY", Bytes: k})
	if err := os.WriteFile(filepath.Join(dir, "pair.pem"), out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// TestCurlAgainstNginx is nghttp2 against nginx, with prior knowledge in the clear and by ALPN in TLS.
func TestCurlAgainstNginx(t *testing.T) {
	need(t, "nginx", "curl")
	dir := t.TempDir()
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MB
	for name, b := range map[string][]byte{"big.bin": large, "small.txt": []byte("small"), "page.html": bytes.Repeat([]byte("<p>some text</p>\n"), 500)} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	cert := certificate(t, dir)
	addrs := map[string]string{}
	for _, s := range []string{"http", "https", "echo"} {
		addrs[s] = testkit.Addr(t)
	}
	conf := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(conf, []byte(fmt.Sprintf(`daemon off; master_process off; pid %[1]s/pid; error_log stderr;
events {}
http { access_log off; types { text/html html; } gzip on; gzip_min_length 1;
  client_body_temp_path %[1]s/b; proxy_temp_path %[1]s/p; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  ssl_certificate %[1]s/pair.pem; ssl_certificate_key %[1]s/pair.pem;
  server { listen %[2]s http2; listen %[3]s ssl http2; root %[1]s; location = /none { return 204; } location = /echo { proxy_pass http://%[4]s; } }
  server { listen %[4]s; location / { return 200 "done"; } } }
`, dir, addrs["http"], addrs["https"], addrs["echo"])), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("nginx", "-p", dir, "-c", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Signal(os.Interrupt); _ = cmd.Wait() })
	for i := 0; ; i++ {
		if c, err := net.Dial("tcp", addrs["https"]); err == nil {
			c.Close()
			break
		}
		if i == int(testkit.Patience/(50*time.Millisecond)) {
			t.Fatal("nginx does not listen")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for scheme, how := range map[string]string{"http": "--http2-prior-knowledge", "https": "--http2"} {
		t.Run(scheme, func(t *testing.T) {
			var secure *tls.Certificate
			if scheme == "https" {
				secure = cert
			}
			r := record(t, addrs[scheme], secure)
			url := scheme + "://" + r.Addr().String()
			out := filepath.Join(dir, "out")
			if scheme == "https" {
				curl(t, how, "-Z", "-o", out+"1", url+"/big.bin", "-o", out+"2", url+"/small.txt", "-o", out+"3", url+"/page.html", "-o", out+"4", url+"/big.bin?2")
				curl(t, how, "-I", url+"/big.bin", url+"/small.txt")
				curl(t, how, url+"/none", url+"/missing", url+"/small.txt")
			} else { // curl 7.88 fails at the second stream of a connection with prior knowledge
				for _, path := range []string{"/big.bin", "/small.txt", "/page.html", "/big.bin?2", "/none", "/missing", "/small.txt"} {
					curl(t, how, "-o", out, url+path)
				}
				curl(t, how, "-I", url+"/big.bin")
				curl(t, how, "-I", url+"/small.txt")
			}
			curl(t, how, "--data-binary", "@"+filepath.Join(dir, "page.html"), url+"/echo")
			page := curl(t, how, "-H", "Accept-Encoding: gzip", url+"/page.html")
			xs := r.done(t)
			got := map[string]int{}
			for _, x := range xs {
				if x.Incomplete != "" || x.Response == nil || x.Request.Version != "2" || x.Request.Scheme != scheme || x.Request.Get("host") != r.Addr().String() {
					t.Fatalf("%+v %+v", x, x.Response)
				}
				got[fmt.Sprintf("%s %s %d %d", x.Request.Method, x.Request.Target, x.Response.Status, x.Response.BodySize)]++
				switch {
				case strings.HasPrefix(x.Request.Target, "/big.bin") && x.Request.Method == http.MethodGet:
					if sum(x.Response.Body) != sum(large) {
						t.Error("the big file differs")
					}
				case x.Request.Target == "/echo":
					if x.Request.BodySize != 500*17 || string(x.Response.Body) != "done" {
						t.Errorf("echo: %d %q", x.Request.BodySize, x.Response.Body)
					}
				case x.Response.Get("content-encoding") == "gzip":
					if sum(x.Response.Body) != sum(page) {
						t.Error("the compressed page differs")
					}
				}
			}
			want := map[string]int{
				"GET /big.bin 200 1048576": 1, "GET /big.bin?2 200 1048576": 1, "GET /small.txt 200 5": 2, "GET /page.html 200 8500": 1,
				fmt.Sprintf("GET /page.html 200 %d", len(page)): 1, "HEAD /big.bin 200 0": 1, "HEAD /small.txt 200 0": 1, "GET /none 204 0": 1, "POST /echo 200 4": 1,
			}
			for k, n := range want {
				if got[k] != n {
					t.Errorf("%s: %d, want %d", k, got[k], n)
				}
			}
			if len(xs) != 11 {
				t.Errorf("%d exchanges: %v", len(xs), got)
			}
		})
	}
}
