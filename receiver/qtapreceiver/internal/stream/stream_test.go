// SPDX-License-Identifier: Apache-2.0

package stream

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// record is a Sink that checks the order of what it is given.
type record struct {
	t    testing.TB
	next uint64
	data []byte // gaps are zero bytes
	gaps []span
}

func (r *record) Data(_ int64, off uint64, b []byte) {
	require.Equal(r.t, r.next, off)
	require.NotEmpty(r.t, b)
	r.next += uint64(len(b))
	r.data = append(r.data, b...)
}

func (r *record) Gap(_ int64, off, n uint64) {
	require.Equal(r.t, r.next, off)
	require.NotZero(r.t, n)
	r.next += n
	r.data = append(r.data, make([]byte, n)...)
	r.gaps = append(r.gaps, span{off, off + n})
}

func checkBooks(t testing.TB, st *Stats, streams ...*Stream) {
	t.Helper()
	require.Equal(t, st.In, st.Delivered+st.Duplicate+st.Discarded()+st.Buffered)
	var off uint64
	var buffered, memory int
	for _, s := range streams {
		off += s.Offset()
		buffered += s.Buffered()
		memory += s.held.memory
	}
	require.Equal(t, off, st.Delivered+st.Gap)
	require.EqualValues(t, buffered, st.Buffered)
	require.EqualValues(t, memory, st.Memory)
}

func newTest(t testing.TB, l Limits) (*Stream, *record, *Stats) {
	r, st := &record{t: t}, &Stats{}
	return New(r, l, st), r, st
}

func data(seq uint32, b string) *event.Packet {
	return &event.Packet{Seq: seq, Len: uint32(len(b)), Data: []byte(b), Flags: event.FlagACK}
}

func TestHandshakeAndFIN(t *testing.T) {
	s, r, st := newTest(t, Limits{})
	s.Packet(data(5, "early"))
	require.False(t, s.Anchored())
	require.EqualValues(t, 5, st.Unanchored)
	s.Packet(&event.Packet{Seq: 0xffffffff, Flags: event.FlagSYN})
	require.True(t, s.Anchored())
	s.Packet(data(0, "hello "))
	p := data(6, "world")
	p.Flags |= event.FlagFIN
	s.Packet(p)
	require.Equal(t, "hello world", string(r.data))
	require.True(t, s.Finished())
	s.Packet(data(11, "behind the end"))
	require.EqualValues(t, 14, st.OutOfWindow)
	s.Close(0)
	s.Packet(data(11, "x"))
	require.EqualValues(t, 1, st.AfterClose)
	checkBooks(t, st, s)
}

func TestReorderDuplicateConflict(t *testing.T) {
	s, r, st := newTest(t, Limits{})
	s.Anchor(100)
	s.Packet(data(105, "fghij"))
	s.Packet(data(105, "fX")) // contradicts what is held and begins no earlier: TCP keeps what it has
	s.Packet(data(105, "fg"))
	require.Equal(t, 5, s.Buffered())
	s.Packet(data(100, "abcde"))
	require.Equal(t, "abcdefghij", string(r.data))
	s.Packet(data(98, "??abc")) // starts before the anchor
	s.Packet(data(100, "abcdefghijkl"))
	require.Equal(t, "abcdefghijkl", string(r.data))
	require.EqualValues(t, 2, st.Conflict)
	require.EqualValues(t, 2+10, st.Duplicate)
	require.EqualValues(t, 5, st.OutOfWindow)
	checkBooks(t, st, s)
}

func TestInOrderBeatsWhatCameAhead(t *testing.T) {
	s, r, st := newTest(t, Limits{})
	s.Anchor(0)
	s.Packet(data(3, "FORGED")) // ahead of its turn
	s.Packet(data(0, "abcdef"))
	require.Equal(t, "abcdefGED", string(r.data), "so does TCP: the tail is what nobody else sent")
	require.EqualValues(t, 3, st.Conflict)
	checkBooks(t, st, s)
}

// Of two versions that came ahead of their turn TCP keeps one or the other, depending on what it has
// merged: neither is believed.
func TestContradictionAheadIsNotKnown(t *testing.T) {
	s, r, st := newTest(t, Limits{})
	s.Anchor(0)
	s.Packet(data(5, "fghij"))
	s.Packet(data(3, "deXghij"))
	s.Packet(data(5, "fghij")) // again: still two to one
	s.Packet(data(10, "k"))
	s.Packet(data(0, "abc"))
	require.Equal(t, "abcde\x00\x00\x00\x00\x00k", string(r.data))
	require.Equal(t, []span{{5, 10}}, r.gaps)
	require.EqualValues(t, 5+5+5, st.Conflict)
	checkBooks(t, st, s)
}

