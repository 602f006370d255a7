// SPDX-License-Identifier: Apache-2.0

//go:build linux

package localclickhouseextension

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// Where the engine finds its two files in a root file system of its own.
const (
	isolatedStore   = "/store"
	isolatedLibrary = "/lib-chdb/" + libraryName
)

// confine gives up privileges and executes the binary again: credentials are a thread's, and
// only an exec leaves no thread behind that still has the old ones. It returns only on failure.
func confine(p plan) error {
	runtime.LockOSThread()
	exe, err := unix.Open("/proc/self/exe", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the own binary: %w", err)
	}
	if p.Isolate {
		if err := isolate(p); err != nil {
			return fmt.Errorf("build the engine's root file system: %w", err)
		}
		p.Store, p.Library = isolatedStore, isolatedLibrary
	}
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}); err != nil { // a core holds rows
		return fmt.Errorf("forbid core dumps: %w", err)
	}
	// Under memory pressure the kernel should take the engine, which is restarted, before the
	// collector or a watched program.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("500"), 0)
	if err := dropPrivileges(p.UID, p.GID); err != nil {
		return err
	}
	p.Confined = true
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.Setenv(childEnv, string(text)); err != nil {
		return err
	}
	err = syscall.Exec("/proc/self/fd/"+strconv.Itoa(exe), []string{childName}, os.Environ())
	return fmt.Errorf("execute the own binary as uid %d: %w", p.UID, err)
}

// dropPrivileges leaves the thread without capabilities and, when uid is not -1, as that user.
func dropPrivileges(uid, gid int) error {
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		// EINVAL: the kernel does not know c. EPERM: a parent without CAP_SETPCAP, which has
		// nothing to give away, and no_new_privs below keeps it so.
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("clear ambient capabilities: %w", err)
	}
	keep := uint32(0)
	if uid >= 0 {
		// CAP_DAC_OVERRIDE stays until the exec, so that a binary below a folder of mode 0700, or
		// itself of mode 0700, can be executed. The exec ends it: it is in no set that survives.
		keep = 1 << unix.CAP_DAC_OVERRIDE
		if err := unix.Prctl(unix.PR_SET_KEEPCAPS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("keep capabilities until exec: %w", err)
		}
		// Raw calls: those of the syscall package would change every thread.
		for _, call := range []struct {
			name       string
			trap, a, b uintptr
		}{
			{"setgroups", unix.SYS_SETGROUPS, 0, 0},
			{"setresgid", unix.SYS_SETRESGID, uintptr(gid), uintptr(gid)},
			{"setresuid", unix.SYS_SETRESUID, uintptr(uid), uintptr(uid)},
		} {
			if _, _, errno := unix.RawSyscall(call.trap, call.a, call.b, call.b); errno != 0 {
				return fmt.Errorf("%s to %d:%d: %w", call.name, uid, gid, errno)
			}
		}
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	data := [2]unix.CapUserData{{Effective: keep, Permitted: keep}}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return fmt.Errorf("drop capabilities: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no_new_privs: %w", err)
	}
	return nil
}

// isolate moves the process, which is in mount and network namespaces of its own, to a root
// file system that holds the engine's folder, the library, what the dynamic linker needs, and
// nothing else. SQL can read files (`file()`) and open connections (`url()`): so it finds none.
// It also makes the folder reachable for the engine's user wherever it lies, such as below /root.
func isolate(p plan) error {
	// Nothing mounted from here on shows outside.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("make mounts private: %w", err)
	}
	mounts := []*mount{
		{from: p.Store, to: isolatedStore, flags: unix.MS_NOEXEC | unix.MS_NODEV},
		{from: p.Library, to: isolatedLibrary, flags: unix.MS_RDONLY | unix.MS_NODEV},
		{from: "/dev/null", to: "/dev/null"},
		{from: "/dev/urandom", to: "/dev/urandom", flags: unix.MS_RDONLY},
	}
	links := map[string]string{}
	for _, dir := range []string{"/lib", "/lib64", "/usr/lib", "/usr/lib64"} { // not every system has each
		if target, err := os.Readlink(dir); err == nil {
			links[dir] = target
		} else if _, err := os.Stat(dir); err == nil {
			mounts = append(mounts, &mount{from: dir, to: dir, flags: unix.MS_RDONLY | unix.MS_NODEV})
		}
	}
	// The new root is mounted over the data folder and hides what lies below it, so sources are
	// opened before.
	for _, m := range mounts {
		fd, err := unix.Open(m.from, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", m.from, err)
		}
		m.fd = fd
	}
	root := p.DataDir
	if err := unix.Mount("tmpfs", root, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0755,size=64k"); err != nil {
		return fmt.Errorf("mount a tmpfs: %w", err)
	}
	for _, m := range mounts {
		if err := m.bind(root); err != nil {
			return fmt.Errorf("bind %s: %w", m.from, err)
		}
	}
	for dir, target := range links {
		if err := os.Symlink(target, filepath.Join(root, dir)); err != nil {
			return err
		}
	}
	proc := filepath.Join(root, "proc")
	if err := os.Mkdir(proc, 0o555); err != nil {
		return err
	}
	// hidepid hides other users' processes, whose command lines may hold secrets.
	if err := unix.Mount("proc", proc, "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "hidepid=2"); err != nil {
		return fmt.Errorf("mount proc: %w", err)
	}
	if err := unix.Mount("", root, "", unix.MS_REMOUNT|unix.MS_RDONLY|unix.MS_NOSUID|unix.MS_NODEV, ""); err != nil {
		return fmt.Errorf("make the root read-only: %w", err)
	}
	if err := unix.Chdir(root); err != nil {
		return err
	}
	// The old root is stacked on the new one and taken away from there (pivot_root(2), "." ".").
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivot_root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detach the old root: %w", err)
	}
	return unix.Chdir("/")
}

// mount is a file or folder of the host that the engine may see.
type mount struct {
	from, to string
	flags    uintptr
	fd       int
}

// bind makes the source appear below root, and closes it.
func (m *mount) bind(root string) error {
	to := filepath.Join(root, m.to)
	var st unix.Stat_t
	if err := unix.Fstat(m.fd, &st); err != nil {
		return err
	}
	dir := to
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		dir = filepath.Dir(to)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if dir != to {
		if err := os.WriteFile(to, nil, 0o644); err != nil {
			return err
		}
	}
	if err := unix.Mount("/proc/self/fd/"+strconv.Itoa(m.fd), to, "", unix.MS_BIND, ""); err != nil {
		return err
	}
	// The flags of a bind take effect with a second call only.
	if err := unix.Mount("", to, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID|m.flags, ""); err != nil {
		return err
	}
	return unix.Close(m.fd)
}
