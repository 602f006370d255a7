// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

// TestBrowserFirstScreen measures how soon the page shows a day's requests of a fleet, and that 100,000 of them scroll. It makes the
// picture that the README opens with. PULSE_ROWS says how many requests there are, 10000000 is what the page is made for, and holds the
// page to its 500 ms: without it, the machine may be busy and the times are only told.
func TestBrowserFirstScreen(t *testing.T) {
	needBrowser(t)
	rows := 250_000
	if s := os.Getenv("PULSE_ROWS"); s != "" {
		var err error
		rows, err = strconv.Atoi(s)
		require.NoError(t, err)
	}
	w := newWorld(t)
	conn, err := clickhouse.Open(w.engine.ClickHouseOptions())
	require.NoError(t, err)
	defer conn.Close()
	now := time.Now()
	start := time.Now()
	require.NoError(t, fill.StoreMany(t.Context(), w.store, conn, pulsestore.DefaultDatabase, min(rows, 250_000), fill.Options{Rows: rows, From: now.Add(-24 * time.Hour), To: now.Add(-time.Second), Seed: 7}))
	t.Logf("%d rows were stored in %s", rows, time.Since(start).Round(time.Second))
	w.fillOrder(t, now)
	w.stored, w.measured = rows, os.Getenv("PULSE_ROWS") != ""
	w.drive(t, "first")
}

// fillOrder writes one exchange of a shop with its payload.
func (w *world) fillOrder(t *testing.T, now time.Time) {
	t.Helper()
	key := objectkey.New("default", "node-03", now)
	row := w.row("shop", 1, now.Add(-2*time.Second), key, "sent")
	row.Origin = viewOrigin("checkout", "/srv/checkout/checkout")
	row.Method, row.ServerAddress, row.Path, row.Template, row.Query, row.Status = "POST", "api.payments.example", "/v1/payments/{number}/capture", "/v1/payments/{number}/capture", "", 201
	jsonType := archive.Header{Name: "content-type", Value: "application/json"}
	request := archive.Message{Body: []byte(`{"amount":4480,"currency":"EUR","capture":true,"metadata":{"cart":"c-20931"}}`), Headers: []archive.Header{
		{Name: "host", Value: "api.payments.example"}, {Name: "user-agent", Value: "checkout/4.2"}, {Name: "idempotency-key", Value: "0f9c1d3e"}, jsonType,
	}}
	response := archive.Message{Body: []byte(`{"id":"pay_81720","status":"captured","amount":4480,"currency":"EUR","fees":[{"type":"card","amount":72}],"captured_at":"2026-11-24T12:03:11Z"}`), Headers: []archive.Header{
		jsonType, {Name: "server", Value: "envoy"}, {Name: "x-request-id", Value: "7d1f0a52"},
	}}
	row.RequestBodySize, row.ResponseBodySize = uint64(len(request.Body)), uint64(len(response.Body))
	packed, err := w.putPacked(key, []archive.Exchange{exchange(row, request, response)})
	require.NoError(t, err)
	b := pulsestore.NewRows()
	b.AddPayloadEntry(entryOf(&row, key, packed.Entries[0]))
	require.NoError(t, w.store.Insert(t.Context(), b))
	require.NoError(t, w.insert([]pulsestore.Request{row}, pulsestore.PayloadObject{Time: now, Key: key, Environment: "production", State: "sent", Opened: now, Closed: now}))
}
