// SPDX-License-Identifier: Apache-2.0

// Package semantic names every attribute, event and resource key that the
// distribution emits or stores, once, together with its privacy class.
//
// Names without the qpoint prefix are OpenTelemetry semantic conventions
// (https://opentelemetry.io/schemas/1.43.0); the others are ours.
package semantic

// SchemaURL is the semantic-convention schema that the standard names follow.
const SchemaURL = "https://opentelemetry.io/schemas/1.43.0"

// Event names (LogRecord.EventName).
const (
	// EventConnection describes one TCP connection at open, every interval while open, and at close.
	EventConnection = "qpoint.connection"
	// EventSegment says that a payload segment was handed over (or lost). It carries no payload.
	EventSegment = "qpoint.segment"
	// EventObject says that an object was stored in the bucket, or is gone from it. It carries no payload.
	EventObject = "qpoint.object"
	// EventObjectEntry says where in an object the payload of one exchange lies. Trace and span id are the record's own.
	EventObjectEntry = "qpoint.object.entry"
	// EventCoverage is one row of the report of what is seen and what is not. It carries no payload.
	EventCoverage = "qpoint.coverage"
	// EventDNS describes one DNS query and its response, as one end saw them.
	EventDNS = "qpoint.dns"
	// EventFinding says that one kind of sensitive data was seen at one place of the payloads, how often, and never what it was.
	EventFinding = "qpoint.finding"
	// EventPayload is one exchange with its payload. Only `qtap_payload` emits it.
	EventPayload = "qpoint.payload"
)

// Resource attributes: one resource per observed process.
const (
	ServiceName           = "service.name"
	ServiceNamespace      = "service.namespace"
	HostID                = "host.id"
	HostName              = "host.name"
	OSType                = "os.type"
	ProcessPID            = "process.pid"
	ProcessExecutableName = "process.executable.name"
	ProcessExecutablePath = "process.executable.path"
	ProcessOwner          = "process.owner"
	ContainerID           = "container.id"
	K8sPodUID             = "k8s.pod.uid"
	K8sPodName            = "k8s.pod.name"
	K8sNamespaceName      = "k8s.namespace.name"
	K8sNodeName           = "k8s.node.name"
	K8sContainerName      = "k8s.container.name"
	K8sDeploymentName     = "k8s.deployment.name"
	DeploymentEnvironment = "deployment.environment.name"

	// Anonymized is the policy hash stamped by `anonymize`; `pulse` refuses data without a hash known to its process.
	Anonymized = "qpoint.anonymized"
	// Environment is the environment stamped by `anonymize` from its own config, never taken from the data.
	Environment = "qpoint.environment"
)

// HTTP and URL attributes of request spans.
const (
	HTTPRequestMethod      = "http.request.method"
	HTTPResponseStatusCode = "http.response.status_code"
	HTTPRequestBodySize    = "http.request.body.size"  // bytes on the wire after transfer-decoding
	HTTPResponseBodySize   = "http.response.body.size" // bytes on the wire after transfer-decoding
	URLFull                = "url.full"
	URLScheme              = "url.scheme"
	URLPath                = "url.path"
	URLQuery               = "url.query"
	URLTemplate            = "url.template"
	ServerAddress          = "server.address"
	ServerPort             = "server.port"
	ClientAddress          = "client.address"
	ClientPort             = "client.port"
	ErrorType              = "error.type"
)

// RPC attributes of spans (gRPC).
const (
	RPCSystemName         = "rpc.system.name"
	RPCMethod             = "rpc.method"                   // fully qualified, without the leading slash: "pkg.Service/Method"
	RPCResponseStatusCode = "rpc.response.status_code"     // name of the code, "OK"; its number when the code has no name
	RPCRequestMessages    = "qpoint.rpc.request.messages"  // whole messages; absent when their number is not known
	RPCResponseMessages   = "qpoint.rpc.response.messages" // the same of the response
)

