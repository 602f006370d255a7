// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"net/netip"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// maxFuture is how far the clock of an agent may be ahead.
const maxFuture = 24 * time.Hour

// maxAgeWithoutTTL bounds the age of what is accepted when rows are kept for ever: every day is
// a partition, and old times must not make thousands of them.
const maxAgeWithoutTTL = 400 * 24 * time.Hour

// converter turns anonymized records into rows. It makes one pass over the attributes of each
// record and copies no string: rows point into the pdata.
type converter struct {
	oldest, newest time.Time
	rows           *pulsestore.Rows
	refused        refusals
	unstored       int // records that have no table
	// validKey is the last object key that was found valid: thousands of spans share one.
	validKey string
	// One row of each kind, used again for every record.
	request    pulsestore.Request
	connection pulsestore.Connection
	object     pulsestore.PayloadObject
}

func newConverter(now time.Time, ttl time.Duration) *converter {
	if ttl == 0 {
		ttl = maxAgeWithoutTTL
	}
	return &converter{oldest: now.Add(-ttl), newest: now.Add(maxFuture), rows: pulsestore.NewRows(), refused: refusals{}}
}

// inRange says whether rows of time t are kept.
func (c *converter) inRange(t time.Time) bool { return !t.Before(c.oldest) && !t.After(c.newest) }

// process is what a resource says of the observed process.
type process struct {
	environment, serviceName, hostID, hostName, executable, user, containerID, podUID string
	pid                                                                               uint32
}

func processOf(attrs pcommon.Map) (p process) {
	for key, v := range attrs.All() {
		switch key {
		case semantic.Environment:
			p.environment = v.Str()
		case semantic.ServiceName:
			p.serviceName = v.Str()
		case semantic.HostID:
			p.hostID = v.Str()
		case semantic.HostName:
			p.hostName = v.Str()
		case semantic.ProcessPID:
			p.pid = uint32(bounded(v, 1<<32-1))
		case semantic.ProcessExecutablePath:
			p.executable = v.Str()
		case semantic.ProcessOwner:
			p.user = v.Str()
		case semantic.ContainerID:
			p.containerID = v.Str()
		case semantic.K8sPodUID:
			p.podUID = v.Str()
		}
	}
	return p
}

func (c *converter) traces(td ptrace.Traces) {
	for _, rs := range td.ResourceSpans().All() {
		p := processOf(rs.Resource().Attributes())
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				if why := c.span(p, span); why != "" {
					c.refused[why]++
				}
			}
		}
	}
}

