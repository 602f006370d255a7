// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package locals3extension

import (
	"errors"

	"github.com/versity/versitygw/backend"
)

type folder struct{ path string }

func openFolder(string) (*folder, error) {
	return nil, errors.New("`local_s3` runs on Linux only: use an S3 service with `endpoint` of `qpoint_s3`")
}

func (*folder) close() {}

func (*folder) openBucket(string) (backend.Backend, error) { return nil, errors.ErrUnsupported }
