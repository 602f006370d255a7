// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/tests/privacy/canary"
	"github.com/qpoint-io/otelcol-qpoint/tests/privacy/needle"
)

// readBucket adds the canaries that are in the objects of the bucket to found: in the files of exchanges, their bodies decoded.
func (c *collector) readBucket(t *testing.T, set *needle.Set, found map[int]bool) {
	t.Helper()
	add := func(data []byte) {
		for _, f := range set.Search(data) {
			found[f.Secret] = true
		}
	}
	var text func(v any)
	text = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for name, value := range v {
				text(name)
				text(value)
			}
		case []any:
			for _, value := range v {
				text(value)
			}
		case string:
			add([]byte(v))
			body, err := base64.StdEncoding.DecodeString(v)
			if err != nil || len(body) < needle.Shortest {
				return
			}
			add(body)
			for _, r := range []io.Reader{brotli.NewReader(bytes.NewReader(body)), flate.NewReader(bytes.NewReader(body))} { // neither has a magic number
				if plain, err := io.ReadAll(r); err == nil {
					add(plain)
				}
			}
		}
	}
	require.NoError(t, filepath.WalkDir(filepath.Join(c.data, "s3"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".zip") {
			return err
		}
		archive, err := zip.OpenReader(path)
		if err != nil {
			return nil // it is being written
		}
		defer archive.Close()
		for _, file := range archive.File {
			r, err := file.Open()
			require.NoError(t, err)
			var document any
			require.NoError(t, json.NewDecoder(r).Decode(&document))
			require.NoError(t, r.Close())
			text(document)
		}
		return nil
	}))
}

// reader searches what may hold no canary. It also looks for the marker, which metadata keeps: where that is not found either, there was
// nothing to search.
type reader struct {
	set  *needle.Set
	mint *canary.Mint

	work   sync.WaitGroup
	slots  chan struct{}
	mu     sync.Mutex
	bytes  map[string]int // by kind of place, as what follows
	places map[string]int
	marked map[string]bool
	found  map[string]map[int]bool
	leaks  map[string]string // by place and kind: one of them
}

func newReader(t *testing.T, mint *canary.Mint) *reader {
	t.Helper()
	set, err := needle.New(append(slices.Clone(mint.Secrets), canary.Marker))
	require.NoError(t, err)
	return &reader{
		set: set, mint: mint, slots: make(chan struct{}, 4),
		bytes: map[string]int{}, places: map[string]int{}, marked: map[string]bool{}, found: map[string]map[int]bool{}, leaks: map[string]string{},
	}
}

// read searches data, which is one of a kind, while the test goes on.
func (r *reader) read(kind, where string, data []byte) {
	r.slots <- struct{}{}
	r.work.Go(func() {
		defer func() { <-r.slots }()
		finds := r.set.Search(data)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.bytes[kind] += len(data)
		r.places[kind]++
		if r.found[kind] == nil {
			r.found[kind] = map[int]bool{}
		}
		for _, f := range finds {
			if f.Secret == len(r.mint.Secrets) {
				r.marked[kind] = true
				continue
			}
			r.found[kind][f.Secret] = true
			r.leaks[fmt.Sprintf("%s, %s, in %s", r.mint.Places[f.Secret], f.Form, kind)] = where + ": " + f.Around
		}
	})
}

// folder searches every file below a folder, and its name.
func (r *reader) folder(t *testing.T, kind, dir string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		r.read(kind, path, append([]byte(path+"\n"), data...))
		return err
	}))
}

// wait waits until all is searched.
func (r *reader) wait() { r.work.Wait() }

// requireMarked fails the test if there was no metadata where some should be.
func (r *reader) requireMarked(t *testing.T, kinds ...string) {
	t.Helper()
	for _, kind := range kinds {
		require.True(t, r.marked[kind], "no metadata was found in %s: what was searched there?", kind)
	}
}
