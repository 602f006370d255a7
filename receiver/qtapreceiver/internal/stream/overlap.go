// SPDX-License-Identifier: Apache-2.0

package stream

import "bytes"

// take puts bytes where they belong. Where segments overlap and contradict each other it does as TCP
// does on Linux, and where that depends on what cannot be seen here, nothing is believed.
// start is where the segment begins that the bytes are of.
func (s *Stream) take(t int64, start, at uint64, b []byte) {
	s.far.n = 0
	for len(b) > 0 {
		if s.ends() {
			s.stats.OutOfWindow += uint64(len(b))
			return
		}
		if at < s.next {
			n := min(s.next-at, uint64(len(b)))
			s.passed(at, n)
			at, b = at+n, b[n:]
			continue
		}
		if at > s.next && s.next < s.skip {
			s.flush(t, min(at, s.skip))
			continue
		}
		if at == s.next {
			s.inOrder(t, b)
			return
		}
		i := s.held.find(at)
		n := uint64(len(b))
		if i < len(s.held.chunks) {
			switch c := &s.held.chunks[i]; {
			case c.off > at:
				n = min(n, c.off-at)
			case c.data != nil || c.contradicted:
				n = min(n, c.end-at)
				switch {
				case c.data != nil && bytes.Equal(c.data[at-c.off:][:n], b[:n]):
					s.stats.Duplicate += n
				case c.data != nil && start < c.off:
					s.stats.Conflict += n
					s.contradict(i)
				default:
					s.stats.Conflict += n
				}
				at, b = at+n, b[n:]
				continue
			default: // known as not copied, and now here
				n = min(n, c.end-at)
				s.carve(i, at, at+n)
				i = s.held.find(at)
			}
		}
		if s.makeRoom(t, at, n+chunkCost) {
			continue
		}
		s.insert(i, chunk{off: at, end: at + n, t: t, data: bytes.Clone(b[:n])})
		at, b = at+n, b[n:]
	}
}

// inOrder takes the next bytes: all of them, whatever came ahead of its turn, as TCP does.
func (s *Stream) inOrder(t int64, b []byte) {
	end := s.next + uint64(len(b))
	for len(s.held.chunks) > 0 && s.held.chunks[0].off < end {
		c := s.held.chunks[0]
		s.remove(0)
		if c.end > end {
			rest := chunk{off: end, end: c.end, t: c.t, contradicted: c.contradicted}
			if c.data != nil {
				rest.data = c.data[end-c.off:]
				c.data = c.data[:end-c.off]
			}
			s.insert(0, rest)
		}
		if n := uint64(len(c.data)); bytes.Equal(c.data, b[c.off-s.next:][:n]) {
			s.stats.Duplicate += n
		} else {
			s.stats.Conflict += n
		}
	}
	s.deliver(t, b)
	s.drain(t)
}

// makeRoom gives up the oldest hole when a chunk at offset at does not fit, and says whether it did.
func (s *Stream) makeRoom(t int64, at, cost uint64) bool {
	if uint64(s.held.memory)+cost <= uint64(s.limits.MaxBuffered) && s.stats.Memory+cost <= uint64(s.limits.MaxTotal) {
		return false
	}
	s.stats.Forced++
	if len(s.held.chunks) > 0 {
		at = min(at, s.held.chunks[0].off)
	}
	s.giveUp(t, at)
	return true
}

// absent notes that [at, end) was on the wire but not copied: a gap as soon as it is its turn.
func (s *Stream) absent(t int64, at, end uint64) {
	for at < end && !s.ends() {
		if at <= s.next {
			at = s.next
			to := end
			if len(s.held.chunks) > 0 {
				to = min(to, s.held.chunks[0].off)
			}
			if at >= to {
				return
			}
			s.giveUp(t, to)
			continue
		}
		i := s.held.find(at)
		to := end
		if i < len(s.held.chunks) {
			if c := &s.held.chunks[i]; c.off <= at {
				at = c.end
				continue
			}
			to = min(to, s.held.chunks[i].off)
		}
		if s.makeRoom(t, at, chunkCost) {
			continue
		}
		s.insert(i, chunk{off: at, end: to, t: t})
		at = to
	}
}

// deliver hands the next bytes to the sink.
func (s *Stream) deliver(t int64, b []byte) {
	off := s.next
	s.next += uint64(len(b))
	s.stats.Delivered += uint64(len(b))
	s.sink.Data(t, off, b)
}

// drain hands over what is held and has its turn now.
func (s *Stream) drain(t int64) {
	for len(s.held.chunks) > 0 && s.held.chunks[0].off == s.next && !s.ends() {
		c := s.held.chunks[0]
		s.remove(0)
		if c.data == nil {
			s.gap(t, c.end)
		} else {
			s.deliver(c.t, c.data)
		}
	}
}
