// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"testing"
	"time"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// FuzzConvert feeds OTLP bytes, as a gateway gets them from whoever has a token.
func FuzzConvert(f *testing.F) {
	td, err := (&ptrace.ProtoMarshaler{}).MarshalTraces(seedTraces())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(td)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		c := newConverter(time.Now(), pulsestore.Retention{})
		want := 0
		if td, err := (&ptrace.ProtoUnmarshaler{}).UnmarshalTraces(data); err == nil {
			c.traces(td)
			want += td.SpanCount()
		}
		if ld, err := (&plog.ProtoUnmarshaler{}).UnmarshalLogs(data); err == nil {
			c.logs(ld)
			want += ld.LogRecordCount()
		}
		if got := c.rows.Len() + c.refused.total(); got != want {
			t.Fatalf("%d records became %d", want, got)
		}
	})
}

func seedTraces() ptrace.Traces {
	td := ptrace.NewTraces()
	span := td.ResourceSpans().AppendEmpty().ScopeSpans().AppendEmpty().Spans().AppendEmpty()
	span.SetKind(ptrace.SpanKindServer)
	span.SetTraceID([16]byte{1})
	span.SetSpanID([8]byte{1})
	span.Attributes().PutStr("qpoint.connection.id", "00000000000000ff")
	span.Attributes().PutStr("http.request.method", "GET")
	span.Attributes().PutInt("server.port", 1<<40)
	span.Attributes().PutStr("network.peer.address", "fe80::1%eth0")
	return td
}
