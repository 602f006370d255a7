// SPDX-License-Identifier: Apache-2.0

package semantic

// Class says what `anonymize` does with the value of a key. The zero value removes it,
// so a key that nobody classified never leaves the host.
type Class uint8

const (
	// Removed values are deleted: unknown keys, and everything that may hold payload.
	Removed Class = iota
	// Number values are integers, doubles or booleans; any other type is removed.
	Number
	// ID values are opaque identifiers made of [A-Za-z0-9._:/@-] (host id, container id, pod uid, object key).
	ID
	// Token values are short lower-case enumerations or versions such as "http", "1.1", "TLS_AES_128_GCM_SHA256".
	Token
	// Name values are names given by the operator: service, process, file path, user, pod.
	Name
	// Host values are DNS names or IP addresses.
	Host
	// Path values are URL paths; segments that carry identifiers are replaced.
	Path
	// Procedure values are fully qualified names of remote procedures ("pkg.Service/Method"); parts that carry
	// identifiers are replaced, as in a path.
	Procedure
	// Query values are URL queries; keys stay, values go.
	Query
	// URL values are absolute URLs; userinfo goes, path and query are cleaned.
	URL
	// DistinguishedName values are names of certificates (RFC 4514); what may name a person or an object is removed.
	DistinguishedName
	// Time values are times of the form 2006-01-02T15:04:05.000Z.
	Time
	// Place values are names of keys and fields, joined by dots; those that carry identifiers are replaced (detect.Place).
	Place
	// Method values are HTTP methods; unknown ones become _OTHER.
	Method
)

// classes is the allow-list. What is not here is Removed.
var classes = map[string]Class{
	ServiceName: Name, ServiceNamespace: Name, HostID: ID, HostName: Host, OSType: Token,
	ProcessPID: Number, ProcessExecutableName: Name, ProcessExecutablePath: Name, ProcessOwner: Name,
	ContainerID: ID, K8sPodUID: ID, K8sPodName: Name, K8sNamespaceName: Name, K8sNodeName: Name,
	K8sContainerName: Name, K8sDeploymentName: Name, DeploymentEnvironment: Name,

	HTTPRequestMethod: Method, HTTPResponseStatusCode: Number, HTTPRequestBodySize: Number, HTTPResponseBodySize: Number,
	URLFull: URL, URLScheme: Token, URLPath: Path, URLQuery: Query, URLTemplate: Path,
	ServerAddress: Host, ServerPort: Number, ClientAddress: Host, ClientPort: Number, ErrorType: Token,
	RPCSystemName: Token, RPCMethod: Procedure, RPCResponseStatusCode: Token, RPCRequestMessages: Number, RPCResponseMessages: Number,

	NetworkTransport: Token, NetworkType: Token, NetworkLocalAddress: Host, NetworkLocalPort: Number,
	NetworkPeerAddress: Host, NetworkPeerPort: Number, NetworkProtocolName: Token, NetworkProtocolVersion: Token,
	TLSEstablished: Number, TLSProtocolVersion: Token, TLSCipher: Token, TLSNextProtocol: Token, TLSResumed: Number,
	TLSClientJA3: ID, TLSClientJA4: ID, TLSServerSubject: DistinguishedName, TLSServerIssuer: DistinguishedName,
	TLSServerNotBefore: Time, TLSServerNotAfter: Time,

	ConnectionID: ID, ConnectionSequence: Number, ConnectionState: Token, ConnectionRole: Token,
	ConnectionStart: Number, ConnectionDuration: Number, ConnectionCloseReason: Token,
	ConnectionSentBytes: Number, ConnectionReceivedBytes: Number, ConnectionSentPackets: Number, ConnectionRecvPackets: Number,
	ConnectionRetransmits: Number, ConnectionRTT: Number, ConnectionRequests: Number, ConnectionMissingBytes: Number,

	DNSQuestionName: Host, DNSQuestionType: Token, DNSResponseCode: Token, DNSAnswers: Number, DNSDuration: Number,
	ServerNameSource: Token,

	WebSocketClientMessages: Number, WebSocketServerMessages: Number, WebSocketClientBytes: Number, WebSocketServerBytes: Number,
	WebSocketCloseCode: Number,

	ExchangeSequence: Number, ExchangePart: Number, TimingSend: Number, TimingWait: Number, TimingReceive: Number,
	Instrumented: Token, PayloadObjects: ID, PayloadState: Token, PayloadReason: Token, PayloadVisibility: Token,

	SegmentKey: ID, SegmentEntries: Number, SegmentBytes: Number, SegmentOpened: Number, SegmentClosed: Number,
	SegmentState: Token, SegmentReason: Token,
	ObjectSize: Number, ObjectSHA256: ID, ObjectExpires: Number, ObjectEnvironment: Token, ObjectEntryOffset: Number, ObjectEntryLength: Number,

	FindingKind: Token, FindingMessage: Token, FindingLocation: Token, FindingPlace: Place, FindingCount: Number, FindingReason: Token,

	CoverageSubject: Token, CoverageName: Name, CoverageState: Token, CoverageReason: Token, CoverageAdvice: Name, CoverageCount: Number,
}

// ClassOf returns the privacy class of key; Removed for a key that is not on the allow-list.
func ClassOf(key string) Class { return classes[key] }

// Keys returns every key on the allow-list, in no particular order.
func Keys() []string {
	keys := make([]string, 0, len(classes))
	for k := range classes {
		keys = append(keys, k)
	}
	return keys
}
