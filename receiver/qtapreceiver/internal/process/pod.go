// SPDX-License-Identifier: Apache-2.0

package process

import (
	"os"
	"path/filepath"
	"strings"
)

// pod is what a host knows of a pod beside its uid. Labels are known to the Kubernetes API only.
type pod struct{ namespace, name string }

// podLogs is where the kubelet makes a folder `<namespace>_<pod>_<uid>` for every pod, before it makes the pod's
// first container.
const podLogs = "var/log/pods"

// pods finds the names of pods by their uid. A pod that is not found is looked for again with its next process.
type pods struct {
	root  string
	byUID map[string]pod
}

func (p *pods) find(uid string) (pod, bool) {
	if x, ok := p.byUID[uid]; ok {
		return x, true
	}
	entries, err := os.ReadDir(filepath.Join(p.root, podLogs))
	if err != nil {
		return pod{}, false
	}
	// What is gone is forgotten with it.
	clear(p.byUID)
	for _, e := range entries {
		// Neither namespaces nor names of pods have an underscore in them.
		if f := strings.Split(e.Name(), "_"); len(f) == 3 && f[0] != "" && f[1] != "" {
			p.byUID[f[2]] = pod{f[0], f[1]}
		}
	}
	x, ok := p.byUID[uid]
	return x, ok
}
