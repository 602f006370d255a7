// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// enterCgroup opens the cgroup for proc.Start, and makes it if needed.
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
