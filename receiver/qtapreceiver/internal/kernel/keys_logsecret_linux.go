// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"debug/elf"
	"errors"
	"slices"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// logSecret are BoringSSL in a program, as Chromium and Bun have it, and OpenSSL, stripped.
var logSecret = keySource{programs: []string{bpf.CaptureProgSslLogSecret}}

// findByText looks for what exports nothing, by the constants of TLS. unread names the implementation when there is
// one that cannot be read.
func (k *keyProbes) findByText(f *elf.File) (name string, points []keyPoint, unread string, err error) {
	text, err := readTLSText(f)
	if errors.Is(err, errNoSymbol) {
		return "", nil, "", nil
	}
	if err != nil {
		return "", nil, "", err
	}
	if unread, err = text.implementation(); err != nil {
		return "", nil, "", err
	}
	find := findBoringSSL
	switch unread {
	case unreadRustls:
		return "", nil, unread, nil
	case unreadOpenSSL:
		libs, err := f.ImportedLibraries()
		if err != nil || slices.ContainsFunc(libs, func(name string) bool { return strings.HasPrefix(name, "libcrypto.so") }) {
			return "", nil, "", err // its secrets pass through that
		}
		for _, src := range []keySource{openssl3, openssl1} { // not stripped
			fn, err := findLocal(f, src.symbol)
			if err == nil {
				return src.name, []keyPoint{{program: src.programs[0], fn: fn}}, "", nil
			}
			if !errors.Is(err, errNoSymbol) {
				return "", nil, unread, err
			}
		}
		find = findOpenSSL
	}
	if k.progs[bpf.CaptureProgSslLogSecret] == nil {
		return "", nil, unread, nil
	}
	fn, cookie, err := find(f, text)
	if errors.Is(err, errNotAsExpected) && unread == "" {
		return "", nil, "", nil // a library of those whose secrets pass through another, as OpenSSL's
	}
	if err != nil {
		return "", nil, unread, err
	}
	name = "BoringSSL"
	if unread == unreadOpenSSL {
		name = "OpenSSL without symbols"
	}
	return name, []keyPoint{{program: bpf.CaptureProgSslLogSecret, fn: fn, cookie: cookie}}, "", nil
}
