// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"debug/elf"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// goKeyLog is called with each secret by every handshake of crypto/tls, whether a key log is
// wanted or not, and has been since Go 1.8.
const goKeyLog = "crypto/tls.(*Config).writeKeyLog"

// goTLS is Go's own TLS, in programs of Go 1.18 and later, stripped or not.
var goTLS = keySource{
	name:     "Go crypto/tls",
	programs: []string{bpf.CaptureProgGoKeylog},
	find: func(f *elf.File) ([]keyPoint, error) {
		fn, err := findGoFunction(f, goKeyLog)
		return []keyPoint{{bpf.CaptureProgGoKeylog, fn}}, err
	},
}
