// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// Go: crypto/tls.(*Config).writeKeyLog(label string, clientRandom, secret []byte), which every
// handshake calls, whether a key log is wanted or not.

#pragma once

#include "keys.h"

SEC("uprobe")
int go_keylog(struct pt_regs *regs)
{
	struct span label = {regs_go2(regs), regs_go3(regs)};
	struct span random = {regs_go4(regs), regs_go5(regs)};
	struct span secret = {regs_go7(regs), regs_go8(regs)};
	__u8 text[SECRET_LABEL] = {};
	__u32 n = label.size;

	if (random.size != 32 || unwanted())
		return 0;
	if (n != 13 && n != 23 && n != 27 && n != 31)
		return 0;
	barrier_var(n);
	n &= 31;
	if (bpf_probe_read_user(text, n, (void *)label.addr) || !key_log_label(text, n))
		return 0;
	return emit_secret(SECRET_KEY_LOG, text, n, secret, random);
}
