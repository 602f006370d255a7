// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"net/netip"
	"strconv"
	"sync"
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

// maxAge is how old a record may be: every day is a partition, and a push of all kinds of old times must not make
// more of them than a server merges. An agent that was cut off for weeks is still heard.
const maxAge = 45 * 24 * time.Hour

// maxConnectionAge is how long ago the connection of a young record may have begun. Its partition is the week of its begin.
const maxConnectionAge = 400 * 24 * time.Hour

// converter turns anonymized records into rows. It makes one pass over the attributes of each
// record and copies no string: rows point into the pdata.
type converter struct {
	now       time.Time
	retention pulsestore.Retention
	rows      *pulsestore.Rows
	refused   refusals
	// validKey is the last object key that was found valid: thousands of spans share one.
	validKey string
	// origin is what the resource of the records says, and oldest how old its records may be.
	origin pulsestore.Origin
	oldest time.Time
	// One row of each kind, used again for every record.
	request    pulsestore.Request
	connection pulsestore.Connection
	object     pulsestore.PayloadObject
	entry      pulsestore.PayloadEntry
	coverage   pulsestore.Coverage
	dns        pulsestore.DNSQuery
	finding    pulsestore.Finding
}

func newConverter(now time.Time, retention pulsestore.Retention) *converter {
	c := converters.Get().(*converter)
	c.now, c.retention = now, retention
	return c
}

// converters are kept, since the columns of a push are as large as those of the next.
var converters = sync.Pool{New: func() any { return &converter{rows: pulsestore.NewRows(), refused: refusals{}} }}

// release gives the converter back. Nothing of it may be used after.
func (c *converter) release() {
	c.rows.Reset()
	*c = converter{rows: c.rows, refused: refusals{}}
	converters.Put(c)
}

// inRange says whether rows of time t are kept.
func (c *converter) inRange(t time.Time) bool {
	return !t.Before(c.oldest) && !t.After(c.now.Add(maxFuture))
}

// resource notes what the resource of the next records says of the observed process.
func (c *converter) resource(attrs pcommon.Map) {
	c.origin = pulsestore.Origin{}
	p := &c.origin
	for key, v := range attrs.All() {
		switch key {
		case semantic.Environment:
			p.Environment = v.Str()
		case semantic.ServiceName:
			p.ServiceName = v.Str()
		case semantic.ServiceNamespace:
			p.ServiceNamespace = v.Str()
		case semantic.HostID:
			p.HostID = v.Str()
		case semantic.HostName:
			p.HostName = v.Str()
		case semantic.ProcessPID:
			p.PID = uint32(bounded(v, 1<<32-1))
		case semantic.ProcessExecutablePath:
			p.Executable = v.Str()
		case semantic.ProcessOwner:
			p.User = v.Str()
		case semantic.ContainerID:
			p.ContainerID = v.Str()
		case semantic.K8sPodUID:
			p.PodUID = v.Str()
		case semantic.K8sPodName:
			p.PodName = v.Str()
		case semantic.K8sNamespaceName:
			p.K8sNamespace = v.Str()
		case semantic.K8sNodeName:
			p.K8sNode = v.Str()
		case semantic.K8sContainerName:
			p.K8sContainer = v.Str()
		case semantic.K8sDeploymentName:
			p.K8sDeployment = v.Str()
		}
	}
	age := maxAge
	if ttl := c.retention.Of(pulsestore.TableRequests, p.Environment); ttl > 0 {
		age = min(age, ttl)
	}
	c.oldest = c.now.Add(-age)
}

func (c *converter) traces(td ptrace.Traces) {
	for _, rs := range td.ResourceSpans().All() {
		c.resource(rs.Resource().Attributes())
		for _, ss := range rs.ScopeSpans().All() {
			for _, span := range ss.Spans().All() {
				c.count(c.span(span))
			}
		}
	}
}

func (c *converter) logs(ld plog.Logs) {
	for _, rl := range ld.ResourceLogs().All() {
		c.resource(rl.Resource().Attributes())
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				c.count(c.record(record))
			}
		}
	}
}

