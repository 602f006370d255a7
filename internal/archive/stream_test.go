// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

func second(n int) time.Time { return time.Unix(1_780_000_000, int64(n)*1000).UTC() }

func webSocket() Exchange {
	x := sample()
	x.Part = 3
	x.Response.Status, x.Response.Body, x.Response.BodySize, x.Response.Truncated = 101, nil, 0, false
	x.Messages = []WebSocketMessage{
		{Time: second(1), FromClient: true, Opcode: 1, Size: 6, Data: []byte("hällo")},
		{Time: second(2), Opcode: 2, Size: 900, Data: []byte{0, 255}, Truncated: true},
		{Time: second(3), Opcode: 1, Size: 4, Data: []byte("abcd"), Compressed: true},
		{Time: second(4), Opcode: 1, Size: 3, Data: []byte("a\xff"), Truncated: true, Incomplete: "gap"},
		{Time: second(5), FromClient: true, Opcode: 8, Size: 2, Data: []byte{3, 232}},
	}
	return x
}

func TestWebSocketMessages(t *testing.T) {
	want := webSocket()
	got, err := Read(pack(t, want).Bytes)
	require.NoError(t, err)
	require.Equal(t, want, got[want.SpanID+Extension])

	b, err := json.Marshal(toHAR(&want))
	require.NoError(t, err)
	var har struct {
		Log struct {
			Entries []struct {
				Type     string           `json:"_resourceType"`
				Part     int              `json:"_part"`
				Messages []map[string]any `json:"_webSocketMessages"`
			}
		}
	}
	require.NoError(t, json.Unmarshal(b, &har))
	e := har.Log.Entries[0]
	require.Equal(t, "websocket", e.Type)
	require.Equal(t, 3, e.Part)
	require.Equal(t, map[string]any{"type": "send", "time": 1780000000.000001, "opcode": 1.0, "data": "hällo", "_size": 6.0}, e.Messages[0])
	require.Equal(t, "AP8=", e.Messages[1]["data"])
}

func TestMessagesFromRecord(t *testing.T) {
	res, rec := toRecord(sample())
	at := rec.Attributes()
	at.PutInt(semantic.ExchangePart, 7)
	list := at.PutEmptySlice(semantic.PayloadWebSocketMessages)
	list.AppendEmpty().SetStr("no map")
	for _, m := range webSocket().Messages {
		to := list.AppendEmpty().SetEmptyMap()
		to.PutInt(semantic.MessageTime, m.Time.UnixNano())
		to.PutBool(semantic.MessageClient, m.FromClient)
		to.PutInt(semantic.MessageOpcode, int64(m.Opcode))
		to.PutInt(semantic.MessageSize, int64(m.Size))
		to.PutEmptyBytes(semantic.MessageData).FromRaw(m.Data)
		to.PutBool(semantic.MessageTruncated, m.Truncated)
		to.PutBool(semantic.MessageCompressed, m.Compressed)
		to.PutStr(semantic.MessageIncomplete, m.Incomplete)
	}
	x := FromRecord(res, rec)
	require.Equal(t, int64(7), x.Part)
	require.Equal(t, webSocket().Messages, x.Messages)
}

func eventStream(body string, arrivals ...Arrival) *Message {
	return &Message{
		Status: 200, Version: "1.1", Headers: []Header{{"Content-Type", "text/event-stream; charset=utf-8"}},
		Body: []byte(body), BodySize: uint64(len(body)), Arrivals: arrivals,
	}
}

func TestEventStream(t *testing.T) {
	at := func(offset, n int) Arrival { return Arrival{Offset: offset, Time: second(n)} }
	body := "\ufeffdata: one\n\n: comment\n\nevent: tick\r\ndata: two\r\ndata\r\ndata:three\r\nid: 4\r\n\r\nevent: empty\n\ndata: last\n\ndata: cut"
	got := events(eventStream(body, at(0, 1), at(8, 2), at(15, 3), at(60, 4)))
	require.Equal(t, []harEvent{
		{Time: seconds(second(2)), Event: "message", Data: "one"},
		{Time: seconds(second(4)), Event: "tick", ID: "4", Data: "two\n\nthree"},
		{Time: seconds(second(4)), Event: "message", ID: "4", Data: "last"},
	}, got)

	coded := eventStream(body, at(0, 1))
	coded.Headers = append(coded.Headers, Header{"Content-Encoding", "gzip"})
	require.Nil(t, events(coded), "it is not read what is compressed")
	coded.Decoded = true
	require.Len(t, events(coded), 3)
	require.Equal(t, harContent{Size: uint64(len(body)), MimeType: "text/event-stream; charset=utf-8", Text: body, Decoded: true}, toResponse(coded).Content)
	require.Nil(t, events(eventStream(body)), "when is not known")

	x := sample()
	x.Response = eventStream("data: a\n\n", at(0, 1))
	har, err := Read(pack(t, x).Bytes)
	require.NoError(t, err)
	x.Response.Arrivals = nil // the events have them
	require.Equal(t, x, har[x.SpanID+Extension])
	b, err := json.Marshal(toHAR(&Exchange{Response: eventStream("data: a\n\n", at(0, 1))}))
	require.NoError(t, err)
	require.Contains(t, string(b), `"_eventStream":[{"time":1780000000.000001,"event":"message","data":"a"}]`)
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("data: a\r\n\r\nid:1\rdata\r\r"), 3, 4)
	f.Add([]byte("\ufeffevent:x\ndata:\xff\n\n"), 0, 0)
	f.Fuzz(func(t *testing.T, body []byte, a, b int) {
		m := eventStream(string(body), Arrival{Time: second(1)}, Arrival{Offset: a, Time: second(2)}, Arrival{Offset: b, Time: second(3)})
		n := 0
		for _, e := range events(m) {
			n += len(e.Data)
		}
		require.LessOrEqual(t, n, 3*len(body), "nothing is made up") // a byte that is not UTF-8 becomes three
	})
}
