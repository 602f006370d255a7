// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

// BenchmarkExchange is one request and its response, seen at both ends of a keep-alive
// connection, with payloads: two spans and two payload records per operation.
func BenchmarkExchange(b *testing.B) {
	bench := newBench(b, withPayloads(1<<16))
	w := bench.dial(1).open()
	w.own()
	response := "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 24 Nov 2026 07:00:00 GMT\r\nContent-Type: text/plain\r\nContent-Length: 1000\r\n\r\n" + repeat("x", 1000)
	b.ReportAllocs()
	b.ResetTimer()
	for b.Loop() {
		w.send(true, getRequest)
		w.send(false, response)
		bench.idle(time.Millisecond)
		bench.mu.Lock()
		bench.td.ResourceSpans().RemoveIf(func(ptrace.ResourceSpans) bool { return true })
		bench.segs = nil
		bench.mu.Unlock()
	}
}

// BenchmarkStream is the cost of a piece of a response that goes on, at both ends of its connection.
func BenchmarkStream(b *testing.B) {
	bench := newBench(b, withPayloads(1<<16), withPartAge(time.Second))
	w := bench.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, linesResponse+chunk("{\"n\":1}\n"))
	bench.idle(1100 * time.Millisecond)
	piece := chunk(repeat("{\"n\":1}\n", 100))
	b.SetBytes(int64(len(piece)))
	b.ReportAllocs()
	for b.Loop() {
		w.send(false, piece)
	}
	w.hangup(event.CloseFIN)
}

// BenchmarkReplay is one request and its response of 1 KB, seen at the server's end of one of 64 keep-alive connections,
// from decoded events of the ring (BenchmarkDecodePacket of package kernel is what comes before) to
//   - exchange: the finished exchange, its body kept, which is then left out;
//   - span: its span, handed to a pipeline that drops it;
//   - full: its span and payload record.
//
// The head of every request is another one; those of the responses repeat, as within one second.
func BenchmarkReplay(b *testing.B) {
	for _, to := range []string{"exchange", "span", "full"} {
		b.Run(to, func(b *testing.B) {
			opts := []option{func(s *Settings, _ *bench) { s.Egress, s.Suppress = false, to == "exchange" }}
			if to != "span" {
				opts = append(opts, withPayloads(1<<16))
			}
			bench := newBench(b, opts...)
			bench.e.set.Emitter.Close(b.Context()) // its consumers collect
			bench.emitter = emit.New[*process.Info](emit.Scope{Name: "scope", Version: "v1"}, emit.Consumers{
				Traces: func(context.Context, ptrace.Traces, int) error { return nil },
				Logs:   func(context.Context, plog.Logs, int) error { return nil },
			})
			bench.e.set.Emitter = bench.emitter
			wires := make([]*wire, 64)
			for i := range wires {
				wires[i] = bench.dial(i).open()
				wires[i].own()
				bench.e.byCookie[wires[i].server].proc.Tracing |= process.SendsSpans
			}
			req := []byte("GET /users/00000000?token=s3cret HTTP/1.1\r\nHost: api.example:8080\r\nUser-Agent: curl/8.9.1\r\nAccept: */*\r\n\r\n")
			res := []byte("HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Tue, 24 Nov 2026 07:00:00 GMT\r\nContent-Type: application/json\r\n" +
				"Content-Length: 1024\r\nConnection: keep-alive\r\n\r\n" + repeat("x", 1024))
			var p event.Packet
			packet := func(w *wire, dir event.Direction, seq *uint32, data []byte) {
				p = event.Packet{Cookie: w.server, Time: bench.now, Dir: dir, Flags: event.FlagACK, Seq: *seq, Len: uint32(len(data)), Data: data, Local: w.sa, Remote: w.ca}
				*seq += uint32(len(data))
				bench.e.Packet(&p)
			}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				w := wires[n%len(wires)]
				for k, d := len("GET /users/0000000"), n; d > 0; k, d = k-1, d/10 {
					req[k] = byte('0' + d%10)
				}
				bench.now += 1000
				packet(w, event.Ingress, &w.seq[0], req)
				packet(w, event.Egress, &w.seq[1], res)
				if n++; n%1000 == 0 {
					bench.idle(time.Millisecond)
					bench.mu.Lock()
					bench.segs = bench.segs[:0]
					bench.mu.Unlock()
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "exchanges/s")
			bench.idle(time.Minute) // the engine publishes its books from time to time
			if got := bench.e.Stats(); got.Missing > 0 || got.Gaps > 0 {
				b.Fatalf("%d bytes are missing", got.Missing)
			}
			var seen uint64
			for _, s := range bench.e.Stats().Stages {
				if s.Name == "exchanges" {
					seen = s.In
				}
			}
			if seen != uint64(n) {
				b.Fatalf("%d exchanges of %d", seen, n)
			}
		})
	}
}
