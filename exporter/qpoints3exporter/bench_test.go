// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

// BenchmarkUpload is a segment of 100 small exchanges, from payload records to an object of an S3 server on loopback, in this
// process: its work is in the figures. BenchmarkPack of package archive is the packing in it.
func BenchmarkUpload(b *testing.B) {
	h, _ := startBucket(b)
	exp := startExporter(b, h, onLocalS3)
	const exchanges = 100
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		ld := plog.NewLogs()
		payloads(ld, newKey(), 0, exchanges, exchanges)
		require.NoError(b, exp.ConsumeLogs(b.Context(), ld))
		n += exchanges
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "exchanges/s")
}
