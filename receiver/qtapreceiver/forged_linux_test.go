// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// segment is a TCP segment over IPv4, as it was seen or as it is forged.
type segment struct {
	src, dst         [4]byte
	srcPort, dstPort uint16
	seq, ack         uint32
	flags            uint8
	tsval, tsecr     uint32 // with stamped
	stamped          bool
	data             []byte
	spoilt           bool // with a wrong checksum
}

const (
	fin = 1 << iota
	syn
	rst
	psh
	ack
)

func parseSegment(p []byte) (s segment, ok bool) {
	if len(p) < 40 || p[0] != 0x45 || p[9] != unix.IPPROTO_TCP {
		return s, false
	}
	total := int(binary.BigEndian.Uint16(p[2:]))
	t := p[20:min(total, len(p))]
	head := int(t[12]>>4) * 4
	if head > len(t) {
		return s, false
	}
	copy(s.src[:], p[12:])
	copy(s.dst[:], p[16:])
	s.srcPort, s.dstPort = binary.BigEndian.Uint16(t), binary.BigEndian.Uint16(t[2:])
	s.seq, s.ack, s.flags = binary.BigEndian.Uint32(t[4:]), binary.BigEndian.Uint32(t[8:]), t[13]
	if head >= 32 && bytes.HasPrefix(t[20:], []byte{1, 1, 8, 10}) {
		s.stamped, s.tsval, s.tsecr = true, binary.BigEndian.Uint32(t[24:]), binary.BigEndian.Uint32(t[28:])
	}
	s.data = t[head:]
	return s, true
}

func (s *segment) bytes() []byte {
	t := make([]byte, 20, 64+len(s.data))
	binary.BigEndian.PutUint16(t, s.srcPort)
	binary.BigEndian.PutUint16(t[2:], s.dstPort)
	binary.BigEndian.PutUint32(t[4:], s.seq)
	binary.BigEndian.PutUint32(t[8:], s.ack)
	t[13], t[14], t[15] = s.flags, 0xff, 0xff
	if s.stamped {
		t = append(t, 1, 1, 8, 10)
		t = binary.BigEndian.AppendUint32(t, s.tsval)
		t = binary.BigEndian.AppendUint32(t, s.tsecr)
	}
	t[12] = byte(len(t) / 4 << 4)
	t = append(t, s.data...)
	sum := uint32(unix.IPPROTO_TCP) + uint32(len(t))
	for _, b := range [][]byte{s.src[:], s.dst[:], t} {
		for i := range b {
			sum += uint32(b[i]) << (8 * (1 - i%2))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	check := ^uint16(sum)
	if s.spoilt {
		check += 0x1234
	}
	binary.BigEndian.PutUint16(t[16:], check)
	p := make([]byte, 20, 20+len(t))
	p[0], p[8], p[9] = 0x45, 64, unix.IPPROTO_TCP // the kernel fills in the rest
	copy(p[12:], s.src[:])
	copy(p[16:], s.dst[:])
	return append(p, t...)
}

// forge makes of a segment that was seen one that its receiver drops, or never comes to believe. next
// is the sequence number that the receiver expects.
func forge(s segment, kind string) segment {
	next := s.seq + uint32(len(s.data))
	lie := []byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nlieGET /9999999 HTTP/1.1\r\nHost: lie\r\n\r\n")
	f := s
	f.data, f.flags, f.seq = lie, psh|ack, next
	switch kind {
	case "contradicts what was taken":
		f.seq, f.data = s.seq, bytes.Repeat([]byte{'?'}, min(1000, len(s.data))) // what was merged is too long for the wire
	case "before the window":
		f.seq = s.seq - 100_000
	case "beyond the window":
		f.seq = next + 200<<20
	case "ahead":
		f.seq = next + 50_000 // further than this connection will ever come
	case "wrong checksum":
		f.spoilt = true
	case "acknowledges what was not sent":
		f.ack += 1 << 20
	case "acknowledges nothing":
		f.flags = psh
	case "timestamp of the past":
		f.tsval -= 100_000
	case "syn":
		f.flags, f.data = syn, nil
	case "fin ahead":
		f.flags, f.data, f.seq = fin|ack, nil, next+50_001
	case "fin beyond":
		f.flags, f.data, f.seq = fin|ack, nil, next+200<<20
	case "rst within":
		f.flags, f.data, f.seq = rst, nil, next+7
	case "rst beyond":
		f.flags, f.data, f.seq = rst|ack, nil, next+200<<20
	}
	return f
}

var forgeries = []string{
	"contradicts what was taken", "before the window", "beyond the window", "ahead", "wrong checksum",
	"acknowledges what was not sent", "acknowledges nothing", "timestamp of the past", "syn", "fin ahead", "fin beyond", "rst within", "rst beyond",
}

// forger hears every segment on a device of the namespace and sends forgeries of them, one kind after
// the other, towards both ends.
type forger struct {
	mu     sync.Mutex
	sent   map[string]int
	errors []error
	wg     sync.WaitGroup
	ear    *os.File
}

func newForger(n *namespace, device string, mouths map[[4]byte]*namespace) *forger {
	f := &forger{sent: map[string]int{}}
	out := map[[4]byte]int{}
	for src, at := range mouths {
		at.do(func() (err error) {
			out[src], err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
			return err
		})
		n.t.Cleanup(func() { unix.Close(out[src]) })
	}
	n.do(func() error {
		const all = unix.ETH_P_ALL>>8 | unix.ETH_P_ALL&0xff<<8
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, all)
		if err != nil {
			return err
		}
		link, err := interfaceIndex(fd, device)
		if err != nil {
			return err
		}
		f.ear = os.NewFile(uintptr(fd), "ear")
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: link})
	})
	f.wg.Go(func() {
		rnd, p := rand.New(rand.NewPCG(3, 4)), make([]byte, 1<<17)
		for {
			k, err := f.ear.Read(p)
			if err != nil {
				return
			}
			s, ok := parseSegment(p[:k])
			if !ok || len(s.data) == 0 || bytes.Contains(s.data, []byte("lie")) || rnd.IntN(3) != 0 {
				continue
			}
			kind := forgeries[rnd.IntN(len(forgeries))]
			forged := forge(s, kind)
			err = unix.Sendto(out[s.src], forged.bytes(), 0, &unix.SockaddrInet4{Addr: s.dst})
			f.mu.Lock()
			if f.sent[kind]++; err != nil {
				f.errors = append(f.errors, fmt.Errorf("%s: %w", kind, err))
			}
			f.mu.Unlock()
		}
	})
	n.t.Cleanup(f.stop)
	return f
}

