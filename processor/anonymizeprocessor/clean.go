// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// maxObjects bounds the object keys kept on one span.
const maxObjects = 64

// cleaner anonymizes one batch. Every setter of the pdata types must have its place in
// span, record, scope or anonymizer.resource; TestEveryPlace holds that list against pdata.
type cleaner struct {
	tally
	policy *policy
	remove func(string, pcommon.Value) bool // c.attribute, bound once per batch

	// What the attributes of the current span or record say, after cleaning. First one wins,
	// as in pcommon.Map.Get: keys may repeat on the wire.
	method, path, template, fullPath, procedure string
	pathTemplate, fullTemplate                  string // of path and fullPath, with every value masked
}

func newCleaner(p *policy) *cleaner {
	c := &cleaner{policy: p}
	c.remove = c.attribute
	return c
}

// span cleans everything of s that is not an id, a time, a number or an enumeration.
func (c *cleaner) span(s ptrace.Span) {
	s.TraceState().FromRaw("")
	s.Events().RemoveIf(func(ptrace.SpanEvent) bool { return true })
	s.Links().RemoveIf(func(ptrace.SpanLink) bool { return true })
	s.Status().SetMessage("")
	if code := s.Status().Code(); code < ptrace.StatusCodeUnset || code > ptrace.StatusCodeError {
		s.Status().SetCode(ptrace.StatusCodeUnset)
	}
	if kind := s.Kind(); kind < ptrace.SpanKindUnspecified || kind > ptrace.SpanKindConsumer {
		s.SetKind(ptrace.SpanKindUnspecified)
	}
	s.SetFlags(s.Flags() & spanFlags)
	s.SetDroppedAttributesCount(0)
	s.SetDroppedEventsCount(0)
	s.SetDroppedLinksCount(0)

	attrs := s.Attributes()
	c.attributes(attrs)
	c.deriveURL(attrs)
	if c.procedure != "" {
		s.SetName(c.procedure) // by the RPC conventions
	} else {
		setSpanName(s, c.method, c.template)
	}
}

// spanFlags are the bits that OTLP defines: the W3C trace flags, has-remote and is-remote.
const spanFlags = 0x3ff

// deriveURL sets `url.path` to the cleaned path and `url.template` to its template. A CLIENT span has the
// path in `url.full` alone; the store and its filters want one place for both kinds.
func (c *cleaner) deriveURL(attrs pcommon.Map) {
	path, template := c.path, c.pathTemplate
	if path == "" && template == "" {
		path, template = c.fullPath, c.fullTemplate
	}
	if path != "" && c.path != path {
		attrs.PutStr(semantic.URLPath, path)
		c.path = path
	}
	if template != "" && c.template != template {
		attrs.PutStr(semantic.URLTemplate, template)
		c.template = template
	}
}

// record cleans r and reports whether to remove it.
func (c *cleaner) record(r plog.LogRecord) bool {
	switch r.EventName() {
	case semantic.EventConnection, semantic.EventSegment, semantic.EventObject, semantic.EventObjectEntry, semantic.EventCoverage, semantic.EventDNS, semantic.EventFinding:
	case semantic.EventPayload:
		c.payloads++
		return true
	default:
		c.foreign++
		return true
	}
	pcommon.NewValueEmpty().MoveTo(r.Body())
	r.SetSeverityText("")
	if n := r.SeverityNumber(); n < plog.SeverityNumberUnspecified || n > plog.SeverityNumberFatal4 {
		r.SetSeverityNumber(plog.SeverityNumberUnspecified)
	}
	r.SetFlags(r.Flags() & logFlags)
	r.SetDroppedAttributesCount(0)
	c.attributes(r.Attributes())
	return false
}

// logFlags are the bits that OTLP defines for log records: the W3C trace flags.
const logFlags = 0xff

// scope keeps the name and version of an instrumentation scope if they are of our form.
// Like resources, scopes move to a new value.
func (c *cleaner) scope(s pcommon.InstrumentationScope) {
	c.removed[inScope] += int64(s.Attributes().Len())
	clean := pcommon.NewInstrumentationScope()
	if validScopeName(s.Name()) {
		clean.SetName(s.Name())
		if validVersion(s.Version()) {
			clean.SetVersion(s.Version())
		}
	}
	clean.MoveTo(s)
}

// attributes cleans m and notes what the span name is made of.
func (c *cleaner) attributes(m pcommon.Map) {
	c.method, c.path, c.template, c.fullPath, c.procedure, c.pathTemplate, c.fullTemplate = "", "", "", "", "", "", ""
	m.RemoveIf(c.remove)
}

// attribute cleans one value by the class of its key and reports whether to remove it.
func (c *cleaner) attribute(key string, v pcommon.Value) bool {
	class := semantic.ClassOf(key)
	switch class {
	case semantic.Removed:
		return c.drop(notAllowed)
	case semantic.Number:
		switch v.Type() {
		case pcommon.ValueTypeInt, pcommon.ValueTypeDouble, pcommon.ValueTypeBool:
			return false
		}
		return c.drop(wrongType)
	}
	if v.Type() == pcommon.ValueTypeSlice && key == semantic.PayloadObjects {
		return c.objects(v.Slice())
	}
	if v.Type() != pcommon.ValueTypeStr || key == semantic.PayloadObjects {
		return c.drop(wrongType)
	}

	was := v.Str()
	now, ok := was, false
	switch class {
	case semantic.ID:
		ok = c.policy.validID(key, was)
	case semantic.Token:
		ok = validToken(key, was)
	case semantic.Name:
		now, ok = c.policy.label(was)
	case semantic.Host:
		now, ok = c.policy.host(was)
	case semantic.DistinguishedName:
		now = c.policy.distinguishedName(was)
		ok = now != ""
	case semantic.Time:
		ok = validTime(was)
	case semantic.Method:
		now, ok = cleanMethod(was), true
		first(&c.method, now)
	case semantic.Path:
		templ, valid := c.policy.path(was, true)
		if now, ok = templ, valid; !valid {
			break
		}
		if key == semantic.URLTemplate {
			first(&c.template, now)
			break
		}
		first(&c.pathTemplate, templ)
		if !c.policy.plain {
			now, ok = c.policy.path(was, false)
		}
		if ok {
			first(&c.path, now)
		}
	case semantic.Procedure:
		if now, ok = c.policy.path("/"+was, true); ok {
			now = now[1:]
			first(&c.procedure, now)
		}
	case semantic.Place:
		now, ok = detect.Place(was), true
	case semantic.Query:
		now, ok = cleanQuery(was), true
	case semantic.URL:
		var path, templ string
		if now, path, templ, ok = c.policy.url(was); templ != "" {
			first(&c.fullTemplate, templ)
		}
		if ok {
			first(&c.fullPath, path)
		}
	}
	if !ok {
		return c.drop(invalidValue)
	}
	if now != was {
		c.cleaned++
		v.SetStr(now)
	}
	return false
}

// objects keeps the well-formed object keys of a list and reports whether none is left.
func (c *cleaner) objects(keys pcommon.Slice) bool {
	n := 0
	keys.RemoveIf(func(v pcommon.Value) bool {
		if n == maxObjects || v.Type() != pcommon.ValueTypeStr || !validObjectKey(v.Str()) {
			return true
		}
		n++
		return false
	})
	if n == 0 {
		return c.drop(invalidValue)
	}
	return false
}

func (c *cleaner) drop(why reason) bool {
	c.removed[why]++
	return true
}

func first(dst *string, s string) {
	if *dst == "" {
		*dst = s
	}
}
