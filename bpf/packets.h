// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// TCP segments of the sockets of a cgroup, with their payload.

#pragma once

#include "orders.h"

// What emit_chunk needs to know, packed into one scalar: a global function takes no pointers
// on old kernels, and five arguments at most.
#define PACK(ip_len, tcp_len, dir, netns) ((ip_len) | (tcp_len) << 16 | (dir) << 24 | (__u64)(netns) << 32)
#define pack_ip_len(pack) ((__u32)((pack) & 0xffff))
#define pack_hdr_len(pack) ((__u32)(((pack) & 0xffff) + ((pack) >> 16 & 0xff)))
#define pack_dir(pack) ((__u32)((pack) >> 24 & 1))
#define pack_netns(pack) ((__u32)((pack) >> 32))
#define PART(off, size) ((off) | (__u64)(size) << 32)
// inspected is what inspect returns.
#define RECEIVED(rcv_nxt, inspected) ((rcv_nxt) | (__u64)(inspected) << 32)
// The reader is woken by this record.
#define PACK_WAKE (1ULL << 25)

inline_always void submit_packet(void *record, __u64 pack)
{
	bpf_ringbuf_submit(record, pack & PACK_WAKE ? RINGBUF_FORCE_WAKEUP : RINGBUF_NO_WAKEUP);
}

inline_always int parse_addr(struct __sk_buff *skb, __u64 pack, const __u8 *tcp, struct tuple *t)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 dir = pack_dir(pack);
	__u8 src[16], dst[16];

	if (skb->protocol == ntohs(ETH_P_IP)) {
		if (data + 20 > end)
			return -1;
		map_v4(src, *(__u32 *)(data + 12));
		map_v4(dst, *(__u32 *)(data + 16));
	} else {
		if (data + 40 > end)
			return -1;
		__builtin_memcpy(src, data + 8, 16);
		__builtin_memcpy(dst, data + 24, 16);
	}
	__u16 sport = tcp[0] << 8 | tcp[1], dport = tcp[2] << 8 | tcp[3];

	__builtin_memcpy(t->local, dir == DIR_INGRESS ? dst : src, 16);
	__builtin_memcpy(t->remote, dir == DIR_INGRESS ? src : dst, 16);
	t->local_port = dir == DIR_INGRESS ? dport : sport;
	t->remote_port = dir == DIR_INGRESS ? sport : dport;
	t->netns = pack_netns(pack);
	return 0;
}

inline_always __u32 be32(const __u8 *b)
{
	return (__u32)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}

inline_always __u32 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16 & 0xffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

// inspect tells what it can of a received segment that the socket has yet to accept or to drop:
// PACKET_ flags in bits 16 and up, below them the sum for PACKET_SUMMED. The programs run after the
// checksum of headers and short segments was looked at, but before that of the payload.
global_func int inspect(struct __sk_buff *skb, __u64 pack)
{
	__u32 ip_len = pack_ip_len(pack), hdr_len = pack_hdr_len(pack);
	__u32 tcp[5] = {}, ip[8] = {}, option, checks = 0;
	__u64 sum = 0;
	struct bpf_sock *sk = skb->sk;

	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk || bpf_skb_load_bytes(skb, ip_len, tcp, sizeof(tcp)))
		return 0;
	__u8 flags = ((__u8 *)tcp)[13];

	switch (sk->state) {
	case TCP_ESTABLISHED: case TCP_FIN_WAIT1: case TCP_FIN_WAIT2: case TCP_CLOSE_WAIT: case TCP_LAST_ACK: case TCP_CLOSING: {
		struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
		if (!tp)
			return 0;
		checks |= PACKET_EXPECTED;
		// Not snd_nxt: an answer can come before the sender has noted what it sent.
		if ((flags & TCP_SYN) || !(flags & (TCP_ACK | TCP_RST)) ||
		    ((flags & TCP_ACK) && (__s32)(ntohl(tcp[2]) - tp->write_seq) > 0))
			checks |= PACKET_REFUSED;
		// A timestamp of the past (PAWS, RFC 7323 section 5), where every Linux puts it: NOP NOP TS.
		__u32 stamp[2] = {};
		if (hdr_len - ip_len >= 32 && !(flags & TCP_RST) && !bpf_skb_load_bytes(skb, ip_len + 20, stamp, 8) &&
		    stamp[0] == ntohl(0x0101080a) && (__s32)(tp->rx_opt.ts_recent - ntohl(stamp[1])) > 1)
			checks |= PACKET_REFUSED;
		break;
	}
	}
	// Whoever merged segments has verified them.
	if (skb->gso_size)
		return checks << 16;
	if (skb->protocol == ntohs(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, 12, ip, 8))
			return checks << 16;
	} else if (ip_len != 40 || bpf_skb_load_bytes(skb, 8, ip, 32)) // a routing header changes the sum
		return checks << 16;
	for (int i = 0; i < 8; i++)
		sum += ip[i];
	sum += ntohl(skb->len - ip_len);
	sum += ntohl(IPPROTO_TCP);

	__u32 pseudo = fold(sum), check = ((__u16 *)tcp)[8];
	if (check == pseudo || (check + pseudo == 0xffff && (!check || !pseudo)))
		return checks << 16; // left to hardware that it never came to
	for (int i = 0; i < 5; i++)
		sum += tcp[i];
	for (int i = 0; i < 10 && ip_len + 20 + 4 * i < hdr_len; i++) {
		if (bpf_skb_load_bytes(skb, ip_len + 20 + 4 * i, &option, 4))
			return checks << 16;
		sum += option;
	}
	return (checks | PACKET_SUMMED) << 16 | fold(sum);
}

