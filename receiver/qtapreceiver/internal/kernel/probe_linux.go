// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// Names of optional features that decide what is attached.
const (
	featureTouch       = "tracepoints sock_send_length and sock_recv_length"
	featureAccept      = "fexit on inet_csk_accept"
	featureSockHelpers = "socket helpers in tracing programs"
	featureScan        = "iterator task_file"
	featureUprobeMulti = "uprobe_multi"
	featureCookies     = "cookies of uprobes"
	featureMapFiles    = "CAP_SYS_ADMIN or CAP_CHECKPOINT_RESTORE"
)

// Probe finds out what this host and the rights of this process allow. It leaves nothing attached,
// but raises the process's limit on locked memory where the kernel counts BPF maps in it.
func Probe(cfg Config) Features {
	cfg = cfg.withDefaults()
	var f Features
	add := func(name string, required bool, err error) {
		x := Feature{Name: name, Required: required, State: Supported}
		if err != nil {
			x.State, x.Reason = Missing, err.Error()
			if errors.Is(err, unix.EPERM) {
				x.State = Unknown
			}
		}
		f = append(f, x)
	}

	caps, err := effectiveCapabilities()
	sysAdmin := caps&(1<<unix.CAP_SYS_ADMIN) != 0
	capability := func(name string, bit uint, required, orAdmin bool, why string) {
		var missing error
		switch {
		case err != nil:
			missing = err
		case caps&(1<<bit) == 0 && (!orAdmin || !sysAdmin):
			missing = errors.New(why)
		}
		add(name, required, missing)
	}
	capability("CAP_BPF", unix.CAP_BPF, true, true, "loads the programs; run as root or grant it")
	capability("CAP_PERFMON", unix.CAP_PERFMON, true, true, "reads sockets and attaches to tracepoints and libraries; run as root or grant it")
	capability("CAP_NET_ADMIN", unix.CAP_NET_ADMIN, true, true, "attaches to the cgroup's packets; run as root or grant it")
	capability("CAP_SYS_PTRACE", unix.CAP_SYS_PTRACE, cfg.Keys, false, "finds the libraries that processes have mapped; run as root or grant it")
	capability("CAP_DAC_READ_SEARCH", unix.CAP_DAC_READ_SEARCH, cfg.Keys, false, "reads the libraries of other users' processes; run as root or grant it")
	capability(featureMapFiles, unix.CAP_CHECKPOINT_RESTORE, false, true, "without it, libraries that were replaced on disk while mapped are not found")

	// The limit on locked memory counts BPF maps before Linux 5.11; on newer kernels this is nothing.
	var limited error
	if rlimit.RemoveMemlock() != nil {
		limited = errors.New("this kernel counts BPF maps in it; run as root or grant CAP_SYS_RESOURCE")
	}
	add("limit on locked memory", true, limited)

	kernelTypes, err := btf.LoadKernelSpec()
	if err != nil {
		err = fmt.Errorf("a kernel built with CONFIG_DEBUG_INFO_BTF: %w", err)
	}
	add("kernel BTF", true, err)
	add("cgroup v2", true, func() error { _, err := resolveCgroup(cfg.CgroupPath); return err }())
	add("ring buffer", true, orSince(features.HaveMapType(ebpf.RingBuf), "5.8"))
	add("socket storage", true, orSince(features.HaveMapType(ebpf.SkStorage), "5.2"))
	add("cgroup_skb programs", cfg.Level > LevelConnections, orSince(features.HaveProgramType(ebpf.CGroupSKB), "4.10"))
	add("cgroup_sock programs", true, orSince(features.HaveProgramType(ebpf.CGroupSock), "4.10"))
	if kernelTypes != nil {
		for _, tp := range []string{"inet_sock_set_state", "tcp_destroy_sock", "sched_process_exec", "sched_process_exit"} {
			add("tracepoint "+tp, true, haveTracepoint(kernelTypes, tp))
		}
		touch := haveTracepoint(kernelTypes, "sock_send_length")
		if touch != nil {
			touch = fmt.Errorf("since Linux 6.3; accepted sockets get their owner from %s instead, or from a scan every second", featureAccept)
			add(featureAccept, false, haveFexit("inet_csk_accept"))
		}
		add(featureTouch, false, touch)
		var iter *btf.Struct
		add(featureScan, true, known(kernelTypes.TypeByName("bpf_iter__task_file", &iter), "5.8"))
		// Older kernels have these helpers, but not for tracing programs.
		var missing error
		for _, h := range []string{"bpf_sk_storage_get_tracing", "bpf_sock_from_file", "bpf_get_socket_ptr_cookie"} {
			var fn *btf.Func
			if err := kernelTypes.TypeByName(h, &fn); err != nil {
				missing = errors.New("since Linux 5.12; sockets are kept in a table by their address instead")
			}
		}
		add(featureSockHelpers, false, missing)
	}
	if cfg.Keys {
		multi := orSince(features.HaveBPFLinkUprobeMulti(), "6.6; perf uprobes are used instead")
		add(featureUprobeMulti, false, multi)
		if multi != nil {
			add("perf uprobes", true, perfAllowed())
		}
		add(featureCookies, false, orSince(features.HaveProgramHelper(ebpf.Kprobe, asm.FnGetAttachCookie), "5.15; the secrets of BoringSSL and of OpenSSL without symbols are not captured"))
	}
	return f
}

