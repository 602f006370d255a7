// SPDX-License-Identifier: Apache-2.0

//go:build linux

package localclickhouseextension

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"
	"go.uber.org/zap/zaptest"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// needLibrary skips a test on a machine without libchdb, where that is allowed.
func needLibrary(t testing.TB) {
	t.Helper()
	if _, err := findLibrary(""); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// needRoot skips a test of what only root's child has, where that is allowed.
func needRoot(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
}

func newTestExtension(t testing.TB, dir string) *localClickHouse {
	t.Helper()
	needLibrary(t)
	cfg := newDefaultConfig()
	cfg.DataDir = dir
	set := extensiontest.NewNopSettings(metadata.Type)
	set.Logger = zaptest.NewLogger(t)
	e := newExtension(set, cfg).(*localClickHouse)
	t.Cleanup(func() { assert.NoError(t, e.Shutdown(context.Background())) })
	return e
}

func open(t testing.TB, e *localClickHouse) driver.Conn {
	t.Helper()
	conn, err := clickhouse.Open(e.ClickHouseOptions())
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, conn.Close()) })
	return conn
}

func started(t testing.TB) (*localClickHouse, driver.Conn) {
	e := newTestExtension(t, t.TempDir())
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	return e, open(t, e)
}

// childPID returns the engine's process; 0 while there is none.
func childPID(t testing.TB, _ *localClickHouse) (pid int) {
	t.Helper()
	out, _ := exec.Command("pgrep", "-P", fmt.Sprint(os.Getpid()), "-f", childName).Output() // fails when there is none
	_, _ = fmt.Sscan(string(out), &pid)
	return pid
}

func TestStatements(t *testing.T) {
	_, conn := started(t)
	ctx := context.Background()
	require.NoError(t, conn.Ping(ctx))
	require.NoError(t, conn.Exec(ctx, `CREATE TABLE t (n UInt64, s LowCardinality(String), at DateTime64(9, 'UTC')) ENGINE = MergeTree ORDER BY n`))

	batch, err := conn.PrepareBatch(ctx, `INSERT INTO t (n, s, at)`)
	require.NoError(t, err)
	at := time.Unix(1700000000, 123456789).UTC()
	for n := range uint64(100_000) {
		require.NoError(t, batch.Append(n, fmt.Sprint("s", n%7), at))
	}
	require.NoError(t, batch.Send())

	var count, sum uint64
	var last time.Time
	require.NoError(t, conn.QueryRow(ctx, `SELECT count(), sum(n), max(at) FROM t WHERE s = {s:String}`, clickhouse.Named("s", "s3")).Scan(&count, &sum, &last))
	assert.EqualValues(t, 14286, count)
	assert.Equal(t, at, last)

	rows, err := conn.Query(ctx, `SELECT n FROM t ORDER BY n`)
	require.NoError(t, err)
	var next uint64
	for rows.Next() {
		var n uint64
		require.NoError(t, rows.Scan(&n))
		require.Equal(t, next, n)
		next++
	}
	require.NoError(t, rows.Err())
	require.NoError(t, rows.Close())
	assert.EqualValues(t, 100_000, next)
}

// TestThreads: the server itself would take one thread only, as no thread has 1 GiB of what the child may have.
func TestThreads(t *testing.T) {
	_, conn := started(t)
	rows, err := conn.Query(context.Background(), `EXPLAIN PIPELINE SELECT sum(number) FROM numbers_mt(100000000)`)
	require.NoError(t, err)
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var line string
		require.NoError(t, rows.Scan(&line))
		plan.WriteString(line + "\n")
	}
	require.NoError(t, rows.Err())
	assert.Contains(t, plan.String(), "× 2", "`max_threads` is 2")
}

func TestErrors(t *testing.T) {
	_, conn := started(t)
	ctx := context.Background()
	code := func(err error) int32 {
		var exception *clickhouse.Exception
		require.ErrorAs(t, err, &exception, "%v", err)
		return exception.Code
	}
	assert.EqualValues(t, 60, code(conn.Exec(ctx, `SELECT * FROM missing`)))
	assert.EqualValues(t, 62, code(conn.Exec(ctx, `SELEKT 1`)))
	assert.EqualValues(t, 115, code(conn.Exec(clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"no_such_setting": 1})), `SELECT 1`)))

	// An error after the answer has begun.
	rows, err := conn.Query(ctx, `SELECT throwIf(number = 3000000) FROM numbers(4000000) SETTINGS max_block_size = 65536, max_threads = 1`)
	require.NoError(t, err)
	for rows.Next() {
	}
	assert.EqualValues(t, 395, code(rows.Err()))
	_ = rows.Close()

	// The session of a failed statement is usable, and a setting is gone with its statement.
	limited := clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_result_rows": 1}))
	assert.EqualValues(t, 396, code(conn.Exec(limited, `SELECT * FROM numbers(10)`)))
	require.NoError(t, conn.Exec(ctx, `SELECT * FROM numbers(10)`))
}

