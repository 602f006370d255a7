// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"encoding/hex"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// connectionRecord adds a row of `connections`, or says why not.
func (c *converter) connectionRecord(record plog.LogRecord) reason {
	r := &c.connection
	*r = pulsestore.Connection{Origin: c.origin, Time: record.Timestamp().AsTime()}
	var w wire
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.ConnectionSequence:
			r.Sequence = small(v)
		case semantic.ConnectionState:
			r.State = v.Str()
		case semantic.ConnectionCloseReason:
			r.CloseReason = v.Str()
		case semantic.ConnectionStart:
			r.Start = timeOf(v)
		case semantic.ConnectionDuration:
			r.Duration = duration(v)
		case semantic.ConnectionSentBytes:
			r.SentBytes = large(v)
		case semantic.ConnectionReceivedBytes:
			r.ReceivedBytes = large(v)
		case semantic.ConnectionSentPackets:
			r.SentPackets = large(v)
		case semantic.ConnectionRecvPackets:
			r.ReceivedPackets = large(v)
		case semantic.ConnectionRetransmits:
			r.Retransmits = small(v)
		case semantic.ConnectionRTT:
			r.RTT = duration(v)
		case semantic.ConnectionRequests:
			r.Requests = small(v)
		case semantic.TLSNextProtocol:
			r.TLSNextProtocol = v.Str()
		case semantic.TLSResumed:
			if v.Type() == pcommon.ValueTypeBool {
				r.TLSResumed = new(v.Bool())
			}
		case semantic.TLSClientJA3:
			r.TLSClientJA3 = v.Str()
		case semantic.TLSClientJA4:
			r.TLSClientJA4 = v.Str()
		case semantic.TLSServerSubject:
			r.TLSServerSubject = v.Str()
		case semantic.TLSServerIssuer:
			r.TLSServerIssuer = v.Str()
		case semantic.TLSServerNotBefore:
			r.TLSServerNotBefore = validity(v)
		case semantic.TLSServerNotAfter:
			r.TLSServerNotAfter = validity(v)
		case semantic.ServerNameSource:
			r.NameSource = v.Str()
		default:
			w.take(key, v)
		}
	}
	var ok bool
	if r.ConnectionID, ok = w.connectionID(); !ok || r.Start.IsZero() {
		return reasonMalformed
	}
	// A connection may be older than what is kept, but not than the calendar of the agent.
	if !c.inRange(r.Time) || r.Start.After(c.now.Add(maxFuture)) || r.Start.Before(c.now.Add(-maxConnectionAge)) {
		return reasonTime
	}
	r.Role, r.ServerAddress, r.LocalAddress, r.LocalPort, r.PeerAddress, r.PeerPort = w.role, w.server, w.local, w.localPort, w.peer, w.peerPort
	r.Transport, r.Protocol, r.ProtocolVersion, r.TLSVersion, r.TLSCipher = w.transport, w.protocol, w.protocolVersion, w.tlsVersion, w.tlsCipher
	r.Visibility, r.Reason = w.payloadVisible, w.payloadReason
	c.rows.AddConnection(r)
	return ""
}

// objectRecord adds a row of `payload_objects`, or says why not: that a segment was handed over, or that an
// object was stored.
func (c *converter) objectRecord(record plog.LogRecord) reason {
	r := &c.object
	*r = pulsestore.PayloadObject{Time: record.Timestamp().AsTime(), Environment: c.origin.Environment, HostID: c.origin.HostID}
	sum, stored := "", r.Environment
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.SegmentKey:
			r.Key = v.Str()
		case semantic.SegmentState:
			r.State = v.Str()
		case semantic.SegmentReason:
			r.Reason = v.Str()
		case semantic.SegmentEntries:
			r.Entries = small(v)
		case semantic.SegmentBytes:
			r.Bytes = large(v)
		case semantic.SegmentOpened:
			r.Opened = timeOf(v)
		case semantic.SegmentClosed:
			r.Closed = timeOf(v)
		case semantic.ObjectSize:
			r.Size = large(v)
		case semantic.ObjectSHA256:
			sum = v.Str()
		case semantic.ObjectExpires:
			r.Expires = timeOf(v)
		case semantic.ObjectEnvironment:
			stored = v.Str()
		}
	}
	if !c.validObject(r.Key) {
		return reasonMalformed
	}
	if stored != r.Environment {
		return reasonEnvironment
	}
	r.RetentionClass = objectkey.Class(r.Key)
	if sum != "" {
		if n, err := hex.Decode(r.SHA256[:], []byte(sum[:min(len(sum), 64)])); err != nil || n != len(r.SHA256) || len(sum) != 64 {
			return reasonMalformed
		}
	}
	// The day of opening is the partition: who repeats a key must repeat it, or the older row would stay.
	if r.Opened.IsZero() && record.EventName() == semantic.EventObject {
		return reasonMalformed
	}
	if !c.inRange(r.Time) || !r.Opened.IsZero() && !c.inRange(r.Opened) || !r.Closed.IsZero() && !c.inRange(r.Closed) || r.Expires.After(maxExpiry) {
		return reasonTime
	}
	c.rows.AddPayloadObject(r)
	return ""
}

