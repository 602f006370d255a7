// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// site is what nginx serves.
type site struct {
	dir, conf   string
	plain, over string // addresses
}

func (s site) url(name string) string {
	if name == "https" {
		return "https://" + s.over + "/file"
	}
	return "http://" + s.plain + "/file"
}

func newSite(c config) (site, error) {
	s := site{dir: filepath.Join(c.dir, "web")}
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return s, err
	}
	for _, p := range []*string{&s.plain, &s.over} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return s, err
		}
		*p = l.Addr().String()
		l.Close()
	}
	if err := os.WriteFile(filepath.Join(s.dir, "file"), bytes.Repeat([]byte("x"), c.size), 0o644); err != nil {
		return s, err
	}
	if err := certificate(s.dir); err != nil {
		return s, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root; "
	}
	s.conf = filepath.Join(s.dir, "nginx.conf")
	text := fmt.Sprintf(`%[1]sdaemon off; worker_processes 1; worker_cpu_affinity %[2]b; pid %[3]s/pid; error_log stderr;
events { worker_connections 4096; }
http {
  access_log off; sendfile on; tcp_nopush on; open_file_cache max=10; keepalive_requests 1000000000; keepalive_timeout 300;
  default_type application/octet-stream;
  client_body_temp_path %[3]s/b; proxy_temp_path %[3]s/p; fastcgi_temp_path %[3]s/f; uwsgi_temp_path %[3]s/u; scgi_temp_path %[3]s/s;
  ssl_certificate %[3]s/cert.pem; ssl_certificate_key %[3]s/key.pem; ssl_protocols TLSv1.3;
  server { listen %[4]s; listen %[5]s ssl; root %[3]s; }
}
`, user, 1<<c.nginxCPU, s.dir, s.plain, s.over)
	return s, os.WriteFile(s.conf, []byte(text), 0o644)
}

// certificate makes a self-signed one for the https case.
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

// child is a process that this program started, the leader of a process group of its own.
type child struct {
	cmd  *exec.Cmd
	log  bytes.Buffer
	done chan struct{}
}

// enterCgroup opens the cgroup for startChild, and makes it if needed.
func (c *config) enterCgroup() (leave func(), err error) {
	c.cgroupFD = -1
	if c.cgroup == "" {
		return func() {}, nil
	}
	made := os.Mkdir(c.cgroup, 0o755)
	if made != nil && !errors.Is(made, os.ErrExist) {
		return nil, fmt.Errorf("-cgroup: %w", made)
	}
	f, err := os.Open(c.cgroup)
	if err != nil {
		return nil, fmt.Errorf("-cgroup: %w", err)
	}
	c.cgroupFD = int(f.Fd())
	return func() {
		f.Close()
		if made == nil {
			os.Remove(c.cgroup)
		}
	}, nil
}

// attributes start a process in a process group of its own, in the cgroup if there is one.
func attributes(cgroupFD int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: cgroupFD >= 0, CgroupFD: max(cgroupFD, 0)}
}

func startChild(cgroupFD int, name string, env []string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(name, args...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.SysProcAttr = attributes(cgroupFD)
	c.cmd.WaitDelay = time.Second // what it leaves behind may hold its output open
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = c.cmd.Wait()
		close(c.done)
	}()
	return c, nil
}

func (c *child) pid() int { return c.cmd.Process.Pid }

// stop ends the process, and whatever is left of its group.
func (c *child) stop(patience time.Duration) error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-c.done:
	case <-time.After(patience):
		err = fmt.Errorf("%s did not end within %v of SIGTERM", filepath.Base(c.cmd.Path), patience)
	}
	_ = syscall.Kill(-c.pid(), syscall.SIGKILL)
	<-c.done
	return err
}

