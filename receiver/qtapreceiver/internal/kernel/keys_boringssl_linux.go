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

// findByText looks for what has no symbols, by the constants of TLS. unread names the implementation when there
// is one that cannot be read.
func (k *keyProbes) findByText(f *elf.File) (points []keyPoint, unread string, err error) {
	text, err := readTLSText(f)
	if errors.Is(err, errNoSymbol) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	var fn function
	var cookie uint64
	missed := errNotBoringSSL
	if k.progs[bpf.CaptureProgBoringsslLog] != nil {
		fn, cookie, missed = findBoringSSL(f, text)
	}
	if missed != nil {
		// That is an error only in what has BoringSSL inside.
		if unread, err = text.implementation(); unread == unreadBoringSSL {
			err = errors.Join(err, missed)
		}
		return nil, unread, err
	}
	return []keyPoint{{program: bpf.CaptureProgBoringsslLog, fn: fn, cookie: cookie}}, "", nil
}
