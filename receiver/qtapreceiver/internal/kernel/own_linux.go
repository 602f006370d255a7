// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// listenKey is struct listen_key.
type listenKey struct {
	Addr        [16]byte
	Port, Netns uint32
}

// own tells the programs which processes run this same program already, and their sockets: a
// collector next to this one, whose traffic is as much about the capture itself as this one's.
// Later ones the programs find by themselves.
type own struct {
	coll      *ebpf.Collection
	listening uint32
}

func markOwn(coll *ebpf.Collection) error {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return fmt.Errorf("own executable: %w", err)
	}
	names, err := readNames("/proc")
	if err != nil {
		return fmt.Errorf("list processes: %w", err)
	}
	o := &own{coll: coll}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		exe, err := os.Stat("/proc/" + name + "/exe")
		if err != nil || !os.SameFile(exe, self) {
			continue // or it has ended
		}
		// In a PID namespace this is not the number that the programs see; the own process's
		// they have noted already.
		if err := coll.Maps[bpf.CaptureMapOwnTgids].Put(uint32(pid), uint8(1)); err != nil {
			return fmt.Errorf("mark own process: %w", err)
		}
		if err := o.markSockets(pid); err != nil {
			return err
		}
	}
	if err := coll.Variables[bpf.CaptureVarOwnListening].Set(o.listening); err != nil {
		return fmt.Errorf("mark own listeners: %w", err)
	}
	return nil
}

// markSockets marks the TCP sockets that a process has open: what it listens on, and both ends
// of its connections. Processes and sockets may end at any moment, which is no error.
func (o *own) markSockets(pid int) error {
	proc := "/proc/" + strconv.Itoa(pid)
	names, netns, ok := openSockets(proc)
	if !ok {
		return nil
	}
	pidfd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open process %d: %w", pid, err)
	}
	defer unix.Close(pidfd)
	for _, name := range names {
		link, err := os.Readlink(proc + "/fd/" + name)
		if err != nil || !strings.HasPrefix(link, "socket:") {
			continue
		}
		n, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if err != nil {
			continue
		}
		err = o.markSocket(fd, netns)
		unix.Close(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *own) markSocket(fd int, netns uint32) error {
	local, remote, ok := socketEnds(fd)
	if !ok {
		return nil
	}
	if !remote.IsValid() {
		key := listenKey{Addr: local.Addr().As16(), Port: uint32(local.Port()), Netns: netns}
		if err := o.coll.Maps[bpf.CaptureMapOwnListeners].Put(key, uint8(1)); err != nil {
			return fmt.Errorf("mark own listener: %w", err)
		}
		o.listening++
		return nil
	}
	here := bpf.Tuple{
		Local: local.Addr().As16(), LocalPort: local.Port(),
		Remote: remote.Addr().As16(), RemotePort: remote.Port(),
	}
	if remote.Addr().Unmap().IsLoopback() {
		here.Netns = netns
	}
	there := bpf.Tuple{
		Local: here.Remote, LocalPort: here.RemotePort,
		Remote: here.Local, RemotePort: here.LocalPort, Netns: here.Netns,
	}
	for _, end := range []bpf.Tuple{here, there} {
		if err := o.coll.Maps[bpf.CaptureMapOwnPeers].Put(end, uint64(1)); err != nil {
			return fmt.Errorf("mark own connection: %w", err)
		}
	}
	return nil
}

// openSockets returns a process's open files and network namespace, if it is there.
func openSockets(proc string) (names []string, netns uint32, ok bool) {
	var ns unix.Stat_t
	if err := unix.Stat(proc+"/ns/net", &ns); err != nil {
		return nil, 0, false
	}
	names, err := readNames(proc + "/fd")
	return names, uint32(ns.Ino), err == nil
}

// socketEnds returns the ends of a TCP or MPTCP socket; a listener has no remote end.
func socketEnds(fd int) (local, remote netip.AddrPort, ok bool) {
	proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
	if err != nil || proto != unix.IPPROTO_TCP && proto != unix.IPPROTO_MPTCP {
		return local, remote, false
	}
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return local, remote, false
	}
	local = sockaddr(sa)
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && on != 0 {
		return local, remote, local.IsValid()
	}
	if sa, err = unix.Getpeername(fd); err != nil {
		return local, remote, false
	}
	remote = sockaddr(sa)
	return local, remote, local.IsValid() && remote.IsValid()
}

func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func sockaddr(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}
