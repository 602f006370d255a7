// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/tests/proc"
)

// generator makes the load of one measurement. Around run, nothing of it works on the watched program.
type generator interface {
	// run makes the load.
	run(ctx context.Context) (outcome, error)
	// close ends what is left of it.
	close() error
}

// startLoad opens connections, warms up, and leaves the load ready to run.
func startLoad(ctx context.Context, c config, m measurement, url string) (generator, error) {
	s := schedule{connections: c.connections, warm: time.Second}
	switch m.Load {
	case loadSaturate, loadBulk:
		w := wrk{c: c, url: url, connections: c.connections}
		if m.Load == loadBulk {
			w.connections = 4
		}
		w.c.duration = time.Second
		// Warms up. What is slow may not answer within that second; whether it answers at all, the load will show.
		_, _ = w.run(ctx)
		w.c.duration = c.duration
		return w, nil
	case load2k:
		s.rate = 2000
	case load10k:
		s.rate = 10000
	case loadOpen:
		s.rate, s.connections = 10000, 10000
	case loadTLS:
		s.rate, s.connections, s.fresh = 1000, 64, true
	}
	args := []string{"-c", strconv.Itoa(c.loadCPU), c.self, "load", "-url", url, "-rate", strconv.FormatFloat(s.rate, 'f', -1, 64),
		"-connections", strconv.Itoa(s.connections), "-fresh=" + strconv.FormatBool(s.fresh), "-warm", s.warm.String(), "-duration", c.duration.String()}
	cmd := exec.CommandContext(ctx, "taskset", args...)
	cmd.SysProcAttr = proc.Attributes(c.cgroupFD)
	var said strings.Builder
	cmd.Stderr = &said
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &openLoop{cmd: cmd, in: in, out: bufio.NewReader(out), said: &said}
	if _, err := l.out.ReadString('\n'); err != nil {
		return nil, errors.Join(err, l.close())
	}
	return l, nil
}

// openLoop is a process of loadCommand.
type openLoop struct {
	cmd  *exec.Cmd
	in   io.WriteCloser
	out  *bufio.Reader
	said *strings.Builder
}

func (l *openLoop) run(context.Context) (o outcome, err error) {
	if _, err := io.WriteString(l.in, "go\n"); err != nil {
		return o, err
	}
	line, err := l.out.ReadString('\n')
	if err != nil {
		return o, err
	}
	return o, json.Unmarshal([]byte(line), &o)
}

func (l *openLoop) close() error {
	l.in.Close()
	if err := l.cmd.Wait(); err != nil {
		return fmt.Errorf("load: %w: %s", err, l.said)
	}
	return nil
}

// wrk asks as fast as it is answered.
type wrk struct {
	c           config
	url         string
	connections int
}

func (w wrk) close() error { return nil }

func (w wrk) run(ctx context.Context) (outcome, error) {
	cmd := exec.CommandContext(ctx, "taskset", "-c", strconv.Itoa(w.c.loadCPU), "wrk", "-t1",
		"-c"+strconv.Itoa(w.connections), "-d"+strconv.Itoa(int(w.c.duration.Round(time.Second)/time.Second))+"s", "--timeout", "30s", w.url)
	cmd.SysProcAttr = proc.Attributes(w.c.cgroupFD)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return outcome{}, fmt.Errorf("wrk: %w: %s", err, out)
	}
	return parseWrk(string(out))
}

func parseWrk(out string) (o outcome, err error) {
	var rate float64
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		switch {
		case len(f) > 3 && f[1] == "requests" && f[2] == "in":
			o.Requests, err = strconv.ParseUint(f[0], 10, 64)
		case len(f) == 2 && f[0] == "Requests/sec:":
			rate, err = strconv.ParseFloat(f[1], 64)
		case len(f) > 2 && f[0] == "Non-2xx" || len(f) > 2 && f[0] == "Socket":
			for _, w := range f {
				if n, err := strconv.ParseUint(strings.Trim(w, ","), 10, 64); err == nil {
					o.Errors += n
				}
			}
		}
		if err != nil {
			return o, fmt.Errorf("wrk said %q: %w", line, err)
		}
	}
	if o.Requests == 0 || rate == 0 {
		return o, fmt.Errorf("wrk made no requests: %s", out)
	}
	o.Seconds = float64(o.Requests) / rate
	return o, nil
}
