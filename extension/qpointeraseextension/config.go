// SPDX-License-Identifier: Apache-2.0

package qpointeraseextension

import (
	"errors"
	"net/url"
	"regexp"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

// Config is the configuration of `qpoint_erase`.
type Config struct {
	// Storage is the id of an extension that serves the bucket, for example `local_s3`. It takes the place of the keys
	// from Endpoint to PathStyle.
	Storage *component.ID `mapstructure:"storage"`

	// Endpoint is the URL of the service; empty is AWS.
	Endpoint string `mapstructure:"endpoint"`
	Bucket   string `mapstructure:"bucket"`
	// Region defaults to us-east-1.
	Region string `mapstructure:"region"`
	// AccessKey and SecretKey are static credentials. Without them the default chain of the AWS SDK is used.
	AccessKey configopaque.String `mapstructure:"access_key"`
	SecretKey configopaque.String `mapstructure:"secret_key"`
	// PathStyle puts the bucket in the path instead of the host name.
	PathStyle bool `mapstructure:"path_style"`

	// Prefix is that of `qpoint_s3`.
	Prefix string `mapstructure:"prefix"`

	_ struct{}
}

// prefixName allows what `qpoint_s3` allows.
var prefixName = regexp.MustCompile(`^[A-Za-z0-9!_.*'()/=-]*$`)

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	var errs []error
	if !prefixName.MatchString(c.Prefix) || strings.HasPrefix(c.Prefix, "/") || strings.Contains(c.Prefix, "//") || strings.Contains(c.Prefix, "./") {
		errs = append(errs, errors.New("`prefix` must not begin with '/' nor hold '//', './' or characters other than A-Z a-z 0-9 ! _ . * ' ( ) / = -"))
	}
	if c.Storage != nil {
		if c.Endpoint != "" || c.Bucket != "" || c.AccessKey != "" || c.SecretKey != "" {
			errs = append(errs, errors.New("`storage` takes the place of `endpoint`, `bucket`, `region`, `access_key`, `secret_key` and `path_style`: keep one side"))
		}
		return errors.Join(errs...)
	}
	if c.Bucket == "" {
		errs = append(errs, errors.New("`bucket` is required (or `storage: local_s3`)"))
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		errs = append(errs, errors.New("`access_key` and `secret_key` go together: set both, or none to use the default credentials (is an environment variable empty?)"))
	}
	if c.Endpoint != "" {
		u, err := url.Parse(c.Endpoint)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			errs = append(errs, errors.New("`endpoint` is not a URL such as https://s3.example.com"))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) settings() s3settings.Settings {
	return s3settings.Settings{
		Endpoint: strings.TrimSuffix(c.Endpoint, "/"), Bucket: c.Bucket, Region: c.Region, PathStyle: c.PathStyle, AccessKey: c.AccessKey, SecretKey: c.SecretKey,
	}
}
