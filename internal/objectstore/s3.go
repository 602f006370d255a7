// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

const (
	contentType = "application/zip"
	// metaDigest is the user metadata (x-amz-meta-…) that holds Put.Digest.
	metaDigest = "qpoint-sha256"
	// metaSum is that of Put.Sum.
	metaSum = "qpoint-object-sha256"
)

// Options are how objects are stored, apart from where.
type Options struct {
	// ServerSideEncryption is "", "AES256" or "aws:kms"; KMSKeyID names the key of the latter
	// ("" is the account's default key).
	ServerSideEncryption string
	KMSKeyID             string
	// StorageClass is an S3 storage class, or "" for the bucket's default.
	StorageClass string
}

// S3 is a bucket of an S3-compatible service. It does not retry: its callers do. Its errors are of type *Error.
type S3 struct {
	client    *s3.Client
	transport *http.Transport
	bucket    string
	opts      Options
}

// NewS3 returns a client for the bucket that set names. Without keys in set the credentials come
// from the default chain of the AWS SDK: environment, profile, web identity (IRSA), container and
// instance metadata. Nothing is sent yet, but the chain may read files.
func NewS3(ctx context.Context, set s3settings.Settings, opts Options) (*S3, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = 16
	var creds aws.CredentialsProvider = credentials.NewStaticCredentialsProvider(string(set.AccessKey), string(set.SecretKey), "")
	if set.AccessKey == "" {
		defaults, err := config.LoadDefaultConfig(ctx, config.WithRegion(set.Region),
			config.WithLogger(logging.Nop{})) // its own would write to standard error, past the collector's log
		if err != nil {
			return nil, fmt.Errorf("load the default credentials: %w", err)
		}
		creds = chain{defaults.Credentials}
	}
	o := s3.Options{
		Region:       set.Region,
		Credentials:  aws.NewCredentialsCache(creds),
		HTTPClient:   &http.Client{Transport: transport, CheckRedirect: noRedirect},
		Retryer:      aws.NopRetryer{},
		UsePathStyle: set.PathStyle,
		// Trailing checksums are younger than most S3-compatible servers. The signature covers the
		// SHA-256 of the body in any case.
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenRequired,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenRequired,
		APIOptions:                 []func(*middleware.Stack) error{leaveUnsigned},
	}
	if set.Endpoint != "" {
		o.BaseEndpoint = aws.String(set.Endpoint)
	}
	return &S3{
		client:    s3.New(o),
		transport: transport,
		bucket:    set.Bucket,
		opts:      opts,
	}, nil
}

// acceptEncoding is the header that leaveUnsigned is about.
const acceptEncoding = "Accept-Encoding"

// leaveUnsigned takes Accept-Encoding out of what is signed, and sends it all the same. The SDK signs it, and Google Cloud
// Storage changes it on its way before it verifies the signature (aws/aws-sdk-go-v2#1816): nothing could be stored there. SigV4
// asks for Host and x-amz-* only.
func leaveUnsigned(stack *middleware.Stack) error {
	type hidden struct{}
	hide := middleware.FinalizeMiddlewareFunc("QpointHideAcceptEncoding", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		if r, ok := in.Request.(*smithyhttp.Request); ok {
			ctx = middleware.WithStackValue(ctx, hidden{}, r.Header.Get(acceptEncoding))
			r.Header.Del(acceptEncoding)
		}
		return next.HandleFinalize(ctx, in)
	})
	show := middleware.FinalizeMiddlewareFunc("QpointShowAcceptEncoding", func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		value, _ := middleware.GetStackValue(ctx, hidden{}).(string)
		if r, ok := in.Request.(*smithyhttp.Request); ok && value != "" {
			r.Header.Set(acceptEncoding, value)
		}
		return next.HandleFinalize(ctx, in)
	})
	const signing = "Signing" // the SDK's step
	return errors.Join(stack.Finalize.Insert(hide, signing, middleware.Before), stack.Finalize.Insert(show, signing, middleware.After))
}

