// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// GnuTLS, through its crypto library Nettle. TLS 1.3 derives with HMAC as HKDF-Expand: first
// nettle_hmac_sha*_set_key(ctx, size, key), then nettle_hkdf_expand(ctx, update, digest,
// digest_size, info_size, info, ...) of the same ctx. TLS 1.2 derives with
// _gnutls_prf_raw(mac, master_size, master, label_size, label, seed_size, seed, ...) of GnuTLS itself.

#pragma once

#include "keys.h"

SEC("uprobe")
int nettle_set_key(struct pt_regs *regs)
{
	struct pending_key p = {.ctx = regs_parm1(regs), .key = {regs_parm3(regs), regs_parm2(regs)}};
	__u64 thread = bpf_get_current_pid_tgid();

	// A TLS 1.3 secret is as long as its hash. Longer keys do not matter, as long as they
	// replace what was there.
	bpf_map_update_elem(&pending_keys, &thread, &p, 0);
	return 0;
}

SEC("uprobe")
int nettle_expand(struct pt_regs *regs)
{
	struct span info = {regs_parm6(regs), regs_parm5(regs)};
	__u64 hash = regs_parm4(regs), thread = bpf_get_current_pid_tgid();
	__u8 text[SECRET_LABEL] = {};
	struct pending_key *p;
	__u32 n;

	if ((hash != 32 && hash != 48) || (info.size != 22 + hash && info.size != 21 + hash) || unwanted())
		return 0;
	p = bpf_map_lookup_elem(&pending_keys, &thread);
	if (!p || p->ctx != regs_parm1(regs) || p->key.size != hash)
		return 0;
	n = info.size == 22 + hash ? 12 : 11;
	if (!hkdf_label(text, info.addr, hash, n))
		return 0;
	struct span context = {info.addr + 10 + n, hash};
	return emit_secret(SECRET_TLS13_DERIVE, text, n, p->key, context);
}

SEC("uprobe")
int gnutls_prf(struct pt_regs *regs)
{
	struct span master = {regs_parm3(regs), regs_parm2(regs)};
	__u8 text[SECRET_LABEL] = {};
	__u64 seed;

	// Key expansion, RFC 5246 §6.3: the seed is the server's random and then the client's.
	if (master.size != 48 || regs_parm4(regs) != 13 || regs_parm6(regs) != 64 || unwanted())
		return 0;
	if (bpf_probe_read_user(text, 13, (void *)regs_parm5(regs)) || !equal(text, "key expansion", 13) ||
	    regs_parm7(regs, &seed))
		return 0;
	struct span random = {seed + 32, 32};
	__builtin_memcpy(text, "CLIENT_RANDOM", 13);
	return emit_secret(SECRET_KEY_LOG, text, 13, master, random);
}
