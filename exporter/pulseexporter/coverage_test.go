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

func TestCoverageRow(t *testing.T) {
	ld := plog.NewLogs()
	rl := ld.ResourceLogs().AppendEmpty()
	putResource(rl.Resource(), "")
	r := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	r.SetEventName(semantic.EventCoverage)
	r.SetTimestamp(pcommon.NewTimestampFromTime(testTime))
	for k, v := range map[string]string{
		semantic.CoverageSubject: "process", semantic.CoverageName: "curl", semantic.CoverageState: "not_seen", semantic.CoverageReason: "no_secret", semantic.CoverageAdvice: "do this",
	} {
		r.Attributes().PutStr(k, v)
	}
	r.Attributes().PutInt(semantic.CoverageCount, 7)
	bad := rl.ScopeLogs().At(0).LogRecords().AppendEmpty()
	r.CopyTo(bad)
	bad.Attributes().Remove(semantic.CoverageSubject)
	late := rl.ScopeLogs().At(0).LogRecords().AppendEmpty()
	r.CopyTo(late)
	late.SetTimestamp(1)

	c := newConverter(testTime, pulsestore.Retention{TTL: time.Hour})
	c.logs(ld)
	require.Equal(t, refusals{reasonMalformed: 1, reasonTime: 1}, c.refused)
	require.Equal(t, 1, c.rows.Counts()["coverage"])
	require.Equal(t, pulsestore.Coverage{
		Origin: wantOrigin, Time: testTime, Subject: "process", Name: "curl", State: "not_seen", Reason: "no_secret", Advice: "do this", Count: 7,
	}, func() pulsestore.Coverage { // the row used again for the refused ones: read the first alone
		c := newConverter(testTime, pulsestore.Retention{TTL: time.Hour})
		c.resource(rl.Resource().Attributes())
		require.Empty(t, c.coverageRecord(r))
		return c.coverage
	}())
}
