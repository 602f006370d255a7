// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strings"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configopaque"
	"go.opentelemetry.io/collector/config/configoptional"
	"go.opentelemetry.io/collector/config/configretry"
	"go.opentelemetry.io/collector/exporter/exporterhelper"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/retention"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// minQueueBytes is what a queue that counts bytes must hold: a few whole segments.
const minQueueBytes = 32 << 20

// Config is the configuration of `qpoint_s3`.
type Config struct {
	// Storage is the id of an extension that serves the bucket, for example `local_s3`. It takes
	// the place of the keys from Endpoint to PathStyle.
	Storage *component.ID `mapstructure:"storage"`

	// Endpoint is a URL or host:port; empty is AWS.
	Endpoint string `mapstructure:"endpoint"`
	Bucket   string `mapstructure:"bucket"`
	// Region defaults to us-east-1.
	Region string `mapstructure:"region"`
	// AccessKey and SecretKey are static credentials. Without them the default chain of the AWS
	// SDK is used.
	AccessKey configopaque.String `mapstructure:"access_key"`
	SecretKey configopaque.String `mapstructure:"secret_key"`
	// SSL turns TLS on or off for an Endpoint without a scheme; nil is on.
	SSL *bool `mapstructure:"ssl"`
	// PathStyle puts the bucket in the path instead of the host name; nil is on, except for AWS.
	PathStyle *bool `mapstructure:"path_style"`

	// Prefix is put before every key as it is.
	Prefix string `mapstructure:"prefix"`
	// Environment is the first folder of every key: the one that the metadata of these payloads has, by `anonymize` or by
	// the gateway's token.
	Environment string `mapstructure:"environment"`
	// RetentionClasses are how long objects are kept, by the class that rules name; 0 is for ever.
	RetentionClasses retention.Classes `mapstructure:"retention_classes"`
	// Lifecycle says what to do about a bucket whose lifecycle does not keep RetentionClasses: verify says so, require
	// does not start, off does not look.
	Lifecycle string `mapstructure:"lifecycle"`
	// SSE is "", "AES256" or "aws:kms".
	SSE          string            `mapstructure:"sse"`
	SSEKMSKeyID  string            `mapstructure:"sse_kms_key_id"`
	StorageClass string            `mapstructure:"storage_class"`
	Tags         map[string]string `mapstructure:"tags"`

	// Encryption says who can read the objects' payloads, whoever can read the bucket.
	Encryption EncryptionConfig `mapstructure:"encryption"`

	Timeout exporterhelper.TimeoutConfig                             `mapstructure:",squash"`
	Queue   configoptional.Optional[exporterhelper.QueueBatchConfig] `mapstructure:"sending_queue"`
	Retry   configretry.BackOffConfig                                `mapstructure:"retry_on_failure"`

	_ struct{}
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	// prefixName leaves out what needs care in a URL or a policy.
	prefixName = regexp.MustCompile(`^[A-Za-z0-9!_.*'()/=-]*$`)
	// tagText is what every AWS service takes in a tag. Servers refuse others only with the first object.
	tagText = regexp.MustCompile(`^[\pL\pN +\-=._:/@]*$`)
)

// Validate implements confmap.Validator.
func (c *Config) Validate() error {
	return errors.Join(c.validateBucket(), c.validateObjects(), c.validateRetention(), c.validateQueue(), c.validateEncryption())
}

func (c *Config) validateEncryption() error {
	_, err := c.Encryption.recipients()
	return err
}

func (c *Config) validateBucket() error {
	if c.Storage != nil {
		if c.Endpoint != "" || c.Bucket != "" || c.Region != "" || c.AccessKey != "" || c.SecretKey != "" || c.SSL != nil || c.PathStyle != nil {
			return errors.New("`storage` takes the place of `endpoint`, `bucket`, `region`, `access_key`, `secret_key`, `ssl` and `path_style`: keep one side")
		}
		return nil
	}
	var errs []error
	switch {
	case c.Bucket == "":
		errs = append(errs, errors.New("`bucket` is required (or `storage: local_s3`)"))
	case !bucketName.MatchString(c.Bucket):
		errs = append(errs, errors.New("`bucket` must be 3 to 63 lower-case letters, digits, dots and hyphens"))
	}
	if (c.AccessKey == "") != (c.SecretKey == "") {
		errs = append(errs, errors.New("`access_key` and `secret_key` go together: set both, or none to use the default credentials (is an environment variable empty?)"))
	}
	if c.SSL != nil && c.Endpoint == "" && !*c.SSL {
		errs = append(errs, errors.New("`ssl: false` needs an `endpoint`"))
	}
	_, err := c.baseURL()
	return errors.Join(append(errs, err)...)
}

