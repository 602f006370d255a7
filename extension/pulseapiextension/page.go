// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
)

// dist is the page as built from web/. It is committed, so that building the collector needs no
// npm. The all: prefix keeps files whose names begin with _.
//
//go:embed all:dist
var dist embed.FS

// page serves the built files from memory.
type page struct {
	csp   string
	files map[string]pageFile // by URL path
}

type pageFile struct {
	contentType string
	etag        string
	immutable   bool
	plain, gzip []byte
}

// Only these are built; an explicit list does not depend on the machine's MIME tables.
var contentTypes = map[string]string{
	"html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml",
}

// newPage reads the files once. bucketOrigin is what scripts may connect to beside their own origin.
func newPage(bucketOrigin string) (*page, error) {
	p := &page{csp: contentSecurityPolicy(bucketOrigin), files: map[string]pageFile{}}
	err := fs.WalkDir(dist, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		f := pageFile{contentType: contentTypes[name[strings.LastIndexByte(name, '.')+1:]]}
		if f.contentType == "" {
			return fmt.Errorf("%s: no content type is known for this file", name)
		}
		if f.plain, err = dist.ReadFile(name); err != nil {
			return err
		}
		sum := sha256.Sum256(f.plain)
		f.etag = `"` + hex.EncodeToString(sum[:16]) + `"`
		var b bytes.Buffer
		z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression)
		_, _ = z.Write(f.plain)
		_ = z.Close()
		f.gzip = b.Bytes()
		path := strings.TrimPrefix(name, "dist")
		f.immutable = strings.HasPrefix(path, "/assets/") // names there carry a hash of the content
		p.files[path] = f
		return nil
	})
	return p, err
}

func contentSecurityPolicy(bucketOrigin string) string {
	connect := "connect-src 'self'"
	if bucketOrigin != "" {
		connect += " " + bucketOrigin
	}
	return strings.Join([]string{
		"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' blob:", connect,
		"frame-ancestors 'none'", "base-uri 'none'", "form-action 'self'",
	}, "; ")
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, http.StatusText(http.StatusMethodNotAllowed), http.StatusMethodNotAllowed)
		return
	}
	path := r.URL.Path
	if path == "/" {
		path = "/index.html"
	}
	f, ok := p.files[path]
	if !ok {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.contentType)
	if f.immutable {
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
		h.Set("ETag", f.etag)
		if r.Header.Get("If-None-Match") == f.etag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Vary", "Accept-Encoding")
	body := f.plain
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		h.Set("Content-Encoding", "gzip")
		body = f.gzip
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // fails only when the browser has gone
}
