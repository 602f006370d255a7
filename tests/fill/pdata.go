// SPDX-License-Identifier: Apache-2.0

package fill

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// Traces returns the rows as the spans that `qtap` emits and `anonymize` leaves, one resource per process, stamped with policy.
func Traces(rows []pulsestore.Request, policy string) ptrace.Traces {
	td := ptrace.NewTraces()
	spans := map[pulsestore.Origin]ptrace.SpanSlice{}
	for i := range rows {
		r := &rows[i]
		to, ok := spans[r.Origin]
		if !ok {
			rs := td.ResourceSpans().AppendEmpty()
			putOrigin(rs.Resource().Attributes(), &r.Origin, policy)
			ss := rs.ScopeSpans().AppendEmpty()
			ss.Scope().SetName("github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver")
			ss.Scope().SetVersion("0.1.0")
			to = ss.Spans()
			spans[r.Origin] = to
		}
		putSpan(to.AppendEmpty(), r)
	}
	return td
}

func putOrigin(m pcommon.Map, o *pulsestore.Origin, policy string) {
	for _, a := range [][2]string{
		{semantic.ServiceName, o.ServiceName}, {semantic.ServiceNamespace, o.ServiceNamespace}, {semantic.HostID, o.HostID}, {semantic.HostName, o.HostName},
		{semantic.ProcessExecutablePath, o.Executable}, {semantic.ProcessOwner, o.User}, {semantic.ContainerID, o.ContainerID}, {semantic.K8sPodUID, o.PodUID},
		{semantic.K8sPodName, o.PodName}, {semantic.K8sNamespaceName, o.K8sNamespace}, {semantic.K8sNodeName, o.K8sNode}, {semantic.K8sContainerName, o.K8sContainer},
		{semantic.K8sDeploymentName, o.K8sDeployment}, {semantic.Environment, o.Environment}, {semantic.Anonymized, policy},
	} {
		putStr(m, a[0], a[1])
	}
	m.PutInt(semantic.ProcessPID, int64(o.PID))
}

func putSpan(s ptrace.Span, r *pulsestore.Request) {
	s.SetTraceID(r.TraceID)
	s.SetSpanID(r.SpanID)
	s.SetParentSpanID(r.ParentSpanID)
	s.SetName(r.Method + " " + r.Template)
	s.SetKind(ptrace.SpanKindServer)
	local, localPort := "10.42.0.1", r.ServerPort
	m := s.Attributes()
	if r.Kind == "client" {
		s.SetKind(ptrace.SpanKindClient)
		full := r.Scheme + "://" + r.ServerAddress + r.Path
		if r.Query != "" {
			full += "?" + r.Query
		}
		m.PutStr(semantic.URLFull, full)
		local, localPort = text(r.ClientAddress), r.ClientPort
	} else {
		putStr(m, semantic.ClientAddress, text(r.ClientAddress))
		m.PutInt(semantic.ClientPort, int64(r.ClientPort))
	}
	s.SetStartTimestamp(pcommon.NewTimestampFromTime(r.Time))
	s.SetEndTimestamp(pcommon.NewTimestampFromTime(r.Time.Add(r.Duration)))
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], r.ConnectionID)
	for _, a := range [][2]string{
		{semantic.ConnectionID, hex.EncodeToString(id[:])}, {semantic.HTTPRequestMethod, r.Method}, {semantic.URLScheme, r.Scheme}, {semantic.URLPath, r.Path},
		{semantic.URLQuery, r.Query}, {semantic.URLTemplate, r.Template}, {semantic.ServerAddress, r.ServerAddress}, {semantic.ErrorType, r.ErrorType},
		{semantic.NetworkTransport, "tcp"}, {semantic.NetworkType, "ipv4"}, {semantic.NetworkProtocolName, "http"}, {semantic.NetworkProtocolVersion, r.ProtocolVersion},
		{semantic.NetworkLocalAddress, local}, {semantic.NetworkPeerAddress, text(r.PeerAddress)}, {semantic.TLSProtocolVersion, r.TLSVersion},
		{semantic.TLSCipher, r.TLSCipher}, {semantic.PayloadState, r.PayloadState}, {semantic.PayloadReason, r.PayloadReason}, {semantic.PayloadVisibility, "visible"},
	} {
		putStr(m, a[0], a[1])
	}
	for _, a := range []struct {
		key   string
		value int64
	}{
		{semantic.ServerPort, int64(r.ServerPort)}, {semantic.NetworkLocalPort, int64(localPort)}, {semantic.NetworkPeerPort, int64(r.PeerPort)},
		{semantic.HTTPResponseStatusCode, int64(r.Status)}, {semantic.HTTPRequestBodySize, int64(r.RequestBodySize)}, {semantic.HTTPResponseBodySize, int64(r.ResponseBodySize)},
		{semantic.ExchangeSequence, int64(r.ExchangeSequence)}, {semantic.TimingSend, int64(r.TimingSend)}, {semantic.TimingWait, int64(r.TimingWait)},
		{semantic.TimingReceive, int64(r.TimingReceive)},
	} {
		m.PutInt(a.key, a.value)
	}
	m.PutBool(semantic.TLSEstablished, r.TLSVersion != "")
	if r.PayloadObject != "" {
		m.PutEmptySlice(semantic.PayloadObjects).AppendEmpty().SetStr(r.PayloadObject)
	}
	if r.ErrorType != "" {
		s.Status().SetCode(ptrace.StatusCodeError)
	}
}

func text(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func putStr(m pcommon.Map, key, value string) {
	if value != "" {
		m.PutStr(key, value)
	}
}
