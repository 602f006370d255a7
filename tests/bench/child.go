// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process that this program started, the leader of a process group of its own.
type child struct {
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

// output is what the process has written, its middle left out when that is much.
func (c *child) output() []byte {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	return append(append([]byte(nil), c.log.first...), c.log.last...)
}

// enterCgroup opens the cgroup for startChild, and makes it if needed.
func (c *config) enterCgroup() (leave func(), err error) {
	c.cgroupFD = -1
	if c.cgroup == ownCgroup {
		mount, err := cgroupMount()
		if err != nil {
			return nil, err
		}
		c.cgroup = filepath.Join(mount, fmt.Sprintf("qpoint-bench-%d", os.Getpid()))
	}
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

// ownCgroup stands for a folder of the bench's own, so that nothing else on the host is captured.
const ownCgroup = "own"

// cgroupMount is where the cgroup v2 hierarchy is.
func cgroupMount() (string, error) {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", errors.New("no cgroup v2 is mounted; -cgroup \"\" captures the whole host")
}

// attributes start a process in a process group of its own, in the cgroup if there is one.
func attributes(cgroupFD int) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, UseCgroupFD: cgroupFD >= 0, CgroupFD: max(cgroupFD, 0)}
}

func startChild(cgroupFD int, name string, env []string, args ...string) (*child, error) {
	return startAs(attributes(cgroupFD), name, env, args...)
}

func startAs(as *syscall.SysProcAttr, name string, env []string, args ...string) (*child, error) {
	c := &child{cmd: exec.Command(name, args...), done: make(chan struct{})}
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
	lines := strings.Split(strings.TrimSpace(string(c.output())), "\n")
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

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
