// SPDX-License-Identifier: Apache-2.0

//go:build linux

package localclickhouseextension

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension/internal/chdb"
)

const (
	// childName is argv[0] of the child, and childEnv the variable that carries its plan. A
	// process that has both is the child: init then never returns. Both are set by spawn only.
	childName = "otelcol-local-clickhouse"
	childEnv  = "QPOINT_LOCAL_CLICKHOUSE_CHILD"

	listenerFD = 3 // the listening socket, made by the parent
	controlFD  = 4 // a pipe whose end of file means: close and leave (the parent wants it, or died)
)

// plan tells the child what to do. It holds no secret: it is visible in /proc.
type plan struct {
	// Confined is false until the process has dropped what it must not keep and executed itself again.
	Confined bool
	// Isolate builds a root file system of its own, which needs CAP_SYS_ADMIN in the parent.
	Isolate  bool
	DataDir  string // mount point for the own root file system
	Store    string // the engine's folder
	Library  string
	UID, GID int // -1: keep the parent's
	Memory   uint64
	Threads  int
	// Statements is how many may run at once.
	Statements int
	// CloseTimeout bounds the clean close.
	CloseTimeout time.Duration
}

// The child mode is entered here and not in main, so that every distribution that imports this
// package has it, whatever its main is.
func init() {
	text := os.Getenv(childEnv)
	if text == "" || len(os.Args) != 1 || os.Args[0] != childName {
		return
	}
	if err := runChild(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func runChild(text string) error {
	var p plan
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return fmt.Errorf("read the plan: %w", err)
	}
	if !p.Confined {
		return confine(p) // returns only on failure
	}
	// SIGKILL, since the engine survives it, and a successor must find the folder free.
	if err := unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0); err != nil {
		return fmt.Errorf("ask to die with the parent: %w", err)
	}
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP) // the parent decides

	lib, err := chdb.Load(p.Library)
	if err != nil {
		return err
	}
	server, err := chdb.NewServer(lib, engineArgs(p), p.Statements)
	if err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(listenerFD, "listener"))
	if err != nil {
		return fmt.Errorf("take over the socket: %w", err)
	}
	// The socket's file belongs to the parent, which may give it to a successor.
	listener.(*net.UnixListener).SetUnlinkOnClose(false)

	httpServer := &http.Server{Handler: server, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- httpServer.Serve(listener) }()
	// Reading blocks until the parent closes its end or is gone.
	if _, err := io.Copy(io.Discard, os.NewFile(controlFD, "control")); err != nil {
		return fmt.Errorf("watch the parent: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.CloseTimeout)
	defer cancel()
	if err := httpServer.Shutdown(ctx); err != nil {
		return fmt.Errorf("statements still run after %s: leaving without a clean close", p.CloseTimeout)
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	server.Close()
	return nil
}

// engineArgs are options of clickhouse-local. Caches and pools have defaults for a machine of
// its own; here the collector and the watched programs come first.
func engineArgs(p plan) []string {
	arg := func(name string, value uint64) string { return "--" + name + "=" + strconv.FormatUint(value, 10) }
	threads := uint64(p.Threads)
	return []string{
		"--path=" + p.Store,
		arg("max_server_memory_usage", p.Memory),
		arg("max_memory_usage", p.Memory/4*3), // one statement must not starve merges and inserts
		arg("max_threads", threads),
		// The server takes fewer threads where it does not have 1 GiB for each: with our caps, always one.
		arg("max_threads_min_free_memory_per_thread", p.Memory/16),
		arg("max_insert_threads", 1),
		arg("max_thread_pool_size", 64+32*threads),
		arg("background_pool_size", threads),
		arg("background_schedule_pool_size", 4),
		arg("background_common_pool_size", 2),
		arg("background_fetches_pool_size", 1),
		arg("background_move_pool_size", 1),
		arg("mark_cache_size", p.Memory/32),
		arg("index_mark_cache_size", p.Memory/64),
		arg("uncompressed_cache_size", 0),
		arg("memory_worker_use_cgroup", 0), // it finds no cgroup in a root of its own, and complains
		arg("mmap_cache_size", 0),
	}
}
