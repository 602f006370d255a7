// SPDX-License-Identifier: Apache-2.0

//go:build linux

package proc

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// PreciseCPU returns the CPU seconds of a process, to the nanosecond and of the threads that it has now: what is
// watched does not end any while it is measured.
func PreciseCPU(pid int) (sum float64, err error) {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	if len(files) == 0 { // a kernel without CONFIG_SCHED_INFO, or a process that has ended
		user, system, err := CPU(pid)
		return user + system, err
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // the thread ended meanwhile
		}
		first, _, _ := strings.Cut(string(b), " ")
		n, err := strconv.ParseUint(first, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%s: %w", f, err)
		}
		sum += float64(n) / 1e9
	}
	return sum, nil
}

// MachineCPU returns the seconds that all CPUs worked, and that the hypervisor did not let them (proc_stat(5)).
func MachineCPU() (busy, stolen float64, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	line, _, _ := bytes.Cut(b, []byte("\n"))
	f := strings.Fields(string(line))
	if len(f) < 9 || f[0] != "cpu" {
		return 0, 0, fmt.Errorf("/proc/stat: cannot read %q", line)
	}
	var v [8]float64
	for i := range v {
		n, err := strconv.ParseUint(f[i+1], 10, 64)
		if err != nil {
			return 0, 0, err
		}
		v[i] = float64(n) / clockTick
	}
	return v[0] + v[1] + v[2] + v[5] + v[6], v[7], nil // user, nice, system, irq, softirq; steal
}

// clockTick is USER_HZ, which is 100 on every Linux that Go runs on.
const clockTick = 100

// CPU returns the user and system seconds of a process (proc_pid_stat(5), fields 14 and 15).
func CPU(pid int) (user, system float64, err error) {
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

// GroupCPU returns the CPU seconds of the leader of a process group, and of all other processes in it.
func GroupCPU(pgid int) (leader, others float64, err error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, 0, err
	}
	found := false
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		f, err := statFields(pid)
		if err != nil || f[0] == "Z" || f[2] != strconv.Itoa(pgid) {
			continue // ended meanwhile, or not ours
		}
		u, s, err := CPU(pid)
		if err == nil {
			found = true
			if pid == pgid {
				leader += u + s
			} else {
				others += u + s
			}
		}
	}
	if !found {
		return 0, 0, fmt.Errorf("process group %d is gone", pgid)
	}
	return leader, others, nil
}

// LoadAverage is that of the last minute (proc_loadavg(5)).
func LoadAverage() float64 {
	b, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(b), " ")
	v, _ := strconv.ParseFloat(first, 64)
	return v
}

// Memory returns the resident bytes of a process, now and at most.
func Memory(pid int) (now, peak uint64) {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.ParseUint(f[1], 10, 64)
		switch f[0] {
		case "VmRSS:":
			now = n << 10
		case "VmHWM:":
			peak = n << 10
		}
	}
	return now, peak
}
