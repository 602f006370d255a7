// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/kernel"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// Level is how deep connections are looked into.
type Level string

const (
	// LevelConnections copies no payload: connection logs only.
	LevelConnections Level = "connections"
	// LevelHeaders reads requests but keeps no body.
	LevelHeaders Level = "headers"
	// LevelFull keeps bodies up to the cap of `qtap_payload`.
	LevelFull Level = "full"
)

// Instrumented says what is done with the spans of processes that send spans themselves.
type Instrumented string

const (
	// InstrumentedAnnotate marks the spans.
	InstrumentedAnnotate Instrumented = "annotate"
	// InstrumentedSuppress leaves them out.
	InstrumentedSuppress Instrumented = "suppress"
)

// Directions of a connection, seen from the observed process.
const (
	DirectionEgress  = "egress"  // the process opened the connection
	DirectionIngress = "ingress" // the process accepted it
)

// Config is the configuration of `qtap`.
type Config struct {
	// CGroup is the absolute path of the cgroup v2 folder whose processes are watched. Empty
	// watches the whole host.
	CGroup string `mapstructure:"cgroup"`
	// Level is how deep connections are looked into: connections, headers or full.
	Level Level `mapstructure:"level"`
	// MaxLevel is the highest level that rules may give; empty is Level, so that they can only lower it.
	MaxLevel Level `mapstructure:"max_level"`
	// Ports selects connections by their server's port.
	Ports PortsConfig `mapstructure:"ports"`
	// Directions lists which ends are reported: egress, ingress or both.
	Directions []string `mapstructure:"directions"`
	// ConnectionInterval is the time between two records of an open connection.
	ConnectionInterval time.Duration `mapstructure:"connection_interval"`
	// CoverageInterval is the time between two reports of what is seen and what is not.
	CoverageInterval time.Duration `mapstructure:"coverage_interval"`
	// RingSizeMiB is the size of the kernel's event ring in MiB, a power of two.
	RingSizeMiB int `mapstructure:"ring_size_mib"`
	// TLS is about reading encrypted connections.
	TLS TLSConfig `mapstructure:"tls"`
	// Rules decide, exchange by exchange, what is kept: the first that matches, else Level.
	Rules []rules.Config `mapstructure:"rules"`
	// RulesFile is the path of a YAML file with the key `rules`, in place of Rules. It is watched.
	RulesFile string `mapstructure:"rules_file"`
	// Instrumented is what is done with the spans of processes that send spans themselves: annotate or suppress.
	Instrumented Instrumented `mapstructure:"instrumented"`
	// Limits are what this process may use. Above them connections are looked into less deep.
	Limits LimitsConfig `mapstructure:"limits"`
	// Doctor prints on standard output what this host and the rights of this process allow, and ends the collector.
	Doctor bool `mapstructure:"doctor"`

	_ struct{}
}

// LimitsConfig is the budget of the whole process; what is 0 has no limit.
type LimitsConfig struct {
	// CPU is the CPU time that may be used, averaged over some seconds, in cores: 0.25 is a quarter of one.
	CPU float64 `mapstructure:"cpu"`
	// MemoryMiB is the memory that the Go runtime may have of the system, in MiB.
	MemoryMiB int `mapstructure:"memory_mib"`

	_ struct{}
}

// PortsConfig selects connections by their server's port. An empty Include takes all; Exclude wins.
type PortsConfig struct {
	Include []uint16 `mapstructure:"include"`
	Exclude []uint16 `mapstructure:"exclude"`

	_ struct{}
}

// TLSConfig is about reading encrypted connections.
type TLSConfig struct {
	// Enabled captures session secrets in the watched processes' TLS libraries.
	Enabled bool `mapstructure:"enabled"`
	// DenyProcesses are names of processes (comm, at most 15 bytes) whose secrets are never read.
	DenyProcesses []string `mapstructure:"deny_processes"`
	// KeyLogFiles are absolute paths, or patterns (path/filepath.Match), of key logs (RFC 9850,
	// SSLKEYLOGFILE) that programs write themselves: files or FIFOs. They are followed whether
	// Enabled is set or not.
	KeyLogFiles []string `mapstructure:"keylog_files"`
	// RestartState keeps what is needed to go on reading open connections when the collector is started again.
	RestartState RestartStateConfig `mapstructure:"restart_state"`

	_ struct{}
}

// RestartStateConfig is about reading encrypted connections across a restart of the collector. Their session
// secrets then stay in the kernel's memory while no collector runs.
type RestartStateConfig struct {
	// Directory is the absolute path of a folder in a BPF file system, of the collector's user alone; it is made
	// when its parent is there. Empty keeps nothing.
	Directory string `mapstructure:"directory"`
	// TTL is how long after the last sign of life of the collector the kernel forgets everything.
	TTL time.Duration `mapstructure:"ttl"`

	_ struct{}
}

func createDefaultConfig() *Config {
	return &Config{
		Level:              LevelFull,
		Directions:         []string{DirectionEgress, DirectionIngress},
		ConnectionInterval: 30 * time.Second,
		CoverageInterval:   5 * time.Minute,
		RingSizeMiB:        64,
		Instrumented:       InstrumentedAnnotate,
		TLS: TLSConfig{
			Enabled:       true,
			DenyProcesses: kernel.DefaultDenyProcesses(),
			RestartState:  RestartStateConfig{TTL: 5 * time.Minute},
		},
	}
}

