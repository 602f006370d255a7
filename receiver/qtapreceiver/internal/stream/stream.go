// SPDX-License-Identifier: Apache-2.0

// Package stream rebuilds one direction of a TCP connection from its segments, by sequence
// number: bytes in order, each once, and every hole exact to the byte.
package stream

import "github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"

// Sink takes what a Stream rebuilt. It must not call the Stream's methods from within, except
// Skip, Offset and Buffered.
type Sink interface {
	// Data delivers the next bytes of the stream; off is the stream offset of b[0] and t the Unix
	// nanoseconds at which they were seen. b is valid during the call.
	Data(t int64, off uint64, b []byte)
	// Gap says that the n bytes at stream offset off will not come.
	Gap(t int64, off, n uint64)
}

const (
	// segmentHold is how long the rest of a segment is awaited when no other packet ends the wait:
	// its parts are written to the ring by one run of one program, so a drain or two is enough.
	segmentHold = int64(50e6)
	// ackHold is how long an acknowledged hole is awaited: the peer has the bytes, so no retransmit
	// will bring them, only a packet event that was overtaken by the acknowledgement's.
	ackHold = int64(20e6)
	// farRun is how many packets in sequence make a jump past the window believable.
	farRun = 4
)

// Stream rebuilds one direction. It is not safe for concurrent use.
type Stream struct {
	sink   Sink
	limits Limits
	stats  *Stats

	base      uint32 // sequence number of offset 0
	next      uint64 // offset of the next byte to deliver
	anchored  bool
	midstream bool
	closed    bool
	reset     bool

	fin      bool // at finOff; it counts once everything before it is there
	finOff   uint64
	finished bool // it is

	// tail is the furthest offset that a sequence number without data (ACK, FIN) vouches for:
	// everything before it was sent, at tailT or earlier.
	tail  uint64
	tailT int64

	acked uint64 // the receiver has every byte before this offset
	// patient: the receiver itself tells what it has, so that a hole is nothing lost until it does.
	patient bool
	skip    uint64 // bytes before this offset need not be awaited

	// The segment whose parts are still coming: [segNext, segEnd) has not been seen.
	segOpen         bool
	segSeq, segLen  uint32
	segNext, segEnd uint64
	segT            int64

	held held

	gaps [4]span // the latest gaps, to tell late bytes from duplicates
	gapI int

	far struct { // a run of packets beyond the window
		next  uint64
		since int64
		n     int
	}
}

type span struct{ off, end uint64 }

// New returns a Stream without an anchor. stats may be shared between Streams of one goroutine.
func New(sink Sink, limits Limits, stats *Stats) *Stream {
	return &Stream{sink: sink, limits: limits.withDefaults(), stats: stats}
}

// Anchor sets the sequence number of the first payload byte: offset 0. Once data has been
// taken the anchor stays.
func (s *Stream) Anchor(next uint32) {
	if s.anchored && (s.next > 0 || len(s.held.chunks) > 0 || s.fin) {
		return
	}
	s.base, s.anchored = next, true
}

// AllowMidstream lets the first data anchor the stream when nothing else has: for connections
// that were open before the capture began. Offset 0 is then the start of the first segment seen.
func (s *Stream) AllowMidstream() { s.midstream = true }

// Anchored says whether the sequence number of offset 0 is known.
func (s *Stream) Anchored() bool { return s.anchored }

// Offset is the stream offset of the next byte.
func (s *Stream) Offset() uint64 { return s.next }

// Buffered is the number of payload bytes held because bytes before them are missing.
func (s *Stream) Buffered() int { return s.held.bytes }

// Finished says that the stream's end (FIN) was seen and everything before it was delivered
// or reported as a gap.
func (s *Stream) Finished() bool { return s.finished }

// Reset says that a RST was seen in this direction, where a socket would believe it.
func (s *Stream) Reset() bool { return s.reset }

// Skip says that the kernel was told not to copy the bytes before stream offset until: holes
// there become gaps as soon as bytes behind them arrive, and a jump of any size is believed.
func (s *Stream) Skip(until uint64) { s.skip = max(s.skip, until) }

// Acked takes an acknowledgement number of the opposite direction. A hole the peer has
// acknowledged will not be retransmitted, so it need not be awaited for MaxHold.
func (s *Stream) Acked(ack uint32) {
	if !s.anchored {
		return
	}
	// No further than what was seen: a forged number must not reach ahead.
	if off, ok := s.offset(ack); ok && off > s.acked {
		s.acked = min(off, s.seen())
	}
}

// Received takes the sequence number that the receiving socket expects next, as it says itself: for a
// direction that is received on this host. From then on a hole is given up only when the socket has
// its bytes: until then TCP waits for them, too, and what lies behind the hole may be anybody's.
func (s *Stream) Received(next uint32) {
	s.patient = true
	s.Acked(next)
}

// End takes the number of bytes that the stream had in the end, as far as the kernel tells.
func (s *Stream) End(t int64, total uint64) {
	if s.closed || !s.anchored {
		return
	}
	s.endSegment(t)
	s.flush(t, total)
	s.acked = max(s.acked, total)
}

// seen is the end of the furthest byte known of.
func (s *Stream) seen() uint64 {
	end := max(s.next, s.tail)
	if n := len(s.held.chunks); n > 0 {
		end = max(end, s.held.chunks[n-1].end)
	}
	return end
}

