// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// engineProcess returns the id of the embedded engine's process.
func engineProcess() (int, error) {
	out, err := exec.Command("pgrep", "-P", strconv.Itoa(os.Getpid()), "-f", "otelcol-local-clickhouse").Output()
	if err != nil {
		return 0, fmt.Errorf("find the engine's process: %w", err)
	}
	return strconv.Atoi(strings.TrimSpace(string(out)))
}

// cpuOf returns the user and system time of a process in milliseconds (proc_pid_stat(5): fields 14 and 15, in ticks of 10 ms).
func cpuOf(pid int) (float64, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	user, err1 := strconv.ParseFloat(fields[11], 64)
	system, err2 := strconv.ParseFloat(fields[12], 64)
	return (user + system) * 10, errors.Join(err1, err2)
}

// loadAverage is that of the last minute.
func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	first, _, _ := strings.Cut(string(b), " ")
	return first
}
