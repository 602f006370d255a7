// SPDX-License-Identifier: Apache-2.0

package http2

// Finding frames. After a gap the bytes of a direction may be anything: the middle of content, which may
// itself hold what looks like frames (a capture that is downloaded, a tunnel). So frames are believed only
// when
//
//   - at least sureFrames frame headers follow one another, each plausible and in its place, and
//   - they either reach over more than the largest frame, so that they cannot all lie in one frame's payload,
//     or were at a frame's end sureTurns times when the other end had spoken in between, as they would hardly be
//     within content that is being sent, and
//   - no other such row of frames is in sight.
//
// The frames on the way there are not read: field blocks in them might belong to content.

const (
	sureFrames = 3
	sureTurns  = 3
	// maxRows bounds the rows of frames that are followed at a time.
	maxRows = 16
)

// row is a row of frame headers that follow one another.
type row struct {
	start, next uint64 // offsets of the first header, and of the one to come
	frames      int
	turns       int
	block       uint32 // the stream whose field block is open, 0 when none is
}

// finder looks for frames.
type finder struct {
	off    uint64 // of the next byte, counted from the first that was searched
	turned uint64 // off at which the other end had spoken
	// The last 9 bytes: hi the oldest of them, lo the others.
	hi    byte
	lo    uint64
	valid int // how many of them are
	rows  [maxRows]row
	n     int
	soon  uint64 // the least next of the rows: before it there is nothing to do for them
}

// reset is called when bytes are missing.
func (s *finder) reset() { *s = finder{} }

// turn is called when the direction begins to talk after the other.
func (s *finder) turn() {
	s.turned = s.off
	for i := range s.rows[:s.n] {
		if s.rows[i].next == s.off && s.rows[i].block == 0 {
			s.rows[i].turns++
		}
	}
}

// find consumes bytes until a frame certainly begins with the next one.
func (s *finder) find(b []byte, client bool, maxFrame int) (n int, found bool) {
	size := min(maxFrame, 1<<20)
	if maxFrame == 0 {
		size = firstMaxFrame
	}
	for i, c := range b {
		if s.n > 0 && s.off >= s.soon && s.sure(maxFrame) {
			return i, true
		}
		s.hi, s.lo = byte(s.lo>>56), s.lo<<8|uint64(c)
		s.off++
		if s.valid++; s.valid < headerLen {
			continue
		}
		s.valid = headerLen
		s.header(s.off-headerLen, client, size)
	}
	if s.n > 0 && s.off >= s.soon && s.sure(maxFrame) {
		return len(b), true
	}
	return len(b), false
}

// header looks at the 9 bytes at offset at.
func (s *finder) header(at uint64, client bool, size int) {
	f := frame{length: int(s.hi)<<16 | int(s.lo>>48), kind: byte(s.lo >> 40), flags: byte(s.lo >> 32), stream: uint32(s.lo)}
	ok := f.kind <= framePriorityUpdate && f.length <= size && f.stream < 1<<31 && f.plausible(client, size)
	expected := s.n > 0 && at >= s.soon && s.follow(at, f, ok)
	if !ok || expected || f.kind == frameContinuation || s.n == maxRows {
		return
	}
	r := row{start: at, frames: 1}
	if at == s.turned {
		r.turns = 1
	}
	r.extend(at, f)
	if s.n == 0 || r.next < s.soon {
		s.soon = r.next
	}
	s.rows[s.n] = r
	s.n++
}

// follow extends the row that expects the header f at offset at, and ends those that it contradicts. It returns
// whether there was one.
func (s *finder) follow(at uint64, f frame, ok bool) (expected bool) {
	kept := s.rows[:0]
	for _, r := range s.rows[:s.n] {
		if r.next == at {
			if !ok || (r.block != 0) != (f.kind == frameContinuation) || r.block != 0 && r.block != f.stream || expected {
				continue // of rows that have met, the first and longest goes on
			}
			expected = true
			r.frames++
			r.extend(at, f)
		}
		if len(kept) == 0 || r.next < s.soon {
			s.soon = r.next
		}
		kept = append(kept, r)
	}
	s.n = len(kept)
	return expected
}

func (r *row) extend(at uint64, f frame) {
	r.next = at + headerLen + uint64(f.length)
	switch f.kind {
	case frameHeaders, frameContinuation:
		r.block = f.stream
		if f.has(flagEndHeaders) {
			r.block = 0
		}
	}
}

// sure says whether a frame certainly begins at off.
func (s *finder) sure(maxFrame int) bool {
	certain := false
	for i := range s.rows[:s.n] {
		r := &s.rows[i]
		if r.next != s.off {
			if r.frames > 1 {
				return false
			}
			continue
		}
		if r.block == 0 && r.frames >= sureFrames &&
			(r.turns >= sureTurns || maxFrame > 0 && r.next-r.start > uint64(maxFrame+headerLen)) {
			certain = true
		}
	}
	return certain
}
