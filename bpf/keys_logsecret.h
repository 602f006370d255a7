// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// BoringSSL, and OpenSSL without symbols: ssl_log_secret(ssl, label, secret, secret_size), which every handshake calls,
// whether a key log is wanted or not. User space finds it, and where the client random is.

#pragma once

#include "keys.h"

SEC("uprobe")
int ssl_log_secret(struct pt_regs *regs)
{
	struct span secret = {regs_parm3(regs), regs_parm4(regs)};
	__u8 text[SECRET_LABEL] = {};
	__u64 at, state;
	long n;

	if ((secret.size != 32 && secret.size != 48) || unwanted())
		return 0;
	n = bpf_probe_read_user_str(text, sizeof(text), (void *)regs_parm2(regs));
	if (n <= 1 || !key_log_label(text, n - 1))
		return 0;
	// What points to the state, relative to ssl (0: it is part of ssl), and the client random's place in the state.
	at = bpf_get_attach_cookie(regs);
	state = regs_parm1(regs);
	if ((at & 0xffff) && bpf_probe_read_user(&state, sizeof(state), (void *)(state + (at & 0xffff))))
		return 0;
	struct span random = {state + (at >> 16), 32};
	return emit_secret(SECRET_KEY_LOG, text, n - 1, secret, random);
}
