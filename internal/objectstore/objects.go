// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// Listed is an object in a list.
type Listed struct {
	Key string
	// Size is in bytes.
	Size int64
	// Stored is when it was last written.
	Stored time.Time
}

// List calls each with the objects whose keys begin with prefix, in the order of the keys, until it says false.
func (s *S3) List(ctx context.Context, prefix string, each func(Listed) bool) error {
	in := &s3.ListObjectsV2Input{Bucket: &s.bucket, Prefix: &prefix}
	for {
		out, err := s.client.ListObjectsV2(ctx, in)
		if err != nil {
			return classify("ListObjectsV2", err)
		}
		for _, o := range out.Contents {
			if !each(Listed{Key: aws.ToString(o.Key), Size: aws.ToInt64(o.Size), Stored: aws.ToTime(o.LastModified)}) {
				return nil
			}
		}
		if !aws.ToBool(out.IsTruncated) || out.NextContinuationToken == nil {
			return nil
		}
		in.ContinuationToken = out.NextContinuationToken
	}
}

// Delete removes an object. One that is not there is no error.
func (s *S3) Delete(ctx context.Context, key string) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &key})
	err = classify("DeleteObject", err)
	if isMissing(err) {
		return nil
	}
	return err
}

func isMissing(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Status == http.StatusNotFound && e.Code != "NoSuchBucket"
}

// maxObject bounds what Rewrite holds in memory.
const maxObject = 256 << 20

// Whole is an object that was read, with what it has beside its bytes.
type Whole struct {
	Key  string
	Body []byte

	got *s3.GetObjectOutput
}

// Get reads an object; nil when there is none.
func (s *S3) Get(ctx context.Context, key string) (*Whole, error) {
	out, err := s.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		if err = classify("GetObject", err); isMissing(err) {
			return nil, nil
		}
		return nil, err
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxObject+1))
	if err != nil {
		return nil, classify("GetObject", err)
	}
	if len(body) > maxObject {
		return nil, fmt.Errorf("the object has more than %d bytes", maxObject)
	}
	return &Whole{Key: key, Body: body, got: out}, nil
}

// Rewrite puts other bytes in the place of an object that was read, and leaves what else it has: metadata, tags,
// storage class, encryption. sum is the SHA-256 of body in hexadecimal digits. If the object has changed since it was
// read, the error's class is Exists and nothing is written.
func (s *S3) Rewrite(ctx context.Context, was *Whole, body []byte, sum string) error {
	in := &s3.PutObjectInput{
		Bucket: &s.bucket, Key: &was.Key, Body: bytes.NewReader(body), IfMatch: was.got.ETag,
		ContentType: was.got.ContentType, Metadata: map[string]string{},
		ServerSideEncryption: was.got.ServerSideEncryption, SSEKMSKeyId: was.got.SSEKMSKeyId, StorageClass: was.got.StorageClass,
	}
	for name, value := range was.got.Metadata {
		in.Metadata[name] = value
	}
	// The digest stays: the same segment, sent again, must find itself and not bring back what is gone.
	in.Metadata[metaSum] = sum
	if aws.ToInt32(was.got.TagCount) > 0 {
		out, err := s.client.GetObjectTagging(ctx, &s3.GetObjectTaggingInput{Bucket: &s.bucket, Key: &was.Key})
		if err != nil {
			return classify("GetObjectTagging", err)
		}
		tags := map[string]string{}
		for _, t := range out.TagSet {
			tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
		in.Tagging = tagging(tags)
	}
	_, err := s.client.PutObject(ctx, in)
	return classify("PutObject", err)
}

// KeepsVersions says whether the bucket keeps what is overwritten or deleted.
func (s *S3) KeepsVersions(ctx context.Context) (bool, error) {
	out, err := s.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &s.bucket})
	if err != nil {
		err = classify("GetBucketVersioning", err)
		var e *Error
		if errors.As(err, &e) && e.Status == http.StatusNotImplemented {
			return false, nil // a server without versions
		}
		return false, err
	}
	return out.Status == types.BucketVersioningStatusEnabled || out.Status == types.BucketVersioningStatusSuspended, nil
}
