// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestE2EGRPCStream watches grpc-go at both ends: messages of a stream are emitted as they come, whole and counted; a call
// has its status in the trailers of its payload.
func TestE2EGRPCStream(t *testing.T) {
	l := newLab(t, "grpcstream")
	l.start(nil)
	program, port := buildTool(t, "testdata/grpcpeer"), freePort(t)
	addr := fmt.Sprintf("127.0.0.1:%d", port)
	l.serve(port, program, "-listen", addr)
	client := l.command(program, addr)
	var out strings.Builder
	client.Stdout = &out
	require.NoError(t, client.Start())
	const watch, check = "/grpc.health.v1.Health/Watch", "/grpc.health.v1.Health/Check"
	require.Eventually(t, func() bool { return len(l.partsOf(watch, port, ptrace.SpanKindClient)) > 0 }, testkit.Patience, 20*time.Millisecond)
	require.Nil(t, l.own(watch, port, ptrace.SpanKindClient), "while it goes on")
	require.NoError(t, client.Wait())
	lines := strings.Fields(out.String())
	require.Len(t, lines, 3)
	require.Equal(t, "NotFound", lines[0])
	messages, err := strconv.Atoi(lines[1])
	require.NoError(t, err)
	require.Contains(t, []string{"DeadlineExceeded", "Canceled"}, lines[2], "of the client, or of the server that was told of it")

	for _, kind := range []ptrace.SpanKind{ptrace.SpanKindClient, ptrace.SpanKindServer} {
		require.Eventually(t, func() bool {
			own := l.own(watch, port, kind)
			if own == nil {
				return false
			}
			_, _, ok := l.payload(own.SpanID())
			return ok
		}, testkit.Patience, 20*time.Millisecond)
		own := l.own(watch, port, kind)
		require.Equal(t, "grpc", text(own.Attributes(), semantic.RPCSystemName))
		require.Equal(t, "1", text(own.Attributes(), semantic.RPCRequestMessages))
		all, err := strconv.Atoi(text(own.Attributes(), semantic.RPCResponseMessages))
		require.NoError(t, err)
		require.GreaterOrEqual(t, all, messages)
		lr, _, _ := l.payload(own.SpanID())
		whole, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
		parts, got, sum := l.partsOf(watch, port, kind), "", 0
		require.GreaterOrEqual(t, len(parts), 3)
		for _, s := range parts {
			require.Equal(t, own.SpanID(), s.ParentSpanID())
			require.Equal(t, strings.TrimPrefix(watch, "/"), s.Name())
			lr, _, _ := l.payload(s.SpanID())
			b, _ := lr.Attributes().Get(semantic.PayloadResponseBody)
			require.Zero(t, b.Bytes().Len()%7, "whole messages, of a prefix and two bytes")
			got += string(b.Bytes().AsRaw())
			n, err := strconv.Atoi(text(s.Attributes(), semantic.RPCResponseMessages))
			require.NoError(t, err)
			require.Equal(t, b.Bytes().Len()/7, n)
			sum += n
		}
		require.Equal(t, string(whole.Bytes().AsRaw()), got)
		require.Equal(t, all, sum)

		said := map[string]string{}
		for _, s := range l.at(check, port, kind) {
			lr, _, ok := l.payload(s.SpanID())
			require.True(t, ok)
			m := lr.Attributes()
			said[text(s.Attributes(), semantic.RPCResponseStatusCode)] = text(m, semantic.PayloadResponseHeaders) + " " + text(m, semantic.PayloadResponseTrailers)
		}
		require.Contains(t, said["NOT_FOUND"], `["grpc-status","5"]`, "in the only section that there is")
		require.Contains(t, said["OK"], ` [["grpc-status","0"],["grpc-message",""]]`)
	}
	l.stop()
}
