// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// span adds a row of `requests`, or says why not.
func (c *converter) span(span ptrace.Span) reason {
	r := &c.request
	*r = pulsestore.Request{
		Origin: c.origin, Time: span.StartTimestamp().AsTime(), TraceID: span.TraceID(), SpanID: span.SpanID(), ParentSpanID: span.ParentSpanID(),
	}
	switch span.Kind() {
	case ptrace.SpanKindClient:
		r.Kind = "client"
	case ptrace.SpanKindServer:
		r.Kind = "server"
	default:
		return reasonForeign
	}
	if end := span.EndTimestamp(); end > span.StartTimestamp() {
		r.Duration = time.Duration(end - span.StartTimestamp())
	}
	var w wire
	for key, v := range span.Attributes().All() {
		switch key {
		case semantic.ExchangeSequence:
			r.ExchangeSequence = small(v)
		case semantic.ExchangePart:
			r.Part = small(v)
		case semantic.HTTPRequestMethod:
			r.Method = v.Str()
		case semantic.URLScheme:
			r.Scheme = v.Str()
		case semantic.URLPath:
			r.Path = v.Str()
		case semantic.URLTemplate:
			r.Template = v.Str()
		case semantic.URLQuery:
			r.Query = v.Str()
		case semantic.HTTPResponseStatusCode:
			r.Status = uint16(bounded(v, 999))
		case semantic.TimingSend:
			r.TimingSend = duration(v)
		case semantic.TimingWait:
			r.TimingWait = duration(v)
		case semantic.TimingReceive:
			r.TimingReceive = duration(v)
		case semantic.HTTPRequestBodySize, semantic.WebSocketClientBytes: // a part of a WebSocket has no body
			r.RequestBodySize += large(v)
		case semantic.HTTPResponseBodySize, semantic.WebSocketServerBytes:
			r.ResponseBodySize += large(v)
		case semantic.RPCSystemName:
			r.RPCSystem = v.Str()
		case semantic.RPCMethod:
			r.RPCMethod = v.Str()
		case semantic.RPCResponseStatusCode:
			r.RPCStatus = v.Str()
		case semantic.RPCRequestMessages, semantic.WebSocketClientMessages:
			r.RequestMessages = small(v)
		case semantic.RPCResponseMessages, semantic.WebSocketServerMessages:
			r.ResponseMessages = small(v)
		case semantic.WebSocketCloseCode:
			r.CloseCode = port(v)
		case semantic.PayloadState:
			r.PayloadState = v.Str()
		case semantic.PayloadObjects:
			if v.Type() == pcommon.ValueTypeSlice && v.Slice().Len() > 0 {
				r.PayloadObject = v.Slice().At(0).Str()
			}
		default:
			w.take(key, v)
		}
	}
	if w.connection == "" || r.Method == "" {
		return reasonForeign
	}
	var ok bool
	if r.ConnectionID, ok = w.connectionID(); !ok || span.TraceID().IsEmpty() || span.SpanID().IsEmpty() {
		return reasonMalformed
	}
	if r.PayloadObject != "" && !c.validObject(r.PayloadObject) {
		return reasonMalformed
	}
	if !c.inRange(r.Time) {
		return reasonTime
	}
	r.ServerAddress, r.ServerPort, r.PeerAddress, r.PeerPort = w.server, w.serverPort, w.peer, w.peerPort
	r.ClientAddress, r.ClientPort = w.client, w.clientPort
	if r.Kind == "client" && !r.ClientAddress.IsValid() { // the convention knows client.* on the server's side only
		r.ClientAddress, r.ClientPort = w.local, w.localPort
	}
	r.ErrorType, r.ProtocolVersion, r.TLSVersion, r.TLSCipher = w.errorType, w.protocolVersion, w.tlsVersion, w.tlsCipher
	r.PayloadReason, r.PayloadVisible = w.payloadReason, w.payloadVisible == "visible"
	c.rows.AddRequest(r)
	return ""
}
