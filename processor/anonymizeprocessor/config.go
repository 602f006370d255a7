// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"fmt"

	"go.opentelemetry.io/collector/component"
)

// maxEnvironment is the longest environment name: one DNS label.
const maxEnvironment = 63

// Config of the anonymize processor.
type Config struct {
	// Environment is stamped as `qpoint.environment` on every resource: 1 to 63 characters
	// of a-z, 0-9 and `-`. What the data says about its environment is ignored.
	Environment string `mapstructure:"environment"`

	_ struct{}
}

var _ component.Config = (*Config)(nil)

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	if !validEnvironment(c.Environment) {
		return fmt.Errorf("`environment` must be 1 to %d characters of a-z, 0-9 and `-`, got %q", maxEnvironment, c.Environment)
	}
	return nil
}

func validEnvironment(s string) bool {
	if s == "" || len(s) > maxEnvironment {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
