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
	key := New("default", "host-1", at)
	require.NoError(t, Validate(key))
	require.True(t, strings.HasPrefix(key, "default/2026/11/23/22/host-1/"), key) // UTC
	require.NotEqual(t, key, New("default", "host-1", at))
	require.Less(t, New("default", "h", at), New("default", "h", at.Add(time.Millisecond)), "keys sort by time")
}

func TestHostsThatAreNotKeys(t *testing.T) {
	for host, want := range map[string]string{
		"": "unknown", "a/b": "a-b", "ü": "--", "a b\n": "a-b-", strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		key := New("default", host, time.Now())
		require.NoError(t, Validate(key))
		require.Equal(t, want, strings.Split(key, "/")[5])
	}
}

func TestPart(t *testing.T) {
	key := New("default", "h", time.Now())
	part := Part(key, "0123456789abcdef")
	require.NoError(t, Validate(part))
	require.Equal(t, strings.TrimSuffix(key, ".zip")+".0123456789abcdef.zip", part)
}

func TestValidate(t *testing.T) {
	good := "short-1/2026/11/24/06/host-1/01K8TQ2M4XABCDEFGHJKMNPQRS.zip"
	require.NoError(t, Validate(good))
	for _, bad := range []string{
		"", "x", "/" + good, good + "/", good + "\n", "../" + good, strings.ToLower(good), strings.Replace(good, "host-1", "", 1),
		strings.Replace(good, "host-1", "a/b", 1), strings.Replace(good, ".zip", ".har", 1), strings.Replace(good, ".zip", ".A.zip", 1),
		strings.Replace(good, "2026", "26", 1), strings.TrimPrefix(good, "short-1/"), "1" + good, strings.Replace(good, "short-1", "a_b", 1), "demo/" + good, strings.Replace(good, "/06/", "/6/", 1),
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
		if key := New("default", host, time.UnixMilli(ms)); Validate(key) != nil {
			t.Errorf("%q", key)
		}
	})
}

func TestOpened(t *testing.T) {
	t.Parallel()
	opened := time.Date(2026, 11, 24, 6, 1, 2, 123456789, time.UTC)
	key := New("default", "host", opened)
	require.True(t, Opened(key).Equal(opened.Truncate(time.Millisecond)))
	require.True(t, Opened(Part(key, "0a")).Equal(opened.Truncate(time.Millisecond)))
	require.Zero(t, Opened("x"))
	require.Zero(t, Opened("default/2026/11/24/06/h/ZZZZZZZZZZZZZZZZZZZZZZZZZZ.zip"), "an overflowing ULID")
}

func TestClasses(t *testing.T) {
	t.Parallel()
	key := New("short", "host-1", time.Now())
	require.Equal(t, "short", Class(key))
	require.Equal(t, "long", Class(WithClass(key, "long")))
	require.Equal(t, key, WithClass(WithClass(key, "long"), "short"))
	require.Empty(t, Class("x"))
	require.Equal(t, key, Segment(key))
	require.Equal(t, key, Segment(Part(key, "0a")))
	require.Equal(t, "team/prod/"+key, InBucket("team/", "prod", key))
	require.True(t, strings.HasPrefix(key, Stem(key)) && strings.HasPrefix(Part(key, "0a"), Stem(key)))
	require.False(t, strings.HasPrefix(New("short", "host-1", time.Now()), Stem(key)))
	for name, good := range map[string]bool{"short": true, "a": true, "gdpr-2y": true, "": false, "2y": false, "a/b": false, "A": false, strings.Repeat("a", 33): false} {
		require.Equal(t, good, ValidClass(name), name)
	}
}
