// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"cmp"
	"iter"
	"slices"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// segment is the records of one segment key within one request.
type segment struct {
	key string
	// count is what every scope says the whole segment holds; -1 when they disagree.
	count  int64
	scopes []scopeRef
}

// scopeRef is one scope of the request that belongs to a segment.
type scopeRef struct {
	index    int64
	resource plog.ResourceLogs
	scope    plog.ScopeLogs
}

// regroup sorts the scopes of a request by segment, in the order in which the keys came. foreign
// counts the records that are not payloads of a segment; they are left out.
func regroup(ld plog.Logs) (segments []*segment, foreign int) {
	byKey := map[string]*segment{}
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			at := sl.Scope().Attributes()
			key, ok := at.Get(semantic.SegmentKey)
			if !ok || objectkey.Validate(key.Str()) != nil || !allPayload(sl) {
				foreign += sl.LogRecords().Len()
				continue
			}
			count := integer(at, semantic.SegmentCount)
			s := byKey[key.Str()]
			if s == nil {
				s = &segment{key: key.Str(), count: count}
				byKey[s.key] = s
				segments = append(segments, s)
			}
			if s.count != count {
				s.count = -1
			}
			s.scopes = append(s.scopes, scopeRef{integer(at, semantic.SegmentIndex), rl, sl})
		}
	}
	for _, s := range segments {
		// The receiver's order, whatever a pipeline did: the same records give the same object.
		slices.SortStableFunc(s.scopes, func(a, b scopeRef) int { return cmp.Compare(a.index, b.index) })
	}
	return segments, foreign
}

func allPayload(sl plog.ScopeLogs) bool {
	for _, r := range sl.LogRecords().All() {
		if r.EventName() != semantic.EventPayload {
			return false
		}
	}
	return true
}

func integer(at pcommon.Map, key string) int64 {
	if v, ok := at.Get(key); ok && v.Type() == pcommon.ValueTypeInt {
		return v.Int()
	}
	return 0
}

// records is the number of exchanges of the segment in this request.
func (s *segment) records() int {
	n := 0
	for _, r := range s.scopes {
		n += r.scope.LogRecords().Len()
	}
	return n
}

// complete reports whether the request holds the whole segment.
func (s *segment) complete() bool { return int64(s.records()) == s.count }

// exchanges copies one exchange at a time out of the records.
func (s *segment) exchanges() iter.Seq[archive.Exchange] {
	return func(yield func(archive.Exchange) bool) {
		for _, r := range s.scopes {
			for _, rec := range r.scope.LogRecords().All() {
				if !yield(archive.FromRecord(r.resource.Resource(), rec)) {
					return
				}
			}
		}
	}
}

// copyTo appends the segment's records to ld.
func (s *segment) copyTo(ld plog.Logs) {
	for _, r := range s.scopes {
		rl := ld.ResourceLogs().AppendEmpty()
		r.resource.Resource().CopyTo(rl.Resource())
		rl.SetSchemaUrl(r.resource.SchemaUrl())
		r.scope.CopyTo(rl.ScopeLogs().AppendEmpty())
	}
}
