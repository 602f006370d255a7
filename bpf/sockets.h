// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// The life of TCP sockets, from the kernel's own books.

#pragma once

#include "orders.h"

// Ports that were listened on when the capture began, by network namespace: they tell which
// end of an older connection is the server.
struct port_key {
	__u32 netns;
	__u32 port;
};

struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 16384);
	map_type(key, struct port_key);
	map_type(value, __u8);
} listeners SEC(".maps");

// Number of the running scan; scan 1 only collects listeners.
__u32 scan = 0;

struct owner {
	__u32 tgid, uid;
	__u64 cgroup;
	char comm[16];
};

inline_always void current_owner(struct owner *o)
{
	o->tgid = bpf_get_current_pid_tgid() >> 32;
	o->uid = bpf_get_current_uid_gid();
	o->cgroup = bpf_get_current_cgroup_id();
	current_comm(o->comm);
}

inline_always void emit_socket(struct sock *sk, struct sock_state *st, __u8 what, const struct tuple *t,
			       const struct owner *o)
{
	struct tcp_sock *tp = (void *)sk;
	struct socket_record *r;
	__u32 rtt = 0, end = 0, again = 0;
	unsigned long flags = 0;
	__u64 bytes = 0;

	r = reserve(sizeof(*r), RECORD_SOCKET);
	if (!r)
		return;
	__builtin_memset(r, 0, sizeof(*r));
	r->kind = RECORD_SOCKET;
	r->what = what;
	r->role = st->role;
	r->reason = what == SOCKET_CLOSED ? st->reason : 0;
	r->cookie = cookie_of(sk, st);
	r->time = bpf_ktime_get_ns();
	r->addr = *t;
	if (o) {
		r->tgid = o->tgid;
		r->uid = o->uid;
		r->cgroup = o->cgroup;
		__builtin_memcpy(r->comm, o->comm, sizeof(r->comm));
	} else
		r->cgroup = cgroup_id(sock_cgroup(sk));
	core_read(&r->rcv_nxt, tp->rcv_nxt);
	core_read(&r->snd_nxt, tp->snd_nxt);
	core_read(&r->segs_out, tp->segs_out);
	core_read(&r->segs_in, tp->segs_in);
	core_read(&r->retransmits, tp->total_retrans);
	core_read(&rtt, tp->srtt_us);
	r->rtt_us = rtt >> 3;
	core_read(&r->bytes_acked, tp->bytes_acked);
	core_read(&r->bytes_received, tp->bytes_received);
	core_read(&r->snd_una, tp->snd_una);
	core_read(&end, tp->write_seq);
	// A scan reads sockets that are at work: what was read first must still be there.
	if (core_read(&again, tp->rcv_nxt) || again != r->rcv_nxt || core_read(&again, tp->snd_nxt) ||
	    again != r->snd_nxt || core_read(&bytes, tp->bytes_acked) || bytes != r->bytes_acked)
		r->flags |= SOCKET_TORN;
	core_read(&flags, sk->__sk_common.skc_flags);
	if (!st->opened)
		r->flags |= SOCKET_PRE_EXISTING;
	if (st->role == ROLE_CLIENT && r->bytes_acked)
		r->flags |= SOCKET_SYN_ACKED;
	if (st->fin_sent && r->snd_una == end)
		r->flags |= SOCKET_FIN_ACKED;
	if (flags & SK_FLAG_DONE)
		r->flags |= SOCKET_FIN_RECEIVED;
	submit(r);
}

