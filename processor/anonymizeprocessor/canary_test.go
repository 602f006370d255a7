// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/processor/processortest"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/processor/anonymizeprocessor/internal/metadata"
)

// canaries hands out distinct values and remembers them. Each is 16 hex digits, so that a
// cleaner that lets a part through is caught as well as one that lets all through.
type canaries struct {
	planted []string
	places  map[string]int // protobuf field -> times planted
}

func (c *canaries) next() string {
	sum := sha256.Sum256(fmt.Appendf(nil, "canary %d", len(c.planted)))
	s := hex.EncodeToString(sum[:8])
	c.planted = append(c.planted, s)
	return s
}

// fill plants a canary in every string and bytes field of every message below m, as the
// protobuf descriptors of OTLP enumerate them: a place that a later OTLP adds is planted too.
func (c *canaries) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.Message() != nil && f.IsList():
			list := m.Mutable(f).List()
			if f.Message().FullName() == "opentelemetry.proto.common.v1.AnyValue" {
				c.anyValues(list, depth)
				continue
			}
			if f.Message().FullName() == "opentelemetry.proto.common.v1.KeyValue" {
				c.keyValues(list, depth)
				continue
			}
			for range 2 {
				c.fill(list.AppendMutable().Message(), depth)
			}
		case f.Message() != nil && f.ContainingOneof() == nil:
			c.fill(m.Mutable(f).Message(), depth)
		case f.Message() != nil: // a variant of AnyValue, planted by anyValue
		case f.IsList():
			if f.Kind() == protoreflect.StringKind {
				m.Mutable(f).List().Append(protoreflect.ValueOfString(c.plant(f)))
			}
		case f.ContainingOneof() != nil:
		case f.Kind() == protoreflect.StringKind:
			m.Set(f, protoreflect.ValueOfString(c.plant(f)))
		case f.Kind() == protoreflect.BytesKind:
			n := 8
			if f.Name() == "trace_id" {
				n = 16
			}
			m.Set(f, protoreflect.ValueOfBytes(bytes.Repeat([]byte{0x5a}, n))) // ids stay, and must be of their size
		case f.Kind() == protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(protoreflect.EnumNumber(1)))
		case f.Kind() == protoreflect.Fixed32Kind, f.Kind() == protoreflect.Uint32Kind:
			m.Set(f, protoreflect.ValueOfUint32(1))
		case f.Kind() == protoreflect.Fixed64Kind:
			m.Set(f, protoreflect.ValueOfUint64(1))
		}
	}
	if m.Descriptor().FullName() == "opentelemetry.proto.common.v1.AnyValue" {
		proto.Merge(m.Interface(), c.nested(depth))
	}
}

func (c *canaries) plant(f protoreflect.FieldDescriptor) string {
	c.places[string(f.FullName())]++
	return c.next()
}

// nested is a value with every variant of AnyValue inside.
func (c *canaries) nested(depth int) *commonpb.AnyValue {
	if depth > 1 {
		return str(c.next())
	}
	list := &commonpb.ArrayValue{}
	m := &commonpb.KeyValueList{}
	list.Values = append(list.Values, c.variants(depth)...)
	for _, v := range c.variants(depth) {
		m.Values = append(m.Values, &commonpb.KeyValue{Key: c.next(), Value: v})
	}
	m.Values = append(m.Values, &commonpb.KeyValue{Key: c.next(), Value: &commonpb.AnyValue{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: list}}})
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: m}}
}

func (c *canaries) variants(depth int) []*commonpb.AnyValue {
	return []*commonpb.AnyValue{
		str(c.next()),
		{Value: &commonpb.AnyValue_BytesValue{BytesValue: []byte(c.next())}},
		{Value: &commonpb.AnyValue_ArrayValue{ArrayValue: &commonpb.ArrayValue{Values: []*commonpb.AnyValue{str(c.next())}}}},
		{Value: &commonpb.AnyValue_KvlistValue{KvlistValue: &commonpb.KeyValueList{Values: []*commonpb.KeyValue{{Key: c.next(), Value: c.nested(depth + 1)}}}}},
	}
}

func (c *canaries) anyValues(list protoreflect.List, depth int) {
	for _, v := range c.variants(depth) {
		list.Append(protoreflect.ValueOfMessage(v.ProtoReflect()))
	}
}

// keyValues plants unknown keys, every key of the allow-list with every hostile value, and
// each of them twice, because keys may repeat on the wire.
func (c *canaries) keyValues(list protoreflect.List, depth int) {
	add := func(key string, v *commonpb.AnyValue) {
		list.Append(protoreflect.ValueOfMessage((&commonpb.KeyValue{Key: key, Value: v}).ProtoReflect()))
	}
	for _, v := range c.variants(depth) {
		add(c.next(), v)
		add("http.request.header.authorization", v)
		add(semantic.Anonymized, v)
		add(semantic.Environment, v)
		add(semantic.PayloadRequestBody, v)
	}
	for range 2 {
		for _, key := range semantic.Keys() {
			for _, v := range c.variants(depth + 1) {
				if v.GetStringValue() != "" {
					continue // by class, below
				}
				add(key, v)
			}
			for _, s := range c.hostile(key) {
				add(key, str(s))
			}
		}
	}
}

