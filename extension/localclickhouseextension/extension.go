// SPDX-License-Identifier: Apache-2.0

//go:build linux

package localclickhouseextension

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/extension"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// Bounds of the pause before a dead child is started again. It doubles with every death that
// follows a short life.
const (
	minRestartDelay = 250 * time.Millisecond
	maxRestartDelay = 30 * time.Second
	longLife        = time.Minute
)

type localClickHouse struct {
	cfg    *Config
	logger *zap.Logger

	host     component.Host
	dataDir  string // absolute
	dir      *os.File
	dirFD    atomic.Int64 // of dir, for dial; -1 when not started
	lock     *os.File
	listener *os.File
	cancel   context.CancelFunc
	done     chan struct{} // closed when run has returned
	stopErr  error         // of the last child; valid after done
}

var _ pulsestore.Engine = (*localClickHouse)(nil)

func newExtension(set extension.Settings, cfg *Config) extension.Extension {
	e := &localClickHouse{cfg: cfg, logger: set.Logger}
	e.dirFD.Store(-1)
	return e
}

// Start implements component.Component. The engine answers when it returns.
func (e *localClickHouse) Start(ctx context.Context, host component.Host) error {
	e.host = host
	if err := e.start(ctx); err != nil {
		return errors.Join(fmt.Errorf("`local_clickhouse`: %w", err), e.release())
	}
	return nil
}

func (e *localClickHouse) start(ctx context.Context) error {
	library, err := findLibrary(e.cfg.Library)
	if err != nil {
		return err
	}
	uid, gid, err := e.childUser()
	if err != nil {
		return err
	}
	store, err := e.openDataDir(uid, gid)
	if err != nil {
		return err
	}
	p := plan{
		Isolate: uid >= 0 && mayIsolate(), DataDir: e.dataDir, Store: store, Library: library, UID: uid, GID: gid,
		Memory: uint64(e.cfg.MaxMemoryMiB) << 20, Threads: e.cfg.MaxThreads, Statements: e.cfg.MaxStatements,
		CloseTimeout: e.cfg.ShutdownTimeout,
	}
	if uid >= 0 && !p.Isolate {
		e.logger.Warn("without CAP_SYS_ADMIN the engine's process gets no root file system of its own; its user must reach `data_dir` and the library")
	}
	if err := e.listen(); err != nil {
		return err
	}
	runCtx, cancel := context.WithCancel(context.Background())
	e.cancel, e.done = cancel, make(chan struct{})
	started := make(chan error, 1)
	go e.run(runCtx, p, started)
	select {
	case err := <-started:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// run keeps a child alive until ctx ends. It reports the outcome of the first start on started
// and gives up when that failed.
func (e *localClickHouse) run(ctx context.Context, p plan, started chan<- error) {
	defer close(e.done)
	runtime.LockOSThread() // see spawn
	defer runtime.UnlockOSThread()
	delay := minRestartDelay
	for first := true; ; first = false {
		born := time.Now()
		child, err := e.startChild(ctx, p)
		if first {
			started <- err
			if err != nil {
				return
			}
		}
		if err == nil {
			if !first {
				e.logger.Info("clickhouse runs again")
				e.report(componentstatus.NewEvent(componentstatus.StatusOK))
			}
			select {
			case <-ctx.Done():
				e.stopErr = child.stop(context.Background(), e.cfg.ShutdownTimeout+time.Second)
				return
			case <-child.exited:
				_ = child.control.Close()
				err = child.failure()
			}
		}
		if ctx.Err() != nil {
			return
		}
		if time.Since(born) > longLife {
			delay = minRestartDelay
		}
		e.logger.Error("clickhouse is down, starting it again", zap.Error(err), zap.Duration("in", delay))
		e.report(componentstatus.NewRecoverableErrorEvent(err))
		select {
		case <-ctx.Done():
			return
		case <-time.After(delay):
		}
		delay = min(2*delay, maxRestartDelay)
	}
}

// startChild returns a child that answers.
func (e *localClickHouse) startChild(ctx context.Context, p plan) (*process, error) {
	child, err := spawn(p, e.listener, e.logger)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, e.cfg.StartTimeout)
	defer cancel()
	if err := child.ready(ctx, e.dial); err != nil {
		_ = child.cmd.Process.Kill()
		<-child.exited
		_ = child.control.Close()
		return nil, err
	}
	return child, nil
}

func (e *localClickHouse) report(event *componentstatus.Event) {
	componentstatus.ReportStatus(e.host, event)
}

// Shutdown implements component.Component.
func (e *localClickHouse) Shutdown(context.Context) error { return e.release() }

// release ends what start began, in reverse order. It may be called at any time, and again.
func (e *localClickHouse) release() error {
	var errs []error
	if e.cancel != nil {
		e.cancel()
		<-e.done
		errs = append(errs, e.stopErr)
		e.cancel, e.stopErr = nil, nil
	}
	if e.listener != nil {
		errs = append(errs, e.listener.Close(), unix.Unlinkat(int(e.dir.Fd()), socketName, 0))
		e.listener = nil
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
		e.lock = nil
	}
	if e.dir != nil {
		e.dirFD.Store(-1)
		errs = append(errs, e.dir.Close())
		e.dir = nil
	}
	return errors.Join(errs...)
}

// ClickHouseOptions implements pulsestore.Engine.
func (e *localClickHouse) ClickHouseOptions() *clickhouse.Options {
	return &clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{"local_clickhouse"}, // the Host header
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) { return e.dial(ctx) },
		TransportFunc: func(t *http.Transport) (http.RoundTripper, error) {
			// A new connection costs microseconds here, and one kept from before the child's
			// restart would fail a statement.
			t.DisableKeepAlives = true
			t.Proxy = nil
			return t, nil
		},
		MaxOpenConns: e.cfg.MaxStatements,
		MaxIdleConns: e.cfg.MaxStatements,
	}
}