// wanted decides about a socket outside the packet path; it may settle the verdict.
inline_always bool wanted(struct sock *sk, struct sock_state *st, const struct tuple *t)
{
	heed(st, cookie_of(sk, st));
	if (st->order == ORDER_NONE)
		return false;
	if (st->verdict != VERDICT_OPEN)
		return st->verdict == VERDICT_PASS;
	if (is_own(sk, st)) {
		if (t->local_port) { // a connecting socket may have no port yet
			__u64 cookie = cookie_of(sk, st);

			own_peer(cookie, t);
			emit_excluded(cookie, t);
			st->verdict = VERDICT_SKIP;
		}
		return false;
	}
	if (is_own_peer(t)) {
		emit_excluded(cookie_of(sk, st), t);
		st->verdict = VERDICT_SKIP;
		return false;
	}
	if (filtered(st->role, t->local_port, t->remote_port) || !sock_in_scope(sk)) {
		st->verdict = VERDICT_SKIP;
		return false;
	}
	return true;
}

inline_always void note_close(struct sock *sk, struct sock_state *st, int from)
{
	int err = sk->sk_err;

	if (err == ECONNREFUSED)
		st->reason = REASON_REFUSED;
	else if (err == ECONNRESET || err == EPIPE)
		st->reason = REASON_RESET;
	else if (err == ETIMEDOUT)
		st->reason = REASON_TIMEOUT;
	else if (err || from == TCP_SYN_SENT)
		st->reason = REASON_UNKNOWN;
	else if (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT || from == TCP_SYN_RECV)
		st->reason = REASON_RESET; // by this end: closed without a FIN
	else
		st->reason = REASON_FIN;
}

// begin forgets what was before a connection: a socket may connect again after a failure, and an
// address in sock_table may have been another socket's.
inline_always void begin(struct sock_state *st)
{
	__builtin_memset(st, 0, sizeof(*st));
	if (!sock_helpers)
		st->cookie = new_cookie();
}

