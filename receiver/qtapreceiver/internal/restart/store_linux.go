// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package restart

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// The names of what is pinned.
const (
	pinSessions = "tls_sessions"
	pinClose    = "tls_sessions_close"
)

const (
	// beatEvery is the time between two signs of life.
	beatEvery = time.Second
	// claimWithin is how long after the start a connection is awaited that has left a session: the first
	// scan of open sockets has told of all that are watched by then.
	claimWithin = time.Minute
)

// own is the key of the collector's own entry. No socket has it.
const own = event.Cookie(0)

// Store is the pinned map. It is not safe for concurrent use.
type Store struct {
	logger    *zap.Logger
	ttl       time.Duration
	coll      *ebpf.Collection
	sessions  *ebpf.Map
	close     link.Link
	entry     bpf.RestartEntry
	beat      time.Time
	opened    time.Time
	unclaimed map[event.Cookie]struct{}
	full      bool // it was said
}

// Open opens what an earlier process left in a folder of a BPF file system, or makes it. ttl is how long
// after the last sign of life of a collector the kernel forgets it. Errors name the configuration's key.
func Open(dir string, ttl time.Duration, logger *zap.Logger) (_ *Store, err error) {
	if err := features.HaveProgramHelper(ebpf.RawTracepoint, asm.FnForEachMapElem); err != nil {
		return nil, fmt.Errorf("`tls::restart_state` needs Linux 5.13, whose programs can clear a map and whose sockets keep their cookies: %w", err)
	}
	if err := folder(dir); err != nil {
		return nil, err
	}
	s := &Store{logger: logger, ttl: ttl, opened: time.Now(), unclaimed: map[event.Cookie]struct{}{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.free())
		}
	}()
	spec, err := bpf.LoadRestart()
	if err != nil {
		return nil, fmt.Errorf("read the embedded BPF object: %w", err)
	}
	old, err := s.inherit(filepath.Join(dir, pinSessions), spec.Maps[bpf.RestartMapRestartMap])
	if err != nil {
		return nil, fmt.Errorf("`tls::restart_state::directory`: %w", err)
	}
	opts := ebpf.CollectionOptions{}
	if old != nil {
		defer old.Close()
		opts.MapReplacements = map[string]*ebpf.Map{bpf.RestartMapRestartMap: old}
	}
	if s.coll, err = ebpf.NewCollectionWithOptions(spec, opts); err != nil {
		return nil, fmt.Errorf("load the BPF program of `tls::restart_state`: %w", err)
	}
	s.sessions = s.coll.Maps[bpf.RestartMapRestartMap]
	if err := s.writeBeat(); err != nil {
		return nil, err
	}
	if s.close, err = link.AttachTracing(link.TracingOptions{Program: s.coll.Programs[bpf.RestartProgRestartClose]}); err != nil {
		return nil, fmt.Errorf("attach the BPF program of `tls::restart_state`: %w", err)
	}
	// In place of that of an earlier process, without a moment in which there is none. Dots are not allowed in names here.
	path := filepath.Join(dir, pinClose)
	_ = os.Remove(path + "_new")
	if err := errors.Join(s.close.Pin(path+"_new"), os.Rename(path+"_new", path)); err != nil {
		return nil, fmt.Errorf("pin the program in `tls::restart_state::directory`: %w", err)
	}
	if old == nil {
		if err := s.sessions.Pin(filepath.Join(dir, pinSessions)); err != nil {
			return nil, fmt.Errorf("pin the map in `tls::restart_state::directory`: %w", err)
		}
	}
	return s, nil
}

// folder makes the folder, which must be in a BPF file system and root's alone.
func folder(dir string) error {
	var at unix.Statfs_t
	err := unix.Statfs(dir, &at)
	if errors.Is(err, fs.ErrNotExist) {
		if err = unix.Statfs(filepath.Dir(dir), &at); err == nil && at.Type == unix.BPF_FS_MAGIC {
			err = os.Mkdir(dir, 0o700)
		}
	}
	if err == nil && at.Type != unix.BPF_FS_MAGIC {
		return fmt.Errorf("`tls::restart_state::directory` %s is not in a BPF file system: mount one (mount -t bpf bpf /sys/fs/bpf) and name a folder directly below it", dir)
	}
	if err != nil {
		return fmt.Errorf("`tls::restart_state::directory` %s: %w; mount a BPF file system (mount -t bpf bpf /sys/fs/bpf) and name a folder directly below it", dir, err)
	}
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return fmt.Errorf("`tls::restart_state::directory` %s: %w", dir, err)
	}
	if int(st.Uid) != os.Geteuid() || st.Mode&0o077 != 0 {
		return fmt.Errorf("`tls::restart_state::directory` %s holds secrets and must belong to this process's user alone: chown %d %[1]s && chmod 700 %[1]s", dir, os.Geteuid())
	}
	return nil
}

