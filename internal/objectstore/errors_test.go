// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

const secret = "very-secret-key"

func settings(endpoint string) s3settings.Settings {
	return s3settings.Settings{Endpoint: endpoint, Bucket: "b", Region: "us-east-1", PathStyle: true, AccessKey: "AKIAX", SecretKey: secret}
}

// answer makes a service that says one thing. Faults are injected here and nowhere else: what a
// real server says is tested in the exporter.
func answer(t *testing.T, status int, header http.Header, body string) *S3 {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		for k, v := range header {
			w.Header()[k] = v
		}
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	c, err := NewS3(t.Context(), settings(srv.URL), Options{})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdle)
	return c
}

func xmlError(code string) string {
	return "<?xml version=\"1.0\"?><Error><Code>" + code + "</Code><Message>canary</Message></Error>"
}

func TestClasses(t *testing.T) {
	for _, c := range []struct {
		status int
		body   string
		class  Class
		text   string
	}{
		{503, xmlError("SlowDown"), Throttle, "PutObject: SlowDown (HTTP status 503)"},
		{503, "", Throttle, "(HTTP status 503)"},
		{429, xmlError("TooManyRequests"), Throttle, "TooManyRequests"},
		{400, xmlError("RequestTimeout"), Retry, "RequestTimeout"},
		{400, xmlError("ExpiredToken"), Retry, "ExpiredToken"},
		{403, xmlError("RequestTimeTooSkewed"), Retry, "RequestTimeTooSkewed"},
		{409, xmlError("ConditionalRequestConflict"), Retry, "ConditionalRequestConflict"},
		{500, xmlError("InternalError"), Retry, "InternalError"},
		{502, "<html>canary</html>", Retry, "HTTP status 502"},
		{404, xmlError("NoSuchBucket"), Refused, "NoSuchBucket"},
		{403, xmlError("AccessDenied"), Refused, "AccessDenied"},
		{403, xmlError("InvalidAccessKeyId"), Refused, "InvalidAccessKeyId"},
		{403, xmlError("SignatureDoesNotMatch"), Refused, "SignatureDoesNotMatch"},
		{403, "", Refused, "HTTP status 403"},
		{301, xmlError("PermanentRedirect"), Refused, "PermanentRedirect"},
		{400, xmlError("AuthorizationHeaderMalformed"), Refused, "AuthorizationHeaderMalformed"},
		{400, xmlError("EntityTooLarge"), Invalid, "EntityTooLarge"},
		{412, xmlError("PreconditionFailed"), Exists, "PreconditionFailed"},
		{412, "", Exists, "HTTP status 412"},
		{403, xmlError("canary says: hello"), Refused, "HTTP status 403"},
	} {
		err := answer(t, c.status, nil, c.body).Put(t.Context(), Put{Key: "k.zip", Body: []byte("x")})
		require.ErrorContains(t, err, c.text)
		require.Equal(t, c.class, ClassOf(err), c.text)
		for _, leak := range []string{"canary", secret, "AKIAX", "\n"} {
			require.NotContains(t, err.Error(), leak)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	for v, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-7": 0, "99999999999": time.Hour, "nonsense": 0, "99999999999999999999999": 0,
		now.Add(time.Minute).Format(http.TimeFormat):    time.Minute,
		now.Add(-time.Minute).Format(http.TimeFormat):   0,
		now.Add(48 * time.Hour).Format(http.TimeFormat): time.Hour,
	} {
		require.Equal(t, want, retryAfter(v, now), v)
	}
	err := answer(t, 503, http.Header{"Retry-After": {"7"}}, xmlError("SlowDown")).Put(t.Context(), Put{Key: "k"})
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, 7*time.Second, e.RetryAfter)
}

func TestNoAnswer(t *testing.T) {
	c, err := NewS3(t.Context(), settings("http://127.0.0.1:1"), Options{})
	require.NoError(t, err)
	err = c.CheckBucket(t.Context())
	require.ErrorContains(t, err, "connection refused")
	require.Equal(t, Retry, ClassOf(err))
	require.Less(t, strings.Count(err.Error(), "127.0.0.1"), 2, "said once: %v", err)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = c.Put(ctx, Put{Key: "k"})
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, Retry, ClassOf(err))
	require.Equal(t, Retry, ClassOf(errors.New("other")))
}

// TestNoRedirect: a payload does not follow the answer of a server to another one.
func TestNoRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("followed") }))
	defer other.Close()
	for _, status := range []int{301, 302, 307, 308} {
		err := answer(t, status, http.Header{"Location": {other.URL}}, "").Put(t.Context(), Put{Key: "k", Body: []byte("x")})
		require.Error(t, err)
	}
}

// TestOptions looks at what a server is sent.
func TestOptions(t *testing.T) {
	var got http.Header
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }))
	defer srv.Close()
	c, err := NewS3(t.Context(), settings(srv.URL), Options{
		ServerSideEncryption: "aws:kms", KMSKeyID: "alias/x", StorageClass: "STANDARD_IA",
	})
	require.NoError(t, err)
	defer c.CloseIdle()
	require.NoError(t, c.Put(t.Context(), Put{Key: "k.zip", Body: []byte("x"), Digest: "d1", Tags: map[string]string{"b": "2 &", "a": "1"}}))
	for k, v := range map[string]string{
		"X-Amz-Server-Side-Encryption":                "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "alias/x",
		"X-Amz-Storage-Class":                         "STANDARD_IA",
		"X-Amz-Tagging":                               "a=1&b=2+%26",
		"X-Amz-Meta-Qpoint-Sha256":                    "d1",
		"If-None-Match":                               "*",
		"Content-Type":                                "application/zip",
	} {
		require.Equal(t, v, got.Get(k), k)
	}
}
