// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

const origin = "http://127.0.0.1:8686"

func testConfig(t *testing.T) *Config {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	cfg.DataDir = filepath.Join(t.TempDir(), "s3")
	cfg.Endpoint = testkit.Addr(t)
	return cfg
}

func create1(t *testing.T, cfg *Config) component.Component {
	t.Helper()
	ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	return ext
}

// startServer starts a server that ends with the test.
func startServer(t *testing.T, cfg *Config) s3settings.Settings {
	t.Helper()
	ext := create1(t, cfg)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	return ext.(s3settings.Storage).S3Settings()
}

func client(t *testing.T, set s3settings.Settings) *objectstore.S3 {
	t.Helper()
	c, err := objectstore.NewS3(t.Context(), set, objectstore.Options{})
	require.NoError(t, err)
	t.Cleanup(c.CloseIdle)
	return c
}

func TestLifecycle(t *testing.T) {
	cfg := testConfig(t)
	require.NoError(t, create1(t, cfg).Shutdown(t.Context()), "shutdown without start")

	wd, err := os.Getwd()
	require.NoError(t, err)
	ext := create1(t, cfg)
	var keys []s3settings.Settings
	for range 3 {
		require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
		set := ext.(s3settings.Storage).S3Settings()
		keys = append(keys, set)
		c := client(t, set)
		require.NoError(t, c.CheckBucket(t.Context()))
		err := c.Put(t.Context(), objectstore.Put{Key: "a/b.zip", Body: []byte("x"), Digest: "d"})
		if len(keys) == 1 {
			require.NoError(t, err)
		} else {
			require.Equal(t, objectstore.Exists, objectstore.ClassOf(err), "the object survives a restart")
		}
		c.CloseIdle()
		require.NoError(t, ext.Shutdown(t.Context()))
		require.NoError(t, ext.Shutdown(t.Context()), "twice")
	}
	require.Equal(t, keys[0], keys[2], "credentials survive a restart")
	require.NotContains(t, string(mustRead(t, filepath.Join(cfg.DataDir, credentialsFile))), "[REDACTED]")
	after, err := os.Getwd()
	require.NoError(t, err)
	require.Equal(t, wd, after, "the working directory of the process")
	// What the environment says may hide a change; the kernel does not.
	link, err := os.Readlink("/proc/self/cwd")
	require.NoError(t, err)
	require.Equal(t, wd, link)
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return b
}

func TestNothingIsReadableByOthers(t *testing.T) {
	cfg := testConfig(t)
	c := client(t, startServer(t, cfg))
	require.NoError(t, c.Put(t.Context(), objectstore.Put{Key: "a/b.zip", Body: []byte("x")}))
	require.NoError(t, filepath.WalkDir(cfg.DataDir, func(path string, e os.DirEntry, err error) error {
		require.NoError(t, err)
		info, err := e.Info()
		require.NoError(t, err)
		if strings.Contains(path, ".vgwlocks") && e.Type().IsRegular() && info.Size() == 0 {
			return nil // versitygw's lock files: empty, and below a folder that is closed
		}
		require.Zero(t, info.Mode().Perm()&0o077, "%s is %v", path, info.Mode())
		return nil
	}))
}

func TestRefusals(t *testing.T) {
	cfg := testConfig(t)
	startServer(t, cfg)

	err := create1(t, testConfig(t)).Start(t.Context(), componenttest.NewNopHost())
	require.ErrorContains(t, err, "a collector can have one")

	// The rest is reached without the server of this process.
	_, err = openFolder(cfg.DataDir)
	require.ErrorContains(t, err, "is in use by process "+strconv.Itoa(os.Getpid()))
	require.ErrorContains(t, err, cfg.DataDir)
	err = portFree(t.Context(), cfg.Endpoint)
	require.ErrorContains(t, err, "`endpoint` "+cfg.Endpoint+" is in use")
}

func TestFailedStartLeavesNothing(t *testing.T) {
	cfg := testConfig(t)
	ln, err := net.Listen("tcp", cfg.Endpoint)
	require.NoError(t, err)
	ext := create1(t, cfg)
	require.ErrorContains(t, ext.Start(t.Context(), componenttest.NewNopHost()), "`local_s3`: `endpoint`")
	require.NoError(t, ln.Close())
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()), "the folder and the slot are free again")
	require.NoError(t, ext.Shutdown(t.Context()))

	require.NoError(t, os.WriteFile(filepath.Join(cfg.DataDir, credentialsFile), []byte("nonsense\n"), 0o644))
	require.ErrorContains(t, ext.Start(t.Context(), componenttest.NewNopHost()), "delete it to have new ones made")
	cfg.DataDir = "/proc/s3"
	require.ErrorContains(t, ext.Start(t.Context(), componenttest.NewNopHost()), "`data_dir`")
	require.NoError(t, ext.Shutdown(t.Context()))
}

