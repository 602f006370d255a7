// SPDX-License-Identifier: Apache-2.0

package objectkey

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestNew(t *testing.T) {
	at := time.Date(2026, 11, 24, 1, 30, 0, 0, time.FixedZone("", 3*3600))
	key := New("host-1", at)
	require.NoError(t, Validate(key))
	require.True(t, strings.HasPrefix(key, "2026/11/23/22/host-1/"), key) // UTC
	require.NotEqual(t, key, New("host-1", at))
	require.Less(t, New("h", at), New("h", at.Add(time.Millisecond)), "keys sort by time")
}

func TestHostsThatAreNotKeys(t *testing.T) {
	for host, want := range map[string]string{
		"": "unknown", "a/b": "a-b", "ü": "--", "a b\n": "a-b-", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		key := New(host, time.Now())
		require.NoError(t, Validate(key))
		require.Equal(t, want, strings.Split(key, "/")[4])
	}
}

func TestPart(t *testing.T) {
	key := New("h", time.Now())
	part := Part(key, "0123456789abcdef")
	require.NoError(t, Validate(part))
	require.Equal(t, strings.TrimSuffix(key, ".zip")+".0123456789abcdef.zip", part)
}

func TestValidate(t *testing.T) {
	good := "2026/11/24/06/host-1/01K8TQ2M4XABCDEFGHJKMNPQRS.zip"
	require.NoError(t, Validate(good))
	for _, bad := range []string{
		"", "x", "/" + good, good + "/", good + "\n", "../" + good, strings.ToLower(good), strings.Replace(good, "host-1", "", 1),
		strings.Replace(good, "host-1", "a/b", 1), strings.Replace(good, ".zip", ".har", 1), strings.Replace(good, ".zip", ".A.zip", 1),
		strings.Replace(good, "2026", "26", 1), strings.Replace(good, "/06/", "/6/", 1),
	} {
		require.Error(t, Validate(bad), bad)
	}
}

func FuzzNew(f *testing.F) {
	f.Add("host-1", int64(1))
	f.Add("../..", int64(1764000000000))
	f.Fuzz(func(t *testing.T, host string, ms int64) {
		if ms < 0 || ms > 253402300799000 { // year 9999
			return
		}
		if key := New(host, time.UnixMilli(ms)); Validate(key) != nil {
			t.Errorf("%q", key)
		}
	})
}

func TestOpened(t *testing.T) {
	t.Parallel()
	opened := time.Date(2026, 11, 24, 6, 1, 2, 123456789, time.UTC)
	key := New("host", opened)
	require.True(t, Opened(key).Equal(opened.Truncate(time.Millisecond)))
	require.True(t, Opened(Part(key, "0a")).Equal(opened.Truncate(time.Millisecond)))
	require.Zero(t, Opened("x"))
	require.Zero(t, Opened("2026/11/24/06/h/ZZZZZZZZZZZZZZZZZZZZZZZZZZ.zip"), "an overflowing ULID")
}