// Network and TLS attributes of spans and connection logs.
const (
	NetworkTransport       = "network.transport"
	NetworkType            = "network.type"
	NetworkLocalAddress    = "network.local.address"
	NetworkLocalPort       = "network.local.port"
	NetworkPeerAddress     = "network.peer.address"
	NetworkPeerPort        = "network.peer.port"
	NetworkProtocolName    = "network.protocol.name"
	NetworkProtocolVersion = "network.protocol.version"
	TLSEstablished         = "tls.established"
	TLSProtocolVersion     = "tls.protocol.version"
	TLSCipher              = "tls.cipher"
	TLSNextProtocol        = "tls.next_protocol"
	TLSResumed             = "tls.resumed"
)

// What a TLS handshake says of its two ends, on connection logs; TLSClientJA4 on spans, too. A client's certificate
// is never told: its subject may be a person.
const (
	TLSClientJA3 = "tls.client.ja3"
	// TLSClientJA4 is the JA4 fingerprint, for which the conventions have no name yet.
	TLSClientJA4       = "qpoint.tls.ja4"
	TLSServerSubject   = "tls.server.subject"    // of CN, O, OU, C, ST and L, as RFC 4514 writes them
	TLSServerIssuer    = "tls.server.issuer"     // likewise
	TLSServerNotBefore = "tls.server.not_before" // "2026-01-31T23:59:59.000Z"
	TLSServerNotAfter  = "tls.server.not_after"  // likewise
)

// Connection attributes. Counters are cumulative since the connection opened, from the kernel's own books; of QUIC they are the
// payload bytes and datagrams of UDP that went over the socket.
const (
	ConnectionID            = "qpoint.connection.id"             // 16 hex digits, unique per host and observed end
	ConnectionSequence      = "qpoint.connection.sequence"       // 0 at open, +1 per record
	ConnectionState         = "qpoint.connection.state"          // open | established | closed
	ConnectionRole          = "qpoint.connection.role"           // client | server | unknown
	ConnectionStart         = "qpoint.connection.start"          // Unix nanoseconds
	ConnectionDuration      = "qpoint.connection.duration"       // nanoseconds
	ConnectionCloseReason   = "qpoint.connection.close_reason"   // fin | reset | timeout | refused | unknown
	ConnectionSentBytes     = "qpoint.connection.sent.bytes"     // payload bytes acknowledged by the peer
	ConnectionReceivedBytes = "qpoint.connection.received.bytes" // payload bytes received in order
	ConnectionSentPackets   = "qpoint.connection.sent.packets"
	ConnectionRecvPackets   = "qpoint.connection.received.packets"
	ConnectionRetransmits   = "qpoint.connection.retransmits"
	ConnectionRTT           = "qpoint.connection.rtt" // smoothed round-trip time, nanoseconds
	ConnectionRequests      = "qpoint.connection.requests"
	// ConnectionMissingBytes are payload bytes of both directions that the connection carried and the
	// capture did not see, or could not tell from a forgery; absent when there are none.
	ConnectionMissingBytes = "qpoint.connection.missing.bytes"
)

// Exchange attributes of spans.
const (
	ExchangeSequence = "qpoint.exchange.sequence" // position of the exchange on its connection, from 0
	// ExchangePart counts the parts of an exchange that goes on, from 1: a span that has it is a part,
	// and a child of the exchange's own span.
	ExchangePart  = "qpoint.exchange.part"
	TimingSend    = "qpoint.timing.send"    // nanoseconds, first to last byte of the request
	TimingWait    = "qpoint.timing.wait"    // nanoseconds, last byte of the request to first byte of the response
	TimingReceive = "qpoint.timing.receive" // nanoseconds, first to last byte of the response

	// Instrumented says that the process of a span traces itself: "otlp", it sends spans of its own; "trace_context", this
	// request of it carried a trace context.
	Instrumented = "qpoint.instrumented"

	PayloadObjects    = "qpoint.payload.objects"    // []string of object keys, without the exporter's prefix
	PayloadState      = "qpoint.payload.state"      // see the Payload* states
	PayloadReason     = "qpoint.payload.reason"     // why, when the state needs one
	PayloadVisibility = "qpoint.payload.visibility" // visible | not_visible
)

