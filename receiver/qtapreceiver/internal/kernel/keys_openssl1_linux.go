// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"debug/elf"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// openssl1 is OpenSSL 1.1, whose libssl derives secrets through EVP_PKEY_CTX_ctrl. OpenSSL 3
// exports that function too, but derives elsewhere.
var openssl1 = keySource{
	name:      "OpenSSL 1.1",
	programs:  []string{bpf.CaptureProgOpensslCtrl},
	wellKnown: []string{"libcrypto.so.1.1"},
	symbol:    "EVP_PKEY_CTX_ctrl",
	find: func(f *elf.File) ([]keyPoint, error) {
		if _, err := openssl3.find(f); err == nil {
			return nil, errNoSymbol
		}
		return exported(bpf.CaptureProgOpensslCtrl, "EVP_PKEY_CTX_ctrl")(f)
	},
}
