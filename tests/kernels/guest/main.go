// SPDX-License-Identifier: Apache-2.0

//go:build linux

// Command guest is the first process of a virtual machine: it makes the machine usable, runs what
// /plan names, one command a line, and switches the machine off.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// markBooted and markResult begin the lines that the host waits for.
const (
	markBooted = "guest: booted"
	markResult = "guest: result"
)

func main() {
	if err := prepare(); err != nil {
		fmt.Println(markResult, "failed:", err)
	} else {
		fmt.Println(markBooted)
		runPlan()
	}
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println(err)
	}
	// The first process must not end before the machine does, or the kernel panics.
	select {}
}

func prepare() error {
	// In this order: later ones are below earlier ones.
	for _, m := range []struct{ kind, path string }{
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"devtmpfs", "/dev"},
		{"tmpfs", "/tmp"},
		{"tmpfs", "/run"},
		{"cgroup2", "/sys/fs/cgroup"},
		{"tracefs", "/sys/kernel/tracing"},
	} {
		if err := os.MkdirAll(m.path, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, m.path, m.kind, 0, ""); err != nil && !errors.Is(err, unix.EBUSY) {
			return fmt.Errorf("mount %s on %s: %w", m.kind, m.path, err)
		}
	}
	if err := os.Chmod("/tmp", 0o1777); err != nil {
		return err
	}
	if err := os.Symlink("/proc/self/fd", "/dev/fd"); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	return loopback()
}

// loopback switches the only network interface on.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("switch on lo: %w", err)
	}
	return nil
}

func runPlan() {
	plan, err := os.Open("/plan")
	if err != nil {
		fmt.Println(markResult, "failed:", err)
		return
	}
	defer plan.Close()
	failed := false
	for lines := bufio.NewScanner(plan); lines.Scan(); {
		words := strings.Fields(lines.Text())
		start := time.Now()
		cmd := exec.Command(words[0], words[1:]...)
		cmd.Dir = filepath.Dir(words[0])
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stdout
		cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/tmp", "CI=true", "PYTHONDONTWRITEBYTECODE=1"}
		err := cmd.Run()
		fmt.Printf("guest: %s took %.1f s\n", words[0], time.Since(start).Seconds())
		if err != nil {
			fmt.Printf("guest: %s: %v\n", words[0], err)
			failed = true
		}
	}
	if failed {
		fmt.Println(markResult, "failed")
	} else {
		fmt.Println(markResult, "ok")
	}
}
