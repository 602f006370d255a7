// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// Starts and ends of processes.

#pragma once

#include "common.h"

// Which file this process executes, as the kernel's address of it.
__u64 own_inode = 0;

inline_always int emit_process(__u32 tgid, __u8 exited)
{
	struct process_record *r;

	if (!current_in_scope())
		return 0;
	r = reserve(sizeof(*r), RECORD_PROCESS);
	if (!r)
		return 0;
	__builtin_memset(r, 0, sizeof(*r));
	r->kind = RECORD_PROCESS;
	r->exited = exited;
	r->tgid = tgid;
	r->time = bpf_ktime_get_ns();
	// The reader is woken by a start: libraries are to be probed before their first handshake.
	bpf_ringbuf_submit(r, exited ? RINGBUF_NO_WAKEUP : 0);
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
	return emit_process(tgid, 0);
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
	return emit_process(tgid, 1);
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
