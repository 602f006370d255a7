// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"debug/elf"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// gnutls is TLS 1.3 of GnuTLS, through Nettle, which does its cryptography.
var gnutls = keySource{
	name:      "GnuTLS",
	programs:  []string{bpf.CaptureProgNettleSetKey, bpf.CaptureProgNettleExpand},
	wellKnown: []string{"libnettle.so.[78]"},
	find: func(f *elf.File) ([]keyPoint, error) {
		// The rarest name first: most files have none of them.
		points, err := exported(bpf.CaptureProgNettleExpand, "nettle_hkdf_expand")(f)
		if err != nil {
			return nil, err
		}
		keys, err := exported(bpf.CaptureProgNettleSetKey, "nettle_hmac_sha256_set_key", "nettle_hmac_sha384_set_key")(f)
		return append(points, keys...), err
	},
}

// gnutls12 is TLS 1.2 of GnuTLS, which derives by itself, in a function that it exports for its own tests.
var gnutls12 = keySource{
	name:      "GnuTLS TLS 1.2",
	programs:  []string{bpf.CaptureProgGnutlsPrf},
	wellKnown: []string{"libgnutls.so.30"},
	find:      exported(bpf.CaptureProgGnutlsPrf, "_gnutls_prf_raw"),
}
