// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
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
