// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
)

// Config is the configuration of `local_s3`.
type Config struct {
	// Endpoint is the loopback host:port to listen on.
	Endpoint string `mapstructure:"endpoint"`
	// DataDir is the folder that holds the bucket and the credentials. It is created.
	DataDir string `mapstructure:"data_dir"`
	Bucket  string `mapstructure:"bucket"`
	Region  string `mapstructure:"region"`
	// CORS says which pages may read objects with presigned links.
	CORS CORSConfig `mapstructure:"cors"`

	_ struct{}
}

// CORSConfig is the bucket's cross-origin rule.
type CORSConfig struct {
	// AllowedOrigins are exact origins such as "http://127.0.0.1:8686"; empty allows none.
	AllowedOrigins []string `mapstructure:"allowed_origins"`

	_ struct{}
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]{1,64}$`)
)

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	errs := []error{c.validateEndpoint()}
	if c.DataDir == "" {
		errs = append(errs, errors.New("`data_dir` is required"))
	}
	if !bucketName.MatchString(c.Bucket) || c.Bucket == credentialsFile || c.Bucket == lockFile {
		errs = append(errs, fmt.Errorf("`bucket` must be 3 to 63 lower-case letters, digits and hyphens, and neither %q nor %q", credentialsFile, lockFile))
	}
	if !regionName.MatchString(c.Region) {
		errs = append(errs, errors.New("`region` must be lower-case letters, digits and hyphens"))
	}
	for _, o := range c.CORS.AllowedOrigins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || o != u.Scheme+"://"+u.Host {
			errs = append(errs, fmt.Errorf("`cors::allowed_origins`: %q is not an origin such as http://127.0.0.1:8686", o))
		}
	}
	return errors.Join(errs...)
}

// validateEndpoint refuses an address that others could reach: the server knows one account that
// may do everything, and speaks no TLS.
func (c *Config) validateEndpoint() error {
	host, port, err := net.SplitHostPort(c.Endpoint)
	if err != nil {
		return errors.New("`endpoint` must be host:port, for example 127.0.0.1:8687")
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("`endpoint`: %q is not a port", port)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("`endpoint`: %q is not a loopback address: `local_s3` serves this host only; for others use an S3 service and `endpoint` of `qpoint_s3`", host)
	}
	return nil
}
