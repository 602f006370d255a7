// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// FuzzParser feeds a program: records of one byte of operation, two of length, and data. The
// operation's lowest bit is the direction, the next whether it is a gap; the others cut the data.
func FuzzParser(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.http")
	for _, path := range paths {
		var prog []byte
		for i, e := range readScript(f, path).Events {
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
		opt := Options{MaxBody: 64, MaxHeader: 512, MaxPending: 4, KeepPayload: true}
		run := func(cut bool) (emitted int, stats *Stats, gaps bool) {
			stats = new(Stats)
			p := New(opt, func(x *l7.Exchange) {
				emitted++
				if x.Request.Method == "" || x.Response != nil && x.Response.Status < 100 {
					t.Fatalf("exchange without a start line: %+v", x)
				}
				for _, m := range []*l7.Message{&x.Request, x.Response} {
					if m == nil {
						continue
					}
					if len(m.Body) > opt.MaxBody || uint64(len(m.Body)) > m.BodySize {
						t.Fatalf("%d bytes kept of %d", len(m.Body), m.BodySize)
					}
					if m.Complete && !m.Truncated && uint64(len(m.Body))+m.Missing > m.BodySize {
						t.Fatalf("sizes: %d kept, %d missing, %d in all", len(m.Body), m.Missing, m.BodySize)
					}
					if x.Incomplete == "" && !m.Complete {
						t.Fatal("whole exchange with a message that is not")
					}
				}
				if x.Incomplete == "" && x.Response == nil {
					t.Fatal("whole exchange without a response")
				}
			}, stats)
			var pos [2]uint64
			for i, b := 0, prog; len(b) >= 3; i++ {
				op, n := b[0], int(binary.BigEndian.Uint16(b[1:]))
				b = b[3:]
				d := int(op & 1)
				if op&2 != 0 {
					gaps = true
					p.Gap(d == 1, int64(i), pos[d], uint64(n))
					pos[d] += uint64(n)
					continue
				}
				data := b[:min(n, len(b))]
				b = b[len(data):]
				size := len(data)
				if cut {
					size = 1 + int(op>>2)%7
				}
				for len(data) > 0 {
					part := data[:min(size, len(data))]
					data = data[len(part):]
					p.Data(d == 1, int64(i), pos[d], part)
					pos[d] += uint64(len(part))
				}
				for _, h := range []*half{&p.client, &p.server} {
					if len(h.buf) > maxSniff+1<<16 || h.state != lost && len(h.buf) > max(opt.MaxHeader, maxChunkLine) {
						t.Fatalf("%d bytes held", len(h.buf))
					}
				}
				if p.Pending() > 2*opt.MaxPending+2 || len(p.queue) > opt.MaxPending {
					t.Fatalf("%d pending", p.Pending())
				}
			}
			p.Close(1<<40, len(prog)%2 == 0)
			checkBooks(t, p, stats)
			return emitted, stats, gaps
		}
		a, sa, gaps := run(false)
		b, sb, _ := run(true)
		// Where nothing had to be searched for, the cuts do not matter.
		searched := func(s *Stats) uint64 { return s.Skipped[SkipResync].Load() + s.Skipped[SkipJoin].Load() }
		if !gaps && searched(sa)+searched(sb) == 0 && (a != b || sa.BytesMessage.Load() != sb.BytesMessage.Load()) {
			t.Fatalf("%d exchanges whole, %d in pieces", a, b)
		}
	})
}

func FuzzSniff(f *testing.F) {
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Keep(t, b)
		for _, sniff := range []func([]byte) (bool, bool){Sniff, SniffResponse, sureRequest} {
			final := false
			for n := 0; n <= len(b); n++ {
				match, more := sniff(b[:n])
				if match && more {
					t.Fatal("both")
				}
				if final && match {
					t.Fatalf("%q matches after it did not", b[:n])
				}
				final = !match && !more
				if match {
					break
				}
			}
		}
	})
}
