// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// OpenSSL 3 and later: EVP_KDF_derive(ctx, out, size, params).

#pragma once

#include "keys.h"

struct ossl_param {
	__u64 key;
	__u32 type;
	__u32 unused;
	__u64 data;
	__u64 size;
	__u64 result;
};

// Always 0, but the verifier does not know: variables that start from it look the same to it
// after any parameter, or it would walk every order of parameters.
volatile __u64 zero = 0;

// The first bytes of a name, little-endian, with its NUL.
#define NAME_LABEL 0x6c6562616cULL
#define NAME_PREFIX 0x786966657270ULL
#define NAME_KEY 0x79656bULL
#define NAME_DATA 0x61746164ULL
#define NAME_SECRET 0x746572636573ULL
#define NAME_SEED 0x64656573ULL

// The loader sets the attach type: uprobe_multi where the kernel has it.
SEC("uprobe")
int openssl_kdf(struct pt_regs *regs)
{
	__u64 params = regs_parm4(regs);
	struct span label = {zero, zero}, secret = {zero, zero}, key = {zero, zero}, data = {zero, zero};
	struct span client_random = {zero, zero};
	__u64 seeds = zero, prefix = zero;
	__u8 text[SECRET_LABEL] = {};

	if (unwanted())
		return 0;
	for (int i = 0; i < 12; i++) {
		struct ossl_param p;
		__u64 name = 0;

		if (bpf_probe_read_user(&p, sizeof(p), (void *)(params + i * sizeof(p))) || !p.key)
			break;
		if (bpf_probe_read_user(&name, sizeof(name), (void *)p.key))
			break;
		struct span value = {p.data, p.size};
		if ((name & 0xffffffffffff) == NAME_LABEL)
			label = value;
		else if ((name & 0xffffffffffffff) == NAME_PREFIX)
			prefix = p.key;
		else if ((name & 0xffffffff) == NAME_KEY)
			key = value;
		else if ((name & 0xffffffffff) == NAME_DATA)
			data = value;
		else if ((name & 0xffffffffffffff) == NAME_SECRET)
			secret = value;
		else if ((name & 0xffffffffff) == NAME_SEED) {
			// TLS 1.2 key expansion: label, server random, client random (RFC 5246 §6.3).
			if (seeds == 0)
				label = value;
			else if (seeds == 2)
				client_random = value;
			seeds++;
		}
	}

	if (prefix && (label.size == 12 || label.size == 11)) {
		__u32 n = label.size;

		if (bpf_probe_read_user(text, n == 12 ? 12 : 11, (void *)label.addr) || !tls13_client_label(text, n))
			return 0;
		return emit_secret(SECRET_TLS13_DERIVE, text, n, key, data);
	}
	if (seeds >= 3 && secret.size == 48 && label.size == 13 && client_random.size == 32) {
		if (bpf_probe_read_user(text, 13, (void *)label.addr) || !equal(text, "key expansion", 13))
			return 0;
		__builtin_memcpy(text, "CLIENT_RANDOM", 13);
		return emit_secret(SECRET_KEY_LOG, text, 13, secret, client_random);
	}
	return 0;
}
