// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"net/netip"
)

// Kinds of ring records, in their first byte (enum record_kind).
const (
	RecordPacket = iota + 1
	RecordSocket
	RecordSecret
	RecordProcess
	RecordKinds
)

// Flags of SocketRecord (enum socket_flags).
const (
	// SocketPreExisting: the handshake was not seen.
	SocketPreExisting = 1 << iota
	// SocketSynAcked: BytesAcked counts the own SYN.
	SocketSynAcked
	// SocketFinAcked: BytesAcked counts the own FIN.
	SocketFinAcked
	// SocketFinReceived: BytesReceived counts the peer's FIN.
	SocketFinReceived
	// SocketTorn: the numbers were read while they changed and may not fit together.
	SocketTorn
)

// Flags of PacketRecord.Checks (enum packet_checks).
const (
	// PacketSummed: the checksum is not verified yet. It is right when Sum and the payload's sum,
	// 16 bits at a time with end-around carry (RFC 1071), are 0xffff together.
	PacketSummed = 1 << iota
	// PacketRefused: the socket will not take the segment.
	PacketRefused
	// PacketExpected: RcvNxt is what the socket expected before the segment.
	PacketExpected
)

// Sizes of the records without what follows them, in bytes.
const (
	tupleSize         = 40
	PacketRecordSize  = 88
	SocketRecordSize  = 144
	SecretRecordSize  = 184
	ProcessRecordSize = 24
)

// Tuple is struct tuple: addresses from one end's point of view. IPv4 addresses are mapped
// (::ffff:a.b.c.d), ports are in host byte order.
type Tuple struct {
	Local, Remote         [16]byte
	LocalPort, RemotePort uint16
	// Netns is the network namespace's inode, 0 when it is not known.
	Netns uint32
}

// LocalAddr returns the local address, IPv4 as IPv4.
func (t *Tuple) LocalAddr() netip.AddrPort { return addrPort(t.Local, t.LocalPort) }

// RemoteAddr returns the remote address, IPv4 as IPv4.
func (t *Tuple) RemoteAddr() netip.AddrPort { return addrPort(t.Remote, t.RemotePort) }

func addrPort(a [16]byte, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom16(a).Unmap(), port)
}

func (t *Tuple) decode(b []byte) {
	_ = b[tupleSize-1]
	copy(t.Local[:], b[0:])
	copy(t.Remote[:], b[16:])
	t.LocalPort = le.Uint16(b[32:])
	t.RemotePort = le.Uint16(b[34:])
	t.Netns = le.Uint32(b[36:])
}

var le = binary.LittleEndian

// PacketRecord is struct packet_record and the data behind it.
type PacketRecord struct {
	Dir, Flags, Checks uint8
	Len                uint32
	Cookie, Time       uint64
	Seq, Ack, Off      uint32
	Size, Sum          uint16
	RcvNxt             uint32
	Addr               Tuple
	// Data points into the decoded bytes.
	Data []byte
}

// Decode reads a record; it reports false when b is too short for it.
func (r *PacketRecord) Decode(b []byte) bool {
	if len(b) < PacketRecordSize {
		return false
	}
	r.Dir, r.Flags, r.Checks = b[1], b[2], b[3]
	r.Len = le.Uint32(b[4:])
	r.Cookie = le.Uint64(b[8:])
	r.Time = le.Uint64(b[16:])
	r.Seq = le.Uint32(b[24:])
	r.Ack = le.Uint32(b[28:])
	r.Off = le.Uint32(b[32:])
	r.Size = le.Uint16(b[36:])
	r.Sum = le.Uint16(b[38:])
	r.RcvNxt = le.Uint32(b[40:])
	r.Addr.decode(b[48:])
	if int(r.Size) > len(b)-PacketRecordSize {
		return false
	}
	r.Data = b[PacketRecordSize : PacketRecordSize+int(r.Size)]
	return true
}

// SocketRecord is struct socket_record. What, Role and Reason are values of package event.
type SocketRecord struct {
	What, Role, Reason                                      uint8
	TGID                                                    uint32
	Cookie, Time, Cgroup                                    uint64
	UID, Flags                                              uint32
	Addr                                                    Tuple
	RcvNxt, SndNxt, SegsOut, SegsIn, Retransmits, RTTMicros uint32
	BytesAcked, BytesReceived                               uint64
	SndUna                                                  uint32
	Comm                                                    [16]byte
}

// Decode reads a record; it reports false when b is too short for it.
func (r *SocketRecord) Decode(b []byte) bool {
	if len(b) < SocketRecordSize {
		return false
	}
	r.What, r.Role, r.Reason = b[1], b[2], b[3]
	r.TGID = le.Uint32(b[4:])
	r.Cookie = le.Uint64(b[8:])
	r.Time = le.Uint64(b[16:])
	r.Cgroup = le.Uint64(b[24:])
	r.UID = le.Uint32(b[32:])
	r.Flags = le.Uint32(b[36:])
	r.Addr.decode(b[40:])
	r.RcvNxt = le.Uint32(b[80:])
	r.SndNxt = le.Uint32(b[84:])
	r.SegsOut = le.Uint32(b[88:])
	r.SegsIn = le.Uint32(b[92:])
	r.Retransmits = le.Uint32(b[96:])
	r.RTTMicros = le.Uint32(b[100:])
	r.BytesAcked = le.Uint64(b[104:])
	r.BytesReceived = le.Uint64(b[112:])
	r.SndUna = le.Uint32(b[120:])
	copy(r.Comm[:], b[128:])
	return true
}

// SecretRecord is struct secret_record. Label, Secret and Context point into the decoded bytes.
type SecretRecord struct {
	What                   uint8
	Time                   uint64
	TGID                   uint32
	Label, Secret, Context []byte
}

// Decode reads a record; it reports false when b is too short or a size is impossible.
func (r *SecretRecord) Decode(b []byte) bool {
	if len(b) < SecretRecordSize {
		return false
	}
	label, secret, context := int(b[2]), int(b[3]), int(b[4])
	if label > 32 || secret > 64 || context > 64 {
		return false
	}
	r.What = b[1]
	r.Time = le.Uint64(b[8:])
	r.TGID = le.Uint32(b[16:])
	r.Label = b[24 : 24+label]
	r.Secret = b[56 : 56+secret]
	r.Context = b[120 : 120+context]
	return true
}

// ProcessRecord is struct process_record and, after a start, the path behind it.
type ProcessRecord struct {
	Exited uint8
	TGID   uint32
	Time   uint64
	UID    uint32
	// Path are the names on the way from the executable up to the root of its mount namespace, each
	// with a zero;
	// empty when it is not known. It points into the decoded bytes.
	Path []byte
}

// Decode reads a record; it reports false when b is too short for it.
func (r *ProcessRecord) Decode(b []byte) bool {
	if len(b) < ProcessRecordSize {
		return false
	}
	r.Exited = b[1]
	size := int(le.Uint16(b[2:]))
	r.TGID = le.Uint32(b[4:])
	r.Time = le.Uint64(b[8:])
	r.UID = le.Uint32(b[16:])
	if size > len(b)-ProcessRecordSize {
		return false
	}
	r.Path = b[ProcessRecordSize : ProcessRecordSize+size]
	return true
}
