// SPDX-License-Identifier: Apache-2.0

package rules

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/confmap"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
)

// Level is how much of what a rule matches is kept.
type Level string

const (
	// LevelNone keeps nothing: no span, no payload, and no record of a connection that a rule matches without looking at
	// requests.
	LevelNone Level = "none"
	// LevelConnections keeps records of connections only.
	LevelConnections Level = "connections"
	// LevelHeaders keeps spans and payloads without bodies.
	LevelHeaders Level = "headers"
	// LevelFull keeps spans and payloads.
	LevelFull Level = "full"
)

// depth orders levels; 0 is no level.
func (l Level) depth() int {
	for i, x := range []Level{LevelNone, LevelConnections, LevelHeaders, LevelFull} {
		if l == x {
			return i + 1
		}
	}
	return 0
}

// maxRules bounds a list: it is gone through for every exchange.
const maxRules = 256

// Config is one rule, as it is written.
type Config struct {
	// Match is an expression over the fields of Env that says which exchanges the rule is for; `true` is all.
	Match string `mapstructure:"match"`
	// Level is how much is kept: none, connections, headers or full; empty is the receiver's `level`.
	Level Level `mapstructure:"level"`
	// SampleRate is the part of the payloads that is kept, 0 to 1, chosen by trace id; absent is 1.
	SampleRate *float64 `mapstructure:"sample_rate"`
	// MaxBodySize is how many bytes of each body are kept; absent is the cap of `qtap_payload`, which it cannot raise.
	MaxBodySize *int `mapstructure:"max_body_size"`
	// MaxPerSecond is how many payloads are kept in each second; 0 is no limit.
	MaxPerSecond int `mapstructure:"max_per_second"`
	// RetentionClass says how long the payload is kept: a name among `retention_classes` of `qpoint_s3`; empty is default.
	RetentionClass string `mapstructure:"retention_class"`

	_ struct{}
}

// validate names every key that is wrong.
func (c *Config) validate(levels Levels) error {
	var errs []error
	if c.Match == "" {
		errs = append(errs, errors.New("`match` is empty: write an expression, or true for everything"))
	}
	switch {
	case c.Level != "" && c.Level.depth() == 0:
		errs = append(errs, fmt.Errorf("`level` %q must be none, connections, headers or full", c.Level))
	case c.Level.depth() > levels.Max.depth():
		errs = append(errs, fmt.Errorf("`level` %s is above the receiver's `max_level` %s: raise that to let rules raise the level", c.Level, levels.Max))
	}
	if r := c.SampleRate; r != nil && !(*r >= 0 && *r <= 1) { // NaN is neither
		errs = append(errs, fmt.Errorf("`sample_rate` %v must be 0 to 1", *r))
	}
	if n := c.MaxBodySize; n != nil && *n < 0 {
		errs = append(errs, fmt.Errorf("`max_body_size` %d must not be negative", *n))
	}
	if c.MaxPerSecond < 0 {
		errs = append(errs, fmt.Errorf("`max_per_second` %d must not be negative", c.MaxPerSecond))
	}
	if c.RetentionClass != "" && !objectkey.ValidClass(c.RetentionClass) {
		errs = append(errs, fmt.Errorf("`retention_class` %q must be a letter, then at most 31 of a-z, 0-9 and -", c.RetentionClass))
	}
	return errors.Join(errs...)
}

// Parse compiles the text of a rules file: YAML with the key `rules`.
func Parse(text []byte, levels Levels) (*Set, error) {
	retrieved, err := confmap.NewRetrievedFromYAML(text)
	if err != nil {
		return nil, fmt.Errorf("not YAML with the key `rules`: %w", err)
	}
	conf, err := retrieved.AsConf()
	if err != nil {
		return nil, fmt.Errorf("not YAML with the key `rules`: %w", err)
	}
	var file struct {
		Rules []Config `mapstructure:"rules"`
	}
	if err := conf.Unmarshal(&file); err != nil {
		return nil, err
	}
	if !conf.IsSet("rules") {
		return nil, errors.New("the key `rules` is missing: a file without rules has `rules: []`")
	}
	return Compile(file.Rules, levels)
}

// Lower returns the lower of two levels.
func Lower(a, b Level) Level {
	if a.depth() < b.depth() {
		return a
	}
	return b
}
