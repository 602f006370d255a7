// SPDX-License-Identifier: Apache-2.0 OR GPL-2.0

// Starts and ends of processes.

#pragma once

#include "common.h"

inline_always int emit_process(struct task_struct *task, __u8 exited)
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
	r->tgid = task->tgid;
	r->time = bpf_ktime_get_ns();
	submit(r);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int process_exec(__u64 *ctx)
{
	return emit_process((struct task_struct *)ctx[0], 0);
}

SEC("tp_btf/sched_process_exit")
int process_exit(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];

	// The count is already without the thread that exits.
	if (task->signal->live.counter)
		return 0;
	return emit_process(task, 1);
}

// Run once by the loader: user space in a PID namespace does not know its number outside.
SEC("raw_tp/sched_switch")
int who_am_i(__u64 *ctx)
{
	own_tgid = bpf_get_current_pid_tgid() >> 32;
	return 0;
}
