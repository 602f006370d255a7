// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPage(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	get := func(path string, edit ...func(*http.Request)) (*http.Response, string) {
		r, err := http.NewRequestWithContext(t.Context(), "GET", s.url+path, nil)
		require.NoError(t, err)
		for _, f := range edit {
			f(r)
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res, string(body)
	}
	index, html := get("/")
	require.Equal(t, 200, index.StatusCode)
	require.Equal(t, "text/html; charset=utf-8", index.Header.Get("Content-Type"))
	require.Equal(t, "no-store", index.Header.Get("Cache-Control"))
	require.Equal(t, "nosniff", index.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-referrer", index.Header.Get("Referrer-Policy"))
	require.Equal(t, "same-origin", index.Header.Get("Cross-Origin-Opener-Policy"))
	require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' http://127.0.0.1:1; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
		index.Header.Get("Content-Security-Policy"))

	assets := regexp.MustCompile(`(?:src|href)="\./(assets/[^"]+)"`).FindAllStringSubmatch(html, -1)
	require.Len(t, assets, 2, "one script and one style sheet: is dist built?")
	for _, a := range assets {
		res, body := get("/" + a[1])
		require.Equal(t, 200, res.StatusCode)
		require.Equal(t, "public, max-age=31536000, immutable", res.Header.Get("Cache-Control"))
		require.NotEmpty(t, body)
		again, _ := get("/"+a[1], func(r *http.Request) { r.Header.Set("If-None-Match", res.Header.Get("ETag")) })
		require.Equal(t, 304, again.StatusCode)
	}
	for _, none := range []string{"/nothing", "/index.htm", "/../config.go", "/assets/"} {
		res, _ := get(none)
		require.Equal(t, 404, res.StatusCode, none)
	}
	res, err := http.Post(s.url+"/", "text/plain", nil)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, 405, res.StatusCode)
}

// TestPageSize keeps the page light: everything that loads first, compressed.
func TestPageSize(t *testing.T) {
	p, err := newPage("")
	require.NoError(t, err)
	total := 0
	for _, f := range p.files {
		total += len(f.gzip)
	}
	require.Less(t, total, 70_000)
}