func (c *Config) validateObjects() error {
	var errs []error
	if !prefixName.MatchString(c.Prefix) || strings.HasPrefix(c.Prefix, "/") || strings.Contains(c.Prefix, "//") || strings.Contains(c.Prefix, "./") {
		errs = append(errs, errors.New("`prefix` must not begin with '/' nor hold '//', './' or characters other than A-Z a-z 0-9 ! _ . * ' ( ) / = -"))
	}
	if !semantic.ValidEnvironment(c.Environment) {
		errs = append(errs, fmt.Errorf("`environment` must be 1 to %d characters of a-z, 0-9 and `-`, got %q", semantic.MaxEnvironment, c.Environment))
	}
	switch c.SSE {
	case "", "AES256", "aws:kms":
	default:
		errs = append(errs, fmt.Errorf("`sse` is %q: expected AES256 or aws:kms", c.SSE))
	}
	if c.SSEKMSKeyID != "" && c.SSE != "aws:kms" {
		errs = append(errs, errors.New("`sse_kms_key_id` needs `sse: aws:kms`"))
	}
	if len(c.Tags) > 10 {
		errs = append(errs, fmt.Errorf("`tags` has %d entries: S3 takes at most 10", len(c.Tags)))
	}
	for key, value := range c.Tags {
		if key == "" || len(key) > 128 || len(value) > 256 || !tagText.MatchString(key) || !tagText.MatchString(value) {
			errs = append(errs, fmt.Errorf("`tags`: %q: %q: a key has 1 to 128 and a value at most 256 letters, digits, spaces and + - = . _ : / @", key, value))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) validateQueue() error {
	if !c.Queue.HasValue() {
		return nil
	}
	q := c.Queue.Get()
	var errs []error
	if q.Batch.HasValue() {
		errs = append(errs, errors.New("`sending_queue::batch` must not be set: the receiver has packed the segments, merging or cutting them again would break their keys"))
	}
	if q.Sizer == exporterhelper.RequestSizerTypeBytes && q.QueueSize < minQueueBytes {
		errs = append(errs, fmt.Errorf("`sending_queue::queue_size` is %d bytes: it must be at least %d (or set `sizer: requests`)", q.QueueSize, minQueueBytes))
	}
	return errors.Join(errs...)
}

// baseURL returns the scheme and authority of the endpoint, or "" for AWS.
func (c *Config) baseURL() (string, error) {
	if c.Endpoint == "" {
		return "", nil
	}
	scheme, rest, found := strings.Cut(c.Endpoint, "://")
	if !found {
		scheme, rest = "https", c.Endpoint
		if c.SSL != nil && !*c.SSL {
			scheme = "http"
		}
	}
	u, err := url.Parse(scheme + "://" + rest)
	// The error of url.Parse would quote the endpoint, which may hold a password.
	if err != nil || u.Hostname() == "" || scheme != "http" && scheme != "https" {
		return "", errors.New("`endpoint` must be host:port or a URL that begins with http:// or https://")
	}
	if u.User != nil {
		return "", errors.New("`endpoint` must not hold credentials: use `access_key` and `secret_key`")
	}
	if strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("`endpoint` must not hold a path or a query: use `bucket` and `prefix`")
	}
	if found && c.SSL != nil && *c.SSL != (scheme == "https") {
		return "", fmt.Errorf("`ssl: %t` contradicts the scheme of `endpoint`, %s://: remove one", *c.SSL, scheme)
	}
	return scheme + "://" + u.Host, nil
}

// settings returns where the bucket is, without Storage.
func (c *Config) settings() (s3settings.Settings, error) {
	base, err := c.baseURL()
	if err != nil {
		return s3settings.Settings{}, err
	}
	set := s3settings.Settings{
		Endpoint:  base,
		Bucket:    c.Bucket,
		Region:    c.Region,
		PathStyle: base != "" && !isAWS(base),
		AccessKey: c.AccessKey,
		SecretKey: c.SecretKey,
	}
	if set.Region == "" {
		set.Region = defaultRegion
	}
	if c.PathStyle != nil {
		set.PathStyle = *c.PathStyle
	}
	return set, nil
}

func isAWS(base string) bool {
	u, err := url.Parse(base)
	return err == nil && net.ParseIP(u.Hostname()) == nil &&
		(strings.HasSuffix(u.Hostname(), ".amazonaws.com") || strings.HasSuffix(u.Hostname(), ".amazonaws.com.cn"))
}
