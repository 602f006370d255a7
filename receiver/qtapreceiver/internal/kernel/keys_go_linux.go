// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"debug/elf"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// goTLS is Go's own TLS, in programs of Go 1.18 and later, stripped or not.
var goTLS = keySource{
	name:     "Go crypto/tls",
	programs: []string{bpf.CaptureProgGoKeylog},
	find: func(f *elf.File) ([]keyPoint, error) {
		fn, err := findGoKeyLog(f)
		return []keyPoint{{program: bpf.CaptureProgGoKeylog, fn: fn}}, err
	},
}