// listener_state keeps the books of own listeners.
inline_always int listener_state(struct sock *sk, bool listens)
{
	struct listen_key key = {.netns = sock_netns(sk)};
	struct tuple t = {};
	__u8 one = 1;

	if (listens && !current_is_own())
		return 0;
	if (listens && sock_helpers) {
		bpf_sk_storage_get(&own_socks, sk, NULL, STORAGE_CREATE); // what it accepts inherits the mark
		return 0;
	}
	sock_tuple(sk, &t);
	__builtin_memcpy(key.addr, t.local, 16);
	key.port = t.local_port;
	if (listens) {
		bpf_map_update_elem(&own_listeners, &key, &one, 0);
		own_listening = 1;
	} else if (own_listening)
		bpf_map_delete_elem(&own_listeners, &key);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int socket_state(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	int from = ctx[1], to = ctx[2];
	struct sock_state *st;
	struct tuple t = {};

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (to == TCP_LISTEN || (from == TCP_LISTEN && to == TCP_CLOSE))
		return listener_state(sk, to == TCP_LISTEN);

	st = state_of(sk, to == TCP_SYN_SENT || to == TCP_SYN_RECV || to == TCP_ESTABLISHED);
	if (!st)
		return 0;
	if (to == TCP_SYN_SENT || (!sock_helpers && to == TCP_SYN_RECV && from != TCP_SYN_SENT))
		begin(st);
	// In this transition and to LISTEN the current task is the one that acts; in others it may be
	// whoever the packet's arrival interrupted.
	if (to == TCP_SYN_SENT && current_is_own())
		mark_own(sk, st);
	sock_tuple(sk, &t);
	if (to == TCP_SYN_SENT) {
		struct owner o = {};

		if (sock_helpers) {
			__u64 cookie = bpf_get_socket_cookie(sk);

			bpf_map_delete_elem(&orders, &cookie); // it was about an attempt before this one
		}
		st->role = ROLE_CLIENT;
		st->opened = 1;
		st->owned = 1;
		if (!wanted(sk, st, &t))
			return 0;
		current_owner(&o);
		emit_socket(sk, st, SOCKET_CONNECT, &t, &o);
	} else if (to == TCP_SYN_RECV) {
		if (from != TCP_SYN_SENT)
			st->role = ROLE_SERVER;
		st->opened = 1;
		if (listens_own(sk, &t, true))
			mark_own(sk, st);
	} else if (to == TCP_ESTABLISHED) {
		if (!st->role)
			st->role = from == TCP_SYN_SENT ? ROLE_CLIENT : ROLE_SERVER;
		st->opened = 1;
		if (wanted(sk, st, &t))
			emit_socket(sk, st, SOCKET_ESTABLISHED, &t, NULL);
	} else if (to == TCP_FIN_WAIT1 || to == TCP_LAST_ACK) {
		st->fin_sent = 1;
	} else if (to == TCP_CLOSE && from != TCP_CLOSE) {
		// Not when the socket is destroyed: a program may keep it long after a reset, and
		// addresses and counters may be gone by then.
		note_close(sk, st, from);
		if (wanted(sk, st, &t))
			emit_socket(sk, st, SOCKET_CLOSED, &t, NULL);
		st->closed = 1;
	}
	return 0;
}

SEC("tp_btf/tcp_destroy_sock")
int socket_destroy(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[0];
	struct tuple at = {}, t, peer;

	// The addresses may soon belong to somebody else.
	sock_tuple(sk, &at);
	peer_key(&t, &at);
	if (!sock_helpers) {
		__u64 key = (__u64)sk;

		bpf_map_delete_elem(&sock_table, &key);
	}
	if (!(sock_helpers && bpf_sk_storage_get(&own_socks, sk, NULL, 0)) && !bpf_map_lookup_elem(&own_peers, &t))
		return 0;
	reverse(&peer, &t);
	bpf_map_delete_elem(&own_peers, &peer);
	bpf_map_delete_elem(&own_peers, &t);
	return 0;
}

// touch reports the owner of an accepted socket the first time a process uses it.
inline_always int touch(struct sock *sk)
{
	struct sock_state *st;
	struct owner o = {};
	struct tuple t = {};

	__u16 family = sk->__sk_common.skc_family;
	if (sk->sk_protocol != IPPROTO_TCP || (family != AF_INET && family != AF_INET6))
		return 0;
	st = state_of(sk, true);
	// A program may accept a connection after its reset: it has ended for everybody who follows it.
	if (!st || st->owned || st->closed)
		return 0;
	st->owned = 1;
	sock_tuple(sk, &t);
	if (current_is_own()) // whatever the marks have missed
		mark_own(sk, st);
	if (!t.remote_port || !wanted(sk, st, &t))
		return 0;
	current_owner(&o);
	emit_socket(sk, st, SOCKET_OWNER, &t, &o);
	return 0;
}

SEC("tp_btf/sock_send_length")
int socket_send(__u64 *ctx)
{
	return touch((struct sock *)ctx[0]);
}

SEC("tp_btf/sock_recv_length")
int socket_recv(__u64 *ctx)
{
	return touch((struct sock *)ctx[0]);
}

// Where there are no such tracepoints, the process that accepts a socket is its owner. Only loaded
// into kernels before 6.3, where the function has four arguments.
SEC("fexit/inet_csk_accept")
int socket_accept(__u64 *ctx)
{
	struct sock *sk = (void *)ctx[4];

	return sk ? touch(sk) : 0;
}

// Marks own sockets before anything happens on them.
SEC("cgroup/sock_create")
int socket_create(struct bpf_sock *ctx)
{
	if (ctx->protocol == IPPROTO_TCP && current_is_own())
		bpf_sk_storage_get(&own_socks, ctx, NULL, STORAGE_CREATE);
	return 1;
}

// file_sock returns the socket that a file is, or NULL.
inline_always struct sock *file_sock(struct file *file)
{
	struct socket *socket = NULL;
	struct inode *inode = NULL;
	struct file *back = NULL;
	struct sock *sk = NULL;
	__u16 mode = 0;

	if (sock_helpers) {
		socket = bpf_sock_from_file(file);
		return socket ? socket->sk : NULL;
	}
	core_read(&inode, file->f_inode);
	core_read(&mode, inode->i_mode);
	if ((mode & S_IFMT) != S_IFSOCK)
		return NULL;
	core_read(&socket, *(struct socket **)&file->private_data);
	core_read(&back, socket->file);
	if (back != file)
		return NULL;
	core_read(&sk, socket->sk);
	return sk;
}

// opener finds out from the kernel's own books which end a connection's socket is, when its handshake
// was not seen: bytes_acked counts the SYN of the end that opened it, and nothing for the other, while
// bytes_sent is payload alone. Retransmits are counted in ways that differ; then the books do not tell.
// A socket that was restored by TCP_REPAIR has no books of its handshake either: it looks accepted.
inline_always __u8 opener(struct sock *sk, __u8 state)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 retransmits = 1, una = 0, nxt = 0, again = 0;
	__u64 acked = 0, sent = 0, more = 0;

	if (state != TCP_ESTABLISHED && state != TCP_CLOSE_WAIT) // a FIN counts as well
		return ROLE_UNKNOWN;
	core_read(&acked, tp->bytes_acked);
	core_read(&una, tp->snd_una);
	core_read(&nxt, tp->snd_nxt);
	core_read(&sent, tp->bytes_sent);
	core_read(&retransmits, tp->total_retrans);
	if (retransmits || core_read(&again, tp->snd_una) || again != una || core_read(&again, tp->snd_nxt) || again != nxt ||
	    core_read(&more, tp->bytes_acked) || more != acked)
		return ROLE_UNKNOWN;
	acked += nxt - una;
	return acked == sent ? ROLE_SERVER : acked == sent + 1 ? ROLE_CLIENT : ROLE_UNKNOWN;
}