// inherit returns the map that an earlier process left, nil when there is none. What is of another version or
// too old is deleted.
func (s *Store) inherit(path string, spec *ebpf.MapSpec) (*ebpf.Map, error) {
	m, err := ebpf.LoadPinnedMap(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	var head bpf.RestartEntry
	compatible := spec.Compatible(m) == nil && m.Lookup(uint64(own), &head) == nil && head.Version == bpf.RestartVersion
	if !compatible {
		defer m.Close()
		if err := clearMap(m); err != nil {
			return nil, fmt.Errorf("wipe %s: %w", path, err)
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		s.logger.Warn("What another version of the collector left to read TLS connections after a restart is discarded: they are read again once they are opened anew", zap.String("path", path))
		return nil, nil
	}
	if other := head.TGID; int(other) != os.Getpid() && sameProgram(int(other)) && bootTime()-head.Time < uint64(3*beatEvery) {
		_ = m.Close()
		return nil, fmt.Errorf("%s is in use by process %d: each collector needs a folder of its own", path, other)
	}
	if age := time.Duration(bootTime() - head.Time); age > s.ttl {
		if err := clearMap(m); err != nil {
			_ = m.Close()
			return nil, fmt.Errorf("wipe %s: %w", path, err)
		}
		s.logger.Warn("What was left to read TLS connections after a restart is older than `tls::restart_state::ttl` and is discarded", zap.Duration("age", age))
		return m, nil
	}
	var key uint64
	for iter := m.Iterate(); iter.Next(&key, &s.entry); {
		if event.Cookie(key) != own {
			s.unclaimed[event.Cookie(key)] = struct{}{}
		}
	}
	wipe(&s.entry)
	s.logger.Info("TLS connections that an earlier process read are taken over", zap.Int("connections", len(s.unclaimed)))
	return m, nil
}

func sameProgram(pid int) bool {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return false
	}
	exe, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/exe")
	return err == nil && os.SameFile(self, exe)
}

// clearMap deletes every entry. An update replaces an entry and does not write into it: the secrets stay in what the
// kernel frees until it is used anew. The zeros are for whoever holds the map and looks in between.
func clearMap(m *ebpf.Map) error {
	key, zero := make([]byte, m.KeySize()), make([]byte, m.ValueSize())
	for {
		err := m.NextKey(nil, key)
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := errors.Join(m.Update(key, zero, ebpf.UpdateExist), m.Delete(key)); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return err
		}
	}
}

// Load returns the session of a socket, nil when there is none.
func (s *Store) Load(c event.Cookie) *Session {
	delete(s.unclaimed, c)
	defer wipe(&s.entry)
	if c == own || s.sessions.Lookup(uint64(c), &s.entry) != nil {
		return nil
	}
	x := &Session{}
	if !x.decode(&s.entry) {
		s.Delete(c)
		return nil
	}
	return x
}

// Save keeps a session, and says whether it is kept. A full map is said once: the connection is not read after a
// restart, that is all. One that is kept again is not when the kernel has removed it: the connection has ended, and
// nothing would remove it another time.
func (s *Store) Save(c event.Cookie, x *Session, again bool) bool {
	delete(s.unclaimed, c)
	defer wipe(&s.entry)
	x.encode(&s.entry)
	s.entry.Time = bootTime()
	flags := ebpf.UpdateAny
	if again {
		flags = ebpf.UpdateExist
	}
	err := s.sessions.Update(uint64(c), &s.entry, flags)
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) && !s.full {
		s.full = true
		s.logger.Warn("not every TLS connection will be read after a restart", zap.Error(err), zap.Uint32("most", s.sessions.MaxEntries()))
	}
	return err == nil
}

// Delete forgets a session, if there is one. Only the kernel's own program writes over an entry before it goes, see
// clearMap.
func (s *Store) Delete(c event.Cookie) {
	delete(s.unclaimed, c)
	wipe(&s.entry)
	if s.sessions.Update(uint64(c), &s.entry, ebpf.UpdateExist) == nil {
		_ = s.sessions.Delete(uint64(c))
	}
}

// Tick gives the sign of life when it is due, and forgets sessions that nobody has asked for.
func (s *Store) Tick() {
	now := time.Now()
	if now.Sub(s.beat) < beatEvery {
		return
	}
	if err := s.writeBeat(); err != nil && !s.full {
		s.full = true
		s.logger.Warn("TLS connections may not be read after a restart", zap.Error(err))
	}
	if len(s.unclaimed) > 0 && now.Sub(s.opened) >= claimWithin {
		for c := range s.unclaimed {
			s.Delete(c)
		}
	}
}

func (s *Store) writeBeat() error {
	s.beat = time.Now()
	head := bpf.RestartEntry{Version: bpf.RestartVersion, TGID: uint32(os.Getpid()), Time: bootTime(), TTL: uint64(s.ttl)}
	if err := s.sessions.Update(uint64(own), &head, ebpf.UpdateAny); err != nil {
		return fmt.Errorf("write to the map of `tls::restart_state`: %w", err)
	}
	return nil
}

// Close leaves everything in the kernel, for the next process. A nil Store has nothing to close.
func (s *Store) Close() error {
	if s == nil {
		return nil
	}
	return errors.Join(s.writeBeat(), s.free())
}

func (s *Store) free() error {
	var err error
	if s.close != nil {
		err = s.close.Close()
	}
	if s.coll != nil {
		s.coll.Close()
	}
	return err
}

// bootTime is CLOCK_BOOTTIME in nanoseconds.
func bootTime() uint64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts) != nil {
		return 0 // as old as can be
	}
	return uint64(ts.Nano())
}
