// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	defaultPathWords = 100
	maxPathWords     = 10_000
	minHMACKey       = 32 // bytes
	maxKeyID         = 16
	maxZones         = 256
)

// Config of the anonymize processor.
type Config struct {
	// Environment is stamped as `qpoint.environment` on every resource: 1 to 63 characters
	// of a-z, 0-9 and `-`. What the data says about its environment is ignored.
	Environment string `mapstructure:"environment"`

	// EnvironmentFromClient takes the environment from the identity that `pulse_tokens` gave the request,
	// and refuses a request without one.
	EnvironmentFromClient bool `mapstructure:"environment_from_client"`

	// Modes says what becomes of values of a kind (`card`, `email`, …): `mask`, `drop`, `hmac` or `keep`. A kind that is
	// not named is masked.
	Modes map[string]string `mapstructure:"modes"`

	// Addresses says what becomes of IP addresses: `keep`, `truncate` to /24 and /48, or `hmac`.
	Addresses string `mapstructure:"addresses"`

	// Domains says what becomes of host names in zones: the longest zone that a name is in counts.
	Domains []DomainConfig `mapstructure:"domains"`

	// HMACKeys are the keys of `hmac`. The first makes values, the others only recognise what they made before.
	HMACKeys []KeyConfig `mapstructure:"hmac_keys"`

	// PathWords is how many different words one position of a path may have, for each endpoint, before all
	// of them become `{name}`.
	PathWords int `mapstructure:"path_words"`

	_ struct{}
}

// DomainConfig is what becomes of the host names in one zone.
type DomainConfig struct {
	// Zone is a domain, such as `corp.example.com`. Names below it and itself are in it.
	Zone string `mapstructure:"zone"`
	// Mode is `keep`, `registrable` (the public suffix and one label) or `hmac` (of the labels below the zone).
	Mode string `mapstructure:"mode"`

	_ struct{}
}

// KeyConfig is one key of `hmac`.
type KeyConfig struct {
	// ID stands in each value that the key made: 1 to 16 of a-z and 0-9.
	ID string `mapstructure:"id"`
	// Key has at least 32 bytes, as `${env:NAME}`.
	Key configopaque.String `mapstructure:"key"`
	// KeyFile is a file whose content is the key, white space around it not counted.
	KeyFile string `mapstructure:"key_file"`

	_ struct{}
}

var _ component.Config = (*Config)(nil)

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	switch {
	case c.EnvironmentFromClient && c.Environment != semantic.DefaultEnvironment:
		bad("`environment` and `environment_from_client` exclude each other: keep one")
	case !c.EnvironmentFromClient && !semantic.ValidEnvironment(c.Environment):
		bad("`environment` must be 1 to %d characters of a-z, 0-9 and `-`, got %q", semantic.MaxEnvironment, c.Environment)
	}

	keyed := ""
	for _, name := range slices.Sorted(maps.Keys(c.Modes)) {
		mode := c.Modes[name]
		if _, ok := kindOf(name); !ok {
			bad("`modes` has no kind %q: use one of %s", name, strings.Join(kindNames(), ", "))
		}
		if !slices.Contains(modeNames[:], mode) {
			bad("`modes::%s` must be one of %s, got %q", name, strings.Join(modeNames[:], ", "), mode)
		}
		if mode == "hmac" {
			keyed = "modes::" + name
		}
	}

	switch c.Addresses {
	case "keep", "truncate":
	case "hmac":
		keyed = "addresses"
	default:
		bad("`addresses` must be one of keep, truncate, hmac, got %q", c.Addresses)
	}

	if len(c.Domains) > maxZones {
		bad("`domains` has %d zones: %d is the most", len(c.Domains), maxZones)
	}
	zones := map[string]bool{}
	for i, d := range c.Domains {
		zone := canonicalZone(d.Zone)
		switch {
		case !validDNSName(zone):
			bad("`domains[%d]::zone` must be a domain such as `corp.example.com`, got %q", i, d.Zone)
		case zones[zone]:
			bad("`domains[%d]::zone` repeats %q", i, zone)
		}
		zones[zone] = true
		switch d.Mode {
		case "keep", "registrable":
		case "hmac":
			keyed = fmt.Sprintf("domains[%d]", i)
		default:
			bad("`domains[%d]::mode` must be one of keep, registrable, hmac, got %q", i, d.Mode)
		}
	}

	ids := map[string]bool{}
	for i, k := range c.HMACKeys {
		switch {
		case !validKeyID(k.ID):
			bad("`hmac_keys[%d]::id` must be 1 to %d characters of a-z and 0-9, got %q", i, maxKeyID, k.ID)
		case ids[k.ID]:
			bad("`hmac_keys[%d]::id` repeats %q: give every key its own", i, k.ID)
		}
		ids[k.ID] = true
		switch {
		case k.Key == "" && k.KeyFile == "":
			bad("`hmac_keys[%d]` has neither `key` nor `key_file`: set one, for example to `${env:NAME}`", i)
		case k.Key != "" && k.KeyFile != "":
			bad("`hmac_keys[%d]` has both `key` and `key_file`: keep one", i)
		case k.Key != "" && len(k.Key) < minHMACKey:
			bad("`hmac_keys[%d]::key` has %d bytes: %d is the least, for example from `openssl rand -hex 32`", i, len(k.Key), minHMACKey)
		}
	}
	if keyed != "" && len(c.HMACKeys) == 0 {
		bad("`%s` is hmac, but there are no `hmac_keys`: add one with an `id` and a `key` or `key_file`", keyed)
	}

	if c.PathWords < 1 || c.PathWords > maxPathWords {
		bad("`path_words` must be 1 to %d, got %d", maxPathWords, c.PathWords)
	}
	return errors.Join(errs...)
}

// environment is the fixed one, or "" when it is the client's.
func (c *Config) environment() string {
	if c.EnvironmentFromClient {
		return ""
	}
	return c.Environment
}

// moded are the kinds that Modes may name: all but IP, which Addresses is for.
var moded = []detect.Kind{
	detect.Card, detect.IBAN, detect.Email, detect.Phone, detect.NationalID, detect.JWT, detect.PrivateKey, detect.APIKey, detect.Secret,
	detect.Number, detect.Date, detect.UUID, detect.ULID, detect.Hex, detect.Token,
}

func kindOf(name string) (detect.Kind, bool) {
	for _, k := range moded {
		if k.String() == name {
			return k, true
		}
	}
	return detect.None, false
}

func kindNames() []string {
	names := make([]string, len(moded))
	for i, k := range moded {
		names[i] = k.String()
	}
	return names
}

func validKeyID(s string) bool {
	if s == "" || len(s) > maxKeyID {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}
