// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"encoding/binary"
)

const (
	// maxScan is how far behind a gap a record must be found: the longest record, and then some for
	// header look-alikes at the end of what was there.
	maxScan = 4 * maxRecord
	// maxGenerations is how many KeyUpdates a gap may have swallowed.
	maxGenerations = 2
)

// applyGap deals with a gap, now that everything before it was processed but for the part of a record.
func (c *Conn) applyGap(h *half) bool {
	h.gap = false
	switch h.state {
	case stateEncrypted:
		return c.applyAppGap(h)
	case stateHandshake:
		// The server's flight is what the application secrets are found by, unless a key log names
		// them by the client random.
		var s secret
		if !h.client && !c.find(stageApplication, nil, false, &s) {
			return c.fail(ReasonGapInHandshake)
		}
		s.wipe()
	default:
		if c.doomed != "" {
			return c.fail(c.doomed)
		}
		// Once both hellos are known the rest of a TLS 1.2 handshake can be missing.
		if c.suite == nil && (!h.client || !c.helloSeen) {
			return c.fail(ReasonGapInHandshake)
		}
	}
	h.setKeys(nil)
	h.early = false
	return c.loseAt(h)
}

// applyAppGap uses what is known of a record in the middle of which bytes are missing: it is
// lost, and where the next one begins is known.
func (c *Conn) applyAppGap(h *half) bool {
	if len(h.in) >= headerLen && h.keys != nil {
		missing := uint64(headerLen) + uint64(binary.BigEndian.Uint16(h.in[3:])) - uint64(len(h.in))
		if h.gapLen <= missing {
			c.sink.Gap(h.client, h.t, h.off, 0)
			c.skip(h, len(h.in))
			h.discard = missing - h.gapLen
			h.gapLen = 0
			h.keys.seq++
			return true
		}
	}
	return c.loseAt(h)
}

// loseAt is lose at a gap: what is held before it is a part of a record, and no beginning of one that
// goes on behind it.
func (c *Conn) loseAt(h *half) bool {
	h.gapLen += uint64(len(h.in))
	c.skip(h, len(h.in))
	return c.lose(h)
}

// lose reports a gap and starts to look for the next record in what comes.
func (c *Conn) lose(h *half) bool {
	c.sink.Gap(h.client, h.t, h.off, 0)
	h.state = stateResync
	h.hs = nil // the rest of a message may be lost
	h.scanned = 0
	h.trials = c.limits.MaxTrialBytes
	return true
}

// resync looks for a record whose tag proves its sequence number.
func (c *Conn) resync(h *half) bool {
	if len(h.in) == 0 && !h.gap {
		return false
	}
	if !c.appKeys(h) {
		return c.wait()
	}
	for {
		i := bytes.Index(h.in, []byte{typeApplication, 3, 3})
		if i < 0 {
			i = max(0, len(h.in)-2)
		}
		c.scan(h, i)
		if h.scanned > maxScan {
			return c.fail(ReasonResync)
		}
		if len(h.in) < headerLen {
			return c.resyncMore(h)
		}
		n := headerLen + int(binary.BigEndian.Uint16(h.in[3:]))
		if n < int(c.suite.minRecord()) || n > maxRecord {
			c.scan(h, 1)
			continue
		}
		if len(h.in) < n {
			return c.resyncMore(h)
		}
		if next := h.in[n:]; len(next) > 0 && (next[0] < typeCCS || next[0] > typeApplication) || len(next) > 1 && next[1] != 3 {
			c.scan(h, 1)
			continue
		}
		if c.locate(h, h.in[:n]) {
			h.state = stateEncrypted
			h.gapLen = 0
			c.stats.Resyncs++
			return true
		}
		c.scan(h, 1)
	}
}

// resyncMore is the end of what can be looked at now. Another gap makes what is left useless.
func (c *Conn) resyncMore(h *half) bool {
	if h.gap {
		h.gap = false
		h.scanned = 0
		h.gapLen += uint64(len(h.in))
		c.skip(h, len(h.in))
	}
	return false
}

func (c *Conn) scan(h *half, n int) {
	h.scanned += n
	c.skip(h, n)
}

// locate finds the keys and sequence number that a record verifies with.
func (c *Conn) locate(h *half, rec []byte) bool {
	buf := c.keys.takeBuf()
	defer c.keys.giveBuf(buf)
	k := h.keys
	for gen := 0; ; gen++ {
		seq, ok := c.sequence(h, k, gen, rec, buf)
		if ok {
			k.seq = seq
			h.setKeys(k)
			if gen > 0 {
				h.hs = nil
			}
			return true
		}
		var next *protection
		if gen < maxGenerations && k.suite.version == version13 {
			next, _ = k.next()
		}
		if k != h.keys {
			k.wipe()
		}
		if next == nil {
			return false
		}
		k = next
	}
}

// sequence finds the sequence number of a record under k, at least k.seq.
func (c *Conn) sequence(h *half, k *protection, gen int, rec, buf []byte) (uint64, bool) {
	try := func(seq uint64) bool {
		c.stats.TrialBytes += uint64(len(rec))
		h.trials -= len(rec)
		_, _, err := k.openAt(buf, rec, seq)
		return err == nil
	}
	if k.suite.version == version13 && k.suite.mode == modeGCM {
		seq, ok := k.sequenceOf(rec)
		return seq, ok && seq >= k.seq && try(seq)
	}
	// Around what records like the latest one would give, and no more than would fit.
	lost := h.gapLen + uint64(h.scanned)
	low, high := k.seq, k.seq+lost/k.suite.minRecord()+1
	guess := k.seq
	if gen == 0 {
		guess += lost / max(uint64(h.lastLen), k.suite.minRecord())
	}
	if k.suite.version == version12 && (k.suite.mode == modeGCM || k.suite.mode == modeCCM) {
		// Stacks count the explicit nonce up by one per record.
		if d := binary.BigEndian.Uint64(rec[headerLen:]) - k.explicit; d <= lost {
			guess = k.seq + d
		}
	}
	guess = min(guess, high)
	for d := uint64(0); h.trials > 0 && (guess+d <= high || guess >= low+d); d++ {
		if guess+d <= high && try(guess+d) {
			return guess + d, true
		}
		if d > 0 && guess >= low+d && try(guess-d) {
			return guess - d, true
		}
	}
	return 0, false
}
