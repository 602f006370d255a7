// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bytes"
	"cmp"
	wire "encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// sniffer records every packet that is sent in the network namespace of the test.
type sniffer struct {
	fd      int
	skip    map[uint16]bool // ports whose traffic is not recorded
	quit    chan struct{}
	done    chan error
	flows   map[flow][]segment
	skipped int // bytes
}

type flow struct {
	proto    byte
	from, to netip.AddrPort
}

type segment struct {
	seq  uint32
	data []byte
}

func startSniffer(t *testing.T, skip ...int) *sniffer {
	t.Helper()
	all := uint16(unix.ETH_P_ALL<<8 | unix.ETH_P_ALL>>8) // in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, int(all))
	require.NoError(t, err)
	require.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 256<<20))
	require.NoError(t, unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000}))
	s := &sniffer{fd: fd, skip: map[uint16]bool{}, quit: make(chan struct{}), done: make(chan error, 1), flows: map[flow][]segment{}}
	for _, port := range skip {
		s.skip[uint16(port)] = true
	}
	go func() { s.done <- s.record() }()
	return s
}

func (s *sniffer) record() error {
	buf := make([]byte, 1<<17)
	for {
		n, from, err := unix.Recvfrom(s.fd, buf, 0)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			select {
			case <-s.quit:
				return nil
			default:
				continue
			}
		case err != nil:
			return err
		}
		// A packet on loopback is seen when it is sent and when it is received.
		if l, ok := from.(*unix.SockaddrLinklayer); ok && l.Pkttype == unix.PACKET_OUTGOING {
			s.packet(buf[:n])
		}
	}
}

func (s *sniffer) packet(p []byte) {
	var f flow
	var from, to netip.Addr
	payload := p
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		from, to = netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20]))
		f.proto, payload = p[9], p[int(p[0]&15)*4:]
	case len(p) >= 40 && p[0]>>4 == 6:
		from, to = netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40]))
		f.proto, payload = p[6], p[40:]
	}
	var seq uint32
	if f.proto == unix.IPPROTO_TCP && len(payload) >= 20 || f.proto == unix.IPPROTO_UDP && len(payload) >= 8 {
		src, dst := wire.BigEndian.Uint16(payload), wire.BigEndian.Uint16(payload[2:])
		f.from, f.to = netip.AddrPortFrom(from, src), netip.AddrPortFrom(to, dst)
		if s.skip[src] || s.skip[dst] {
			s.skipped += len(payload)
			return
		}
		if f.proto == unix.IPPROTO_TCP {
			seq, payload = wire.BigEndian.Uint32(payload[4:]), payload[int(payload[12]>>4)*4:]
		}
	}
	if len(payload) > 0 {
		s.flows[f] = append(s.flows[f], segment{seq, bytes.Clone(payload)})
	}
}

// stop ends the recording and returns what each end sent, in order. A packet that was missed fails the test.
func (s *sniffer) stop(t *testing.T) map[string][]byte {
	t.Helper()
	time.Sleep(200 * time.Millisecond) // longer than the socket waits: what was sent before is read
	close(s.quit)
	require.NoError(t, <-s.done)
	stats, err := unix.GetsockoptTpacketStats(s.fd, unix.SOL_PACKET, unix.PACKET_STATISTICS)
	require.NoError(t, err)
	require.Zero(t, stats.Drops, "packets were missed")
	require.NoError(t, unix.Close(s.fd))
	streams := map[string][]byte{}
	for f, segments := range s.flows {
		if f.proto == unix.IPPROTO_TCP {
			first := segments[0].seq // a flow is shorter than half of the sequence space
			slices.SortStableFunc(segments, func(a, b segment) int { return cmp.Compare(int32(a.seq-first), int32(b.seq-first)) })
		}
		var stream []byte
		for i, seg := range segments {
			if i == 0 || f.proto != unix.IPPROTO_TCP || seg.seq != segments[i-1].seq || len(seg.data) != len(segments[i-1].data) { // not sent again
				stream = append(stream, seg.data...)
			}
		}
		streams[fmt.Sprintf("packets of protocol %d from %s to %s", f.proto, f.from, f.to)] = stream
	}
	return streams
}
