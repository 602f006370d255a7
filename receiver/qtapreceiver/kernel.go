// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"slices"

	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/kernel"
)

// notVisible are the TLS implementations whose sessions cannot be read unless they write a key
// log (`tls::keylog_files`): their connections say so (`qpoint.payload.visibility`).
var notVisible = []string{"NSS", "rustls", "Java", "Go before 1.18"}

// kernelConfig is what the configuration asks of the kernel.
func kernelConfig(cfg *Config, logger *zap.Logger) kernel.Config {
	kc := kernel.Config{
		CgroupPath:    cfg.CGroup,
		RingBytes:     cfg.RingSizeMiB * mib,
		Ports:         kernel.Ports{Include: cfg.Ports.Include, Exclude: cfg.Ports.Exclude},
		Level:         map[Level]kernel.Level{LevelConnections: kernel.LevelConnections, LevelHeaders: kernel.LevelHeaders, LevelFull: kernel.LevelFull}[cfg.maxLevel()],
		Keys:          cfg.TLS.Enabled && cfg.maxLevel() != LevelConnections,
		DenyProcesses: append([]string{}, cfg.TLS.DenyProcesses...),
		KeyLogFiles:   cfg.TLS.KeyLogFiles,
		StatsInterval: cfg.ConnectionInterval,
		Logger:        logger,
	}
	switch egress, ingress := slices.Contains(cfg.Directions, DirectionEgress), slices.Contains(cfg.Directions, DirectionIngress); {
	case !ingress:
		kc.Direction = kernel.DirectionEgress
	case !egress:
		kc.Direction = kernel.DirectionIngress
	}
	return kc
}

// openKernel attaches to this host's kernel.
func openKernel(cfg *Config, logger *zap.Logger) (event.Source, []zap.Field, error) {
	kc := kernelConfig(cfg, logger)
	c, err := kernel.Open(kc)
	if err != nil {
		return nil, nil, err
	}

	s := c.Summary()
	fields := []zap.Field{zap.String("cgroup", s.Cgroup), zap.String("level", string(cfg.Level)), zap.Strings("directions", cfg.Directions)}
	var missing []string
	for _, f := range s.Features {
		if f.State != kernel.Supported {
			missing = append(missing, f.Name+" ("+f.Reason+")")
		}
	}
	if len(missing) > 0 {
		fields = append(fields, zap.Strings("kernel_without", missing))
	}
	if kc.Keys {
		fields = append(fields, zap.Strings("tls_libraries", s.Libraries), zap.Strings("tls_not_visible", notVisible))
	} else if len(kc.KeyLogFiles) == 0 || kc.Level == kernel.LevelConnections {
		fields = append(fields, zap.String("tls_not_visible", "all: no secrets are read"))
	} else {
		fields = append(fields, zap.String("tls_not_visible", "all without a key log: `tls::enabled` is false"))
	}
	if len(kc.KeyLogFiles) > 0 && kc.Level > kernel.LevelConnections {
		fields = append(fields, zap.Strings("tls_keylog_files", kc.KeyLogFiles))
	}
	return c, fields, nil
}
