// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

// Package peer reads what one process says as other tools do: uprobes on SSL_read and SSL_write,
// tracepoints on read and write. It is what tests/bench compares the capture with, copies and
// counts, and parses nothing.
package peer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/cilium/ebpf/rlimit"
)

//go:generate go tool -modfile=../../../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -cflags "-O2 -g -Wall -Werror -mcpu=v3 -nostdinc -std=gnu11" -target amd64,arm64 -tags linux -no-global-types Peer peer.bpf.c

// Way is how a process is read.
type Way string

const (
	// Syscalls is entry and return of read, write, recvfrom, sendto and writev.
	Syscalls Way = "syscalls"
	// Uprobes is entry and return of SSL_read and SSL_write.
	Uprobes Way = "uprobes"
	// Best is as Uprobes, but SSL_write at one place only, an instruction that the kernel emulates.
	Best Way = "uprobes-best"
	// Write is SSL_write of Best alone, so half of what is said. What a read brought can be seen at its return only.
	Write Way = "uprobes-write"
)

// Counts are what was copied.
type Counts struct {
	Calls uint64 `json:"calls"`
	Bytes uint64 `json:"bytes"`
	// Lost calls did not fit into the ring.
	Lost uint64 `json:"lost"`
}

// drainInterval is that of the receiver: the programs wake nobody.
const drainInterval = 10 * time.Millisecond

// Run reads the process until ctx ends. ready is called when everything is attached.
func Run(ctx context.Context, way Way, pid int, ready func()) (n Counts, err error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return n, err
	}
	spec, err := LoadPeer()
	if err != nil {
		return n, err
	}
	if err := spec.Variables["watched"].Set(uint32(pid)); err != nil {
		return n, err
	}
	var o PeerObjects
	if err := spec.LoadAndAssign(&o, nil); err != nil {
		return n, fmt.Errorf("load the comparison's programs: %w", err)
	}
	defer o.Close()
	links, err := attach(&o, way, pid)
	defer func() {
		for _, l := range links {
			err = errors.Join(err, l.Close())
		}
	}()
	if err != nil {
		return n, err
	}
	r, err := ringbuf.NewReader(o.Ring)
	if err != nil {
		return n, err
	}
	defer r.Close()
	ready()
	var rec ringbuf.Record
	for ctx.Err() == nil {
		r.SetDeadline(time.Now().Add(drainInterval))
		for {
			if err := r.ReadInto(&rec); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			} else if err != nil {
				return n, err
			}
			n.Calls++
			n.Bytes += uint64(binary.NativeEndian.Uint32(rec.RawSample[16:]))
		}
	}
	return n, o.Lost.Get(&n.Lost)
}

func attach(o *PeerObjects, way Way, pid int) (links []io.Closer, err error) {
	add := func(l link.Link, e error) {
		if e != nil {
			err = errors.Join(err, e)
			return
		}
		links = append(links, l)
	}
	if way == Syscalls {
		for _, call := range []string{"read", "write", "recvfrom", "sendto", "writev"} {
			enter := o.CallEnter
			if call == "writev" {
				enter = o.PartsEnter
			}
			add(link.Tracepoint("syscalls", "sys_enter_"+call, enter, nil))
			add(link.Tracepoint("syscalls", "sys_exit_"+call, o.CallExit, nil))
		}
		return links, err
	}
	path, err := tlsFile(pid)
	if err != nil {
		return nil, err
	}
	x, err := link.OpenExecutable(path)
	if err != nil {
		return nil, err
	}
	both := func(name string) {
		add(x.Uprobe(name, o.TlsEnter, &link.UprobeOptions{PID: pid}))
		add(x.Uretprobe(name, o.TlsExit, &link.UprobeOptions{PID: pid}))
	}
	if way != Write {
		both("SSL_read")
	}
	if way == Uprobes {
		both("SSL_write")
		return links, err
	}
	place, e := emulatedPlace(path, "SSL_write")
	if e != nil {
		return links, errors.Join(err, e)
	}
	add(x.Uprobe("SSL_write", o.TlsWrite, &link.UprobeOptions{PID: pid, Offset: place}))
	return links, err
}

// tlsFile is the file that has the process's SSL_write: the library it has mapped, or its executable.
func tlsFile(pid int) (string, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(maps)) {
		if f := strings.Fields(line); len(f) == 6 && strings.Contains(f[5], "/libssl.so") {
			return f[5], nil
		}
	}
	path, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	if err != nil {
		return "", err
	}
	if _, err := function(path, "SSL_write"); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return path, nil
}
