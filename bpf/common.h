// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// State and decisions that the programs share.

#pragma once

#include "abi.h"
#include "kernel.h"

struct {
	map_uint(type, MAP_TYPE_RINGBUF);
	map_uint(max_entries, 64 << 20); // replaced by the loader
} ring SEC(".maps");

struct listen_key {
	__u8 addr[16]; // as bound, :: or ::ffff:0.0.0.0 for all
	__u32 port;
	__u32 netns;
};

// What own processes listened on when the capture began. The sockets themselves cannot be marked
// from user space: an MPTCP listener, as Go's servers have, hides a TCP socket inside.
struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 1024);
	map_type(key, struct listen_key);
	map_type(value, __u8);
} own_listeners SEC(".maps");

enum verdict {
	VERDICT_OPEN,
	VERDICT_PASS,
	VERDICT_SKIP,
};

// What is known of a socket; it dies with the socket. Fields are bytes of their own, so that
// writers on several CPUs do not undo each other.
struct sock_state {
	__u8 role;
	__u8 verdict;
	__u8 checks;   // payload packets that found no reason to skip
	__u8 opened;   // its handshake was seen: not pre-existing
	__u8 owned;    // the owner was reported
	__u8 fin_sent;
	__u8 reason;
	__u8 closed;   // the end was reported: nothing follows
	__u32 scanned; // number of the last scan that reported it
};

struct {
	map_uint(type, MAP_TYPE_SK_STORAGE);
	map_uint(map_flags, MAP_NO_PREALLOC);
	map_type(key, int);
	map_type(value, struct sock_state);
} sock_states SEC(".maps");

// Processes of this program: this one and others on the host. All that follows with own in its
// name is theirs.
struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 1024);
	map_type(key, __u32);
	map_type(value, __u8);
} own_tgids SEC(".maps");

// Own sockets, and what they accept.
struct {
	map_uint(type, MAP_TYPE_SK_STORAGE);
	map_uint(map_flags, MAP_NO_PREALLOC | MAP_CLONE);
	map_type(key, int);
	map_type(value, __u32);
} own_socks SEC(".maps");

// Ends of own connections, by their addresses: mostly the other ends, whose socket
// cannot be marked.
struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 16384);
	map_type(key, struct tuple);
	map_type(value, __u64);
} own_peers SEC(".maps");

// Cgroup that is captured, 0 for the whole hierarchy, and its depth below the root.
const volatile __u64 scope_cgroup = 0;
const volatile __u32 scope_level = 0;
// Ports are filtered by the bits of port_bits when set.
const volatile __u8 filter_ports = 0;
// Roles that are captured: bit 1<<ROLE_CLIENT, 1<<ROLE_SERVER.
const volatile __u8 wanted_roles = 6;
const volatile __u64 port_bits[1024] = {};
// Bytes of the ring that packets may fill; the rest is for what is small and cannot be had
// again: lives of sockets, secrets, processes.
const volatile __u64 packet_room = 0;

// Set when own_listeners has entries.
__u32 own_listening = 0;
// Records that found no room, by kind.
__u64 lost[RECORD_KINDS] = {};

inline_always void *reserve(__u64 size, __u32 kind)
{
	void *r = NULL;

	if (kind != RECORD_PACKET || bpf_ringbuf_query(&ring, RINGBUF_AVAIL_DATA) + size <= packet_room)
		r = bpf_ringbuf_reserve(&ring, size, 0);
	if (!r)
		__sync_fetch_and_add(&lost[kind], 1);
	return r;
}

inline_always void submit(void *record)
{
	// The reader drains every 10 ms by itself; a wakeup per record would cost more than the record.
	bpf_ringbuf_submit(record, RINGBUF_NO_WAKEUP);
}

inline_always bool current_is_own(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&own_tgids, &tgid);
}

inline_always bool current_in_scope(void)
{
	return !scope_cgroup || bpf_get_current_ancestor_cgroup_id(scope_level) == scope_cgroup;
}

inline_always void current_comm(char *comm)
{
	struct task_struct *task = (void *)bpf_get_current_task(), *leader = NULL;

	// The thread's own name says less than the process's.
	core_read(&leader, task->group_leader);
	if (leader)
		bpf_probe_read_kernel(comm, 16, __builtin_preserve_access_index(&leader->comm));
}

inline_always bool port_bit(__u16 port)
{
	return port_bits[port >> 6] >> (port & 63) & 1;
}

