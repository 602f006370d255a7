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

// Whether tracing programs may use socket storage, socket cookies and bpf_sock_from_file, which they
// all may since Linux 5.12. The loader finds it in the kernel's BTF; the verifier then never looks at
// the other branch. Without them a socket is known by its address while it lives, in sock_table, and
// its cookie is a number of our own.
const volatile __u8 sock_helpers = 0;

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
	// What user space has ordered, see orders.h.
	__u8 order;
	__u8 order_reason;
	__u8 skip;
	__u8 order_serial;
	__u32 heeded;
	__u32 until[2];
	__u32 burst[2];
	// Without sock_helpers only:
	__u8 own; // what else own_socks says
	// A body whose rest is not wanted, see length.h.
	__u8 body; // 1<<dir
	__u8 unused[2];
	__u64 cookie; // without sock_helpers only
	__u32 netns; // once a packet has asked for it
	__u32 body_from; // sequence numbers
	__u32 body_until;
	__u32 unused2;
};

struct {
	map_uint(type, MAP_TYPE_SK_STORAGE);
	map_uint(map_flags, MAP_NO_PREALLOC);
	map_type(key, int);
	map_type(value, struct sock_state);
} sock_states SEC(".maps");

// The same without sock_helpers, by the address of the socket. An entry is removed when the socket is
// destroyed and begun anew with a connection, so an address that is used again is not mistaken.
struct {
	map_uint(type, MAP_TYPE_LRU_HASH);
	map_uint(max_entries, 65536); // the loader makes it small where it is not used
	map_type(key, __u64);
	map_type(value, struct sock_state);
} sock_table SEC(".maps");

// Processes of this program: this one and others on the host. All that follows with own in its
// name is theirs.
struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 1024);
	map_type(key, __u32);
	map_type(value, __u8);
} own_tgids SEC(".maps");

// Processes of which rules keep no request: their TLS secrets are not read.
struct {
	map_uint(type, MAP_TYPE_LRU_HASH);
	map_uint(max_entries, 16384);
	map_type(key, __u32);
	map_type(value, __u8);
} denied_tgids SEC(".maps");

// Own sockets, and what they accept.
struct {
	map_uint(type, MAP_TYPE_SK_STORAGE);
	map_uint(map_flags, MAP_NO_PREALLOC | MAP_CLONE);
	map_type(key, int);
	map_type(value, __u32);
} own_socks SEC(".maps");

// Ends of own connections, by their addresses (peer_key): mostly the other ends, whose socket
// cannot be marked.
struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 16384);
	map_type(key, struct tuple);
	map_type(value, __u64);
} own_peers SEC(".maps");

// Cgroup that is captured, 0 for the whole hierarchy.
const volatile __u64 scope_cgroup = 0;
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
// Set while user space can afford nothing but the lives and the counters of sockets: no segment is copied and no
// secret is read, of whatever connection.
__u32 paused = 0;
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

// new_cookie makes a number that no other socket has: by time, and by chance for the same time.
inline_always __u64 new_cookie(void)
{
	return bpf_ktime_get_ns() ^ (__u64)bpf_get_prandom_u32() << 32;
}

inline_always struct sock_state *table_state(__u64 sk, bool create)
{
	struct sock_state *st = bpf_map_lookup_elem(&sock_table, &sk), fresh = {};

	if (st || !create)
		return st;
	fresh.cookie = new_cookie();
	bpf_map_update_elem(&sock_table, &sk, &fresh, MAP_NOEXIST);
	return bpf_map_lookup_elem(&sock_table, &sk);
}

// state_of returns the state of a socket, in tracing programs.
inline_always struct sock_state *state_of(struct sock *sk, bool create)
{
	if (sock_helpers)
		return bpf_sk_storage_get(&sock_states, sk, NULL, create ? STORAGE_CREATE : 0);
	return table_state((__u64)sk, create);
}

