// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"net/http"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
)

// Values of semantic.Instrumented.
const (
	instrumentedOTLP    = "otlp"          // the process sends spans of its own
	instrumentedContext = "trace_context" // its request carried a traceparent
)

// dropInstrumented is the drop reason of exchanges of which the process sends spans itself.
const dropInstrumented = "instrumented"

// otlpTraces is the method that spans are sent by over gRPC, the end of a path that they are sent to over HTTP
// (OTLP 1.9, "OTLP/gRPC" and "OTLP/HTTP Request").
const (
	otlpTraces     = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
	otlpTracesPath = "/v1/traces"
)

// instrumentation notes what an exchange shows of the tracing of its process: spans that it sent and that were taken,
// by content and whatever the port, and a trace context.
func (c *conn) instrumentation(x *l7.Exchange, t *target) {
	if c.role != event.RoleClient || c.proc.TGID == 0 {
		return
	}
	if _, _, ok := parseTraceparent(x.Request.Get("traceparent")); ok {
		c.proc.Tracing |= process.SendsContext
	}
	if x.Response == nil {
		return
	}
	media, _, _ := strings.Cut(x.Request.Get("content-type"), ";")
	switch media = strings.ToLower(strings.TrimSpace(media)); {
	case procedure(x) == otlpTraces && grpcStatus(x) == "OK",
		x.Request.Method == http.MethodPost && strings.HasSuffix(t.path, otlpTracesPath) && x.Response.Status/100 == 2 &&
			(media == "application/x-protobuf" || media == "application/json"):
		c.proc.Tracing |= process.SendsSpans
	}
}

// sendsHere notes that a process talks to the collector itself. What it says is not looked at, so it is by the port, one of
// those registered for OTLP, that it is taken for telemetry.
func (c *conn) sendsHere() {
	if p := c.serverEnd().Port(); c.role == event.RoleClient && c.proc.TGID != 0 && (p == 4317 || p == 4318) {
		c.proc.Tracing |= process.SendsHere
	}
}

// instrumented says what is known of the tracing of the process of an exchange, "" when nothing is.
func (c *conn) instrumented(x *l7.Exchange) string {
	// To this collector a process may send metrics only: its trace context says that it traces, too.
	const here = process.SendsHere | process.SendsContext
	if c.proc.Tracing&process.SendsSpans != 0 || c.proc.Tracing&here == here {
		return instrumentedOTLP
	}
	if _, _, ok := parseTraceparent(x.Request.Get("traceparent")); ok && c.role == event.RoleClient {
		return instrumentedContext
	}
	return ""
}

// suppressed says that the process sends the span of an exchange itself.
func (c *conn) suppressed(x *l7.Exchange) bool {
	return c.e.set.Suppress && c.instrumented(x) == instrumentedOTLP
}
