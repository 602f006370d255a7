// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Package proc starts the processes that measurements are made with, and reads what the kernel says of them.
package proc

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Child is a process that this program started, the leader of a process group of its own.
type Child struct {
	cmd  *exec.Cmd
	log  ends
	done chan struct{}
}

// ends keeps the beginning and the end of what a process writes.
type ends struct {
	mu          sync.Mutex
	first, last []byte
}

const endSize = 4 << 10

// Write implements io.Writer.
func (e *ends) Write(b []byte) (int, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := min(len(b), endSize-len(e.first))
	e.first = append(e.first, b[:n]...)
	if e.last = append(e.last, b[n:]...); len(e.last) > 2*endSize {
		e.last = append([]byte(nil), e.last[len(e.last)-endSize:]...)
	}
	return len(b), nil
}

// Output is what the process has written, its middle left out when that is much.
func (c *Child) Output() []byte {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return append(append([]byte(nil), c.log.first...), c.log.last...)
}

// Attributes start a process in a process group of its own, in the cgroup if there is one.
func Attributes(cgroupFD int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: cgroupFD >= 0, CgroupFD: max(cgroupFD, 0)}
}

// Start starts a program in a process group of its own, in the cgroup of which cgroupFD is an open descriptor if it is not
// negative; env comes after this process's environment.
func Start(cgroupFD int, name string, env []string, args ...string) (*Child, error) {
	return StartAs(Attributes(cgroupFD), name, env, args...)
}

// StartAs is Start with attributes of the caller's.
func StartAs(as *syscall.SysProcAttr, name string, env []string, args ...string) (*Child, error) {
	c := &Child{cmd: exec.Command(name, args...), done: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = &c.log, &c.log
	c.cmd.Env = append(os.Environ(), env...)
	c.cmd.SysProcAttr = as
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

// PID is the process's number.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Stop ends the process, and whatever is left of its group.
func (c *Child) Stop(patience time.Duration) error {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	var err error
	select {
	case <-c.done:
	case <-time.After(patience):
		err = fmt.Errorf("%s did not end within %v of SIGTERM", filepath.Base(c.cmd.Path), patience)
	}
	_ = syscall.Kill(-c.PID(), syscall.SIGKILL)
	<-c.done
	return err
}

// Tail is the end of the process's output.
func (c *Child) Tail() string {
	lines := strings.Split(strings.TrimSpace(string(c.Output())), "\n")
	return strings.Join(lines[max(0, len(lines)-5):], "\n")
}

// Await polls ok until it returns nil, the child ends or patience does.
func (c *Child) Await(ctx context.Context, patience time.Duration, ok func() error) error {
	deadline := time.Now().Add(patience)
	for {
		err := ok()
		if err == nil {
			return nil
		}
		select {
		case <-c.done:
			return fmt.Errorf("%s ended: %s\n%s", filepath.Base(c.cmd.Path), c.cmd.ProcessState, c.Tail())
		default:
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready after %v: %w", filepath.Base(c.cmd.Path), patience, err)
		}
		if err := Pause(ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// Pause waits for a while, or for the end of ctx, whose error it returns then.
func Pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
