// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"path/filepath"
	"strings"
)

// Host names the machine in every resource.
type Host struct {
	// ID is /etc/machine-id; the kernel's boot id where a machine has none.
	ID string
	// BootID is the kernel's boot id: socket cookies are unique within one boot.
	BootID string
	Name   string
}

// ReadHost reads the host's identity below root ("/" in production).
func ReadHost(root string) Host {
	h := Host{
		ID:     readLine(filepath.Join(root, "etc/machine-id")),
		BootID: readLine(filepath.Join(root, "proc/sys/kernel/random/boot_id")),
	}
	if h.ID == "" || h.ID == "uninitialized" {
		h.ID = h.BootID
	}
	// In a pod the name of the kernel is the pod's; who deploys it there says the node's.
	if h.Name = os.Getenv("K8S_NODE_NAME"); h.Name == "" {
		h.Name, _ = os.Hostname()
	}
	return h
}

func readLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimSpace(line)
}
