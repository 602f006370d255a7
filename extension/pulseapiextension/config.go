// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	defaultEndpoint  = "127.0.0.1:8686"
	defaultTokenFile = "./data/token"
)

// Config of the `pulse_api` extension.
type Config struct {
	// ServerConfig holds `endpoint`, `tls`, `auth` and the other keys of a collector HTTP server.
	confighttp.ServerConfig `mapstructure:",squash"`

	// ClickHouse is where rows are read from: the id of an extension that brings an engine
	// (`local_clickhouse`), or a URL such as clickhouse://user:password@host:9000/database.
	ClickHouse configopaque.String `mapstructure:"clickhouse"`

	// Database is the one that `pulse` writes. Empty means that of the URL, else "qpoint".
	Database string `mapstructure:"database"`

	// Environment limits every answer to one environment. Empty means all of them.
	Environment string `mapstructure:"environment"`

	// Storage is the id of an extension that serves a bucket (`local_s3`).
	Storage *component.ID `mapstructure:"storage"`

	// S3 is the bucket that holds payloads, when no extension serves it.
	S3 *S3Config `mapstructure:"s3"`

	// Prefix is put before object keys as it is. It must equal the `prefix` of `qpoint_s3`.
	Prefix string `mapstructure:"prefix"`

	// Eraser is the id of an extension that may change the bucket, such as `qpoint_erase`: it erases payloads when someone with
	// the capability data:erase says so. Without one, only rows without payloads can be erased.
	Eraser *component.ID `mapstructure:"eraser"`

	// LocalTokenFile holds the token of the local mode, that is, without `auth`. It is made,
	// readable by its owner only, when it is missing.
	LocalTokenFile string `mapstructure:"local_token_file"`

	// OIDC lets people sign in at an OpenID Connect provider. It excludes `auth`.
	OIDC *OIDCConfig `mapstructure:"oidc"`

	// Access says who may do what. Without it, whoever the authenticator lets in may do everything.
	Access *AccessConfig `mapstructure:"access"`

	// Queries bounds what questions may take from the store.
	Queries QueriesConfig `mapstructure:"queries"`

	// RequestsPerSecond is how often each caller may ask; bursts may have twice as many.
	RequestsPerSecond int `mapstructure:"requests_per_second"`

	// CountryDatabase is a MaxMind DB file with the countries of addresses. Empty: no countries.
	CountryDatabase string `mapstructure:"country_database"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// QueriesConfig bounds what questions may take from the store.
type QueriesConfig struct {
	// Concurrent is how many questions the store is asked at once; up to eight times as many wait.
	Concurrent int `mapstructure:"concurrent"`
	// QueueTimeout is how long a question waits for its turn.
	QueueTimeout time.Duration `mapstructure:"queue_timeout"`
	// Timeout is how long a question may take.
	Timeout time.Duration `mapstructure:"timeout"`
	// MaxMemoryMiB is how much memory of the store a question may take.
	MaxMemoryMiB uint64 `mapstructure:"max_memory_mib"`
	// MaxRows is how many rows a question may read. 0: as many as there are.
	MaxRows uint64 `mapstructure:"max_rows"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func (q *QueriesConfig) validate() error {
	var errs []error
	if q.Concurrent < 1 {
		errs = append(errs, errors.New("`queries::concurrent` must be at least 1"))
	}
	if q.QueueTimeout <= 0 {
		errs = append(errs, errors.New("`queries::queue_timeout` must be positive, such as 2s"))
	}
	if q.Timeout <= 0 {
		errs = append(errs, errors.New("`queries::timeout` must be positive, such as 15s"))
	}
	if q.MaxMemoryMiB < 64 {
		errs = append(errs, errors.New("`queries::max_memory_mib` must be at least 64"))
	}
	return errors.Join(errs...)
}

func (q *QueriesConfig) limits() pulsestore.Limits {
	return pulsestore.Limits{Time: q.Timeout, Memory: q.MaxMemoryMiB << 20, Rows: q.MaxRows}
}

// S3Config says where a bucket is and with which read-only credentials links are signed.
type S3Config struct {
	// Endpoint is the URL of the service as the browser reaches it. Empty means AWS.
	Endpoint string `mapstructure:"endpoint"`
	Bucket   string `mapstructure:"bucket"`
	Region   string `mapstructure:"region"`
	// PathStyle puts the bucket into the path and not into the host name.
	PathStyle bool `mapstructure:"path_style"`
	// Without both keys, links are signed in the page with keys that its user gives it, and that never leave the browser.
	AccessKey configopaque.String `mapstructure:"access_key"`
	SecretKey configopaque.String `mapstructure:"secret_key"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// clickHouseSchemes are the native protocol, and the HTTP interface.
var clickHouseSchemes = []string{"clickhouse", "http", "https"}

// prefixName allows what `qpoint_s3` allows.
var prefixName = regexp.MustCompile(`^[A-Za-z0-9!_.*'()/=-]*$`)

// Validate reports what is wrong with the configuration, naming the key and the fix.
func (c *Config) Validate() error {
	var errs []error
	if c.NetAddr.Transport != "tcp" {
		errs = append(errs, fmt.Errorf("`transport` %q is not supported: use tcp", c.NetAddr.Transport))
	}
	host, _, err := net.SplitHostPort(c.NetAddr.Endpoint)
	switch {
	case err != nil:
		errs = append(errs, fmt.Errorf("`endpoint` %q is not host:port", c.NetAddr.Endpoint))
	case !isLoopback(host) && c.local():
		errs = append(errs, fmt.Errorf("`endpoint` %s can be reached from other hosts: set `auth` or `oidc`, or listen on %s", c.NetAddr.Endpoint, defaultEndpoint))
	}
	if c.local() && c.LocalTokenFile == "" {
		errs = append(errs, errors.New("`local_token_file` is empty: name a file for the local token, or set `auth`"))
	}
	if c.OIDC != nil {
		if c.Auth.HasValue() {
			errs = append(errs, errors.New("`auth` and `oidc` exclude each other: keep one"))
		}
		errs = append(errs, c.OIDC.validate())
	}
	errs = append(errs, c.validateClickHouse())
	if c.Environment != "" && !semantic.ValidEnvironment(c.Environment) {
		errs = append(errs, fmt.Errorf("`environment` %q is none that `anonymize` can have: use 1 to %d characters of a-z, 0-9 and `-`, or none for all", c.Environment, semantic.MaxEnvironment))
	}
	if !prefixName.MatchString(c.Prefix) || strings.HasPrefix(c.Prefix, "/") || strings.Contains(c.Prefix, "//") || strings.Contains(c.Prefix, "./") {
		errs = append(errs, errors.New("`prefix` must not begin with '/' nor hold '//', './' or characters other than A-Z a-z 0-9 ! _ . * ' ( ) / = -"))
	}
	if c.Storage != nil && c.S3 != nil {
		errs = append(errs, errors.New("`storage` and `s3` exclude each other: keep one"))
	}
	if c.S3 != nil {
		errs = append(errs, c.S3.validate())
	}
	errs = append(errs, c.Queries.validate())
	if c.RequestsPerSecond < 1 {
		errs = append(errs, errors.New("`requests_per_second` must be at least 1"))
	}
	if c.Access != nil {
		if c.local() {
			errs = append(errs, errors.New("`access` needs `auth` or `oidc`: the local token has no roles"))
		}
		_, err := newAccess(c.Access)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// local reports whether the local token is who may come in.
func (c *Config) local() bool { return !c.Auth.HasValue() && c.OIDC == nil }

func (c *Config) validateClickHouse() error {
	if c.ClickHouse == "" {
		return errors.New("`clickhouse` is missing: give the id of an extension such as local_clickhouse, or a URL such as clickhouse://user:password@host:9000/database")
	}
	// Neither error repeats the value: it may hold a password.
	if c.clickHouseIsURL() {
		u, err := url.Parse(string(c.ClickHouse))
		if err != nil || u.Host == "" || !slices.Contains(clickHouseSchemes, u.Scheme) {
			return errors.New("`clickhouse` is not a URL such as clickhouse://user:password@host:9000/database, or one with http or https")
		}
		return nil
	}
	var id component.ID
	if id.UnmarshalText([]byte(c.ClickHouse)) != nil {
		return errors.New("`clickhouse` is neither the id of an extension nor a URL")
	}
	return nil
}

func (c *Config) clickHouseIsURL() bool { return strings.Contains(string(c.ClickHouse), "://") }

// clickHouseID is the id of the extension that brings the engine; the zero ID when it is a URL.
func (c *Config) clickHouseID() component.ID {
	var id component.ID
	if !c.clickHouseIsURL() {
		_ = id.UnmarshalText([]byte(c.ClickHouse)) // Validate has checked it
	}
	return id
}

func (s *S3Config) validate() error {
	var errs []error
	for key, value := range map[string]string{"bucket": s.Bucket, "region": s.Region} {
		if value == "" {
			errs = append(errs, fmt.Errorf("`s3::%s` is missing: payload links cannot be signed without it", key))
		}
	}
	if (s.AccessKey == "") != (s.SecretKey == "") {
		errs = append(errs, errors.New("`s3::access_key` and `s3::secret_key` go together: give both, or neither to let each browser sign with its user's keys"))
	}
	if s.Endpoint != "" {
		u, err := url.Parse(s.Endpoint)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			errs = append(errs, errors.New("`s3::endpoint` is not a URL such as https://s3.example.com"))
		}
	}
	return errors.Join(errs...)
}

func (s *S3Config) settings() s3settings.Settings {
	return s3settings.Settings{
		Endpoint: s.Endpoint, Bucket: s.Bucket, Region: s.Region, PathStyle: s.PathStyle,
		AccessKey: s.AccessKey, SecretKey: s.SecretKey,
	}
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