func TestCancel(t *testing.T) {
	_, conn := started(t)
	for _, statement := range []string{
		`SELECT count() FROM numbers(1000000000000) WHERE NOT ignore(sipHash64(number))`, // no row before the end
		`SELECT sipHash64(number) FROM numbers(1000000000000)`,                           // rows without end
	} {
		ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
		rows, err := conn.Query(ctx, statement)
		if err == nil {
			for rows.Next() {
			}
			err = rows.Err()
			_ = rows.Close()
		}
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "what runs for hours has not come to its end") // nor does the driver's own patience end it
	}
	assert.Eventually(t, func() bool {
		var running uint64
		return conn.QueryRow(context.Background(), `SELECT count() FROM system.processes WHERE query LIKE '%sipHash64(number)%' AND query NOT LIKE '%system.processes%'`).Scan(&running) == nil && running == 0
	}, testkit.Patience, 50*time.Millisecond, "a cancelled statement still runs")
}

func TestMemoryCap(t *testing.T) {
	e := newTestExtension(t, t.TempDir())
	e.cfg.MaxMemoryMiB = minMemoryMiB
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	conn := open(t, e)
	err := conn.Exec(context.Background(), `SELECT length(groupArray(number)) FROM numbers(200000000)`)
	var exception *clickhouse.Exception
	require.ErrorAs(t, err, &exception)
	assert.EqualValues(t, 241, exception.Code)
	require.NoError(t, conn.Ping(context.Background()), "the engine must survive")
}

func TestChildIsConfined(t *testing.T) {
	needRoot(t)
	// t.TempDir is below folders of mode 0755; this is what a checkout below /root looks like.
	closed := filepath.Join(t.TempDir(), "closed")
	require.NoError(t, os.Mkdir(closed, 0o700))
	e := newTestExtension(t, filepath.Join(closed, "data", strings.Repeat("long", 40), "clickhouse"))
	t.Setenv("S3_SECRET_KEY", "canary-in-environment")
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
	conn := open(t, e)
	ctx := context.Background()
	require.NoError(t, conn.Exec(ctx, `CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n`))

	pid := childPID(t, e)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	fields := map[string]string{}
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimSpace(value)
	}
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		assert.Equal(t, "0000000000000000", fields[set], set)
	}
	assert.Equal(t, "1", fields["NoNewPrivs"])
	assert.Equal(t, "65534\t65534\t65534\t65534", fields["Uid"])
	assert.Empty(t, fields["Groups"])
	env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
	require.NoError(t, err)
	assert.NotContains(t, string(env), "canary")

	assert.Error(t, conn.Exec(ctx, `SELECT * FROM file('/etc/passwd', 'LineAsString')`), "the engine reads the host's files")
	assert.Error(t, conn.Exec(ctx, `SELECT * FROM url('http://127.0.0.1:1/', 'LineAsString') SETTINGS http_max_tries = 1`))
	assert.NoFileExists(t, filepath.Join(e.dataDir, "proc"), "mounts must not show outside")
	info, err := os.Stat(e.socketPath())
	require.NoError(t, err)
	assert.EqualValues(t, 0o600, info.Mode().Perm())
}

func TestRestart(t *testing.T) {
	host := &statusHost{Host: componenttest.NewNopHost(), events: make(chan *componentstatus.Event, 16)}
	e := newTestExtension(t, t.TempDir())
	require.NoError(t, e.Start(context.Background(), host))
	conn := open(t, e)
	ctx := context.Background()
	require.NoError(t, conn.Exec(ctx, `CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n`))
	require.NoError(t, conn.Exec(ctx, `INSERT INTO t SELECT number FROM numbers(1000)`))
	for range 2 {
		pid := childPID(t, e)
		require.Positive(t, pid)
		require.NoError(t, unix.Kill(pid, unix.SIGKILL))
		assert.Equal(t, componentstatus.StatusRecoverableError, (<-host.events).Status())
		// A statement that comes meanwhile waits in the socket's backlog.
		var count uint64
		require.NoError(t, conn.QueryRow(ctx, `SELECT count() FROM t`).Scan(&count))
		assert.EqualValues(t, 1000, count)
		assert.Equal(t, componentstatus.StatusOK, (<-host.events).Status())
	}
}

type statusHost struct {
	component.Host
	events chan *componentstatus.Event
}

func (h *statusHost) Report(event *componentstatus.Event) { h.events <- event }