// DNS attributes, of EventDNS.
const (
	DNSQuestionName = "dns.question.name"        // lower-case, without the root's dot
	DNSQuestionType = "qpoint.dns.question.type" // A | AAAA | …
	DNSResponseCode = "qpoint.dns.response_code" // NOERROR | NXDOMAIN | …; absent when no response was seen
	DNSAnswers      = "qpoint.dns.answers"       // records in the answer section
	DNSDuration     = "qpoint.dns.duration"      // nanoseconds from query to response
)

// ServerNameSource says where ServerAddress of a connection comes from, when the connection itself does
// not name its server: "dns" is a name that the same process asked for and was given this address.
const ServerNameSource = "qpoint.server.name_source"

// WebSocket attributes of parts. Counts are the part's own.
const (
	WebSocketClientMessages = "qpoint.websocket.client.messages" // sent by the client, control frames included
	WebSocketServerMessages = "qpoint.websocket.server.messages"
	WebSocketClientBytes    = "qpoint.websocket.client.bytes" // payload on the wire, compressed where it was
	WebSocketServerBytes    = "qpoint.websocket.server.bytes"
	WebSocketCloseCode      = "qpoint.websocket.close_code" // RFC 6455 §7.4, of the first close frame
)

// Values of PayloadState.
const (
	PayloadPending    = "pending"     // in a segment that is open or on its way
	PayloadSent       = "sent"        // its segment was handed over
	PayloadTruncated  = "truncated"   // kept, cut at the body cap
	PayloadSampledOut = "sampled_out" // not kept by sampling
	PayloadFiltered   = "filtered"    // not kept by configuration
	PayloadNotVisible = "not_visible" // could not be read, see the reason
	PayloadLost       = "lost"        // was read but could not be kept, see the reason
)

// Segment attributes, on `qpoint.segment` logs and (Key, Index, Count) on the scope of payload logs.
const (
	SegmentKey     = "qpoint.segment.key"
	SegmentIndex   = "qpoint.segment.index"   // index within the segment of the first record below this scope
	SegmentCount   = "qpoint.segment.count"   // records in the whole segment
	SegmentEntries = "qpoint.segment.entries" // exchanges
	SegmentBytes   = "qpoint.segment.bytes"   // uncompressed payload bytes
	SegmentOpened  = "qpoint.segment.opened"  // Unix nanoseconds
	SegmentClosed  = "qpoint.segment.closed"  // Unix nanoseconds
	SegmentState   = "qpoint.segment.state"   // sent | lost; of EventObject: stored | erased
	SegmentReason  = "qpoint.segment.reason"
)

// Object attributes, on EventObject (with SegmentKey, SegmentOpened and the other Segment attributes that are known) and
// EventObjectEntry (with SegmentKey and ConnectionID).
const (
	ObjectSize        = "qpoint.object.size"         // bytes as stored
	ObjectSHA256      = "qpoint.object.sha256"       // 64 hex digits, of the object as stored
	ObjectExpires     = "qpoint.object.expires"      // Unix nanoseconds; absent when unknown or never
	ObjectEnvironment = "qpoint.object.environment"  // of the operator's configuration: the first folder of the object
	ObjectEntryOffset = "qpoint.object.entry.offset" // bytes before the entry's local header
	ObjectEntryLength = "qpoint.object.entry.length" // bytes of the entry, local header included
)

// Coverage attributes, on `qpoint.coverage` logs. Rows of one host with the same subject, name, process, state and reason
// replace each other.
const (
	CoverageSubject = "qpoint.coverage.subject" // feature | library | process | drops | governor
	CoverageName    = "qpoint.coverage.name"    // of the feature, library or stage; the executable's for a process; level
	CoverageState   = "qpoint.coverage.state"   // supported | missing | unknown; attached; seen | not_seen; dropped; full | headers | connections
	CoverageReason  = "qpoint.coverage.reason"  // why something is missing, not seen or dropped; the limit that is exceeded: cpu | memory
	CoverageAdvice  = "qpoint.coverage.advice"  // what to do about it, of a fixed set of texts
	CoverageCount   = "qpoint.coverage.count"   // connections of a process, what was dropped, or steps down, since the receiver's start
)

