// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	_ "embed"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

// Sizes of what is served, in bytes.
const (
	fileSize = 1 << 10
	bigSize  = 10 << 20
)

// site is what the watched programs serve, and where.
type site struct {
	dir         string
	plain, over string // addresses
	// proxies listen here.
	proxyPlain, proxyOver string
}

// url is what a load asks for.
func (s site) url(m measurement) string {
	file := "/file"
	if m.Load == loadBulk {
		file = "/big"
	}
	proxied := m.Way == "proxy" || m.Way == "mitmproxy"
	switch {
	case m.Scheme == "https" && proxied:
		return "https://" + s.proxyOver + file
	case m.Scheme == "https":
		return "https://" + s.over + file
	case proxied:
		return "http://" + s.proxyPlain + file
	}
	return "http://" + s.plain + file
}

func newSite(c config) (site, error) {
	s := site{dir: filepath.Join(c.dir, "web")}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return s, err
	}
	for _, p := range []*string{&s.plain, &s.over, &s.proxyPlain, &s.proxyOver} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return s, err
		}
		defer l.Close() // when all are known, so that they differ
		*p = l.Addr().String()
	}
	for name, size := range map[string]int{"file": fileSize, "big": bigSize} {
		if err := os.WriteFile(filepath.Join(s.dir, name), bytes.Repeat([]byte("x"), size), 0o644); err != nil {
			return s, err
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "server.js"), nodeServer, 0o644); err != nil {
		return s, err
	}
	return s, certificate(s.dir)
}

//go:embed server.js
var nodeServer []byte

// watched is a program that is watched.
type watched struct {
	*proc.Child
	worker int // whose CPU time counts
}

// startWatched starts a program on its CPU.
func startWatched(ctx context.Context, c config, s site, program string) (*watched, error) {
	cpu := strconv.Itoa(c.watchedCPU)
	var args []string
	switch program {
	case "nginx":
		conf := filepath.Join(s.dir, "nginx.conf")
		text := nginxConf(s.dir, fmt.Sprintf("worker_cpu_affinity %b;", 1<<c.watchedCPU),
			fmt.Sprintf("server { listen %s backlog=4096; listen %s ssl backlog=4096; root %s; }", s.plain, s.over, s.dir))
		if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
			return nil, err
		}
		args = []string{"nginx", "-p", s.dir, "-c", conf}
	case "go":
		args = []string{"taskset", "-c", cpu, c.self, "serve", "-dir", s.dir, "-plain", s.plain, "-tls", s.over}
	case "node":
		_, plain, _ := net.SplitHostPort(s.plain)
		_, over, _ := net.SplitHostPort(s.over)
		args = []string{"taskset", "-c", cpu, "node", filepath.Join(s.dir, "server.js"), s.dir, plain, over}
	}
	ch, err := proc.Start(c.cgroupFD, args[0], nil, args[1:]...)
	if err != nil {
		return nil, err
	}
	w := &watched{Child: ch, worker: ch.PID()}
	err = ch.Await(ctx, time.Minute, func() error {
		if err := listens(s.plain, s.over); err != nil || program != "nginx" {
			return err
		}
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", ch.PID(), ch.PID()))
		if err != nil {
			return err
		}
		w.worker, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err
	})
	if err != nil {
		_ = ch.Stop(10 * time.Second)
		return nil, fmt.Errorf("%s: %w", program, err)
	}
	return w, nil
}

// listens says nil when somebody does at each address.
func listens(addrs ...string) error {
	for _, a := range addrs {
		conn, err := net.Dial("tcp", a)
		if err != nil {
			return err
		}
		conn.Close()
	}
	return nil
}

// nginxConf is a configuration with one worker.
func nginxConf(dir, main, http string) string {
	user := ""
	if os.Geteuid() == 0 {
		user = "user root; "
	}
	return fmt.Sprintf(`%[1]sdaemon off; worker_processes 1; %[3]s worker_rlimit_nofile 40000; pid %[2]s/pid; error_log stderr;
events { worker_connections 32768; }
http {
  access_log off; sendfile on; tcp_nopush on; open_file_cache max=10; keepalive_requests 1000000000; keepalive_timeout 300;
  default_type application/octet-stream;
  client_body_temp_path %[2]s/b; proxy_temp_path %[2]s/p; fastcgi_temp_path %[2]s/f; uwsgi_temp_path %[2]s/u; scgi_temp_path %[2]s/s;
  ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem; ssl_protocols TLSv1.3;
  %[4]s
}
`, user, dir, main, http)
}

// certificate makes a self-signed one for the sites over TLS.
func certificate(dir string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return err
	}
	b, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "cert.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert}), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "key.pem"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: b}), 0o600)
}
