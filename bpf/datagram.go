// SPDX-License-Identifier: Apache-2.0

package bpf

// RecordDatagram is the kind of DatagramRecord; the other kinds are those of capture.bpf.c.
const RecordDatagram = 16

// FlowKey is struct flow_key: one peer of a socket that speaks QUIC.
type FlowKey struct {
	Cookie uint64
	Remote [16]byte // IPv4 mapped
	Port   uint16
	_      [6]byte
}

// Flow is struct flow: what was sent ([0], payload bytes) and received ([1]), and when the latest was.
type Flow struct {
	Bytes, Packets [2]uint64
	Last           uint64 // CLOCK_MONOTONIC, nanoseconds
}

// DatagramRecordSize is the size of struct datagram_record without the data behind it, in bytes.
const DatagramRecordSize = 88

// DatagramRecord is struct datagram_record and the data behind it.
type DatagramRecord struct {
	Dir          uint8
	Size         uint16
	Len          uint32
	Cookie, Time uint64
	TGID, UID    uint32
	Addr         Tuple
	Comm         [16]byte
	// Data points into the decoded bytes.
	Data []byte
}

// Decode reads a record; it reports false when b is too short for it.
func (r *DatagramRecord) Decode(b []byte) bool {
	if len(b) < DatagramRecordSize {
		return false
	}
	r.Dir = b[1]
	r.Size = le.Uint16(b[2:])
	r.Len = le.Uint32(b[4:])
	r.Cookie = le.Uint64(b[8:])
	r.Time = le.Uint64(b[16:])
	r.TGID = le.Uint32(b[24:])
	r.UID = le.Uint32(b[28:])
	r.Addr.decode(b[32:])
	copy(r.Comm[:], b[72:])
	if int(r.Size) > len(b)-DatagramRecordSize {
		return false
	}
	r.Data = b[DatagramRecordSize : DatagramRecordSize+int(r.Size)]
	return true
}