// filtered says that the configuration leaves a connection out. While the role is unknown,
// user space decides.
inline_always bool filtered(__u8 role, __u16 local_port, __u16 remote_port)
{
	if (role == ROLE_UNKNOWN)
		return filter_ports && !port_bit(local_port) && !port_bit(remote_port);
	if (!(wanted_roles >> role & 1))
		return true;
	return filter_ports && !port_bit(role == ROLE_SERVER ? local_port : remote_port);
}

inline_always void map_v4(__u8 *to, __u32 addr)
{
	__u32 words[4] = {0, 0, ntohl(0xffff), addr};
	__builtin_memcpy(to, words, 16);
}

inline_always bool is_loopback(const __u8 *addr)
{
	__u32 w[4];
	__builtin_memcpy(w, addr, 16);
	if (w[0] || w[1])
		return false;
	return (w[2] == ntohl(0xffff) && addr[12] == 127) || (!w[2] && w[3] == ntohl(1));
}

inline_always void reverse(struct tuple *to, const struct tuple *from)
{
	__builtin_memcpy(to->local, from->remote, 16);
	__builtin_memcpy(to->remote, from->local, 16);
	to->local_port = from->remote_port;
	to->remote_port = from->local_port;
	to->netns = from->netns;
}

inline_always __u32 sock_netns(struct sock *sk)
{
	return sk->__sk_common.skc_net.net->ns.inum;
}

// sock_tuple reads a socket's addresses.
inline_always void sock_tuple(struct sock *sk, struct tuple *t)
{
	__u16 port = 0;

	if (sk->__sk_common.skc_family == AF_INET) {
		map_v4(t->local, sk->__sk_common.skc_rcv_saddr);
		map_v4(t->remote, sk->__sk_common.skc_daddr);
	} else {
		bpf_probe_read_kernel(t->local, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_rcv_saddr));
		bpf_probe_read_kernel(t->remote, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_daddr));
	}
	// skc_num is already 0 when a socket closes; inet_sport is still there.
	core_read(&port, ((struct inet_sock *)sk)->inet_sport);
	t->local_port = ntohs(port);
	t->remote_port = ntohs(sk->__sk_common.skc_dport);
	t->netns = is_loopback(t->remote) ? sock_netns(sk) : 0;
}

// listens_own says whether a socket is bound where an own process listened from the start on.
inline_always bool listens_own(struct sock *sk, const struct tuple *t, bool any_addr)
{
	struct listen_key k = {.port = t->local_port};

	if (!own_listening)
		return false;
	k.netns = sock_netns(sk);
	__builtin_memcpy(k.addr, t->local, 16);
	if (bpf_map_lookup_elem(&own_listeners, &k))
		return true;
	if (!any_addr)
		return false;
	__builtin_memset(k.addr, 0, 16);
	if (bpf_map_lookup_elem(&own_listeners, &k))
		return true;
	map_v4(k.addr, 0);
	return bpf_map_lookup_elem(&own_listeners, &k);
}

inline_always struct cgroup *sock_cgroup(struct sock *sk)
{
	struct cgroup *cg = NULL;

	if (core_has(sk->sk_cgrp_data.cgroup))
		core_read(&cg, sk->sk_cgrp_data.cgroup);
	else
		core_read((__u64 *)&cg, sk->sk_cgrp_data.val);
	return cg;
}

inline_always __u64 cgroup_id(struct cgroup *cg)
{
	struct kernfs_node *kn = NULL;
	__u64 id = 0;

	core_read(&kn, cg->kn);
	if (kn)
		core_read(&id, kn->id);
	return id;
}

// sock_in_scope walks up from the socket's cgroup: softirq context has no useful current task.
inline_always bool sock_in_scope(struct sock *sk)
{
	if (!scope_cgroup)
		return true;
	struct cgroup *cg = sock_cgroup(sk);
	for (int i = 0; i < 32 && cg; i++) {
		struct cgroup_subsys_state *parent = NULL;

		if (cgroup_id(cg) == scope_cgroup)
			return true;
		core_read(&parent, cg->self.parent);
		cg = (struct cgroup *)parent;
	}
	return false;
}

inline_always void emit_excluded(__u64 cookie, const struct tuple *t)
{
	struct socket_record *r = reserve(sizeof(*r), RECORD_SOCKET);

	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->kind = RECORD_SOCKET;
	r->what = SOCKET_EXCLUDED;
	r->cookie = cookie;
	r->time = bpf_ktime_get_ns();
	r->addr = *t;
	submit(r);
}

// own_peer remembers the other end of an own connection by its addresses.
inline_always void own_peer(__u64 cookie, const struct tuple *t)
{
	struct tuple peer;

	reverse(&peer, t);
	bpf_map_update_elem(&own_peers, &peer, &cookie, 0);
}
