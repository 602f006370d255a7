// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// objects returns what is in the bucket: bytes by name below it.
func (c *collector) objects(t *testing.T) map[string][]byte {
	t.Helper()
	bucket := filepath.Join(c.data, "s3", "qpoint")
	found := map[string][]byte{}
	require.NoError(t, filepath.WalkDir(bucket, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it has just gone
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".zip") {
			return err
		}
		body, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		name, _ := filepath.Rel(bucket, path)
		found[name] = body
		return err
	}))
	return found
}

// unzipped is all that any unzip finds in the objects, their checksums held against it.
func unzipped(t *testing.T, objects map[string][]byte) string {
	t.Helper()
	var all bytes.Buffer
	for name, body := range objects {
		zr, err := zip.NewReader(bytes.NewReader(body), int64(len(body)))
		require.NoError(t, err, name)
		for _, f := range zr.File {
			all.WriteString(f.Name)
			r, err := f.Open()
			require.NoError(t, err)
			_, err = io.Copy(&all, r)
			require.NoError(t, err, "%s in %s", f.Name, name)
			require.NoError(t, r.Close())
		}
	}
	return all.String()
}

// TestErase: somebody's exchange is captured and then erased: its bytes are nowhere in the bucket and its rows in no table;
// its neighbour in the same object is read as before; the audit says who did it and what came of it.
func TestErase(t *testing.T) {
	c := startCollector(t, "receivers::qtap_payload::segment::max_age: 5s")
	nginx := startNginx(t, c.cgroup)
	since := time.Now()
	c.cgroup.run(t, "curl", "-sS", "-d", "canary-of-the-first", nginx.url("http", "/echo/first"), "--next", "-sS", "-d", "canary-of-the-second", nginx.url("http", "/echo/second"))
	first, firstAnswered := c.pair(t, since, "POST", "/echo/first")
	second, _ := c.pair(t, since, "POST", "/echo/second")
	gone := [][]byte{c.entry(t, first), c.entry(t, firstAnswered)}
	neighbour := c.entry(t, second)
	before := c.objects(t)
	shared := 0
	for _, body := range before {
		if bytes.Contains(body, gone[0]) && bytes.Contains(body, neighbour) {
			shared++
		}
	}
	require.Equal(t, 1, shared, "both are in one object")
	require.Contains(t, unzipped(t, before), "canary-of-the-first")

	order := func(more string) map[string]any {
		var answer map[string]any
		require.NoError(t, json.Unmarshal(c.request(t, http.MethodPost, "/api/v1/erase", strings.NewReader(fmt.Sprintf(`{"trace_id": %q%s}`, first.TraceID, more))), &answer))
		return answer
	}
	would := order("")
	require.Equal(t, before, c.objects(t), "a dry run changes nothing")
	done := order(`, "dry_run": false`)
	require.Equal(t, []any{true, false}, []any{would["dry_run"], done["dry_run"]})
	require.Equal(t, would["payloads"], done["payloads"])
	require.EqualValues(t, 2, done["exchanges"], "as both ends saw it")
	require.EqualValues(t, 2, done["payloads"].(map[string]any)["entries"])

	after := c.objects(t)
	inside := unzipped(t, after)
	require.NotContains(t, inside, "canary-of-the-first")
	require.Contains(t, inside, "canary-of-the-second")
	for _, entry := range gone {
		for name, body := range after {
			require.NotContains(t, string(body), string(entry[60:]), name)
		}
	}
	for _, span := range []string{first.SpanID, firstAnswered.SpanID} {
		require.NotContains(t, inside, span)
	}
	for _, table := range []string{"requests", "payload_entries", "findings"} {
		require.Empty(t, c.sql(t, fmt.Sprintf("(SELECT * FROM qpoint.%s WHERE lower(hex(trace_id)) = '%s')", table, first.TraceID)), table)
	}
	require.Equal(t, neighbour, c.entry(t, second), "where and what it was")
	require.Equal(t, []byte("canary-of-the-second"), c.payload(t, second).requestBody(t))

	// The receipt of the object is true: its size and checksum are those of what is there now.
	var row struct {
		Stored struct {
			Size   int    `json:"size"`
			SHA256 string `json:"sha256"`
		} `json:"stored"`
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/requests/"+second.TraceID+"/"+second.SpanID), &row))
	matches := 0
	for _, body := range after {
		if fmt.Sprintf("%x", sha256.Sum256(body)) == row.Stored.SHA256 && len(body) == row.Stored.Size {
			matches++
		}
	}
	require.Equal(t, 1, matches)

	audit := string(c.get(t, "/api/v1/audit?action=data.erase"))
	for _, want := range []string{`"outcome":"dry_run"`, `"outcome":"allowed"`, `"outcome":"done"`, `"actor":"local"`, `"trace_id":"` + first.TraceID, "2 payloads of", "requests 2"} {
		require.Contains(t, audit, want)
	}
}

// TestRetentionClass: a rule gives a class; it is in the key and keeps its exchanges apart; what is older than it goes by itself,
// and the rest stays.
func TestRetentionClass(t *testing.T) {
	c := startCollector(t,
		`receivers::qtap::rules: [{match: 'url.path startsWith "/echo/short"', retention_class: short}]`,
		"connectors::qpoint_s3::retention_classes: {short: 20s, default: 24h}")
	nginx := startNginx(t, c.cgroup)
	since := time.Now()
	c.cgroup.run(t, "curl", "-sS", "-d", "canary-short", nginx.url("http", "/echo/short"), "--next", "-sS", "-d", "canary-long", nginx.url("http", "/echo/long"))
	short, _ := c.pair(t, since, "POST", "/echo/short")
	long, _ := c.pair(t, since, "POST", "/echo/long")
	require.Equal(t, []byte("canary-short"), c.payload(t, short).requestBody(t))
	stored := func(r request) map[string]any {
		var row struct {
			Stored map[string]any `json:"stored"`
		}
		require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/requests/"+r.TraceID+"/"+r.SpanID), &row))
		return row.Stored
	}
	require.Equal(t, "short", stored(short)["retention_class"])
	require.NotEmpty(t, c.entry(t, long))
	require.Equal(t, "default", stored(long)["retention_class"])
	expires, err := time.Parse(time.RFC3339Nano, stored(short)["expires_at"].(string))
	require.NoError(t, err)
	require.WithinRange(t, expires, since.Add(19*time.Second), time.Now().Add(21*time.Second))
	classes := map[string]bool{}
	for name := range c.objects(t) {
		classes[strings.Join(strings.Split(name, "/")[:2], "/")] = true
	}
	require.Equal(t, map[string]bool{"demo/short": true, "demo/default": true}, classes)

	require.Eventually(t, func() bool {
		for name := range c.objects(t) {
			if strings.HasPrefix(name, "demo/short/") {
				return false
			}
		}
		return true
	}, testkit.Patience, 200*time.Millisecond, "what is older than its class is kept goes")
	require.False(t, time.Now().Before(expires), "and not before")
	require.NotEmpty(t, c.entry(t, long), "the rest stays")
	require.Positive(t, c.total(t, "otelcol_extension_local_s3_expired_objects"))
}

// TestUnknownClass: a rule with a class that nobody declares is a mistake that is seen at start.
func TestUnknownClass(t *testing.T) {
	c := launch(t, t.TempDir(),
		`receivers::qtap::rules: [{match: 'true', retention_class: shrot}]`,
		"connectors::qpoint_s3::retention_classes: {short: 24h}")
	require.Equal(t, 1, c.exits(t, time.Minute))
	require.Contains(t, c.log.String(), "`retention_class: shrot` is not among `retention_classes` of qpoint_s3: declare it there, or name one of default, short")
}
