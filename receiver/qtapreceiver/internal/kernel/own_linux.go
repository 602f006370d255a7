// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// listenKey is struct listen_key.
type listenKey struct {
	Addr        [16]byte
	Port, Netns uint32
}

// markOwnSockets tells the programs about the sockets that this process has open already: what
// it listens on, and both ends of its connections. Later sockets are marked as they are made.
func (c *Capture) markOwnSockets() error {
	dir, err := os.Open("/proc/self/fd")
	if err != nil {
		return fmt.Errorf("list own sockets: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("list own sockets: %w", err)
	}
	var ns unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &ns); err != nil {
		return fmt.Errorf("own network namespace: %w", err)
	}
	netns := uint32(ns.Ino)
	listening := uint32(0)
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		// Any error below: no socket, or closed in this moment.
		proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL)
		if err != nil || proto != unix.IPPROTO_TCP && proto != unix.IPPROTO_MPTCP {
			continue
		}
		sa, err := unix.Getsockname(fd)
		if err != nil {
			continue
		}
		local := sockaddr(sa)
		if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && on != 0 {
			key := listenKey{Addr: local.Addr().As16(), Port: uint32(local.Port()), Netns: netns}
			if err := c.coll.Maps[bpf.CaptureMapOwnListeners].Put(key, uint8(1)); err != nil {
				return fmt.Errorf("mark own listener: %w", err)
			}
			listening++
			continue
		}
		if sa, err = unix.Getpeername(fd); err != nil {
			continue
		}
		remote := sockaddr(sa)
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
			if err := c.coll.Maps[bpf.CaptureMapOwnPeers].Put(end, uint64(1)); err != nil {
				return fmt.Errorf("mark own connection: %w", err)
			}
		}
	}
	if err := c.coll.Variables[bpf.CaptureVarOwnListening].Set(listening); err != nil {
		return fmt.Errorf("mark own listeners: %w", err)
	}
	return nil
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
