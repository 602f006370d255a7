// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"slices"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// Kinds of rows that can be filtered.
const (
	OfRequests    = "requests"
	OfConnections = "connections"
	OfFindings    = "findings"
)

// origin are the fields that say whose a row is.
var origin = []filter.Field{
	{Name: "environment", Aliases: []string{"env", semantic.Environment}, Kind: filter.Text, Column: "environment", Facet: true, Description: "environment of the row"},
	{Name: "service", Aliases: []string{semantic.ServiceName}, Kind: filter.Text, Column: "service_name", Facet: true, Description: "service, by its environment variable, owner or executable"},
	{Name: "host", Aliases: []string{semantic.HostName}, Kind: filter.Text, Column: "host_name", Facet: true, Description: "name of the observed host"},
	{Name: "host_id", Aliases: []string{semantic.HostID}, Kind: filter.Text, Column: "host_id", Facet: true, Description: "id of the observed host"},
	{Name: "pid", Aliases: []string{semantic.ProcessPID}, Kind: filter.Number, Column: "pid", Description: "process id"},
	{Name: "exe", Aliases: []string{"executable", semantic.ProcessExecutablePath}, Kind: filter.Text, Column: "executable", Facet: true, Description: "path of the program"},
	{Name: "user", Aliases: []string{semantic.ProcessOwner}, Kind: filter.Text, Column: "user", Facet: true, Description: "user that the program runs as"},
	{Name: "container", Aliases: []string{semantic.ContainerID}, Kind: filter.Text, Column: "container_id", Facet: true, Description: "container id"},
	{Name: "pod", Aliases: []string{semantic.K8sPodName}, Kind: filter.Text, Column: "pod_name", Facet: true, Description: "name of the pod"},
	{Name: "pod_uid", Aliases: []string{semantic.K8sPodUID}, Kind: filter.Text, Column: "pod_uid", Description: "uid of the pod"},
	{Name: "namespace", Aliases: []string{semantic.K8sNamespaceName}, Kind: filter.Text, Column: "k8s_namespace", Facet: true, Description: "Kubernetes namespace"},
	{Name: "node", Aliases: []string{semantic.K8sNodeName}, Kind: filter.Text, Column: "k8s_node", Facet: true, Description: "Kubernetes node"},
	{Name: "k8s_container", Aliases: []string{semantic.K8sContainerName}, Kind: filter.Text, Column: "k8s_container", Facet: true, Description: "name of the container in its pod"},
	{Name: "deployment", Aliases: []string{semantic.K8sDeploymentName}, Kind: filter.Text, Column: "k8s_deployment", Facet: true, Description: "Kubernetes deployment"},
	{Name: "service_namespace", Aliases: []string{semantic.ServiceNamespace}, Kind: filter.Text, Column: "service_namespace", Facet: true, Description: "namespace of the service"},
}

// environmentAndProcess are those that all rows have that say whose they are.
var environmentAndProcess = filter.NewFields(origin)

// environmentOnly are the fields of rows that say no more of whose they are.
var environmentOnly = filter.NewFields(origin[:1])

func with(own ...filter.Field) []filter.Field {
	return append(append([]filter.Field(nil), origin...), own...)
}

