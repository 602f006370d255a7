// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// What user space does not want of a connection, once it knows that: orders come while packets go on.

#pragma once

#include "common.h"

// Reasons, as their bytes are counted.
enum skip_reason {
	SKIP_RULE,   // rules keep no request of the connection
	SKIP_UNREAD, // nobody reads what it carries
	SKIP_CAP,    // content past the body cap
	SKIP_BUDGET, // more than user space can afford
	SKIP_REASONS,
};

enum order_level {
	ORDER_ALL,         // copy what comes
	ORDER_CONNECTIONS, // report the socket, copy nothing
	ORDER_NONE,        // report nothing more
};

struct order {
	__u8 level;
	__u8 reason;
	__u8 skip; // bit 1<<dir: bytes before until[dir] are not wanted
	__u8 serial; // of this order, to take it over once: what it skips may be over since
	__u32 until[2]; // sequence number, by direction
};

// By cookie. A socket takes its order over when orders_given says that there is something new; entries of
// sockets that are gone give way to others. An order that is lost costs copies, nothing else.
struct {
	map_uint(type, MAP_TYPE_LRU_HASH);
	map_uint(max_entries, 16384);
	map_type(key, __u64);
	map_type(value, struct order);
} orders SEC(".maps");

__u32 orders_given = 0;
// Payload bytes that were not copied because of an order.
__u64 skipped[SKIP_REASONS] = {};

// Bytes of one direction that go on while the other is silent, after which the reader is woken: it may
// have no use for the rest.
#define BURST (256 << 10)
// How far behind a sequence number must be to be over for good.
#define LONG_AGO (1 << 26)

// heed takes over what user space has ordered since the socket was looked at last.
inline_always void heed(struct sock_state *st, __u64 cookie)
{
	struct order *o;
	__u32 given = orders_given;

	if (st->heeded == given)
		return;
	st->heeded = given;
	o = bpf_map_lookup_elem(&orders, &cookie);
	if (!o || o->serial == st->order_serial)
		return;
	st->order_serial = o->serial;
	st->order = o->level;
	st->order_reason = o->reason;
	st->until[0] = o->until[0];
	st->until[1] = o->until[1];
	// A packet on another CPU must not see the bits without their numbers.
	asm volatile("" ::: "memory");
	st->skip = o->skip;
}

inline_always void count_skipped(__u32 reason, __u64 bytes)
{
	if (bytes && reason < SKIP_REASONS)
		__sync_fetch_and_add(&skipped[reason], bytes);
}

// unwanted_bytes says how many of the first bytes of a segment are not wanted.
inline_always __u32 unwanted_bytes(struct sock_state *st, __u32 dir, __u32 seq, __u32 len)
{
	__u32 until;
	__s32 ahead;

	if (!(st->skip >> dir & 1))
		return 0;
	until = dir == DIR_EGRESS ? st->until[0] : st->until[1];
	ahead = until - seq;
	if (ahead <= 0) {
		// Sequence numbers come around: what is over must not begin again.
		if (ahead < -LONG_AGO)
			st->skip &= ~(1 << dir);
		return 0;
	}
	return (__u32)ahead < len ? (__u32)ahead : len;
}

// bursts says, once, that a direction went on for long.
inline_always bool bursts(struct sock_state *st, __u32 dir, __u32 len)
{
	__u32 before;

	if (dir == DIR_EGRESS) {
		before = st->burst[0];
		st->burst[0] = before + len;
		st->burst[1] = 0;
	} else {
		before = st->burst[1];
		st->burst[1] = before + len;
		st->burst[0] = 0;
	}
	return before < BURST && before + len >= BURST;
}