func TestLifecycle(t *testing.T) {
	dir := t.TempDir()
	e := newTestExtension(t, dir)
	require.NoError(t, e.Shutdown(context.Background()), "Shutdown without Start")
	ctx := context.Background()
	for round := range 2 {
		require.NoError(t, e.Start(ctx, componenttest.NewNopHost()))
		conn := open(t, e)
		require.NoError(t, conn.Exec(ctx, `CREATE TABLE IF NOT EXISTS t (n UInt8) ENGINE = MergeTree ORDER BY n`))
		require.NoError(t, conn.Exec(ctx, `INSERT INTO t VALUES (1)`))
		var count uint64
		require.NoError(t, conn.QueryRow(ctx, `SELECT count() FROM t`).Scan(&count))
		assert.EqualValues(t, round+1, count)

		second := newTestExtension(t, dir)
		err := second.Start(ctx, componenttest.NewNopHost())
		require.ErrorContains(t, err, "is in use by another collector")
		require.NoError(t, conn.Ping(ctx), "the loser must not disturb the owner")
		require.NoError(t, e.Shutdown(ctx))
		assert.NoFileExists(t, filepath.Join(dir, socketName))
		assert.Error(t, conn.Ping(ctx))
	}
}

func TestParentKilled(t *testing.T) {
	if dir := os.Getenv("TEST_PARENT_DIR"); dir != "" {
		e := newTestExtension(t, dir)
		require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
		fmt.Println("child", childPID(t, e))
		select {}
	}
	needLibrary(t)
	dir := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestParentKilled$", "-test.v")
	cmd.Env = append(os.Environ(), "TEST_PARENT_DIR="+dir)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	var pid int
	for word := ""; word != "child"; {
		_, err = fmt.Fscan(out, &word)
		require.NoError(t, err)
	}
	_, err = fmt.Fscan(out, &pid)
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	assert.Eventually(t, func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) }, testkit.Patience, 10*time.Millisecond, "the child outlives its parent")

	e := newTestExtension(t, dir)
	require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()), "a successor must start")
}

func TestStartFailures(t *testing.T) {
	ctx := context.Background()
	t.Run("not a library", func(t *testing.T) {
		e := newTestExtension(t, t.TempDir())
		e.cfg.Library = "/bin/true"
		err := e.Start(ctx, componenttest.NewNopHost())
		require.ErrorContains(t, err, "load libchdb")
	})
	t.Run("timeout", func(t *testing.T) {
		e := newTestExtension(t, t.TempDir())
		e.cfg.StartTimeout = time.Millisecond
		require.ErrorContains(t, e.Start(ctx, componenttest.NewNopHost()), "`start_timeout`")
	})
	t.Run("no such user", func(t *testing.T) {
		needRoot(t)
		e := newTestExtension(t, t.TempDir())
		e.cfg.User = "no-such-user"
		require.ErrorContains(t, e.Start(ctx, componenttest.NewNopHost()), "`user` \"no-such-user\" does not exist")
	})
}

// TestUnprivilegedParent starts the engine from a collector that is not root.
func TestUnprivilegedParent(t *testing.T) {
	if dir := os.Getenv("TEST_UNPRIVILEGED_DIR"); dir != "" {
		require.NotZero(t, os.Geteuid())
		e := newTestExtension(t, filepath.Join(dir, "data"))
		require.NoError(t, e.Start(context.Background(), componenttest.NewNopHost()))
		require.NoError(t, open(t, e).Exec(context.Background(), `CREATE TABLE t (n UInt8) ENGINE = MergeTree ORDER BY n`))
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", childPID(t, e)))
		require.NoError(t, err)
		assert.Contains(t, string(status), "NoNewPrivs:\t1")
		assert.Contains(t, string(status), "CapEff:\t0000000000000000")
		return
	}
	needLibrary(t)
	needRoot(t)
	const nobody = 65534
	dir, err := os.MkdirTemp("", "unprivileged")
	require.NoError(t, err)
	defer os.RemoveAll(dir)
	library, err := findLibrary("")
	require.NoError(t, err)
	require.NoError(t, exec.Command("cp", "-L", "--reflink=auto", library, filepath.Join(dir, libraryName)).Run())
	require.NoError(t, os.Chmod(filepath.Join(dir, libraryName), 0o755))
	require.NoError(t, os.Chown(dir, nobody, nobody))
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnprivilegedParent$", "-test.v")
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "CI=true", "TMPDIR=" + dir, "TEST_UNPRIVILEGED_DIR=" + dir, libraryEnv + "=" + filepath.Join(dir, libraryName)}
	cmd.SysProcAttr = &unix.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

func TestMissingLibrary(t *testing.T) {
	t.Setenv(libraryEnv, filepath.Join(t.TempDir(), "none.so"))
	cfg := newDefaultConfig()
	cfg.DataDir = filepath.Join(t.TempDir(), "data")
	e := newExtension(extensiontest.NewNopSettings(metadata.Type), cfg)
	require.ErrorContains(t, e.Start(context.Background(), componenttest.NewNopHost()), "make chdb")
	assert.NoDirExists(t, cfg.DataDir, "nothing half-started")
	require.NoError(t, e.Shutdown(context.Background()))
}