// A hole is no loss while the receiver itself waits for it, however long; what lies behind it is
// believed when the receiver has it.
func TestReceiverThatTellsIsAwaited(t *testing.T) {
	s, r, st := newTest(t, Limits{MaxHold: time.Second})
	s.Anchor(0)
	s.Received(0)
	s.Packet(data(3, "def"))
	s.Tick(100e9)
	require.Empty(t, r.data)
	s.Packet(data(0, "abc"))
	s.Packet(data(9, "jkl"))
	s.Received(12)
	s.Tick(200e9)
	require.Equal(t, "abcdef\x00\x00\x00jkl", string(r.data), "the receiver has what was not captured")
	s.Packet(data(1012, "a forgery far ahead"))
	s.Tick(300e9)
	s.Close(300e9)
	require.EqualValues(t, 12, s.Offset())
	require.EqualValues(t, 19, st.OutOfWindow)
	checkBooks(t, st, s)
}

func TestForgedFINAndReset(t *testing.T) {
	s, r, st := newTest(t, Limits{})
	s.Anchor(0)
	s.Received(0)
	s.Packet(data(0, "abc"))
	fin := func(seq uint32) *event.Packet {
		return &event.Packet{Seq: seq, Flags: event.FlagFIN | event.FlagACK, Dir: event.Ingress}
	}
	s.Packet(fin(5)) // within what comes
	s.Packet(fin(5000))
	s.Packet(&event.Packet{Seq: 777, Flags: event.FlagRST, Dir: event.Ingress})
	s.Packet(&event.Packet{Seq: 999, Flags: event.FlagSYN, Dir: event.Ingress})
	require.False(t, s.Reset())
	s.Packet(data(3, "defghi"))
	s.Tick(100e9)
	s.Packet(data(9, "jkl"))
	require.Equal(t, "abcdefghijkl", string(r.data))
	require.Empty(t, r.gaps)
	require.False(t, s.Finished())
	require.EqualValues(t, 2, st.Refused, "a FIN in the midst of data, and a RST beside it")
	s.Packet(fin(12))
	require.True(t, s.Finished())
	s.Packet(&event.Packet{Seq: 12, Flags: event.FlagRST, Dir: event.Ingress})
	require.True(t, s.Reset())
	s.Received(13) // the FIN counts as a byte
	s.Close(0)
	require.EqualValues(t, 12, s.Offset())
	checkBooks(t, st, s)
}

func TestEndSaysWhatIsMissing(t *testing.T) {
	s, r, st := newTest(t, Limits{})
	s.Anchor(0)
	s.Received(0)
	s.Packet(data(0, "abc"))
	s.Packet(data(6, "ghi"))
	s.End(1, 12)
	s.Close(1)
	require.Equal(t, "abc\x00\x00\x00ghi\x00\x00\x00", string(r.data))
	require.EqualValues(t, 6, st.Gap)
	checkBooks(t, st, s)
}

func TestHoleBecomesGap(t *testing.T) {
	s, r, st := newTest(t, Limits{MaxHold: time.Second})
	s.Anchor(0)
	p := data(10, "later")
	p.Time = 1e9
	s.Packet(p)
	s.Tick(19e8)
	require.Empty(t, r.data)
	s.Tick(2e9)
	require.Equal(t, []span{{0, 10}}, r.gaps)
	require.EqualValues(t, 15, s.Offset())
	s.Packet(data(3, "late"))
	s.Packet(data(8, "lalate"))
	require.EqualValues(t, 4+2, st.Late)
	require.EqualValues(t, 4, st.Duplicate)
	require.EqualValues(t, 1, st.Expired)
	checkBooks(t, st, s)
}

func TestAckedHoleIsNotAwaited(t *testing.T) {
	s, r, _ := newTest(t, Limits{})
	s.Anchor(0)
	s.Packet(data(10, "later"))
	s.Acked(15)
	s.Tick(1e6)
	require.Empty(t, r.gaps)
	s.Tick(ackHold)
	require.Equal(t, []span{{0, 10}}, r.gaps)
}

func TestPureAckRevealsTailLoss(t *testing.T) {
	s, r, st := newTest(t, Limits{})
	s.Anchor(0)
	s.Packet(data(0, "abc"))
	s.Packet(&event.Packet{Seq: 9, Flags: event.FlagACK})
	s.Tick(2e9)
	require.Equal(t, []span{{3, 9}}, r.gaps)
	checkBooks(t, st, s)
}

