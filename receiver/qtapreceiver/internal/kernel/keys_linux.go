// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"
)

// kdfSymbol is the function of OpenSSL 3 that every TLS secret passes through.
const kdfSymbol = "EVP_KDF_derive"

// Bounds and delays of the search for libraries.
const (
	maxProbes    = 1024
	maxKnown     = 65536 // files that were looked at
	maxPending   = 512   // processes to be looked at
	rescanNew    = 2 * time.Second
	rescanAll    = time.Minute
	unusedExpiry = 10 * time.Minute
)

// lookDelays are when a new program is looked at after its exec: its libraries are mapped a
// moment later, and some load them on first use.
var lookDelays = [...]time.Duration{0, 20 * time.Millisecond, 200 * time.Millisecond, 1500 * time.Millisecond}

// keyProbes finds the files that hold kdfSymbol and puts one probe on each, for all processes.
type keyProbes struct {
	prog   *ebpf.Program
	multi  bool
	logger *zap.Logger
	execs  chan uint32

	mu     sync.Mutex
	probes map[fileID]*keyProbe
	// mapped are files as /proc/*/maps names them, already looked at; forgotten every rescanAll,
	// because an inode number is used again.
	mapped map[string]fileID
	closed bool

	pids map[int]bool // seen by the last scan; used by Open and then by run alone
}

// fileID names a file's content: an inode number alone would outlive it.
type fileID struct {
	dev, ino    uint64
	size, mtime int64
}

type keyProbe struct {
	link     link.Link // nil when the file has nothing to probe
	path     string
	used     time.Time // when a process was last seen to map it
	anywhere bool      // at a well-known path: kept without users
}

func newKeyProbes(prog *ebpf.Program, multi bool, logger *zap.Logger) *keyProbes {
	return &keyProbes{
		prog: prog, multi: multi, logger: logger,
		execs:  make(chan uint32, maxPending),
		probes: map[fileID]*keyProbe{}, mapped: map[string]fileID{}, pids: map[int]bool{},
	}
}

// scanWellKnown probes the places where distributions keep OpenSSL, so that a program's first
// handshake is not missed.
func (k *keyProbes) scanWellKnown() {
	for _, pattern := range []string{
		"/usr/lib/*/libcrypto.so.3", "/usr/lib64/libcrypto.so.3", "/usr/lib/libcrypto.so.3",
		"/lib/*/libcrypto.so.3", "/lib64/libcrypto.so.3", "/lib/libcrypto.so.3",
		"/usr/local/lib/libcrypto.so.3", "/usr/local/lib64/libcrypto.so.3", "/usr/local/lib/*/libcrypto.so.3",
		"/opt/*/lib/libcrypto.so.3", "/usr/bin/node", "/usr/local/bin/node",
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			continue // a bad pattern only
		}
		for _, path := range paths {
			k.probeFile(path, path, true)
		}
	}
}

// onExec is told of each exec by the reader. It never waits: a process that finds no room is
// found by the next rescan.
func (k *keyProbes) onExec(tgid uint32) {
	select {
	case k.execs <- tgid:
	default:
	}
}

// look is a process to be looked at, at some time.
type look struct {
	at  time.Time
	pid int
	n   int // index in lookDelays
}

// run looks for libraries until ctx ends.
func (k *keyProbes) run(ctx context.Context) {
	var pending []look // by time
	timer := time.NewTimer(rescanNew)
	defer timer.Stop()
	nextNew, nextAll := time.Now().Add(rescanNew), time.Now().Add(rescanAll)
	add := func(l look) {
		if len(pending) >= maxPending {
			return
		}
		i, _ := slices.BinarySearchFunc(pending, l, func(a, b look) int { return cmp.Compare(a.at.UnixNano(), b.at.UnixNano()) })
		pending = slices.Insert(pending, i, l)
	}
	for {
		next := nextNew
		if len(pending) > 0 && pending[0].at.Before(next) {
			next = pending[0].at
		}
		timer.Reset(time.Until(next))
		select {
		case <-ctx.Done():
			return
		case pid := <-k.execs:
			add(look{at: time.Now(), pid: int(pid)})
		case <-timer.C:
		}
		now := time.Now()
		for len(pending) > 0 && !pending[0].at.After(now) && ctx.Err() == nil {
			l := pending[0]
			pending = pending[1:]
			if !k.scanProcess(l.pid) {
				continue // it is gone
			}
			if l.n++; l.n < len(lookDelays) {
				add(look{at: now.Add(lookDelays[l.n]), pid: l.pid, n: l.n})
			}
		}
		switch {
		case now.After(nextAll):
			k.forget()
			k.scanAll()
			nextAll, nextNew = time.Now().Add(rescanAll), time.Now().Add(rescanNew)
		case now.After(nextNew):
			k.scanNew()
			nextNew = time.Now().Add(rescanNew)
		}
	}
}

// scanAll looks at every process.
func (k *keyProbes) scanAll() {
	clear(k.pids)
	k.scanNew()
}

// scanNew looks at every process that was not there the last time.
func (k *keyProbes) scanNew() {
	dir, err := os.Open("/proc")
	if err != nil {
		k.logger.Warn("cannot list processes to find TLS libraries", zap.Error(err))
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		k.logger.Warn("cannot list processes to find TLS libraries", zap.Error(err))
		return
	}
	now := make(map[int]bool, len(names))
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		now[pid] = true
		if !k.pids[pid] {
			k.scanProcess(pid)
		}
	}
	k.pids = now
}

