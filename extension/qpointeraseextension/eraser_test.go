// SPDX-License-Identifier: Apache-2.0

//go:build linux

package qpointeraseextension

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension"
	"github.com/qpoint-io/otelcol-qpoint/extension/qpointeraseextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/erasure"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

type host struct {
	component.Host
	extensions map[component.ID]component.Component
}

func (h host) GetExtensions() map[component.ID]component.Component { return h.extensions }

var localS3 = component.MustNewID("local_s3")

// startBucket starts a real S3 server (versitygw).
func startBucket(t *testing.T) (component.Component, *objectstore.S3) {
	t.Helper()
	f := locals3extension.NewFactory()
	cfg := f.CreateDefaultConfig().(*locals3extension.Config)
	cfg.DataDir = filepath.Join(t.TempDir(), "s3")
	cfg.Endpoint = testkit.Addr(t)
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	store, err := objectstore.NewS3(t.Context(), ext.(s3settings.Storage).S3Settings(), objectstore.Options{})
	require.NoError(t, err)
	t.Cleanup(store.CloseIdle)
	return ext, store
}

func start(t *testing.T, storage component.Component, change func(*Config)) erasure.Eraser {
	t.Helper()
	cfg := createDefaultConfig().(*Config)
	change(cfg)
	require.NoError(t, cfg.Validate())
	ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), host{componenttest.NewNopHost(), map[component.ID]component.Component{localS3: storage}}))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	return ext.(erasure.Eraser)
}

func pack(t *testing.T, spans ...int) []byte {
	t.Helper()
	var xs []archive.Exchange
	for _, n := range spans {
		xs = append(xs, archive.Exchange{SpanID: fmt.Sprintf("%016x", n), Started: time.Unix(0, 0), Request: archive.Message{Method: "GET", Target: "/", Version: "1.1", Body: fmt.Appendf(nil, "%d", n)}})
	}
	packed, err := archive.NewPacker().Pack(slices.Values(xs))
	require.NoError(t, err)
	return bytes.Clone(packed.Bytes)
}

func span(n byte) [8]byte { return [8]byte{7: n} }

// TestErase: a segment in parts, one whose class was not declared, one that holds nothing else, and one of another environment.
func TestErase(t *testing.T) {
	storage, store := startBucket(t)
	e := start(t, storage, func(c *Config) { c.Storage, c.Prefix = &localS3, "p/" })
	at := time.Now().Add(-time.Hour)
	whole, cut, moved := objectkey.New("default", "h", at), objectkey.New("short", "h", at), objectkey.New("gone", "h", at)
	tags := map[string]string{"team": "a b", "qpoint.retention_class": "short"}
	put := func(environment, key string, body []byte) {
		require.NoError(t, store.Put(t.Context(), objectstore.Put{Key: objectkey.InBucket("p/", environment, key), Body: body, Digest: "digest", Sum: "sum", Tags: tags}))
	}
	put("eu", whole, pack(t, 1))
	put("us", whole, pack(t, 1))
	put("eu", objectkey.Part(cut, "a"), pack(t, 1, 2))
	put("eu", objectkey.Part(cut, "b"), pack(t, 3, 4))
	put("eu", objectkey.WithClass(moved, "default"), pack(t, 5, 6))
	put("eu", objectkey.New("default", "h", at), pack(t, 1)) // of another segment
	tasks := []erasure.Task{
		{Environment: "eu", Key: whole, Spans: [][8]byte{span(1)}},
		{Environment: "eu", Key: cut, Spans: [][8]byte{span(2), span(4)}},
		{Environment: "eu", Key: moved, Spans: [][8]byte{span(5)}},
		{Environment: "eu", Key: objectkey.New("default", "h", at), Spans: [][8]byte{span(1)}}, // nothing is there
		{Environment: "../eu", Key: whole, Spans: [][8]byte{span(1)}}, {Environment: "eu", Key: "../../x", Spans: [][8]byte{span(1)}},
	}
	would, err := e.Erase(t.Context(), tasks, true)
	require.NoError(t, err)
	require.Len(t, would, 4)
	done, err := e.Erase(t.Context(), tasks, false)
	require.NoError(t, err)
	require.Equal(t, would, done)
	require.Equal(t, []bool{true, false, false, false}, []bool{done[0].Deleted, done[1].Deleted, done[2].Deleted, done[3].Deleted})
	require.Equal(t, []string{whole, objectkey.Part(cut, "a"), objectkey.Part(cut, "b"), objectkey.WithClass(moved, "default")}, []string{done[0].Key, done[1].Key, done[2].Key, done[3].Key})
	require.Equal(t, [][][8]byte{{span(1)}, {span(2)}, {span(4)}, {span(5)}}, [][][8]byte{done[0].Spans, done[1].Spans, done[2].Spans, done[3].Spans})
	again, err := e.Erase(t.Context(), tasks, false)
	require.NoError(t, err)
	require.Empty(t, again)

	var keys []string
	require.NoError(t, store.List(t.Context(), "", func(o objectstore.Listed) bool { keys = append(keys, o.Key); return true }))
	require.Len(t, keys, 5)
	require.NotContains(t, keys, "p/eu/"+whole)
	require.Contains(t, keys, "p/us/"+whole, "an environment is not another")
	left := "p/eu/" + objectkey.Part(cut, "a")
	object, err := store.Get(t.Context(), left)
	require.NoError(t, err)
	xs, err := archive.Read(object.Body)
	require.NoError(t, err)
	require.Len(t, xs, 1)
	require.Equal(t, "1", string(xs["0000000000000001.har"].Request.Body))
	head, err := store.Head(t.Context(), left)
	require.NoError(t, err)
	require.Equal(t, []any{"digest", fmt.Sprintf("%x", done[1].SHA256), done[1].Size}, []any{head.Digest, head.Sum, head.Size}, "the same segment sent again finds itself")

	set := storage.(s3settings.Storage).S3Settings()
	raw := s3.New(s3.Options{BaseEndpoint: &set.Endpoint, Region: set.Region, UsePathStyle: true, Credentials: credentials.NewStaticCredentialsProvider(string(set.AccessKey), string(set.SecretKey), "")})
	got, err := raw.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: &set.Bucket, Key: &left})
	require.NoError(t, err)
	have := map[string]string{}
	for _, tag := range got.TagSet {
		have[*tag.Key] = *tag.Value
	}
	require.Equal(t, tags, have)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestEraseYoung: a segment that qpoint_s3 still sends again does not find its key free.
