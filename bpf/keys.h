// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// TLS secrets of OpenSSL 3 and later, at the entry of EVP_KDF_derive(ctx, out, size, params).
// The parameters are read first and only a derivation that belongs to TLS is copied.

#pragma once

#include "common.h"

// Process names that are never looked at.
struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 256);
	map_type(key, char[16]);
	map_type(value, __u8);
} denied_comms SEC(".maps");

// The reader's last sign of life. Without a reader no secret is written.
__u64 heartbeat = 0;
#define HEARTBEAT_MAX 30000000000ULL

struct ossl_param {
	__u64 key;
	__u32 type;
	__u32 unused;
	__u64 data;
	__u64 size;
	__u64 result;
};

struct span {
	__u64 addr;
	__u64 size;
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

inline_always bool equal(const __u8 *a, const char *b, int n)
{
	for (int i = 0; i < n; i++)
		if (a[i] != (__u8)b[i])
			return false;
	return true;
}

inline_always int emit_secret(__u8 what, const __u8 *label, __u32 label_size, struct span secret, struct span context)
{
	struct secret_record *r;

	if (secret.size - 1 >= 64 || context.size - 1 >= 64)
		return 0;
	r = reserve(sizeof(*r), RECORD_SECRET);
	if (!r)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	r->kind = RECORD_SECRET;
	r->what = what;
	r->label_size = label_size;
	r->secret_size = secret.size;
	r->context_size = context.size;
	r->time = bpf_ktime_get_ns();
	r->tgid = bpf_get_current_pid_tgid() >> 32;
	__builtin_memcpy(r->label, label, 16);
	__u32 n = secret.size - 1, m = context.size - 1;
	barrier_var(n);
	barrier_var(m);
	n &= 63;
	m &= 63;
	if (bpf_probe_read_user(r->secret, n + 1, (void *)secret.addr) ||
	    bpf_probe_read_user(r->context, m + 1, (void *)context.addr))
		r->secret_size = 0; // the reader drops it
	submit(r);
	return 0;
}

inline_always bool current_denied(void)
{
	char comm[16] = {};

	if (current_is_own() || !current_in_scope())
		return true;
	current_comm(comm);
	return bpf_map_lookup_elem(&denied_comms, comm);
}

// The loader sets the attach type: uprobe_multi where the kernel has it.
SEC("uprobe")
int openssl_kdf(struct pt_regs *regs)
{
	__u64 params = regs_parm4(regs);
	struct span label = {zero, zero}, secret = {zero, zero}, key = {zero, zero}, data = {zero, zero};
	struct span client_random = {zero, zero};
	__u64 seeds = zero, prefix = zero;
	__u8 text[16] = {};

	if (bpf_ktime_get_ns() - heartbeat > HEARTBEAT_MAX || current_denied())
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

	if (prefix && label.size == 12) {
		if (bpf_probe_read_user(text, 12, (void *)label.addr))
			return 0;
		// The client's label; the server's secret derives from the same input.
		if (!equal(text, "c hs traffic", 12) && !equal(text, "c ap traffic", 12))
			return 0;
		return emit_secret(SECRET_TLS13_DERIVE, text, 12, key, data);
	}
	if (seeds >= 3 && secret.size == 48 && label.size == 13 && client_random.size == 32) {
		if (bpf_probe_read_user(text, 13, (void *)label.addr) || !equal(text, "key expansion", 13))
			return 0;
		__builtin_memcpy(text, "CLIENT_RANDOM\0\0", 16);
		return emit_secret(SECRET_KEY_LOG, text, 13, secret, client_random);
	}
	return 0;
}
