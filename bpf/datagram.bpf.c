// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

//go:build ignore

// UDP datagrams that say who talks to whom: DNS messages, and the first packet of QUIC
// connections. An object of its own, loaded with the ring and the own processes of capture.bpf.c.

#include "abi.h"
#include "kernel.h"

enum {
	RECORD_DATAGRAM = 16, // beyond record_kind
	IPPROTO_UDP = 17,
	UDP_HEADER = 8,
	DNS_PORT = 53,
	QUIC_MIN = 1200, // of a datagram with a client's Initial packet (RFC 9000, 14.1)
	MAX_DATAGRAM = 4096, // segments of one send may come together
	MAX_FLOWS = 8192,
};

struct datagram_record {
	__u8 kind;
	__u8 dir;
	__u16 size; // of the data that follows; the record may be longer
	__u32 len;  // payload of the datagram
	__u64 cookie;
	__u64 time;
	__u32 tgid; // who made the socket, 0 when it is older than the capture
	__u32 uid;
	struct tuple addr;
	char comm[16];
};

const struct datagram_record *abi_datagram __attribute__((unused));

struct {
	map_uint(type, MAP_TYPE_RINGBUF);
	map_uint(max_entries, 4096); // replaced by the loader
} ring SEC(".maps");

struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 1024);
	map_type(key, __u32);
	map_type(value, __u8);
} own_tgids SEC(".maps"); // replaced by the loader

struct owner {
	__u32 tgid, uid;
	char comm[16];
	__u32 quic; // a first packet of QUIC was seen here
};

// One peer of a socket that speaks QUIC.
struct flow_key {
	__u64 cookie;
	__u8 remote[16];
	__u16 port;
	__u8 pad[6];
};

// What was sent and received, by direction; datagrams that came in one buffer count one each.
struct flow {
	__u64 bytes[2], packets[2];
	__u64 last; // CLOCK_MONOTONIC of the latest
};

const struct flow_key *abi_flow_key __attribute__((unused));
const struct flow *abi_flow __attribute__((unused));

struct {
	map_uint(type, MAP_TYPE_LRU_HASH);
	map_uint(max_entries, MAX_FLOWS);
	map_type(key, struct flow_key);
	map_type(value, struct flow);
} flows SEC(".maps");

struct {
	map_uint(type, MAP_TYPE_SK_STORAGE);
	map_uint(map_flags, MAP_NO_PREALLOC);
	map_type(key, int);
	map_type(value, struct owner);
} owners SEC(".maps");

// Bytes of the ring that datagrams may fill, as for packets.
const volatile __u64 packet_room = 0;
__u64 datagrams_lost = 0;

static long (*const bpf_get_current_comm)(void *to, __u32 size) = (void *)16;

SEC("cgroup/sock_create")
int datagram_owner(struct bpf_sock *ctx)
{
	if (ctx->protocol != IPPROTO_UDP)
		return 1;
	struct owner *o = bpf_sk_storage_get(&owners, ctx, NULL, STORAGE_CREATE);
	if (!o)
		return 1;
	o->tgid = bpf_get_current_pid_tgid() >> 32;
	o->uid = bpf_get_current_uid_gid();
	bpf_get_current_comm(o->comm, sizeof(o->comm));
	return 1;
}

inline_always void map_v4(__u8 *to, __u32 addr)
{
	__u32 words[4] = {0, 0, ntohl(0xffff), addr};
	__builtin_memcpy(to, words, 16);
}

// What emit_datagram needs to know, packed into one scalar: a global function takes no pointers
// on old kernels.
#define PACK(ip_len, dir) ((ip_len) | (__u64)(dir) << 32)

inline_always int fill_datagram(struct __sk_buff *skb, struct datagram_record *r, __u64 pack, __u32 size)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 ip_len = pack & 0xffff, dir = pack >> 32;
	__u8 src[16] = {}, dst[16] = {}, ports[4] = {};

	if (skb->protocol == ntohs(ETH_P_IP)) {
		if (data + 20 <= end) {
			map_v4(src, *(__u32 *)(data + 12));
			map_v4(dst, *(__u32 *)(data + 16));
		}
	} else if (data + 40 <= end) {
		__builtin_memcpy(src, data + 8, 16);
		__builtin_memcpy(dst, data + 24, 16);
	}
	bpf_skb_load_bytes(skb, ip_len, ports, sizeof(ports));
	__u16 sport = ports[0] << 8 | ports[1], dport = ports[2] << 8 | ports[3];

	r->kind = RECORD_DATAGRAM;
	r->dir = dir;
	r->size = size;
	r->len = skb->len - ip_len - UDP_HEADER;
	r->cookie = bpf_get_socket_cookie(skb);
	r->time = bpf_ktime_get_ns();
	__builtin_memcpy(r->addr.local, dir == DIR_INGRESS ? dst : src, 16);
	__builtin_memcpy(r->addr.remote, dir == DIR_INGRESS ? src : dst, 16);
	r->addr.local_port = dir == DIR_INGRESS ? dport : sport;
	r->addr.remote_port = dir == DIR_INGRESS ? sport : dport;
	r->addr.netns = 0;

	struct bpf_sock *sk = skb->sk;
	struct owner *o = NULL;
	if (sk)
		sk = bpf_sk_fullsock(sk);
	if (sk)
		o = bpf_sk_storage_get(&owners, sk, NULL, 0);
	r->tgid = o ? o->tgid : 0;
	r->uid = o ? o->uid : 0;
	if (o)
		__builtin_memcpy(r->comm, o->comm, sizeof(r->comm));
	else
		__builtin_memset(r->comm, 0, sizeof(r->comm));
	return 0;
}

