// SPDX-License-Identifier: Apache-2.0

package pulsetokensextension

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/collector/confmap"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// Config of the extension. Tokens stand in the configuration or in a file, not in both.
type Config struct {
	// Environments are the environments that may be written to, by name.
	Environments map[string]EnvironmentConfig `mapstructure:"environments"`

	// File holds `environments` in a YAML file of its own, which is read anew when it changes: tokens
	// come and go without a restart. No other user may be able to write it.
	File string `mapstructure:"file"`

	_ struct{}
}

// EnvironmentConfig says who may write to one environment, and how much.
type EnvironmentConfig struct {
	// Tokens that are valid for it, several at once while they are exchanged.
	Tokens []TokenConfig `mapstructure:"tokens"`

	// ItemsPerSecond is how many spans and log records per second the environment may send, all its
	// senders together; ten seconds' worth may come at once. Zero is no limit.
	ItemsPerSecond float64 `mapstructure:"items_per_second"`

	_ struct{}
}

// TokenConfig is one token, of which only the hash is known.
type TokenConfig struct {
	// Name stands in metrics and logs in the token's place.
	Name string `mapstructure:"name"`

	// SHA256 is the hash of the token, 64 hexadecimal digits. Tokens are random, so a slow hash would
	// add nothing.
	SHA256 string `mapstructure:"sha256"`

	// Created is when the token was made, RFC 3339. It is told to who looks at the list of tokens, and nothing else is done with it.
	Created time.Time `mapstructure:"created"`

	// NotAfter is when the token ends to be valid, RFC 3339. Zero is never.
	NotAfter time.Time `mapstructure:"not_after"`

	_ struct{}
}

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	switch {
	case c.File != "" && len(c.Environments) > 0:
		return errors.New("`file` and `environments` exclude each other: keep one")
	case c.File == "" && len(c.Environments) == 0:
		return errors.New("`environments` is empty, so that nobody could send: name one with a token, or name a `file` that does")
	}
	return validate(c.Environments)
}

func validate(environments map[string]EnvironmentConfig) error {
	var errs []error
	seen := map[string]string{} // hash to where it stands
	for _, name := range slices.Sorted(maps.Keys(environments)) {
		env := environments[name]
		at := "`environments::" + name
		if !semantic.ValidEnvironment(name) {
			errs = append(errs, fmt.Errorf("%s`: the name must be 1 to %d characters of a-z, 0-9 and `-`", at, semantic.MaxEnvironment))
		}
		if env.ItemsPerSecond < 0 {
			errs = append(errs, fmt.Errorf("%s::items_per_second` must not be negative (0 is no limit)", at))
		}
		names := map[string]bool{}
		for i, token := range env.Tokens {
			at := fmt.Sprintf("%s::tokens[%d]", at, i)
			if token.Name == "" || len(token.Name) > semantic.MaxEnvironment {
				errs = append(errs, fmt.Errorf("%s::name` must have 1 to %d characters: it stands for the token in logs", at, semantic.MaxEnvironment))
			}
			if names[token.Name] {
				errs = append(errs, fmt.Errorf("%s::name` %q is there twice", at, token.Name))
			}
			names[token.Name] = true
			hash, err := hex.DecodeString(token.SHA256)
			if err != nil || len(hash) != 32 {
				// The value is not repeated: it may be the token itself.
				errs = append(errs, fmt.Errorf("%s::sha256` must be the token's SHA-256 in 64 hexadecimal digits, in quotes: printf %%s \"$TOKEN\" | sha256sum", at))
				continue
			}
			if other := seen[string(hash)]; other != "" {
				errs = append(errs, fmt.Errorf("%s::sha256` is the same as that of %s`: a token belongs to one environment", at, other))
			}
			seen[string(hash)] = at
		}
	}
	return errors.Join(errs...)
}

// parseFile reads the file's `environments`.
func parseFile(text []byte) (map[string]EnvironmentConfig, error) {
	retrieved, err := confmap.NewRetrievedFromYAML(text)
	if err != nil {
		return nil, err
	}
	conf, err := retrieved.AsConf()
	if err != nil {
		return nil, err
	}
	var file struct {
		Environments map[string]EnvironmentConfig `mapstructure:"environments"`
	}
	if err := conf.Unmarshal(&file); err != nil {
		return nil, err
	}
	if conf.Get("environments") == nil { // as when a writer has emptied the file and not yet filled it
		return nil, errors.New("the key `environments` is missing or has no value: write `environments: {}` when nobody may send")
	}
	return file.Environments, validate(file.Environments)
}