// offset unwraps a sequence number near the next expected byte. False means before the anchor.
func (s *Stream) offset(seq uint32) (uint64, bool) {
	ref := max(s.next, s.skip)
	d := int64(int32(seq - (s.base + uint32(ref))))
	if d < 0 && uint64(-d) > ref {
		return 0, false
	}
	return ref + uint64(d), true
}

// Packet takes one segment or part of a segment of this direction.
func (s *Stream) Packet(p *event.Packet) {
	n := uint64(len(p.Data))
	s.stats.In += n
	if s.closed {
		s.stats.AfterClose += n
		return
	}
	seq := p.Seq
	if p.Flags&event.FlagSYN != 0 {
		seq++
		if !s.anchored {
			s.Anchor(seq)
		}
	}
	if p.Flags&event.FlagRST != 0 {
		s.rst(p, seq)
		// A reset may carry a text for humans (RFC 9293 §3.5.2): not part of the stream.
		s.stats.OutOfWindow += n
		return
	}
	if !s.anchored {
		if !s.midstream || n == 0 {
			s.stats.Unanchored += n
			return
		}
		s.Anchor(seq)
	}
	start, ok := s.offset(seq)
	// The usual case first: the next bytes, whole, with nothing waiting.
	if ok && start == s.next && p.Off == 0 && uint32(n) == p.Len && p.Flags&event.FlagFIN == 0 && !s.fin &&
		!s.segOpen && len(s.held.chunks) == 0 {
		if n > 0 {
			s.far.n = 0
			s.deliver(p.Time, p.Data)
		}
		return
	}
	if !ok {
		// Before the anchor: a keep-alive probe, or not of this connection. A segment that merely
		// starts there is not believed either: no sender has reason to make one.
		s.stats.OutOfWindow += n
		return
	}
	end := start + max(uint64(p.Len), uint64(p.Off)+n)
	if !s.plausible(p.Time, start, end, n) {
		s.stats.OutOfWindow += n
		return
	}
	if p.Flags&event.FlagFIN != 0 && !s.Finished() && end >= s.next && (!s.fin || end < s.finOff) {
		s.fin, s.finOff = true, end
	}
	if n == 0 && end > s.tail && end > s.next {
		s.tail, s.tailT = end, p.Time
	} else if s.fin {
		s.tail, s.tailT = max(s.tail, s.finOff), p.Time
	}
	defer s.atFIN()
	if end > s.next || s.segOpen {
		s.segment(p, start, end)
	} else {
		s.passed(start+uint64(p.Off), n)
	}
}

// rst believes a RST that was sent here, or that came where a socket would believe it (RFC 5961 §3.2).
func (s *Stream) rst(p *event.Packet, seq uint32) {
	off, ok := s.offset(seq)
	if p.Dir == event.Egress || ok && s.anchored && (off == s.next || off == s.seen()) {
		s.reset = true
	} else {
		s.stats.Refused++
	}
}

// ends says that the stream has come to its FIN: behind it there is nothing.
func (s *Stream) ends() bool { return s.fin && s.next == s.finOff }

// atFIN is called after the stream may have moved. A FIN in the midst of what was sent was none of the
// sender's; behind a FIN that was reached there is nothing.
func (s *Stream) atFIN() {
	switch {
	case !s.fin || s.next < s.finOff:
	case s.next > s.finOff && !s.finished:
		s.fin = false
		s.stats.Refused++
	default:
		s.finished, s.tail = true, s.finOff
		for len(s.held.chunks) > 0 {
			s.stats.OutOfWindow += uint64(len(s.held.chunks[0].data))
			s.remove(0)
		}
	}
}

// segment follows the parts of a segment, so that what was not copied is known as such.
func (s *Stream) segment(p *event.Packet, start, end uint64) {
	at := start + uint64(p.Off)
	n := uint64(len(p.Data))
	if s.segOpen && p.Seq == s.segSeq && p.Len == s.segLen && at >= s.segNext {
		s.absent(p.Time, s.segNext, at)
	} else {
		s.endSegment(p.Time)
		s.absent(p.Time, start, at)
	}
	if n > 0 {
		s.take(p.Time, start, at, p.Data)
	}
	at += n
	s.segOpen = at < end
	s.segSeq, s.segLen, s.segNext, s.segEnd, s.segT = p.Seq, p.Len, at, end, p.Time
	if n == 0 && s.segOpen {
		// Nothing of it was copied: there is no part to wait for.
		s.endSegment(p.Time)
	}
}

// endSegment gives up the parts of the open segment that have not come.
func (s *Stream) endSegment(t int64) {
	if s.segOpen {
		s.segOpen = false
		s.absent(t, s.segNext, s.segEnd)
	}
}

// plausible says whether a segment lies where one may lie.
func (s *Stream) plausible(t int64, start, end, n uint64) bool {
	if s.finished && end > s.finOff {
		return false
	}
	if end <= max(s.next, s.skip)+uint64(s.limits.MaxWindow) {
		return true
	}
	if n == 0 {
		return false
	}
	// Data beyond the window is a forgery, or the ring was full for longer than the window. Only a
	// run of it that lasts while nothing else comes is believed.
	if start > s.far.next || start+uint64(s.limits.MaxWindow) < s.far.next {
		s.far.n = 0
	}
	if s.far.n++; s.far.n == 1 {
		s.far.next, s.far.since = end, t
	}
	s.far.next = max(s.far.next, end)
	if s.far.n < farRun || t-s.far.since < int64(s.limits.MaxHold) {
		return false
	}
	s.far.n = 0
	s.stats.Resyncs++
	s.flush(t, start)
	return true
}
