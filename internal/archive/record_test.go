// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// toRecord writes an exchange as `qtap_payload` does.
func toRecord(x Exchange) (pcommon.Resource, plog.LogRecord) {
	res, rec := pcommon.NewResource(), plog.NewLogRecord()
	for k, v := range x.Resource {
		res.Attributes().PutStr(k, v)
	}
	rec.SetEventName(semantic.EventPayload)
	rec.SetTimestamp(pcommon.NewTimestampFromTime(x.Started))
	rec.SetTraceID(pcommon.TraceID{15: 1})
	rec.SetSpanID(pcommon.SpanID{7: 2})
	at := rec.Attributes()
	at.PutInt(semantic.TimingSend, int64(x.Send))
	at.PutInt(semantic.TimingReceive, int64(x.Receive))
	at.PutStr(semantic.URLScheme, x.Scheme)
	at.PutStr(semantic.ServerAddress, x.ServerAddress)
	at.PutInt(semantic.ServerPort, x.ServerPort)
	at.PutStr(semantic.NetworkPeerAddress, x.ServerIP)
	at.PutInt(semantic.NetworkPeerPort, x.ServerPort)
	at.PutStr(semantic.NetworkLocalAddress, "198.51.100.9")
	at.PutInt(semantic.NetworkLocalPort, 40000)
	at.PutStr(semantic.ErrorType, x.Incomplete)
	at.PutStr(semantic.ConnectionID, x.ConnectionID)

	at.PutStr(semantic.PayloadRedactionPolicy, x.RedactionPolicy)
	list := at.PutEmptySlice(semantic.PayloadRedactions)
	for _, r := range x.Redactions {
		one := list.AppendEmpty().SetEmptySlice()
		one.AppendEmpty().SetStr(r.At)
		one.AppendEmpty().SetStr(r.Reason)
		one.AppendEmpty().SetInt(r.Count)
	}
	at.PutStr(semantic.PayloadRequestMethod, x.Request.Method)
	at.PutStr(semantic.PayloadRequestTarget, x.Request.Target)
	at.PutStr(semantic.PayloadRequestVersion, x.Request.Version)
	putHeaders(at, semantic.PayloadRequestHeaders, x.Request.Headers)
	putHeaders(at, semantic.PayloadRequestTrailers, x.Request.Trailers)
	at.PutEmptyBytes(semantic.PayloadRequestBody).FromRaw(x.Request.Body)
	at.PutInt(semantic.PayloadRequestBodySize, int64(x.Request.BodySize))
	at.PutBool(semantic.PayloadRequestBodyDecoded, x.Request.Decoded)
	at.PutBool(semantic.PayloadRequestBodyTruncated, x.Request.Truncated)
	if r := x.Response; r != nil {
		at.PutStr(semantic.PayloadResponseVersion, r.Version)
		at.PutInt(semantic.PayloadResponseStatus, int64(r.Status))
		at.PutEmptyBytes(semantic.PayloadResponseReason).FromRaw([]byte(r.Reason))
		putHeaders(at, semantic.PayloadResponseHeaders, r.Headers)
		putHeaders(at, semantic.PayloadResponseTrailers, r.Trailers)
		at.PutEmptyBytes(semantic.PayloadResponseBody).FromRaw(r.Body)
		at.PutInt(semantic.PayloadResponseBodySize, int64(r.BodySize))
		at.PutBool(semantic.PayloadResponseBodyTruncated, r.Truncated)
	}
	return res, rec
}

func putHeaders(at pcommon.Map, key string, hs []Header) {
	list := at.PutEmptySlice(key)
	for _, h := range hs {
		pair := list.AppendEmpty().SetEmptySlice()
		pair.AppendEmpty().SetStr(h.Name)
		if valid(h.Value) == h.Value {
			pair.AppendEmpty().SetStr(h.Value)
		} else {
			pair.AppendEmpty().SetEmptyBytes().FromRaw([]byte(h.Value))
		}
	}
}

func TestFromRecord(t *testing.T) {
	want := sample()
	res, rec := toRecord(want)
	want.TraceID, want.SpanID = "00000000000000000000000000000001", "0000000000000002"
	require.Equal(t, want, FromRecord(res, rec))

	// Observed at the server, the same connection the other way round.
	rec.Attributes().PutStr(semantic.NetworkPeerAddress, "198.51.100.9")
	rec.Attributes().PutInt(semantic.NetworkPeerPort, 40000)
	rec.Attributes().PutStr(semantic.NetworkLocalAddress, want.ServerIP)
	rec.Attributes().PutInt(semantic.NetworkLocalPort, want.ServerPort)
	require.Equal(t, want, FromRecord(res, rec))
}

// TestFromAnyRecord: what a foreign source may write gives an exchange, not a panic.
func TestFromAnyRecord(t *testing.T) {
	keys := []string{
		semantic.PayloadRequestMethod, semantic.PayloadRequestTarget, semantic.PayloadRequestHeaders, semantic.PayloadRequestBody,
		semantic.PayloadRequestBodySize, semantic.PayloadRequestBodyTruncated, semantic.PayloadResponseStatus,
		semantic.PayloadResponseHeaders, semantic.PayloadResponseBody, semantic.TimingSend, semantic.ServerPort,
	}
	for _, fill := range []func(pcommon.Value){
		func(pcommon.Value) {},
		func(v pcommon.Value) { v.SetStr("x") },
		func(v pcommon.Value) { v.SetInt(-5) },
		func(v pcommon.Value) { v.SetDouble(1) },
		func(v pcommon.Value) { v.SetBool(true) },
		func(v pcommon.Value) { v.SetEmptyMap().PutStr("a", "b") },
		func(v pcommon.Value) { v.SetEmptyBytes().FromRaw([]byte{255}) },
		func(v pcommon.Value) { v.SetEmptySlice().AppendEmpty().SetEmptySlice().AppendEmpty() },
		func(v pcommon.Value) {
			pair := v.SetEmptySlice().AppendEmpty().SetEmptySlice()
			pair.AppendEmpty().SetInt(1)
			pair.AppendEmpty()
		},
	} {
		rec := plog.NewLogRecord()
		for _, k := range keys {
			fill(rec.Attributes().PutEmpty(k))
		}
		x := FromRecord(pcommon.NewResource(), rec)
		require.Equal(t, "0000000000000000", x.SpanID)
		_, err := Read(pack(t, x).Bytes)
		require.NoError(t, err)
	}
}
