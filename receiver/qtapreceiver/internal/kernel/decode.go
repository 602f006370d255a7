// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// decoder turns records into events. The event structs are its own and used again, so that a
// packet costs no allocation.
type decoder struct {
	handler event.Handler
	onExec  func(tgid uint32) // nil without key probes

	offset int64     // from CLOCK_MONOTONIC to Unix nanoseconds
	read   int64     // the time (CLOCK_MONOTONIC) up to which the ring was read; 0 before the first time
	latest uint64    // the time of the latest record
	beat   time.Time // of the last beat
	lost   [bpf.RecordKinds]uint64
	// skipped are the bytes that orders have spared, by reason.
	skipped [event.SkipReasons]uint64

	buf          []byte // of the record
	packetRecord bpf.PacketRecord
	socketRecord bpf.SocketRecord
	packet       event.Packet
	socket       event.Socket
}

// decode handles one record. A record that is too short is not one of ours and is left out.
func (d *decoder) decode(b []byte) {
	if len(b) == 0 {
		return
	}
	switch b[0] {
	case bpf.RecordPacket:
		r := &d.packetRecord
		if !r.Decode(b) {
			return
		}
		d.latest = r.Time
		d.packet = event.Packet{
			Cookie: event.Cookie(r.Cookie),
			Time:   int64(r.Time) + d.offset,
			Dir:    event.Direction(r.Dir),
			Flags:  r.Flags & (event.FlagFIN | event.FlagSYN | event.FlagRST | event.FlagPSH | event.FlagACK),
			Seq:    r.Seq, Ack: r.Ack, Len: r.Len, Off: r.Off,
			Refused: r.Checks&bpf.PacketRefused != 0 || corrupt(r),
			RcvNxt:  r.RcvNxt, HasRcvNxt: r.Checks&bpf.PacketExpected != 0,
			Data:  r.Data,
			Local: r.Addr.LocalAddr(), Remote: r.Addr.RemoteAddr(), Netns: r.Addr.Netns,
		}
		d.handler.Packet(&d.packet)
	case bpf.RecordSocket:
		if d.socketRecord.Decode(b) {
			d.latest = d.socketRecord.Time
			d.socketEvent(&d.socketRecord)
		}
	case bpf.RecordSecret:
		var r bpf.SecretRecord
		if r.Decode(b) {
			d.latest = r.Time
			d.handler.Secret(&event.Secret{
				Kind: event.SecretKind(r.What), Time: int64(r.Time) + d.offset, TGID: r.TGID,
				Label: string(r.Label), Secret: r.Secret, Context: r.Context,
			})
		}
		clear(b) // the buffer lives on
	case bpf.RecordDatagram:
		d.datagramEvent(b)
	case bpf.RecordProcess:
		var r bpf.ProcessRecord
		if !r.Decode(b) {
			return
		}
		d.latest = r.Time
		if r.Exited == 0 && d.onExec != nil {
			d.onExec(r.TGID)
		}
		d.handler.Process(&event.Process{Time: int64(r.Time) + d.offset, TGID: r.TGID, UID: r.UID, Exited: r.Exited != 0, Executable: pathOf(r.Path)})
	}
}

// corrupt says that a segment's checksum is wrong (RFC 9293 §3.1). Of one that came in parts it is
// not known: those are larger than what a network carries, and verified when they were merged.
func corrupt(r *bpf.PacketRecord) bool {
	return r.Checks&bpf.PacketSummed != 0 && r.Off == 0 && int(r.Len) == len(r.Data) && checksum(r.Sum, r.Data) != 0xffff
}

// checksum adds b to sum, 16 bits at a time with end-around carry (RFC 1071), in host byte order.
func checksum(sum uint16, b []byte) uint16 {
	total, carry := uint64(sum), uint64(0)
	for ; len(b) >= 8; b = b[8:] {
		total, carry = bits.Add64(total, binary.LittleEndian.Uint64(b), carry)
	}
	var last [8]byte
	copy(last[:], b)
	total, carry = bits.Add64(total, binary.LittleEndian.Uint64(last[:]), carry)
	total = total>>32 + total&0xffffffff + carry
	total = total>>32 + total&0xffffffff
	total = total>>16 + total&0xffff
	total = total>>16 + total&0xffff
	return uint16(total>>16 + total&0xffff)
}

func (d *decoder) socketEvent(r *bpf.SocketRecord) {
	comm, _, _ := bytes.Cut(r.Comm[:], []byte{0})
	d.socket = event.Socket{
		Kind:   event.SocketKind(r.What),
		Cookie: event.Cookie(r.Cookie),
		Time:   int64(r.Time) + d.offset,
		Local:  r.Addr.LocalAddr(), Remote: r.Addr.RemoteAddr(), Netns: r.Addr.Netns,
		TGID: r.TGID, UID: r.UID, CgroupID: r.Cgroup, Comm: string(comm),
		Role:        event.Role(r.Role),
		CloseReason: event.CloseReason(r.Reason),
		PreExisting: r.Flags&bpf.SocketPreExisting != 0,
		RcvNxt:      r.RcvNxt, SndNxt: r.SndNxt,
		// The kernel counts a SYN or FIN as a byte.
		BytesSent:     without(r.BytesAcked, r.Flags&(bpf.SocketSynAcked|bpf.SocketFinAcked)),
		BytesReceived: without(r.BytesReceived, r.Flags&bpf.SocketFinReceived),
		SegsOut:       r.SegsOut, SegsIn: r.SegsIn,
		Retransmits: r.Retransmits, RTTMicros: r.RTTMicros,
	}
	if r.Flags&bpf.SocketTorn == 0 {
		// The counters and the sequence numbers grow together, whatever else they count.
		d.socket.HasISN = true
		d.socket.RcvISN = r.RcvNxt - 1 - uint32(r.BytesReceived)
		d.socket.SndISN = r.SndUna - 1 - uint32(r.BytesAcked)
		if d.socket.Role == event.RoleClient {
			d.socket.SndISN++ // of its counted bytes one is the SYN
		}
	}
	d.handler.Socket(&d.socket)
}

// pathOf puts the names of a path, from its end to its beginning and each with a zero, in order.
func pathOf(names []byte) string {
	if len(names) == 0 {
		return ""
	}
	path := make([]byte, 0, len(names))
	for end := len(names) - 1; end > 0; {
		start := bytes.LastIndexByte(names[:end], 0) + 1
		path = append(append(path, '/'), names[start:end]...)
		end = start - 1
	}
	return string(path)
}

func (d *decoder) datagramEvent(b []byte) {
	h, ok := d.handler.(event.DatagramHandler)
	var r bpf.DatagramRecord
	if !ok || !r.Decode(b) {
		return
	}
	comm, _, _ := bytes.Cut(r.Comm[:], []byte{0})
	d.latest = r.Time
	h.Datagram(&event.Datagram{
		Cookie: event.Cookie(r.Cookie), Time: int64(r.Time) + d.offset, Dir: event.Direction(r.Dir),
		TGID: r.TGID, UID: r.UID, Comm: string(comm), Len: r.Len, Data: r.Data,
		Local: r.Addr.LocalAddr(), Remote: r.Addr.RemoteAddr(),
	})
}

// without takes one off n for each flag, but not below 0.
func without(n uint64, flags uint32) uint64 {
	return n - min(n, uint64(bits.OnesCount32(flags)))
}
