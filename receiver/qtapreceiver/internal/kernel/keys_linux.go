// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bufio"
	"cmp"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
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

// Bounds and delays of the search for libraries.
const (
	maxProbes    = 1024
	maxKnown     = 65536 // files that were looked at
	maxPending   = 512   // processes to be looked at
	rescanNew    = 2 * time.Second
	rescanAll    = time.Minute
	unusedExpiry = 10 * time.Minute
)

// lookDelays are when a program is looked at after its exec or a new mapping: other mappings come
// a moment later, and some load libraries on first use.
var lookDelays = [...]time.Duration{0, 2 * time.Millisecond, 20 * time.Millisecond, 200 * time.Millisecond, 1500 * time.Millisecond}

// keySource is a TLS implementation whose secrets can be captured.
type keySource struct {
	name string
	// programs are the BPF programs that find puts somewhere.
	programs []string
	// wellKnown are file names in the folders of libraries, or absolute patterns.
	wellKnown []string
	// symbol is what a program with the implementation inside may have among its unexported symbols; "": not looked for.
	symbol string
	// find returns where the programs belong in a file, or errNoSymbol when the file is not of
	// this implementation.
	find func(*elf.File) ([]keyPoint, error)
}

// keyPoint is a function at whose entry a program is to run.
type keyPoint struct {
	program string
	fn      function
	cookie  uint64 // what the program is to know of this file
}

// keySources are all of them, but for the one that is found by constants (logSecret).
var keySources = []keySource{openssl3, openssl1, gnutls, gnutls12, goTLS}

// exported makes a find of exported functions, all of which must be there.
func exported(program string, names ...string) func(*elf.File) ([]keyPoint, error) {
	return func(f *elf.File) ([]keyPoint, error) {
		var points []keyPoint
		for _, name := range names {
			fn, err := findFunction(f, name)
			if err != nil {
				return nil, err
			}
			points = append(points, keyPoint{program: program, fn: fn})
		}
		return points, nil
	}
}

// libraryDirs is where distributions keep libraries.
var libraryDirs = []string{
	"/usr/lib/*", "/usr/lib64", "/usr/lib", "/lib/*", "/lib64", "/lib",
	"/usr/local/lib", "/usr/local/lib64", "/usr/local/lib/*", "/opt/*/lib",
}

// keyProbes finds the files of TLS implementations and puts probes on them, for all processes.
type keyProbes struct {
	progs  map[string]*ebpf.Program
	multi  bool
	logger *zap.Logger
	execs  chan uint32

	mu     sync.Mutex
	probes map[fileID]*keyProbe
	// mapped are files as /proc/*/maps names them, already looked at; forgotten every rescanAll,
	// because an inode number is used again.
	mapped map[string]fileID
	closed bool

	// unreadMu guards unread alone: who asks must not wait for a file to be searched.
	unreadMu sync.Mutex
	unread   map[int]unread // by process

	pids map[int]bool // seen by the last scan; used by Open and then by run alone
}

type keyProbe struct {
	links    []link.Link // none when the file has nothing to probe
	unread   string      // the TLS implementation inside that has no key source
	path     string
	used     time.Time // when a process was last seen to map it
	anywhere bool      // at a well-known path: kept without users
}

func newKeyProbes(progs map[string]*ebpf.Program, multi bool, logger *zap.Logger) *keyProbes {
	return &keyProbes{
		progs: progs, multi: multi, logger: logger,
		execs:  make(chan uint32, maxPending),
		probes: map[fileID]*keyProbe{}, mapped: map[string]fileID{}, unread: map[int]unread{}, pids: map[int]bool{},
	}
}

// scanWellKnown probes the places where distributions keep TLS libraries, so that a program's
// first handshake is not missed.
func (k *keyProbes) scanWellKnown() {
	for _, src := range keySources {
		for _, name := range src.wellKnown {
			patterns := []string{name}
			if !filepath.IsAbs(name) {
				patterns = nil
				for _, dir := range libraryDirs {
					patterns = append(patterns, filepath.Join(dir, name))
				}
			}
			for _, pattern := range patterns {
				paths, err := filepath.Glob(pattern)
				if err != nil {
					continue // a bad pattern only
				}
				for _, path := range paths {
					k.probeFile(path, path, true)
				}
			}
		}
	}
}