inline_always __u64 cookie_of(struct sock *sk, const struct sock_state *st)
{
	return sock_helpers ? bpf_get_socket_cookie(sk) : st->cookie;
}

inline_always bool is_own(void *sk, const struct sock_state *st)
{
	return sock_helpers ? bpf_sk_storage_get(&own_socks, sk, NULL, 0) != NULL : st->own;
}

inline_always void mark_own(void *sk, struct sock_state *st)
{
	if (sock_helpers)
		bpf_sk_storage_get(&own_socks, sk, NULL, STORAGE_CREATE);
	else
		st->own = 1;
}

inline_always bool current_is_own(void)
{
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;

	return bpf_map_lookup_elem(&own_tgids, &tgid);
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
	struct net *net = NULL;
	__u32 inum = 0;

	core_read(&net, sk->__sk_common.skc_net.net);
	if (net)
		core_read(&inum, net->ns.inum);
	return inum;
}

// sock_tuple reads a socket's addresses, by copies: to the scan of kernels without
// bpf_sock_from_file the socket is only a number.
inline_always void sock_tuple(struct sock *sk, struct tuple *t)
{
	__u16 family = 0, port = 0, remote_port = 0;
	__u32 local = 0, remote = 0;

	core_read(&family, sk->__sk_common.skc_family);
	if (family == AF_INET) {
		core_read(&local, sk->__sk_common.skc_rcv_saddr);
		core_read(&remote, sk->__sk_common.skc_daddr);
		map_v4(t->local, local);
		map_v4(t->remote, remote);
	} else {
		bpf_probe_read_kernel(t->local, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_rcv_saddr));
		bpf_probe_read_kernel(t->remote, 16, __builtin_preserve_access_index(&sk->__sk_common.skc_v6_daddr));
	}
	// skc_num is already 0 when a socket closes; inet_sport is still there.
	core_read(&port, ((struct inet_sock *)sk)->inet_sport);
	t->local_port = ntohs(port);
	core_read(&remote_port, sk->__sk_common.skc_dport);
	t->remote_port = ntohs(remote_port);
	t->netns = sock_netns(sk);
}

// peer_key is a tuple as both ends of a connection know it: they share the namespace only on
// loopback, whose addresses every namespace has.
inline_always void peer_key(struct tuple *k, const struct tuple *t)
{
	*k = *t;
	if (!is_loopback(t->remote))
		k->netns = 0;
}

inline_always bool is_own_peer(const struct tuple *t)
{
	struct tuple k;

	peer_key(&k, t);
	return bpf_map_lookup_elem(&own_peers, &k);
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
	// With net_cls or net_prio in use the low bits tell that there is no pointer.
	return (__u64)cg & 3 ? NULL : cg;
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

// cgroup_in_scope walks up to the root.
inline_always bool cgroup_in_scope(struct cgroup *cg)
{
	for (int i = 0; i < 32 && cg; i++) {
		struct cgroup_subsys_state *parent = NULL;

		if (cgroup_id(cg) == scope_cgroup)
			return true;
		core_read(&parent, cg->self.parent);
		cg = (struct cgroup *)parent;
	}
	return false;
}

// sock_in_scope asks the socket's cgroup: softirq context has no useful current task.
inline_always bool sock_in_scope(struct sock *sk)
{
	return !scope_cgroup || cgroup_in_scope(sock_cgroup(sk));
}

// current_in_scope does without bpf_get_current_ancestor_cgroup_id, which tracing programs have
// since Linux 5.15 only.
inline_always bool current_in_scope(void)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct css_set *set = NULL;
	struct cgroup *cg = NULL;

	if (!scope_cgroup)
		return true;
	core_read(&set, task->cgroups);
	if (set)
		core_read(&cg, set->dfl_cgrp);
	return cgroup_in_scope(cg);
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
	struct tuple k, peer;

	peer_key(&k, t);
	reverse(&peer, &k);
	bpf_map_update_elem(&own_peers, &peer, &cookie, 0);
}