func (f *forger) stop() {
	f.ear.Close()
	f.wg.Wait()
}

func interfaceIndex(fd int, name string) (int, error) {
	req, err := unix.NewIfreq(name)
	if err != nil {
		return 0, err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, req); err != nil {
		return 0, err
	}
	return int(req.Uint32()), nil
}

// TestForged has a raw socket speak in between real exchanges. What it says reaches no program, so
// none of it may be reported, every real exchange must be, and the forgeries must be counted.
func TestForged(t *testing.T) {
	for _, where := range []string{"loopback", "veth"} {
		t.Run(where, func(t *testing.T) {
			l := newLab(t, "forged-"+where)
			near := newNamespace(t, "near")
			far, address, device := near, [4]byte{127, 0, 0, 1}, "lo"
			mouths := map[[4]byte]*namespace{address: near}
			if where == "veth" {
				far, address, device = newNamespace(t, "far"), [4]byte{10, 97, 0, 2}, "eth0"
				near.ip("link", "add", device, "type", "veth", "peer", "name", device, "netns", far.name)
				near.ip("address", "add", "10.97.0.1/24", "dev", device)
				far.ip("address", "add", "10.97.0.2/24", "dev", device)
				near.ip("link", "set", device, "up")
				far.ip("link", "set", device, "up")
				mouths = map[[4]byte]*namespace{{10, 97, 0, 1}: near, address: far}
			}
			l.start(nil)
			f := newForger(near, device, mouths)
			exe, url := goPeer(t), fmt.Sprintf("%d.%d.%d.%d:8080", address[0], address[1], address[2], address[3])
			const conns, each = 40, 15 // short of 50 kB each way
			n, servers, client := runPeers(l, 8080, far.within(l, exe, "-listen", url),
				near.within(l, exe, "-conns", fmt.Sprint(conns), "-requests", fmt.Sprint(each), "-pause", "150ms", "http://"+url), conns*each)
			l.settled(2 * n)
			f.stop()
			time.Sleep(time.Second)
			l.stop()
			require.Empty(t, f.errors)
			require.Len(t, f.sent, len(forgeries))
			t.Logf("forged: %v", f.sent)
			sum := judge(t, l.witnesses(), n, servers, client)
			l.account(n, sum)
			require.Equal(t, tally{whole: 2 * n}, sum)
			for _, m := range l.records(semantic.EventConnection, func(m pcommon.Map) bool { return text(m, semantic.ConnectionState) == "closed" }) {
				require.Equal(t, "fin", text(m, semantic.ConnectionCloseReason))
			}

			// Each was counted: as a packet, or by its bytes, of which every kind with data has as many.
			st, size := l.slot.tap.engine.Stats(), uint64(len(forge(segment{}, "ahead").data))
			packets, bytes := uint64(0), uint64(0)
			for _, kind := range forgeries {
				n := uint64(f.sent[kind])
				switch kind {
				case "before the window", "beyond the window", "ahead":
					bytes += n * size
				case "contradicts what was taken": // as long as what it contradicts; counted as duplicates
				case "fin ahead", "fin beyond", "rst within", "rst beyond":
				default:
					packets += n
				}
			}
			require.GreaterOrEqual(t, st.Refused*10, packets*9, "some meet a connection that has just ended")
			for _, s := range l.slot.tap.books() {
				if s.Name == "stream" {
					require.GreaterOrEqual(t, (s.Dropped["out_of_window"]+s.Dropped["duplicate"]+s.Dropped["conflict"]+s.Dropped["after_close"])*10, bytes*9)
				}
			}
			t.Logf("%d packets refused of %d forged ones that are refused one by one", st.Refused, packets)
		})
	}
}
