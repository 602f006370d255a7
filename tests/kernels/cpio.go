// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// archive writes an initramfs: a cpio archive of the format that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst). It is not compressed: an emulated
// processor takes longer to inflate it than the host to write it.
type archive struct {
	w    *bufio.Writer
	n    int
	seen map[string]bool
	err  error
}

func newArchive(w io.Writer) *archive {
	a := &archive{w: bufio.NewWriterSize(w, 1<<20), seen: map[string]bool{"/": true}}
	// As distributions have it: the places of programs and libraries are in /usr.
	for _, dir := range merged {
		a.dir("/usr" + dir)
		a.link(dir, "usr"+dir)
	}
	return a
}

var merged = []string{"/bin", "/sbin", "/lib", "/lib64"}

// place is where a file of the host goes.
func place(name string) string {
	for _, dir := range merged {
		if strings.HasPrefix(name, dir+"/") {
			return "/usr" + name
		}
	}
	return name
}

// entry writes one header with its name and data, and the folders above it.
func (a *archive) entry(name string, mode uint32, mtime, size int64, data io.Reader) {
	if a.err != nil || a.seen[name] {
		return
	}
	a.seen[name] = true
	if dir := filepath.Dir(name); name != trailer && !a.seen[dir] {
		a.entry(dir, 0o40755, 0, 0, nil)
	}
	a.n++
	stored := strings.TrimPrefix(name, "/")
	fmt.Fprintf(a.w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.n, mode, 0, 0, 1, mtime, size, 0, 0, 0, 0, len(stored)+1, 0, stored)
	a.pad(110 + int64(len(stored)) + 1)
	if size == 0 {
		return
	}
	copied, err := io.Copy(a.w, data)
	if err == nil && copied != size {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		a.err = fmt.Errorf("write %s to the initramfs: %w", name, err)
	}
	a.pad(size)
}

// pad fills up to a multiple of four.
func (a *archive) pad(n int64) {
	_, _ = a.w.Write(make([]byte, -n&3)) // a bufio.Writer keeps its error for Flush
}

func (a *archive) text(name, content string) {
	a.entry(name, 0o100644, 0, int64(len(content)), strings.NewReader(content))
}

func (a *archive) dir(name string) { a.entry(name, 0o40755, 0, 0, nil) }

func (a *archive) link(name, to string) {
	a.entry(name, 0o120777, 0, int64(len(to)), strings.NewReader(to))
}

// file copies a file of the host, following links.
func (a *archive) file(from, name string) {
	if a.err != nil {
		return
	}
	f, err := os.Open(from)
	if err != nil {
		a.err = err
		return
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		a.err = err
		return
	}
	// Python trusts what it compiled by the time of its source.
	a.entry(place(name), 0o100000|uint32(st.Mode().Perm()), st.ModTime().Unix(), st.Size(), f)
}

var libraryPath = regexp.MustCompile(`(/\S+) \(0x`)

// program copies a program of the host and the libraries that it is linked with.
func (a *archive) program(name string) {
	if a.err != nil {
		return
	}
	path, err := exec.LookPath(name)
	if err != nil {
		a.err = err
		return
	}
	a.file(path, path)
	a.libraries(path)
}

func (a *archive) libraries(path string) {
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return // linked with none
	}
	for _, m := range libraryPath.FindAllSubmatch(out, -1) {
		a.file(string(m[1]), string(m[1]))
	}
}

const trailer = "TRAILER!!!"

func (a *archive) close() error {
	a.entry(trailer, 0, 0, 0, nil)
	if a.err != nil {
		return a.err
	}
	return a.w.Flush()
}
