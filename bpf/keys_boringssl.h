// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// BoringSSL: ssl_log_secret(ssl, label, secret, secret_size), which every handshake calls, whether a
// key log is wanted or not. It has no symbol: user space finds it, and where the client random is.

#pragma once

#include "keys.h"

SEC("uprobe")
int boringssl_log(struct pt_regs *regs)
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
	// ssl->s3->client_random: both offsets are in the cookie of the file's probe.
	at = bpf_get_attach_cookie(regs);
	if (bpf_probe_read_user(&state, sizeof(state), (void *)(regs_parm1(regs) + (at & 0xffff))))
		return 0;
	struct span random = {state + (at >> 16), 32};
	return emit_secret(SECRET_KEY_LOG, text, n - 1, secret, random);
}
