// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bytes"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPage(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	get := func(path string, edit ...func(*http.Request)) (status int, header http.Header, body string) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+path, nil)
		require.NoError(t, err)
		for _, f := range edit {
			f(r)
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		data, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, res.Header, string(data)
	}
	status, index, html := get("/")
	require.Equal(t, 200, status)
	require.Equal(t, "text/html; charset=utf-8", index.Get("Content-Type"))
	require.Equal(t, "no-store", index.Get("Cache-Control"))
	require.Equal(t, "nosniff", index.Get("X-Content-Type-Options"))
	require.Equal(t, "no-referrer", index.Get("Referrer-Policy"))
	require.Equal(t, "same-origin", index.Get("Cross-Origin-Opener-Policy"))
	require.Equal(t, "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self' http://127.0.0.1:1; frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
		index.Get("Content-Security-Policy"))

	assets := regexp.MustCompile(`(?:src|href)="\./(assets/[^"]+)"`).FindAllStringSubmatch(html, -1)
	require.GreaterOrEqual(t, len(assets), 2, "a script and a style sheet: is dist built?")
	for _, a := range assets {
		status, header, body := get("/" + a[1])
		require.Equal(t, 200, status)
		require.Equal(t, "public, max-age=31536000, immutable", header.Get("Cache-Control"))
		require.NotEmpty(t, body)
		status, _, _ = get("/"+a[1], func(r *http.Request) { r.Header.Set("If-None-Match", header.Get("ETag")) })
		require.Equal(t, 304, status)
	}
	for _, none := range []string{"/nothing", "/index.htm", "/../config.go", "/assets/"} {
		status, _, _ := get(none)
		require.Equal(t, 404, status, none)
	}
	res, err := http.Post(s.url+"/", "text/plain", nil)
	require.NoError(t, err)
	res.Body.Close()
	require.Equal(t, 405, res.StatusCode)
}

// TestPageSize keeps the page light: the scripts of the first screen, compressed, and everything as it is committed. That nothing
// else is loaded for the first screen is for TestBrowser to see.
func TestPageSize(t *testing.T) {
	p, err := newPage("")
	require.NoError(t, err)
	first, all := 0, 0
	for path, f := range p.files {
		all += len(f.plain)
		if name := strings.TrimPrefix(path, "/assets/"); strings.HasSuffix(name, ".js") && bytes.Contains(p.files["/index.html"].plain, []byte(name)) {
			first += len(f.gzip)
		}
	}
	t.Logf("first %d bytes, all %d bytes", first, all)
	require.Less(t, first, 70_000)
	require.Less(t, all, 900_000)
}