// A segment arrives in parts; what no part carries is a gap as soon as that is certain.
func TestPartialSegments(t *testing.T) {
	part := func(seq, n, off uint32, b string) *event.Packet {
		return &event.Packet{Seq: seq, Len: n, Off: off, Data: []byte(b), Flags: event.FlagACK}
	}
	s, r, st := newTest(t, Limits{})
	s.Anchor(0)
	s.Packet(part(0, 10, 0, "abc"))
	s.Packet(part(0, 10, 3, "def"))
	require.Empty(t, r.gaps)
	s.Packet(part(10, 4, 0, "klmn")) // the tail of the first was not copied
	require.Equal(t, []span{{6, 10}}, r.gaps)
	s.Packet(part(14, 6, 2, "qr")) // neither was the head of this one
	require.Equal(t, []span{{6, 10}, {14, 16}}, r.gaps)
	s.Tick(1)
	require.EqualValues(t, 18, s.Offset())
	s.Tick(segmentHold) // and its tail will not come
	require.EqualValues(t, 20, s.Offset())
	s.Packet(part(30, 10, 0, "")) // a whole segment skipped, behind a hole
	s.Packet(part(20, 10, 0, "0123456789"))
	require.EqualValues(t, 40, s.Offset())
	s.Packet(part(50, 10, 0, ""))
	s.Packet(part(50, 10, 0, "ABCDEFGHIJ")) // retransmitted, this time copied
	s.Packet(part(40, 10, 0, "0123456789"))
	require.Equal(t, "ABCDEFGHIJ", string(r.data[50:]))
	checkBooks(t, st, s)
}

func TestSkip(t *testing.T) {
	r, st := &count{}, &Stats{}
	s := New(r, Limits{}, st)
	s.Anchor(7)
	s.Packet(data(7, "head"))
	s.Skip(6 << 30)
	far := uint64(6<<30) + 100
	s.Packet(data(7+uint32(far), "tail"))
	require.EqualValues(t, 6<<30-4, r.gap)
	require.EqualValues(t, 6<<30, s.Offset())
	require.Equal(t, 4, s.Buffered()) // the 100 bytes before it were not skipped
	s.Close(0)
	require.EqualValues(t, 6<<30-4+100, r.gap)
	require.EqualValues(t, 8, st.Delivered)
	checkBooks(t, st, s)
}

func TestWindow(t *testing.T) {
	s, r, st := newTest(t, Limits{MaxWindow: 1 << 16, MaxHold: time.Second})
	s.Anchor(0)
	s.Packet(data(1<<20, "forged"))
	s.Packet(data(0, "abc"))
	require.EqualValues(t, 6, st.OutOfWindow)
	// A ring that was full for long: the packets go on elsewhere, and nothing else comes.
	for i := range uint32(5) {
		p := data(1<<21+i*4, "data")
		p.Time = int64(i) * 3e8
		s.Packet(p)
	}
	require.EqualValues(t, 1, st.Resyncs)
	require.Equal(t, []span{{3, 1<<21 + 16}}, r.gaps)
	require.Equal(t, "data", string(r.data[1<<21+16:]))
	checkBooks(t, st, s)
}

func TestMidstream(t *testing.T) {
	s, r, _ := newTest(t, Limits{})
	s.AllowMidstream()
	s.Packet(&event.Packet{Seq: 41, Flags: event.FlagACK}) // a keep-alive probe must not anchor
	require.False(t, s.Anchored())
	s.Packet(data(42, "abc"))
	s.Packet(data(45, "def"))
	require.Equal(t, "abcdef", string(r.data))
}

func TestBufferBound(t *testing.T) {
	s, r, st := newTest(t, Limits{MaxBuffered: 8192})
	s.Anchor(0)
	for i := range uint32(1000) {
		s.Packet(data(1+i*20, "0123456789"))
		require.LessOrEqual(t, st.Memory, uint64(8192))
	}
	require.NotZero(t, st.Forced)
	s.Close(0)
	require.EqualValues(t, 10000, st.Delivered)
	require.Len(t, r.gaps, 1000)
	require.Zero(t, st.Memory)
	checkBooks(t, st, s)

	// A single segment larger than the bound is delivered, not discarded.
	s, r, st = newTest(t, Limits{MaxBuffered: 8192})
	s.Anchor(0)
	s.Packet(data(5, string(make([]byte, 20000))))
	require.EqualValues(t, 20005, s.Offset())
	require.Equal(t, []span{{0, 5}}, r.gaps)
	checkBooks(t, st, s)
}

