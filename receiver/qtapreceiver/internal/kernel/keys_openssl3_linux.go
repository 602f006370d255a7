// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import "github.com/qpoint-io/otelcol-qpoint/bpf"

// openssl3 is OpenSSL 3 and later, as a library or inside a program that exports it, as node
// does: every TLS secret passes through EVP_KDF_derive.
var openssl3 = keySource{
	name:      "OpenSSL 3",
	programs:  []string{bpf.CaptureProgOpensslKdf},
	wellKnown: []string{"libcrypto.so.3", "/usr/bin/node", "/usr/local/bin/node"},
	symbol:    "EVP_KDF_derive",
	find:      exported(bpf.CaptureProgOpensslKdf, "EVP_KDF_derive"),
}
