// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// certificate writes a key and a certificate for localhost, changed or not, and returns their paths.
func certificate(t *testing.T, change ...func(*x509.Certificate)) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "localhost"},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		IsCA:         true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, f := range change {
		f(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(private)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
	return cert, key
}

// server is a program that serves the files of a folder over http and https.
type server struct {
	http, https int // ports
	h2c, h2     int // ports for HTTP/2 without and with TLS; of nginx only
	cert        string
	dir         string
}

func (s *server) url(scheme, path string) string {
	port := s.http
	switch scheme {
	case "https":
		port = s.https
	case "h2c":
		scheme, port = "http", s.h2c
	case "h2":
		scheme, port = "https", s.h2
	}
	return scheme + "://localhost:" + strconv.Itoa(port) + path
}

// startNginx starts nginx with the folder's files, both schemes, both address families.
func startNginx(t *testing.T, c *cgroup) *server {
	t.Helper()
	s := &server{http: freePort(t), https: freePort(t), h2c: freePort(t), h2: freePort(t), dir: t.TempDir()}
	var key string
	s.cert, key = certificate(t)
	work := t.TempDir()
	require.NoError(t, os.Chmod(s.dir, 0o755))
	conf := fmt.Sprintf(`
daemon off; master_process on; worker_processes 1; user root;
pid %[1]s/nginx.pid; error_log %[1]s/error.log;
events { worker_connections 512; }
http {
  access_log off; default_type application/octet-stream;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;
  sendfile on; client_max_body_size 64m; large_client_header_buffers 8 64k;
  server {
    listen 127.0.0.1:%[2]d; listen [::1]:%[2]d;
    listen 127.0.0.1:%[3]d ssl; listen [::1]:%[3]d ssl;
    listen 127.0.0.1:%[7]d http2; listen 127.0.0.1:%[8]d ssl http2;
    ssl_certificate %[4]s; ssl_certificate_key %[5]s; ssl_protocols TLSv1.3;
    root %[6]s;
    location /echo { client_body_buffer_size 16m; return 200 "ok\n"; }
    location /proxied { proxy_pass http://127.0.0.1:%[2]d/echo; }
    location /missing { return 404 "nothing here\n"; }
    location /empty { return 204; }
    location / { add_header X-From-Server "nginx value"; }
  }
}`, work, s.http, s.https, s.cert, key, s.dir, s.h2c, s.h2)
	path := filepath.Join(work, "nginx.conf")
	require.NoError(t, os.WriteFile(path, []byte(conf), 0o600))
	c.start(t, "/usr/sbin/nginx", "-p", work, "-c", path)
	waitPort(t, s.http)
	waitPort(t, s.https)
	waitPort(t, s.h2)
	return s
}

// pythonServer echoes the request body, and answers GET /chunked in chunks.
const pythonServer = `
import http.server, socketserver, ssl, sys, threading
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *a): pass
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200); self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body))); self.end_headers(); self.wfile.write(body)
    def do_GET(self):
        self.send_response(200); self.send_header("Transfer-Encoding", "chunked"); self.end_headers()
        for i in range(20):
            part = (f"part {i} " * 50).encode()
            self.wfile.write(b"%x\r\n" % len(part) + part + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
    def do_HEAD(self):
        self.send_response(200); self.send_header("Content-Length", "12345"); self.end_headers()
class S(socketserver.ThreadingMixIn, http.server.HTTPServer): daemon_threads = True
plain = S(("127.0.0.1", int(sys.argv[1])), H)
tls = S(("127.0.0.1", int(sys.argv[2])), H)
ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); ctx.load_cert_chain(sys.argv[3], sys.argv[4])
tls.socket = ctx.wrap_socket(tls.socket, server_side=True)
threading.Thread(target=plain.serve_forever, daemon=True).start()
tls.serve_forever()
`

func startPython(t *testing.T, c *cgroup) *server {
	t.Helper()
	s := &server{http: freePort(t), https: freePort(t)}
	var key string
	s.cert, key = certificate(t)
	c.start(t, "/usr/bin/python3", "-c", pythonServer, strconv.Itoa(s.http), strconv.Itoa(s.https), s.cert, key)
	waitPort(t, s.http)
	waitPort(t, s.https)
	return s
}

// pythonClient sends a POST on one keep-alive connection as often as argv[3] says and prints the answers' lengths.
const pythonClient = `
import http.client, ssl, sys
scheme, port, times, cert = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if scheme == "https":
    conn = http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=cert))
else:
    conn = http.client.HTTPConnection("localhost", port)
for i in range(times):
    conn.request("POST", f"/python/{i}", body=('{"n": %d, "pad": "%s"}' % (i, "x" * 500)).encode(), headers={"Content-Type": "application/json"})
    print(len(conn.getresponse().read()))
`
