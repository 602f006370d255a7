// SPDX-License-Identifier: Apache-2.0

package tls

import "encoding/binary"

// half is one direction.
type half struct {
	client bool
	state  state
	keys   *protection

	in  []byte // bytes not consumed yet: either of the current call of Data or of buf
	buf []byte // owned; in is its tail when it is not empty
	off uint64 // stream offset of in[0]
	t   int64  // of the latest bytes

	marks []mark // when the bytes of buf came
	hs    []byte // handshake bytes of an unfinished message

	early    bool   // 0-RTT is being read
	skipping bool   // 0-RTT is being skipped, for want of its secret
	skipped  int    // bytes of it
	gap      bool   // bytes are missing behind buf
	gapLen   uint64 // how many at least
	discard  uint64 // bytes to throw away: the rest of a record whose part is missing
	scanned  int    // bytes looked at since the gap
	lastLen  int    // of the latest whole record: the guess for those in a gap
	trials   int    // bytes left for trials since the gap
}

// mark says that the bytes before stream offset end were seen at t.
type mark struct {
	end uint64
	t   int64
}

func (h *half) setKeys(k *protection) {
	if h.keys != nil && h.keys != k {
		h.keys.wipe()
	}
	h.keys = k
}

// record returns the next whole record. bad is true when what is there cannot be one.
func (h *half) record() (rec []byte, bad bool) {
	if len(h.in) < headerLen {
		return nil, false
	}
	n := headerLen + int(binary.BigEndian.Uint16(h.in[3:]))
	if h.in[0] < typeCCS || h.in[0] > typeApplication+1 || h.in[1] != 3 || n > maxRecord {
		return nil, true
	}
	if len(h.in) < n {
		return nil, false
	}
	return h.in[:n], false
}

// time is when the last byte before stream offset end was seen.
func (h *half) time(end uint64) int64 {
	for _, m := range h.marks {
		if m.end >= end {
			return m.t
		}
	}
	return h.t
}

// advance moves past n bytes.
func (h *half) advance(n int) {
	h.in = h.in[n:]
	h.off += uint64(n)
	i := 0
	for i < len(h.marks) && h.marks[i].end <= h.off {
		i++
	}
	h.marks = append(h.marks[:0], h.marks[i:]...)
}

// consume moves past a record that was understood.
func (c *Conn) consume(h *half, n int) {
	h.lastLen = n
	h.advance(n)
	c.stats.Consumed += uint64(n)
	c.settle(h, n)
}

// skip moves past bytes that are of no use.
func (c *Conn) skip(h *half, n int) {
	h.advance(n)
	c.stats.Skipped += uint64(n)
	c.settle(h, n)
}

// settle takes n bytes off what is held.
func (c *Conn) settle(h *half, n int) {
	if len(h.buf) == 0 {
		return
	}
	c.stats.Buffered -= uint64(n)
	if len(h.in) == 0 {
		c.keys.giveBuf(h.buf)
		h.buf = nil
	}
}

// hold adds bytes behind those that are held.
func (c *Conn) hold(h *half, b []byte) {
	if len(h.in)+len(b) <= cap(h.buf) {
		if len(h.buf)+len(b) > cap(h.buf) {
			h.buf = h.buf[:copy(h.buf, h.in)]
		}
		h.buf = append(h.buf, b...)
	} else {
		old := h.buf
		h.buf = append(make([]byte, 0, 2*(len(h.in)+len(b))), h.in...)
		h.buf = append(h.buf, b...)
		c.keys.giveBuf(old)
	}
	h.in = h.buf[len(h.buf)-len(h.in)-len(b):]
	c.stats.Buffered += uint64(len(b))
	h.mark()
}

// mark notes the time of the newest bytes. A time more or less is not worth much memory.
func (h *half) mark() {
	end := h.off + uint64(len(h.in))
	if n := len(h.marks); n > 0 && (n >= 64 || h.marks[n-1].t == h.t) {
		h.marks[n-1] = mark{end, h.t}
		return
	}
	h.marks = append(h.marks, mark{end, h.t})
}

// park keeps the bytes that could not be consumed, within the bounds.
func (c *Conn) park(h *half) {
	if c.dead {
		c.drop(h)
		return
	}
	if len(h.buf) == 0 && len(h.in) > 0 {
		if len(h.in) <= maxRecord {
			h.buf = c.keys.takeBuf()
		}
		h.buf = append(h.buf, h.in...)
		h.in = h.buf
		c.stats.Buffered += uint64(len(h.in))
		h.mark()
	}
	switch held := len(c.client.in) + len(c.server.in); {
	case held > c.limits.MaxWaiting && c.waiting:
		c.fail(c.noSecret())
	case held > c.limits.MaxWaiting && c.stalled:
		c.fail(ReasonRenegotiation)
	case held > max(c.limits.MaxWaiting, 2*maxRecord), c.stats.Buffered > uint64(c.limits.MaxTotal):
		c.fail(ReasonBuffer)
	}
}

// drop gives up everything a direction holds.
func (c *Conn) drop(h *half) {
	n := uint64(len(h.in))
	c.stats.Dropped += n
	if len(h.buf) > 0 {
		c.stats.Buffered -= n
		c.keys.giveBuf(h.buf)
	}
	h.in, h.buf, h.marks = nil, nil, nil
	h.off += n
}