#define EMIT_SIZE(MAX)                                                                               \
	do {                                                                                         \
		struct {                                                                             \
			struct datagram_record head;                                                 \
			__u8 data[MAX];                                                              \
		} *r = NULL;                                                                         \
		if (bpf_ringbuf_query(&ring, RINGBUF_AVAIL_DATA) + sizeof(*r) <= packet_room)        \
			r = bpf_ringbuf_reserve(&ring, sizeof(*r), 0);                               \
		if (!r) {                                                                            \
			__sync_fetch_and_add(&datagrams_lost, 1);                                    \
			return 0;                                                                    \
		}                                                                                    \
		fill_datagram(skb, &r->head, pack, size);                                            \
		__u32 n = size - 1;                                                                  \
		barrier_var(n);                                                                      \
		n &= (MAX)-1;                                                                        \
		n += 1;                                                                              \
		barrier_var(n);                                                                      \
		if (bpf_skb_load_bytes(skb, (pack & 0xffff) + UDP_HEADER, r->data, n))               \
			r->head.size = 0;                                                            \
		bpf_ringbuf_submit(r, RINGBUF_NO_WAKEUP);                                            \
	} while (0)

global_func int emit_datagram(struct __sk_buff *skb, __u64 pack, __u32 size)
{
	if (size == 0 || size > MAX_DATAGRAM)
		return 0;
	if (size <= 512)
		EMIT_SIZE(512);
	else if (size <= 2048)
		EMIT_SIZE(2048);
	else
		EMIT_SIZE(4096);
	return 0;
}

// count_flow counts a datagram of a socket that speaks QUIC. Only a first packet makes a flow.
global_func int count_flow(struct __sk_buff *skb, __u64 pack, __u32 quic)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 ip_len = pack & 0xffff, dir = pack >> 32 & 1;
	struct flow_key key = {};
	__u8 port[2] = {};

	if (skb->protocol == ntohs(ETH_P_IP)) {
		if (data + 20 > end)
			return 0;
		map_v4(key.remote, *(__u32 *)(data + (dir == DIR_INGRESS ? 12 : 16)));
	} else {
		if (data + 40 > end)
			return 0;
		if (dir == DIR_INGRESS)
			__builtin_memcpy(key.remote, data + 8, 16);
		else
			__builtin_memcpy(key.remote, data + 24, 16);
	}
	if (bpf_skb_load_bytes(skb, ip_len + (dir == DIR_INGRESS ? 0 : 2), port, sizeof(port)))
		return 0;
	key.port = port[0] << 8 | port[1];
	key.cookie = bpf_get_socket_cookie(skb);
	struct flow *f = bpf_map_lookup_elem(&flows, &key);
	if (!f) {
		if (!quic)
			return 0;
		struct flow none = {};
		bpf_map_update_elem(&flows, &key, &none, 0);
		f = bpf_map_lookup_elem(&flows, &key);
		if (!f)
			return 0;
	}
	__u32 segments = skb->gso_segs;
	__sync_fetch_and_add(&f->bytes[dir], skb->len - ip_len - UDP_HEADER);
	__sync_fetch_and_add(&f->packets[dir], segments ? segments : 1);
	f->last = bpf_ktime_get_ns();
	return 0;
}

inline_always int on_datagram(struct __sk_buff *skb, __u32 dir)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 ip_len;
	__u8 proto, head[UDP_HEADER + 5];

	if (skb->protocol == ntohs(ETH_P_IP)) {
		if (data + 20 > end)
			return 1;
		ip_len = (*(__u8 *)data & 15) * 4;
		proto = *(__u8 *)(data + 9);
	} else if (skb->protocol == ntohs(ETH_P_IPV6)) {
		if (data + 40 > end)
			return 1;
		ip_len = 40;
		proto = *(__u8 *)(data + 6);
	} else
		return 1;
	if (proto != IPPROTO_UDP || bpf_skb_load_bytes(skb, ip_len, head, sizeof(head)))
		return 1;

	__u32 size = skb->len - ip_len - UDP_HEADER;
	__u16 sport = head[0] << 8 | head[1], dport = head[2] << 8 | head[3];
	// A long header with the fixed bit, an Initial of version 1 or 2 (RFC 9000, 17.2; RFC 9369, 3.2).
	const __u8 *q = head + UDP_HEADER;
	__u32 version = (__u32)q[1] << 24 | q[2] << 16 | q[3] << 8 | q[4];
	bool quic = size >= QUIC_MIN && ((version == 1 && (q[0] & 0xf0) == 0xc0) || (version == 0x6b3343cf && (q[0] & 0xf0) == 0xd0));

	bool dns = sport == DNS_PORT || dport == DNS_PORT;
	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	struct owner *o = bpf_sk_storage_get(&owners, sk, NULL, quic ? STORAGE_CREATE : 0);
	if (!quic && !dns && !(o && o->quic))
		return 1;
	if (o) {
		__u32 tgid = o->tgid;
		if (bpf_map_lookup_elem(&own_tgids, &tgid))
			return 1;
		if (quic)
			o->quic = 1;
		if (o->quic)
			count_flow(skb, PACK(ip_len, dir), quic);
	}
	if (!quic && !dns)
		return 1;
	emit_datagram(skb, PACK(ip_len, dir), size > MAX_DATAGRAM ? MAX_DATAGRAM : size);
	return 1;
}

SEC("cgroup_skb/egress")
int datagram_out(struct __sk_buff *skb)
{
	return on_datagram(skb, DIR_EGRESS);
}

SEC("cgroup_skb/ingress")
int datagram_in(struct __sk_buff *skb)
{
	return on_datagram(skb, DIR_INGRESS);
}

char LICENSE[] SEC("license") = "GPL";