// depth orders levels; -1 is none.
func depth(l Level) int { return slices.Index([]Level{LevelConnections, LevelHeaders, LevelFull}, l) }

// maxLevel is how deep the kernel has to be looked into.
func (c *Config) maxLevel() Level {
	if c.MaxLevel == "" {
		return c.Level
	}
	return c.MaxLevel
}

func (c *Config) levels() rules.Levels {
	return rules.Levels{Base: rules.Level(c.Level), Max: rules.Level(c.maxLevel())}
}

// Validate names every key that is wrong.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	switch c.Level {
	case LevelConnections, LevelHeaders, LevelFull:
	default:
		bad("`level` %q must be connections, headers or full", c.Level)
	}
	switch max := c.maxLevel(); {
	case depth(max) < 0:
		bad("`max_level` %q must be connections, headers or full", max)
	case depth(c.Level) >= 0 && depth(max) < depth(c.Level):
		bad("`max_level` %s is below `level` %s", max, c.Level)
	}
	if c.CGroup != "" && !filepath.IsAbs(c.CGroup) {
		bad("`cgroup` %q must be an absolute path, such as /sys/fs/cgroup/system.slice", c.CGroup)
	}
	if len(c.Directions) == 0 {
		bad("`directions` must name egress, ingress or both")
	}
	for _, d := range c.Directions {
		if d != DirectionEgress && d != DirectionIngress {
			bad("`directions` has %q: must be egress or ingress", d)
		}
	}
	for _, p := range c.Ports.Include {
		if p == 0 {
			bad("`ports::include` has 0: ports are 1 to 65535")
		}
		if slices.Contains(c.Ports.Exclude, p) {
			bad("port %d is in both `ports::include` and `ports::exclude`", p)
		}
	}
	if slices.Contains(c.Ports.Exclude, 0) {
		bad("`ports::exclude` has 0: ports are 1 to 65535")
	}
	if c.ConnectionInterval < time.Second {
		bad("`connection_interval` %s must be at least 1s", c.ConnectionInterval)
	}
	if c.CoverageInterval < 10*time.Second {
		bad("`coverage_interval` %s must be at least 10s", c.CoverageInterval)
	}
	if n := c.RingSizeMiB; n < 1 || n > 1024 || n&(n-1) != 0 {
		bad("`ring_size_mib` %d must be a power of two from 1 to 1024", n)
	}
	if l := c.Limits; !(l.CPU >= 0 && l.CPU <= 1024) { // NaN is neither
		bad("`limits::cpu` %v must be a number of cores, such as 0.25, or 0 for no limit", l.CPU)
	} else if l.MemoryMiB < 0 || l.MemoryMiB > 1<<24 {
		bad("`limits::memory_mib` %d must be a number of MiB, such as 512, or 0 for no limit", l.MemoryMiB)
	} else if (l.CPU > 0 || l.MemoryMiB > 0) && c.maxLevel() == LevelConnections {
		bad("`limits` need `level` or `max_level` headers or full: there is nothing below connections to step down to")
	}
	if i := c.Instrumented; i != InstrumentedAnnotate && i != InstrumentedSuppress {
		bad("`instrumented` %q must be annotate or suppress", i)
	}
	for _, p := range c.TLS.DenyProcesses {
		if p == "" || len(p) > 15 || strings.Contains(p, "/") {
			bad("`tls::deny_processes` has %q: must be the name of a process as the kernel knows it, at most 15 bytes, without a folder", p)
		}
	}
	if len(c.Rules) > 0 && c.RulesFile != "" {
		bad("`rules` and `rules_file` are both set: rules come from one place")
	}
	if (len(c.Rules) > 0 || c.RulesFile != "") && c.maxLevel() == LevelConnections {
		bad("`rules` and `rules_file` need `level` or `max_level` headers or full: at connections no request is read")
	} else if _, err := rules.Compile(c.Rules, c.levels()); err != nil {
		errs = append(errs, err)
	}
	for _, p := range c.TLS.KeyLogFiles {
		if _, err := filepath.Match(p, ""); err != nil || !filepath.IsAbs(p) {
			bad("`tls::keylog_files` has %q: must be an absolute path or pattern, such as /run/keylogs/*.log", p)
		}
	}
	if r := c.TLS.RestartState; r.Directory != "" {
		if !filepath.IsAbs(r.Directory) {
			bad("`tls::restart_state::directory` %q must be an absolute path in a BPF file system, such as /sys/fs/bpf/otelcol-qpoint", r.Directory)
		}
		if c.Level == LevelConnections || !c.TLS.Enabled && len(c.TLS.KeyLogFiles) == 0 {
			bad("`tls::restart_state::directory` is set, but no encrypted connection is read: see `level` and `tls::enabled`")
		}
		if r.TTL < 10*time.Second || r.TTL > 24*time.Hour {
			bad("`tls::restart_state::ttl` %s must be from 10s to 24h", r.TTL)
		}
	}
	return errors.Join(errs...)
}
