// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
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