// tail is the end of the process's output.
func (c *child) tail() string {
	lines := strings.Split(strings.TrimSpace(c.log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// await polls ok until it returns nil, the child ends or patience does.
func (c *child) await(ctx context.Context, patience time.Duration, ok func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended: %s\n%s", filepath.Base(c.cmd.Path), c.cmd.ProcessState, c.tail())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w", filepath.Base(c.cmd.Path), patience, err)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

type nginx struct {
	*child
	worker int
}

func (n *nginx) stop() { _ = n.child.stop(10 * time.Second) }

func startNginx(ctx context.Context, conf config, s site) (*nginx, error) {
	c, err := startChild(conf.cgroupFD, "nginx", nil, "-p", s.dir, "-c", s.conf)
	if err != nil {
		return nil, err
	}
	n := &nginx{child: c}
	err = c.await(ctx, 10*time.Second, func() error {
		conn, err := net.Dial("tcp", s.over)
		if err != nil {
			return err
		}
		conn.Close()
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", c.pid(), c.pid()))
		if err != nil {
			return err
		}
		n.worker, err = strconv.Atoi(strings.TrimSpace(string(b)))
		return err
	})
	if err != nil {
		n.stop()
		return nil, err
	}
	return n, nil
}

type collector struct {
	*child
	data string
}

func startCollector(ctx context.Context, c config) (*collector, error) {
	if _, err := scrape(ctx, c.metrics); err == nil {
		return nil, fmt.Errorf("something answers at %s already: stop it first", c.metrics)
	}
	data, err := os.MkdirTemp(c.dir, "data-")
	if err != nil {
		return nil, err
	}
	name, args := c.collector, append([]string{"--config", c.config}, c.args...)
	if c.collectorCPUs != "" {
		name, args = "taskset", append([]string{"-c", c.collectorCPUs, c.collector}, args...)
	}
	ch, err := startChild(-1, name, []string{"QPOINT_DATA_DIR=" + data}, args...)
	if err != nil {
		return nil, err
	}
	col := &collector{ch, data}
	err = ch.await(ctx, 2*time.Minute, func() error {
		_, err := scrape(ctx, c.metrics)
		return err
	})
	if err == nil {
		err = pause(ctx, c.settle)
	}
	if err != nil {
		return nil, errors.Join(err, col.stop())
	}
	return col, nil
}

func (c *collector) stop() error {
	err := c.child.stop(time.Minute)
	return errors.Join(err, os.RemoveAll(c.data))
}

// load is what wrk reports.
type load struct {
	requests, errors uint64
	rate             float64
}

func wrk(ctx context.Context, c config, url string, d time.Duration) (load, error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(c.loadCPU), "wrk", "-t1",
		"-c"+strconv.Itoa(c.connections), "-d"+strconv.Itoa(int(d.Round(time.Second)/time.Second))+"s", url)
	cmd.SysProcAttr = attributes(c.cgroupFD)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return load{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

func parseWrk(out string) (l load, err error) {
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		switch {
		case len(f) > 3 && f[1] == "requests" && f[2] == "in":
			l.requests, err = strconv.ParseUint(f[0], 10, 64)
		case len(f) == 2 && f[0] == "Requests/sec:":
			l.rate, err = strconv.ParseFloat(f[1], 64)
		case len(f) > 2 && f[0] == "Non-2xx" || len(f) > 2 && f[0] == "Socket":
			for _, w := range f {
				if n, err := strconv.ParseUint(strings.Trim(w, ","), 10, 64); err == nil {
					l.errors += n
				}
			}
		}
		if err != nil {
			return l, fmt.Errorf("wrk said %q: %w", line, err)
		}
	}
	if l.requests == 0 || l.rate == 0 {
		return l, fmt.Errorf("wrk made no requests: %s", out)
	}
	return l, nil
}

// clockTick is USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 100

// processCPU returns the user and system seconds of a process (proc_pid_stat(5), fields 14 and 15).
func processCPU(pid int) (user, system float64, err error) {
	f, err := statFields(pid)
	if err != nil {
		return 0, 0, err
	}
	u, err := strconv.ParseUint(f[13-2], 10, 64)
	if err != nil {
		return 0, 0, err
	}
	s, err := strconv.ParseUint(f[14-2], 10, 64)
	return float64(u) / clockTick, float64(s) / clockTick, err
}

// statFields are the fields of /proc/<pid>/stat from the third on: the second may hold spaces.
func statFields(pid int) ([]string, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	i := bytes.LastIndexByte(b, ')')
	f := strings.Fields(string(b[i+1:]))
	if i < 0 || len(f) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	return f, nil
}

// groupCPU returns the CPU seconds of all processes of a process group.
func groupCPU(pgid int) (sum float64, err error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, err
	}
	found := false
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		f, err := statFields(pid)
		if err != nil || f[0] == "Z" || f[2] != strconv.Itoa(pgid) {
			continue // ended meanwhile, or not ours
		}
		u, s, err := processCPU(pid)
		if err == nil {
			sum += u + s
			found = true
		}
	}
	if !found {
		return 0, fmt.Errorf("process group %d is gone", pgid)
	}
	return sum, nil
}

func loadAverage() float64 {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

func peakRSS(pid int) uint64 {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			n, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			return n << 10
		}
	}
	return 0
}

// client does not keep connections: they would be captured.
var client = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
	DisableKeepAlives: true, TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
}}