func TestQuiet(t *testing.T) {
	stdout, stderr := os.Stdout, os.Stderr
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer f.Close()
	os.Stdout, os.Stderr = f, f
	cfg := testConfig(t)
	ext := create1(t, cfg)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	set := ext.(s3settings.Storage).S3Settings()
	set.SecretKey = "wrong"
	c := client(t, set)
	require.Error(t, c.CheckBucket(t.Context()))
	c.CloseIdle()
	require.NoError(t, ext.Shutdown(t.Context()))
	require.Empty(t, string(mustRead(t, f.Name())))
}

func TestOtherBucketsAndKeys(t *testing.T) {
	set := startServer(t, testConfig(t))
	for want, change := range map[string]func(*s3settings.Settings){
		"NoSuchBucket":          func(s *s3settings.Settings) { s.Bucket = "other" },
		"InvalidAccessKeyId":    func(s *s3settings.Settings) { s.AccessKey = "AKIAOTHER" },
		"SignatureDoesNotMatch": func(s *s3settings.Settings) { s.SecretKey = "other" },
	} {
		s := set
		change(&s)
		err := client(t, s).CheckBucket(t.Context())
		require.ErrorContains(t, err, want)
		require.Equal(t, objectstore.Refused, objectstore.ClassOf(err))
	}
	other := set
	other.Bucket = "other"
	require.Error(t, client(t, other).CreateBucket(t.Context()))
	err := client(t, set).Put(t.Context(), objectstore.Put{Key: "../../escape.zip", Body: []byte("x")})
	require.Error(t, err)
}

// TestOperator lists and deletes, as the README says one can.
func TestOperator(t *testing.T) {
	set := startServer(t, testConfig(t))
	for _, k := range []string{"a/1.zip", "a/2.zip", "b/3.zip"} {
		require.NoError(t, client(t, set).Put(t.Context(), objectstore.Put{Key: k, Body: []byte("x")}))
	}
	c := s3.New(s3.Options{
		BaseEndpoint: &set.Endpoint, Region: set.Region, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(string(set.AccessKey), string(set.SecretKey), ""),
	})
	_, err := c.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &set.Bucket, Key: aws.String("a/1.zip")})
	require.NoError(t, err)
	_, err = c.DeleteObjects(t.Context(), &s3.DeleteObjectsInput{Bucket: &set.Bucket, Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("b/3.zip")}}}})
	require.NoError(t, err)
	list, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &set.Bucket})
	require.NoError(t, err)
	require.Len(t, list.Contents, 1)
	require.Equal(t, "a/2.zip", *list.Contents[0].Key)
	require.Equal(t, set.Bucket, *list.Name)
	dirs, err := c.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: &set.Bucket, Delimiter: aws.String("/")})
	require.NoError(t, err)
	require.Len(t, dirs.CommonPrefixes, 1)
}

// TestBrowser does what the page does: GET with an Origin and a presigned link, whole and by range.
func TestBrowser(t *testing.T) {
	cfg := testConfig(t)
	set := startServer(t, cfg)
	body := bytes.Repeat([]byte("0123456789abcdef"), 9<<16) // larger than fiber's default body limit
	require.NoError(t, client(t, set).Put(t.Context(), objectstore.Put{Key: "2026/a b+c.zip", Body: body}))
	link := presign(t, set, "2026/a%20b%2Bc.zip")

	res, got := get(t, link, map[string]string{"Origin": origin})
	require.Equal(t, http.StatusOK, res.StatusCode)
	require.Equal(t, body, got)
	require.Equal(t, origin, res.Header.Get("Access-Control-Allow-Origin"))

	res, got = get(t, link, map[string]string{"Origin": origin, "Range": "bytes=100-199"})
	require.Equal(t, http.StatusPartialContent, res.StatusCode)
	require.Equal(t, body[100:200], got)
	require.Equal(t, "bytes 100-199/"+strconv.Itoa(len(body)), res.Header.Get("Content-Range"))
	require.Equal(t, origin, res.Header.Get("Access-Control-Allow-Origin"))
	exposed := strings.ToLower(res.Header.Get("Access-Control-Expose-Headers"))
	for _, h := range []string{"content-range", "content-length", "etag"} {
		require.Contains(t, exposed, h)
	}

	res, _ = get(t, link, map[string]string{"Origin": "http://evil.example"})
	require.Empty(t, res.Header.Get("Access-Control-Allow-Origin"))
	res, _ = get(t, strings.Split(link, "?")[0], map[string]string{"Origin": origin})
	require.Equal(t, http.StatusForbidden, res.StatusCode, "without a signature")
}

// presign signs with the signer alone, as pulse_api does.
func presign(t *testing.T, set s3settings.Settings, escapedKey string) string {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, set.Endpoint+"/"+set.Bucket+"/"+escapedKey+"?X-Amz-Expires=60", nil)
	require.NoError(t, err)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	link, _, err := signer.PresignHTTP(t.Context(),
		aws.Credentials{AccessKeyID: string(set.AccessKey), SecretAccessKey: string(set.SecretKey)},
		req, "UNSIGNED-PAYLOAD", "s3", set.Region, time.Now())
	require.NoError(t, err)
	return link
}

func get(t *testing.T, link string, headers map[string]string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, link, nil)
	require.NoError(t, err)
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	tr := &http.Transport{}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	require.NoError(t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, b
}