// noRedirect keeps a payload from following a redirect to another host.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// tagging is the value of x-amz-tagging, in a fixed order.
func tagging(tags map[string]string) *string {
	if len(tags) == 0 {
		return nil
	}
	parts := make([]string, 0, len(tags))
	for _, k := range slices.Sorted(maps.Keys(tags)) {
		parts = append(parts, url.QueryEscape(k)+"="+url.QueryEscape(tags[k]))
	}
	return aws.String(strings.Join(parts, "&"))
}

// CloseIdle closes the connections that no call uses.
func (s *S3) CloseIdle() { s.transport.CloseIdleConnections() }

// CheckBucket returns nil when the bucket exists and the credentials may use it.
func (s *S3) CheckBucket(ctx context.Context) error {
	_, err := s.client.HeadBucket(ctx, &s3.HeadBucketInput{Bucket: &s.bucket})
	err = classify("HeadBucket", err)
	var e *Error
	if !errors.As(err, &e) || e.Class != Refused && e.Class != Invalid {
		return err
	}
	// An answer to HEAD has no body and so no error code: ask again in a way that has one.
	_, list := s.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{Bucket: &s.bucket, MaxKeys: aws.Int32(1)})
	if list == nil {
		return nil
	}
	return classify("ListObjectsV2", list)
}

// Put stores an object under a key that is free. If the key is taken the error's class is Exists, and the object that is
// there stays as it is.
func (s *S3) Put(ctx context.Context, put Put) error {
	in := &s3.PutObjectInput{
		Bucket:       &s.bucket,
		Key:          &put.Key,
		Body:         bytes.NewReader(put.Body),
		ContentType:  aws.String(contentType),
		IfNoneMatch:  aws.String("*"),
		Metadata:     map[string]string{metaDigest: put.Digest, metaSum: put.Sum},
		StorageClass: types.StorageClass(s.opts.StorageClass),
		Tagging:      tagging(put.Tags),
	}
	if s.opts.ServerSideEncryption != "" {
		in.ServerSideEncryption = types.ServerSideEncryption(s.opts.ServerSideEncryption)
		if s.opts.KMSKeyID != "" {
			in.SSEKMSKeyId = &s.opts.KMSKeyID
		}
	}
	_, err := s.client.PutObject(ctx, in)
	return classify("PutObject", err)
}

// Head returns what is known of the object under key.
func (s *S3) Head(ctx context.Context, key string) (Object, error) {
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &s.bucket, Key: &key})
	if err != nil {
		return Object{}, classify("HeadObject", err)
	}
	return Object{
		Size:   aws.ToInt64(out.ContentLength),
		ETag:   aws.ToString(out.ETag),
		Digest: out.Metadata[metaDigest],
		Sum:    out.Metadata[metaSum],
	}, nil
}

// CreateBucket makes the bucket; one that the same account already owns is no error.
func (s *S3) CreateBucket(ctx context.Context) error {
	_, err := s.client.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &s.bucket})
	err = classify("CreateBucket", err)
	var e *Error
	if errors.As(err, &e) && e.Code == "BucketAlreadyOwnedByYou" {
		return nil
	}
	return err
}

// AllowOrigins lets pages of the given origins, and of no others, read objects of the bucket with
// presigned links.
func (s *S3) AllowOrigins(ctx context.Context, origins []string) error {
	if len(origins) == 0 {
		_, err := s.client.DeleteBucketCors(ctx, &s3.DeleteBucketCorsInput{Bucket: &s.bucket})
		return classify("DeleteBucketCors", err)
	}
	_, err := s.client.PutBucketCors(ctx, &s3.PutBucketCorsInput{
		Bucket: &s.bucket,
		CORSConfiguration: &types.CORSConfiguration{CORSRules: []types.CORSRule{{
			AllowedMethods: []string{http.MethodGet, http.MethodHead},
			AllowedOrigins: origins,
			AllowedHeaders: []string{"Range"},
			ExposeHeaders:  []string{"Content-Range", "Content-Length", "ETag"},
		}}},
	})
	return classify("PutBucketCors", err)
}
