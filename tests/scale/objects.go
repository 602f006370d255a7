// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

// packing is what one host's agent asked of the bucket at one rate.
type packing struct {
	Rate     float64 `json:"exchanges_per_second"` // of the host
	Services int     `json:"services"`             // that make them: each has objects of its own
	Each     bool    `json:"one_object_each"`
	Sent     int     `json:"exchanges_sent"`
	Stored   float64 `json:"exchanges_stored"`
	Objects  float64 `json:"objects"`
	// Requests to the bucket by method, as the bucket got them.
	Requests map[string]int `json:"requests"`
	// PerMillion are requests per million exchanges.
	PerMillion float64 `json:"requests_per_million"`
	Bytes      float64 `json:"bytes_per_exchange"`
}

// cells are the rates that are measured, of one host.
var cells = []packing{
	{Rate: 1, Services: 1}, {Rate: 10, Services: 1}, {Rate: 100, Services: 1}, {Rate: 500, Services: 1},
	{Rate: 10, Services: 10}, {Rate: 100, Services: 10}, {Rate: 500, Services: 10},
	{Rate: 100, Services: 1, Each: true},
}

// packer is a host with an agent that watches one cgroup, and a bucket behind a door that counts.
type packer struct {
	dir, load, cgroup string
	folder            *os.File
	serving           string // address of the server that is asked
	door              *door
}

// door counts the requests that go to the bucket.
type door struct {
	*httputil.ReverseProxy
	mu   sync.Mutex
	seen map[string]int
}

// ServeHTTP implements http.Handler.
func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	d.mu.Lock()
	d.seen[r.Method]++
	d.mu.Unlock()
	d.ReverseProxy.ServeHTTP(w, r)
}

// take returns what was counted since the last time.
func (d *door) take() map[string]int {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := d.seen
	d.seen = map[string]int{}
	return seen
}

// objects counts what packing asks of a bucket: the real capture of real traffic, packed and stored by the real binary.
func objects(ctx context.Context, c config) (out []packing, err error) {
	p := &packer{dir: c.dir, load: filepath.Join(c.dir, "load")}
	build := exec.CommandContext(ctx, "go", "build", "-o", p.load, "./tests/load")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return nil, fmt.Errorf("build ./tests/load: %w", err)
	}
	if err := p.makeCgroup(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.removeCgroup()) }()
	keys, stopBucket, err := p.bucket(ctx, c)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, stopBucket()) }()
	server, err := p.server(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, server()) }()
	for _, each := range []bool{false, true} {
		if err := p.measure(ctx, c, keys, each, &out); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// measure measures the cells of one way of packing with one agent.
func (p *packer) measure(ctx context.Context, c config, keys []string, each bool, out *[]packing) (err error) {
	ports, err := freePorts(1)
	if err != nil {
		return err
	}
	most := "2000"
	if each {
		most = "1"
	}
	dir, err := os.MkdirTemp(p.dir, "agent-")
	if err != nil {
		return err
	}
	agent, err := proc.Start(-1, c.collector, append(keys, "CGROUP="+p.cgroup, "MAX_ENTRIES="+most, "QPOINT_DATA_DIR="+dir,
		fmt.Sprintf("QPOINT_METRICS_PORT=%d", ports[0])), "--config", filepath.Join("tests", "scale", "configs", "packing.yaml"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, agent.Stop(ready)) }()
	if err := agent.Await(ctx, ready, func() error {
		if !bytes.Contains(agent.Output(), []byte("Everything is ready")) {
			return errors.New("it has not said that everything is ready")
		}
		return nil
	}); err != nil {
		return err
	}
	metrics := fmt.Sprintf("http://127.0.0.1:%d/metrics", ports[0])
	for _, x := range cells {
		if x.Each != each {
			continue
		}
		if err := p.cell(ctx, &x, c.packing, metrics); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "%4.0f exchanges/s of %d services, one each: %t: %d sent, %.0f stored, %.0f objects, requests %v: %.0f a million\n",
			x.Rate, x.Services, x.Each, x.Sent, x.Stored, x.Objects, x.Requests, x.PerMillion)
		*out = append(*out, x)
	}
	return nil
}

// cell sends exchanges and waits until they are stored.
func (p *packer) cell(ctx context.Context, x *packing, d time.Duration, metrics string) error {
	read := func() (entries, objects, bytes float64, err error) {
		samples, err := scrape(ctx, metrics)
		return sum(samples, "otelcol_exporter_qpoint_s3_entries", ""), sum(samples, "otelcol_exporter_qpoint_s3_objects", ""), sum(samples, "otelcol_exporter_qpoint_s3_bytes", ""), err
	}
	entries, stored, size, err := read()
	if err != nil {
		return err
	}
	p.door.take()
	answered := make([]int, x.Services)
	failed := make([]error, x.Services)
	var all sync.WaitGroup
	for i := range x.Services {
		all.Go(func() { answered[i], failed[i] = p.send(ctx, i, x.Rate/float64(x.Services), d) })
	}
	all.Wait()
	if err := errors.Join(failed...); err != nil {
		return err
	}
	for _, n := range answered {
		x.Sent += n
	}
	// Segments close after 5 s. What is not there when nothing has come for far longer was lost, and is not counted as stored.
	last := time.Now()
	for before := -1.0; time.Since(last) < 30*time.Second; {
		now, objects, bytes, err := read()
		if err != nil {
			return err
		}
		if now != before {
			before, last = now, time.Now()
		}
		if x.Stored, x.Objects, x.Bytes = now-entries, objects-stored, (bytes-size)/max(1, now-entries); x.Stored >= float64(x.Sent) {
			break
		}
		if err := proc.Pause(ctx, 200*time.Millisecond); err != nil {
			return err
		}
	}
	if x.Stored == 0 {
		return errors.New("no exchange was stored")
	}
	x.Requests = p.door.take()
	total := 0
	for _, n := range x.Requests {
		total += n
	}
	x.PerMillion = float64(total) / x.Stored * 1e6
	return nil
}

