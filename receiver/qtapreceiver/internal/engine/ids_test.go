// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

func TestDeriveIDs(t *testing.T) {
	a := deriveIDs(1, 2, "", 0)
	require.Equal(t, a, deriveIDs(1, 2, "", 0))
	for _, b := range []ids{deriveIDs(2, 1, "", 0), deriveIDs(1, 2, "", 1), deriveIDs(1, 2, "x", 0)} {
		require.NotEqual(t, a.trace, b.trace)
		require.NotEqual(t, a.client, b.client)
		require.NotEqual(t, a.server, b.server)
	}
	require.NotEqual(t, a.client, a.server)
	require.False(t, a.trace.IsEmpty())
	// The names are a wire format between two hosts: they must not change.
	require.Equal(t, "ceb764f41795b0d50f4755ac3cadb5c3", a.trace.String())
}

func TestParseTraceparent(t *testing.T) {
	const good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for v, want := range map[string]bool{
		good:                      true,
		" " + good + "\t":         true,
		"01" + good[2:] + "-more": true,
		good + "-more":            false,
		"ff" + good[2:]:           false,
		strings.ToUpper(good):     false,
		good[:54]:                 false,
		"":                        false,
		"00-00000000000000000000000000000000-00f067aa0ba902b7-01": false,
		"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01": false,
	} {
		_, _, ok := parseTraceparent(v)
		require.Equal(t, want, ok, v)
	}
}

func FuzzTarget(f *testing.F) {
	f.Add("GET", "/a?b#c", "h:80", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	f.Add("CONNECT", "h:443", "", "")
	f.Add("OPTIONS", "*", "[::1]:8080", "")
	f.Add("GET", "http://u:p@h:99999/x", "other", "")
	b := newBench(f)
	c := b.dial(1).open().b.e.byCookie[1001]
	f.Fuzz(func(t *testing.T, method, rawTarget, host, tp string) {
		x := &l7.Exchange{Request: l7.Message{Method: method, Target: rawTarget, Headers: []l7.Header{{Name: "host", Value: host}}}}
		tg := c.app.target(x)
		if strings.Contains(tg.path, "?") || strings.Contains(tg.path+tg.query, "#") {
			t.Fatalf("%+v", tg)
		}
		_ = tg.full()
		_, _, _ = parseTraceparent(tp)
	})
}

func TestTarget(t *testing.T) {
	b := newBench(t)
	c := b.dial(1).open().b.e.byCookie[1001]
	for _, tc := range []struct{ method, target, host, full, address, path, query string }{
		{"GET", "/a/b?x=1&y=2", "h", "http://h/a/b?x=1&y=2", "h", "/a/b", "x=1&y=2"},
		{"GET", "/", "h:81", "http://h:81/", "h", "/", ""},
		{"GET", "/a", "[::1]:81", "http://[::1]:81/a", "::1", "/a", ""},
		{"GET", "/a", "", "http://127.0.0.1:8080/a", "127.0.0.1", "/a", ""},
		{"GET", "http://user:pw@proxied/x?y#z", "h", "http://proxied/x?y", "proxied", "/x", "y"},
		{"GET", "HTTPS://proxied", "h", "https://proxied/", "proxied", "/", ""},
		{"GET", "http://proxied?q", "h", "http://proxied/?q", "proxied", "/", "q"},
		{"CONNECT", "h:443", "h:443", "http://h:443", "h", "", ""},
		{"OPTIONS", "*", "h", "http://h", "h", "", ""},
	} {
		got := c.app.target(&l7.Exchange{Request: l7.Message{Method: tc.method, Target: tc.target, Headers: []l7.Header{{Name: "Host", Value: tc.host}}}})
		require.Equal(t, tc.full, got.full())
		require.Equal(t, tc.address, got.host)
		require.Equal(t, tc.path, got.path)
		require.Equal(t, tc.query, got.query)
	}
}
