// SPDX-License-Identifier: Apache-2.0

//go:build linux

package localclickhouseextension

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// process is one life of the engine's child.
type process struct {
	cmd     *exec.Cmd
	control *os.File // closing it asks the child to leave
	output  *outputLog
	exited  chan struct{} // closed when the child is gone
	err     error         // how it went; valid after exited
}

// spawn starts the child. The calling goroutine must keep its thread until the child is gone:
// the kernel counts the death of the thread as that of the parent (PR_SET_PDEATHSIG).
func spawn(p plan, listener *os.File, logger *zap.Logger) (*process, error) {
	// Not the path: it may have been replaced by an upgrade that this process does not know.
	const exe = "/proc/self/exe"
	text, err := json.Marshal(p)
	if err != nil {
		return nil, err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer read.Close()
	output := &outputLog{logger: logger}
	cmd := &exec.Cmd{
		Path: exe,
		Args: []string{childName},
		// Nothing of the collector's environment: it may hold credentials.
		Env: []string{
			childEnv + "=" + string(text), "TZ=UTC", "HOME=/nonexistent",
			"GOMAXPROCS=" + strconv.Itoa(p.Threads), "GOTRACEBACK=single",
		},
		Dir: "/", Stdout: output, Stderr: output,
		ExtraFiles: []*os.File{listener, read}, // listenerFD, controlFD
		SysProcAttr: &unix.SysProcAttr{
			Setpgid:   true, // a Ctrl-C at the terminal is for the collector alone
			Pdeathsig: unix.SIGKILL,
		},
		WaitDelay: time.Second,
	}
	if p.Isolate {
		cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC | unix.CLONE_NEWUTS
	}
	if err := cmd.Start(); err != nil {
		_ = write.Close()
		return nil, fmt.Errorf("start the engine's process: %w", err)
	}
	c := &process{cmd: cmd, control: write, output: output, exited: make(chan struct{})}
	go func() {
		defer close(c.exited)
		c.err = cmd.Wait()
	}()
	return c, nil
}

// ready waits until the child answers, has gone, or ctx ends.
func (c *process) ready(ctx context.Context, dial func(context.Context) (net.Conn, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-c.exited:
			cancel()
		case <-ctx.Done():
		}
	}()
	// The connection waits in the socket's backlog until the child accepts it.
	transport := &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true,
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://local_clickhouse/ping", nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		return resp.Body.Close()
	}
	select {
	case <-c.exited:
		return c.failure()
	case <-time.After(100 * time.Millisecond): // the exit may be about to be seen
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("the engine was not ready within `start_timeout`%s", c.output.tail())
	}
	return err
}

// failure describes an exit that nobody asked for. Valid after exited.
func (c *process) failure() error {
	how := "left by itself"
	if c.err != nil {
		how = c.err.Error()
	}
	return fmt.Errorf("the engine's process ended (%s)%s", how, c.output.tail())
}

// stop asks the child to close the engine and leave, and kills it after timeout or when ctx ends.
func (c *process) stop(ctx context.Context, timeout time.Duration) error {
	_ = c.control.Close()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case <-c.exited:
		if c.err != nil {
			return c.failure()
		}
		return nil
	case <-ctx.Done():
		_ = c.cmd.Process.Kill()
		<-c.exited
		return fmt.Errorf("the engine did not close within %s and was killed; it recovers at the next start", timeout)
	}
}

// outputLog logs what the child prints, line by line, and keeps the last lines for errors.
type outputLog struct {
	logger *zap.Logger

	mu      sync.Mutex
	partial []byte
	last    []string
}

const (
	tailLines   = 8
	maxLineSize = 2048
)

// Write implements io.Writer.
func (o *outputLog) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.partial = append(o.partial, b...)
	for {
		line, rest, ok := bytes.Cut(o.partial, []byte("\n"))
		if !ok && len(o.partial) < maxLineSize {
			return len(b), nil
		}
		if !ok {
			line, rest = o.partial[:maxLineSize], o.partial[maxLineSize:]
		}
		if text := strings.TrimSpace(string(line[:min(len(line), maxLineSize)])); text != "" {
			o.logger.Warn("clickhouse: " + text)
			if o.last = append(o.last, text); len(o.last) > tailLines {
				o.last = o.last[1:]
			}
		}
		o.partial = append(o.partial[:0], rest...)
	}
}

func (o *outputLog) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	lines := o.last
	if text := strings.TrimSpace(string(o.partial)); text != "" {
		lines = append(lines[:len(lines):len(lines)], text)
	}
	if len(lines) == 0 {
		return ""
	}
	return ": " + strings.Join(lines, "; ")
}