// span adds a row of `requests`, or says why not.
func (c *converter) span(p process, span ptrace.Span) reason {
	r := &c.request
	*r = pulsestore.Request{
		Time: span.StartTimestamp().AsTime(), TraceID: span.TraceID(), SpanID: span.SpanID(), ParentSpanID: span.ParentSpanID(),
		Environment: p.environment, ServiceName: p.serviceName, HostID: p.hostID, HostName: p.hostName, PID: p.pid,
		Executable: p.executable, User: p.user, ContainerID: p.containerID, PodUID: p.podUID,
	}
	switch span.Kind() {
	case ptrace.SpanKindClient:
		r.Kind = "client"
	case ptrace.SpanKindServer:
		r.Kind = "server"
	default:
		return reasonForeign
	}
	if end := span.EndTimestamp(); end > span.StartTimestamp() {
		r.Duration = time.Duration(end - span.StartTimestamp())
	}
	var localAddress netip.Addr
	var localPort uint16
	connection := ""
	for key, v := range span.Attributes().All() {
		switch key {
		case semantic.ConnectionID:
			connection = v.Str()
		case semantic.ExchangeSequence:
			r.ExchangeSequence = uint32(bounded(v, 1<<32-1))
		case semantic.HTTPRequestMethod:
			r.Method = v.Str()
		case semantic.URLScheme:
			r.Scheme = v.Str()
		case semantic.ServerAddress:
			r.ServerAddress = v.Str()
		case semantic.ServerPort:
			r.ServerPort = port(v)
		case semantic.ClientAddress:
			r.ClientAddress = addr(v)
		case semantic.ClientPort:
			r.ClientPort = port(v)
		case semantic.NetworkLocalAddress:
			localAddress = addr(v)
		case semantic.NetworkLocalPort:
			localPort = port(v)
		case semantic.NetworkPeerAddress:
			r.PeerAddress = addr(v)
		case semantic.NetworkPeerPort:
			r.PeerPort = port(v)
		case semantic.URLPath:
			r.Path = v.Str()
		case semantic.URLTemplate:
			r.Template = v.Str()
		case semantic.URLQuery:
			r.Query = v.Str()
		case semantic.HTTPResponseStatusCode:
			r.Status = uint16(bounded(v, 999))
		case semantic.ErrorType:
			r.ErrorType = v.Str()
		case semantic.NetworkProtocolVersion:
			r.ProtocolVersion = v.Str()
		case semantic.TLSProtocolVersion:
			r.TLSVersion = v.Str()
		case semantic.TLSCipher:
			r.TLSCipher = v.Str()
		case semantic.TimingSend:
			r.TimingSend = duration(v)
		case semantic.TimingWait:
			r.TimingWait = duration(v)
		case semantic.TimingReceive:
			r.TimingReceive = duration(v)
		case semantic.HTTPRequestBodySize:
			r.RequestBodySize = bounded(v, 1<<63-1)
		case semantic.HTTPResponseBodySize:
			r.ResponseBodySize = bounded(v, 1<<63-1)
		case semantic.PayloadState:
			r.PayloadState = v.Str()
		case semantic.PayloadReason:
			r.PayloadReason = v.Str()
		case semantic.PayloadVisibility:
			r.PayloadVisible = v.Str() == "visible"
		case semantic.PayloadObjects:
			if v.Type() == pcommon.ValueTypeSlice && v.Slice().Len() > 0 {
				r.PayloadObject = v.Slice().At(0).Str()
			}
		}
	}
	if connection == "" || r.Method == "" {
		return reasonForeign
	}
	var ok bool
	if r.ConnectionID, ok = connectionID(connection); !ok || span.TraceID().IsEmpty() || span.SpanID().IsEmpty() {
		return reasonMalformed
	}
	if r.PayloadObject != "" && r.PayloadObject != c.validKey {
		if objectkey.Validate(r.PayloadObject) != nil {
			return reasonMalformed
		}
		c.validKey = r.PayloadObject
	}
	if !c.inRange(r.Time) {
		return reasonTime
	}
	if r.Kind == "client" && !r.ClientAddress.IsValid() { // the convention knows client.* on the server's side only
		r.ClientAddress, r.ClientPort = localAddress, localPort
	}
	c.rows.AddRequest(r)
	return ""
}

func (c *converter) logs(ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		p := processOf(rl.Resource().Attributes())
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				why := reasonForeign
				switch record.EventName() {
				case semantic.EventConnection:
					why = c.connectionRecord(p, record)
				case semantic.EventSegment:
					why = c.segmentRecord(p, record)
				case semantic.EventDNS:
					c.unstored++ // the names are on the connections
					why = ""
				}
				if why != "" {
					c.refused[why]++
				}
			}
		}
	}
}

