// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/inspect"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
)

const (
	mib = 1 << 20
	// maxBodySize bounds `max_body_size`.
	maxBodySize = 16 * mib
)

// PayloadConfig is the configuration of `qtap_payload`.
type PayloadConfig struct {
	// Receiver is the id of the `qtap` receiver whose payloads are kept.
	Receiver component.ID `mapstructure:"receiver"`
	// Unguarded lets the receiver start without a `privacy_guard` extension, which checks that
	// payloads go to the user's own storage only.
	Unguarded bool `mapstructure:"unguarded"`
	// MaxBodySize is how many bytes of a request's or a response's body are kept, 0 to 16 MiB.
	MaxBodySize int `mapstructure:"max_body_size"`
	// Segment bounds the packs in which payloads are handed on.
	Segment SegmentConfig `mapstructure:"segment"`
	// Findings says how payloads are looked at for kinds of sensitive data.
	Findings FindingsConfig `mapstructure:"findings"`
	// Redact says what is taken out of payloads before they are handed on.
	Redact inspect.RedactConfig `mapstructure:"redact"`

	_ struct{}
}

// FindingsConfig says how payloads are looked at for kinds of sensitive data: kind, place and count are reported, never a value.
type FindingsConfig struct {
	// Enabled turns it on.
	Enabled bool `mapstructure:"enabled"`
	// CPU is the part of one core that it may take, above 0 to 1. What comes when that is spent is not looked at, and counted.
	CPU float64 `mapstructure:"cpu"`
	// MaxBodySize is how many bytes of a body, decoded, are looked at.
	MaxBodySize int `mapstructure:"max_body_size"`

	_ struct{}
}

// SegmentConfig bounds a segment: it closes at whichever comes first.
type SegmentConfig struct {
	// MaxAge is how long a segment stays open: the longest a payload waits here.
	MaxAge time.Duration `mapstructure:"max_age"`
	// MaxBytes is its size in bytes, uncompressed. A larger exchange gets a segment of its own.
	MaxBytes int64 `mapstructure:"max_bytes"`
	// MaxEntries is its number of exchanges.
	MaxEntries int `mapstructure:"max_entries"`

	_ struct{}
}

func createDefaultPayloadConfig() *PayloadConfig {
	return &PayloadConfig{
		Receiver:    component.NewID(metadata.Type),
		MaxBodySize: 64 << 10,
		Segment:     SegmentConfig{MaxAge: 5 * time.Second, MaxBytes: 8 * mib, MaxEntries: 2000},
		Findings:    FindingsConfig{Enabled: true, CPU: 0.05, MaxBodySize: 256 << 10},
	}
}

// Validate names every key that is wrong.
func (c *PayloadConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if c.Receiver.Type() != metadata.Type {
		bad("`receiver` %q must be the id of a %s receiver", c.Receiver, metadata.Type)
	}
	if c.MaxBodySize < 0 || c.MaxBodySize > maxBodySize {
		bad("`max_body_size` %d must be 0 to %d (16 MiB)", c.MaxBodySize, maxBodySize)
	}
	if a := c.Segment.MaxAge; a < 100*time.Millisecond || a > time.Hour {
		bad("`segment::max_age` %s must be 100ms to 1h", a)
	}
	if b := c.Segment.MaxBytes; b < 64<<10 || b > 64*mib {
		bad("`segment::max_bytes` %d must be 65536 (64 KiB) to 67108864 (64 MiB)", b)
	}
	if n := c.Segment.MaxEntries; n < 1 || n > 65536 {
		bad("`segment::max_entries` %d must be 1 to 65536", n)
	}
	if s := c.Findings.CPU; !(s > 0 && s <= 1) {
		bad("`findings::cpu` %g must be above 0 and at most 1: the part of one core that looking may take (`findings::enabled: false` looks at nothing)", s)
	}
	if n := c.Findings.MaxBodySize; n < 1 || n > 64*mib {
		bad("`findings::max_body_size` %d must be 1 to 67108864 (64 MiB)", n)
	}
	if _, err := c.Redact.Compile(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
