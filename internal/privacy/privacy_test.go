// SPDX-License-Identifier: Apache-2.0

package privacy

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPolicies(t *testing.T) {
	t.Parallel()
	require.False(t, PolicyRegistered(""))
	defer RegisterPolicy("")()
	require.False(t, PolicyRegistered(""), "data without a stamp is never accepted")

	require.False(t, PolicyRegistered("0123456789abcdef"))
	first := RegisterPolicy("0123456789abcdef")
	second := RegisterPolicy("0123456789abcdef")
	first()
	first()
	require.True(t, PolicyRegistered("0123456789abcdef"), "one owner cannot take back another's")
	second()
	require.False(t, PolicyRegistered("0123456789abcdef"))
}

func TestPoliciesConcurrently(t *testing.T) {
	t.Parallel()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 1000 {
				take := RegisterPolicy("concurrent")
				if !PolicyRegistered("concurrent") {
					t.Error("a registered policy is unknown")
				}
				take()
			}
		})
	}
	wg.Wait()
	require.False(t, PolicyRegistered("concurrent"))
}

func TestDescribedPolicies(t *testing.T) {
	t.Parallel()
	p := Policy{Hash: "fedcba9876543210", Version: "1", Modes: map[string]string{"card": "mask"}}
	first, second := Register(p), Register(p)
	bare := RegisterPolicy("a hash alone")
	require.Contains(t, Policies(), p)
	first()
	require.Contains(t, Policies(), p)
	for _, other := range Policies() {
		require.NotEqual(t, "a hash alone", other.Hash)
	}
	second()
	bare()
	require.NotContains(t, Policies(), p)
}
