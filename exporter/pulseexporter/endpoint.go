// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Values of Config.Compression.
const (
	compressionLZ4  = "lz4"
	compressionZSTD = "zstd"
	compressionNone = "none"
)

var compressions = map[string]clickhouse.CompressionMethod{
	compressionLZ4: clickhouse.CompressionLZ4, compressionZSTD: clickhouse.CompressionZSTD, compressionNone: clickhouse.CompressionNone,
}

// endpointOptions reads Endpoint and what belongs to it. Errors do not repeat it: it may hold a password by mistake.
func (c *Config) endpointOptions(ctx context.Context) (*clickhouse.Options, error) {
	scheme, rest, ok := strings.Cut(c.Endpoint, "://")
	switch {
	case !ok || scheme != "clickhouse" && scheme != "http" && scheme != "https":
		return nil, errors.New("`endpoint` must be a URL such as clickhouse://host:9000, http://host:8123 or https://host:8443")
	case strings.Contains(strings.SplitN(rest, "/", 2)[0], "@"):
		return nil, errors.New("`endpoint` must not contain credentials: use `username` and `password`")
	}
	dsn := c.Endpoint
	if scheme == "https" && !strings.Contains(dsn, "secure=") { // the client wants to hear it twice
		separator := "?"
		if strings.Contains(dsn, "?") {
			separator = "&"
		}
		dsn += separator + "secure=true"
	}
	opts, err := clickhouse.ParseDSN(dsn)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) {
			err = urlErr.Err
		}
		return nil, fmt.Errorf("`endpoint`: %w", err)
	}
	if opts.Auth.Database != "" {
		return nil, errors.New("`endpoint` must not have a path: use `database`")
	}
	for _, addr := range opts.Addr {
		if _, port, err := net.SplitHostPort(addr); err == nil {
			if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
				return nil, fmt.Errorf("`endpoint`: %q is not a port", port)
			}
		}
	}
	opts.Auth.Username, opts.Auth.Password = c.Username, string(c.Password)
	if opts.Compression == nil {
		method, ok := compressions[c.Compression]
		if !ok {
			return nil, errors.New("`compression` must be lz4, zstd or none")
		}
		opts.Compression = &clickhouse.Compression{Method: method}
	}
	if settings := c.TLS.Get(); settings != nil {
		if scheme == "http" {
			return nil, errors.New("`tls` is set, but `endpoint` begins with http://: use https://")
		}
		if opts.TLS, err = settings.LoadTLSConfig(ctx); err != nil {
			return nil, fmt.Errorf("`tls`: %w", err)
		}
		if opts.TLS == nil {
			return nil, errors.New("`tls::insecure` turns TLS off: leave `tls` out")
		}
	}
	return opts, nil
}
