// SPDX-License-Identifier: Apache-2.0

package stream

// giveUp reports everything up to offset to as a gap; nothing held may lie before it.
func (s *Stream) giveUp(t int64, to uint64) {
	s.gap(t, to)
	s.drain(t)
}

func (s *Stream) gap(t int64, to uint64) {
	if to <= s.next {
		return
	}
	off := s.next
	s.next = to
	s.stats.Gap += to - off
	s.stats.Gaps++
	if last := &s.gaps[s.gapI]; last.end == off && last.end > last.off {
		last.end = to
	} else {
		s.gapI = (s.gapI + 1) % len(s.gaps)
		s.gaps[s.gapI] = span{off, to}
	}
	s.sink.Gap(t, off, to-off)
}

// flush gives up every hole before offset to and everything missing up to it.
func (s *Stream) flush(t int64, to uint64) {
	for s.next < to && !s.ends() {
		end := to
		if len(s.held.chunks) > 0 {
			end = min(end, s.held.chunks[0].off)
		}
		s.giveUp(t, end)
	}
}

// passed counts n bytes at an offset the stream is past.
func (s *Stream) passed(at, n uint64) {
	end := at + n
	var late uint64
	for _, g := range s.gaps {
		if lo, hi := max(g.off, at), min(g.end, end); lo < hi {
			late += hi - lo
		}
	}
	s.stats.Late += late
	s.stats.Duplicate += n - late
}

// Tick gives up holes that waited too long. now is in Unix nanoseconds; call it at least
// every few tens of milliseconds.
func (s *Stream) Tick(now int64) {
	if s.segOpen && now-s.segT >= segmentHold {
		s.endSegment(now)
	}
	for !s.closed {
		hole, end, since := s.hole()
		age := now - since
		if !hole || (s.patient || age < int64(s.limits.MaxHold)) && (end > s.acked || age < ackHold) {
			return
		}
		s.stats.Expired++
		s.giveUp(now, end)
		s.atFIN()
	}
}

// hole is the missing run at the head: its end, and when it was first known.
func (s *Stream) hole() (ok bool, end uint64, since int64) {
	if len(s.held.chunks) > 0 {
		since = s.held.chunks[0].t
		for i := range s.held.chunks {
			since = min(since, s.held.chunks[i].t)
		}
		return true, s.held.chunks[0].off, since
	}
	if s.next < s.tail {
		return true, s.tail, s.tailT
	}
	return false, 0, 0
}

// Close ends the stream: what is held is delivered, what is missing before it, or before the
// FIN, becomes gaps; but of what the receiver told us of (Received), only what it has. Later packets
// are only counted.
func (s *Stream) Close(t int64) {
	if s.closed {
		return
	}
	s.endSegment(t)
	if to := s.seen(); s.patient {
		s.flush(t, min(to, s.acked))
	} else {
		s.flush(t, to)
	}
	s.closed = true
	for len(s.held.chunks) > 0 {
		s.stats.OutOfWindow += uint64(len(s.held.chunks[0].data))
		s.remove(0)
	}
}
