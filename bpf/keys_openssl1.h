// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// OpenSSL 1.1.1: EVP_PKEY_CTX_ctrl(ctx, keytype, optype, cmd, size, data), by which libssl hands
// over, one after the other, what a secret is derived from.

#pragma once

#include "keys.h"

enum {
	// RSA and others use the same commands for other operations.
	EVP_PKEY_OP_DERIVE = 1 << 10,

	EVP_PKEY_CTRL_TLS_SECRET = 0x1001,
	EVP_PKEY_CTRL_TLS_SEED = 0x1002,
	EVP_PKEY_CTRL_HKDF_KEY = 0x1005,
	EVP_PKEY_CTRL_HKDF_INFO = 0x1006,

	// What is expected next of the pending key.
	STEP_HKDF_INFO = 0,
	STEP_TLS_LABEL,
	STEP_TLS_SERVER_RANDOM,
	STEP_TLS_CLIENT_RANDOM,
};

SEC("uprobe")
int openssl_ctrl(struct pt_regs *regs)
{
	struct pending_key next = {.ctx = regs_parm1(regs)}, *p;
	struct span data = {regs_parm6(regs), (__u32)regs_parm5(regs)};
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 cmd = regs_parm4(regs), n;
	__u8 text[SECRET_LABEL] = {};

	if ((__u32)regs_parm3(regs) != EVP_PKEY_OP_DERIVE)
		return 0;
	if (cmd == EVP_PKEY_CTRL_HKDF_KEY || cmd == EVP_PKEY_CTRL_TLS_SECRET) {
		next.key = data;
		next.step = cmd == EVP_PKEY_CTRL_HKDF_KEY ? STEP_HKDF_INFO : STEP_TLS_LABEL;
		bpf_map_update_elem(&pending_keys, &thread, &next, 0);
		return 0;
	}
	if ((cmd != EVP_PKEY_CTRL_HKDF_INFO && cmd != EVP_PKEY_CTRL_TLS_SEED) || unwanted())
		return 0;
	p = bpf_map_lookup_elem(&pending_keys, &thread);
	if (!p || p->ctx != next.ctx)
		return 0;

	if (cmd == EVP_PKEY_CTRL_HKDF_INFO) {
		__u64 hash = p->key.size;

		if (p->step != STEP_HKDF_INFO || (hash != 32 && hash != 48) ||
		    (data.size != 22 + hash && data.size != 21 + hash))
			return 0;
		n = data.size == 22 + hash ? 12 : 11;
		if (!hkdf_label(text, data.addr, hash, n))
			return 0;
		struct span context = {data.addr + 10 + n, hash};
		return emit_secret(SECRET_TLS13_DERIVE, text, n, p->key, context);
	}

	// TLS 1.2 key expansion: label, server random, client random (RFC 5246 §6.3).
	if (p->key.size != 48)
		return 0;
	if (p->step == STEP_TLS_LABEL && data.size == 13) {
		if (!bpf_probe_read_user(text, 13, (void *)data.addr) && equal(text, "key expansion", 13))
			p->step = STEP_TLS_SERVER_RANDOM;
	} else if (p->step == STEP_TLS_SERVER_RANDOM && data.size == 32) {
		p->step = STEP_TLS_CLIENT_RANDOM;
	} else if (p->step == STEP_TLS_CLIENT_RANDOM && data.size == 32) {
		p->step = STEP_HKDF_INFO;
		__builtin_memcpy(text, "CLIENT_RANDOM", 13);
		return emit_secret(SECRET_KEY_LOG, text, 13, p->key, data);
	}
	return 0;
}