func TestTotalBoundIsShared(t *testing.T) {
	st := &Stats{}
	var all []*Stream
	for range 100 {
		s := New(&record{t: t}, Limits{MaxTotal: 20000}, st)
		s.Anchor(0)
		s.Packet(data(1, string(make([]byte, 1000))))
		all = append(all, s)
		require.LessOrEqual(t, st.Memory, uint64(20000))
	}
	checkBooks(t, st, all...)
	for _, s := range all {
		s.Close(0)
	}
	require.Zero(t, st.Memory)
	require.EqualValues(t, 100*1000, st.Delivered)
}

type count struct{ data, gap uint64 }

func (c *count) Data(_ int64, off uint64, b []byte) { c.data += uint64(len(b)) }
func (c *count) Gap(_ int64, off, n uint64)         { c.gap += n }

func TestOffsetsBeyond4GiB(t *testing.T) {
	c, st := &count{}, &Stats{}
	s := New(c, Limits{}, st)
	s.Anchor(0xfffffff0)
	b := make([]byte, 65000)
	seq := uint32(0xfffffff0)
	for range 100_000 { // 6.5 GB
		s.Packet(&event.Packet{Seq: seq, Len: 65000, Data: b})
		s.Packet(&event.Packet{Seq: seq, Len: 65000, Data: b})
		seq += 65000
	}
	require.EqualValues(t, 6_500_000_000, s.Offset())
	require.EqualValues(t, 6_500_000_000, c.data)
	require.EqualValues(t, 6_500_000_000, st.Duplicate)
}

// Whatever the network and the ring do, what is delivered is the truth at the right place, what
// arrived in time is delivered, and the books balance after each call.
func TestProperty(t *testing.T) {
	for seed := range uint64(3000) {
		property(t, seed)
	}
}

func property(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	truth := make([]byte, rnd.IntN(30000))
	for i := range truth {
		truth[i] = byte(rnd.Uint32()) | 1 // never the zero of a gap
	}
	base := rnd.Uint32()
	if seed%3 == 0 {
		base = -uint32(rnd.IntN(len(truth) + 1)) // wraps inside
	}
	loss, dup, partial, conflict := rnd.Float64()*0.2, rnd.Float64()*0.3, rnd.Float64()*0.3, rnd.Float64()*0.1
	var ps []event.Packet
	arrived := make([]bool, len(truth))
	add := func(off, n int) {
		if rnd.Float64() < loss {
			return
		}
		for at := off; at < off+n; {
			m := min(1+rnd.IntN(700), off+n-at)
			if rnd.Float64() >= partial {
				ps = append(ps, event.Packet{Seq: base + uint32(off), Len: uint32(n), Off: uint32(at - off), Data: truth[at : at+m]})
			}
			at += m
		}
	}
	for off := 0; off < len(truth); {
		n := min(1+rnd.IntN(1400), len(truth)-off)
		add(off, n)
		if rnd.Float64() < dup {
			// Retransmits are cut anew.
			from := max(0, off-rnd.IntN(2000))
			add(from, min(1+rnd.IntN(3000), off+n-from))
		}
		off += n
	}
	for range rnd.IntN(len(ps)/4 + 1) {
		i := rnd.IntN(len(ps))
		j := min(len(ps)-1, i+rnd.IntN(20))
		ps[i], ps[j] = ps[j], ps[i]
	}
	l := Limits{}
	if seed%4 == 0 {
		l.MaxBuffered = 4096 + rnd.IntN(8192)
	}
	s, r, st := newTest(t, l)
	s.Anchor(base)
	end := uint64(0)
	for i := range ps {
		p := &ps[i]
		p.Time = int64(i) * 1e5
		s.Packet(p)
		at := int(p.Seq-base) + int(p.Off)
		for j := at; j < at+len(p.Data); j++ {
			arrived[j] = true
		}
		end = max(end, uint64(p.Seq-base)+uint64(p.Len))
		if rnd.Float64() < conflict {
			// A forgery over bytes that were taken.
			forged := bytes.Clone(p.Data)
			for k := range forged {
				forged[k] ^= 0xfe
			}
			s.Packet(&event.Packet{Seq: p.Seq + p.Off, Len: uint32(len(forged)), Data: forged, Time: p.Time})
		}
		if i%50 == 0 {
			s.Tick(p.Time)
		}
		checkBooks(t, st, s)
	}
	s.Close(0)
	checkBooks(t, st, s)
	require.Zero(t, st.Buffered, seed)
	require.Equal(t, end, s.Offset(), "seed %d", seed)
	require.EqualValues(t, s.Offset(), len(r.data))
	missing := uint64(0)
	for i, b := range r.data {
		if b == 0 {
			if arrived[i] {
				missing++
			}
		} else if b != truth[i] {
			t.Fatalf("seed %d: offset %d is not the truth", seed, i)
		}
	}
	// Bytes that arrived and were not delivered came after their gap. Only the latest gaps are
	// remembered to name them so.
	late := st.Late + st.Conflict // of two versions of bytes that came ahead neither may be believed
	if len(r.gaps) > len(s.gaps) {
		late += st.Duplicate
	}
	require.LessOrEqual(t, missing, late, "seed %d", seed)
}

