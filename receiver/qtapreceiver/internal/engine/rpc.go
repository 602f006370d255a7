// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"strconv"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// grpcCodes are the names of the gRPC status codes.
var grpcCodes = [...]string{
	"OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED",
	"RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS",
	"UNAUTHENTICATED",
}

// procedure is the fully qualified method of a gRPC call, "" for anything else.
func procedure(x *l7.Exchange) string {
	if x.RPC == nil {
		return ""
	}
	path, _, _ := strings.Cut(x.Request.Target, "?")
	return strings.TrimPrefix(path, "/")
}

// grpcStatus is the name of the status that a gRPC call ended with, "" when it did not say.
func grpcStatus(x *l7.Exchange) string {
	if x.RPC == nil || x.Response == nil {
		return ""
	}
	text := ""
	for _, h := range x.Response.Trailers {
		if h.Name == "grpc-status" {
			text = h.Value
		}
	}
	if text == "" { // an answer of trailers only is one header section
		text = x.Response.Get("grpc-status")
	}
	n, err := strconv.ParseUint(text, 10, 16)
	switch {
	case err != nil:
		return ""
	case n < uint64(len(grpcCodes)):
		return grpcCodes[n]
	}
	return strconv.FormatUint(n, 10)
}

// grpcError says whether a status is an error of this end, by the semantic conventions.
func grpcError(status string, server bool) bool {
	switch status {
	case "", "OK":
		return false
	case "UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS":
		return true
	}
	return !server
}

func putRPC(m pcommon.Map, x *l7.Exchange) {
	if x.RPC == nil {
		return
	}
	m.PutStr(semantic.RPCSystemName, "grpc")
	putStr(m, semantic.RPCMethod, procedure(x))
	putStr(m, semantic.RPCResponseStatusCode, grpcStatus(x))
	if n := x.RPC.RequestMessages; n >= 0 {
		m.PutInt(semantic.RPCRequestMessages, int64(n))
	}
	if n := x.RPC.ResponseMessages; n >= 0 && x.Response != nil {
		m.PutInt(semantic.RPCResponseMessages, int64(n))
	}
}