// maxExpiry is the last time that the column holds.
var maxExpiry = time.Unix(1<<32-1, 0)

// entryRecord adds a row of `payload_entries`, or says why not.
func (c *converter) entryRecord(record plog.LogRecord) reason {
	r := &c.entry
	*r = pulsestore.PayloadEntry{
		Time: record.Timestamp().AsTime(), TraceID: record.TraceID(), SpanID: record.SpanID(),
		Environment: c.origin.Environment, HostID: c.origin.HostID,
	}
	var w wire
	stored := r.Environment
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.SegmentKey:
			r.Key = v.Str()
		case semantic.ObjectEnvironment:
			stored = v.Str()
		case semantic.ObjectEntryOffset:
			r.Offset = large(v)
		case semantic.ObjectEntryLength:
			r.Length = large(v)
		default:
			w.take(key, v)
		}
	}
	var ok bool
	if w.connection != "" {
		if r.ConnectionID, ok = w.connectionID(); !ok {
			return reasonMalformed
		}
	}
	if !c.validObject(r.Key) || record.TraceID().IsEmpty() || record.SpanID().IsEmpty() || r.Length == 0 {
		return reasonMalformed
	}
	if stored != r.Environment {
		return reasonEnvironment
	}
	if !c.inRange(r.Time) {
		return reasonTime
	}
	c.rows.AddPayloadEntry(r)
	return ""
}

// coverageRecord adds a row of `coverage`, or says why not.
func (c *converter) coverageRecord(record plog.LogRecord) reason {
	r := &c.coverage
	*r = pulsestore.Coverage{Origin: c.origin, Time: record.Timestamp().AsTime()}
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.CoverageSubject:
			r.Subject = v.Str()
		case semantic.CoverageName:
			r.Name = v.Str()
		case semantic.CoverageState:
			r.State = v.Str()
		case semantic.CoverageReason:
			r.Reason = v.Str()
		case semantic.CoverageAdvice:
			r.Advice = v.Str()
		case semantic.CoverageCount:
			r.Count = large(v)
		}
	}
	if r.Subject == "" || r.State == "" {
		return reasonMalformed
	}
	if !c.inRange(r.Time) {
		return reasonTime
	}
	c.rows.AddCoverage(r)
	return ""
}

// dnsRecord adds a row of `dns`, or says why not.
func (c *converter) dnsRecord(record plog.LogRecord) reason {
	r := &c.dns
	*r = pulsestore.DNSQuery{Origin: c.origin, Time: record.Timestamp().AsTime()}
	var w wire
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.DNSQuestionName:
			r.Name = v.Str()
		case semantic.DNSQuestionType:
			r.Type = v.Str()
		case semantic.DNSResponseCode:
			r.ResponseCode = v.Str()
		case semantic.DNSAnswers:
			r.Answers = small(v)
		case semantic.DNSDuration:
			r.Duration = duration(v)
		default:
			w.take(key, v)
		}
	}
	if r.Type == "" {
		return reasonMalformed
	}
	if !c.inRange(r.Time) {
		return reasonTime
	}
	r.Role, r.Transport, r.ErrorType = w.role, w.transport, w.errorType
	r.LocalAddress, r.LocalPort, r.PeerAddress, r.PeerPort = w.local, w.localPort, w.peer, w.peerPort
	c.rows.AddDNSQuery(r)
	return ""
}

// findingRecord adds a row of `findings`, or says why not.
func (c *converter) findingRecord(record plog.LogRecord) reason {
	r := &c.finding
	*r = pulsestore.Finding{Origin: c.origin, Time: record.Timestamp().AsTime(), TraceID: record.TraceID(), SpanID: record.SpanID()}
	var w wire
	for key, v := range record.Attributes().All() {
		switch key {
		case semantic.FindingKind:
			r.Kind = v.Str()
		case semantic.FindingMessage:
			r.Message = v.Str()
		case semantic.FindingLocation:
			r.Location = v.Str()
		case semantic.FindingPlace:
			r.Place = v.Str()
		case semantic.FindingReason:
			r.Reason = v.Str()
		case semantic.FindingCount:
			r.Count = large(v)
		default:
			w.take(key, v)
		}
	}
	if (r.Kind == "") == (r.Reason == "") || r.Count == 0 {
		return reasonMalformed
	}
	if !c.inRange(r.Time) {
		return reasonTime
	}
	r.Role, r.ServerAddress, r.ServerPort = w.role, w.server, w.serverPort
	c.rows.AddFinding(r)
	return ""
}
