// SPDX-License-Identifier: Apache-2.0

// Package kernel attaches the BPF programs of package bpf and turns what they write into the
// events of package event.
package kernel

import (
	"time"

	"github.com/cilium/ebpf"
	"go.uber.org/zap"
)

// Level says how much is captured.
type Level uint8

const (
	// LevelConnections captures the life of connections and their counters, no payload and no
	// TLS secrets.
	LevelConnections Level = iota + 1
	// LevelHeaders captures payload; consumers keep headers only.
	LevelHeaders
	// LevelFull captures payload.
	LevelFull
)

// Direction says which connections are captured, by the end that is on this host.
type Direction uint8

const (
	// DirectionBoth captures connections that processes of this host open or accept.
	DirectionBoth Direction = iota
	// DirectionEgress captures connections that processes of this host open.
	DirectionEgress
	// DirectionIngress captures connections that processes of this host accept.
	DirectionIngress
)

// Config configures Open. The zero value of every field but Level is usable.
type Config struct {
	// CgroupPath is the cgroup v2 directory whose processes are captured; "" is the root of the
	// hierarchy, as mounted.
	CgroupPath string
	// RingBytes is the size of the ring buffer, rounded up to a power of two; 0 is 64 MiB.
	RingBytes int
	// Ports selects connections by their server's port.
	Ports Ports
	// Direction selects connections by who opened them.
	Direction Direction
	Level     Level
	// Keys turns the capture of TLS secrets on.
	Keys bool
	// DenyProcesses are names of processes (comm, at most 15 bytes) whose TLS secrets are never
	// read; nil is DefaultDenyProcesses.
	DenyProcesses []string
	// KeyLogFiles are paths, or patterns of filepath.Match, of key logs (RFC 9850) that programs
	// write themselves: files or FIFOs. They are read whether Keys is set or not.
	KeyLogFiles []string
	// StatsInterval is the time between two SocketStats of an open connection; 0 is 30 s.
	StatsInterval time.Duration
	Logger        *zap.Logger

	// logLevel is what the verifier writes, for tests.
	logLevel ebpf.LogLevel
}

// Ports selects ports: those of Include, or all when it is empty, without those of Exclude.
// While it is unknown which end is the server, a connection passes if either port does.
type Ports struct {
	Include, Exclude []uint16
}

// bits returns the selected ports as the programs read them, and whether any is left out.
func (p Ports) bits() (bits [1024]uint64, filter bool) {
	if len(p.Include) == 0 {
		for i := range bits {
			bits[i] = ^uint64(0)
		}
	}
	for _, port := range p.Include {
		bits[port/64] |= 1 << (port % 64)
	}
	for _, port := range p.Exclude {
		bits[port/64] &^= 1 << (port % 64)
	}
	return bits, len(p.Include)+len(p.Exclude) > 0
}

// DefaultDenyProcesses are processes that handle keys or logins and whose TLS is nobody's business.
func DefaultDenyProcesses() []string {
	return []string{"sshd", "sshd-session", "ssh-agent", "gpg", "gpg-agent", "vault", "kubelet", "etcd"}
}

const (
	defaultRingBytes     = 64 << 20
	defaultStatsInterval = 30 * time.Second
)

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	if c.RingBytes <= 0 {
		c.RingBytes = defaultRingBytes
	}
	size := 1 << 16 // a multiple of every page size
	for size < c.RingBytes && size < 1<<30 {
		size <<= 1
	}
	c.RingBytes = size
	if c.StatsInterval <= 0 {
		c.StatsInterval = defaultStatsInterval
	}
	if c.DenyProcesses == nil {
		c.DenyProcesses = DefaultDenyProcesses()
	}
	if c.Level == 0 {
		c.Level = LevelFull
	}
	if c.Level == LevelConnections {
		c.Keys, c.KeyLogFiles = false, nil
	}
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	return c
}
