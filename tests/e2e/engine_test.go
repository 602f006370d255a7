// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// engine is the embedded ClickHouse as a server: a collector that has nothing else but a bucket, and a port before its socket.
type engine struct {
	*collector
	url        string // http://127.0.0.1:port
	bucketPort int
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	e := &engine{collector: &collector{cgroup: newCgroup(t), data: t.TempDir()}, bucketPort: freePort(t)}
	e.begin(t, []string{"--config", fmt.Sprintf(`yaml:{extensions: {local_clickhouse: {data_dir: "%[1]s/clickhouse"}, local_s3: {data_dir: "%[1]s/s3", endpoint: "127.0.0.1:%[2]d"}},
receivers: {otlp: {protocols: {grpc: {endpoint: "127.0.0.1:%[3]d"}}}}, exporters: {debug: },
service: {extensions: [local_clickhouse, local_s3], pipelines: {logs: {receivers: [otlp], exporters: [debug]}}, telemetry: {metrics: {level: none}}}}`, e.data, e.bucketPort, freePort(t))})
	e.ready(t)
	front := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.Out.URL.Scheme, r.Out.URL.Host = "http", "local_clickhouse" },
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(e.data, "clickhouse", "clickhouse.sock"))
		}},
	})
	t.Cleanup(front.Close)
	e.url = front.URL
	return e
}

// expect waits until a table, or a question in parentheses, has these rows.
func (e *engine) expect(t *testing.T, want, table string) {
	t.Helper()
	have := func() string {
		rows, err := e.query(t.Context(), table)
		if err != nil {
			return err.Error() // the tables may not be there yet
		}
		return strings.TrimSpace(string(rows))
	}
	require.Eventually(t, func() bool { return have() == want }, 90*time.Second, 200*time.Millisecond, "want:\n%s\nhave:\n%s", want, lazy(have))
}