// Finding attributes, on `qpoint.finding` logs, with ServerAddress, ServerPort and ConnectionRole. Trace and span id are those of
// one exchange that has it. A record has FindingKind, or FindingReason.
const (
	FindingKind     = "qpoint.finding.kind"     // of internal/detect: card | email | jwt | …
	FindingMessage  = "qpoint.finding.message"  // request | response
	FindingLocation = "qpoint.finding.location" // path | query | header | cookie | trailer | json | form | multipart | text | binary
	FindingPlace    = "qpoint.finding.place"    // name of the header, key or field; "user.cards[].number" in JSON; "" in text
	FindingCount    = "qpoint.finding.count"    // values; with FindingReason messages
	FindingReason   = "qpoint.finding.reason"   // why messages, or the rest of them, were not looked at: cpu_budget | size | coding | places | syntax
)

// Attributes of payload logs. They are sensitive by definition and exist on the payload path only.
const (
	PayloadRequestMethod        = "qpoint.http.request.method"
	PayloadRequestTarget        = "qpoint.http.request.target" // request-target as on the wire (RFC 9112 §3.2)
	PayloadRequestVersion       = "qpoint.http.request.version"
	PayloadRequestHeaders       = "qpoint.http.request.headers"  // [[name, value], …] in wire order; a value that is not UTF-8 is bytes
	PayloadRequestTrailers      = "qpoint.http.request.trailers" // as PayloadRequestHeaders, what came after the content (RFC 9110 §6.5); absent when nothing did
	PayloadRequestBody          = "qpoint.http.request.body.raw" // bytes after transfer-decoding, content-coding kept
	PayloadRequestBodySize      = "qpoint.http.request.body.size"
	PayloadRequestBodyTruncated = "qpoint.http.request.body.truncated"
	// PayloadRequestBodyDecoded is PayloadResponseBodyDecoded of a request: true where it was redacted.
	PayloadRequestBodyDecoded    = "qpoint.http.request.body.decoded"
	PayloadResponseVersion       = "qpoint.http.response.version"
	PayloadResponseStatus        = "qpoint.http.response.status"
	PayloadResponseReason        = "qpoint.http.response.reason"
	PayloadResponseHeaders       = "qpoint.http.response.headers"
	PayloadResponseTrailers      = "qpoint.http.response.trailers"
	PayloadResponseBody          = "qpoint.http.response.body.raw"
	PayloadResponseBodySize      = "qpoint.http.response.body.size"
	PayloadResponseBodyTruncated = "qpoint.http.response.body.truncated"
	// PayloadResponseBodyDecoded is true where the body is not as on the wire but after its content codings were undone:
	// in parts of an exchange, which could not be decoded by themselves. Its size is that of the decoded bytes.
	PayloadResponseBodyDecoded = "qpoint.http.response.body.decoded"
	// PayloadResponseBodyArrivals is [[offset in the body, Unix nanoseconds], …]: when the bytes from there on came.
	PayloadResponseBodyArrivals = "qpoint.http.response.body.arrivals"
	// PayloadRedactionPolicy is the hash of the policy by which payloads were redacted; absent when there is none.
	PayloadRedactionPolicy = "qpoint.payload.redaction.policy"
	// PayloadRedactions is [[place in the HAR entry, reason, count], …]: what was taken out, as `request.headers[3]`, `header`, 1.
	PayloadRedactions = "qpoint.payload.redactions"
	// PayloadSealed is the file of the exchange, encrypted, in place of all other attributes but ConnectionID.
	PayloadSealed = "qpoint.payload.sealed"
	// PayloadWebSocketMessages is a list of maps, see the Message* keys.
	PayloadWebSocketMessages = "qpoint.websocket.messages"
)

// Keys of the maps in PayloadWebSocketMessages.
const (
	MessageTime       = "time" // Unix nanoseconds of the last byte
	MessageClient     = "client"
	MessageOpcode     = "opcode"     // RFC 6455 §11.8
	MessageSize       = "size"       // bytes on the wire
	MessageData       = "data"       // string or bytes, unmasked and inflated
	MessageTruncated  = "truncated"  // data is not all of it
	MessageCompressed = "compressed" // data is still compressed (RFC 7692): its context was not known
	MessageIncomplete = "incomplete" // why it ended early
)
