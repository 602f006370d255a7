// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// BenchmarkStreams is one exchange with 1 KB of content per operation; its path changes, the other field
// lines repeat.
func BenchmarkStreams(b *testing.B) {
	var stats Stats
	emitted := 0
	p := New(Options{KeepPayload: true}, func(*l7.Exchange) { emitted++ }, &stats)
	c, s := newWriter(), newWriter()
	_ = c.line("preface")
	_ = c.line("settings")
	_ = s.line("settings")
	p.Data(true, 1, 0, c.take())
	p.Data(false, 1, 0, s.take())
	body := bytes.Repeat([]byte("x"), 1024)
	// Made beforehand, so that only the parser is measured; streams are numbered anew for each round.
	const n = 512
	var reqs, ress [n][]byte
	for i := range n {
		id := uint32(2*i + 1)
		_ = c.line(fmt.Sprintf("headers %d end :method=GET | :scheme=https | :authority=api.example | :path=/file-%08d | user-agent=curl/7.88.1 | accept=*/*", id, i))
		reqs[i] = c.take()
		_ = s.line(fmt.Sprintf("headers %d :status=200 | server=nginx | content-type=application/octet-stream | content-length=1024 | etag=%08d", id, i))
		_ = s.fr.WriteData(id, true, body)
		ress[i] = s.take()
	}
	b.SetBytes(int64(len(reqs[n-1]) + len(ress[n-1])))
	b.ReportAllocs()
	var pos uint64
	for i := 0; b.Loop(); i++ {
		if i%n == 0 {
			p.lastID = 0
		}
		p.Data(true, int64(2*i+1), pos, reqs[i%n])
		p.Data(false, int64(2*i+2), pos, ress[i%n])
		pos += 2000
	}
	if emitted == 0 || stats.Incomplete.Load() > 0 {
		b.Fatal(emitted, stats.Incomplete.Load())
	}
}

// BenchmarkBody is one exchange with 1 MB of content per operation, in packets of 1448 bytes.
func BenchmarkBody(b *testing.B) {
	const size = 1 << 20
	var stats Stats
	var last uint64
	p := New(Options{KeepPayload: true}, func(x *l7.Exchange) { last = x.Response.BodySize }, &stats)
	c, s := newWriter(), newWriter()
	_ = c.line("preface")
	_ = c.line("settings")
	_ = s.line("settings")
	p.Data(true, 1, 0, c.take())
	p.Data(false, 1, 0, s.take())
	_ = c.line("headers 1 end never :method=GET | :scheme=https | :path=/")
	_ = s.line("headers 1 never :status=200")
	for i := 0; i < size; i += 16 << 10 {
		_ = s.fr.WriteData(1, i+16<<10 == size, make([]byte, 16<<10))
	}
	req, res := c.take(), s.take()
	b.SetBytes(int64(len(res)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		p.lastID = 0
		p.Data(true, int64(2*i+1), 0, req)
		for r := res; len(r) > 0; {
			n := min(len(r), 1448)
			p.Data(false, int64(2*i+2), 0, r[:n])
			r = r[n:]
		}
	}
	if last != size {
		b.Fatal(last)
	}
}

// BenchmarkSearch looks for frames in bytes that have none.
func BenchmarkSearch(b *testing.B) {
	var stats Stats
	p := New(Options{Joined: true}, func(*l7.Exchange) {}, &stats)
	text := bytes.Repeat([]byte("\x00\x00\x10some text, and \x00\x00\x04\x08\x00\x00\x00\x00\x00 numbers 0123456789"), 400)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		p.Data(true, 1, 0, text)
	}
}
