// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// ownTuple is struct tuple as a map key.
type ownTuple struct {
	Local, Remote         [16]byte
	LocalPort, RemotePort uint16
	Netns                 uint32
}

// markOwnSockets marks the TCP sockets that this process has already open, so that they, what
// they accept and their other ends are not captured.
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
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if proto, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || proto != unix.IPPROTO_TCP {
			continue
		}
		err = c.coll.Maps[bpf.CaptureMapOwnSocks].Put(uint32(fd), uint32(1))
		// A socket may be closed at any moment, by whoever owns it.
		if err != nil && !errors.Is(err, unix.EBADF) && !errors.Is(err, unix.ENOTSOCK) {
			return fmt.Errorf("mark own socket: %w", err)
		}
		local, err1 := unix.Getsockname(fd)
		remote, err2 := unix.Getpeername(fd)
		if err1 != nil || err2 != nil {
			continue
		}
		l, r := sockaddr(local), sockaddr(remote)
		peer := ownTuple{
			Local: r.Addr().As16(), LocalPort: r.Port(),
			Remote: l.Addr().As16(), RemotePort: l.Port(),
		}
		if r.Addr().Unmap().IsLoopback() {
			peer.Netns = uint32(ns.Ino)
		}
		if err := c.coll.Maps[bpf.CaptureMapOwnPeers].Put(peer, uint64(0)); err != nil {
			return fmt.Errorf("mark the other end of an own socket: %w", err)
		}
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