inline_always int fill_packet(struct __sk_buff *skb, struct packet_record *r, __u64 pack, __u32 off, __u32 size,
			     __u64 cookie, __u64 received)
{
	__u8 tcp[20] = {};

	bpf_skb_load_bytes(skb, pack_ip_len(pack), tcp, sizeof(tcp));
	r->kind = RECORD_PACKET;
	r->dir = pack_dir(pack);
	r->flags = tcp[13];
	r->checks = received >> 48;
	r->sum = received >> 32;
	r->rcv_nxt = received;
	r->unused = 0;
	r->len = skb->len - pack_hdr_len(pack);
	r->cookie = cookie;
	r->time = bpf_ktime_get_ns();
	r->seq = be32(tcp + 4);
	r->ack = be32(tcp + 8);
	r->off = off;
	r->size = size;
	return parse_addr(skb, pack, tcp, &r->addr);
}

// A ring record's size has to be a constant, so there are a few sizes: each leaves at most
// three quarters of a record unused, and small segments take little room.
#define EMIT_SIZE(MAX)                                                                   \
	do {                                                                             \
		struct {                                                                 \
			struct packet_record head;                                       \
			__u8 data[MAX];                                                  \
		} *r = reserve(sizeof(*r), RECORD_PACKET);                               \
		if (!r)                                                                  \
			return 0;                                                        \
		fill_packet(skb, &r->head, pack, off, size, cookie, received);           \
		/* 1..MAX in a form that verifiers since 5.10 follow */                  \
		__u32 n = size - 1;                                                      \
		barrier_var(n);                                                          \
		n &= (MAX)-1;                                                            \
		n += 1;                                                                  \
		barrier_var(n);                                                          \
		if (bpf_skb_load_bytes(skb, pack_hdr_len(pack) + off, r->data, n))       \
			r->head.size = 0;                                                \
		submit_packet(r, pack);                                                  \
	} while (0)

#define MAX_CHUNK 16384

global_func int emit_chunk(struct __sk_buff *skb, __u64 pack, __u64 part, __u64 cookie, __u64 received)
{
	__u32 off = part, size = part >> 32;

	if (size == 0) {
		struct packet_record *r = reserve(sizeof(*r), RECORD_PACKET);
		if (!r)
			return 0;
		fill_packet(skb, r, pack, off, 0, cookie, received);
		submit_packet(r, pack);
	} else if (size <= 128)
		EMIT_SIZE(128);
	else if (size <= 512)
		EMIT_SIZE(512);
	else if (size <= 2048)
		EMIT_SIZE(2048);
	else if (size <= 4096)
		EMIT_SIZE(4096);
	else
		EMIT_SIZE(MAX_CHUNK);
	return 0;
}

// packet_state returns the state of a packet's socket.
inline_always struct sock_state *packet_state(struct bpf_sock *sk, bool create)
{
	struct tcp_sock *tp;

	if (sock_helpers)
		return bpf_sk_storage_get(&sock_states, sk, NULL, create ? STORAGE_CREATE : 0);
	// A closed socket may be destroyed already: what is known of it is gone, as it should be.
	if (sk->state == TCP_CLOSE)
		return NULL;
	tp = bpf_skc_to_tcp_sock(sk);
	return tp ? table_state((__u64)tp, create) : NULL;
}

inline_always __u64 packet_cookie(struct __sk_buff *skb, const struct sock_state *st)
{
	return sock_helpers ? bpf_get_socket_cookie(skb) : st->cookie;
}

#include "length.h"