func TestEraseYoung(t *testing.T) {
	storage, store := startBucket(t)
	e := start(t, storage, func(c *Config) { c.Storage = &localS3 })
	segment := objectkey.New("default", "h", time.Now())
	young := objectkey.New("default", "h", time.Now().Add(-erasure.OnItsWay+testkit.Patience))
	old := objectkey.New("default", "h", time.Now().Add(-erasure.OnItsWay-time.Second))
	for _, key := range []string{objectkey.Part(segment, "a"), young, old} {
		put := objectstore.Put{Key: objectkey.InBucket("", "eu", key), Body: pack(t, 1), Digest: "digest", Sum: "sum"}
		require.NoError(t, store.Put(t.Context(), put))
		tasks := []erasure.Task{{Environment: "eu", Key: objectkey.Segment(key), Spans: [][8]byte{span(1)}}}
		would, err := e.Erase(t.Context(), tasks, true)
		require.NoError(t, err)
		done, err := e.Erase(t.Context(), tasks, false)
		require.NoError(t, err)
		require.Equal(t, would, done)
		require.Len(t, done, 1)
		require.Equal(t, key == old, done[0].Deleted)
		require.Zero(t, done[0].Left)

		err = store.Put(t.Context(), put)
		if key == old {
			require.NoError(t, err, "deleted")
			continue
		}
		require.Equal(t, objectstore.Exists, objectstore.ClassOf(err), "what was erased does not come back")
		head, err := store.Head(t.Context(), put.Key)
		require.NoError(t, err)
		require.Equal(t, "digest", head.Digest, "it finds itself, and is not tried again")
		object, err := store.Get(t.Context(), put.Key)
		require.NoError(t, err)
		require.NotContains(t, string(object.Body), "0000000000000001")
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// TestVersions: where what is deleted stays readable, nothing is said to be erased. What the server says of versions is
// injected; everything else goes to the real one.
func TestVersions(t *testing.T) {
	storage, _ := startBucket(t)
	set := storage.(s3settings.Storage).S3Settings()
	target, err := url.Parse(set.Endpoint)
	require.NoError(t, err)
	status := "Enabled"
	real := httputil.NewSingleHostReverseProxy(target)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("versioning") {
			_, _ = fmt.Fprintf(w, `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>%s</Status></VersioningConfiguration>`, status)
			return
		}
		real.ServeHTTP(w, r)
	}))
	defer srv.Close()
	e := start(t, nil, func(c *Config) {
		c.Endpoint, c.Bucket, c.AccessKey, c.SecretKey, c.PathStyle = srv.URL, set.Bucket, set.AccessKey, set.SecretKey, true
	})
	for _, status = range []string{"Enabled", "Suspended"} {
		_, err = e.Erase(t.Context(), []erasure.Task{{Environment: "eu", Key: objectkey.New("default", "h", time.Now()), Spans: [][8]byte{span(1)}}}, true)
		require.ErrorIs(t, err, errVersions)
	}
}

func TestConfig(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"`bucket` is required":             func(*Config) {},
		"`storage` takes the place":        func(c *Config) { c.Storage, c.Bucket = &localS3, "x" },
		"`access_key` and `secret_key` go": func(c *Config) { c.Bucket, c.AccessKey = "x", "y" },
		"`endpoint` is not a URL":          func(c *Config) { c.Bucket, c.Endpoint = "x", "minio:9000/x" },
		"`prefix` must not begin":          func(c *Config) { c.Bucket, c.Prefix = "x", "/x" },
	} {
		cfg := createDefaultConfig().(*Config)
		change(cfg)
		require.ErrorContains(t, cfg.Validate(), want)
	}
	ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), &Config{Storage: &localS3})
	require.NoError(t, err)
	require.NoError(t, ext.Shutdown(t.Context()), "shutdown without start")
	err = ext.Start(t.Context(), host{componenttest.NewNopHost(), nil})
	require.ErrorContains(t, err, "`storage` names local_s3, which is not among the service's extensions")
	require.True(t, strings.HasPrefix(err.Error(), "`qpoint_erase`"))
}
