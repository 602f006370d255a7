// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"debug/elf"
	"errors"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// boringssl is BoringSSL in a program, stripped or not, as Chromium and Bun have it.
var boringssl = keySource{name: "BoringSSL", programs: []string{bpf.CaptureProgBoringsslLog}}

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
	missed := errNotBoringSSL
	if k.progs[bpf.CaptureProgBoringsslLog] != nil {
		var fn function
		var cookie uint64
		if fn, cookie, missed = findBoringSSL(f, text); missed == nil {
			return boringssl.name, []keyPoint{{program: bpf.CaptureProgBoringsslLog, fn: fn, cookie: cookie}}, "", nil
		}
	}
	switch unread, err = text.implementation(); unread {
	case unreadBoringSSL:
		err = errors.Join(err, missed)
	case unreadOpenSSL:
		// Not stripped, it can still be read.
		for _, src := range []keySource{openssl3, openssl1} {
			fn, err := findLocal(f, src.symbol)
			if err == nil {
				return src.name, []keyPoint{{program: src.programs[0], fn: fn}}, "", nil
			}
			if !errors.Is(err, errNoSymbol) {
				return "", nil, unread, err
			}
		}
	}
	return "", nil, unread, err
}