const (
	lockName   = "lock"
	socketName = "clickhouse.sock"
	storeName  = "store"
)

// openDataDir creates and locks the data folder and returns the engine's folder in it, which
// belongs to uid (unless -1).
func (e *localClickHouse) openDataDir(uid, gid int) (store string, err error) {
	if e.dataDir, err = filepath.Abs(e.cfg.DataDir); err != nil {
		return "", err
	}
	store = filepath.Join(e.dataDir, storeName)
	if err := os.MkdirAll(store, 0o700); err != nil {
		return "", fmt.Errorf("create `data_dir`: %w", err)
	}
	if e.dir, err = os.Open(e.dataDir); err != nil {
		return "", fmt.Errorf("open `data_dir`: %w", err)
	}
	e.dirFD.Store(int64(e.dir.Fd()))
	if e.lock, err = os.OpenFile(filepath.Join(e.dataDir, lockName), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return "", fmt.Errorf("lock `data_dir`: %w", err)
	}
	if err := unix.Flock(int(e.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return "", fmt.Errorf("`data_dir` %s is in use by another collector: stop it, or give this one a folder of its own", e.dataDir)
	}
	if uid >= 0 {
		if err := chownAll(store, uid, gid); err != nil {
			return "", fmt.Errorf("give `data_dir` to `user`: %w", err)
		}
	}
	return store, nil
}

// chownAll gives the folder and what is in it to uid, unless the folder already belongs to it.
func chownAll(dir string, uid, gid int) error {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return err
	}
	if int(st.Uid) == uid {
		return nil
	}
	// The folder itself comes last, so that an interrupted change is made again.
	if err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		return os.Lchown(path, uid, gid)
	}); err != nil {
		return err
	}
	return os.Lchown(dir, uid, gid)
}

// listen makes the socket. It is the parent's, so that it outlives a child: statements that come
// while the child is restarted wait.
func (e *localClickHouse) listen() error {
	_ = unix.Unlinkat(int(e.dir.Fd()), socketName, 0) // left by a collector that was killed; the lock says that it is gone
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: e.socketPath(), Net: "unix"})
	if err != nil {
		return fmt.Errorf("listen in `data_dir`: %w", err)
	}
	defer l.Close()
	l.SetUnlinkOnClose(false)
	if e.listener, err = l.File(); err != nil {
		return err
	}
	return os.Chmod(e.socketPath(), 0o600)
}

// socketPath names the socket through the open folder: a socket's address has only 108 bytes.
func (e *localClickHouse) socketPath() string {
	return "/proc/self/fd/" + strconv.FormatInt(e.dirFD.Load(), 10) + "/" + socketName
}

func (e *localClickHouse) dial(ctx context.Context) (net.Conn, error) {
	if e.dirFD.Load() < 0 {
		return nil, errors.New("`local_clickhouse` is not started")
	}
	var d net.Dialer
	return d.DialContext(ctx, "unix", e.socketPath())
}

// childUser returns the child's user and group, or -1 when it runs as the collector's own user.
func (e *localClickHouse) childUser() (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return -1, -1, nil
	}
	u, err := user.Lookup(e.cfg.User)
	if err != nil {
		if u, err = user.LookupId(e.cfg.User); err != nil {
			return 0, 0, fmt.Errorf("`user` %q does not exist on this host", e.cfg.User)
		}
	}
	if uid, err = strconv.Atoi(u.Uid); err != nil {
		return 0, 0, err
	}
	if gid, err = strconv.Atoi(u.Gid); err != nil {
		return 0, 0, err
	}
	if uid == 0 {
		return 0, 0, fmt.Errorf("`user` %q is root: name an unprivileged user", e.cfg.User)
	}
	return uid, gid, nil
}

// mayIsolate says whether the process may make mount and network namespaces.
func mayIsolate() bool {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	return unix.Capget(&header, &data[0]) == nil && data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
