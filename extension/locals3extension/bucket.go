// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// oneBucket serves one bucket of a posix backend under an absolute path. The posix backend takes
// bucket names as paths relative to the working directory, to which it changes the whole process;
// a collector's working directory is not a component's to change. What is not listed here is
// answered with NotImplemented.
type oneBucket struct {
	backend.BackendUnsupported
	posix backend.Backend
	name  string
	path  string // absolute
}

var _ backend.Backend = (*oneBucket)(nil)

func (b *oneBucket) String() string { return "local_s3" }
func (b *oneBucket) Shutdown()      { b.posix.Shutdown() }

func (b *oneBucket) NormalizeObjectKey(_, object string) string {
	return b.posix.NormalizeObjectKey(b.path, object)
}

// at replaces the bucket's name in a request by its path.
func (b *oneBucket) at(bucket **string) error {
	if *bucket == nil || **bucket != b.name {
		return s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	*bucket = &b.path
	return nil
}

func (b *oneBucket) HeadBucket(ctx context.Context, in *s3.HeadBucketInput) (*s3.HeadBucketOutput, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return nil, err
	}
	return b.posix.HeadBucket(ctx, &c)
}

func (b *oneBucket) CreateBucket(ctx context.Context, in *s3.CreateBucketInput, acl []byte) error {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return s3err.GetAPIError(s3err.ErrNotImplemented) // this server has room for one
	}
	return b.posix.CreateBucket(ctx, &c, acl)
}

func (b *oneBucket) GetBucketAcl(ctx context.Context, in *s3.GetBucketAclInput) ([]byte, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return nil, err
	}
	return b.posix.GetBucketAcl(ctx, &c)
}

func (b *oneBucket) GetBucketPolicy(ctx context.Context, bucket string) ([]byte, error) {
	if bucket != b.name {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.GetBucketPolicy(ctx, b.path)
}

func (b *oneBucket) GetBucketVersioning(ctx context.Context, bucket string) (s3response.GetBucketVersioningOutput, error) {
	if bucket != b.name {
		return s3response.GetBucketVersioningOutput{}, s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.GetBucketVersioning(ctx, b.path)
}

func (b *oneBucket) GetBucketOwnershipControls(ctx context.Context, bucket string) (types.ObjectOwnership, error) {
	if bucket != b.name {
		return "", s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.GetBucketOwnershipControls(ctx, b.path)
}

func (b *oneBucket) GetObjectLockConfiguration(ctx context.Context, bucket string) ([]byte, error) {
	if bucket != b.name {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.GetObjectLockConfiguration(ctx, b.path)
}

func (b *oneBucket) PutBucketCors(ctx context.Context, bucket string, cors []byte) error {
	if bucket != b.name {
		return s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.PutBucketCors(ctx, b.path, cors)
}

func (b *oneBucket) GetBucketCors(ctx context.Context, bucket string) ([]byte, error) {
	if bucket != b.name {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.GetBucketCors(ctx, b.path)
}

func (b *oneBucket) DeleteBucketCors(ctx context.Context, bucket string) error {
	if bucket != b.name {
		return s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.DeleteBucketCors(ctx, b.path)
}

func (b *oneBucket) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if err := b.at(&in.Bucket); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	return b.posix.PutObject(ctx, in)
}

func (b *oneBucket) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return nil, err
	}
	return b.posix.HeadObject(ctx, &c)
}

func (b *oneBucket) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return nil, err
	}
	return b.posix.GetObject(ctx, &c)
}

func (b *oneBucket) GetObjectTagging(ctx context.Context, bucket, object, version string) (map[string]string, error) {
	if bucket != b.name {
		return nil, s3err.GetAPIError(s3err.ErrNoSuchBucket)
	}
	return b.posix.GetObjectTagging(ctx, b.path, object, version)
}

func (b *oneBucket) DeleteObject(ctx context.Context, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return nil, err
	}
	return b.posix.DeleteObject(ctx, &c)
}

func (b *oneBucket) DeleteObjects(ctx context.Context, in *s3.DeleteObjectsInput) (s3response.DeleteResult, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return s3response.DeleteResult{}, err
	}
	return b.posix.DeleteObjects(ctx, &c)
}

func (b *oneBucket) ListObjects(ctx context.Context, in *s3.ListObjectsInput) (s3response.ListObjectsResult, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return s3response.ListObjectsResult{}, err
	}
	out, err := b.posix.ListObjects(ctx, &c)
	out.Name = &b.name
	return out, err
}

func (b *oneBucket) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	c := *in
	if err := b.at(&c.Bucket); err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	out, err := b.posix.ListObjectsV2(ctx, &c)
	out.Name = &b.name
	return out, err
}
