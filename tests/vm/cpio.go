// SPDX-License-Identifier: Apache-2.0

// Package vm boots a kernel with a root file system made of files of the host, in an emulated machine.
package vm

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

// Archive writes an initramfs: a cpio archive of the format that the kernel unpacks
// (Documentation/driver-api/early-userspace/buffer-format.rst). It is not compressed: an emulated
// processor takes longer to inflate it than the host to write it.
type Archive struct {
	w    *bufio.Writer
	n    int
	seen map[string]bool
	err  error
}

// NewArchive begins one, with the merged folders of /usr.
func NewArchive(w io.Writer) *Archive {
	a := &Archive{w: bufio.NewWriterSize(w, 1<<20), seen: map[string]bool{"/": true}}
	// As distributions have it: the places of programs and libraries are in /usr.
	for _, dir := range merged {
		a.Dir("/usr" + dir)
		a.Link(dir, "usr"+dir)
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
func (a *Archive) entry(name string, mode uint32, mtime, size int64, data io.Reader) {
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
func (a *Archive) pad(n int64) {
	_, _ = a.w.Write(make([]byte, -n&3)) // a bufio.Writer keeps its error for Flush
}

// Text writes a file of mode 0644.
func (a *Archive) Text(name, content string) {
	a.entry(name, 0o100644, 0, int64(len(content)), strings.NewReader(content))
}

// Dir makes a folder and those above it.
func (a *Archive) Dir(name string) { a.entry(name, 0o40755, 0, 0, nil) }

// Link writes a symbolic link.
func (a *Archive) Link(name, to string) {
	a.entry(name, 0o120777, 0, int64(len(to)), strings.NewReader(to))
}

// File copies a file of the host, following links.
func (a *Archive) File(from, name string) {
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

// Program copies a program of the host and the libraries that it is linked with.
func (a *Archive) Program(name string) {
	if a.err != nil {
		return
	}
	path, err := exec.LookPath(name)
	if err != nil {
		a.err = err
		return
	}
	a.File(path, path)
	a.Libraries(path)
}

// Libraries copies what a program or library of the host is linked with.
func (a *Archive) Libraries(path string) {
	out, err := exec.Command("ldd", path).Output()
	if err != nil {
		return // linked with none
	}
	for _, m := range libraryPath.FindAllSubmatch(out, -1) {
		a.File(string(m[1]), string(m[1]))
	}
}

const trailer = "TRAILER!!!"

// Close ends the archive, with the first error there was.
func (a *Archive) Close() error {
	a.entry(trailer, 0, 0, 0, nil)
	if a.err != nil {
		return a.err
	}
	return a.w.Flush()
}
