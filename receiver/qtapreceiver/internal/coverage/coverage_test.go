// SPDX-License-Identifier: Apache-2.0

package coverage

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestAdvicePasses: an advice that `anonymize` would remove is none.
func TestAdvicePasses(t *testing.T) {
	for reason, text := range advice {
		require.Equal(t, Plain(text), text, reason)
		require.NotEmpty(t, text)
	}
	for _, reason := range []string{
		tls.ReasonAttachedLate, tls.ReasonNoSecret, tls.ReasonUnreadableSecret, tls.ReasonUnsupportedCipher, tls.ReasonUnsupportedVersion, tls.ReasonGapInHandshake,
		tls.ReasonHandshake, tls.ReasonDecrypt, tls.ReasonRenegotiation, tls.ReasonResync, tls.ReasonBuffer,
		"no_secret_boringssl", "no_secret_java", "no_secret_nss", "no_secret_openssl", "no_secret_rustls",
	} {
		require.NotEmpty(t, Advice(reason), "no advice for %q", reason)
	}
	require.Equal(t, "a b,c", Plain("a\nb;c"))
	require.Len(t, Plain(strings.Repeat("é", 1000)), maxAdvice)
}

func TestTracker(t *testing.T) {
	tr := NewTracker()
	curl := &process.Info{TGID: 1, ExecutablePath: "/usr/bin/curl", ExecutableName: "curl"}
	again := &process.Info{TGID: 2, ExecutablePath: "/usr/bin/curl", ExecutableName: "curl"}
	first := tr.Note(curl, "", nil)
	require.Same(t, first, tr.Note(curl, "", first), "counted once")
	second := tr.Note(again, "", nil)
	require.Same(t, first, second, "one row for an executable")
	require.True(t, tr.Changed())
	rows := tr.Report(false)
	require.Len(t, rows, 1)
	require.Equal(t, Row{Subject: SubjectProcess, Name: "curl", State: StateSeen, Count: 2, Process: again}, rows[0])
	require.False(t, tr.Changed())
	require.Empty(t, tr.Report(false))

	// One of them turns out not to be readable.
	require.NotSame(t, first, tr.Note(again, "no_secret", second))
	rows = tr.Report(true)
	require.Len(t, rows, 2)
	require.Equal(t, StateNotSeen, rows[0].State)
	require.Equal(t, Advice("no_secret"), rows[0].Advice)
	require.EqualValues(t, 1, rows[0].Count)
	require.EqualValues(t, 1, rows[1].Count)
}

func TestTrackerIsBounded(t *testing.T) {
	tr := NewTracker()
	for i := range 2 * maxEntries {
		tr.Note(&process.Info{ExecutablePath: fmt.Sprint("/tmp/", i)}, "", nil)
	}
	rows := tr.Report(true)
	require.Len(t, rows, maxEntries+1)
	last := rows[maxEntries]
	require.Equal(t, reasonFull, last.Reason)
	require.EqualValues(t, maxEntries, last.Count)
}
