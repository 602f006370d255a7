// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

const linesResponse = "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"

// partBodies are the bodies of the parts' records, each of them twice: both ends keep them.
func (b *bench) partBodies(t *testing.T) (out []string) {
	t.Helper()
	seen := map[string]int{}
	for _, lr := range b.payloadRecords() {
		if n, ok := lr.Attributes().Get(semantic.ExchangePart); ok {
			v, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
			s := n.AsString() + " " + string(v.Bytes().AsRaw())
			if seen[s]++; seen[s] == 1 {
				out = append(out, s)
			}
		}
	}
	for s, n := range seen {
		require.Equal(t, 2, n, "both ends: %q", s)
	}
	return out
}

// wholeRecords are those of exchanges.
func (b *bench) wholeRecords() (out []plog.LogRecord) {
	for _, lr := range b.payloadRecords() {
		if _, ok := lr.Attributes().Get(semantic.ExchangePart); !ok {
			out = append(out, lr)
		}
	}
	return out
}

// TestStreamBeyondTheCap: a stream of lines goes on in parts for as long as it lasts, whatever the cap of one body.
func TestStreamBeyondTheCap(t *testing.T) {
	b := newBench(t, withPayloads(16), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, linesResponse+chunk("{\"n\":1}\n{\"n\""))
	b.idle(1100 * time.Millisecond)
	w.send(false, chunk(":2}\n"))
	b.idle(1100 * time.Millisecond)
	w.send(false, chunk("{\"long\":\"0123456789\"}\n")) // more than a part keeps
	b.idle(1100 * time.Millisecond)
	w.send(false, chunk("{\"n\":4}\n"))
	b.idle(10 * time.Second) // silence makes no part
	w.send(false, chunk("{\"n\":5}\n")+"0\r\n\r\n")
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, []string{
		"1 {\"n\":1}\n", "2 {\"n\":2}\n", "3 {\"long\":\"0123456", "4 {\"n\":4}\n", "5 {\"n\":5}\n",
	}, b.partBodies(t))
	for _, s := range parts(b.spans()) {
		third := number(t, s, semantic.ExchangePart) == 3
		want := map[bool]string{true: semantic.PayloadTruncated, false: semantic.PayloadPending}[third]
		require.Equal(t, want, str(t, s.Attributes(), semantic.PayloadState))
		if third {
			require.Equal(t, int64(22), number(t, s, semantic.HTTPResponseBodySize))
			require.Equal(t, reasonBodyCap, str(t, s.Attributes(), semantic.PayloadReason))
		}
	}
	for _, lr := range b.wholeRecords() {
		v, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
		require.Equal(t, "{\"n\":1}\n{\"n\":2}\n"[:16], string(v.Bytes().AsRaw()), "the exchange keeps the beginning")
	}
}

// TestThingsAreNoStreams: a body whose length was said keeps its cap.
func TestThingsAreNoStreams(t *testing.T) {
	b := newBench(t, withPayloads(10), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234")
	b.idle(1100 * time.Millisecond)
	w.send(false, "5678901")
	b.idle(1100 * time.Millisecond)
	w.send(false, "23456789")
	b.idle(1100 * time.Millisecond)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, []string{"1 01234", "2 56789"}, b.partBodies(t))
}

// TestCodedEventStream: what a server compresses is read as it comes.
func TestCodedEventStream(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	var wire bytes.Buffer
	z := gzip.NewWriter(&wire)
	flush := func(s string) string {
		_, _ = z.Write([]byte(s))
		_ = z.Flush()
		defer wire.Reset()
		return wire.String()
	}
	all := ""
	send := func(head, s string) {
		c := flush(s)
		all += c
		w.send(false, head+chunk(c))
	}
	w.send(true, getRequest)
	send(strings.Replace(streamResponse, "\r\n\r\n", "\r\nContent-Encoding: gzip\r\n\r\n", 1), "data: one\n\nda")
	b.idle(1100 * time.Millisecond)
	send("", "ta: two\n\n")
	b.idle(1100 * time.Millisecond)
	_ = z.Close()
	tail := wire.Len() // it makes no part
	all += wire.String()
	w.send(false, chunk(wire.String())+"0\r\n\r\n")
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, []string{"1 data: one\n\n", "2 data: two\n\n"}, b.partBodies(t))
	for _, lr := range b.payloadRecords() {
		_, part := lr.Attributes().Get(semantic.ExchangePart)
		_, decoded := lr.Attributes().Get(semantic.PayloadResponseBodyDecoded)
		require.Equal(t, part, decoded)
		_, timed := lr.Attributes().Get(semantic.PayloadResponseBodyArrivals)
		require.True(t, timed)
	}
	for _, lr := range b.wholeRecords() {
		v, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
		require.Equal(t, all, string(v.Bytes().AsRaw()), "as on the wire")
	}
	sum := int64(0)
	for _, s := range parts(b.spans()) {
		sum += number(t, s, semantic.HTTPResponseBodySize)
	}
	require.Equal(t, int64(2*(len(all)-tail)), sum, "a span counts what was on the wire")
}

