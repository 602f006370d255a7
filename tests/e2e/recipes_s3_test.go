// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/embedgw"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

const bucketKey, bucketSecret = "recipe-access-key", "recipe-secret-key"

// serveBucket runs an S3 server with the bucket `qpoint` until the test ends, and returns the folder that has its objects. It checks signatures
// for the region. With a domain the bucket may stand in the host name, and with a certificate the server speaks TLS. A process has room for one at a time.
func serveBucket(t *testing.T, addr, region, domain, cert, key string) (data string) {
	t.Helper()
	data = t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(data, "s3"), 0o700))
	store, err := posix.New(filepath.Join(data, "s3"), meta.XattrMeta{}, posix.PosixOpts{})
	require.NoError(t, err)
	root := auth.Account{Access: bucketKey, Secret: bucketSecret, Role: auth.RoleAdmin}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- embedgw.RunVersityGW(ctx, store, &embedgw.Config{
			RootUserAccess: root.Access, RootUserSecret: root.Secret, IAMService: auth.NewIAMServiceSingle(root), Region: region, Ports: []string{addr},
			MaxConnections: 100, MaxRequests: 100, MultipartMaxParts: 1, KeepAlive: true, Quiet: true, DisableACLs: true,
			VirtualDomain: domain, CertFile: cert, KeyFile: key,
		})
	}()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Log("the server's end:", err)
		}
	})
	scheme := "http"
	if cert != "" {
		scheme = "https"
	}
	client, err := objectstore.NewS3(t.Context(), s3settings.Settings{
		Endpoint: scheme + "://" + addr, Bucket: "qpoint", Region: region, PathStyle: true, AccessKey: bucketKey, SecretKey: bucketSecret,
	}, objectstore.Options{})
	require.NoError(t, err)
	defer client.CloseIdle()
	for end := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if err = client.CreateBucket(t.Context()); err == nil || !errors.Is(err, syscall.ECONNREFUSED) || time.Now().After(end) {
			break
		}
	}
	require.NoError(t, err)
	return data
}

// frontEnd speaks TLS before a server, and does to requests what Google's front end does: it changes Accept-Encoding.
func frontEnd(t *testing.T, addr, backend, cert, key string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", addr)
	require.NoError(t, err)
	front := httptest.NewUnstartedServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: backend})
		r.Out.Host = r.In.Host
		r.Out.Header.Set("Accept-Encoding", r.In.Header.Get("Accept-Encoding")+",gzip(gfe)")
	}, Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}})
	require.NoError(t, front.Listener.Close())
	front.Listener = l
	pair, err := tls.LoadX509KeyPair(cert, key)
	require.NoError(t, err)
	front.TLS = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	front.StartTLS()
	t.Cleanup(front.Close)
}

// TestRecipePayloads runs the recipes as they stand, by the names of the services: AWS with the bucket in the host name, MinIO with the bucket in the path,
// Google behind a front end that changes what it should not. The server behind the names is versitygw, which verifies every signature.
func TestRecipePayloads(t *testing.T) {
	if inOwnNamespace(t, *canaries) { // where port 443 and the names of other people's services are the test's own
		return
	}
	const aws, google = "qpoint.s3.eu-central-1.amazonaws.com", "storage.googleapis.com"
	cert, key := certificate(t, func(c *x509.Certificate) { c.DNSNames = append(c.DNSNames, aws, google) })
	t.Setenv("SSL_CERT_FILE", cert)
	shared := []string{"S3_BUCKET=qpoint", "S3_ACCESS_KEY=" + bucketKey, "S3_SECRET_KEY=" + bucketSecret, "AWS_EC2_METADATA_DISABLED=true"}
	other := startStranger(t)
	nameServices(t, aws, google)
	for _, r := range []struct {
		file  string
		env   []string
		serve func(t *testing.T) (data string)
	}{
		{"payloads-minio.yaml", []string{"S3_ENDPOINT=http://127.0.0.1:9000"}, func(t *testing.T) string {
			return serveBucket(t, "127.0.0.1:9000", "us-east-1", "", "", "")
		}},
		{"payloads-aws.yaml", []string{"AWS_REGION=eu-central-1", "AWS_ACCESS_KEY_ID=" + bucketKey, "AWS_SECRET_ACCESS_KEY=" + bucketSecret, "AWS_SESSION_TOKEN=", "S3_ACCESS_KEY=", "S3_SECRET_KEY="}, func(t *testing.T) string {
			return serveBucket(t, "127.0.0.1:443", "eu-central-1", "s3.eu-central-1.amazonaws.com", cert, key)
		}},
		{"payloads-gcs.yaml", nil, func(t *testing.T) string {
			data := serveBucket(t, "127.0.0.1:9000", "auto", "", "", "")
			frontEnd(t, "127.0.0.1:443", "127.0.0.1:9000", cert, key)
			return data
		}},
	} {
		t.Run(r.file, func(t *testing.T) {
			bucket, in := &collector{data: r.serve(t)}, newCgroup(t)
			c := startRecipe(t, in, []string{"otlp.yaml", r.file}, append(append([]string{
				fmt.Sprintf("OTLP_ENDPOINT=127.0.0.1:%d", other.grpc), "OTLP_INSECURE=true", "QPOINT_ENVIRONMENT=recipe",
			}, shared...), r.env...), "receivers::qtap::cgroup: "+in.path)
			page := strings.ReplaceAll(string(ask(t, in)), "\n", `\n`) // as JSON writes it
			var all string
			require.Eventually(t, func() bool {
				all = unzipped(t, bucket.objects(t))
				return strings.Count(all, page) == 2
			}, 60*time.Second, 200*time.Millisecond, "%s", lazy(func() string { return all }))
			require.Contains(t, all, recipeSecret, "payloads are as they were")
			for name := range bucket.objects(t) {
				require.True(t, strings.HasPrefix(name, "recipe/default/"), name)
			}
			require.Zero(t, c.stop().ExitCode())
			require.NotContains(t, c.log.String(), bucketSecret)
		})
	}
	require.NotContains(t, string(other.stop()), recipeSecret)
}

// nameServices makes the names mean this host, for the collectors that the test starts from now on.
func nameServices(t *testing.T, names ...string) {
	t.Helper()
	dir := t.TempDir()
	hosts, program := filepath.Join(dir, "hosts"), filepath.Join(dir, "otelcol-qpoint")
	require.NoError(t, os.WriteFile(hosts, []byte("127.0.0.1 localhost "+strings.Join(names, " ")+"\n"), 0o644))
	script := fmt.Sprintf("#!/bin/sh\nexec unshare --mount sh -c 'mount --bind %s /etc/hosts && exec %s \"$@\"' sh \"$@\"\n", hosts, binary(t))
	require.NoError(t, os.WriteFile(program, []byte(script), 0o755))
	t.Setenv("QPOINT_BINARY", program)
}
