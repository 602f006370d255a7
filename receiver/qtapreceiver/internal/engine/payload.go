// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"
	"unicode/utf8"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// Reasons of payload states.
const (
	reasonCaptureOff = "payload_capture_off"
	reasonBodyCap    = "max_body_size"
)

// payload puts the exchange into the open segment and returns what its span says of it.
func (e *Engine) payload(c *conn, x *l7.Exchange, trace pcommon.TraceID, span pcommon.SpanID, t target, part *part, v verdict) (state, reason, key string) {
	p := e.payloads.Load()
	if p == nil {
		return semantic.PayloadFiltered, reasonCaptureOff, ""
	}
	if state, reason = v.allow(trace, e.now, part.index > 0); state != "" {
		return state, reason, ""
	}
	trimmed := v.trim(x, part.before)
	key = p.Segmenter.Add(emit.Group{Class: v.class(), Service: c.proc.ServiceName}, c.proc, payloadSize(x)+int64(part.size), e.now, func(lr plog.LogRecord) {
		c.fillPayload(lr, x, trace, span, t)
		part.putRecord(lr.Attributes())
		if why := v.trimMessages(lr.Attributes()); why != "" {
			trimmed = why
		}
	})
	switch {
	case key == "":
		return semantic.PayloadFiltered, reasonCaptureOff, ""
	case x.CaptureLimit():
		return semantic.PayloadTruncated, x.Incomplete, key
	case x.Request.Missing > 0 || x.Response != nil && x.Response.Missing > 0:
		return semantic.PayloadTruncated, l7.IncompleteGap, key
	case x.Request.UnknownFields > 0 || x.Response != nil && x.Response.UnknownFields > 0:
		return semantic.PayloadTruncated, l7.IncompleteFields, key
	case trimmed != "":
		return semantic.PayloadTruncated, trimmed, key
	case x.Request.Truncated || x.Response != nil && x.Response.Truncated:
		return semantic.PayloadTruncated, reasonBodyCap, key
	case cut(&x.Request) || x.Response != nil && cut(x.Response):
		if e.cutByBudget(x.Request.Start) {
			return semantic.PayloadTruncated, reasonOverBudget, key
		}
		return semantic.PayloadTruncated, reasonCaptureOff, key // when the message began
	}
	return semantic.PayloadPending, "", key
}

// payloadSize is what an exchange counts in a segment: its bodies, and its field lines with them,
// because many small exchanges are mostly headers.
func payloadSize(x *l7.Exchange) int64 {
	n := len(x.Request.Target)
	for _, m := range [...]*l7.Message{&x.Request, x.Response} {
		if m == nil {
			continue
		}
		n += len(m.Body)
		for _, section := range [...][]l7.Header{m.Headers, m.Trailers} {
			for _, h := range section {
				n += len(h.Name) + len(h.Value)
			}
		}
	}
	return int64(n)
}

func (c *conn) fillPayload(lr plog.LogRecord, x *l7.Exchange, trace pcommon.TraceID, span pcommon.SpanID, t target) {
	start, _ := bounds(x, c.e.now)
	lr.SetEventName(semantic.EventPayload)
	lr.SetTimestamp(pcommon.Timestamp(start))
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	lr.SetTraceID(trace)
	lr.SetSpanID(span)

	m := lr.Attributes()
	m.EnsureCapacity(32)
	putStr(m, semantic.URLScheme, t.scheme)
	putStr(m, semantic.ServerAddress, t.host)
	m.PutInt(semantic.ServerPort, int64(t.port))
	c.putNetwork(m)
	m.PutStr(semantic.ConnectionID, c.id)
	m.PutStr(semantic.ConnectionRole, roleName(c.role))
	m.PutInt(semantic.ExchangeSequence, int64(x.Sequence))
	putTiming(m, x)
	putStr(m, semantic.ErrorType, x.Incomplete)

	putRaw(m, semantic.PayloadRequestMethod, x.Request.Method)
	putRaw(m, semantic.PayloadRequestTarget, x.Request.Target)
	putRaw(m, semantic.PayloadRequestVersion, x.Request.Version)
	putHeaders(m, semantic.PayloadRequestHeaders, x.Request.Headers)
	putTrailers(m, semantic.PayloadRequestTrailers, x.Request.Trailers)
	putBody(m, &x.Request, semantic.PayloadRequestBody, semantic.PayloadRequestBodySize, semantic.PayloadRequestBodyTruncated)
	if r := x.Response; r != nil {
		putRaw(m, semantic.PayloadResponseVersion, r.Version)
		m.PutInt(semantic.PayloadResponseStatus, int64(r.Status))
		putRaw(m, semantic.PayloadResponseReason, r.Reason)
		putHeaders(m, semantic.PayloadResponseHeaders, r.Headers)
		putTrailers(m, semantic.PayloadResponseTrailers, r.Trailers)
		putBody(m, r, semantic.PayloadResponseBody, semantic.PayloadResponseBodySize, semantic.PayloadResponseBodyTruncated)
	}
}

func putBody(m pcommon.Map, msg *l7.Message, body, size, truncated string) {
	if len(msg.Body) > 0 {
		m.PutEmptyBytes(body).FromRaw(msg.Body)
	}
	m.PutInt(size, int64(msg.BodySize))
	m.PutBool(truncated, cut(msg))
}

// cut says that not all of a body was kept.
func cut(msg *l7.Message) bool { return uint64(len(msg.Body)) < msg.BodySize }

// putHeaders keeps order, case, repeats and bytes: [[name, value], …].
func putHeaders(m pcommon.Map, key string, hs []l7.Header) {
	list := m.PutEmptySlice(key)
	list.EnsureCapacity(len(hs))
	for _, h := range hs {
		pair := list.AppendEmpty().SetEmptySlice()
		pair.EnsureCapacity(2)
		setRaw(pair.AppendEmpty(), h.Name)
		setRaw(pair.AppendEmpty(), h.Value)
	}
}

// putTrailers is putHeaders for a section that most messages do not have.
func putTrailers(m pcommon.Map, key string, hs []l7.Header) {
	if len(hs) > 0 {
		putHeaders(m, key, hs)
	}
}

// putRaw keeps the bytes of a string that need not be UTF-8.
func putRaw(m pcommon.Map, key, s string) { setRaw(m.PutEmpty(key), s) }

func setRaw(v pcommon.Value, s string) {
	if utf8.ValidString(s) {
		v.SetStr(s)
	} else {
		v.SetEmptyBytes().FromRaw([]byte(s))
	}
}