// connectionRecord adds a row of `connections`, or says why not.
func (c *converter) connectionRecord(p process, record plog.LogRecord) reason {
	r := &c.connection
	*r = pulsestore.Connection{
		Time:        record.Timestamp().AsTime(),
		Environment: p.environment, ServiceName: p.serviceName, HostID: p.hostID, HostName: p.hostName, PID: p.pid,
		Executable: p.executable, User: p.user, ContainerID: p.containerID, PodUID: p.podUID,
	}
	connection := ""
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.ConnectionID:
			connection = v.Str()
		case semantic.ConnectionSequence:
			r.Sequence = uint32(bounded(v, 1<<32-1))
		case semantic.ConnectionState:
			r.State = v.Str()
		case semantic.ConnectionRole:
			r.Role = v.Str()
		case semantic.ConnectionCloseReason:
			r.CloseReason = v.Str()
		case semantic.ConnectionStart:
			r.Start = timeOf(v)
		case semantic.ConnectionDuration:
			r.Duration = duration(v)
		case semantic.ConnectionSentBytes:
			r.SentBytes = bounded(v, 1<<63-1)
		case semantic.ConnectionReceivedBytes:
			r.ReceivedBytes = bounded(v, 1<<63-1)
		case semantic.ConnectionSentPackets:
			r.SentPackets = bounded(v, 1<<63-1)
		case semantic.ConnectionRecvPackets:
			r.ReceivedPackets = bounded(v, 1<<63-1)
		case semantic.ConnectionRetransmits:
			r.Retransmits = uint32(bounded(v, 1<<32-1))
		case semantic.ConnectionRTT:
			r.RTT = duration(v)
		case semantic.ConnectionRequests:
			r.Requests = uint32(bounded(v, 1<<32-1))
		case semantic.NetworkLocalAddress:
			r.LocalAddress = addr(v)
		case semantic.NetworkLocalPort:
			r.LocalPort = port(v)
		case semantic.NetworkPeerAddress:
			r.PeerAddress = addr(v)
		case semantic.NetworkPeerPort:
			r.PeerPort = port(v)
		case semantic.ServerAddress:
			r.ServerAddress = v.Str()
		case semantic.NetworkProtocolName:
			r.Protocol = v.Str()
		case semantic.NetworkProtocolVersion:
			r.ProtocolVersion = v.Str()
		case semantic.TLSProtocolVersion:
			r.TLSVersion = v.Str()
		case semantic.TLSCipher:
			r.TLSCipher = v.Str()
		case semantic.TLSNextProtocol:
			r.TLSNextProtocol = v.Str()
		case semantic.PayloadVisibility:
			r.Visibility = v.Str()
		case semantic.PayloadReason:
			r.Reason = v.Str()
		}
	}
	var ok bool
	if r.ConnectionID, ok = connectionID(connection); !ok || r.Start.IsZero() {
		return reasonMalformed
	}
	// A connection may be older than what is kept, but not than the calendar of the agent.
	if !c.inRange(r.Time) || r.Start.After(c.newest) || r.Start.Before(c.oldest.Add(-maxAgeWithoutTTL)) {
		return reasonTime
	}
	c.rows.AddConnection(r)
	return ""
}

// segmentRecord adds a row of `payload_objects`, or says why not.
func (c *converter) segmentRecord(p process, record plog.LogRecord) reason {
	r := &c.object
	*r = pulsestore.PayloadObject{Time: record.Timestamp().AsTime(), Environment: p.environment, HostID: p.hostID}
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.SegmentKey:
			r.Key = v.Str()
		case semantic.SegmentState:
			r.State = v.Str()
		case semantic.SegmentReason:
			r.Reason = v.Str()
		case semantic.SegmentEntries:
			r.Entries = uint32(bounded(v, 1<<32-1))
		case semantic.SegmentBytes:
			r.Bytes = bounded(v, 1<<63-1)
		case semantic.SegmentOpened:
			r.Opened = timeOf(v)
		case semantic.SegmentClosed:
			r.Closed = timeOf(v)
		}
	}
	if objectkey.Validate(r.Key) != nil {
		return reasonMalformed
	}
	if !c.inRange(r.Time) || !r.Opened.IsZero() && !c.inRange(r.Opened) || !r.Closed.IsZero() && !c.inRange(r.Closed) {
		return reasonTime
	}
	c.rows.AddPayloadObject(r)
	return ""
}

// bounded returns an integer value between 0 and most; 0 for anything else.
func bounded(v pcommon.Value, most int64) uint64 {
	if n := v.Int(); n >= 0 && n <= most { // Int is 0 for other types
		return uint64(n)
	}
	return 0
}

func port(v pcommon.Value) uint16 { return uint16(bounded(v, 1<<16-1)) }

func duration(v pcommon.Value) time.Duration { return time.Duration(bounded(v, 1<<63-1)) }

// timeOf reads Unix nanoseconds; the zero time for anything else.
func timeOf(v pcommon.Value) time.Time {
	if n := bounded(v, 1<<63-1); n > 0 {
		return time.Unix(0, int64(n)).UTC()
	}
	return time.Time{}
}

func addr(v pcommon.Value) netip.Addr {
	a, err := netip.ParseAddr(v.Str())
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("").Unmap()
}

// connectionID reads the 16 hex digits of a connection's id.
func connectionID(s string) (uint64, bool) {
	if len(s) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(s, 16, 64)
	return id, err == nil
}