// decide fills in the verdict of a socket that has none yet and says whether to skip the packet.
global_func int decide(struct __sk_buff *skb, __u64 pack)
{
	__u8 tcp[20] = {};
	struct tuple t = {};
	struct bpf_sock *sk = skb->sk;
	struct sock_state *st;

	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	st = packet_state(sk, true);
	if (!st)
		return !sock_helpers;
	bpf_skb_load_bytes(skb, pack_ip_len(pack), tcp, sizeof(tcp));
	if (parse_addr(skb, pack, tcp, &t))
		return 1;

	bool listener = sk->state == TCP_LISTEN, empty = skb->len <= pack_hdr_len(pack);
	__u8 role = listener ? ROLE_SERVER : st->role;
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	if (!tp)
		return 1;
	if (listener && own_listening) {
		struct tuple bound = {};

		sock_tuple((struct sock *)tp, &bound);
		if (listens_own((struct sock *)tp, &bound, false))
			mark_own(sk, st);
	}
	bool own = is_own(sk, st);
	if (own)
		own_peer(packet_cookie(skb, st), &t);
	if (own || is_own_peer(&t)) {
		// A listener meets others too; the socket that it makes will say so for itself.
		if (!listener) {
			emit_excluded(packet_cookie(skb, st), &t);
			st->verdict = VERDICT_SKIP;
		}
		return 1;
	}
	if (filtered(role, t.local_port, t.remote_port)) {
		st->verdict = VERDICT_SKIP;
		return 1;
	}
	// Handshakes under a listener's cookie say nothing that ESTABLISHED does not. A reset of
	// the kernel's own control socket belongs to no socket that is known.
	if (empty && (listener || !sk->dst_port))
		return 1;
	// The other end may become known as ours a moment later, when its accept is still under way.
	if (!empty && !listener && ++st->checks >= 8)
		st->verdict = VERDICT_PASS;
	return 0;
}

inline_always int on_packet(struct __sk_buff *skb, __u32 dir)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;
	__u32 ip_len;
	__u8 proto, tcp[14];

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
		// Hop-by-hop (BIG TCP has one), routing and destination options.
		for (int i = 0; i < 4 && (proto == 0 || proto == 43 || proto == 60); i++) {
			__u8 ext[2];
			if (bpf_skb_load_bytes(skb, ip_len, ext, 2))
				return 1;
			proto = ext[0];
			ip_len += (ext[1] + 1) * 8;
		}
	} else
		return 1;
	if (proto != IPPROTO_TCP || bpf_skb_load_bytes(skb, ip_len, tcp, sizeof(tcp)))
		return 1;

	__u32 hdr_len = ip_len + (tcp[12] >> 4) * 4;
	__u32 left = skb->len > hdr_len ? skb->len - hdr_len : 0;
	if (!left && !(tcp[13] & (TCP_SYN | TCP_FIN | TCP_RST)))
		return 1;

	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 1;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 1;
	struct sock_state *st = packet_state(sk, !sock_helpers);
	if (!st && !sock_helpers)
		return 1;
	if (st && (st->verdict == VERDICT_SKIP || st->closed))
		return 1;
	__u32 netns = st ? st->netns : 0;
	if (!netns) {
		struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

		if (tp)
			netns = sock_netns((struct sock *)tp);
		if (st)
			st->netns = netns;
	}
	__u64 pack = PACK(ip_len, hdr_len - ip_len, dir, netns);
	if ((!st || st->verdict == VERDICT_OPEN) && decide(skb, pack))
		return 1;

	__u64 cookie = sock_helpers ? bpf_get_socket_cookie(skb) : st->cookie;
	__u32 off = 0;
	if (!st) // decide has made it
		st = packet_state(sk, false);
	if (st) {
		heed(st, cookie);
		if (st->order != ORDER_ALL) {
			count_skipped(st->order_reason, left);
			return 1;
		}
		if (paused) {
			count_skipped(SKIP_BUDGET, left);
			return 1;
		}
		if (left) {
			__u32 seq = be32(tcp + 4), past;

			if (begin_turn(st, dir))
				read_head(skb, pack);
			off = unwanted_bytes(st, dir, seq, left);
			past = past_cap(st, dir, seq, left);
			if (past > off) {
				count_skipped(SKIP_CAP, past);
				off = past;
			} else
				count_skipped(st->order_reason, off);
			left -= off;
			// An end is reported whatever else the segment holds.
			if (!left && !(tcp[13] & (TCP_FIN | TCP_RST)))
				return 1;
			if (left && bursts(st, dir, left))
				pack |= PACK_WAKE;
		}
	}
	__u64 received = 0;
	if (dir == DIR_INGRESS) {
		struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
		__u32 rcv_nxt = tp ? tp->rcv_nxt : 0;

		received = RECEIVED(rcv_nxt, (__u32)inspect(skb, pack));
	}
	if (!left) {
		emit_chunk(skb, pack, PART(off, 0), cookie, received);
		return 1;
	}
	for (int i = 0; i < 36 && left; i++) { // 64 KiB in four; more only with BIG TCP
		__u32 size = left > MAX_CHUNK ? MAX_CHUNK : left;
		emit_chunk(skb, pack, PART(off, size), cookie, received);
		off += size;
		left -= size;
	}
	return 1;
}

SEC("cgroup_skb/egress")
int packet_egress(struct __sk_buff *skb)
{
	return on_packet(skb, DIR_EGRESS);
}

SEC("cgroup_skb/ingress")
int packet_ingress(struct __sk_buff *skb)
{
	return on_packet(skb, DIR_INGRESS);
}