var requestFields = filter.NewFields(with(
	filter.Field{Name: "kind", Kind: filter.Text, Column: "kind", Values: []string{"client", "server"}, Facet: true, Description: "end that was observed"},
	filter.Field{Name: "method", Aliases: []string{semantic.HTTPRequestMethod}, Kind: filter.Text, Column: "method", Facet: true, Description: "request method"},
	filter.Field{Name: "status", Aliases: []string{semantic.HTTPResponseStatusCode}, Kind: filter.Number, Column: "status", Facet: true, Description: "status of the response; 0 when none was seen"},
	filter.Field{Name: "error", Aliases: []string{semantic.ErrorType}, Kind: filter.Text, Column: "error_type", Facet: true, Description: "why the request counts as failed; error:* for every failure"},
	filter.Field{Name: "server", Aliases: []string{"domain", semantic.ServerAddress}, Kind: filter.Text, Column: "server_address", Facet: true, Description: "name or address of the server"},
	filter.Field{Name: "port", Aliases: []string{semantic.ServerPort}, Kind: filter.Number, Column: "server_port", Facet: true, Description: "port of the server"},
	filter.Field{Name: "scheme", Aliases: []string{semantic.URLScheme}, Kind: filter.Text, Column: "scheme", Facet: true, Description: "http or https"},
	filter.Field{Name: "path", Aliases: []string{semantic.URLPath}, Kind: filter.Part, Column: "path", Description: "path of the URL, cleaned"},
	filter.Field{Name: "template", Aliases: []string{"route", semantic.URLTemplate}, Kind: filter.Text, Column: "template", Facet: true, Description: "path with its identifiers replaced"},
	filter.Field{Name: "query", Aliases: []string{semantic.URLQuery}, Kind: filter.Part, Column: "query", Description: "keys of the query"},
	filter.Field{Name: "dur", Aliases: []string{"duration"}, Kind: filter.Duration, Column: "duration", Description: "first byte of the request to last byte of the response"},
	filter.Field{Name: "wait", Aliases: []string{semantic.TimingWait}, Kind: filter.Duration, Column: "timing_wait", Description: "last byte of the request to first byte of the response"},
	filter.Field{Name: "bytes", Kind: filter.Bytes, Column: "(request_body_size + response_body_size)", Description: "bytes of both bodies"},
	filter.Field{Name: "request_bytes", Aliases: []string{semantic.HTTPRequestBodySize}, Kind: filter.Bytes, Column: "request_body_size", Description: "bytes of the request's body"},
	filter.Field{Name: "response_bytes", Aliases: []string{"size", semantic.HTTPResponseBodySize}, Kind: filter.Bytes, Column: "response_body_size", Description: "bytes of the response's body"},
	filter.Field{Name: "version", Aliases: []string{semantic.NetworkProtocolVersion}, Kind: filter.Text, Column: "protocol_version", Facet: true, Description: "version of HTTP"},
	filter.Field{Name: "tls", Aliases: []string{semantic.TLSProtocolVersion}, Kind: filter.Text, Column: "tls_version", Facet: true, Description: "version of TLS; -tls:* for plaintext"},
	filter.Field{Name: "cipher", Aliases: []string{semantic.TLSCipher}, Kind: filter.Text, Column: "tls_cipher", Facet: true, Description: "cipher suite"},
	filter.Field{Name: "client", Aliases: []string{semantic.ClientAddress}, Kind: filter.IP, Column: "client_address", Description: "address of the client"},
	filter.Field{Name: "client_port", Aliases: []string{semantic.ClientPort}, Kind: filter.Number, Column: "client_port", Description: "port of the client"},
	filter.Field{Name: "peer", Aliases: []string{semantic.NetworkPeerAddress}, Kind: filter.IP, Column: "peer_address", Facet: true, Description: "address of the other end"},
	filter.Field{Name: "peer_port", Aliases: []string{semantic.NetworkPeerPort}, Kind: filter.Number, Column: "peer_port", Description: "port of the other end"},
	filter.Field{Name: "payload", Aliases: []string{semantic.PayloadState}, Kind: filter.Text, Column: "payload_state", Facet: true, Description: "what became of the payload when the request was written",
		Values: []string{semantic.PayloadPending, semantic.PayloadSent, semantic.PayloadTruncated, semantic.PayloadSampledOut, semantic.PayloadFiltered, semantic.PayloadNotVisible, semantic.PayloadLost}},
	filter.Field{Name: "reason", Aliases: []string{semantic.PayloadReason}, Kind: filter.Text, Column: "payload_reason", Facet: true, Description: "why the payload is not whole"},
	filter.Field{Name: "visible", Kind: filter.Bool, Column: "payload_visible", Description: "whether the content of the connection could be read"},
	filter.Field{Name: "connection", Aliases: []string{semantic.ConnectionID}, Kind: filter.ID8, Column: "connection_id", Description: "id of the connection"},
	filter.Field{Name: "trace", Aliases: []string{"trace_id"}, Kind: filter.Fixed16, Column: "trace_id", Description: "trace id"},
	filter.Field{Name: "span", Aliases: []string{"span_id"}, Kind: filter.Fixed8, Column: "span_id", Description: "span id"},
	filter.Field{Name: "part", Aliases: []string{semantic.ExchangePart}, Kind: filter.Number, Column: "part", Description: "number of the part of an exchange that goes on; without this key, parts are left out"},
	filter.Field{Name: "rpc", Aliases: []string{semantic.RPCMethod}, Kind: filter.Text, Column: "rpc_method", Facet: true, Description: "remote procedure, as in pkg.Service/Method"},
	filter.Field{Name: "rpc_status", Aliases: []string{semantic.RPCResponseStatusCode}, Kind: filter.Text, Column: "rpc_status", Facet: true, Description: "status of the remote procedure, such as OK"},
	filter.Field{Name: "parent", Aliases: []string{"parent_span_id"}, Kind: filter.Fixed8, Column: "parent_span_id", Description: "span id of the parent"},
), "server", "path")

