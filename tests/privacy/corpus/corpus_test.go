// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// TestDetectors is the short form of `make bench-privacy`: what is measured there must not get worse unseen.
func TestDetectors(t *testing.T) {
	t.Parallel()
	r := Measure(Make(1, 15_000))
	for kind, want := range map[string]struct{ recall, announced, precision float64 }{
		"card": {0.99, 0.99, 0.95}, "iban": {0.99, 0.99, 0.97}, "email": {0.98, 0.98, 0.97}, "phone": {0.75, 0.99, 0.99}, "national_id": {0.85, 0.99, 0.95}, "jwt": {0.99, 0.99, 0.99},
		"private_key": {0.99, 0.99, 0.99}, "api_key": {0.99, 0.99, 0.99}, "secret": {0.7, 0.95, 0.94},
	} {
		c := r.Kinds[kind]
		require.NotNil(t, c, kind)
		t.Logf("%-12s recall %.4f (announced %.4f), precision %.4f", kind, c.Recall(), c.RecallAnnounced(), c.Precision())
		require.GreaterOrEqual(t, c.Recall(), want.recall, kind)
		require.GreaterOrEqual(t, c.RecallAnnounced(), want.announced, kind)
		require.GreaterOrEqual(t, c.Precision(), want.precision, kind)
	}
	for _, k := range detect.Sensitive {
		if k != detect.IP {
			require.Contains(t, r.Kinds, k.String())
		}
	}
}

func TestSameSeedSameCorpus(t *testing.T) {
	t.Parallel()
	require.Equal(t, Make(7, 500), Make(7, 500))
	require.NotEqual(t, Make(7, 500), Make(8, 500))
}
