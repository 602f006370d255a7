// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"slices"
	"sort"
)

// chunkCost is what a held chunk is charged beside its bytes, so that a flood of tiny segments
// is bounded in number as well.
const chunkCost = 256

// chunk is a run of bytes that cannot be delivered yet; without data it is a run that was on
// the wire but not copied.
type chunk struct {
	off, end uint64
	t        int64
	data     []byte
	// contradicted: two versions came and nobody can tell which the receiver took.
	contradicted bool
}

// held are the chunks beyond the head of a stream: sorted, not overlapping.
type held struct {
	chunks []chunk
	bytes  int // of data
	memory int // bytes plus chunkCost each
}

// find returns the index of the first chunk that ends behind at.
func (h *held) find(at uint64) int {
	// Segments mostly arrive in order behind a hole: look at the end first.
	if n := len(h.chunks); n == 0 || h.chunks[n-1].end <= at {
		return n
	}
	return sort.Search(len(h.chunks), func(i int) bool { return h.chunks[i].end > at })
}

func (s *Stream) insert(i int, c chunk) {
	s.held.chunks = slices.Insert(s.held.chunks, i, c)
	s.account(len(c.data), chunkCost)
}

func (s *Stream) remove(i int) {
	n := len(s.held.chunks[i].data)
	if i == 0 {
		s.held.chunks[0] = chunk{}
		s.held.chunks = s.held.chunks[1:]
	} else {
		s.held.chunks = slices.Delete(s.held.chunks, i, i+1)
	}
	s.account(-n, -chunkCost)
}

// carve takes [off, end) out of the not-copied chunk i.
func (s *Stream) carve(i int, off, end uint64) {
	c := s.held.chunks[i]
	s.remove(i)
	if end < c.end {
		s.insert(i, chunk{off: end, end: c.end, t: c.t})
	}
	if c.off < off {
		s.insert(i, chunk{off: c.off, end: off, t: c.t})
	}
}

// contradict forgets what chunk i holds: nobody can tell any more.
func (s *Stream) contradict(i int) {
	c := &s.held.chunks[i]
	n := len(c.data)
	s.stats.Conflict += uint64(n)
	c.data, c.contradicted = nil, true
	s.account(-n, 0)
}

func (s *Stream) account(bytes, cost int) {
	s.held.bytes += bytes
	s.held.memory += bytes + cost
	s.stats.Buffered += uint64(bytes)
	s.stats.Memory += uint64(bytes + cost)
}