// send runs one client in the cgroup: a program of its own name, so a service of its own.
func (p *packer) send(ctx context.Context, service int, rate float64, d time.Duration) (answered int, err error) {
	name := filepath.Join(p.dir, fmt.Sprintf("service-%d", service))
	if err := os.Link(p.load, name); err != nil && !errors.Is(err, os.ErrExist) {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, name, "send", "-http", p.serving, "-rate", fmt.Sprint(rate), "-duration", d.String(), "-connections", "4", "-fresh", "0")
	cmd.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(p.folder.Fd())}
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	var said struct {
		Answered int    `json:"answered"`
		Failed   int    `json:"failed"`
		Error    string `json:"error"`
	}
	if err := json.Unmarshal(b, &said); err != nil {
		return 0, err
	}
	if said.Failed > 0 {
		return 0, fmt.Errorf("%d requests failed: %s", said.Failed, said.Error)
	}
	return said.Answered, nil
}

// server starts what is asked. It is outside the cgroup: an exchange is seen at the client's end only.
func (p *packer) server(ctx context.Context) (stop func() error, err error) {
	cert, key, err := certificate(p.dir)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, p.load, "serve", "-cert", cert, "-key", key)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() error { return errors.Join(stdin.Close(), cmd.Wait()) }
	said := bufio.NewReader(stdout)
	line, err := said.ReadBytes('\n')
	var at struct {
		HTTP string `json:"http"`
	}
	if err == nil {
		err = json.Unmarshal(line, &at)
	}
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	p.serving = at.HTTP
	return stop, nil
}

var credential = regexp.MustCompile(`(?m)^aws_(access_key_id|secret_access_key)\s*=\s*(\S+)$`)

// bucket starts an S3 server, and the door before it. It returns what an agent has to be told in its environment.
func (p *packer) bucket(ctx context.Context, c config) (environment []string, stop func() error, err error) {
	ports, err := freePorts(1)
	if err != nil {
		return nil, nil, err
	}
	dir, err := os.MkdirTemp(p.dir, "bucket-")
	if err != nil {
		return nil, nil, err
	}
	s3, err := proc.Start(-1, c.collector, []string{"QPOINT_DATA_DIR=" + dir, fmt.Sprintf("S3_PORT=%d", ports[0])}, "--config", filepath.Join("tests", "scale", "configs", "bucket.yaml"))
	if err != nil {
		return nil, nil, err
	}
	var found [][][]byte
	err = s3.Await(ctx, ready, func() error {
		b, err := os.ReadFile(filepath.Join(dir, "s3", "credentials"))
		if found = credential.FindAllSubmatch(b, -1); err == nil && (len(found) != 2 || !bytes.Contains(s3.Output(), []byte("Everything is ready"))) {
			err = errors.New("the bucket is not there")
		}
		return err
	})
	if err != nil {
		return nil, nil, errors.Join(err, s3.Stop(ready))
	}
	target := &url.URL{Scheme: "http", Host: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	p.door = &door{seen: map[string]int{}, ReverseProxy: &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, errors.Join(err, s3.Stop(ready))
	}
	server := &http.Server{Handler: p.door}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }() // ends with stop
	stop = func() error {
		err := server.Close()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return errors.Join(err, s3.Stop(ready))
	}
	environment = []string{"S3_ENDPOINT=http://" + l.Addr().String()}
	for _, m := range found {
		environment = append(environment, map[string]string{"access_key_id": "S3_ACCESS_KEY=", "secret_access_key": "S3_SECRET_KEY="}[string(m[1])]+string(m[2]))
	}
	return environment, stop, nil
}

// makeCgroup makes a cgroup v2 folder for the clients: nothing else on the host is captured.
func (p *packer) makeCgroup() (err error) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			if p.cgroup, err = os.MkdirTemp(f[1], "qpoint-scale-"); err != nil {
				return err
			}
			p.folder, err = os.Open(p.cgroup)
			return err
		}
	}
	return errors.New("no cgroup v2 is mounted")
}

// removeCgroup waits for the kernel, which lets go of a cgroup a moment after its last process.
func (p *packer) removeCgroup() (err error) {
	_ = p.folder.Close()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = os.Remove(p.cgroup); err == nil {
			return nil
		}
	}
	return err
}