// rollupFields, serviceFields and processFields are those of requests that the rollups have: by endpoint and program, by server and
// program, and by process and where it runs. A status is in whole hundreds only.
var (
	rollupFields = filter.NewFields(subset(requestFields, "environment", "service", "exe", "namespace", "kind", "method", "server", "port", "template", "tls",
		"status"))
	serviceFields = filter.NewFields(subset(requestFields, "environment", "service", "exe", "namespace", "kind", "server", "port", "tls", "status"))
	processFields = filter.NewFields(subset(requestFields, "environment", "service", "host", "host_id", "exe", "user", "container", "pod_uid", "namespace", "kind",
		"status"))
)

func subset(of *filter.Fields, names ...string) []filter.Field {
	var out []filter.Field
	for _, name := range names {
		f := *of.Get(name)
		if name == "status" {
			f.Column, f.Class, f.Facet = "status_class", 100, false
		}
		out = append(out, f)
	}
	return out
}

var connectionFields = filter.NewFields(with(
	filter.Field{Name: "role", Aliases: []string{semantic.ConnectionRole}, Kind: filter.Text, Column: "role", Values: []string{"client", "server", "unknown"}, Facet: true, Description: "end that was observed"},
	filter.Field{Name: "state", Aliases: []string{semantic.ConnectionState}, Kind: filter.Text, Column: "state", Values: []string{"open", "established", "closed"}, Facet: true, Description: "state when it was last reported"},
	filter.Field{Name: "close", Aliases: []string{semantic.ConnectionCloseReason}, Kind: filter.Text, Column: "close_reason", Facet: true, Description: "why it was closed"},
	filter.Field{Name: "server", Aliases: []string{"domain", semantic.ServerAddress}, Kind: filter.Text, Column: "server_address", Facet: true, Description: "name of the server that the connection told"},
	filter.Field{Name: "local", Aliases: []string{semantic.NetworkLocalAddress}, Kind: filter.IP, Column: "local_address", Facet: true, Description: "address of the observed end"},
	filter.Field{Name: "local_port", Aliases: []string{semantic.NetworkLocalPort}, Kind: filter.Number, Column: "local_port", Description: "port of the observed end"},
	filter.Field{Name: "peer", Aliases: []string{semantic.NetworkPeerAddress}, Kind: filter.IP, Column: "peer_address", Facet: true, Description: "address of the other end"},
	filter.Field{Name: "port", Aliases: []string{"peer_port", semantic.NetworkPeerPort}, Kind: filter.Number, Column: "peer_port", Facet: true, Description: "port of the other end"},
	filter.Field{Name: "protocol", Aliases: []string{semantic.NetworkProtocolName}, Kind: filter.Text, Column: "protocol", Facet: true, Description: "protocol spoken"},
	filter.Field{Name: "version", Aliases: []string{semantic.NetworkProtocolVersion}, Kind: filter.Text, Column: "protocol_version", Facet: true, Description: "version of the protocol"},
	filter.Field{Name: "tls", Aliases: []string{semantic.TLSProtocolVersion}, Kind: filter.Text, Column: "tls_version", Facet: true, Description: "version of TLS; -tls:* for none seen"},
	filter.Field{Name: "cipher", Aliases: []string{semantic.TLSCipher}, Kind: filter.Text, Column: "tls_cipher", Facet: true, Description: "cipher suite"},
	filter.Field{Name: "alpn", Aliases: []string{semantic.TLSNextProtocol}, Kind: filter.Text, Column: "tls_next_protocol", Facet: true, Description: "protocol negotiated in TLS"},
	filter.Field{Name: "subject", Kind: filter.Text, Column: "tls_server_subject", Facet: true, Description: "subject of the server's certificate"},
	filter.Field{Name: "issuer", Kind: filter.Text, Column: "tls_server_issuer", Facet: true, Description: "issuer of the server's certificate"},
	filter.Field{Name: "ja3", Kind: filter.Text, Column: "tls_client_ja3", Facet: true, Description: "JA3 fingerprint of the client"},
	filter.Field{Name: "ja4", Kind: filter.Text, Column: "tls_client_ja4", Facet: true, Description: "JA4 fingerprint of the client"},
	filter.Field{Name: "visibility", Aliases: []string{semantic.PayloadVisibility}, Kind: filter.Text, Column: "visibility", Values: []string{"visible", "not_visible"}, Facet: true, Description: "whether the content could be read"},
	filter.Field{Name: "reason", Aliases: []string{semantic.PayloadReason}, Kind: filter.Text, Column: "reason", Facet: true, Description: "why the content could not be read"},
	filter.Field{Name: "transport", Aliases: []string{semantic.NetworkTransport}, Kind: filter.Text, Column: "transport", Values: []string{"tcp", "udp"}, Facet: true, Description: "tcp or udp"},
	filter.Field{Name: "name_source", Aliases: []string{semantic.ServerNameSource}, Kind: filter.Text, Column: "name_source", Description: "where the server's name comes from when the connection does not tell it"},
	filter.Field{Name: "sent", Kind: filter.Bytes, Column: "sent_bytes", Description: "bytes sent"},
	filter.Field{Name: "received", Kind: filter.Bytes, Column: "received_bytes", Description: "bytes received"},
	filter.Field{Name: "bytes", Kind: filter.Bytes, Column: "(sent_bytes + received_bytes)", Description: "bytes in both directions"},
	filter.Field{Name: "retransmits", Kind: filter.Number, Column: "retransmits", Description: "packets sent again"},
	filter.Field{Name: "rtt", Kind: filter.Duration, Column: "rtt", Description: "smoothed round-trip time"},
	filter.Field{Name: "dur", Aliases: []string{"duration"}, Kind: filter.Duration, Column: "duration", Description: "how long it was open when last reported"},
	filter.Field{Name: "requests", Kind: filter.Number, Column: "requests", Description: "requests on it"},
	filter.Field{Name: "connection", Aliases: []string{semantic.ConnectionID}, Kind: filter.ID8, Column: "connection_id", Description: "id of the connection"},
), "server")