// scanProcess probes the files that a process has mapped for execution. It reports false when
// there is no such process.
func (k *keyProbes) scanProcess(pid int) bool {
	proc := "/proc/" + strconv.Itoa(pid)
	f, err := os.Open(proc + "/maps")
	if err != nil {
		return false
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		m, ok := parseMapping(s.Text())
		if !ok {
			continue
		}
		k.mu.Lock()
		id, known := k.mapped[m.file]
		if p := k.probes[id]; known && p != nil {
			p.used = time.Now()
		}
		k.mu.Unlock()
		if known {
			continue
		}
		// The mapping itself leads to the file, in any mount namespace and also when it was
		// deleted; the path in the process's root does so without CAP_CHECKPOINT_RESTORE.
		id, ok = k.probeFile(proc+"/map_files/"+m.addr, m.path, false)
		if !ok {
			id, ok = k.probeFile(proc+"/root"+m.path, m.path, false)
		}
		if ok {
			k.mu.Lock()
			if len(k.mapped) < maxKnown {
				k.mapped[m.file] = id
			}
			k.mu.Unlock()
		}
	}
	return true
}

// mapping is an executable mapping of a file.
type mapping struct {
	addr string // as /proc/pid/map_files names it
	file string // device, inode and path
	path string
}

// parseMapping reads a line of /proc/pid/maps (proc_pid_maps(5)).
func parseMapping(line string) (mapping, bool) {
	addr, rest, _ := strings.Cut(line, " ")
	perms, rest, _ := strings.Cut(rest, " ")
	_, file, _ := strings.Cut(rest, " ")
	_, path, ok := strings.Cut(file, "/")
	if !ok || len(perms) < 3 || perms[2] != 'x' {
		return mapping{}, false
	}
	// The kernel prints addresses with leading zeros here, but not in map_files.
	from, to, _ := strings.Cut(addr, "-")
	trim := func(s string) string { return cmp.Or(strings.TrimLeft(s, "0"), "0") }
	return mapping{
		addr: trim(from) + "-" + trim(to),
		file: file,
		path: "/" + strings.TrimSuffix(path, " (deleted)"),
	}, true
}

// probeFile puts a probe on the file behind open, once. It reports false when it cannot be
// looked at.
func (k *keyProbes) probeFile(open, path string, anywhere bool) (fileID, bool) {
	// Not blocking: a path in a container may be anything.
	fd, err := unix.Open(open, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return fileID{}, false
	}
	f := os.NewFile(uintptr(fd), path)
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		return fileID{}, false
	}
	id := fileID{dev: st.Dev, ino: st.Ino, size: st.Size, mtime: st.Mtim.Nano()}

	k.mu.Lock()
	defer k.mu.Unlock()
	if k.closed {
		return fileID{}, false
	}
	if p := k.probes[id]; p != nil {
		p.used = time.Now()
		p.anywhere = p.anywhere || anywhere
		return id, true
	}
	if len(k.probes) >= maxKnown {
		return fileID{}, false
	}
	p := &keyProbe{path: path, used: time.Now(), anywhere: anywhere}
	k.probes[id] = p
	fn, err := findFunction(f, kdfSymbol, nativeMachine)
	if err != nil {
		if !errors.Is(err, errNoSymbol) {
			k.logger.Debug("cannot look for TLS functions", zap.String("path", path), zap.Error(err))
		}
		return id, true
	}
	if p.link, err = k.attach(fd, fn); err != nil {
		k.logger.Warn("cannot capture TLS secrets of a library", zap.String("path", path), zap.Error(err))
		return id, true
	}
	k.logger.Info("capturing TLS secrets of a library", zap.String("path", path))
	return id, true
}

func (k *keyProbes) attach(fd int, fn function) (link.Link, error) {
	count := 0
	for _, p := range k.probes {
		if p.link != nil {
			count++
		}
	}
	if count >= maxProbes {
		return nil, fmt.Errorf("%d libraries are probed already", count)
	}
	// The descriptor names the file whatever happens to its path.
	ex, err := link.OpenExecutable("/proc/self/fd/" + strconv.Itoa(fd))
	if err != nil {
		return nil, err
	}
	at := fn.offset + probePoint(fn.code)
	if k.multi {
		return ex.UprobeMulti(nil, k.prog, &link.UprobeMultiOptions{Addresses: []uint64{at}})
	}
	return ex.Uprobe(kdfSymbol, k.prog, &link.UprobeOptions{Address: at})
}

// forget drops what may have become stale: names of mapped files, and probes on files that
// nobody maps any more, which would keep deleted files on disk.
func (k *keyProbes) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	clear(k.mapped)
	for id, p := range k.probes {
		if p.anywhere || time.Since(p.used) < unusedExpiry {
			continue
		}
		if p.link != nil {
			if err := p.link.Close(); err != nil {
				k.logger.Warn("cannot detach from a library", zap.String("path", p.path), zap.Error(err))
			}
		}
		delete(k.probes, id)
	}
}

// attached returns the paths of the probed files, sorted.
func (k *keyProbes) attached() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var paths []string
	for _, p := range k.probes {
		if p.link != nil {
			paths = append(paths, p.path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

func (k *keyProbes) close() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.closed = true
	var errs []error
	for _, p := range k.probes {
		if p.link != nil {
			errs = append(errs, p.link.Close())
		}
	}
	clear(k.probes)
	return errors.Join(errs...)
}
