// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

func benchRequest(path string) []byte {
	return []byte("GET " + path + " HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n")
}

func benchHead(n int) []byte {
	return []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Tue, 24 Nov 2026 06:47:06 GMT\r\n"+
		"Content-Type: application/octet-stream\r\nContent-Length: %d\r\nLast-Modified: Tue, 24 Nov 2026 06:00:00 GMT\r\n"+
		"Connection: keep-alive\r\nETag: \"65f1a2b3-400\"\r\nAccept-Ranges: bytes\r\n\r\n", n))
}

// BenchmarkKeepAlive is one exchange with 1 KB of content per operation, each message in one packet. In
// "repeated" the header sections repeat to the byte, as a load generator's do; in "changing" none does.
func BenchmarkKeepAlive(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 1024)
	for _, changing := range []bool{false, true} {
		name := "repeated"
		if changing {
			name = "changing"
		}
		b.Run(name, func(b *testing.B) {
			var stats Stats
			emitted := 0
			p := New(Options{KeepPayload: true}, func(x *l7.Exchange) { emitted++ }, &stats)
			req, res := benchRequest("/file-00000000"), append(benchHead(1024), body...)
			at, date := bytes.Index(req, []byte("00000000")), bytes.Index(res, []byte("06:47:06"))
			b.SetBytes(int64(len(req) + len(res)))
			b.ReportAllocs()
			var pos uint64
			for i := 0; b.Loop(); i++ {
				if changing {
					for k, d := 0, i; k < 8; k, d = k+1, d/10 {
						req[at+7-k], res[date+7-k] = byte('0'+d%10), byte('0'+d%10)
					}
				}
				p.Data(true, int64(2*i+1), pos, req)
				p.Data(false, int64(2*i+2), pos, res)
				pos += uint64(len(res))
			}
			b.StopTimer()
			if emitted == 0 || stats.Incomplete.Load() > 0 {
				b.Fatal(emitted, stats.Incomplete.Load())
			}
		})
	}
}

// BenchmarkBody is one exchange with 1 MB of content per operation, in packets of 1448 bytes.
func BenchmarkBody(b *testing.B) {
	const size = 1 << 20
	req := benchRequest("/big")
	long := append(benchHead(size), bytes.Repeat([]byte("x"), size)...)
	chunked := []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
	for range size / 4096 {
		chunked = append(chunked, "1000\r\n"...)
		chunked = append(chunked, bytes.Repeat([]byte("x"), 4096)...)
		chunked = append(chunked, "\r\n"...)
	}
	chunked = append(chunked, "0\r\n\r\n"...)
	for _, c := range []struct {
		name string
		res  []byte
	}{{"length", long}, {"chunked", chunked}} {
		b.Run(c.name, func(b *testing.B) {
			var stats Stats
			var last uint64
			p := New(Options{KeepPayload: true}, func(x *l7.Exchange) { last = x.Response.BodySize }, &stats)
			b.SetBytes(int64(len(c.res)))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				p.Data(true, int64(2*i+1), 0, req)
				for r := c.res; len(r) > 0; {
					n := min(len(r), 1448)
					p.Data(false, int64(2*i+2), 0, r[:n])
					r = r[n:]
				}
			}
			if last != size {
				b.Fatal(last)
			}
		})
	}
}
