// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"golang.org/x/time/rate"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestFromContext(t *testing.T) {
	t.Parallel()
	require.Nil(t, FromContext(t.Context()))
	s := &Sender{Environment: "eu", Token: "2026-11"}
	ctx := client.NewContext(context.Background(), client.Info{Auth: s})
	require.Same(t, s, FromContext(ctx))
	require.Equal(t, "eu", s.GetAttribute(semantic.Environment))
	require.Equal(t, "2026-11", s.GetAttribute(TokenName))
	require.Nil(t, s.GetAttribute("other"))
	for _, name := range s.GetAttributeNames() {
		require.NotNil(t, s.GetAttribute(name))
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	require.Zero(t, (&Sender{}).Admit(now, 1<<30), "without a quota everything passes")

	s := &Sender{Quota: rate.NewLimiter(100, 1000)}
	require.Zero(t, s.Admit(now, 1000))
	require.Equal(t, 2*time.Second, s.Admit(now, 200), "100 per second: 200 are there in 2 s")
	require.Equal(t, 2*time.Second, s.Admit(now, 200), "a refused batch has taken nothing")
	require.Zero(t, s.Admit(now.Add(2*time.Second), 200))
	require.Zero(t, s.Admit(now.Add(time.Hour), 5000), "a batch above the burst passes when the burst is there")
	require.Equal(t, 50*time.Second, s.Admit(now.Add(time.Hour), 5500), "and is charged whole: 4000 are owed, and 1000 must be there")
	require.Equal(t, 41*time.Second, s.Admit(now.Add(time.Hour), 100))
	require.Zero(t, s.Admit(now.Add(time.Hour+41*time.Second), 100))
}
