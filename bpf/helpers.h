// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// The part of the BPF runtime that the programs use: helpers by number, map declarations,
// program contexts. All of it is kernel ABI and so never changes. Own declarations instead of
// libbpf's and linux-libc-dev's make the object depend on the pinned compiler alone.

#pragma once

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;
typedef _Bool bool;
#define true 1
#define false 0
#define NULL ((void *)0)

#define SEC(name) __attribute__((section(name), used))
#define inline_always static inline __attribute__((always_inline))
// A global function is verified once, alone, whatever calls it.
#define global_func __attribute__((noinline))

#define map_uint(name, val) int(*name)[val]
#define map_type(name, val) typeof(val) *name

enum {
	MAP_TYPE_HASH = 1,
	MAP_TYPE_LRU_HASH = 9,
	MAP_TYPE_SK_STORAGE = 24,
	MAP_TYPE_RINGBUF = 27,

	MAP_NO_PREALLOC = 1 << 0,
	// The storage of a listener is copied to the sockets it accepts.
	MAP_CLONE = 1 << 9,

	MAP_NOEXIST = 1,
	STORAGE_CREATE = 1 << 0,
	RINGBUF_NO_WAKEUP = 1 << 0,
	RINGBUF_FORCE_WAKEUP = 1 << 1,
	RINGBUF_AVAIL_DATA = 0,
};

struct bpf_sock;
struct file;
struct socket;
struct tcp_sock;

static void *(*const bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*const bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*const bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*const bpf_ktime_get_ns)(void) = (void *)5;
static __u32 (*const bpf_get_prandom_u32)(void) = (void *)7;
static __u64 (*const bpf_get_current_pid_tgid)(void) = (void *)14;
static __u64 (*const bpf_get_current_uid_gid)(void) = (void *)15;
static long (*const bpf_skb_load_bytes)(const void *skb, __u32 off, void *to, __u32 len) = (void *)26;
static __u64 (*const bpf_get_current_task)(void) = (void *)35;
static __u64 (*const bpf_get_socket_cookie)(void *ctx) = (void *)46;
static __u64 (*const bpf_get_current_cgroup_id)(void) = (void *)80;
static struct bpf_sock *(*const bpf_sk_fullsock)(struct bpf_sock *sk) = (void *)95;
static void *(*const bpf_sk_storage_get)(void *map, void *sk, void *value, __u64 flags) = (void *)107;
static long (*const bpf_probe_read_user)(void *dst, __u32 size, const void *src) = (void *)112;
static long (*const bpf_probe_read_kernel)(void *dst, __u32 size, const void *src) = (void *)113;
static long (*const bpf_probe_read_kernel_str)(void *dst, __u32 size, const void *src) = (void *)115;
static void *(*const bpf_ringbuf_reserve)(void *ring, __u64 size, __u64 flags) = (void *)131;
static void (*const bpf_ringbuf_submit)(void *data, __u64 flags) = (void *)132;
static __u64 (*const bpf_ringbuf_query)(void *ring, __u64 flags) = (void *)134;
static struct tcp_sock *(*const bpf_skc_to_tcp_sock)(void *sk) = (void *)137;
static long (*const bpf_probe_read_user_str)(void *dst, __u32 size, const void *src) = (void *)114;
static struct socket *(*const bpf_sock_from_file)(struct file *file) = (void *)162;
static __u64 (*const bpf_get_attach_cookie)(void *ctx) = (void *)174;

// core_read copies a kernel field whose place the loader has looked up in this kernel's BTF.
#define core_read(dst, field) bpf_probe_read_kernel(dst, sizeof(*(dst)), __builtin_preserve_access_index(&(field)))
// core_offset is where this kernel has the field in its structure.
#define core_offset(field) __builtin_preserve_field_info(field, 0)
// core_has is 1 when this kernel's BTF has the field.
#define core_has(field) __builtin_preserve_field_info(field, 2)

// barrier_var keeps the compiler from undoing a bound that the verifier has to see.
#define barrier_var(v) asm volatile("" : "+r"(v))

inline_always __u16 ntohs(__u16 v) { return __builtin_bswap16(v); }
inline_always __u32 ntohl(__u32 v) { return __builtin_bswap32(v); }

// Contexts: the verifier checks accesses by offset.

struct bpf_sock {
	__u32 bound_dev_if, family, type, protocol, mark, priority;
	__u32 src_ip4, src_ip6[4];
	__u32 src_port; // host byte order
	__u16 dst_port; // network byte order
	__u16 unused;
	__u32 dst_ip4, dst_ip6[4];
	__u32 state;
};

struct __sk_buff {
	__u32 len, pkt_type, mark, queue_mapping, protocol, vlan_present, vlan_tci, vlan_proto;
	__u32 priority, ingress_ifindex, ifindex, tc_index, cb[5], hash, tc_classid;
	__u32 data, data_end, napi_id;
	__u32 family, remote_ip4, local_ip4, remote_ip6[4], local_ip6[4], remote_port, local_port;
	__u32 data_meta;
	__u64 flow_keys, tstamp;
	__u32 wire_len, gso_segs;
	struct bpf_sock *sk;
	__u32 gso_size;
};

struct task_file_ctx {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};

#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	__u64 r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di, orig_ax, ip, cs, flags, sp, ss;
};
#define regs_parm1(r) ((r)->di)
#define regs_parm2(r) ((r)->si)
#define regs_parm3(r) ((r)->dx)
#define regs_parm4(r) ((r)->cx)
#define regs_parm5(r) ((r)->r8)
#define regs_parm6(r) ((r)->r9)
// The seventh is on the stack, behind the return address. 0 when it could be read.
#define regs_parm7(r, to) bpf_probe_read_user(to, 8, (void *)((r)->sp + 8))
// Go's own calling convention (ABIInternal): integer registers in their order.
#define regs_go2(r) ((r)->bx)
#define regs_go3(r) ((r)->cx)
#define regs_go4(r) ((r)->di)
#define regs_go5(r) ((r)->si)
#define regs_go7(r) ((r)->r9)
#define regs_go8(r) ((r)->r10)
#elif defined(__TARGET_ARCH_arm64)
struct pt_regs {
	__u64 regs[31], sp, pc, pstate;
};
#define regs_parm1(r) ((r)->regs[0])
#define regs_parm2(r) ((r)->regs[1])
#define regs_parm3(r) ((r)->regs[2])
#define regs_parm4(r) ((r)->regs[3])
#define regs_parm5(r) ((r)->regs[4])
#define regs_parm6(r) ((r)->regs[5])
#define regs_parm7(r, to) (*(to) = (r)->regs[6], 0)
#define regs_go2(r) ((r)->regs[1])
#define regs_go3(r) ((r)->regs[2])
#define regs_go4(r) ((r)->regs[3])
#define regs_go5(r) ((r)->regs[4])
#define regs_go7(r) ((r)->regs[6])
#define regs_go8(r) ((r)->regs[7])
#else
#error "unknown target"
#endif
