// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// Starts and ends of processes.

#pragma once

#include "common.h"

// Which file this process executes, as the kernel's address of it.
__u64 own_inode = 0;

enum {
	PATH_ROOM = 256,     // a component may begin before here
	PATH_COMPONENT = 128, // with the zero at its end
	PATH_STEPS = 40,     // components and mounts
};

// A start: the names on the way from the file up to the root of its mount namespace, each with a zero.
struct exec_record {
	struct process_record head;
	char path[PATH_ROOM + PATH_COMPONENT];
};

inline_always void fill_process(struct process_record *r, __u32 tgid, __u8 exited)
{
	__builtin_memset(r, 0, sizeof(*r));
	r->kind = RECORD_PROCESS;
	r->exited = exited;
	r->tgid = tgid;
	r->time = bpf_ktime_get_ns();
	r->uid = bpf_get_current_uid_gid();
}

// file_path walks up from a file to the root of its mount namespace, as /proc/PID/exe does, and returns
// the size of what it wrote, 0 when the way is too long.
inline_always __u16 file_path(char *to, struct file *file)
{
	struct dentry *at = NULL, *parent, *mount_root;
	struct vfsmount *mnt = NULL;
	struct mount *m, *above;
	const unsigned char *name;
	__u32 size = 0;

	core_read(&at, file->f_path.dentry);
	core_read(&mnt, file->f_path.mnt);
	for (int i = 0; i < PATH_STEPS; i++) {
		if (!at || !mnt)
			return 0;
		mount_root = parent = NULL;
		core_read(&mount_root, mnt->mnt_root);
		core_read(&parent, at->d_parent);
		if (at == mount_root || at == parent) {
			m = (void *)mnt - core_offset(((struct mount *)0)->mnt);
			above = NULL;
			core_read(&above, m->mnt_parent);
			if (!above || above == m)
				return size;
			core_read(&at, m->mnt_mountpoint);
			mnt = (void *)above + core_offset(((struct mount *)0)->mnt);
			continue;
		}
		name = NULL;
		core_read(&name, at->d_name.name);
		if (size >= PATH_ROOM)
			return 0;
		barrier_var(size);
		size &= PATH_ROOM - 1;
		long n = bpf_probe_read_kernel_str(to + size, PATH_COMPONENT, name);
		if (n <= 1 || n >= PATH_COMPONENT)
			return 0;
		size += n;
		at = parent;
	}
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_exec(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct linux_binprm *bprm = (void *)ctx[2];
	__u32 tgid = task->tgid;
	__u8 one = 1;

	if (own_inode && (__u64)bprm->file->f_inode == own_inode)
		bpf_map_update_elem(&own_tgids, &tgid, &one, 0);
	else
		bpf_map_delete_elem(&own_tgids, &tgid);
	bpf_map_delete_elem(&denied_tgids, &tgid); // another image, of which nothing is decided yet
	if (!current_in_scope())
		return 0;
	struct exec_record *r = reserve(sizeof(*r), RECORD_PROCESS);
	if (!r)
		return 0;
	fill_process(&r->head, tgid, 0);
	r->head.size = file_path(r->path, bprm->file);
	// The reader is woken by a start: libraries are to be probed before their first handshake.
	bpf_ringbuf_submit(r, 0);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	__u32 tgid = task->tgid;

	// The count is already without the thread that exits.
	if (task->signal->live.counter)
		return 0;
	bpf_map_delete_elem(&own_tgids, &tgid);
	bpf_map_delete_elem(&denied_tgids, &tgid);
	if (!current_in_scope())
		return 0;
	struct process_record *r = reserve(sizeof(*r), RECORD_PROCESS);
	if (!r)
		return 0;
	fill_process(r, tgid, 1);
	submit(r);
	return 0;
}

// Run once by the loader: user space in a PID namespace does not know its number outside.
SEC("raw_tp/sched_switch")
int who_am_i(__u64 *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	__u32 tgid = bpf_get_current_pid_tgid() >> 32;
	struct mm_struct *mm = NULL;
	struct file *exe = NULL;
	__u8 one = 1;

	bpf_map_update_elem(&own_tgids, &tgid, &one, 0);
	core_read(&mm, task->mm);
	if (mm)
		core_read(&exe, mm->exe_file);
	if (exe)
		bpf_probe_read_kernel(&own_inode, sizeof(own_inode), __builtin_preserve_access_index(&exe->f_inode));
	return 0;
}