func (c *converter) record(record plog.LogRecord) reason {
	switch record.EventName() {
	case semantic.EventConnection:
		return c.connectionRecord(record)
	case semantic.EventSegment, semantic.EventObject:
		return c.objectRecord(record)
	case semantic.EventObjectEntry:
		return c.entryRecord(record)
	case semantic.EventCoverage:
		return c.coverageRecord(record)
	case semantic.EventDNS:
		return c.dnsRecord(record)
	case semantic.EventFinding:
		return c.findingRecord(record)
	}
	return reasonForeign
}

func (c *converter) count(why reason) {
	if why != "" {
		c.refused[why]++
	}
}

// validObject says whether key can name an object.
func (c *converter) validObject(key string) bool {
	if key != c.validKey {
		if objectkey.Validate(key) != nil {
			return false
		}
		c.validKey = key
	}
	return true
}

// wire is what spans and records alike say of the connection they are about.
type wire struct {
	connection                             string // hex digits
	local, peer, client                    netip.Addr
	localPort, peerPort, clientPort        uint16
	server                                 string
	serverPort                             uint16
	transport, protocol, protocolVersion   string
	tlsVersion, tlsCipher, role, errorType string
	payloadReason, payloadVisible          string
}

// take notes the attribute when it is one of wire's.
func (w *wire) take(key string, v pcommon.Value) {
	switch key {
	case semantic.ConnectionID:
		w.connection = v.Str()
	case semantic.ConnectionRole:
		w.role = v.Str()
	case semantic.ServerAddress:
		w.server = v.Str()
	case semantic.ServerPort:
		w.serverPort = port(v)
	case semantic.ClientAddress:
		w.client = addr(v)
	case semantic.ClientPort:
		w.clientPort = port(v)
	case semantic.NetworkLocalAddress:
		w.local = addr(v)
	case semantic.NetworkLocalPort:
		w.localPort = port(v)
	case semantic.NetworkPeerAddress:
		w.peer = addr(v)
	case semantic.NetworkPeerPort:
		w.peerPort = port(v)
	case semantic.NetworkTransport:
		w.transport = v.Str()
	case semantic.NetworkProtocolName:
		w.protocol = v.Str()
	case semantic.NetworkProtocolVersion:
		w.protocolVersion = v.Str()
	case semantic.TLSProtocolVersion:
		w.tlsVersion = v.Str()
	case semantic.TLSCipher:
		w.tlsCipher = v.Str()
	case semantic.ErrorType:
		w.errorType = v.Str()
	case semantic.PayloadReason:
		w.payloadReason = v.Str()
	case semantic.PayloadVisibility:
		w.payloadVisible = v.Str()
	}
}

// connectionID reads the 16 hex digits of a connection's id.
func (w *wire) connectionID() (uint64, bool) {
	if len(w.connection) != 16 {
		return 0, false
	}
	id, err := strconv.ParseUint(w.connection, 16, 64)
	return id, err == nil
}

// bounded returns an integer value between 0 and most; 0 for anything else.
func bounded(v pcommon.Value, most int64) uint64 {
	if n := v.Int(); n >= 0 && n <= most { // Int is 0 for other types
		return uint64(n)
	}
	return 0
}

func port(v pcommon.Value) uint16 { return uint16(bounded(v, 1<<16-1)) }

func small(v pcommon.Value) uint32 { return uint32(bounded(v, 1<<32-1)) }

func large(v pcommon.Value) uint64 { return bounded(v, 1<<63-1) }

func duration(v pcommon.Value) time.Duration { return time.Duration(bounded(v, 1<<63-1)) }

// timeOf reads Unix nanoseconds; the zero time for anything else.
func timeOf(v pcommon.Value) time.Time {
	if n := bounded(v, 1<<63-1); n > 0 {
		return time.Unix(0, int64(n)).UTC()
	}
	return time.Time{}
}

// validity reads a certificate's time; the zero time for anything else.
func validity(v pcommon.Value) time.Time {
	t, err := time.Parse(time.RFC3339, v.Str())
	if err != nil {
		return time.Time{}
	}
	return t.UTC().Truncate(time.Second)
}

func addr(v pcommon.Value) netip.Addr {
	a, err := netip.ParseAddr(v.Str())
	if err != nil {
		return netip.Addr{}
	}
	return a.WithZone("").Unmap()
}
