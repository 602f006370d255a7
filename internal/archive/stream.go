// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"bytes"
	"encoding/base64"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// WebSocketMessage is one message, or one control frame, of a WebSocket (RFC 6455).
type WebSocketMessage struct {
	Time       time.Time // of the last byte
	FromClient bool
	Opcode     byte
	Size       uint64 // payload bytes on the wire
	// Data is what was kept of the payload, unmasked and inflated; still compressed when Compressed.
	Data                  []byte
	Truncated, Compressed bool
	Incomplete            string // why it ended early, "" when it is whole
}

// Arrival says when the bytes of a body from Offset on came.
type Arrival struct {
	Offset int
	Time   time.Time
}

// harMessage is an entry of `_webSocketMessages`, as browsers write and read it.
type harMessage struct {
	Type   string  `json:"type"` // "send" by the client, or "receive"
	Time   float64 `json:"time"` // Unix seconds
	Opcode byte    `json:"opcode"`
	Data   string  `json:"data"` // base64 unless it is text

	Encoding   string `json:"_encoding,omitempty"` // "base64"
	Size       uint64 `json:"_size"`
	Truncated  bool   `json:"_truncated,omitempty"`
	Compressed bool   `json:"_compressed,omitempty"`
	Incomplete string `json:"_incomplete,omitempty"`
}

// harEvent is an entry of `_eventStream`.
type harEvent struct {
	Time  float64 `json:"time"` // Unix seconds
	Event string  `json:"event"`
	ID    string  `json:"id,omitempty"`
	Data  string  `json:"data"`
}

const opText = 1

func toMessages(ms []WebSocketMessage) []harMessage {
	out := make([]harMessage, len(ms))
	for i, m := range ms {
		h := harMessage{
			Type: "receive", Time: seconds(m.Time), Opcode: m.Opcode, Size: m.Size,
			Truncated: m.Truncated, Compressed: m.Compressed, Incomplete: valid(m.Incomplete),
		}
		if m.FromClient {
			h.Type = "send"
		}
		if m.Opcode == opText && !m.Compressed && utf8.Valid(m.Data) {
			h.Data = string(m.Data)
		} else {
			h.Data, h.Encoding = base64.StdEncoding.EncodeToString(m.Data), encodingBase64
		}
		out[i] = h
	}
	return out
}

func fromMessages(hs []harMessage) ([]WebSocketMessage, error) {
	if len(hs) == 0 {
		return nil, nil
	}
	out := make([]WebSocketMessage, len(hs))
	for i, h := range hs {
		data, err := fromText(h.Data, h.Encoding)
		if err != nil {
			return nil, err
		}
		out[i] = WebSocketMessage{
			Time: fromSeconds(h.Time), FromClient: h.Type == "send", Opcode: h.Opcode, Size: h.Size, Data: data,
			Truncated: h.Truncated, Compressed: h.Compressed, Incomplete: h.Incomplete,
		}
	}
	return out, nil
}

// seconds are exact to the microsecond for centuries.
func seconds(t time.Time) float64 { return math.Round(float64(t.UnixNano())/1e3) / 1e6 }

func fromSeconds(s float64) time.Time { return time.UnixMicro(int64(math.Round(s * 1e6))).UTC() }

// events reads an event stream as a browser does (HTML, Server-sent events), from a body that may
// begin and end anywhere; each event has the time of its last byte.
func events(m *Message) []harEvent {
	media, _, _ := strings.Cut(m.Get("Content-Type"), ";")
	if len(m.Arrivals) == 0 || m.contentEncoding() != "" || !strings.EqualFold(strings.TrimSpace(media), "text/event-stream") {
		return nil
	}
	var out []harEvent
	var e harEvent
	var data strings.Builder
	some, at := false, 0
	for b := bytes.TrimPrefix(m.Body, []byte("\ufeff")); len(b) > 0; {
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			break
		}
		line := b[:i]
		if i++; b[i-1] == '\r' && i < len(b) && b[i] == '\n' {
			i++
		}
		b = b[i:]
		if len(line) == 0 {
			if some {
				end := len(m.Body) - len(b) - 1
				for at+1 < len(m.Arrivals) && m.Arrivals[at+1].Offset <= end {
					at++
				}
				e.Time, e.Data = seconds(m.Arrivals[at].Time), strings.TrimSuffix(data.String(), "\n")
				if e.Event == "" {
					e.Event = "message"
				}
				out = append(out, e)
			}
			e.Event, some = "", false // the last id stays
			data.Reset()
			continue
		}
		name, value, _ := strings.Cut(valid(string(line)), ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "data":
			some = true
			data.WriteString(value)
			data.WriteByte('\n')
		case "event":
			e.Event = value
		case "id":
			if !strings.Contains(value, "\x00") {
				e.ID = value
			}
		}
	}
	return out
}

func messages(at pcommon.Map) (out []WebSocketMessage) {
	v, ok := at.Get(semantic.PayloadWebSocketMessages)
	if !ok || v.Type() != pcommon.ValueTypeSlice {
		return nil
	}
	for _, item := range v.Slice().All() {
		if item.Type() != pcommon.ValueTypeMap {
			continue
		}
		m := item.Map()
		out = append(out, WebSocketMessage{
			Time:       time.Unix(0, integer(m, semantic.MessageTime)).UTC(),
			FromClient: flag(m, semantic.MessageClient),
			Opcode:     byte(integer(m, semantic.MessageOpcode)),
			Size:       size(m, semantic.MessageSize),
			Data:       content(m, semantic.MessageData),
			Truncated:  flag(m, semantic.MessageTruncated), Compressed: flag(m, semantic.MessageCompressed),
			Incomplete: text(m, semantic.MessageIncomplete),
		})
	}
	return out
}

func arrivals(at pcommon.Map) (out []Arrival) {
	v, ok := at.Get(semantic.PayloadResponseBodyArrivals)
	if !ok || v.Type() != pcommon.ValueTypeSlice {
		return nil
	}
	for _, item := range v.Slice().All() {
		if item.Type() != pcommon.ValueTypeSlice || item.Slice().Len() != 2 {
			continue
		}
		out = append(out, Arrival{Offset: int(item.Slice().At(0).Int()), Time: time.Unix(0, item.Slice().At(1).Int()).UTC()})
	}
	return out
}