// The walk over all open files finds the sockets of every network namespace, with their
// owners: those that existed before, and the counters of all from time to time.
SEC("iter/task_file")
int socket_scan(struct task_file_ctx *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct sock_state *st;
	struct tuple t = {};
	struct owner o = {};
	__u16 family = 0, protocol = 0, num = 0;
	__u8 state = 0;

	if (!task || !file)
		return 0;
	struct sock *sk = file_sock(file);
	if (!sk)
		return 0;
	core_read(&family, sk->__sk_common.skc_family);
	core_read(&protocol, sk->sk_protocol);
	if ((family != AF_INET && family != AF_INET6) || protocol != IPPROTO_TCP)
		return 0;

	core_read(&state, sk->__sk_common.skc_state);
	struct port_key key = {.netns = sock_netns(sk)};
	if (scan == 1) {
		__u8 one = 1;

		if (state != TCP_LISTEN)
			return 0;
		core_read(&num, sk->__sk_common.skc_num);
		key.port = num;
		bpf_map_update_elem(&listeners, &key, &one, 0);
		return 0;
	}
	if (state == TCP_LISTEN || state == TCP_CLOSE || state == TCP_SYN_SENT)
		return 0;
	st = state_of(sk, true);
	if (!st || st->scanned == scan)
		return 0;
	st->scanned = scan;
	sock_tuple(sk, &t);
	if (!st->role) {
		// An accepted socket has its listener's port, and no other socket can take that port
		// while the listener is there. That nothing listens there says nothing: it may be gone.
		key.port = t.local_port;
		st->role = bpf_map_lookup_elem(&listeners, &key) ? ROLE_SERVER : opener(sk, state);
	}
	if (!wanted(sk, st, &t))
		return 0;

	if (!st->owned) {
		const struct cred *cred = NULL;
		struct task_struct *leader = NULL;

		st->owned = 1;
		o.tgid = task->tgid;
		o.cgroup = cgroup_id(sock_cgroup(sk));
		core_read(&cred, task->cred);
		if (cred)
			core_read(&o.uid, cred->uid.val);
		core_read(&leader, task->group_leader);
		if (leader)
			core_read(&o.comm, leader->comm);
		emit_socket(sk, st, st->opened ? SOCKET_OWNER : SOCKET_STATS, &t, &o);
	} else
		emit_socket(sk, st, SOCKET_STATS, &t, NULL);
	return 0;
}
