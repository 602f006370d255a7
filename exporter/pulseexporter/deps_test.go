// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestForbiddenImports keeps payloads and the ways to them out of what writes metadata.
func TestForbiddenImports(t *testing.T) {
	const module = "github.com/qpoint-io/otelcol-qpoint"
	forbidden := []string{
		module + "/internal/archive", module + "/internal/objectstore", module + "/receiver/", module + "/extension/", module + "/exporter/qpoints3exporter",
		"github.com/aws/", "github.com/minio/", "github.com/versity/", "github.com/ebitengine/purego", "github.com/cilium/ebpf",
	}
	out, err := exec.Command("go", "list", "-deps", module+"/exporter/pulseexporter", module+"/internal/pulsestore").CombinedOutput()
	require.NoError(t, err, "%s", out)
	deps := strings.Fields(string(out))
	require.Contains(t, deps, module+"/internal/pulsestore")
	for _, dep := range deps {
		for _, prefix := range forbidden {
			require.False(t, dep == strings.TrimSuffix(prefix, "/") || strings.HasPrefix(dep, prefix), "links %s", dep)
		}
	}
}
