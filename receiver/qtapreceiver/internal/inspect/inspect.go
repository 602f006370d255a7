// SPDX-License-Identifier: Apache-2.0

// Package inspect looks into payloads where they are still the receiver's: it says which kind of sensitive data is at
// which place, and takes out what the operator wants gone. It tells kinds, places and counts, and never a value.
//
// What is taken out is overwritten by as many bytes (`*`): so the same holds for JSON, forms, protobuf and everything else
// whose lengths are part of the format, and nothing that refers to a position in a body has to know of it.
package inspect

import (
	"slices"
	"strconv"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
)

// Reasons why messages, or the rest of them, were not looked at.
const (
	reasonBudget = "cpu_budget" // findings may take no more time
	reasonSize   = "size"       // the body is larger than is looked at
	reasonCoding = "coding"     // its content coding cannot be undone, or not in proportion
	reasonPlaces = "places"     // one process had more different findings than are told apart
)

// Locations of findings.
const (
	locationPath      = "path"
	locationQuery     = "query"
	locationHeader    = "header"
	locationCookie    = "cookie"
	locationTrailer   = "trailer"
	locationJSON      = "json"
	locationForm      = "form"
	locationMultipart = "multipart"
	locationText      = "text"
	locationBinary    = "binary"
)

// maxGroups is how many different findings of one process and segment are told apart.
const maxGroups = 128

// Settings say what an Inspector does.
type Settings struct {
	// Findings reports what is found.
	Findings bool
	// CPU is the part of one core that looking for findings may take. Redaction takes what it needs.
	CPU float64
	// MaxSize is how many bytes of a body, decoded, are looked at for findings.
	MaxSize int
	// Redact says what is taken out of payloads; nil: nothing.
	Redact *Policy
}

// Inspector looks at the records of closed segments. It is used by one goroutine.
type Inspector struct {
	set    Settings
	budget budget
	book   *emit.Ledger

	// Of the records at hand.
	found  map[group]*Finding
	groups []*Finding
	room   *int64
	// Of the record at hand.
	record context
	// Of the value at hand.
	message, location string
	place             func() string
	inJSON            func() string // jsonPlace, bound once
	mark              marker
	edited            bool
	counted           bool // its findings are those of another record

	marks   []marking
	spans   []span
	text    []byte   // scratch: a value as its format means it
	value   []byte   // scratch: a value that may be edited
	decoded []byte   // scratch: a body without its content coding
	lines   [][]byte // of the data of an event
	joined  []byte   // scratch: lines together
	path    []element
	names   []byte // of path
	maxKey  int    // how long, in bytes, a name of path is at most
}

// context is what the findings of one record have in common.
type context struct {
	role, server string
	port         int64
	time         pcommon.Timestamp
	trace        pcommon.TraceID
	span         pcommon.SpanID
}

// group is what tells findings apart.
type group struct {
	kind, message, location, place, reason, role, server string
	port                                                 int64
}

// Finding is what was found at one place of the records of one process, or not looked at.
type Finding struct {
	group
	count uint64
	first context
}

// New returns an Inspector that counts in book the messages it has looked at, and those it has not.
func New(set Settings, book *emit.Ledger) *Inspector {
	in := &Inspector{set: set, book: book, budget: budget{share: set.CPU, now: time.Now}}
	in.inJSON = in.jsonPlace
	in.maxKey = max(minKey, set.Redact.longest())
	return in
}

// Inspect looks at the records of one process, takes out of them what is to be redacted, and returns what it found:
// n records, which fill writes. They are valid until it is called again. Bodies whose content coding is undone become larger,
// by at most *room bytes, which are counted down; one that does not fit is taken out whole.
func (in *Inspector) Inspect(records plog.LogRecordSlice, room *int64) (n int, fill func(i int, lr plog.LogRecord)) {
	in.room = room
	in.found, in.groups = map[group]*Finding{}, in.groups[:0]
	for _, lr := range records.All() {
		in.inspect(lr)
	}
	if cap(in.decoded)+cap(in.joined) > maxScratch {
		in.decoded, in.joined = nil, nil
	}
	return len(in.groups), func(i int, lr plog.LogRecord) { in.groups[i].put(lr) }
}

func (in *Inspector) inspect(lr plog.LogRecord) {
	at := lr.Attributes()
	in.record = contextOf(lr)
	in.marks = in.marks[:0]
	for _, m := range [...]*sides{&request, &response} {
		if _, ok := at.Get(m.present); !ok {
			continue
		}
		in.message = m.name
		in.book.Enter(1)
		if in.set.Redact == nil && !in.budget.begin() {
			in.skip(reasonBudget)
			in.book.Drop(reasonBudget, 1)
			continue
		}
		started := in.budget.now()
		reason := in.side(at, m)
		in.budget.spend(in.budget.now().Sub(started))
		if reason != "" {
			in.skip(reason)
			in.book.Drop(reason, 1)
		} else {
			in.book.Leave(1)
		}
	}
	in.putMarks(at)
}

