// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
)

func TestCgroupIDs(t *testing.T) {
	id := strings.Repeat("0123456789abcdef", 4)
	id2 := strings.Repeat("fedcba9876543210", 4)
	const uid = "2b5e0b1c-93a4-4b0e-8d5d-0a1b2c3d4e5f"
	under := strings.ReplaceAll(uid, "-", "_")
	for _, c := range []struct{ name, path, container, pod string }{
		{"root", "/", "", ""},
		{"systemd unit", "/system.slice/nginx.service", "", ""},
		{"user session", "/user.slice/user-1000.slice/session-3.scope", "", ""},
		{"docker cgroupfs", "/docker/" + id, id, ""},
		{"docker systemd", "/system.slice/docker-" + id + ".scope", id, ""},
		{"docker in docker", "/docker/" + id + "/docker/" + id2, id2, ""},
		{"docker init below", "/system.slice/docker-" + id + ".scope/init", id, ""},
		{"podman rootful", "/machine.slice/libpod-" + id + ".scope/container", id, ""},
		{"podman rootless", "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + id + ".scope", id, ""},
		{"podman monitor", "/machine.slice/libpod-conmon-" + id + ".scope", "", ""},
		{"cri-o systemd", "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + under + ".slice/crio-" + id + ".scope", id, uid},
		{"cri-o monitor", "/kubepods.slice/kubepods-pod" + under + ".slice/crio-conmon-" + id + ".scope", "", uid},
		{"containerd systemd", "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + under + ".slice/cri-containerd-" + id + ".scope", id, uid},
		{"containerd guaranteed", "/kubepods.slice/kubepods-pod" + under + ".slice/cri-containerd-" + id + ".scope", id, uid},
		{"containerd cgroupfs", "/kubepods/burstable/pod" + uid + "/" + id, id, uid},
		{"containerd without scope", "/system.slice/containerd.service/kubepods-burstable-pod" + under + ".slice:cri-containerd:" + id, id, uid},
		{"kind", "/docker/" + id + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + under + ".slice/cri-containerd-" + id2 + ".scope", id2, uid},
		{"static pod", "/kubepods/burstable/pod0123456789abcdef0123456789abcdef/" + id, id, "0123456789abcdef0123456789abcdef"},
		{"too short", "/docker/0123456789ab", "", ""},
		{"not hex", "/docker/" + strings.Repeat("g", 64), "", ""},
		{"a pod by name only", "/kubepods/podcast", "", ""},
		{"namespaced", "/../../docker/" + id, id, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			container, pod := cgroupIDs(c.path)
			require.Equal(t, c.container, container)
			require.Equal(t, c.pod, pod)
		})
	}
}

func TestResolveSelf(t *testing.T) {
	r := NewResolver("/", ReadHost("/"))
	p := r.Resolve(uint32(os.Getpid()), 0, "", 0)
	exe, err := os.Executable()
	require.NoError(t, err)
	require.Equal(t, exe, p.ExecutablePath)
	require.Equal(t, filepath.Base(exe), p.ExecutableName)
	require.NotEmpty(t, p.Owner)
	require.Same(t, p, r.Resolve(uint32(os.Getpid()), 0, "", 0), "cached", 0)
	require.NotEmpty(t, r.Host().ID)
	m := pcommon.NewMap()
	p.Fill(m)
	name, ok := m.Get("process.executable.path")
	require.True(t, ok)
	require.Equal(t, exe, name.Str())
}

// fakeProc writes the files of one process below a root of its own.
func fakeProc(t *testing.T, root, pid, exe, environ string) {
	t.Helper()
	dir := filepath.Join(root, "proc", pid)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "exe")))
	require.NoError(t, os.Symlink(exe, filepath.Join(dir, "exe")))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "environ"), []byte(environ), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "status"), []byte("Name:\tx\nUid:\t0\t0\t0\t0\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup"), []byte("12:memory:/docker/"+strings.Repeat("a", 64)+"\n0::/\n"), 0o600))
}