// hostile returns values that must not survive under key, by its class. Under some classes a
// plain word of letters and digits is a right value (a host name, a service), so there the
// canary stands where a right value has no place for it.
func (c *canaries) hostile(key string) []string {
	n := c.next
	all := []string{n() + "\x00", n() + "\n", "<" + n() + ">", "pass=" + n(), "\"" + n() + "\"", n() + notUTF8, n() + "%20x", n() + ";", n() + "&", n() + "?", "caf\u00e9 " + n(), "{" + n() + "}"}
	switch semantic.ClassOf(key) {
	case semantic.Number:
		return append(all, n(), "1"+n())
	case semantic.ID:
		if key == semantic.HostID || key == semantic.ContainerID {
			return append(all, n()+" "+n(), "eyJ"+n()+"."+n()+"."+n())
		}
		if key == semantic.ConnectionID {
			return append(all, n()+n(), "host/"+n()) // 16 hex digits alone are right
		}
		return append(all, n(), n()+n()[:15], "default/2026/11/24/06/"+n()+".zip")
	case semantic.Token:
		return append(all, n(), n()+"/"+n(), "http/"+n(), n()+"-"+n(), "alice."+n()+"@example.com")
	case semantic.Name:
		return append(all, "eyJ"+n()+"."+n()+"."+n(), "eyJ"+n()+"."+n()+".")
	case semantic.DistinguishedName:
		return append(all, n(), "CN="+n()+"@example.com", "O="+n(), "OU=a "+n()+" b", "emailAddress="+n(), "CN=a+UID="+n(), `O=a\,`+n(), `O=a\\,OU=`+n(), "2.5.4.5=#"+n())
	case semantic.Time:
		return append(all, n(), "2026-01-31T23:59:59.000Z"+n())
	case semantic.Host:
		return append(all, "user:"+n()+"@example.com", n()+"@example.com", "example.com/"+n(), "fe80::1%"+n(), "https://"+n(), n()+":80")
	case semantic.Path, semantic.Procedure:
		var list []string
		for _, s := range all {
			list = append(list, "/a/"+s, s)
		}
		return append(list, n(), "/"+n(), "/a/"+n()+"/b", "/a;jsessionid="+n(), "/a;"+n()+"/b", "/a?"+n(), "/a#"+n(), "/by/"+n()+"@example.com", "/by/"+n()+"%40example.com",
			"/f/x."+n()+".js", "/f/x-"+n(), "/"+base64.URLEncoding.EncodeToString([]byte(n())), "/eyJ"+n()+"."+n()+"."+n(), "/a/{"+n()+"}")
	case semantic.Query:
		return append(all, n(), "a="+n(), "a=1&b="+n(), "a="+n()+"&b=", n()+"=", "a&"+n(), "="+n(), "a=b="+n(), "f["+n()+"]=", "a=#"+n(), "a="+url.QueryEscape("x "+n()))
	case semantic.URL:
		return append(all, n(), "https://user:"+n()+"@example.com/", "https://"+n()+"@example.com/", "https://"+n()+":x@example.com/?a="+n()+"#"+n(),
			"https://example.com/"+n(), "https://example.com/a/"+n()+"?"+n()+"#"+n(), "https://example.com:"+n()+"/", "ftp://example.com/"+n(), "data:text/plain,"+n(), "https://[fe80::1%25"+n()+"]/",
			"https://user:"+n()+"/"+n()+"@example.com/", "//"+n()+"@example.com/", "https:"+n(), "https://exa mple.com/"+n())
	case semantic.Method:
		return append(all, n(), "GET "+n(), "get"+n())
	}
	return all
}

// notUTF8 stands for bytes that are not UTF-8, which pdata takes and package proto refuses to
// write: wire puts them in.
const notUTF8 = "\u00ff\u00ff"

func wire(t *testing.T, m proto.Message) []byte {
	t.Helper()
	b, err := proto.Marshal(m)
	require.NoError(t, err)
	bad := bytes.ReplaceAll(b, []byte(notUTF8), []byte("\xff\xfe\xff\xfe"))
	require.NotEqual(t, b, bad)
	return bad
}

func distinct(list []string) int {
	set := map[string]bool{}
	for _, s := range list {
		set[s] = true
	}
	return len(set)
}

func str(s string) *commonpb.AnyValue {
	return &commonpb.AnyValue{Value: &commonpb.AnyValue_StringValue{StringValue: s}}
}

