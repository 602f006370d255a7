// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestClusterOf(t *testing.T) {
	t.Parallel()
	for engine, want := range map[string]string{
		"ReplacingMergeTree PARTITION BY toDate(time)":                      "",
		"Distributed('main', 'qpoint', 'requests_local', sipHash64(trace))": "main",
		`Distributed('a\'b', 'qpoint', 'requests_local')`:                   "a'b",
	} {
		require.Equal(t, want, clusterOf(engine))
	}
}

// TestErasable: a new table is either reached by orders, or it is said here why not.
func TestErasable(t *testing.T) {
	t.Parallel()
	stays := map[string]string{
		tableAudit: "who did what is kept, erasures too", tableCoverage: "counts of a host, of no exchange", tablePayloadObjects: "says that objects are gone",
		tableEndpoints: "when an endpoint was first seen, of no exchange",
	}
	for _, table := range Tables() {
		require.NotEqual(t, stays[table] == "", !slices.Contains(erasable, table), table)
	}
}
