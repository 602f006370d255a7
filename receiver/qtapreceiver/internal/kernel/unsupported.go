// SPDX-License-Identifier: Apache-2.0

//go:build !linux || !(amd64 || arm64)

package kernel

import (
	"context"
	"fmt"
	"runtime"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// Capture cannot be opened on this platform.
type Capture struct{}

func unsupported() Feature {
	return Feature{
		Name: "eBPF capture on " + runtime.GOOS + "/" + runtime.GOARCH, State: Missing, Required: true,
		Reason: "only linux/amd64 and linux/arm64 are supported",
	}
}

// Probe reports that the platform is not supported.
func Probe(Config) Features { return Features{unsupported()} }

// Open fails with a *MissingError.
func Open(Config) (*Capture, error) { return nil, Features{unsupported()}.check() }

// Run fails.
func (*Capture) Run(context.Context, event.Handler) error {
	return fmt.Errorf("run capture: %w", Features{unsupported()}.check())
}

// Summary is empty.
func (*Capture) Summary() Summary { return Summary{} }

// UnreadTLS knows nothing.
func (*Capture) UnreadTLS(uint32) string { return "" }

// Close does nothing.
func (*Capture) Close() error { return nil }
