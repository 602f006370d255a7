// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// Config of the anonymize processor.
type Config struct {
	// Environment is stamped as `qpoint.environment` on every resource: 1 to 63 characters
	// of a-z, 0-9 and `-`. What the data says about its environment is ignored.
	Environment string `mapstructure:"environment"`

	// EnvironmentFromClient takes the environment from the identity that `pulse_tokens` gave the request,
	// and refuses a request without one.
	EnvironmentFromClient bool `mapstructure:"environment_from_client"`

	_ struct{}
}

var _ component.Config = (*Config)(nil)

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	if c.EnvironmentFromClient {
		if c.Environment != semantic.DefaultEnvironment {
			return errors.New("`environment` and `environment_from_client` exclude each other: keep one")
		}
		return nil
	}
	if !semantic.ValidEnvironment(c.Environment) {
		return fmt.Errorf("`environment` must be 1 to %d characters of a-z, 0-9 and `-`, got %q", semantic.MaxEnvironment, c.Environment)
	}
	return nil
}

// environment is the fixed one, or "" when it is the client's.
func (c *Config) environment() string {
	if c.EnvironmentFromClient {
		return ""
	}
	return c.Environment
}
