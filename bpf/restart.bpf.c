// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

//go:build ignore

// TLS sessions that outlive the collector: `tls::restart_state`. An object of its own, whose map and
// program are pinned and go on without it: what belongs to a connection goes when the connection does,
// and all of it when nobody has come back for the TTL.

#include "kernel.h"

#define RESTART_VERSION 1

struct restart_direction {
	__u64 sequence; // of the next record
	__u64 offset;   // in the TCP stream, where that record begins
	__u8 secret[48];
	__u8 mac[48];
	__u8 iv[12];
	__u8 secret_size, mac_size;
	__u8 flags;
	__u8 unused;
};

// The entry with key 0 is the collector's own, its time is its last sign of life (CLOCK_BOOTTIME).
struct restart_entry {
	__u32 version;
	__u32 tgid;
	__u64 time;
	__u64 ttl;
	__u64 start; // of the connection, Unix nanoseconds
	__u32 client_isn, server_isn;
	__u32 records;
	__u32 requests;
	__u32 exchanges;
	__u16 cipher;
	__u8 role;
	__u8 flags;
	__u8 name_size, protocol_size;
	__u8 unused[6];
	struct restart_direction client, server;
	char name[128];
	char protocol[16];
};

const struct restart_entry *abi_restart __attribute__((unused));

struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 8192);
	map_uint(map_flags, MAP_NO_PREALLOC);
	map_type(key, __u64);
	map_type(value, struct restart_entry);
} restart_map SEC(".maps");

static __u64 (*const bpf_ktime_get_boot_ns)(void) = (void *)125;
static long (*const bpf_for_each_map_elem)(void *map, void *callback, void *ctx, __u64 flags) = (void *)164;

inline_always void wipe(struct restart_entry *e)
{
	// The kernel does not clear what it frees.
	__builtin_memset(&e->client, 0, sizeof(e->client));
	__builtin_memset(&e->server, 0, sizeof(e->server));
}

static long forget(void *map, __u64 *key, struct restart_entry *e, void *ctx)
{
	wipe(e);
	bpf_map_delete_elem(map, key);
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int restart_close(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	__u64 key = 0;
	struct restart_entry *e = bpf_map_lookup_elem(&restart_map, &key);

	if (!e)
		return 0;
	if (bpf_ktime_get_boot_ns() - e->time > e->ttl) {
		bpf_for_each_map_elem(&restart_map, forget, NULL, 0);
		return 0;
	}
	key = bpf_get_socket_cookie(sk);
	e = bpf_map_lookup_elem(&restart_map, &key);
	if (e)
		forget(&restart_map, &key, e, NULL);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
