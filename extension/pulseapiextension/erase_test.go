// SPDX-License-Identifier: Apache-2.0

//go:build linux

package pulseapiextension

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/qpointeraseextension"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/erasure"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// startEraser starts the extension that may change the bucket of the world.
func (w *world) startEraser(t *testing.T) erasure.Eraser {
	t.Helper()
	f := qpointeraseextension.NewFactory()
	cfg := f.CreateDefaultConfig().(*qpointeraseextension.Config)
	id := component.MustNewID("local_s3")
	cfg.Storage = &id
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), host{id: w.storage}))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	return ext.(erasure.Eraser)
}

// TestErase: one exchange goes from the store and from its object; its neighbour is read as before, and who did it is written down.
func TestErase(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Add(-time.Hour)
	segment := objectkey.New("default", "host-1", now)
	alone := objectkey.New("short", "host-1", now)
	b := pulsestore.NewRows()
	var rows []pulsestore.Request
	var exchanges []archive.Exchange
	for i := range 3 {
		row := w.row(fmt.Sprint(i), byte(i+1), now.Add(time.Duration(i)*time.Second), segment, "pending")
		row.ConnectionID = uint64(i + 1)
		if i == 2 {
			row.PayloadObject = alone
		}
		rows = append(rows, row)
		exchanges = append(exchanges, exchange(row, archive.Message{}, archive.Message{Body: fmt.Appendf(nil, "canary of %d", i)}))
	}
	packed, err := w.putPacked(segment, exchanges[:2])
	require.NoError(t, err)
	single, err := w.putPacked(alone, exchanges[2:])
	require.NoError(t, err)
	for i := range rows {
		b.AddRequest(&rows[i])
		e := single.Entries[0]
		if i < 2 {
			e = packed.Entries[i]
		}
		b.AddPayloadEntry(entryOf(&rows[i], rows[i].PayloadObject, e))
	}
	for _, key := range []string{segment, alone} {
		b.AddPayloadObject(&pulsestore.PayloadObject{Time: now, Key: key, Environment: "demo", State: "stored", Opened: now, Size: 5, Expires: now.Add(24 * time.Hour), RetentionClass: objectkey.Class(key)})
	}
	require.NoError(t, w.store.Insert(t.Context(), b))

	ids := fmt.Sprintf(`"trace_id":"%x","span_id":"%x"`, rows[0].TraceID, rows[0].SpanID)
	require.Equal(t, "no_eraser", w.live.code(t, 409, "POST", "/api/v1/erase", "{"+ids+`,"dry_run":false}`), "Pulse itself cannot")
	w.live.api.eraser = w.startEraser(t)

	before := inFolder(t, w.folder)
	status, would, _ := w.live.call(t, "POST", "/api/v1/erase", "{"+ids+"}")
	require.Equal(t, 200, status)
	require.Equal(t, before, inFolder(t, w.folder), "a dry run changes nothing")
	status, done, _ := w.live.call(t, "POST", "/api/v1/erase", "{"+ids+`,"dry_run":false}`)
	require.Equal(t, 200, status)
	require.Equal(t, true, would["dry_run"])
	would["dry_run"] = false
	require.Equal(t, would, done)
	require.Equal(t, map[string]any{"requests": 1.0, "payload_entries": 1.0, "findings": 0.0}, done["rows"])
	require.EqualValues(t, 1, done["payloads"].(map[string]any)["objects_rewritten"])

	// Its bytes are nowhere; the neighbour's are where they were.
	at := packed.Entries[0]
	gone := string(packed.Bytes[at.Offset+50 : at.Offset+at.Length])
	span := fmt.Sprintf("%x", rows[0].SpanID)
	for name, body := range inFolder(t, w.folder) {
		require.NotContains(t, body, gone, name)
		require.NotContains(t, body, span, name)
	}
	require.Equal(t, "not_found", w.live.code(t, 404, "GET", fmt.Sprintf("/api/v1/requests/%x/%x", rows[0].TraceID, rows[0].SpanID), ""))
	at = packed.Entries[1]
	object := inFolder(t, w.folder)[inBucket(segment)]
	require.Equal(t, string(packed.Bytes[at.Offset:at.Offset+at.Length]), object[at.Offset:at.Offset+at.Length])
	_, neighbour, _ := w.live.call(t, "GET", fmt.Sprintf("/api/v1/requests/%x/%x", rows[1].TraceID, rows[1].SpanID), "")
	stored := neighbour["stored"].(map[string]any)
	require.Equal(t, fmt.Sprintf("%x", sha256.Sum256([]byte(object))), stored["sha256"], "the receipt is true")
	require.NotContains(t, stored, "expires_at", "a bucket counts anew: until when is not known")

	// The only exchange of an object: the object goes. By connection.
	status, done, _ = w.live.call(t, "POST", "/api/v1/erase", `{"connection_id":"0000000000000003","dry_run":false}`)
	require.Equal(t, 200, status)
	require.EqualValues(t, 1, done["payloads"].(map[string]any)["objects_deleted"])
	require.NotContains(t, inFolder(t, w.folder), inBucket(alone))
	objects, err := w.store.PayloadObjects(t.Context(), pulsestore.OnlyEnvironment("demo"), []string{alone})
	require.NoError(t, err)
	require.Equal(t, "erased", objects[pulsestore.ObjectID{Environment: "demo", Key: alone}].State)

	// By time, with an exchange whose payload has not come to the bucket yet: it would come later.
	late := w.row("late", 9, time.Now().Add(-time.Second), objectkey.New("default", "host-1", time.Now()), "pending")
	require.NoError(t, w.insert([]pulsestore.Request{late}))
	span = fmt.Sprintf(`"from":%q,"to":%q`, now.Add(-time.Minute).Format(time.RFC3339), time.Now().Add(time.Minute).Format(time.RFC3339))
	require.Equal(t, "payload_pending", w.live.code(t, 409, "POST", "/api/v1/erase", "{"+span+`,"dry_run":false}`))
	require.Contains(t, inFolder(t, w.folder), inBucket(segment), "nothing was begun")
	span = fmt.Sprintf(`"from":%q,"to":%q`, now.Add(-time.Minute).Format(time.RFC3339), now.Add(time.Minute).Format(time.RFC3339))
	status, done, _ = w.live.call(t, "POST", "/api/v1/erase", "{"+span+`,"dry_run":false}`)
	require.Equal(t, 200, status)
	require.EqualValues(t, 1, done["exchanges"])
	require.Empty(t, inFolder(t, w.folder))

	_, audit, _ := w.live.call(t, "GET", "/api/v1/audit?action=data.erase", "")
	var outcomes []string
	for _, e := range audit["events"].([]any) {
		event := e.(map[string]any)
		require.Equal(t, "local", event["actor"])
		require.Equal(t, "data:erase", event["role"])
		outcomes = append(outcomes, event["outcome"].(string)+" "+event["detail"].(string))
	}
	require.Len(t, outcomes, 11)
	require.Equal(t, "done "+strings.Split(outcomes[1], " ")[1], strings.Join(strings.Split(outcomes[0], " ")[:2], " "))
	require.Contains(t, outcomes[0], "1 exchanges; 1 payloads of")
	require.Contains(t, outcomes[1], "allowed from ")
	require.Contains(t, outcomes[2], "failed from ")
}

