// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// What the programs write to the ring. abi.go mirrors it, and a test compares the two through
// the object's BTF. No record has implicit padding: nothing of kernel memory leaks by it.

#pragma once

#include "helpers.h"

enum record_kind {
	RECORD_PACKET = 1,
	RECORD_SOCKET,
	RECORD_SECRET,
	RECORD_PROCESS,
	RECORD_KINDS,
};

// Addresses are 16 bytes everywhere, IPv4 as ::ffff:a.b.c.d. Ports are in host byte order.
struct tuple {
	__u8 local[16];
	__u8 remote[16];
	__u16 local_port, remote_port;
	// The network namespace's inode: two may use the same addresses. 0 when it is not known.
	__u32 netns;
};

// What a received segment is, before the socket has looked at it: this is where the programs see it.
enum packet_checks {
	// The checksum is for the reader to verify: sum and the payload's together are 0xffff. It is unset
	// where the kernel has verified it (merged segments) or there is none (local senders leave it out).
	PACKET_SUMMED = 1 << 0,
	// The socket will not take it: a SYN in a connection, it acknowledges nothing or what was never
	// sent, or its timestamp is of the past.
	PACKET_REFUSED = 1 << 1,
	PACKET_EXPECTED = 1 << 2,
};

struct packet_record {
	__u8 kind;
	__u8 dir;
	__u8 flags;
	__u8 checks; // enum packet_checks
	__u32 len; // payload of the segment
	__u64 cookie;
	__u64 time; // CLOCK_MONOTONIC, as all times here
	__u32 seq;
	__u32 ack;
	__u32 off;  // where the data starts in the payload
	__u16 size; // of the data that follows; the record may be longer
	__u16 sum;  // of pseudo header and TCP header, with PACKET_SUMMED
	__u32 rcv_nxt; // what the socket expected before this segment, with PACKET_EXPECTED
	__u32 unused;
	struct tuple addr;
};

enum socket_flags {
	SOCKET_PRE_EXISTING = 1 << 0,
	SOCKET_SYN_ACKED = 1 << 1,    // bytes_acked counts our SYN
	SOCKET_FIN_ACKED = 1 << 2,    // bytes_acked counts our FIN
	SOCKET_FIN_RECEIVED = 1 << 3, // bytes_received counts the peer's FIN
	SOCKET_TORN = 1 << 4,	      // the socket was at work while it was read: numbers may not fit together
};

// The values of what, role and reason are those of package event.
struct socket_record {
	__u8 kind;
	__u8 what;
	__u8 role;
	__u8 reason;
	__u32 tgid;
	__u64 cookie;
	__u64 time;
	__u64 cgroup;
	__u32 uid;
	__u32 flags;
	struct tuple addr;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 segs_out;
	__u32 segs_in;
	__u32 retransmits;
	__u32 rtt_us;
	__u64 bytes_acked;
	__u64 bytes_received;
	__u32 snd_una;
	__u32 unused;
	char comm[16];
};

#define SECRET_LABEL 32

struct secret_record {
	__u8 kind;
	__u8 what;
	__u8 label_size;
	__u8 secret_size;
	__u8 context_size;
	__u8 unused[3];
	__u64 time;
	__u32 tgid;
	__u32 unused2;
	__u8 label[SECRET_LABEL];
	__u8 secret[64];
	__u8 context[64];
};

struct process_record {
	__u8 kind;
	__u8 exited;
	__u16 size; // of the path that follows a start, 0 when it is not known; the record may be longer
	__u32 tgid;
	__u64 time;
	__u32 uid;
	__u32 unused;
};

enum {
	DIR_EGRESS,
	DIR_INGRESS,

	ROLE_UNKNOWN = 0,
	ROLE_CLIENT,
	ROLE_SERVER,

	SOCKET_CONNECT = 1,
	SOCKET_ESTABLISHED,
	SOCKET_OWNER,
	SOCKET_STATS,
	SOCKET_CLOSED,
	SOCKET_EXCLUDED,

	REASON_UNKNOWN = 0,
	REASON_FIN,
	REASON_RESET,
	REASON_TIMEOUT,
	REASON_REFUSED,

	SECRET_TLS13_DERIVE = 1,
	SECRET_KEY_LOG,

	TCP_FIN = 1 << 0,
	TCP_SYN = 1 << 1,
	TCP_RST = 1 << 2,
	TCP_ACK = 1 << 4,
};