// perfAllowed asks the kernel whether this process may put a perf uprobe into a file: for one in a folder, which is no file, so that it is refused in
// any case (EINVAL), but for want of rights before that. CAP_PERFMON was enough for it from Linux 5.8 to 2025, when it was taken back in the stable
// lines too ("Revert to requiring CAP_SYS_ADMIN for uprobes"); distributions have limits of their own besides (kernel.perf_event_paranoid above 2).
func perfAllowed() error {
	b, err := os.ReadFile("/sys/bus/event_source/devices/uprobe/type")
	if err != nil {
		return fmt.Errorf("a kernel built with CONFIG_UPROBE_EVENTS: %w", err)
	}
	kind, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 32)
	if err != nil {
		return fmt.Errorf("the number of perf uprobes: %w", err)
	}
	folder := []byte("/\x00")
	attr := unix.PerfEventAttr{Type: uint32(kind), Ext1: uint64(uintptr(unsafe.Pointer(&folder[0])))} // config1: the path
	attr.Size = uint32(unsafe.Sizeof(attr))
	fd, err := unix.PerfEventOpen(&attr, -1, 0, -1, unix.PERF_FLAG_FD_CLOEXEC)
	runtime.KeepAlive(folder)
	switch {
	case err == nil: // it cannot be
		return unix.Close(fd)
	case errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM):
		return errors.New("before Linux 6.6 nobody else may have them; run as root or grant CAP_SYS_ADMIN")
	}
	return nil
}

func orSince(err error, version string) error {
	if errors.Is(err, ebpf.ErrNotSupported) {
		return fmt.Errorf("since Linux %s", version)
	}
	return err
}

// known turns the outcome of a look-up in BTF into a reason.
func known(err error, version string) error {
	if err != nil {
		return fmt.Errorf("since Linux %s", version)
	}
	return nil
}

func haveTracepoint(types *btf.Spec, name string) error {
	var t *btf.Typedef
	if err := types.TypeByName("btf_trace_"+name, &t); err != nil {
		return errors.New("this kernel has no such tracepoint")
	}
	return nil
}

// haveFexit attaches an empty program to the return of a kernel function, and takes it away again:
// some kernels load such programs and refuse to attach them.
func haveFexit(function string) error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "probe_fexit", Type: ebpf.Tracing, AttachType: ebpf.AttachTraceFExit, AttachTo: function,
		License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("the kernel refuses the program: %w", err)
	}
	defer prog.Close()
	l, err := link.AttachTracing(link.TracingOptions{Program: prog})
	if err != nil {
		return fmt.Errorf("the kernel refuses to attach the program: %w", err)
	}
	return l.Close()
}

func effectiveCapabilities() (uint64, error) {
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&hdr, &data[0]); err != nil {
		return 0, os.NewSyscallError("capget", err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}