// sides are the attributes of a message.
type sides struct {
	name, present                                     string
	headers, trailers, body, size, truncated, decoded string
	harHeaders, harTrailers, harBody                  string
}

var (
	request = sides{
		"request", semantic.PayloadRequestMethod, semantic.PayloadRequestHeaders, semantic.PayloadRequestTrailers, semantic.PayloadRequestBody,
		semantic.PayloadRequestBodySize, semantic.PayloadRequestBodyTruncated, semantic.PayloadRequestBodyDecoded, "request.headers", "request._trailers", "request.postData",
	}
	response = sides{
		"response", semantic.PayloadResponseStatus, semantic.PayloadResponseHeaders, semantic.PayloadResponseTrailers, semantic.PayloadResponseBody,
		semantic.PayloadResponseBodySize, semantic.PayloadResponseBodyTruncated, semantic.PayloadResponseBodyDecoded, "response.headers", "response._trailers", "response.content",
	}
)

// side looks at one message. reason says why not at all of it.
func (in *Inspector) side(at pcommon.Map, m *sides) (reason string) {
	// A part of an exchange has the head of the exchange, which has a record of its own.
	part, ok := at.Get(semantic.ExchangePart)
	in.counted = ok && part.Int() > 0
	if m == &request {
		if v, ok := at.Get(semantic.PayloadRequestTarget); ok {
			in.mark.at("request.url", -1)
			in.edit(v, in.target)
		}
	} else if v, ok := at.Get(semantic.PayloadResponseReason); ok {
		in.mark.at("response.statusText", -1)
		in.place, in.location = nowhere, locationText
		in.edit(v, func(b []byte) { in.look(b, plain, detect.None, "") })
	}
	contentType, contentEncoding := in.fields(at, m.headers, m.harHeaders, locationHeader)
	in.fields(at, m.trailers, m.harTrailers, locationTrailer)
	in.counted = false
	in.mark.at(m.harBody, -1)
	reason = in.body(at, m, contentType, contentEncoding)
	if m == &request {
		return reason
	}
	if why := in.messages(at); reason == "" {
		reason = why
	}
	return reason
}

func nowhere() string { return "" }

// fields looks at field lines, and returns what two of them say of the body.
func (in *Inspector) fields(at pcommon.Map, key, har, location string) (contentType, contentEncoding string) {
	list, ok := at.Get(key)
	if !ok || list.Type() != pcommon.ValueTypeSlice {
		return "", ""
	}
	for i, pair := range list.Slice().All() {
		if pair.Type() != pcommon.ValueTypeSlice || pair.Slice().Len() != 2 {
			continue
		}
		name, v := lower(text(pair.Slice().At(0))), pair.Slice().At(1)
		switch name {
		case "content-type":
			contentType = text(v)
		case "content-encoding":
			if contentEncoding != "" { // lines of one field are one list (RFC 9110 §5.3)
				contentEncoding += ", "
			}
			contentEncoding += text(v)
		}
		in.mark.at(har, i)
		in.location, in.place = location, func() string { return detect.PlaceName(name) }
		named := in.set.Redact.header(name)
		in.edit(v, func(b []byte) {
			switch {
			case named != "":
				in.look(b, plain, detect.Field(name), named)
			case name == "cookie":
				in.cookies(b)
			case name == "set-cookie":
				in.cookie(b, true)
			default:
				in.look(b, plain, detect.Field(name), "")
			}
		})
		// A name may be a value that somebody has put there.
		in.location, in.place = location, nowhere
		in.edit(pair.Slice().At(0), func(b []byte) { in.look(b, plain, detect.None, "") })
	}
	return contentType, contentEncoding
}

// messages looks at what a WebSocket carried.
func (in *Inspector) messages(at pcommon.Map) (reason string) {
	list, ok := at.Get(semantic.PayloadWebSocketMessages)
	if !ok || list.Type() != pcommon.ValueTypeSlice {
		return ""
	}
	for i, item := range list.Slice().All() {
		if item.Type() != pcommon.ValueTypeMap {
			continue
		}
		m := item.Map()
		data, ok := m.Get(semantic.MessageData)
		if !ok {
			continue
		}
		in.message = "response"
		if client, ok := m.Get(semantic.MessageClient); ok && client.Bool() {
			in.message = "request"
		}
		in.mark.at("_webSocketMessages", i)
		if c, ok := m.Get(semantic.MessageCompressed); ok && c.Bool() {
			reason = reasonCoding
			in.remove(data, reasonCoding)
			continue
		}
		cut, ok := m.Get(semantic.MessageTruncated)
		truncated := ok && cut.Type() == pcommon.ValueTypeBool && cut.Bool()
		why := ""
		in.edit(data, func(b []byte) { why = in.content(b, "", truncated) })
		if why != "" {
			in.remove(data, why)
			reason = why
		}
	}
	in.message = "response"
	return reason
}

