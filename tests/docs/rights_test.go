// SPDX-License-Identifier: Apache-2.0

package docs

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestRightsTable: the table of capabilities that is measured is the one that is published, and the services have the set that it has for TLS.
func TestRightsTable(t *testing.T) {
	table, err := os.ReadFile("../../receiver/qtapreceiver/testdata/rights.md")
	require.NoError(t, err)
	page, err := os.ReadFile("../../docs/security.md")
	require.NoError(t, err)
	require.Contains(t, string(page), "\n\n"+string(table)+"\n")
	require.Contains(t, string(table), "\n| TLS by the secrets in libraries | yes | yes | yes | yes | yes | | before Linux 6.6 |\n")
	for _, unit := range []string{"otelcol-qpoint", "otelcol-qpoint-agent"} {
		text, err := os.ReadFile("../../distributions/otelcol-qpoint/package/" + unit + ".service")
		require.NoError(t, err)
		require.Contains(t, string(text), "\nAmbientCapabilities=CAP_BPF CAP_PERFMON CAP_NET_ADMIN CAP_SYS_PTRACE CAP_DAC_READ_SEARCH\n")
	}
}
