// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strings"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/websocket"
)

const (
	// maxPartMessages and maxPartBytes end a part of a WebSocket before its time.
	maxPartMessages = 1000
	maxPartBytes    = 1 << 20
	// messageCost is what a message takes beside its data.
	messageCost = 160
)

// newWebSocket reads the messages after handshake x; they are emitted in parts.
func (a *application) newWebSocket(x *l7.Exchange) l7.Stream {
	w := &webSocket{a: a}
	w.Parser = websocket.New(websocket.Options{
		MaxData: a.c.maxBody(), Deflate: websocket.ParseExtensions(x.Response.Get("Sec-WebSocket-Extensions")),
	}, w.message, &a.c.e.counts.websocket)
	w.parts = a.newOngoing(x, w)
	a.ongoing = append(a.ongoing, w.parts)
	return w
}

func upgradesTo(x *l7.Exchange, protocol string) bool {
	return x.Response != nil && x.Response.Status == 101 && strings.EqualFold(strings.TrimSpace(x.Response.Get("Upgrade")), protocol)
}

// webSocket collects the messages of a part.
type webSocket struct {
	*websocket.Parser
	a     *application
	parts *ongoing

	waiting  []*websocket.Message
	size     int
	messages [2]int64 // from the client, from the server
	bytes    [2]int64
	code     int // of the first close frame
}

func (w *webSocket) message(m *websocket.Message) {
	i := 1
	if m.FromClient {
		i = 0
	}
	w.messages[i]++
	w.bytes[i] += int64(m.Size)
	if w.code == 0 {
		w.code = m.CloseCode()
	}
	if w.a.c.e.payloads.Load() != nil {
		w.waiting = append(w.waiting, m)
		w.size += len(m.Data) + messageCost
	}
	w.parts.grew(m.End)
}

// Data implements l7.Stream.
func (w *webSocket) Data(client bool, t int64, pos uint64, b []byte) {
	w.Keep(w.a.c.maxBody())
	w.Parser.Data(client, t, pos, b)
	w.a.fed = 0 // what it did not take is counted in Held
}

// Close implements l7.Stream.
func (w *webSocket) Close(t int64, reset bool) {
	w.Parser.Close(t, reset)
	w.parts.flush(true)
	w.a.noMoreParts(w.parts)
}

func (w *webSocket) full() bool { return len(w.waiting) >= maxPartMessages || w.size >= maxPartBytes }

func (w *webSocket) held() int { return w.size + w.Held() }

func (w *webSocket) left() bool { return w.size > 0 }

func (w *webSocket) close() {}

// take implements partContent.
func (w *webSocket) take(x *l7.Exchange, _ bool) (span, record func(pcommon.Map), size int) {
	messages, bytes, code, waiting := w.messages, w.bytes, w.code, w.waiting
	size = w.size
	w.waiting, w.size, w.messages, w.bytes = nil, 0, [2]int64{}, [2]int64{}
	for _, m := range waiting {
		x.Response.Truncated = x.Response.Truncated || m.Truncated
		x.Response.Missing += m.Missing
	}
	span = func(at pcommon.Map) {
		at.PutStr(semantic.NetworkProtocolName, "websocket")
		at.PutStr(semantic.NetworkProtocolVersion, "13")
		at.PutInt(semantic.WebSocketClientMessages, messages[0])
		at.PutInt(semantic.WebSocketServerMessages, messages[1])
		at.PutInt(semantic.WebSocketClientBytes, bytes[0])
		at.PutInt(semantic.WebSocketServerBytes, bytes[1])
		if code != 0 {
			at.PutInt(semantic.WebSocketCloseCode, int64(code))
		}
	}
	record = func(at pcommon.Map) {
		list := at.PutEmptySlice(semantic.PayloadWebSocketMessages)
		list.EnsureCapacity(len(waiting))
		for _, m := range waiting {
			putMessage(list.AppendEmpty().SetEmptyMap(), m)
		}
	}
	return span, record, size
}

func putMessage(to pcommon.Map, m *websocket.Message) {
	to.EnsureCapacity(8)
	to.PutInt(semantic.MessageTime, m.End)
	to.PutBool(semantic.MessageClient, m.FromClient)
	to.PutInt(semantic.MessageOpcode, int64(m.Opcode))
	to.PutInt(semantic.MessageSize, int64(m.Size))
	compressed := m.Compressed && !m.Inflated
	if m.Opcode == websocket.OpText && !compressed && utf8.Valid(m.Data) {
		to.PutStr(semantic.MessageData, string(m.Data))
	} else {
		to.PutEmptyBytes(semantic.MessageData).FromRaw(m.Data)
	}
	if m.Truncated {
		to.PutBool(semantic.MessageTruncated, true)
	}
	if compressed {
		to.PutBool(semantic.MessageCompressed, true)
	}
	if m.Incomplete != "" {
		to.PutStr(semantic.MessageIncomplete, m.Incomplete)
	}
}
