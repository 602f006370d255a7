// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// The content of a response in HTTP/1 whose length its head says (RFC 9112 section 6.3). A body that comes as fast as
// memory is over before an order about it can be given.

#pragma once

#include "orders.h"

// How many bytes are wanted of such content; 0: all.
__u32 body_cap = 0;

// How much of a segment is read for its head, and how much at once: a buffer has to be on the stack, as an interrupt may run the same
// program on this CPU.
#define HEAD_READ 1024
#define HEAD_PART 64
// A body is skipped when so much of it is left past what is wanted: user space has room then to find out that it is
// skipped before it is, as it skips only what is worth an order.
#define BODY_LEFT (1 << 20)
#define BODY_MOST (1 << 30)

// Automaton over the bytes of a head, filled in by the loader (heads.go): by state and byte, the next state and whether
// the byte is a digit of the length, or begins its value.
#define HEAD_STATE 0x3f
#define HEAD_VALUE 6 // bit
#define HEAD_DIGIT 7 // bit
#define HEAD_NONE 62 // there is no length, or content that is wanted whole
#define HEAD_END 63  // the empty line
const volatile __u8 head_states[64 * 256] = {};

// begin_turn notes that a direction goes on after the other one: whatever was skipped is over. It says whether to look
// for a length.
inline_always bool begin_turn(struct sock_state *st, __u32 dir)
{
	if (dir == DIR_EGRESS ? st->burst[0] : st->burst[1])
		return false;
	st->body = 0;
	return body_cap;
}

// read_head looks whether a segment begins with the head of a response that says how long it is.
global_func int read_head(struct __sk_buff *skb, __u64 pack)
{
	__u32 hdr_len = pack_hdr_len(pack), state = 0, values = 0, digits = 0, read = 0, seq = 0, cap = body_cap, there = skb->len - hdr_len;
	__u8 part[HEAD_PART] = {};
	__u64 length = 0;

	// HTTP/1.1 200, or 206
	if (bpf_skb_load_bytes(skb, hdr_len, part, 16))
		return 0;
	if (*(__u32 *)part != ntohl(0x48545450) || part[4] != '/' || part[5] != '1' || part[8] != ' ' ||
	    part[9] != '2' || part[10] != '0' || (part[11] != '0' && part[11] != '6'))
		return 0;
	for (int i = 0; i < HEAD_READ / HEAD_PART; i++) {
		__u32 n = there - read;

		if (there <= read)
			return 0;
		// 1..HEAD_PART in a form that verifiers since 5.10 follow
		n = (n < HEAD_PART ? n : HEAD_PART) - 1;
		barrier_var(n);
		n &= HEAD_PART - 1;
		n += 1;
		barrier_var(n);
		if (bpf_skb_load_bytes(skb, hdr_len + i * HEAD_PART, part, n))
			return 0;
		for (int j = 0; j < HEAD_PART; j++) {
			__u64 c = part[j], at = (__u64)state << 8 | c;

			barrier_var(at); // a bound that the verifier of 5.10 sees
			at &= HEAD_STATE << 8 | 0xff;
			__u64 next = head_states[at], digit = next >> HEAD_DIGIT;

			// Without branches: each would be another state for the verifier to follow.
			length = length * (1 + 9 * digit) + digit * (c & 15);
			digits += digit;
			values += next >> HEAD_VALUE & 1;
			state = next & HEAD_STATE;
			read++;
			if (state >= HEAD_NONE)
				goto done;
		}
	}
done:
	if (state != HEAD_END || read > there || values != 1 || !digits || digits > 10)
		return 0;

	struct bpf_sock *sk = skb->sk;
	if (!sk)
		return 0;
	sk = bpf_sk_fullsock(sk);
	if (!sk)
		return 0;
	struct sock_state *st = packet_state(sk, false);
	if (!st || length > BODY_MOST || length < (__u64)cap + BODY_LEFT)
		return 0;
	if (bpf_skb_load_bytes(skb, pack_ip_len(pack) + 4, &seq, 4))
		return 0;
	seq = ntohl(seq) + read;
	st->body_from = seq + cap;
	st->body_until = seq + length - 1; // when the last byte comes is wanted
	asm volatile("" ::: "memory");
	st->body = 1 << pack_dir(pack);
	return 0;
}

// past_cap says how many of the first bytes of a segment belong to content that is not wanted.
inline_always __u32 past_cap(struct sock_state *st, __u32 dir, __u32 seq, __u32 len)
{
	__s32 left;

	if (!(st->body >> dir & 1) || (__s32)(seq - st->body_from) < 0)
		return 0;
	left = st->body_until - seq;
	if (left <= 0) {
		st->body = 0;
		return 0;
	}
	return (__u32)left < len ? (__u32)left : len;
}