func TestServiceNameExecAndGrace(t *testing.T) {
	root := t.TempDir()
	fakeProc(t, root, "7", "/opt/app (deleted)", "SECRET=x\x00OTEL_SERVICE_NAME=checkout\x00A=b\x00")
	r := NewResolver(root, Host{ID: "h"})
	p := r.Resolve(7, 0, "", 0)
	require.Equal(t, "checkout", p.ServiceName)
	require.Equal(t, "/opt/app", p.ExecutablePath)
	require.Equal(t, "root", p.Owner)
	require.Equal(t, strings.Repeat("a", 64), p.ContainerID)

	fakeProc(t, root, "7", "/usr/bin/curl", "PATH=/bin\x00")
	r.Exec(7, 0, "")
	q := r.Resolve(7, 0, "", 0)
	require.Equal(t, "curl", q.ServiceName)

	require.NoError(t, os.RemoveAll(filepath.Join(root, "proc", "7")))
	r.Exit(7, 0)
	r.Tick(int64(grace) - 1)
	require.Same(t, q, r.Resolve(7, 0, "", 0), "kept for late events")
	r.Tick(int64(grace))
	require.Zero(t, r.Len())
	require.Equal(t, "curl", r.Resolve(7, 0, "curl", 0).ExecutableName, "the event's name stands in")
	require.Same(t, r.Unknown(), r.Resolve(8, 0, "", 0))
	require.Same(t, r.Unknown(), r.Resolve(0, 0, "x", 0))
}

func TestNumberOfAnExitedProcessUsedAgain(t *testing.T) {
	root := t.TempDir()
	fakeProc(t, root, "7", "/usr/bin/curl", "")
	r := NewResolver(root, Host{ID: "h"})
	old := r.Resolve(7, 0, "curl", 10)
	r.Exit(7, 20)
	require.Same(t, old, r.Resolve(7, 0, "curl", 15), "an event from before")
	// A worker that was forked and never executes anything has the number now.
	fakeProc(t, root, "7", "/usr/sbin/nginx", "")
	worker := r.Resolve(7, 0, "nginx", 30)
	require.Equal(t, "nginx", worker.ExecutableName)
	r.Tick(20 + int64(grace))
	require.Same(t, worker, r.Resolve(7, 0, "nginx", 40), "the grace that ends is the other's")
}

func TestExecutableOfAnExecThatIsOver(t *testing.T) {
	root := t.TempDir()
	r := NewResolver(root, Host{ID: "h"})
	r.Exec(7, 0, "/usr/bin/curl")
	p := r.Resolve(7, 0, "curl", 0)
	require.Equal(t, "/usr/bin/curl", p.ExecutablePath)
	require.Equal(t, "curl", p.ServiceName)
	require.Equal(t, "root", p.Owner)

	// The number is another program's by the time it is looked up: nothing of that is this one's.
	fakeProc(t, root, "8", "/opt/other", "OTEL_SERVICE_NAME=other\x00")
	r.Exec(8, 0, "/usr/bin/curl")
	p = r.Resolve(8, 0, "curl", 0)
	require.Equal(t, "/usr/bin/curl", p.ExecutablePath)
	require.Equal(t, "curl", p.ServiceName)
	require.Empty(t, p.ContainerID)
	require.True(t, p.PodUnknown(), "it may have been in one")
	r.Exec(8, 0, "/opt/other")
	require.Equal(t, "other", r.Resolve(8, 0, "curl", 0).ServiceName)
}

// TestPodNames finds the names of a pod in the folder that the kubelet makes for its logs, whenever it is made.
func TestPodNames(t *testing.T) {
	root := t.TempDir()
	const uid = "2b5e0b1c-93a4-4b0e-8d5d-0a1b2c3d4e5f"
	cgroup := "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + strings.ReplaceAll(uid, "-", "_") + ".slice/cri-containerd-" + strings.Repeat("b", 64) + ".scope\n"
	for _, pid := range []string{"7", "8"} {
		fakeProc(t, root, pid, "/opt/app", "")
		require.NoError(t, os.WriteFile(filepath.Join(root, "proc", pid, "cgroup"), []byte(cgroup), 0o600))
	}
	fakeProc(t, root, "9", "/opt/app", "")
	r := NewResolver(root, Host{ID: "h"})
	p := r.Resolve(7, 0, "", 0)
	require.Equal(t, uid, p.PodUID)
	require.True(t, p.PodUnknown())
	require.False(t, r.Resolve(9, 0, "", 0).PodUnknown(), "a process in no pod has no pod's names")

	logs := filepath.Join(root, "var/log/pods")
	for _, name := range []string{"prod_shop-6f9c-x2x1_" + uid, "kube-system_kube-proxy_0a", "odd", "_x_" + uid} {
		require.NoError(t, os.MkdirAll(filepath.Join(logs, name), 0o755))
	}
	p = r.Resolve(8, 0, "", 0)
	require.False(t, p.PodUnknown())
	require.Equal(t, "prod/shop-6f9c-x2x1", p.Namespace+"/"+p.PodName)
	m := pcommon.NewMap()
	p.Fill(m)
	name, _ := m.Get("k8s.pod.name")
	namespace, _ := m.Get("k8s.namespace.name")
	require.Equal(t, "prod/shop-6f9c-x2x1", namespace.Str()+"/"+name.Str())
}