// requireNone searches the raw bytes for every canary and for the usual encodings of it.
func (c *canaries) requireNone(t *testing.T, out []byte) {
	t.Helper()
	require.NotEmpty(t, out)
	for i, s := range c.planted {
		for _, form := range []string{s, base64.URLEncoding.EncodeToString([]byte(s))} {
			if at := bytes.Index(out, []byte(form)); at >= 0 {
				t.Fatalf("canary %d is in the output: …%q…", i, out[max(0, at-80):min(len(out), at+80)])
			}
		}
	}
	t.Logf("%d canaries in %d kinds of places, %d bytes left", len(c.planted), len(c.places), len(out))
}

func TestTraceCanaries(t *testing.T) {
	t.Parallel()
	c := &canaries{places: map[string]int{}}
	var data tracepb.TracesData
	c.fill(data.ProtoReflect(), 0)
	for _, f := range []string{"Span.name", "Span.trace_state", "Span.Event.name", "Span.Link.trace_state", "Status.message", "ScopeSpans.schema_url", "ResourceSpans.schema_url"} {
		require.NotZero(t, c.places["opentelemetry.proto.trace.v1."+f], f)
	}
	for _, f := range []string{"InstrumentationScope.name", "InstrumentationScope.version", "EntityRef.type", "EntityRef.id_keys"} {
		require.NotZero(t, c.places["opentelemetry.proto.common.v1."+f], f)
	}
	in := wire(t, &data)
	require.Equal(t, len(c.planted), distinct(c.planted))
	td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(in)
	require.NoError(t, err)

	sink := new(consumertest.TracesSink)
	p, err := NewFactory().CreateTraces(t.Context(), processortest.NewNopSettings(metadata.Type), createDefaultConfig(), sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, p.ConsumeTraces(t.Context(), td))
	require.NoError(t, p.Shutdown(t.Context()))
	require.Equal(t, 8, sink.SpanCount(), "spans stay")
	marshaler := ptrace.ProtoMarshaler{}
	out, err := marshaler.MarshalTraces(sink.AllTraces()[0])
	require.NoError(t, err)
	c.requireNone(t, out)

	// The wire repeats keys, which the random data of TestIdempotent cannot.
	require.NoError(t, p.ConsumeTraces(t.Context(), sink.AllTraces()[0]))
	twice, err := marshaler.MarshalTraces(sink.AllTraces()[1])
	require.NoError(t, err)
	require.True(t, bytes.Equal(out, twice), "anonymized twice is anonymized once")
}

func TestLogCanaries(t *testing.T) {
	t.Parallel()
	c := &canaries{places: map[string]int{}}
	var data logspb.LogsData
	c.fill(data.ProtoReflect(), 0)
	for _, f := range []string{"LogRecord.event_name", "LogRecord.severity_text", "ScopeLogs.schema_url", "ResourceLogs.schema_url"} {
		require.NotZero(t, c.places["opentelemetry.proto.logs.v1."+f], f)
	}
	// Two records of each scope as they came, with an event that is not ours, and one of each
	// of ours: only two of those stay.
	for _, rl := range data.ResourceLogs {
		for _, sl := range rl.ScopeLogs {
			for _, event := range []string{semantic.EventConnection, semantic.EventSegment, semantic.EventCoverage, semantic.EventFinding, semantic.EventPayload, semantic.EventConnection + "." + c.next()} {
				var r logspb.LogRecord
				c.fill(r.ProtoReflect(), 0)
				c.planted = append(c.planted, r.EventName)
				r.EventName, r.SeverityText = event, r.EventName
				sl.LogRecords = append(sl.LogRecords, &r)
			}
		}
	}
	in := wire(t, &data)
	ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(in)
	require.NoError(t, err)

	sink := new(consumertest.LogsSink)
	p, err := NewFactory().CreateLogs(t.Context(), processortest.NewNopSettings(metadata.Type), createDefaultConfig(), sink)
	require.NoError(t, err)
	require.NoError(t, p.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, p.ConsumeLogs(t.Context(), ld))
	require.NoError(t, p.Shutdown(t.Context()))
	require.Equal(t, 16, sink.LogRecordCount(), "connections, segments, coverage and findings stay")
	marshaler := plog.ProtoMarshaler{}
	out, err := marshaler.MarshalLogs(sink.AllLogs()[0])
	require.NoError(t, err)
	c.requireNone(t, out)

	// The wire repeats keys, which the random data of TestIdempotent cannot.
	require.NoError(t, p.ConsumeLogs(t.Context(), sink.AllLogs()[0]))
	twice, err := marshaler.MarshalLogs(sink.AllLogs()[1])
	require.NoError(t, err)
	require.True(t, bytes.Equal(out, twice), "anonymized twice is anonymized once")
}
