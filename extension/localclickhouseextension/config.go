// SPDX-License-Identifier: Apache-2.0

package localclickhouseextension

import (
	"errors"
	"time"
)

// Config configures the embedded ClickHouse.
type Config struct {
	// DataDir holds the database, the lock and the socket. It is created when missing.
	DataDir string `mapstructure:"data_dir"`
	// Library is the path of libchdb.so. Empty: $QPOINT_CHDB_LIB, then the library paths.
	Library string `mapstructure:"library"`
	// User is the name or number of the user that the child process runs as when the
	// collector runs as root. Otherwise the child runs as the collector's own user.
	User string `mapstructure:"user"`
	// MaxMemoryMiB caps what the engine allocates, in MiB. A statement that would exceed it fails.
	MaxMemoryMiB int `mapstructure:"max_memory_mib"`
	// MaxThreads is how many threads one statement may use.
	MaxThreads int `mapstructure:"max_threads"`
	// MaxStatements is how many statements may run at once; further ones wait.
	MaxStatements int `mapstructure:"max_statements"`
	// StartTimeout is how long Start waits for the engine. Opening a large database takes a while.
	StartTimeout time.Duration `mapstructure:"start_timeout"`
	// ShutdownTimeout is how long Shutdown waits for a clean close before it kills the child.
	ShutdownTimeout time.Duration `mapstructure:"shutdown_timeout"`

	_ struct{}
}

func newDefaultConfig() *Config {
	return &Config{
		DataDir: "./data/clickhouse", User: "nobody",
		MaxMemoryMiB: 2048, MaxThreads: 2, MaxStatements: 16,
		StartTimeout: time.Minute, ShutdownTimeout: 10 * time.Second,
	}
}

// minMemoryMiB is the least with which the engine still starts and merges.
const minMemoryMiB = 512

// Validate implements xconfmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("`data_dir` must not be empty"))
	}
	if c.User == "" || c.User == "root" || c.User == "0" {
		errs = append(errs, errors.New("`user` must name an unprivileged user"))
	}
	if c.MaxMemoryMiB < minMemoryMiB {
		errs = append(errs, errors.New("`max_memory_mib` must be at least 512"))
	}
	if c.MaxThreads < 1 {
		errs = append(errs, errors.New("`max_threads` must be positive"))
	}
	if c.MaxStatements < 1 {
		errs = append(errs, errors.New("`max_statements` must be positive"))
	}
	if c.StartTimeout <= 0 {
		errs = append(errs, errors.New("`start_timeout` must be positive"))
	}
	if c.ShutdownTimeout <= 0 {
		errs = append(errs, errors.New("`shutdown_timeout` must be positive"))
	}
	return errors.Join(errs...)
}
