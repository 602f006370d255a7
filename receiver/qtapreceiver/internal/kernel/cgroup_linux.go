// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// cgroup is the part of the cgroup v2 hierarchy that is captured.
type cgroup struct {
	mount string // of the hierarchy
	path  string
	// id is 0 when path is the mount: then nothing needs to be compared.
	id uint64
}

var errNoCgroup2 = errors.New("no cgroup v2 hierarchy is mounted; boot with systemd.unified_cgroup_hierarchy=1 or mount one: mount -t cgroup2 none /sys/fs/cgroup/unified")

// resolveCgroup finds the hierarchy, unified or next to v1, and checks path against it.
func resolveCgroup(path string) (cgroup, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return cgroup{}, err
	}
	defer f.Close()
	mounts, err := cgroup2Mounts(f)
	if err != nil {
		return cgroup{}, err
	}
	if len(mounts) == 0 {
		return cgroup{}, errNoCgroup2
	}
	if path == "" {
		return cgroup{mount: mounts[0], path: mounts[0]}, nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return cgroup{}, fmt.Errorf("`cgroup` %s: %w", path, err)
	}
	if fs.Type != unix.CGROUP2_SUPER_MAGIC {
		return cgroup{}, fmt.Errorf("`cgroup` %s is not in a cgroup v2 hierarchy; one is mounted at %s", path, mounts[0])
	}
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return cgroup{}, fmt.Errorf("`cgroup`: %w", err)
	}
	for _, mount := range mounts {
		rel, err := filepath.Rel(mount, path)
		if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
			continue
		}
		cg := cgroup{mount: mount, path: path}
		if rel != "." {
			var st unix.Stat_t
			if err := unix.Stat(path, &st); err != nil {
				return cgroup{}, fmt.Errorf("`cgroup` %s: %w", path, err)
			}
			cg.id = st.Ino // of a kernfs directory, on 64 bit
		}
		return cg, nil
	}
	return cgroup{}, fmt.Errorf("`cgroup` %s is below none of the cgroup v2 mounts %s", path, strings.Join(mounts, ", "))
}

// cgroup2Mounts returns the mount points of type cgroup2 in a mountinfo file (proc_pid_mountinfo(5)).
func cgroup2Mounts(r io.Reader) ([]string, error) {
	var mounts []string
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		before, after, ok := strings.Cut(s.Text(), " - ")
		fields := strings.Fields(before)
		if ok && strings.HasPrefix(after, "cgroup2 ") && len(fields) >= 5 {
			mounts = append(mounts, unescape(fields[4]))
		}
	}
	return mounts, s.Err()
}

// unescape undoes the octal escapes of mountinfo.
func unescape(s string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(s)
}