// edit lets f look at the bytes of a value, and keeps what it has changed.
func (in *Inspector) edit(v pcommon.Value, f func([]byte)) {
	in.edited = false
	switch v.Type() {
	case pcommon.ValueTypeStr:
		in.value = append(in.value[:0], v.Str()...)
		if f(in.value); in.edited {
			v.SetStr(string(in.value))
		}
	case pcommon.ValueTypeBytes:
		b := v.Bytes().AsRaw()
		if f(b); in.edited {
			v.Bytes().FromRaw(b)
		}
	}
}

// skip notes that the message at hand was not wholly looked at.
func (in *Inspector) skip(reason string) { in.add(group{message: in.message, reason: reason}, 1) }

// count notes a finding at the place at hand.
func (in *Inspector) count(kind string) {
	if !in.counted {
		in.add(group{kind: kind, message: in.message, location: in.location, place: in.place()}, 1)
	}
}

func (in *Inspector) add(g group, n uint64) {
	if !in.set.Findings {
		return
	}
	g.role, g.server, g.port = in.record.role, in.record.server, in.record.port
	f := in.found[g]
	if f == nil && len(in.found) >= maxGroups {
		g = group{reason: reasonPlaces}
		f = in.found[g]
	}
	if f == nil {
		f = &Finding{group: g, first: in.record}
		in.found[g] = f
		in.groups = append(in.groups, f)
	}
	f.count += n
}

func contextOf(lr plog.LogRecord) context {
	at := lr.Attributes()
	c := context{time: lr.Timestamp(), trace: lr.TraceID(), span: lr.SpanID()}
	if v, ok := at.Get(semantic.ConnectionRole); ok {
		c.role = v.Str()
	}
	if v, ok := at.Get(semantic.ServerAddress); ok {
		c.server = v.Str()
	}
	if v, ok := at.Get(semantic.ServerPort); ok {
		c.port = v.Int()
	}
	return c
}

// put writes the finding as a `qpoint.finding` record.
func (f *Finding) put(lr plog.LogRecord) {
	lr.SetEventName(semantic.EventFinding)
	lr.SetTimestamp(f.first.time)
	lr.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	lr.SetTraceID(f.first.trace)
	lr.SetSpanID(f.first.span)
	m := lr.Attributes()
	m.EnsureCapacity(9)
	for _, a := range [...][2]string{
		{semantic.FindingKind, f.kind}, {semantic.FindingMessage, f.message}, {semantic.FindingLocation, f.location}, {semantic.FindingPlace, f.place},
		{semantic.FindingReason, f.reason}, {semantic.ConnectionRole, f.role}, {semantic.ServerAddress, f.server},
	} {
		if a[1] != "" {
			m.PutStr(a[0], a[1])
		}
	}
	if f.port != 0 {
		m.PutInt(semantic.ServerPort, f.port)
	}
	m.PutInt(semantic.FindingCount, int64(f.count))
}

// budget is the time that may be spent: a share of what goes by, saved up for at most a second.
type budget struct {
	share float64
	now   func() time.Time
	last  time.Time
	left  time.Duration
}

// begin reports whether there is time left.
func (b *budget) begin() bool {
	now := b.now()
	if b.last.IsZero() {
		b.left = time.Duration(b.share * float64(time.Second))
	} else {
		b.left = min(b.left+time.Duration(b.share*float64(now.Sub(b.last))), time.Duration(b.share*float64(time.Second)))
	}
	b.last = now
	return b.left > 0
}

func (b *budget) spend(d time.Duration) { b.left -= d }

// marking is one redaction: where in the HAR entry, and why.
type marking struct {
	at, reason string
	count      int64
}

// marker names where in the HAR entry the value at hand is.
type marker struct {
	name  string
	index int
}

func (m *marker) at(name string, index int) { m.name, m.index = name, index }

func (m *marker) String() string {
	if m.index < 0 {
		return m.name
	}
	return m.name + "[" + strconv.Itoa(m.index) + "]"
}

// marked notes that something was taken out of the value at hand.
func (in *Inspector) marked(reason string) {
	in.edited = true
	at := in.mark.String()
	if i := slices.IndexFunc(in.marks, func(m marking) bool { return m.at == at && m.reason == reason }); i >= 0 {
		in.marks[i].count++
		return
	}
	in.marks = append(in.marks, marking{at, reason, 1})
}

// putMarks says in the record what was taken out of it, and by which policy.
func (in *Inspector) putMarks(at pcommon.Map) {
	if in.set.Redact == nil {
		return
	}
	at.PutStr(semantic.PayloadRedactionPolicy, in.set.Redact.Hash())
	if len(in.marks) == 0 {
		return
	}
	list := at.PutEmptySlice(semantic.PayloadRedactions)
	list.EnsureCapacity(len(in.marks))
	for _, m := range in.marks {
		one := list.AppendEmpty().SetEmptySlice()
		one.AppendEmpty().SetStr(m.at)
		one.AppendEmpty().SetStr(m.reason)
		one.AppendEmpty().SetInt(m.count)
	}
}

func text(v pcommon.Value) string {
	switch v.Type() {
	case pcommon.ValueTypeStr:
		return v.Str()
	case pcommon.ValueTypeBytes:
		return string(v.Bytes().AsRaw())
	}
	return ""
}
