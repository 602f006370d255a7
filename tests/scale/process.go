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
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// process is one that this program started. It ends with it.
type process struct {
	cmd  *exec.Cmd
	done chan struct{}

	mu  sync.Mutex
	log []byte
}

// Write implements io.Writer: what the process says, of which the last is kept.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log = append(p.log, b...); len(p.log) > 1<<20 {
		p.log = append([]byte(nil), p.log[len(p.log)-1<<19:]...)
	}
	return len(b), nil
}

func (p *process) output() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return string(p.log)
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// start starts a program, in the cgroup if cgroup is an open descriptor of one and not -1.
func start(cgroup int, name string, env []string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: cgroup >= 0, CgroupFD: max(cgroup, 0)}
	p.cmd.WaitDelay = 10 * time.Second
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { // ends with the process, which stop waits for
		defer close(p.done)
		_ = p.cmd.Wait()
	}()
	return p, nil
}

// stop ends the process and what is left of its group.
func (p *process) stop() (err error) {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(2 * time.Minute):
		err = fmt.Errorf("%s did not end within two minutes of SIGTERM", filepath.Base(p.cmd.Path))
	}
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	<-p.done
	return err
}

// await polls ok until it returns nil, the process ends or two minutes are over.
func (p *process) await(ctx context.Context, ok func() error) error {
	for end := time.Now().Add(2 * time.Minute); ; {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("%s ended: %s\n%s", filepath.Base(p.cmd.Path), p.cmd.ProcessState, p.output())
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s is not ready: %w\n%s", filepath.Base(p.cmd.Path), err, p.output())
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// pin binds every thread of a process to a CPU; threads that they make later follow.
func pin(pid, cpu int) error {
	var set unix.CPUSet
	set.Set(cpu)
	tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		return err
	}
	for _, t := range tasks {
		id, err := strconv.Atoi(t.Name())
		if err != nil {
			return err
		}
		if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("bind thread %d to CPU %d: %w", id, cpu, err)
		}
	}
	return nil
}

func childrenOf(pid int) (out []int, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended meanwhile
		}
		for _, id := range strings.Fields(string(b)) {
			n, err := strconv.Atoi(id)
			if err != nil {
				return nil, err
			}
			out = append(out, n)
		}
	}
	return out, nil
}

// tick is USER_HZ, which is 100 on every Linux that Go runs on.
const tick = 100

// cpuOf returns the CPU seconds of a process (proc_pid_stat(5): fields 14 and 15).
func cpuOf(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	if len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat: %d fields", pid, len(f))
	}
	user, err1 := strconv.ParseFloat(f[11], 64)
	system, err2 := strconv.ParseFloat(f[12], 64)
	return (user + system) / tick, errors.Join(err1, err2)
}

// machineCPU returns the CPU seconds in which the machine worked, and those that its host did not give it (proc_stat(5)).
func machineCPU() (busy, stolen float64, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var v [8]float64 // user, nice, system, idle, iowait, irq, softirq, steal
	f := strings.Fields(line)
	if len(f) < 9 {
		return 0, 0, fmt.Errorf("/proc/stat: cannot read %q", line)
	}
	for i := range v {
		if v[i], err = strconv.ParseFloat(f[i+1], 64); err != nil {
			return 0, 0, err
		}
	}
	return (v[0] + v[1] + v[2] + v[5] + v[6]) / tick, v[7] / tick, nil
}

// resident returns the bytes of memory that a process has; 0 when it is gone.
func resident(pid int) uint64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	if f := strings.Fields(after); len(f) > 0 {
		n, _ := strconv.ParseUint(f[0], 10, 64)
		return n << 10
	}
	return 0
}

func loadAverage() float64 {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

// sample is one line of a collector's own metrics.
type sample struct {
	name, labels string
	value        float64
}

// scrape reads metrics in Prometheus' text format. Names lose their `_total`.
func scrape(ctx context.Context, url string) (out []sample, err error) {
	text, err := get(ctx, url)
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		if at < 0 || strings.HasPrefix(line, "#") {
			continue
		}
		v, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			return nil, fmt.Errorf("%s: %q: %w", url, line, err)
		}
		name, labels, _ := strings.Cut(strings.TrimSuffix(line[:at], "}"), "{")
		out = append(out, sample{strings.TrimSuffix(name, "_total"), labels, v})
	}
	return out, nil
}

// sum adds up the samples of a name whose labels have the text.
func sum(samples []sample, name, label string) (v float64) {
	for _, s := range samples {
		if s.name == name && strings.Contains(s.labels, label) {
			v += s.value
		}
	}
	return v
}

// once keeps no connection: one that was idle for a step may just be closed by the other end.
var once = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func get(ctx context.Context, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := once.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, res.Status)
	}
	return io.ReadAll(res.Body)
}

// freePorts returns ports of loopback that nobody listens on.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// certificate makes one of localhost that is its own authority.
func certificate(dir string) (cert, key string, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return "", "", err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		return "", "", err
	}
	keyDER, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		return "", "", err
	}
	cert, key = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	return cert, key, errors.Join(
		os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600),
		os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}), 0o600))
}
