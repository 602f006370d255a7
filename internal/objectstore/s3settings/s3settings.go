// SPDX-License-Identifier: Apache-2.0

// Package s3settings says where an S3 bucket is and how to sign for it. It links no S3
// client, so that the query API can presign links without being able to read an object.
package s3settings

import (
	"time"

	"go.opentelemetry.io/collector/config/configopaque"
)

// Settings are what a client needs to address and sign requests for one bucket.
type Settings struct {
	// Endpoint is the base URL of the service, scheme and authority only, for example
	// "http://127.0.0.1:8687". Empty means the AWS endpoint of Region.
	Endpoint string
	// Bucket is the name of the bucket. Object keys are relative to it.
	Bucket string
	// Region is the region that signatures are scoped to.
	Region string
	// PathStyle says that the bucket is the first segment of the path and not a label of the
	// host name.
	PathStyle bool
	// AccessKey and SecretKey are static credentials.
	AccessKey configopaque.String
	SecretKey configopaque.String
}

// Storage is implemented by an extension that serves a bucket (`local_s3`). Components that are
// told `storage: <id>` find it among the host's extensions. The settings are valid once the
// extension's Start has returned; they may change with a restart of the extension.
type Storage interface {
	S3Settings() Settings
}

// Expiry says how long the objects are kept whose keys begin with a prefix.
type Expiry struct {
	Prefix string
	After  time.Duration
}

// Expirer is implemented by a Storage that removes old objects itself, having no lifecycle to configure.
type Expirer interface {
	// Expire adds rules until withdraw is called. It may be called when the extension's Start has returned.
	Expire(rules []Expiry) (withdraw func())
}
