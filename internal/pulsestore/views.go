// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// attribute is how the otel views call a column. An absent value is no attribute: "", 0, or the address ::.
type attribute struct{ name, column string }

var resourceAttributes = []attribute{
	{semantic.ServiceName, "service_name"}, {semantic.ServiceNamespace, "service_namespace"}, {semantic.Environment, "environment"},
	{semantic.DeploymentEnvironment, "environment"},
	{semantic.HostID, "host_id"}, {semantic.HostName, "host_name"}, {semantic.ProcessPID, "pid"},
	{semantic.ProcessExecutablePath, "executable"}, {semantic.ProcessOwner, "user"}, {semantic.ContainerID, "container_id"},
	{semantic.K8sPodUID, "pod_uid"}, {semantic.K8sPodName, "pod_name"}, {semantic.K8sNamespaceName, "k8s_namespace"},
	{semantic.K8sNodeName, "k8s_node"}, {semantic.K8sContainerName, "k8s_container"}, {semantic.K8sDeploymentName, "k8s_deployment"},
}

var spanAttributes = []attribute{
	{semantic.HTTPRequestMethod, "method"}, {semantic.HTTPResponseStatusCode, "status"}, {semantic.URLScheme, "scheme"},
	{semantic.URLPath, "path"}, {semantic.URLQuery, "query"}, {semantic.URLTemplate, "template"},
	{semantic.ServerAddress, "server_address"}, {semantic.ServerPort, "server_port"}, {semantic.ClientAddress, "client_address"},
	{semantic.ClientPort, "client_port"}, {semantic.NetworkPeerAddress, "peer_address"}, {semantic.NetworkPeerPort, "peer_port"},
	{semantic.NetworkProtocolVersion, "protocol_version"}, {semantic.TLSProtocolVersion, "tls_version"}, {semantic.TLSCipher, "tls_cipher"},
	{semantic.ErrorType, "error_type"}, {semantic.HTTPRequestBodySize, "request_body_size"}, {semantic.HTTPResponseBodySize, "response_body_size"},
	{semantic.RPCSystemName, "rpc_system"}, {semantic.RPCMethod, "rpc_method"}, {semantic.RPCResponseStatusCode, "rpc_status"},
	{semantic.ConnectionID, "connection_id"}, {semantic.ExchangePart, "part"},
	{semantic.PayloadState, "payload_state"}, {semantic.PayloadReason, "payload_reason"},
}

var connectionAttributes = []attribute{
	{semantic.ConnectionID, "connection_id"}, {semantic.ConnectionState, "state"}, {semantic.ConnectionRole, "role"},
	{semantic.ConnectionCloseReason, "close_reason"}, {semantic.ConnectionDuration, "duration"}, {semantic.ConnectionSentBytes, "sent_bytes"},
	{semantic.ConnectionReceivedBytes, "received_bytes"}, {semantic.ConnectionRetransmits, "retransmits"}, {semantic.ConnectionRTT, "rtt"},
	{semantic.ConnectionRequests, "requests"}, {semantic.NetworkTransport, "transport"},
	{semantic.NetworkLocalAddress, "local_address"}, {semantic.NetworkLocalPort, "local_port"},
	{semantic.NetworkPeerAddress, "peer_address"}, {semantic.NetworkPeerPort, "peer_port"}, {semantic.ServerAddress, "server_address"},
	{semantic.NetworkProtocolName, "protocol"}, {semantic.NetworkProtocolVersion, "protocol_version"}, {semantic.TLSProtocolVersion, "tls_version"},
	{semantic.TLSCipher, "tls_cipher"}, {semantic.TLSNextProtocol, "tls_next_protocol"}, {semantic.PayloadVisibility, "visibility"},
	{semantic.PayloadReason, "reason"},
}

var dnsAttributes = []attribute{
	{semantic.DNSQuestionName, "name"}, {semantic.DNSQuestionType, "type"}, {semantic.DNSResponseCode, "response_code"},
	{semantic.ErrorType, "error_type"}, {semantic.DNSAnswers, "answers"}, {semantic.DNSDuration, "duration"},
	{semantic.ConnectionRole, "role"}, {semantic.NetworkTransport, "transport"},
	{semantic.NetworkLocalAddress, "local_address"}, {semantic.NetworkLocalPort, "local_port"},
	{semantic.NetworkPeerAddress, "peer_address"}, {semantic.NetworkPeerPort, "peer_port"},
}

// attributeMap returns the expression of a map that has the attributes that are there.
func attributeMap(attributes []attribute) string {
	var pairs []string
	for _, a := range attributes {
		value := "toString(" + a.column + ")"
		if a.name == semantic.ConnectionID {
			value = "lower(leftPad(hex(" + a.column + "), 16, '0'))"
		}
		pairs = append(pairs, "'"+a.name+"', "+value)
	}
	return "mapFilter((k, v) -> v NOT IN ('', '0', '::'), map(" + strings.Join(pairs, ", ") + "))::Map(LowCardinality(String), String)"
}

// ResourceAttributes, SpanAttributes, ConnectionAttributes and DNSAttributes are maps of the otel views.
func (schema) ResourceAttributes() string   { return attributeMap(resourceAttributes) }
func (schema) SpanAttributes() string       { return attributeMap(spanAttributes) }
func (schema) ConnectionAttributes() string { return attributeMap(connectionAttributes) }
func (schema) DNSAttributes() string        { return attributeMap(dnsAttributes) }

// EventConnection and EventDNS are event names in the otel views.
func (schema) EventConnection() string { return semantic.EventConnection }
func (schema) EventDNS() string        { return semantic.EventDNS }
