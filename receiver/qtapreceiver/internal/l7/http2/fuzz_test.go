// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"golang.org/x/net/http2/hpack"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// FuzzParser feeds a program: records of one byte of operation, two of length, and data. The
// operation's lowest bit is the direction, the next whether it is a gap; the others cut the data. The first
// byte of the program is whether the connection was joined.
func FuzzParser(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.h2")
	for _, path := range paths {
		s := readScript(f, path)
		prog := []byte{0}
		if s.opt.Joined {
			prog[0] = 1
		}
		for i, e := range s.Events {
			op := byte(0)
			if e.Client {
				op |= 1
			}
			n := len(e.Data)
			if e.Data == nil {
				op |= 2
				n = int(e.Gap)
			}
			prog = append(prog, op|byte(i)<<2, byte(n>>8), byte(n))
			prog = append(prog, e.Data...)
		}
		f.Add(prog)
	}
	f.Fuzz(func(t *testing.T, prog []byte) {
		testkit.Keep(t, prog)
		opt := Options{MaxBody: 64, MaxHeader: 512, MaxStreams: 4, MaxHeld: 1024, MaxTable: 300, KeepPayload: true}
		if len(prog) > 0 {
			opt.Joined = prog[0]&1 != 0
			prog = prog[1:]
		}
		run := func(cut bool) (out []byte, stats *Stats) {
			tunnels := map[uint32][]byte{}
			stats = new(Stats)
			opt.OnTunnel = func(x *l7.Exchange) l7.Stream { return carried{x.Sequence, tunnels} }
			p := New(opt, func(x *l7.Exchange) {
				out = append(out, x.Request.Method...)
				out = append(out, x.Request.Target...)
				out = append(out, x.Incomplete...)
				out = binary.AppendUvarint(out, x.Position)
				for _, m := range []*l7.Message{&x.Request, x.Response} {
					if m == nil {
						continue
					}
					out = append(out, m.Body...)
					out = binary.AppendUvarint(out, m.BodySize)
					for _, h := range m.Headers {
						out = append(append(out, h.Name...), h.Value...)
					}
					if len(m.Body) > opt.MaxBody || uint64(len(m.Body))+m.Missing > m.BodySize {
						t.Fatalf("%d bytes kept of %d, %d missing", len(m.Body), m.BodySize, m.Missing)
					}
				}
				if x.Incomplete == "" && (x.Response == nil || x.Request.Method == "" || x.Response.Status < 200) {
					t.Fatalf("whole exchange without a start line: %+v", x)
				}
			}, stats)
			var pos [2]uint64
			for i, b := 0, prog; len(b) >= 3; i++ {
				op, n := b[0], int(binary.BigEndian.Uint16(b[1:]))
				b = b[3:]
				d := int(op & 1)
				if op&2 != 0 {
					p.Gap(d == 1, int64(i), pos[d], uint64(n))
					pos[d] += uint64(n)
					continue
				}
				data := b[:min(n, len(b))]
				b = b[len(data):]
				size := max(1, len(data))
				if cut {
					size = 1 + int(op>>2)%7
				}
				for len(data) > 0 {
					part := bytes.Clone(data[:min(size, len(data))])
					data = data[len(part):]
					p.Data(d == 1, int64(i), pos[d], part)
					pos[d] += uint64(len(part))
					clear(part)
				}
				for _, h := range []*half{&p.client, &p.server} {
					if len(h.buf) > opt.MaxHeader+maxPadding || len(h.block.fragment) > opt.MaxHeader || h.table.size > opt.MaxTable {
						t.Fatalf("%d bytes held, %d of a block, table %d", len(h.buf), len(h.block.fragment), h.table.size)
					}
				}
				if p.Pending() > opt.MaxStreams || p.held.content > opt.MaxHeld || p.held.fields > opt.MaxHeld+2*4*opt.MaxHeader {
					t.Fatalf("%d pending, %+v held", p.Pending(), p.held)
				}
			}
			p.Close(1<<40, len(prog)%2 == 0)
			checkBooks(t, p, stats)
			if len(p.tunnelled) > 0 {
				t.Fatal("tunnels are open still")
			}
			for i := range uint32(64) {
				out = append(out, tunnels[i]...)
			}
			return out, stats
		}
		a, sa := run(false)
		b, sb := run(true)
		if !bytes.Equal(a, b) || sa.BytesMessage.Load() != sb.BytesMessage.Load() {
			t.Fatalf("whole %q\nin pieces %q", a, b)
		}
	})
}

// carried collects what tunnels carry.
type carried struct {
	of uint32
	to map[uint32][]byte
}

func (c carried) Data(client bool, _ int64, pos uint64, b []byte) {
	for i := range b { // in pieces or not
		c.to[c.of] = append(binary.AppendUvarint(c.to[c.of], pos+uint64(i)), b[i])
	}
}
func (c carried) Gap(_ bool, _ int64, _ uint64, n uint64) {
	c.to[c.of] = binary.AppendUvarint(append(c.to[c.of], 'G'), n)
}
func (c carried) Close(int64, bool) { c.to[c.of] = append(c.to[c.of], 'X') }

// FuzzHPACK compares with the library's decoder, and a table that lost its beginning with one that did not.
func FuzzHPACK(f *testing.F) {
	w := newWriter()
	for i := range 4 {
		f.Add(w.encode(":method=GET | :path=/a | x-a=1 | x-b=longer value ~~ \\ | cookie=c", i == 3), byte(i))
	}
	f.Add([]byte{0x20, 0x3f, 0xe1, 0x1f, 0x40, 1, 'a', 1, 'b', 0xbe, 0xbf}, byte(1))
	f.Fuzz(func(t *testing.T, b []byte, cut byte) {
		testkit.Keep(t, b)
		var want []hpack.HeaderField
		d := hpack.NewDecoder(4096, func(h hpack.HeaderField) { want = append(want, h) })
		d.SetAllowedMaxDynamicTableSize(1 << 20)
		whole := dynamicTable{limit: 4096, bound: 1 << 20}
		late := dynamicTable{limit: 1 << 20, bound: 1 << 20}
		// Blocks of their own, so that a table can join between them.
		size := 1 + int(cut)%64
		for i := 0; len(b) > 0; i++ {
			part := b[:min(size, len(b))]
			b = b[len(part):]
			want = nil
			_, err := d.Write(part)
			if err == nil {
				err = d.Close()
			}
			got, _, ok := whole.decode(nil, part, 1<<30)
			var tail []field
			if i > 0 {
				tail, _, _ = late.decode(nil, part, 1<<30)
			}
			if err != nil {
				return // the library also refuses what does not matter to us; nothing follows an error
			}
			if !ok || len(got) != len(want) || i > 0 && len(tail) != len(want) {
				t.Fatalf("%v: %d fields, want %d", ok, len(got), len(want))
			}
			for j, h := range want {
				if g := got[j]; !g.nameKnown || !g.valueKnown || g.name != h.Name || g.value != h.Value {
					t.Fatalf("field %d: %+v, want %v", j, g, h)
				}
				if i == 0 {
					continue
				}
				if g := tail[j]; g.nameKnown && g.name != h.Name || g.valueKnown && g.value != h.Value {
					t.Fatalf("joined late: field %d: %+v, is %v", j, g, h)
				}
			}
		}
	})
}
