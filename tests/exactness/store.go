// SPDX-License-Identifier: Apache-2.0

//go:build linux

package exactness

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/config/configopaque"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

// Query asks the embedded ClickHouse itself, through its socket, and calls each with every row.
func (c *Collector) Query(t testing.TB, question string, each func(driver.Rows) error) {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{"local"},
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(c.Data, "clickhouse", "clickhouse.sock"))
		},
	})
	require.NoError(t, err)
	defer conn.Close()
	rows, err := conn.Query(t.Context(), question)
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		require.NoError(t, each(rows))
	}
	require.NoError(t, rows.Err())
}

// Number is the one number that a question has as its answer.
func (c *Collector) Number(t testing.TB, question string) (n uint64) {
	t.Helper()
	c.Query(t, question, func(r driver.Rows) error { return r.Scan(&n) })
	return n
}

// Bucket opens the bucket of local_s3 with its own credentials. The caller closes its idle connections.
func (c *Collector) Bucket(t testing.TB) *objectstore.S3 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(c.Data, "s3", "credentials"))
	require.NoError(t, err)
	set := s3settings.Settings{Endpoint: c.s3, Bucket: "qpoint", Region: "us-east-1", PathStyle: true}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			set.AccessKey = configopaque.String(strings.TrimSpace(value))
		case "aws_secret_access_key":
			set.SecretKey = configopaque.String(strings.TrimSpace(value))
		}
	}
	s3, err := objectstore.NewS3(t.Context(), set, objectstore.Options{})
	require.NoError(t, err)
	return s3
}

// Payloads reads every object of the bucket, and calls each with every exchange, one at a time.
func (c *Collector) Payloads(t testing.TB, each func(archive.Exchange)) (objects int) {
	t.Helper()
	s3 := c.Bucket(t)
	defer s3.CloseIdle()
	var keys []string
	require.NoError(t, s3.List(t.Context(), "", func(o objectstore.Listed) bool {
		keys = append(keys, o.Key)
		return true
	}))
	work := make(chan string)
	var all sync.WaitGroup
	var mu sync.Mutex
	var firstErr error
	for range 2 { // one reads while the other unpacks
		all.Go(func() {
			for key := range work {
				whole, err := s3.Get(t.Context(), key)
				var exchanges map[string]archive.Exchange
				if err == nil && whole != nil {
					exchanges, err = archive.Read(whole.Body)
				}
				mu.Lock()
				if firstErr == nil {
					firstErr = err
				}
				for _, x := range exchanges {
					each(x)
				}
				mu.Unlock()
			}
		})
	}
	for _, key := range keys {
		work <- key
	}
	close(work)
	all.Wait()
	require.NoError(t, firstErr)
	return len(keys)
}

// walk calls each with every regular file below a folder; what goes away meanwhile is left out.
func walk(dir string, each func(os.FileInfo)) error {
	return filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		if info, err := e.Info(); err == nil {
			each(info)
		}
		return nil
	})
}