// connectionSumFields are those that the sums of connections have.
var connectionSumFields = filter.NewFields(func() (out []filter.Field) {
	for _, name := range []string{"environment", "role", "host_id", "host", "service", "exe", "namespace", "server", "transport", "protocol", "tls", "subject", "visibility"} {
		out = append(out, *connectionFields.Get(name))
	}
	return out
}(), "server")

var coverageFields = filter.NewFields(with(
	filter.Field{Name: "subject", Kind: filter.Text, Column: "subject", Values: []string{"feature", "library", "process", "drops"}, Facet: true, Description: "what the row is about"},
	filter.Field{Name: "name", Kind: filter.Text, Column: "name", Description: "of the feature, library, executable or stage"},
	filter.Field{Name: "state", Kind: filter.Text, Column: "state", Facet: true, Description: "whether it is seen"},
	filter.Field{Name: "reason", Kind: filter.Text, Column: "reason", Facet: true, Description: "why it is not"},
), "name")

var findingFields = filter.NewFields(with(
	filter.Field{Name: "kind", Aliases: []string{semantic.FindingKind}, Kind: filter.Text, Column: "kind", Facet: true, Description: "kind of sensitive data"},
	filter.Field{Name: "message", Aliases: []string{semantic.FindingMessage}, Kind: filter.Text, Column: "message", Values: []string{"request", "response"}, Facet: true, Description: "whether it was in requests or in responses"},
	filter.Field{Name: "location", Aliases: []string{semantic.FindingLocation}, Kind: filter.Text, Column: "location", Facet: true, Description: "part of the message: header, query, json, …"},
	filter.Field{Name: "place", Aliases: []string{semantic.FindingPlace}, Kind: filter.Text, Column: "place", Facet: true, Description: "name of the header, key or field"},
	filter.Field{Name: "server", Aliases: []string{"domain", semantic.ServerAddress}, Kind: filter.Text, Column: "server_address", Facet: true, Description: "name or address of the server"},
	filter.Field{Name: "port", Aliases: []string{semantic.ServerPort}, Kind: filter.Number, Column: "server_port", Facet: true, Description: "port of the server"},
	filter.Field{Name: "role", Aliases: []string{semantic.ConnectionRole}, Kind: filter.Text, Column: "role", Values: []string{"client", "server", "unknown"}, Facet: true, Description: "end that was observed"},
), "server", "place")

// alike are the keys that mean in other rows what they mean in requests, beside those of origin, which do so everywhere. What is false
// does not when a row lacks it: a connection need not tell the server's name that its requests have.
var alike = map[*filter.Fields]map[string]bool{
	connectionFields:    {"peer": true, "peer_port": true, "connection": true, "server": false, "tls": false, "cipher": false},
	connectionSumFields: {"server": false, "tls": false},
	findingFields:       {"server": true, "port": true},
}

// boundable reports whether a bound, which is written for requests, can bound rows that have these fields: a key of the same name may
// mean something else there, and words without a key are searched for elsewhere.
func boundable(fields *filter.Fields, bound *filter.Expr) bool {
	switch fields {
	case requestFields, rollupFields, serviceFields, processFields:
		return true
	}
	lacking := bound.Lacking()
	for _, name := range bound.Fields() {
		if environmentAndProcess.Get(name) != nil {
			continue
		}
		whole, ok := alike[fields][name]
		if !ok || !whole && slices.Contains(lacking, name) {
			return false
		}
	}
	return true
}

// FieldsOf returns the keys by which rows of a kind can be filtered; nil when there is no such kind.
func FieldsOf(of string) *filter.Fields {
	switch of {
	case OfRequests:
		return requestFields
	case OfConnections:
		return connectionFields
	case OfFindings:
		return findingFields
	}
	return nil
}
