// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// Class says what to do about an error.
type Class uint8

const (
	// Retry errors may pass: the network, a server in trouble, a clock that is being set.
	Retry Class = iota
	// Throttle errors pass when the client waits (Error.RetryAfter, if the server said so).
	Throttle
	// Refused errors are about the bucket or the credentials: they stay until someone changes the
	// configuration of either side.
	Refused
	// Exists says that the key is taken.
	Exists
	// Invalid errors are about this one request: repeating it gives the same answer.
	Invalid
)

// String returns the class as a metric attribute value.
func (c Class) String() string {
	switch c {
	case Throttle:
		return "throttle"
	case Refused:
		return "refused"
	case Exists:
		return "exists"
	case Invalid:
		return "invalid"
	}
	return "retry"
}

// Error is a failed call. Its text holds no credentials, and nothing that the server wrote
// except its error code.
type Error struct {
	// Op is the S3 operation.
	Op string
	// Code is the S3 error code, for example "NoSuchBucket", or "" when there was no answer.
	Code string
	// Status is the HTTP status code of the answer, or 0.
	Status int
	Class  Class
	// RetryAfter is how long the server asked to wait; 0 when it did not.
	RetryAfter time.Duration
	// cause is set when there was no answer.
	cause error
}

func (e *Error) Error() string {
	switch {
	case e.Status == 0:
		return fmt.Sprintf("%s: %v", e.Op, e.cause)
	case e.Code == "":
		return fmt.Sprintf("%s: HTTP status %d", e.Op, e.Status)
	}
	return fmt.Sprintf("%s: %s (HTTP status %d)", e.Op, e.Code, e.Status)
}

// Unwrap returns the network error of a call without an answer.
func (e *Error) Unwrap() error { return e.cause }

// ClassOf returns the class of err, Retry for an error that is not an *Error.
func ClassOf(err error) Class {
	var e *Error
	if errors.As(err, &e) {
		return e.Class
	}
	return Retry
}

// Codes that decide the class whatever the status is.
var codes = map[string]Class{
	"SlowDown": Throttle, "Throttling": Throttle, "ThrottlingException": Throttle, "TooManyRequests": Throttle,
	"RequestLimitExceeded": Throttle, "ServiceUnavailable": Throttle, "BandwidthLimitExceeded": Throttle,

	"NoSuchBucket": Refused, "AccessDenied": Refused, "InvalidAccessKeyId": Refused, "SignatureDoesNotMatch": Refused,
	"AuthorizationHeaderMalformed": Refused, "PermanentRedirect": Refused, "AllAccessDisabled": Refused,
	"AccountProblem": Refused, "InvalidBucketName": Refused, "InvalidToken": Refused, "InvalidSecurity": Refused,
	"NotSignedUp": Refused, "AccessControlListNotSupported": Refused, "KMS.NotFoundException": Refused,
	"KMS.DisabledException": Refused, "InvalidStorageClass": Refused,

	// The chain fetches fresh credentials, the clock is set, the request came too slowly.
	"ExpiredToken": Retry, "RequestTimeTooSkewed": Retry, "RequestTimeout": Retry, "RequestExpired": Retry,
	// Another writer of the same key is under way (AWS answers 409 to a conditional write then).
	"ConditionalRequestConflict": Retry, "OperationAborted": Retry,

	"PreconditionFailed": Exists,
}

// classify turns an error of the SDK into an *Error.
func classify(op string, err error) error {
	if err == nil {
		return nil
	}
	e := &Error{Op: op, Class: Retry}
	var creds *chainError
	if errors.As(err, &creds) {
		e.cause = creds // before a look at answers: this one may hold one of the metadata service
		return e
	}
	var answer *smithyhttp.ResponseError
	// The SDK also wraps a request that was never answered, around an empty response.
	if !errors.As(err, &answer) || answer.Response == nil || answer.Response.Response == nil || answer.HTTPStatusCode() == 0 {
		e.cause = innermost(err)
		return e
	}
	e.Status = answer.HTTPStatusCode()
	e.RetryAfter = retryAfter(answer.Response.Header.Get("Retry-After"), time.Now())
	var api smithy.APIError
	if errors.As(err, &api) && isCode(api.ErrorCode()) {
		e.Code = api.ErrorCode()
	}
	e.Class = classOf(e.Code, e.Status)
	return e
}

func classOf(code string, status int) Class {
	if c, ok := codes[code]; ok {
		return c
	}
	switch {
	case status == http.StatusPreconditionFailed:
		return Exists
	case status == http.StatusServiceUnavailable, status == http.StatusTooManyRequests:
		return Throttle
	case status == http.StatusUnauthorized, status == http.StatusForbidden, status == http.StatusNotFound,
		status == http.StatusMovedPermanently, status == http.StatusTemporaryRedirect:
		return Refused
	case status == http.StatusConflict, status == http.StatusRequestTimeout:
		return Retry
	case status >= 400 && status < 500:
		return Invalid
	}
	return Retry
}

// isCode reports whether s looks like an S3 error code. The server chose it, and it goes into logs.
func isCode(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '.' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= 64 && s != "UnknownError"
}

// retryAfter reads the header's two forms (RFC 9110 §10.2.3), at most an hour.
func retryAfter(v string, now time.Time) time.Duration {
	if s, err := strconv.Atoi(v); err == nil {
		return min(max(0, time.Duration(min(s, 3600))*time.Second), time.Hour)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(0, t.Sub(now)), time.Hour)
	}
	return 0
}

// ErrCredentials says that the default chain gave no credentials.
var ErrCredentials = errors.New("no credentials found")

// chain marks the errors of the default chain, which the SDK does not.
type chain struct{ aws.CredentialsProvider }

func (c chain) Retrieve(ctx context.Context) (aws.Credentials, error) {
	creds, err := c.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return aws.Credentials{}, &chainError{err}
	}
	return creds, nil
}

type chainError struct{ err error }

func (e *chainError) Error() string { return fmt.Sprintf("%v (%v)", ErrCredentials, e.err) }

func (e *chainError) Unwrap() []error { return []error{ErrCredentials, e.err} }

// innermost drops the SDK's and net/http's wrapping, which repeats the operation and the URL.
func innermost(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	var canceled *smithy.CanceledError
	if errors.As(err, &canceled) {
		return canceled.Err
	}
	var op *smithy.OperationError
	if errors.As(err, &op) {
		return op.Err
	}
	return err
}
