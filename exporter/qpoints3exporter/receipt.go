// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"context"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// stored is the semantic.SegmentState of a receipt.
const stored = "stored"

// receipt hands on what was stored where. An error sends the segment again: the object is found to be there
// already, and the same receipt is tried once more.
func (e *s3Exporter) receipt(ctx context.Context, s *segment, key string, packed archive.Archive, sum string) error {
	if e.receipts == nil {
		return nil
	}
	if err := e.receipts.ConsumeLogs(ctx, e.receiptOf(s, key, packed, sum, time.Now())); err != nil {
		return fmt.Errorf("the receipt of a stored segment was refused: %w", err)
	}
	return nil
}

// receiptOf makes the receipt of a stored segment: one `qpoint.object` log, and a
// `qpoint.object.entry` log for each exchange. It has no payload, but it names processes: like all metadata
// it is for `anonymize`.
func (e *s3Exporter) receiptOf(s *segment, key string, packed archive.Archive, sum string, now time.Time) plog.Logs {
	ld := plog.NewLogs()
	at := pcommon.NewTimestampFromTime(now)
	entries := packed.Entries
	for i, ref := range s.scopes {
		rl := ld.ResourceLogs().AppendEmpty()
		ref.resource.Resource().CopyTo(rl.Resource())
		rl.SetSchemaUrl(ref.resource.SchemaUrl())
		sl := rl.ScopeLogs().AppendEmpty()
		sl.Scope().SetName(metadata.ScopeName)
		if i == 0 {
			object := event(sl, semantic.EventObject, at, at)
			a := object.Attributes()
			a.PutStr(semantic.SegmentKey, key)
			a.PutStr(semantic.SegmentState, stored)
			a.PutInt(semantic.SegmentOpened, objectkey.Opened(key).UnixNano())
			a.PutInt(semantic.SegmentEntries, int64(s.records()))
			a.PutInt(semantic.SegmentBytes, packed.Uncompressed)
			a.PutInt(semantic.ObjectSize, int64(len(packed.Bytes)))
			a.PutStr(semantic.ObjectSHA256, sum)
			a.PutStr(semantic.ObjectEnvironment, e.cfg.Environment)
			if t := e.expires(objectkey.Class(key), now); !t.IsZero() {
				a.PutInt(semantic.ObjectExpires, t.UnixNano())
			}
		}
		for _, rec := range ref.scope.LogRecords().All() {
			lr := event(sl, semantic.EventObjectEntry, rec.Timestamp(), at)
			lr.SetTraceID(rec.TraceID())
			lr.SetSpanID(rec.SpanID())
			a := lr.Attributes()
			a.PutStr(semantic.SegmentKey, key)
			a.PutStr(semantic.ObjectEnvironment, e.cfg.Environment)
			a.PutInt(semantic.ObjectEntryOffset, entries[0].Offset)
			a.PutInt(semantic.ObjectEntryLength, entries[0].Length)
			if id, ok := rec.Attributes().Get(semantic.ConnectionID); ok {
				id.CopyTo(a.PutEmpty(semantic.ConnectionID))
			}
			entries = entries[1:]
		}
	}
	return ld
}

func event(sl plog.ScopeLogs, name string, when, observed pcommon.Timestamp) plog.LogRecord {
	lr := sl.LogRecords().AppendEmpty()
	lr.SetEventName(name)
	lr.SetTimestamp(when)
	lr.SetObservedTimestamp(observed)
	lr.SetSeverityNumber(plog.SeverityNumberInfo)
	return lr
}