func FuzzStream(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x05hello\x01\x05\x00\x03abc"), uint32(0))
	f.Add([]byte("\x10\x20\x00\x08abcdefgh\x00\x00\x02\x04wxyz"), uint32(0xfffffff8))
	f.Add([]byte("\x40\x00\x08\x00\x50\x00\x02\x04held\x4e\x00\x02\x06forged\x42\x07\x09\x01x\x45\x00\x0a\x00"), uint32(7))
	f.Fuzz(func(t *testing.T, in []byte, base uint32) {
		testkit.Keep(t, in)
		s, _, st := newTest(t, Limits{MaxBuffered: 4096, MaxWindow: 4096})
		s.Anchor(base)
		now := int64(0)
		for len(in) >= 4 {
			seq, extra, kind, n := base+uint32(s.Offset())-64+uint32(in[0]), uint32(in[1]), in[2], int(in[3])
			in = in[4:]
			n = min(n, len(in))
			p := &event.Packet{Seq: seq, Data: in[:n], Time: now}
			in = in[n:]
			p.Off, p.Len = extra%7, uint32(n)+extra%11
			now += int64(extra) * 1e6
			switch kind % 16 {
			case 0:
				s.Tick(now)
			case 1:
				p.Flags = event.FlagFIN
			case 2:
				p.Flags = event.FlagRST
			case 3:
				p.Flags = event.FlagSYN
			case 4:
				s.Acked(seq)
			case 5:
				s.Skip(s.Offset() + uint64(extra))
			case 6:
				p.Seq += 1 << 16
			case 7:
				p.Off, p.Len = 1<<31, 1<<31 // lies
			case 8:
				s.Received(seq)
			case 9:
				s.End(now, s.Offset()+uint64(extra))
			case 10:
				p.Flags, p.Dir = event.FlagRST, event.Ingress
			}
			s.Packet(p)
			checkBooks(t, st, s)
			require.LessOrEqual(t, st.Memory, uint64(4096))
		}
		s.Close(now)
		checkBooks(t, st, s)
		require.Zero(t, st.Memory)
	})
}

func BenchmarkInOrder(b *testing.B) {
	c, st := &count{}, &Stats{}
	s := New(c, Limits{}, st)
	s.Anchor(0)
	p := &event.Packet{Len: 4096, Data: make([]byte, 4096)}
	b.ReportAllocs()
	b.SetBytes(4096)
	for b.Loop() {
		s.Packet(p)
		p.Seq += 4096
	}
}

func BenchmarkParts(b *testing.B) {
	c, st := &count{}, &Stats{}
	s := New(c, Limits{}, st)
	s.Anchor(0)
	part := make([]byte, 16384)
	p := &event.Packet{Len: 65536}
	b.ReportAllocs()
	b.SetBytes(65536)
	for b.Loop() {
		for off := uint32(0); off < 65536; off += 16384 {
			p.Off, p.Data = off, part
			s.Packet(p)
		}
		p.Seq += 65536
	}
}

func BenchmarkReordered(b *testing.B) {
	c, st := &count{}, &Stats{}
	s := New(c, Limits{}, st)
	s.Anchor(0)
	p := &event.Packet{Len: 1448, Data: make([]byte, 1448)}
	b.ReportAllocs()
	b.SetBytes(4 * 1448)
	for b.Loop() {
		for _, i := range [...]uint32{1, 2, 0, 3} {
			q := *p
			q.Seq += i * 1448
			s.Packet(&q)
		}
		p.Seq += 4 * 1448
	}
}
