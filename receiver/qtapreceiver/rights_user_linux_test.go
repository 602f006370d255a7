// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// rightsEnv makes TestRightsAsUser the collector of an unprivileged user: a JSON of watcher.
const rightsEnv = "QTAP_TEST_RIGHTS"

// watcher is what the process without root is told.
type watcher struct {
	CGroup  string
	Level   Level
	TLS     bool
	KeyLogs []string
}

// watched is what it answers.
type watched struct {
	Error       string   // it did not start
	Connections int      // that were closed, with their bytes
	Bodies      []string // of responses, and of parts of them: a slow machine takes long enough for parts
	Services    []string
	Executables []string // paths
}

var capabilityNumbers = map[string]uintptr{
	"CAP_BPF": unix.CAP_BPF, "CAP_PERFMON": unix.CAP_PERFMON, "CAP_NET_ADMIN": unix.CAP_NET_ADMIN, "CAP_SYS_PTRACE": unix.CAP_SYS_PTRACE,
	"CAP_DAC_READ_SEARCH": unix.CAP_DAC_READ_SEARCH, "CAP_CHECKPOINT_RESTORE": unix.CAP_CHECKPOINT_RESTORE, "CAP_SYS_ADMIN": unix.CAP_SYS_ADMIN,
}

// watch runs a collector with the rights and no others, and returns what it saw. Traffic is made while it runs; the function that it is given waits
// until the collector has read a request.
func (l *rightsLab) watch(rights []string, w watcher, traffic func(read func())) watched {
	l.t.Helper()
	w.CGroup = l.cgroup
	b, err := json.Marshal(w)
	require.NoError(l.t, err)
	got := l.watchOnce(rights, b, traffic)
	// Before Linux 5.11; without CAP_BPF it cannot be found out. The packages' services lift the limit the same way.
	if strings.Contains(got.Error, "limit on locked memory") && !strings.Contains(got.Error, "CAP_BPF") {
		var was unix.Rlimit
		require.NoError(l.t, unix.Getrlimit(unix.RLIMIT_MEMLOCK, &was))
		require.NoError(l.t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}))
		defer func() { require.NoError(l.t, unix.Setrlimit(unix.RLIMIT_MEMLOCK, &was)) }()
		got = l.watchOnce(rights, b, traffic)
	}
	return got
}

func (l *rightsLab) watchOnce(rights []string, config []byte, traffic func(read func())) (got watched) {
	l.t.Helper()
	exe, err := os.Open("/proc/self/exe") // the binary's folder may be closed to others
	require.NoError(l.t, err)
	defer exe.Close()
	cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestRightsAsUser$")
	cmd.ExtraFiles = []*os.File{exe}
	var log bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stderr = "/", []string{rightsEnv + "=" + string(config)}, &log
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Pdeathsig: syscall.SIGKILL}
	for _, right := range rights {
		cmd.SysProcAttr.AmbientCaps = append(cmd.SysProcAttr.AmbientCaps, capabilityNumbers[right])
	}
	out, err := cmd.StdoutPipe()
	require.NoError(l.t, err)
	require.NoError(l.t, cmd.Start())
	l.t.Cleanup(func() {
		if l.t.Failed() {
			l.t.Logf("the collector with %v:\n%s", rights, &log)
		}
	})
	lines := bufio.NewScanner(out)
	next := func() string {
		require.True(l.t, lines.Scan())
		return lines.Text()
	}
	line := next()
	if line == "ready" {
		traffic(func() {
			line = next()
			require.Equal(l.t, "read", line)
		})
		for line = next(); line == "read"; line = next() {
			// nobody has waited for it
		}
	}
	require.NoError(l.t, json.Unmarshal([]byte(line), &got), line)
	require.NoError(l.t, cmd.Wait())
	return got
}

// TestRightsAsUser is the process that watch starts. It says when it is ready, when it has read a request, and what it has seen when both ends of
// one connection are closed.
func TestRightsAsUser(t *testing.T) {
	config := os.Getenv(rightsEnv)
	if config == "" {
		return // TestRights starts it
	}
	var w watcher
	require.NoError(t, json.Unmarshal([]byte(config), &w))
	answer := func(got watched) {
		b, _ := json.Marshal(got)
		fmt.Println(string(b))
		os.Exit(0)
	}
	logger, err := zap.NewDevelopment() // to stderr
	require.NoError(t, err)
	l := &lab{t: t, open: openKernel, cgroup: w.CGroup, host: componenttest.NewNopHost(), logger: logger}
	err = l.tryStart(func(c *Config, _ *PayloadConfig) {
		c.Level, c.TLS.Enabled, c.TLS.KeyLogFiles = w.Level, w.TLS, w.KeyLogs
	})
	if err != nil {
		answer(watched{Error: err.Error()})
	}
	fmt.Println("ready")
	closed := func() int {
		return len(l.records(semantic.EventConnection, func(m pcommon.Map) bool { return text(m, semantic.ConnectionState) == "closed" }))
	}
	told := false
	require.Eventually(t, func() bool {
		if !told && l.traces.SpanCount() > 0 {
			told = true
			fmt.Println("read")
		}
		return closed() >= 2
	}, testkit.Patience, 20*time.Millisecond)
	for i := len(l.parts) - 1; i >= 0; i-- {
		if err := l.parts[i].Shutdown(context.Background()); err != nil {
			answer(watched{Error: err.Error()})
		}
	}
	got := watched{Connections: closed()}
	for _, ld := range l.payloads.AllLogs() {
		for _, rl := range ld.ResourceLogs().All() {
			for _, sl := range rl.ScopeLogs().All() {
				for _, lr := range sl.LogRecords().All() {
					if body, ok := lr.Attributes().Get(semantic.PayloadResponseBody); ok {
						got.Bodies = append(got.Bodies, string(body.Bytes().AsRaw()))
					}
				}
			}
		}
	}
	for _, td := range l.traces.AllTraces() {
		for _, rs := range td.ResourceSpans().All() {
			got.Services = append(got.Services, text(rs.Resource().Attributes(), semantic.ServiceName))
			got.Executables = append(got.Executables, text(rs.Resource().Attributes(), semantic.ProcessExecutablePath))
		}
	}
	answer(got)
}
