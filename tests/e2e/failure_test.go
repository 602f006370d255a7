// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBadInput gives the collector what it cannot work with: each time one line must name the thing and the
// fix, the exit code must not be zero, and nothing may stay behind.
func TestBadInput(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	takenAddr := taken.Addr().String()

	for _, tc := range []struct {
		name     string
		overlays []string
		env      []string
		want     []string // all in one line of the output
	}{
		{"unknown key", []string{"receivers::qtap::portz: 1"}, nil, []string{"portz"}},
		{"bad level", []string{"receivers::qtap::level: everything"}, nil, []string{"`level`", "full"}},
		{"cgroup that does not exist", []string{"receivers::qtap::cgroup: /sys/fs/cgroup/unified/nowhere"}, nil, []string{"`cgroup`", "nowhere"}},
		{"API port in use", []string{"extensions::pulse_api::endpoint: " + takenAddr}, nil, []string{takenAddr, "`endpoint`", "in use"}},
		{"S3 port in use", []string{"extensions::local_s3::endpoint: " + takenAddr}, nil, []string{takenAddr, "`endpoint`", "in use"}},
		{"missing libchdb", []string{"extensions::local_clickhouse::library: /nowhere/libchdb.so"}, nil, []string{"/nowhere/libchdb.so", "`library`"}},
		{"API open to the world without auth", []string{"extensions::pulse_api::endpoint: 0.0.0.0:" + strconv.Itoa(freePort(t))}, nil, []string{"`auth`"}},
		{"payloads to another exporter", []string{"exporters::debug: {}", "service::pipelines::logs/payload::exporters: [debug]", "service::pipelines::logs::receivers: [qtap]"}, nil, []string{"qtap_payload", "debug", "qpoint_s3"}},
		{"metadata without anonymize", []string{"service::pipelines::traces::processors: [memory_limiter]"}, nil, []string{"qtap", "anonymize", "pulse"}},
		{"no guard", []string{"service::extensions: [local_clickhouse, local_s3, qpoint_erase, pulse_api]"}, nil, []string{"privacy_guard", "`unguarded"}},
		{"batching payloads", []string{"connectors::qpoint_s3::sending_queue::batch: {}"}, nil, []string{"`sending_queue", "batch"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := launch(t, t.TempDir(), tc.overlays...)
			require.NotZero(t, c.exits(t, 60*time.Second))
			requireOneLine(t, c.log.String(), tc.want...)
		})
	}
	t.Run("data folder in use", func(t *testing.T) {
		first := startCollector(t)
		second := launch(t, first.data)
		require.NotZero(t, second.exits(t, 60*time.Second))
		requireOneLine(t, second.log.String(), first.data, "in use")
	})
	t.Run("bucket that refuses", func(t *testing.T) {
		first := startCollector(t)
		overlay := fmt.Sprintf("connectors::qpoint_s3: {storage: null, endpoint: 'http://%s', bucket: qpoint, region: us-east-1, access_key: nobody, secret_key: wrong}", first.s3)
		second := launch(t, t.TempDir(), overlay)
		require.NotZero(t, second.exits(t, 60*time.Second))
		requireOneLine(t, second.log.String(), first.s3, "qpoint", "`access_key`")
		require.NotContains(t, second.log.String(), "wrong")
	})
	t.Run("no privileges", func(t *testing.T) {
		c := &collector{cgroup: newCgroup(t), data: t.TempDir()}
		require.NoError(t, os.Chmod(c.data, 0o777))
		args := demoArgs(c, freePort(t), freePort(t), freePort(t), []string{
			"exporters::debug: {}", "service::extensions: [privacy_guard, local_s3]",
			"service::pipelines::traces::exporters: [debug]", "service::pipelines::logs::exporters: [debug]",
		})
		cmd := c.cgroup.command(t.Context(), "setpriv", append([]string{"--bounding-set=-all", "--inh-caps=-all", binary(t)}, args...)...)
		cmd.Env = append(os.Environ(), "QPOINT_DATA_DIR="+c.data)
		out, err := cmd.CombinedOutput()
		require.Error(t, err)
		requireOneLine(t, string(out), "CAP_BPF", "CAP_PERFMON")
	})
}

func requireOneLine(t *testing.T, output string, want ...string) {
	t.Helper()
	for line := range strings.Lines(output) {
		all := true
		for _, part := range want {
			all = all && strings.Contains(line, part)
		}
		if all {
			return
		}
	}
	t.Fatalf("no line of the output has all of %q:\n%s", want, tail(output, 40))
}
