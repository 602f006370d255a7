// SPDX-License-Identifier: Apache-2.0

package canary

import (
	"bytes"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/tests/privacy/needle"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestPlan: what the mint says it planted is distinct, and is on the wire, or its place says why not.
func TestPlan(t *testing.T) {
	m := New(1)
	plan := m.Plan(10_000)
	require.GreaterOrEqual(t, len(m.Secrets), 10_000)
	distinct := slices.Clone(m.Secrets)
	slices.Sort(distinct)
	require.Len(t, slices.Compact(distinct), len(m.Secrets))
	set, err := needle.New(m.Secrets)
	require.NoError(t, err)
	found := map[int]bool{}
	for _, c := range plan {
		var wire bytes.Buffer
		for _, s := range c.Steps {
			require.NotEmpty(t, s.Data)
			wire.Write(s.Data)
		}
		for _, f := range set.Search(wire.Bytes()) {
			found[f.Secret] = true
		}
	}
	missing := map[string]int{}
	for i, place := range m.Places {
		if !found[i] {
			missing[place]++
		}
	}
	// Masked, by Huffman's code, packed without a magic number, or in two chunks.
	t.Logf("not plain on the wire: %v", missing)
	for place := range missing {
		require.Regexp(t, `^(HTTP/2|:|gRPC|WebSocket|ALPN$)| body |cap of a body$`, place)
	}
	places := slices.Clone(m.Places)
	slices.Sort(places)
	t.Logf("%d canaries in %d conversations at %d places", len(m.Secrets), len(plan), len(slices.Compact(places)))
}
