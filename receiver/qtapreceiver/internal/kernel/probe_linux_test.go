// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func TestProbeReport(t *testing.T) {
	needRoot(t)
	f := Probe(Config{Level: LevelFull, Keys: true})
	require.NoError(t, f.check())
	for _, name := range []string{"CAP_BPF", "kernel BTF", "cgroup v2", "cgroup_skb programs", featureScan} {
		require.Equal(t, Supported, f.Get(name), name)
	}
	for _, x := range f {
		require.True(t, x.State == Supported || x.Reason != "", "%+v", x)
		t.Logf("%-55s %s %s", x.Name, x.State, x.Reason)
	}
}

// asUser opens a capture in a process of an unprivileged user with the given capabilities and
// returns what it prints.
func asUser(t *testing.T, cgroup string, caps ...uintptr) string {
	t.Helper()
	needRoot(t)
	exe, err := os.Open("/proc/self/exe") // the binary's folder may be closed to others
	require.NoError(t, err)
	defer exe.Close()
	cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestOpenAsUser$")
	cmd.ExtraFiles = []*os.File{exe}
	cmd.Dir = "/"
	cmd.Env = []string{"QPOINT_TEST_OPEN=" + cgroup}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, AmbientCaps: caps}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, string(out))
	return string(out)
}

// TestOpenAsUser is what asUser runs.
func TestOpenAsUser(t *testing.T) {
	cgroup := os.Getenv("QPOINT_TEST_OPEN")
	if cgroup == "" {
		return // the tests below start it with a cgroup
	}
	if cgroup == askPerf {
		fmt.Println(perfAllowed())
		os.Exit(0)
	}
	c, err := Open(Config{Level: LevelFull, Keys: true, CgroupPath: cgroup})
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(0)
	}
	fmt.Println("open:", c.Summary().Libraries)
	if err := c.Close(); err != nil {
		fmt.Println("error:", err)
	}
	os.Exit(0)
}

// askPerf in the place of a cgroup asks for perf uprobes only.
const askPerf = "perf"

func TestPerfAllowed(t *testing.T) {
	needRoot(t)
	require.NoError(t, perfAllowed())
	require.Contains(t, asUser(t, askPerf), "grant CAP_SYS_ADMIN")
	require.Equal(t, "<nil>\n", asUser(t, askPerf, unix.CAP_SYS_ADMIN))
}

func TestOpenWithoutRights(t *testing.T) {
	out := asUser(t, "/tmp")
	for _, want := range []string{"CAP_BPF", "CAP_PERFMON", "CAP_NET_ADMIN", "CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH", "`cgroup` /tmp is not in a cgroup v2 hierarchy"} {
		require.Contains(t, out, want)
	}
	require.Equal(t, 1, strings.Count(out, "\n"), "one line: %s", out)
}

// TestOpenWithLeastRights shows that the capabilities that Probe asks for are enough.
func TestOpenWithLeastRights(t *testing.T) {
	caps := []uintptr{unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_NET_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_DAC_READ_SEARCH}
	dir := newCgroup(t)
	out := asUser(t, dir, caps...)
	more := len(caps)
	if strings.Contains(out, "CAP_SYS_RESOURCE") { // before Linux 5.11
		caps = append(caps, unix.CAP_SYS_RESOURCE)
	}
	if strings.Contains(out, "perf uprobes") { // before Linux 6.6
		caps = append(caps, unix.CAP_SYS_ADMIN)
	}
	if len(caps) > more {
		out = asUser(t, dir, caps...)
	}
	require.True(t, strings.HasPrefix(out, "open: ["), out)
	require.Contains(t, out, opensslLibrary(t))
	require.NotContains(t, out, "error")
}

func TestCloseTwice(t *testing.T) {
	c, err := Open(Config{CgroupPath: newCgroup(t), Level: LevelConnections})
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, c.Close())
}

func TestCgroup(t *testing.T) {
	dir := newCgroup(t)
	root, err := resolveCgroup("")
	require.NoError(t, err)
	require.Zero(t, root.id)
	same, err := resolveCgroup(root.mount + "/")
	require.NoError(t, err)
	require.Equal(t, root, same)
	cg, err := resolveCgroup(dir)
	require.NoError(t, err)
	require.NotZero(t, cg.id)
	require.Equal(t, root.mount, cg.mount)
	_, err = resolveCgroup(dir + "/none")
	require.ErrorContains(t, err, "`cgroup`")
}

func TestCgroup2Mounts(t *testing.T) {
	for text, want := range map[string][]string{
		"":    nil,
		"bad": nil,
		"36 35 0:33 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw": {"/sys/fs/cgroup/unified"},
		"36 35 0:33 / /sys/fs/c\\040g rw - cgroup2 cgroup2 rw":                          {"/sys/fs/c g"},
		"36 35 0:33 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu":                     nil,
	} {
		got, err := cgroup2Mounts(strings.NewReader(text))
		require.NoError(t, err)
		require.Equal(t, want, got, text)
	}
}

func FuzzCgroup2Mounts(f *testing.F) {
	f.Add("36 35 0:33 / /sys/fs/c\\040g rw - cgroup2 cgroup2 rw\n")
	f.Fuzz(func(_ *testing.T, s string) { _, _ = cgroup2Mounts(strings.NewReader(s)) })
}

func TestParseMapping(t *testing.T) {
	m, ok := parseMapping("7f0012345000-7f0012346000 r-xp 00001000 fe:00 12345                      /usr/lib/a b (deleted)")
	require.True(t, ok)
	require.Equal(t, mapping{
		addr: "7f0012345000-7f0012346000", path: "/usr/lib/a b",
		file: "fe:00 12345                      /usr/lib/a b (deleted)",
	}, m)
	m, ok = parseMapping("00400000-00401000 r-xp 00000000 fe:00 1 /bin/x")
	require.True(t, ok)
	require.Equal(t, "400000-401000", m.addr)
	for _, line := range []string{
		"", "x", "1-2 r--p 0 fe:00 1 /bin/x", "1-2 r-xp 0 00:00 0 [vdso]", "1-2 r-xp 0 00:00 0",
	} {
		_, ok := parseMapping(line)
		require.False(t, ok, line)
	}
}

func FuzzParseMapping(f *testing.F) {
	f.Add("7f0012345000-7f0012346000 r-xp 00001000 fe:00 12345  /usr/lib/a")
	f.Fuzz(func(_ *testing.T, s string) { parseMapping(s) })
}

// TestMappings finds this test's own executable by way of its mappings.
func TestMappings(t *testing.T) {
	needRoot(t)
	b, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	exe, err := os.Stat("/proc/self/exe")
	require.NoError(t, err)
	found := false
	for line := range strings.Lines(string(b)) {
		if m, ok := parseMapping(strings.TrimSpace(line)); ok {
			st, err := os.Stat("/proc/self/map_files/" + m.addr)
			require.NoError(t, err, line)
			found = found || os.SameFile(st, exe)
		}
	}
	require.True(t, found)
}
