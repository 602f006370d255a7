// SPDX-License-Identifier: Apache-2.0

package websocket

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// run is one call of Data, or of Gap.
type run struct {
	client bool
	b      []byte
	gap    int // bytes that are not seen; -1 when their number is not known
}

// wire puts together a frame, masked as a client's must be.
func wire(client, fin bool, rsv, opcode byte, payload []byte) []byte {
	first := rsv<<4 | opcode
	if fin {
		first |= 0x80
	}
	b := []byte{first, 0}
	switch n := len(payload); {
	case n < 126:
		b[1] = byte(n)
	case n < 1<<16:
		b[1] = 126
		b = binary.BigEndian.AppendUint16(b, uint16(n))
	default:
		b[1] = 127
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	if !client {
		return append(b, payload...)
	}
	b[1] |= 0x80
	key := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	b = append(b, key[:]...)
	for i, c := range payload {
		b = append(b, c^key[i&3])
	}
	return b
}

// deflater is a sender's side of permessage-deflate.
type deflater struct {
	takeover bool
	buf      bytes.Buffer
	w        *flate.Writer
}

func (d *deflater) message(p []byte) []byte {
	if d.w == nil || !d.takeover {
		d.w, _ = flate.NewWriter(&d.buf, flate.BestCompression)
	}
	d.buf.Reset()
	_, _ = d.w.Write(p)
	_ = d.w.Flush()
	return bytes.TrimSuffix(bytes.Clone(d.buf.Bytes()), []byte{0, 0, 0xff, 0xff})
}

// feed plays runs, each cut into pieces of at most n bytes (0: whole), and checks the books.
func feed(t testing.TB, opt Options, runs []run, n int) (out []Message) {
	t.Helper()
	var stats Stats
	p := New(opt, func(m *Message) { out = append(out, *m) }, &stats)
	var pos [2]uint64
	in := uint64(0)
	for i, r := range runs {
		at := &pos[0]
		if r.client {
			at = &pos[1]
		}
		if r.gap != 0 {
			p.Gap(r.client, int64(i+1), *at, uint64(max(0, r.gap)))
			*at += uint64(max(0, r.gap))
			continue
		}
		for b := r.b; len(b) > 0; {
			k := len(b)
			if n > 0 {
				k = min(k, n)
			}
			piece := bytes.Clone(b[:k])
			p.Data(r.client, int64(i+1), *at, piece)
			for j := range piece {
				piece[j] = 0xee // it must not have been kept
			}
			in += uint64(k)
			*at += uint64(k)
			b = b[k:]
		}
		require.Equal(t, in, stats.BytesIn.Load())
		require.Equal(t, in, stats.BytesFrame.Load()+stats.Skipped.Load()+uint64(p.unread()))
	}
	p.Close(int64(len(runs)+1), false)
	require.Equal(t, in, stats.BytesFrame.Load()+stats.Skipped.Load())
	require.Equal(t, uint64(len(out)), stats.Messages.Load())
	return out
}

func TestMessagesAtEverySplit(t *testing.T) {
	big := bytes.Repeat([]byte("0123456789abcdef"), 5000) // 64-bit length
	mid := bytes.Repeat([]byte("xyz"), 100)               // 16-bit length
	for _, takeover := range []bool{true, false} {
		cd, sd := &deflater{takeover: takeover}, &deflater{takeover: takeover}
		script := []run{
			{client: true, b: wire(true, true, 0, OpText, []byte("hello"))},
			{b: wire(false, true, 0, OpBinary, big)},
			{client: true, b: wire(true, false, 0, OpText, []byte("frag"))},
			{client: true, b: wire(true, true, 0, OpPing, []byte("p"))}, // between fragments
			{b: wire(false, true, 0, OpPong, []byte("p"))},
			{client: true, b: wire(true, false, 0, OpContinuation, nil)},
			{client: true, b: wire(true, true, 0, OpContinuation, []byte("ments"))},
			{b: append(wire(false, true, 4, OpText, sd.message(mid)), wire(false, true, 4, OpText, sd.message(mid))...)},
			{client: true, b: wire(true, true, 4, OpText, cd.message(big))},
		}
		// A compressed message in fragments: RSV1 on the first only.
		c := cd.message([]byte("compressed in pieces"))
		script = append(
			script,
			run{client: true, b: append(wire(true, false, 4, OpText, c[:3]), wire(true, true, 0, OpContinuation, c[3:])...)},
			run{b: wire(false, true, 4, OpText, sd.message(nil))},
			run{b: wire(false, true, 0, OpText, nil)},
			run{client: true, b: wire(true, true, 0, OpClose, []byte{3, 232, 'b', 'y', 'e'})},
			run{b: wire(false, true, 0, OpClose, nil)},
		)
		opt := Options{MaxData: 1 << 20, Deflate: Deflate{Agreed: true, ClientNoContextTakeover: !takeover, ServerNoContextTakeover: !takeover}}
		want := feed(t, opt, script, 0)
		type short struct {
			client bool
			op     byte
			data   string
			frames int
		}
		var got []short
		for _, m := range want {
			require.Empty(t, m.Incomplete)
			require.False(t, m.Truncated)
			require.Equal(t, m.Compressed, m.Inflated)
			got = append(got, short{m.FromClient, m.Opcode, string(m.Data), m.Frames})
		}
		require.Equal(t, []short{
			{true, OpText, "hello", 1},
			{false, OpBinary, string(big), 1},
			{true, OpPing, "p", 1},
			{false, OpPong, "p", 1},
			{true, OpText, "fragments", 3},
			{false, OpText, string(mid), 1},
			{false, OpText, string(mid), 1},
			{true, OpText, string(big), 1},
			{true, OpText, "compressed in pieces", 2},
			{false, OpText, "", 1},
			{false, OpText, "", 1},
			{true, OpClose, "\x03\xe8bye", 1},
			{false, OpClose, "", 1},
		}, got)
		if takeover {
			require.Less(t, want[6].Size, want[5].Size, "the second refers to the first")
		}
		require.Equal(t, 1000, want[11].CloseCode())
		require.Equal(t, 1005, want[12].CloseCode())
		require.Zero(t, want[0].CloseCode())
		for n := 1; n < 40; n++ {
			require.Equal(t, want, feed(t, opt, script, n), "pieces of %d", n)
		}
		require.Equal(t, want, feed(t, opt, script, 1399))
	}
}

func TestCap(t *testing.T) {
	d := &deflater{takeover: true}
	noise := make([]byte, 50_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	zeros := make([]byte, 3<<20)
	runs := []run{
		{b: wire(false, true, 0, OpText, []byte("0123456789"))},
		{b: wire(false, true, 4, OpText, d.message([]byte("0123456789")))},
		{b: wire(false, true, 4, OpText, d.message(noise))}, // larger than MaxCompressed
		{b: wire(false, true, 4, OpText, d.message([]byte("0123456789")))},
		{b: wire(false, true, 0, OpClose, []byte("\x03\xe8reason"))},
	}
	opt := Options{MaxData: 4, MaxCompressed: 10_000, Deflate: Deflate{Agreed: true}}
	got := feed(t, opt, runs, 0)
	require.Equal(t, "0123", string(got[0].Data))
	require.True(t, got[0].Truncated)
	require.Equal(t, uint64(10), got[0].Size)
	require.Equal(t, "0123", string(got[1].Data))
	require.Equal(t, noise[:4], got[2].Data, "the beginning of it")
	require.True(t, got[2].Truncated && got[2].Inflated)
	require.False(t, got[3].Inflated, "its context is not known any more")
	require.Equal(t, 1000, got[4].CloseCode())

	// A bomb: what it becomes is bounded, and without a context the next message is not harmed.
	d = &deflater{}
	runs = []run{{b: wire(false, true, 4, OpBinary, d.message(zeros))}, {b: wire(false, true, 4, OpText, d.message([]byte("next")))}}
	opt = Options{MaxData: 1 << 20, MaxInflated: 64 << 10, Deflate: Deflate{Agreed: true, ServerNoContextTakeover: true}}
	got = feed(t, opt, runs, 0)
	require.True(t, got[0].Truncated)
	require.LessOrEqual(t, len(got[0].Data), 80<<10)
	require.Equal(t, "next", string(got[1].Data))

	// Nothing is kept, but the numbers and the close code are.
	opt.MaxData = 0
	got = feed(t, opt, append(runs, run{b: wire(false, true, 0, OpClose, []byte("\x03\xe9going"))}), 7)
	require.Len(t, got, 3)
	for _, m := range got[:2] {
		require.Empty(t, m.Data)
		require.NotZero(t, m.Size)
	}
	require.Equal(t, 1001, got[2].CloseCode())
	require.Len(t, got[2].Data, 2)
}

func TestGaps(t *testing.T) {
	text := func(s string) []byte { return wire(false, true, 0, OpText, []byte(s)) }
	long := text("the quick brown fox")
	runs := []run{
		{b: text("one")},
		{b: long[:10]}, {gap: 5}, {b: long[15:]}, // inside a payload of known length
		{b: text("two")},
		{b: long[:10]}, {gap: -1}, // a lost TLS record
		{b: text("three")}, {b: text("four")}, {b: text("five")},
		{b: []byte{0xff, 0xff, 1, 2}}, // no frame
		{b: text("six")}, {b: []byte("rubbish")}, {b: text("seven")}, {b: text("eight")}, {b: text("nine")},
		{client: true, b: wire(true, true, 0, OpText, []byte("client"))},
		{b: long[:8]},
	}
	var got []string
	for _, m := range feed(t, Options{MaxData: 100}, runs, 0) {
		got = append(got, string(m.Data)+"|"+m.Incomplete)
		if m.Missing > 0 {
			require.Equal(t, uint64(5), m.Missing)
			require.True(t, m.Truncated)
		}
	}
	require.Equal(t, []string{"one|", "the quic|", "two|", "the quic|gap", "five|", "nine|", "client|", "the qu|connection_closed"}, got)
}

// TestMaskAcrossGap: the key goes on counting over what is missing.
func TestMaskAcrossGap(t *testing.T) {
	b := wire(true, true, 0, OpText, []byte("0123456789"))
	got := feed(t, Options{MaxData: 100}, []run{{client: true, b: b[:9]}, {client: true, gap: 3}, {client: true, b: b[12:]}, {client: true, b: wire(true, true, 0, OpText, []byte("x"))}}, 0)
	require.Equal(t, "012", string(got[0].Data), "up to the gap")
	require.Equal(t, "x", string(got[1].Data))
}

// TestContextAfterGap: where the context is lost nothing is inflated that refers to it, and where
// each message stands alone the next one is.
func TestContextAfterGap(t *testing.T) {
	for _, takeover := range []bool{true, false} {
		d := &deflater{takeover: takeover}
		first := wire(false, true, 4, OpText, d.message(bytes.Repeat([]byte("abc"), 30)))
		second := wire(false, true, 4, OpText, d.message(bytes.Repeat([]byte("abc"), 30)))
		got := feed(t, Options{MaxData: 1000, Deflate: Deflate{Agreed: true, ServerNoContextTakeover: !takeover}},
			[]run{{b: first[:4]}, {gap: 2}, {b: first[6:]}, {b: second}}, 0)
		require.Len(t, got, 2)
		require.Equal(t, uint64(2), got[0].Missing)
		require.Equal(t, !takeover, got[1].Inflated)
		require.Equal(t, takeover, got[1].Truncated || !got[1].Inflated)
	}
}

func TestParseExtensions(t *testing.T) {
	for field, want := range map[string]Deflate{
		"":                              {},
		"x-webkit-deflate-frame":        {},
		"permessage-deflate":            {Agreed: true},
		"foo, Permessage-Deflate ; a=1": {Agreed: true},
		"permessage-deflate; server_no_context_takeover; client_max_window_bits=12": {Agreed: true, ServerNoContextTakeover: true},
		"permessage-deflate;client_no_context_takeover;server_no_context_takeover":  {true, true, true},
	} {
		require.Equal(t, want, ParseExtensions(field), field)
	}
}

func FuzzData(f *testing.F) {
	d := &deflater{takeover: true}
	f.Add(wire(true, true, 0, OpText, []byte("hello")), wire(false, true, 4, OpText, d.message([]byte("hello hello"))), uint8(3), int16(0), true)
	f.Add(wire(true, false, 0, OpBinary, make([]byte, 200)), wire(false, true, 0, OpClose, []byte{3, 232}), uint8(0), int16(100), true)
	f.Add([]byte{0x81, 0xff, 0, 0, 0, 0, 0, 0, 0, 1}, []byte{0x82, 0x7e, 0, 0}, uint8(1), int16(-1), false)
	f.Fuzz(func(t *testing.T, client, server []byte, cut uint8, gap int16, deflate bool) {
		testkit.Keep(t, client, server)
		opt := Options{MaxData: 64, MaxCompressed: 256, MaxInflated: 4096, Deflate: Deflate{Agreed: deflate}}
		runs := []run{{client: true, b: client}, {b: server}, {client: true, gap: int(gap)}, {client: true, b: client}, {b: server}}
		if gap < 0 {
			runs[2].gap = -1
		}
		for _, m := range feed(t, opt, runs, int(cut)) {
			require.LessOrEqual(t, len(m.Data), 125)
			require.LessOrEqual(t, m.Start, m.End)
		}
	})
}

// TestAgainstFlate holds random conversations against what their sender meant.
func TestAgainstFlate(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 60 {
		takeover := rnd.IntN(2) == 0
		d := &deflater{takeover: takeover}
		var stream []byte
		var want []string
		for range 30 {
			p := make([]byte, rnd.IntN(20_000))
			for i := range p {
				p[i] = "abcdefgh"[rnd.IntN(1+rnd.IntN(8))]
			}
			want = append(want, string(p))
			stream = append(stream, wire(false, true, 4, OpBinary, d.message(p))...)
		}
		var got []string
		for _, m := range feed(t, Options{MaxData: 1 << 20, Deflate: Deflate{Agreed: true, ServerNoContextTakeover: !takeover}}, []run{{b: stream}}, 1+rnd.IntN(3000)) {
			require.True(t, m.Inflated && !m.Truncated)
			got = append(got, string(m.Data))
		}
		require.Equal(t, want, got)
	}
}

func BenchmarkData(b *testing.B) {
	payload := bytes.Repeat([]byte("a message of a chat "), 10)
	for _, c := range []struct {
		name    string
		deflate bool
	}{{"plain", false}, {"deflate", true}} {
		b.Run(c.name, func(b *testing.B) {
			d := &deflater{takeover: true}
			var frames []byte
			for range 100 {
				if c.deflate {
					frames = append(frames, wire(true, true, 4, OpText, d.message(payload))...)
				} else {
					frames = append(frames, wire(true, true, 0, OpText, payload)...)
				}
			}
			var stats Stats
			b.SetBytes(int64(100 * len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				n := 0
				p := New(Options{MaxData: 1 << 16, Deflate: Deflate{Agreed: c.deflate}}, func(m *Message) { n += len(m.Data) }, &stats)
				p.Data(true, 1, 0, frames)
				if n != 100*len(payload) {
					b.Fatal(n)
				}
			}
		})
	}
}

// unread is how many bytes wait for the rest of their header.
func (p *Parser) unread() int { return p.client.filled + p.server.filled }
