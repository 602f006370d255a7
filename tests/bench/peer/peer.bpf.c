// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

//go:build ignore

// How other tools read what a program says: the buffers of its calls, copied when a call ends.
// For the comparison in tests/bench only; nothing of it is shipped.

#include "../../../bpf/helpers.h"

char LICENSE[] SEC("license") = "GPL";

#if defined(__TARGET_ARCH_x86)
#define regs_ret(r) ((r)->ax)
#else
#define regs_ret(r) ((r)->regs[0])
#endif

// What is copied of one call; the rest is cut.
#define MOST 16384
// Buffers of a writev that are copied.
#define PARTS 3

struct call {
	__u64 buf;
	__u64 parts; // 0: buf is the buffer, else the number of iovecs at buf
};

struct iovec {
	__u64 base, len;
};

struct header {
	__u64 time, thread;
	__u32 len, unused;
};

struct {
	map_uint(type, MAP_TYPE_HASH);
	map_uint(max_entries, 10240);
	map_type(key, __u64);
	map_type(value, struct call);
} calls SEC(".maps");

struct {
	map_uint(type, MAP_TYPE_RINGBUF);
	map_uint(max_entries, 64 << 20);
} ring SEC(".maps");

// The process that is watched, and its calls that did not fit into the ring.
volatile const __u32 watched = 0;
__u64 lost = 0;

#define COPY_AS(size)                                                                    \
	do {                                                                             \
		struct header *h = bpf_ringbuf_reserve(&ring, sizeof(*h) + (size), 0);   \
		if (!h) {                                                                \
			__sync_fetch_and_add(&lost, 1);                                  \
			return;                                                          \
		}                                                                        \
		h->time = bpf_ktime_get_ns();                                            \
		h->thread = bpf_get_current_pid_tgid();                                  \
		h->len = len;                                                            \
		h->unused = 0;                                                           \
		bpf_probe_read_user(h + 1, len, (const void *)buf);                      \
		bpf_ringbuf_submit(h, RINGBUF_NO_WAKEUP);                                \
	} while (0)

// copy has the smaller of two sizes, as a place in the ring has to have a constant one.
static global_func void copy(__u64 buf, __u64 n) {
	__u32 len = n > MOST ? MOST : n;
	if (len == 0)
		return;
	barrier_var(len);
	if (len <= 2048)
		COPY_AS(2048);
	else if (len <= MOST)
		COPY_AS(MOST);
}

inline_always bool is_watched(void) { return bpf_get_current_pid_tgid() >> 32 == watched; }

inline_always int enter(__u64 buf, __u64 parts) {
	if (is_watched()) {
		__u64 thread = bpf_get_current_pid_tgid();
		struct call c = {buf, parts};
		bpf_map_update_elem(&calls, &thread, &c, 0);
	}
	return 0;
}

inline_always int leave(long long ret) {
	if (!is_watched())
		return 0;
	__u64 thread = bpf_get_current_pid_tgid();
	struct call *found = bpf_map_lookup_elem(&calls, &thread);
	if (!found)
		return 0;
	struct call c = *found;
	bpf_map_delete_elem(&calls, &thread);
	if (ret <= 0)
		return 0;
	if (!c.parts) {
		copy(c.buf, ret);
		return 0;
	}
	for (int i = 0; i < PARTS && i < c.parts && ret > 0; i++) {
		struct iovec v;
		if (bpf_probe_read_user(&v, sizeof(v), (const void *)(c.buf + i * sizeof(v))))
			break;
		copy(v.base, (long long)v.len < ret ? v.len : ret);
		ret -= v.len;
	}
	return 0;
}

struct syscall_enter {
	__u64 common;
	__u64 number, args[6];
};

struct syscall_exit {
	__u64 common;
	__u64 number;
	long long ret;
};

// read, write, recvfrom, sendto
SEC("tracepoint")
int call_enter(struct syscall_enter *ctx) { return enter(ctx->args[1], 0); }

// writev
SEC("tracepoint")
int parts_enter(struct syscall_enter *ctx) { return enter(ctx->args[1], ctx->args[2]); }

SEC("tracepoint")
int call_exit(struct syscall_exit *ctx) { return leave(ctx->ret); }

// SSL_read and SSL_write (ssl, buf, num)
SEC("uprobe")
int tls_enter(struct pt_regs *ctx) { return enter(regs_parm2(ctx), 0); }

SEC("uretprobe")
int tls_exit(struct pt_regs *ctx) { return leave((__s32)regs_ret(ctx)); }

// SSL_write alone, without waiting for its end: what is said will be sent.
SEC("uprobe")
int tls_write(struct pt_regs *ctx) {
	__s32 n = regs_parm3(ctx);
	if (n > 0 && is_watched())
		copy(regs_parm2(ctx), n);
	return 0;
}
