// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// FromRecord reads the exchange that a `qpoint.payload` log record carries (the
// Payload* attributes of internal/semantic). Body bytes are shared with nothing: they are copies.
// Missing attributes leave their fields empty; a value of an unexpected type is treated as
// missing, because what came over the wire is kept rather than refused.
func FromRecord(resource pcommon.Resource, rec plog.LogRecord) Exchange {
	at := rec.Attributes()
	if sealed := content(at, semantic.PayloadSealed); sealed != nil {
		return Exchange{TraceID: rec.TraceID().String(), SpanID: spanID(rec.SpanID()), Sealed: sealed}
	}
	x := Exchange{
		TraceID: rec.TraceID().String(),
		SpanID:  spanID(rec.SpanID()),
		Started: rec.Timestamp().AsTime(),
		Send:    duration(at, semantic.TimingSend),
		Wait:    duration(at, semantic.TimingWait),
		Receive: duration(at, semantic.TimingReceive),

		Scheme:        text(at, semantic.URLScheme),
		ServerAddress: text(at, semantic.ServerAddress),
		ServerPort:    integer(at, semantic.ServerPort),
		ServerIP:      serverIP(at),
		ConnectionID:  text(at, semantic.ConnectionID),
		Incomplete:    text(at, semantic.ErrorType),
		Part:          max(0, integer(at, semantic.ExchangePart)),
		Messages:      messages(at),

		RedactionPolicy: text(at, semantic.PayloadRedactionPolicy),
		Redactions:      redactions(at),

		Request: Message{
			Method:    text(at, semantic.PayloadRequestMethod),
			Target:    text(at, semantic.PayloadRequestTarget),
			Version:   text(at, semantic.PayloadRequestVersion),
			Headers:   headers(at, semantic.PayloadRequestHeaders),
			Trailers:  headers(at, semantic.PayloadRequestTrailers),
			Body:      content(at, semantic.PayloadRequestBody),
			BodySize:  size(at, semantic.PayloadRequestBodySize),
			Truncated: flag(at, semantic.PayloadRequestBodyTruncated),
			Decoded:   flag(at, semantic.PayloadRequestBodyDecoded),
		},
	}
	if resource.Attributes().Len() > 0 {
		x.Resource = make(map[string]string, resource.Attributes().Len())
		for k, v := range resource.Attributes().All() {
			x.Resource[k] = v.AsString()
		}
	}
	if status, ok := at.Get(semantic.PayloadResponseStatus); ok {
		x.Response = &Message{
			Status:    int(status.Int()),
			Reason:    text(at, semantic.PayloadResponseReason),
			Version:   text(at, semantic.PayloadResponseVersion),
			Headers:   headers(at, semantic.PayloadResponseHeaders),
			Trailers:  headers(at, semantic.PayloadResponseTrailers),
			Body:      content(at, semantic.PayloadResponseBody),
			BodySize:  size(at, semantic.PayloadResponseBodySize),
			Truncated: flag(at, semantic.PayloadResponseBodyTruncated),
			Decoded:   flag(at, semantic.PayloadResponseBodyDecoded),
			Arrivals:  arrivals(at),
		}
	}
	return x
}

// spanID keeps the zero id visible, so that every exchange has a file name.
func spanID(id pcommon.SpanID) string {
	if id.IsEmpty() {
		return "0000000000000000"
	}
	return id.String()
}

// serverIP returns the address of the end whose port is the server's: the peer for a client that
// is observed, the local end for a server.
func serverIP(at pcommon.Map) string {
	port := integer(at, semantic.ServerPort)
	if port != 0 && port != integer(at, semantic.NetworkPeerPort) && port == integer(at, semantic.NetworkLocalPort) {
		return text(at, semantic.NetworkLocalAddress)
	}
	return text(at, semantic.NetworkPeerAddress)
}

func headers(at pcommon.Map, key string) []Header {
	v, ok := at.Get(key)
	if !ok || v.Type() != pcommon.ValueTypeSlice {
		return nil
	}
	list := v.Slice()
	out := make([]Header, 0, list.Len())
	for _, item := range list.All() {
		if item.Type() != pcommon.ValueTypeSlice || item.Slice().Len() != 2 {
			continue
		}
		out = append(out, Header{Name: raw(item.Slice().At(0)), Value: raw(item.Slice().At(1))})
	}
	return out
}

// raw returns the bytes of a Str or Bytes value.
func raw(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return v.Str()
	case pcommon.ValueTypeBytes:
		return string(v.Bytes().AsRaw())
	}
	return ""
}

func text(at pcommon.Map, key string) string {
	v, ok := at.Get(key)
	if !ok {
		return ""
	}
	return raw(v)
}

func content(at pcommon.Map, key string) []byte {
	v, ok := at.Get(key)
	if !ok {
		return nil
	}
	if v.Type() == pcommon.ValueTypeBytes {
		return v.Bytes().AsRaw()
	}
	return []byte(raw(v))
}

func integer(at pcommon.Map, key string) int64 {
	v, ok := at.Get(key)
	if !ok || v.Type() != pcommon.ValueTypeInt {
		return 0
	}
	return v.Int()
}

func size(at pcommon.Map, key string) uint64 { return uint64(max(0, integer(at, key))) }

func flag(at pcommon.Map, key string) bool {
	v, ok := at.Get(key)
	return ok && v.Type() == pcommon.ValueTypeBool && v.Bool()
}

func duration(at pcommon.Map, key string) time.Duration {
	v, ok := at.Get(key)
	if !ok || v.Type() != pcommon.ValueTypeInt || v.Int() < 0 {
		return NotMeasured
	}
	return time.Duration(v.Int())
}

func redactions(at pcommon.Map) (out []Redaction) {
	v, ok := at.Get(semantic.PayloadRedactions)
	if !ok || v.Type() != pcommon.ValueTypeSlice {
		return nil
	}
	for _, item := range v.Slice().All() {
		if item.Type() == pcommon.ValueTypeSlice && item.Slice().Len() == 3 {
			one := item.Slice()
			out = append(out, Redaction{At: raw(one.At(0)), Reason: raw(one.At(1)), Count: one.At(2).Int()})
		}
	}
	return out
}

// SealRecord replaces the payload of a `qpoint.payload` log record by its file, encrypted. Its times and ids stay, and the
// connection's id, for the receipt.
func (s *Sealer) SealRecord(resource pcommon.Resource, rec plog.LogRecord) error {
	x := FromRecord(resource, rec)
	sealed, err := s.Seal(&x)
	if err != nil {
		return fmt.Errorf("encrypt exchange %s: %w", x.SpanID, err)
	}
	at := rec.Attributes()
	at.RemoveIf(func(key string, _ pcommon.Value) bool { return key != semantic.ConnectionID })
	at.PutEmptyBytes(semantic.PayloadSealed).FromRaw(sealed)
	pcommon.NewValueEmpty().MoveTo(rec.Body())
	return nil
}
