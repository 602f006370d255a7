// SPDX-License-Identifier: Apache-2.0

package process

import "strings"

// cgroupIDs finds the container id (64 hex digits, as its runtime prints it) and the pod uid
// (canonical UUID form, or the 32 hex digits of a static pod) in the path of a cgroup.
//
// It knows the shapes that docker, containerd (cri), cri-o, podman and the kubelet's cgroupfs
// and systemd drivers use; what it does not know gives "", never a guess.
func cgroupIDs(path string) (container, pod string) {
	for _, seg := range strings.Split(path, "/") {
		// The systemd driver without a scope joins both: `<pod slice>:<runtime>:<id>`.
		slice, _, joined := strings.Cut(seg, ":")
		if uid := podUID(slice); uid != "" {
			pod = uid
			if !joined {
				continue
			}
		}
		// The last container wins: a container runtime inside a container nests its own.
		if id := containerID(seg); id != "" {
			container = id
		}
	}
	return container, pod
}

// containerID returns the id in one path segment: `<id>`, `<runtime>-<id>.scope`,
// `<slice>:<runtime>:<id>` (systemd driver without a scope).
func containerID(seg string) string {
	seg = strings.TrimSuffix(seg, ".scope")
	if i := strings.LastIndexByte(seg, ':'); i >= 0 {
		seg = seg[i+1:]
	}
	if i := strings.LastIndexByte(seg, '-'); i >= 0 {
		// conmon is the monitor beside the container, not the container.
		if strings.Contains(seg[:i], "conmon") {
			return ""
		}
		seg = seg[i+1:]
	}
	if len(seg) == 64 && isHex(seg) {
		return seg
	}
	return ""
}

// podUID returns the pod uid in one path segment: `pod<uid>` (cgroupfs driver) or
// `kubepods-<qos>-pod<uid with _>.slice` (systemd driver).
func podUID(seg string) string {
	if slice, ok := strings.CutSuffix(seg, ".slice"); ok {
		i := strings.LastIndex(slice, "-pod")
		if i < 0 || !strings.HasPrefix(slice, "kubepods") && !strings.Contains(slice, "-kubepods") {
			return ""
		}
		seg = slice[i+1:]
	}
	uid, ok := strings.CutPrefix(seg, "pod")
	if !ok {
		return ""
	}
	uid = strings.ReplaceAll(uid, "_", "-")
	switch len(uid) {
	case 32:
		if isHex(uid) {
			return uid
		}
	case 36:
		if uid[8] == '-' && uid[13] == '-' && uid[18] == '-' && uid[23] == '-' && isHex(strings.ReplaceAll(uid, "-", "")) {
			return uid
		}
	}
	return ""
}

func isHex(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return s != ""
}
