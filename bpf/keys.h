// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// What the sources of TLS secrets share. Each source is a header of its own, keys_*.h: probes at
// the entry of functions, never at their return. Arguments are read first, and only what belongs
// to TLS is copied.

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

struct span {
	__u64 addr;
	__u64 size;
};

// Where a thread's key is while it derives from it: libraries that take the key and what it is
// for in two calls hold it in place from the first to the second. The key itself is not copied.
struct pending_key {
	__u64 ctx; // the library's context, which both calls must name
	struct span key;
	__u64 step;
};

struct {
	map_uint(type, MAP_TYPE_LRU_HASH);
	map_uint(max_entries, 8192);
	map_type(key, __u64); // thread
	map_type(value, struct pending_key);
} pending_keys SEC(".maps");

inline_always bool equal(const __u8 *a, const char *b, int n)
{
	for (int i = 0; i < n; i++)
		if (a[i] != (__u8)b[i])
			return false;
	return true;
}

// unattended says that nobody has read the ring for long. The time is not subtracted: a heartbeat that is written in between
// is newer than it.
inline_always bool unattended(void)
{
	return bpf_ktime_get_ns() > heartbeat + HEARTBEAT_MAX;
}

// emit_secret copies a secret; label has room for SECRET_LABEL bytes. What cannot be read, as its page is not there, has size
// 0: the reader counts it.
inline_always int emit_secret(__u8 what, const __u8 *label, __u32 label_size, struct span secret, struct span context)
{
	struct secret_record *r;

	if (secret.size - 1 >= 64 || context.size - 1 >= 64)
		return 0;
	if (unattended()) {
		__sync_fetch_and_add(&lost[RECORD_SECRET], 1);
		return 0;
	}
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
	__builtin_memcpy(r->label, label, sizeof(r->label));
	__u32 n = secret.size - 1, m = context.size - 1;
	barrier_var(n);
	barrier_var(m);
	n &= 63;
	m &= 63;
	if (bpf_probe_read_user(r->secret, n + 1, (void *)secret.addr))
		r->secret_size = 0;
	if (bpf_probe_read_user(r->context, m + 1, (void *)context.addr)) {
		r->secret_size = 0; // nobody could tell whose it is
		r->context_size = 0;
	}
	submit(r);
	return 0;
}

inline_always bool current_denied(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	char comm[16] = {};

	if (bpf_map_lookup_elem(&denied_tgids, &tgid) || current_is_own() || !current_in_scope())
		return true;
	current_comm(comm);
	return bpf_map_lookup_elem(&denied_comms, comm);
}

// unwanted says that secrets of this process, or of any, are not to be read now.
inline_always bool unwanted(void)
{
	return paused || current_denied();
}

// tls13_client_label says whether a label of RFC 8446 §7.1, without "tls13 ", leads to traffic
// secrets. The client's is enough: the server's secret derives from the same input.
inline_always bool tls13_client_label(const __u8 *text, __u64 size)
{
	return (size == 12 && (equal(text, "c hs traffic", 12) || equal(text, "c ap traffic", 12))) ||
	       (size == 11 && equal(text, "c e traffic", 11));
}

// hkdf_label reads an HkdfLabel (RFC 8446 §7.1): the size of the output, which is that of the
// hash, then a label of n bytes behind "tls13 ", and a transcript hash, both with their sizes.
inline_always bool hkdf_label(__u8 *text, __u64 addr, __u64 hash, __u32 n)
{
	__u8 head[9];

	if (bpf_probe_read_user(head, 9, (void *)addr) || head[0] || head[1] != hash || head[2] != n + 6 ||
	    !equal(head + 3, "tls13 ", 6))
		return false;
	return !bpf_probe_read_user(text, n == 12 ? 12 : 11, (void *)(addr + 9)) && tls13_client_label(text, n);
}

// key_log_label says whether a label of RFC 9850 names a secret that decrypts: the exporter's does not.
inline_always bool key_log_label(const __u8 *text, __u32 n)
{
	return (n == 13 && equal(text, "CLIENT_RANDOM", 13)) || (n == 23 && equal(text + 6, "_TRAFFIC_SECRET_0", 17)) ||
	       (n == 27 && equal(text, "CLIENT_EARLY_TRAFFIC_SECRET", 27)) ||
	       (n == 31 && equal(text + 6, "_HANDSHAKE_TRAFFIC_SECRET", 25));
}