// TestEraseSplitSegment: a segment of which one part is stored and another one still in a queue is not all there.
func TestEraseSplitSegment(t *testing.T) {
	w := newWorld(t)
	now := time.Now().Add(-time.Minute)
	segment := objectkey.New("default", "host-1", now)
	var rows []pulsestore.Request
	for i := range 2 {
		rows = append(rows, w.row(fmt.Sprint(i), byte(i+1), now.Add(time.Duration(i)*time.Second), segment, "pending"))
	}
	require.NoError(t, w.insert(rows))
	_, err := w.putPacked(objectkey.Part(segment, "a"), []archive.Exchange{exchange(rows[0], archive.Message{}, archive.Message{})})
	require.NoError(t, err)
	w.live.api.eraser = w.startEraser(t)

	span := fmt.Sprintf(`"from":%q,"to":%q`, now.Add(-time.Minute).Format(time.RFC3339), time.Now().Add(time.Minute).Format(time.RFC3339))
	_, would, _ := w.live.call(t, "POST", "/api/v1/erase", "{"+span+"}")
	payloads := would["payloads"].(map[string]any)
	require.EqualValues(t, []any{1.0, 1.0, 1.0}, []any{payloads["entries"], payloads["missing"], payloads["on_their_way"]})
	before := inFolder(t, w.folder)
	require.Equal(t, "payload_pending", w.live.code(t, 409, "POST", "/api/v1/erase", "{"+span+`,"dry_run":false}`))
	require.Equal(t, before, inFolder(t, w.folder), "nothing was begun")

	_, err = w.putPacked(objectkey.Part(segment, "b"), []archive.Exchange{exchange(rows[1], archive.Message{}, archive.Message{})})
	require.NoError(t, err)
	status, done, _ := w.live.call(t, "POST", "/api/v1/erase", "{"+span+`,"dry_run":false}`)
	require.Equal(t, 200, status)
	payloads = done["payloads"].(map[string]any)
	require.EqualValues(t, []any{2.0, 0.0}, []any{payloads["entries"], payloads["missing"]})
}

func TestEraseOrders(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	for _, body := range []string{
		`{}`, `{"dry_run":false}`, `{"span_id":"0102030405060708"}`, `{"trace_id":"00000000000000000000000000000000"}`, `{"connection_id":"0"}`, `{"connection_id":"0000000000000000"}`,
		`{"from":"2026-01-01T00:00:00Z"}`, `{"from":"2026-01-02T00:00:00Z","to":"2026-01-01T00:00:00Z"}`, `{"from":"2026-01-01T00:00:00Z","to":"2026-01-02T00:00:00Z","connection_id":"0000000000000001"}`,
	} {
		require.Contains(t, []string{"bad_body", "bad_parameter"}, s.code(t, 400, "POST", "/api/v1/erase", body), body)
	}
}

// inFolder returns the objects of a folder by their names.
func inFolder(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := os.ReadFile(path)
		name, _ := filepath.Rel(dir, path)
		found[name] = string(body)
		return err
	}))
	return found
}
