// SPDX-License-Identifier: Apache-2.0

package pulseexporter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// TestReceiptsOfAnotherEnvironment: what lies below another environment than the record's is not taken: no link could find it.
func TestReceiptsOfAnotherEnvironment(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	putResource(rl.Resource(), policy)
	records := rl.ScopeLogs().AppendEmpty().LogRecords()
	for _, environment := range []string{"production", "", "staging"} {
		for _, event := range []string{semantic.EventObject, semantic.EventObjectEntry} {
			r := records.AppendEmpty()
			r.SetEventName(event)
			r.SetTimestamp(pcommon.NewTimestampFromTime(testTime))
			r.SetTraceID([16]byte{1})
			r.SetSpanID([8]byte{1})
			m := r.Attributes()
			m.PutStr(semantic.SegmentKey, testKey)
			m.PutInt(semantic.SegmentOpened, testTime.UnixNano())
			m.PutInt(semantic.ObjectEntryLength, 5)
			if environment != "" {
				m.PutStr(semantic.ObjectEnvironment, environment)
			}
		}
	}
	c := newConverter(time.Now(), pulsestore.Retention{})
	c.logs(ld)
	require.Equal(t, refusals{reasonEnvironment: 2}, c.refused)
	require.Equal(t, 4, c.rows.Len())
}
