// SPDX-License-Identifier: Apache-2.0

package stream

import "time"

// Limits bound what a Stream may hold. A zero field takes its default.
type Limits struct {
	// MaxBuffered is the memory in bytes that one Stream may hold for data that came before its
	// turn; each held chunk is charged its bytes and a fixed cost. Default 1 MiB. When it is
	// reached the oldest hole is given up, so data is never discarded for want of room.
	MaxBuffered int
	// MaxTotal is the same bound over all Streams that share one Stats. Default 64 MiB.
	MaxTotal int
	// MaxHold is how long a hole may wait for its bytes. Default 1 s.
	MaxHold time.Duration
	// MaxWindow is how far, in bytes, a segment may lie ahead of the next expected byte before it
	// is taken for a forgery. Default 16 MiB, more than Linux lets a receive window grow to.
	MaxWindow uint32
}

func (l Limits) withDefaults() Limits {
	if l.MaxBuffered <= 0 {
		l.MaxBuffered = 1 << 20
	}
	if l.MaxTotal <= 0 {
		l.MaxTotal = 64 << 20
	}
	if l.MaxHold <= 0 {
		l.MaxHold = time.Second
	}
	if l.MaxWindow == 0 {
		l.MaxWindow = 16 << 20
	}
	return l
}

// Stats are the books of all Streams that share them, in bytes of payload. They are not safe
// for concurrent use. Two identities hold after every call:
//
//	In = Delivered + Duplicate + Conflict + Late + OutOfWindow + Unanchored + AfterClose + Buffered
//	sum of Offset() of the streams = Delivered + Gap
//
// Buffered is 0 once every Stream is closed.
type Stats struct {
	// In counts every byte of Packet.Data that came.
	In uint64
	// Delivered went to the sinks.
	Delivered uint64
	// Duplicate bytes had been taken before.
	Duplicate uint64
	// Conflict bytes overlap bytes still held and contradict them, or are held and lost to others. What
	// was delivered already is not remembered, so its overlaps count as Duplicate.
	Conflict uint64
	// Late bytes belong to one of the stream's four latest gaps; what is later still counts as Duplicate.
	Late uint64
	// OutOfWindow bytes lie before the anchor, behind the FIN, or too far ahead; or the receiver never
	// had what comes before them.
	OutOfWindow uint64
	// Unanchored bytes came before the stream's first sequence number was known.
	Unanchored uint64
	// AfterClose bytes came after Close.
	AfterClose uint64
	// Buffered bytes are held now, waiting for a hole to fill.
	Buffered uint64
	// Memory is Buffered plus the fixed cost of each held chunk.
	Memory uint64

	// Gap counts the bytes that were reported as not coming, Gaps how many times.
	Gap, Gaps uint64
	// Forced counts the holes given up because MaxBuffered or MaxTotal was reached, Expired those
	// that waited MaxHold.
	Forced, Expired uint64
	// Refused counts the FINs and RSTs that no socket would have believed.
	Refused uint64
	// Resyncs counts jumps past MaxWindow that were believed in the end.
	Resyncs uint64
}

// Discarded is the number of bytes that came and were not used, for whatever reason but
// being duplicates.
func (s *Stats) Discarded() uint64 {
	return s.Conflict + s.Late + s.OutOfWindow + s.Unanchored + s.AfterClose
}
