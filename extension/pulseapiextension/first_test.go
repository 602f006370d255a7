// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"slices"
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

// TestBrowserFirstScreen measures how soon the page shows a day's requests of a fleet. It makes the picture that the README opens with.
// PULSE_ROWS says how many requests there are, 10000000 is what the page is made for, and holds the page to its 500 ms: without it, the
// machine may be busy and the times are only told.
func TestBrowserFirstScreen(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	w.fillFleet(t, 100_000)
	w.fillOrder(t, time.Now())
	w.drive(t, "first")
	require.NoError(t, shrink("web/artifacts/readme.png"))
}

// TestBrowserScroll loads as many rows into the list as there are, and goes through all of them. PULSE_ROWS=100000 is what the list is
// made for, and holds it to its frames.
func TestBrowserScroll(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	w.fillFleet(t, 5_000)
	w.drive(t, "scroll")
}

// fillFleet stores a day's requests of a fleet: as many as PULSE_ROWS says.
func (w *world) fillFleet(t *testing.T, rows int) {
	t.Helper()
	if s := os.Getenv("PULSE_ROWS"); s != "" {
		var err error
		rows, err = strconv.Atoi(s)
		require.NoError(t, err)
		w.measured = true
	}
	conn, err := clickhouse.Open(w.engine.ClickHouseOptions())
	require.NoError(t, err)
	defer conn.Close()
	start := time.Now()
	require.NoError(t, fill.StoreMany(t.Context(), w.store, conn, pulsestore.DefaultDatabase, min(rows, 250_000), fill.Options{Rows: rows, From: start.Add(-24 * time.Hour), To: start.Add(-3 * time.Minute), Seed: 7}))
	t.Logf("%d rows were stored in %s", rows, time.Since(start).Round(time.Second))
	w.stored = rows
}

// fillOrder writes one exchange of a shop with its payload.
func (w *world) fillOrder(t *testing.T, now time.Time) {
	t.Helper()
	key := objectkey.New("default", "node-03", now)
	row := w.row("shop", 1, now, key, "sent")
	row.Origin = viewOrigin("checkout", "/srv/checkout/checkout")
	row.Environment = "demo" // where putPacked puts
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
	require.NoError(t, w.insert([]pulsestore.Request{row}, pulsestore.PayloadObject{Time: now, Key: key, Environment: "demo", State: "sent", Opened: now, Closed: now}))
}

// shrink writes a picture again with its 256 most frequent colours, as a repository wants it.
func shrink(name string) error {
	data, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	picture, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return err
	}
	count := map[color.RGBA]int{}
	b := picture.Bounds()
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			count[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int { return count[b] - count[a] })
	var palette color.Palette
	for _, c := range all[:min(256, len(all))] {
		palette = append(palette, c)
	}
	few := image.NewPaletted(b, palette)
	nearest := map[color.RGBA]uint8{}
	for y := b.Min.Y; y < b.Max.Y; y++ {
		for x := b.Min.X; x < b.Max.X; x++ {
			c := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
			i, known := nearest[c]
			if !known {
				i = uint8(palette.Index(c))
				nearest[c] = i
			}
			few.SetColorIndex(x, y, i)
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, few); err != nil {
		return err
	}
	return os.WriteFile(name, out.Bytes(), 0o644)
}