// TestCodedNoStream: what cannot be decoded by itself makes no parts.
func TestCodedNoStream(t *testing.T) {
	for name, head := range map[string]string{
		"of a known length": "Content-Length: 30\r\nContent-Encoding: gzip\r\n\r\n0123456789",
		"unknown":           "Transfer-Encoding: chunked\r\nContent-Encoding: dcb\r\n\r\n" + chunk("0123456789"),
		"not what it says":  "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n" + chunk("0123456789"),
		"beyond the cap":    "Transfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n" + chunk(strings.Repeat("0123456789", 10)),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, withPayloads(20), withPartAge(time.Second))
			w := b.dial(1).open()
			w.own()
			w.send(true, getRequest)
			w.send(false, "HTTP/1.1 200 OK\r\n"+head)
			b.idle(1100 * time.Millisecond)
			b.idle(1100 * time.Millisecond)
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			b.close()
			for _, body := range b.partBodies(t) {
				t.Errorf("part %q", body)
			}
			require.Len(t, b.wholeRecords(), 2)
		})
	}
}

// TestCodedTwice: lines of Content-Encoding are one list, so what is under the last alone is no content yet.
func TestCodedTwice(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	var inner, wire bytes.Buffer
	for _, layer := range []struct {
		to   *bytes.Buffer
		from func() []byte
	}{{&inner, func() []byte { return []byte("data: one\n\n") }}, {&wire, inner.Bytes}} {
		z := gzip.NewWriter(layer.to)
		_, _ = z.Write(layer.from())
		_ = z.Flush()
	}
	w.send(true, getRequest)
	w.send(false, strings.Replace(streamResponse, "\r\n\r\n", "\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\n\r\n", 1)+chunk(wire.String()))
	b.idle(1100 * time.Millisecond)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, []string{"1 data: one\n\n"}, b.partBodies(t))
}

// TestStreamWithAGap: a part ends where something was not seen, says so, and the next goes on behind it.
func TestStreamWithAGap(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, linesResponse+chunk("{\"n\":1}\n"))
	b.idle(1100 * time.Millisecond)
	w.send(false, "10\r\n{\"n\":2}\n")
	w.seq[1] += 5 // {"n":
	w.send(false, "3}\n\r\n")
	b.idle(3 * time.Second)
	w.send(false, chunk("{\"n\":4}\n"))
	b.idle(1100 * time.Millisecond)
	w.send(false, "0\r\n\r\n")
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, []string{"1 {\"n\":1}\n", "2 {\"n\":2}\n", "3 3}\n", "4 {\"n\":4}\n"}, b.partBodies(t))
	for _, s := range parts(b.spans()) {
		want := semantic.PayloadPending
		if number(t, s, semantic.ExchangePart) == 2 {
			want = semantic.PayloadTruncated
			require.Equal(t, "gap", str(t, s.Attributes(), semantic.PayloadReason))
			require.Equal(t, int64(8+5), number(t, s, semantic.HTTPResponseBodySize))
		}
		require.Equal(t, want, str(t, s.Attributes(), semantic.PayloadState))
	}
}

// grpcMessage is a length-prefixed message.
func grpcMessage(s string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(s)))) + s
}

