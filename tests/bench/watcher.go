// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/tests/bench/peer"
	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

// watcher is what watches, or stands in the way: a process group of its own.
type watcher struct {
	*proc.Child
	way  way
	data string // its folder
}

// startBefore starts what is there before the watched program is: the collector, as a service of the host.
func startBefore(ctx context.Context, c config, w way) (*watcher, error) {
	if w.level == "" {
		return nil, nil
	}
	if _, err := scrape(ctx, c.metrics); err == nil {
		return nil, fmt.Errorf("something answers at %s already: stop it first", c.metrics)
	}
	data, err := os.MkdirTemp(c.dir, "data-")
	if err != nil {
		return nil, err
	}
	name := c.collector
	args := append([]string{"--config", filepath.Join(c.configs, w.config), "--config", "yaml:receivers::qtap::level: " + w.level}, c.args...)
	if c.cgroup != "" {
		args = append(args, "--config", "yaml:receivers::qtap::cgroup: "+c.cgroup)
	}
	if c.collectorCPUs != "" {
		name, args = "taskset", append([]string{"-c", c.collectorCPUs, c.collector}, args...)
	}
	ch, err := proc.Start(-1, name, []string{"QPOINT_DATA_DIR=" + data}, args...)
	if err != nil {
		return nil, err
	}
	x := &watcher{Child: ch, way: w, data: data}
	err = ch.Await(ctx, 2*time.Minute, func() error {
		_, err := scrape(ctx, c.metrics)
		return err
	})
	if err == nil {
		err = proc.Pause(ctx, c.settle)
	}
	if err != nil {
		return nil, errors.Join(err, x.stop())
	}
	return x, nil
}

// startAfter starts what needs the watched program to be there; nil when the way is none of those.
func startAfter(ctx context.Context, c config, s site, m measurement, on *watched) (*watcher, error) {
	w := wayNamed(m.Way)
	data, err := os.MkdirTemp(c.dir, "data-")
	if err != nil {
		return nil, err
	}
	var args []string
	var ready func(*proc.Child) error
	switch {
	case w.peer != "":
		args = []string{c.self, "peer", "-way", string(w.peer), "-pid", strconv.Itoa(on.worker)}
		ready = said("ready")
	case w.name == "proxy":
		conf := filepath.Join(data, "nginx.conf")
		listen, to := s.proxyPlain, s.plain
		if m.Scheme == "https" {
			listen, to = s.proxyOver+" ssl", s.over
		}
		server := fmt.Sprintf(`upstream there { server %s; keepalive 64; }
  server { listen %s; location / { proxy_pass %s://there; proxy_http_version 1.1; proxy_ssl_protocols TLSv1.3; proxy_set_header Connection ""; } }`, to, listen, m.Scheme)
		if err := errors.Join(certificate(data), os.WriteFile(conf, []byte(nginxConf(data, "", server)), 0o644)); err != nil {
			return nil, err
		}
		args = []string{"nginx", "-p", data, "-c", conf}
		ready = func(*proc.Child) error { return listens(proxyOf(s, m)) }
	case w.name == "mitmproxy":
		to := "http://" + s.plain
		if m.Scheme == "https" {
			to = "https://" + s.over
		}
		host, port, err := net.SplitHostPort(proxyOf(s, m))
		if err != nil {
			return nil, err
		}
		args = []string{"mitmdump", "-q", "--ssl-insecure", "--set", "confdir=" + data, "--listen-host", host, "--listen-port", port, "--mode", "reverse:" + to}
		ready = func(*proc.Child) error { return listens(proxyOf(s, m)) }
	case w.name == "tshark":
		_, port, err := net.SplitHostPort(s.plain)
		if err != nil {
			return nil, err
		}
		args = []string{"tshark", "-i", "lo", "-f", "tcp port " + port, "-l", "-Y", "http", "-T", "fields", "-e", "http.request.method", "-e", "http.request.uri", "-e", "http.response.code"}
		ready = said("Capturing on")
	default:
		return nil, os.RemoveAll(data)
	}
	as := proc.Attributes(c.cgroupFD)
	if w.peer != "" {
		as.Unshareflags = syscall.CLONE_NEWNS // for mountTracefs
	}
	ch, err := proc.StartAs(as, args[0], nil, args[1:]...)
	if err != nil {
		return nil, err
	}
	x := &watcher{Child: ch, way: w, data: data}
	if err := ch.Await(ctx, time.Minute, func() error { return ready(ch) }); err != nil {
		return nil, errors.Join(err, x.stop())
	}
	return x, nil
}

func proxyOf(s site, m measurement) string {
	if m.Scheme == "https" {
		return s.proxyOver
	}
	return s.proxyPlain
}

// said is ready when the process has written the text.
func said(text string) func(*proc.Child) error {
	return func(c *proc.Child) error {
		if !bytes.Contains(c.Output(), []byte(text)) {
			return fmt.Errorf("it has not said %q", text)
		}
		return nil
	}
}

// stop ends the watcher.
func (w *watcher) stop() error {
	return errors.Join(w.Stop(time.Minute), os.RemoveAll(w.data))
}

// counts are what the comparison program copied: it says so at its end.
func (w *watcher) counts() (n peer.Counts, err error) {
	lines := bytes.Split(bytes.TrimSpace(w.Output()), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &n); err != nil {
		return n, fmt.Errorf("the comparison program ended without its counts: %s", w.Tail())
	}
	return n, nil
}

// peerCommand is the process of the comparison program.
func peerCommand(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("peer", flag.ContinueOnError)
	way := f.String("way", "", "how to read")
	pid := f.Int("pid", 0, "whom to read")
	if err := f.Parse(args); err != nil {
		return err
	}
	if err := mountTracefs(); err != nil {
		return err
	}
	n, err := peer.Run(ctx, peer.Way(*way), *pid, func() { fmt.Println("ready") })
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(n)
}

// mountTracefs mounts, in this process's own mount namespace, what tracepoints are found in, where the host has not.
func mountTracefs() error {
	const folder = "/sys/kernel/tracing"
	var fs unix.Statfs_t
	if err := unix.Statfs(folder, &fs); err != nil {
		return fmt.Errorf("%s: %w", folder, err)
	}
	if fs.Type == unix.TRACEFS_MAGIC {
		return nil
	}
	if err := unix.Mount("tracefs", folder, "tracefs", 0, ""); err != nil {
		return fmt.Errorf("mount tracefs: %w", err)
	}
	return nil
}