// onExec is told of each exec, and of new mappings, by the reader. It never waits: a process that finds no room is
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
			// One schedule per process, however much it maps.
			pending = slices.DeleteFunc(pending, func(l look) bool { return l.pid == int(pid) })
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
	k.forgetUnread(now)
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
	var use implementations
	defer func() { k.noteUnread(pid, use) }()
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
			use.add(p)
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
			use.add(k.probes[id])
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
	id, err := identify(fd)
	if err != nil {
		return fileID{}, false
	}

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
	names, points, none, err := k.findPoints(f)
	p.unread = none
	if err != nil && !errors.Is(err, errNoSymbol) {
		k.logger.Debug("cannot look for TLS functions", zap.String("path", path), zap.Error(err))
	}
	if len(points) == 0 {
		return id, true
	}
	if self, err := os.Stat("/proc/self/exe"); err == nil {
		if opened, err := f.Stat(); err == nil && os.SameFile(self, opened) {
			return id, true // a probe that never copies anything would still cost
		}
	}
	if p.links, err = k.attach(fd, points); err != nil {
		k.logger.Warn("cannot capture TLS secrets of a library", zap.String("path", path), zap.Strings("tls", names), zap.Error(err))
		return id, true
	}
	k.logger.Info("capturing TLS secrets of a library", zap.String("path", path), zap.Strings("tls", names))
	return id, true
}

// findPoints asks every source. A program may have more than one inside. When it has none, unread names the TLS
// implementation inside that cannot be read.
func (k *keyProbes) findPoints(r io.ReaderAt) (names []string, points []keyPoint, unread string, err error) {
	f, err := openELF(r, nativeMachine)
	if err != nil {
		return nil, nil, "", err
	}
	var errs []error
	for _, src := range keySources {
		found, err := src.find(f)
		if err == nil {
			names, points = append(names, src.name), append(points, found...)
		} else if !errors.Is(err, errNoSymbol) {
			errs = append(errs, fmt.Errorf("%s: %w", src.name, err))
		}
	}
	if len(points) == 0 {
		if unread = unreadExport(f); unread == "" {
			var name string
			if name, points, unread, err = k.findByText(f); len(points) > 0 {
				names = []string{name}
			}
			errs = append(errs, err)
		}
	}
	return names, points, unread, errors.Join(errs...)
}

// attach puts probes on all points, or on none.
func (k *keyProbes) attach(fd int, points []keyPoint) (_ []link.Link, err error) {
	count := 0
	for _, p := range k.probes {
		if len(p.links) > 0 {
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
	var links []link.Link
	defer func() {
		if err != nil {
			err = errors.Join(err, closeLinks(links))
		}
	}()
	for _, pt := range points {
		at := pt.fn.offset + probePoint(pt.fn.code)
		var l link.Link
		if k.multi {
			l, err = ex.UprobeMulti(nil, k.progs[pt.program], &link.UprobeMultiOptions{Addresses: []uint64{at}, Cookies: []uint64{pt.cookie}})
		} else {
			l, err = ex.Uprobe(pt.fn.name, k.progs[pt.program], &link.UprobeOptions{Address: at, Cookie: pt.cookie})
		}
		if err != nil {
			return nil, fmt.Errorf("probe %s: %w", pt.fn.name, err)
		}
		links = append(links, l)
	}
	return links, nil
}

func closeLinks(links []link.Link) error {
	var errs []error
	for _, l := range links {
		errs = append(errs, l.Close())
	}
	return errors.Join(errs...)
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
		if err := closeLinks(p.links); err != nil {
			k.logger.Warn("cannot detach from a library", zap.String("path", p.path), zap.Error(err))
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
		if len(p.links) > 0 {
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
		errs = append(errs, closeLinks(p.links))
	}
	clear(k.probes)
	return errors.Join(errs...)
}