// TestGRPCStream: messages of two calls on one connection are emitted as they come, and counted in their part.
func TestGRPCStream(t *testing.T) {
	b := newBench(t, withPayloads(1000), withPartAge(time.Second))
	w := b.dial(1).open()
	c, s := newFrames(), newFrames()
	w.own()
	w.send(true, c.hello(true).take())
	w.send(false, s.hello(false).take())
	for _, id := range []uint32{1, 3} {
		w.send(true, c.headers(id, false, ":method", "POST", ":scheme", "http", ":authority", "api.example:8080", ":path", fmt.Sprintf("/pkg.Feed/Watch%d", id),
			"content-type", "application/grpc").data(id, true, grpcMessage("all")).take())
		w.send(false, s.headers(id, false, ":status", "200", "content-type", "application/grpc").take())
	}
	for i := range 4 {
		text := grpcMessage(fmt.Sprintf("news %d", i))
		w.send(false, s.data(1, false, text+text[:7]).data(3, false, text).take())
		b.idle(1100 * time.Millisecond)
		w.send(false, s.data(1, false, text[7:]).take())
	}
	for _, id := range []uint32{1, 3} {
		w.send(false, s.headers(id, true, "grpc-status", "14", "grpc-message", "going away").take())
	}
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()

	type row struct {
		part, messages int64
		body           string
	}
	got := map[string]map[row]int{}
	bodies := map[string]string{}
	for _, lr := range b.payloadRecords() {
		if v, ok := lr.Attributes().Get(semantic.PayloadResponseBody); ok {
			bodies[lr.SpanID().String()] = string(v.Bytes().AsRaw())
		}
	}
	for _, sp := range b.spans() {
		r := row{messages: number(t, sp, semantic.RPCResponseMessages)}
		if sp.Kind() == ptrace.SpanKindClient {
			r.body = bodies[sp.SpanID().String()]
		}
		v, part := sp.Attributes().Get(semantic.ExchangePart)
		if part {
			r.part = v.Int()
			_, ok := sp.Attributes().Get(semantic.RPCRequestMessages)
			require.False(t, ok, "of the exchange")
			_, ok = sp.Attributes().Get(semantic.RPCResponseStatusCode)
			require.False(t, ok)
		} else {
			require.Equal(t, int64(1), number(t, sp, semantic.RPCRequestMessages))
			require.Equal(t, "UNAVAILABLE", str(t, sp.Attributes(), semantic.RPCResponseStatusCode))
		}
		if sp.Kind() == ptrace.SpanKindClient {
			if got[sp.Name()] == nil {
				got[sp.Name()] = map[row]int{}
			}
			got[sp.Name()][r]++
		}
	}
	one := func(i int) string { return grpcMessage(fmt.Sprintf("news %d", i)) }
	every, twice := "", ""
	for i := range 4 {
		every += one(i)
		twice += one(i) + one(i)
	}
	require.Equal(t, map[string]map[row]int{
		"pkg.Feed/Watch1": {
			{0, 8, twice}:           1,
			{1, 1, one(0)}:          1,
			{2, 2, one(0) + one(1)}: 1,
			{3, 2, one(1) + one(2)}: 1,
			{4, 2, one(2) + one(3)}: 1,
			{5, 1, one(3)}:          1,
		},
		"pkg.Feed/Watch3": {
			{0, 4, every}:  1,
			{1, 1, one(0)}: 1, {2, 1, one(1)}: 1, {3, 1, one(2)}: 1, {4, 1, one(3)}: 1,
		},
	}, got)
	for _, lr := range b.wholeRecords() {
		trailers, ok := lr.Attributes().Get(semantic.PayloadResponseTrailers)
		require.True(t, ok)
		require.Equal(t, `[["grpc-status","14"],["grpc-message","going away"]]`, trailers.AsString())
	}
}

// TestTrailers: what comes behind the content is kept with its own name, both ways.
func TestTrailers(t *testing.T) {
	b := newBench(t, withPayloads(1000))
	w := b.dial(1).open()
	w.own()
	w.send(true, "POST /t HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"+chunk("up")+"0\r\nDigest: a\r\ndigest: b\r\n\r\n")
	w.send(false, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: Server-Timing\r\n\r\n"+chunk("down")+"0\r\nServer-Timing: db;dur=53\r\n\r\n")
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	got := map[string]int{}
	for _, lr := range b.payloadRecords() {
		m := lr.Attributes()
		q, some := m.Get(semantic.PayloadRequestTrailers)
		p, _ := m.Get(semantic.PayloadResponseTrailers)
		if !some {
			got["none"]++
			continue
		}
		got[q.AsString()+p.AsString()]++
	}
	require.Equal(t, map[string]int{"none": 2, `[["Digest","a"],["digest","b"]][["Server-Timing","db;dur=53"]]`: 2}, got)
}

func TestWholeMessages(t *testing.T) {
	two := grpcMessage("") + grpcMessage("abc")
	for in, want := range map[string][2]int{
		"": {0, 0}, two: {13, 2}, two[:12]: {5, 1}, two[:4]: {0, 0}, "\x00\xff\xff\xff\xff": {0, 0},
	} {
		n, k := wholeMessages([]byte(in))
		require.Equal(t, want, [2]int{n, k}, "%q", in)
	}
}
