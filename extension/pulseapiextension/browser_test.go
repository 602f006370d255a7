// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/localclickhouseextension"
	"github.com/qpoint-io/otelcol-qpoint/extension/locals3extension"
	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// TestBrowser opens the page in Chromium, on the real extension, store and bucket, and drives it by
// web/test/page.mjs. What the script needs to happen while it looks, it asks of `control`.
func TestBrowser(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	w.fill(t)
	w.drive(t, "shell", "requests")
	require.NotZero(t, w.live.logs.FilterMessage("payload link").Len(), "every link is in the audit log")
	w.live.requireLogsWithout(t, w.live.token, "canary-in-a-body", "Signature", "-secret-1")
	w.keys.requireLogsWithout(t, string(w.bucketKeys.SecretKey))
}

// TestViews opens every view but the requests on the day of a fleet.
func TestViews(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	fillViews(t, w.store, time.Now(), 60_000)
	t.Cleanup(privacy.Register(privacy.Policy{
		Hash: "00000000000000ac", Version: "1", Modes: map[string]string{"card": "drop", "email": "hmac"}, Addresses: "truncate",
		Domains: []privacy.Domain{}, HMACKeys: []string{"2026a"}, PathWords: 100,
	}))
	w.drive(t, "views")
	w.live.requireLogsWithout(t, w.live.token, "Signature")
}

// needBrowser skips the test where there is no browser, but not where tests have to run.
func needBrowser(t *testing.T) {
	t.Helper()
	for _, need := range []string{"/usr/bin/chromium", "web/node_modules/playwright-core/package.json", "web/node_modules/axe-core/package.json"} {
		if _, err := os.Stat(need); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: apt install chromium, and npm ci in web", need)
			}
			t.Skipf("%s is missing: apt install chromium, and npm ci in web", need)
		}
	}
}

// drive runs scenarios of web/test on the page.
func (w *world) drive(t *testing.T, scenarios ...string) {
	t.Helper()
	control := httptest.NewServer(http.HandlerFunc(w.control))
	defer control.Close()
	artifacts, err := filepath.Abs("web/artifacts")
	require.NoError(t, err)
	scenario, err := json.Marshal(map[string]any{
		"scenarios": scenarios, "control": control.URL, "artifacts": artifacts, "rows": w.ids, "bodies": w.bodies, "hostile": hostileName, "age": w.ageKey, "stored": w.stored, "measured": w.measured,
		"keys": map[string]string{"url": w.keys.url, "access": string(w.bucketKeys.AccessKey), "secret": string(w.bucketKeys.SecretKey)},
		"live": w.live.url, "cors": w.cors.url, "down": w.down.url, "refused": w.refused.url, "denied": w.denied.url, "token": w.live.token,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "test/page.mjs")
	cmd.Dir = "web"
	cmd.Env = append(os.Environ(), "SCENARIO="+string(scenario))
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	require.NoError(t, cmd.Run())
}

// world is everything that the page needs to be real.
type world struct {
	engine                            pulsestore.Engine
	ageKey                            string // opens what is encrypted
	stored                            int    // rows that a fleet made
	measured                          bool   // the times are held to what the page promises
	store                             *pulsestore.Store
	bucket                            *objectstore.S3
	storage                           component.Component // local_s3
	folder                            string              // of the bucket
	live, cors, down, refused, denied *server
	keys                              *server // has no credentials for the bucket
	bucketKeys                        s3settings.Settings
	ids                               map[string]string                       // name -> trace/span
	bodies                            map[string]string                       // what the page must show
	late                              func() error                            // puts the object that is pending
	burst                             func(n int, id byte, path string) error // inserts many
}

func newWorld(t *testing.T) *world {
	t.Helper()
	engine := startClickHouse(t)
	w := &world{engine: engine.(pulsestore.Engine), ids: map[string]string{}, bodies: map[string]string{}}
	page, refusedAt, keysAt, s3Port := testkit.Addr(t), testkit.Addr(t), testkit.Addr(t), testkit.Addr(t)
	data := t.TempDir()
	w.folder = filepath.Join(data, "qpoint")
	storage := startS3(t, data, s3Port, "http://"+page, "http://"+refusedAt, "http://"+keysAt)
	set := storage.(s3settings.Storage).S3Settings()
	w.storage = storage
	var err error
	w.bucket, err = objectstore.NewS3(t.Context(), set, objectstore.Options{})
	require.NoError(t, err)
	t.Cleanup(w.bucket.CloseIdle)

	w.store, err = pulsestore.Open(engine.(pulsestore.Engine).ClickHouseOptions(), pulsestore.DefaultDatabase)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.store.Close()) })

	id, tokens := component.MustNewID("local_s3"), startTokens(t)
	one := func(endpoint string, edit func(*Config)) *server {
		cfg := testConfig(t)
		cfg.NetAddr.Endpoint = endpoint
		cfg.S3, cfg.Storage = nil, &id
		edit(cfg)
		return startOn(t, cfg, nil, host{id: storage, component.MustNewID("local_clickhouse"): engine, component.MustNewID("pulse_tokens"): tokens})
	}
	own := func(s S3Config) func(*Config) {
		return func(c *Config) { c.Storage, c.S3 = nil, &s }
	}
	w.live = one(page, func(*Config) {})
	require.Equal(t, "no_tables", w.live.code(t, 503, "GET", "/api/v1/requests", ""), "extensions start before `pulse` makes the tables")
	require.NoError(t, w.store.Migrate(t.Context(), pulsestore.SchemaOptions{}))
	w.cors = one("127.0.0.1:0", func(*Config) {}) // its origin is not in the bucket's CORS rule
	w.down = one("127.0.0.1:0", own(S3Config{Endpoint: "http://" + testkit.Addr(t), Bucket: "qpoint", Region: "us-east-1", PathStyle: true, AccessKey: "a", SecretKey: "b"}))
	// local_s3 refuses a wrong signature without CORS headers, so that a page cannot tell.
	w.refused = one(refusedAt, own(S3Config{Endpoint: set.Endpoint, Bucket: "qpoint", Region: "us-east-1", PathStyle: true, AccessKey: set.AccessKey, SecretKey: "wrong"}))
	w.keys, w.bucketKeys = one(keysAt, own(S3Config{Endpoint: set.Endpoint, Bucket: "qpoint", Region: set.Region, PathStyle: true})), set
	// AWS and others send them with every answer.
	polite := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		rw.WriteHeader(http.StatusForbidden)
		_, _ = rw.Write([]byte(`<?xml version="1.0"?><Error><Code>SignatureDoesNotMatch</Code></Error>`))
	}))
	t.Cleanup(polite.Close)
	w.denied = one("127.0.0.1:0", own(S3Config{Endpoint: polite.URL, Bucket: "qpoint", Region: "us-east-1", PathStyle: true, AccessKey: "a", SecretKey: "b"}))
	return w
}

func startClickHouse(t *testing.T) component.Component {
	t.Helper()
	f := localclickhouseextension.NewFactory()
	cfg := f.CreateDefaultConfig().(*localclickhouseextension.Config)
	cfg.DataDir = t.TempDir()
	e, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	if err := e.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		if strings.Contains(err.Error(), "was not found") && os.Getenv("CI") != "true" {
			t.Skip(err)
		}
		t.Fatal(err)
	}
	return e
}

// insert writes rows as the `pulse` exporter does.
func (w *world) insert(requests []pulsestore.Request, objects ...pulsestore.PayloadObject) error {
	b := pulsestore.NewRows()
	for i := range requests {
		b.AddRequest(&requests[i])
	}
	for i := range objects {
		b.AddPayloadObject(&objects[i])
	}
	return w.store.Insert(context.Background(), b)
}

// fillCoverage writes a host's report: something of each kind.
func (w *world) fillCoverage(t *testing.T, now time.Time) {
	t.Helper()
	b := pulsestore.NewRows()
	for _, c := range []pulsestore.Coverage{
		{Subject: "process", Name: "java", State: "not_seen", Reason: "no_secret", Advice: "let it write a key log", Count: 1234, Origin: pulsestore.Origin{Executable: "/usr/bin/java"}},
		{Subject: "process", Name: "curl", State: "seen", Count: 7, Origin: pulsestore.Origin{Executable: "/usr/bin/curl"}},
		{Subject: "feature", Name: "CAP_BPF", State: "supported"},
		{Subject: "feature", Name: "uprobe_multi", State: "missing", Reason: "kernel", Advice: "since Linux 6.6, perf uprobes are used instead"},
		{Subject: "library", Name: "/usr/lib/libcrypto.so.3", State: "attached"},
		{Subject: "drops", Name: "ring", State: "dropped", Reason: "packet", Advice: "raise ring_size_mib", Count: 42},
	} {
		c.Time, c.Environment, c.HostID, c.HostName = now, "demo", "host-1", "box"
		b.AddCoverage(&c)
	}
	require.NoError(t, w.store.Insert(t.Context(), b))
}

func startS3(t *testing.T, data, endpoint string, origins ...string) component.Component {
	t.Helper()
	f := locals3extension.NewFactory()
	cfg := f.CreateDefaultConfig().(*locals3extension.Config)
	cfg.Endpoint, cfg.DataDir = endpoint, data
	cfg.CORS.AllowedOrigins = origins
	e, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, e.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, e.Shutdown(context.Background())) })
	return e
}

func (w *world) control(rw http.ResponseWriter, r *http.Request) {
	var err error
	switch r.URL.Path {
	case "/late":
		err = w.late()
	case "/fresh":
		err = w.fresh("/fresh", 90)
	case "/fresh2":
		err = w.fresh("/fresh-two", 91)
	case "/burst":
		err = w.burst(400, 7, "/burst")
	case "/flood":
		err = w.burst(3000, 6, "/flood")
	case "/token":
		for _, s := range []*server{w.cors, w.down, w.refused, w.denied, w.keys} {
			if s.url == r.URL.Query().Get("of") {
				_, _ = rw.Write([]byte(s.token))
			}
		}
	default:
		http.NotFound(rw, r)
	}
	if err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
	}
}

// fill makes one row for every thing that the page can show.
func (w *world) fill(t *testing.T) {
	t.Helper()
	now := time.Now()
	w.fillCoverage(t, now)
	packed := func(s string) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, err := z.Write([]byte(s))
		require.NoError(t, err)
		require.NoError(t, z.Close())
		return b.Bytes()
	}
	coded := func(open func(io.Writer) io.WriteCloser, s string) []byte {
		var b bytes.Buffer
		z := open(&b)
		_, err := z.Write([]byte(s))
		require.NoError(t, err)
		require.NoError(t, z.Close())
		return b.Bytes()
	}
	newBrotli := func(to io.Writer) io.WriteCloser { return brotli.NewWriter(to) }
	newZstd := func(to io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(to)
		require.NoError(t, err)
		return z
	}
	order := `{"id":12345678901234567890,"state":"paid","note":"canary-in-a-body","items":[{"sku":"A-1","qty":2,"price":19.90},{"sku":"B-7","qty":1,"price":5}],"empty":{},"ok":true,"ref":null}`
	w.bodies["order"] = order
	evil := `<script>window.pwned=1</script><img src=x onerror="window.pwned=1">`
	w.bodies["evil"] = evil
	noise := make([]byte, 90<<10)
	_, _ = rand.Read(noise)
	var pic bytes.Buffer
	img := image.NewRGBA(image.Rect(0, 0, 64, 40))
	for i := range 64 * 40 {
		img.Set(i%64, i/64, color.RGBA{uint8(i % 64 * 4), 118, uint8(i / 64 * 6), 255})
	}
	require.NoError(t, png.Encode(&pic, img))

	type fixture struct {
		name, method, host, path, program string
		status                            uint16
		edit                              func(*pulsestore.Request)
		request, response                 archive.Message
	}
	jsonType := archive.Header{Name: "content-type", Value: "application/json; charset=utf-8"}
	fixtures := []fixture{
		{"order", "POST", "api.shop.example", "/v1/orders/{number}/pay", "/usr/bin/python3.13", 201, nil,
			archive.Message{Body: []byte(`{"amount":44.8,"currency":"EUR"}`), Headers: []archive.Header{{Name: "Host", Value: "api.shop.example"}, {Name: "User-Agent", Value: "python-requests/2.33"}, {Name: "Authorization", Value: "Bearer eyJhbGciOi.demo"}, jsonType}},
			archive.Message{Body: []byte(order), Headers: []archive.Header{jsonType, {Name: "set-cookie", Value: "a=1"}, {Name: "Set-Cookie", Value: "b=2"}, {Name: "x-odd", Value: "caf\xe9"}}}},
		{"evil", "GET", "evil.example", "/", "/usr/bin/curl", 200, nil,
			archive.Message{Headers: []archive.Header{{Name: "Host", Value: "evil.example"}, {Name: "X-Evil", Value: evil}}},
			archive.Message{Body: []byte(evil), Headers: []archive.Header{{Name: "content-type", Value: "text/html"}}}},
		{"gzip", "GET", "cdn.example", "/app.js", "/usr/bin/node", 200, nil, archive.Message{},
			archive.Message{Body: packed("console.log('unpacked');"), Headers: []archive.Header{{Name: "content-type", Value: "text/javascript"}, {Name: "content-encoding", Value: "gzip"}}}},
		{"brotli", "GET", "cdn.example", "/app.css", "/usr/bin/node", 200, nil, archive.Message{},
			archive.Message{Body: coded(newBrotli, "body { color: brotli }\n"), Headers: []archive.Header{{Name: "content-type", Value: "text/css"}, {Name: "content-encoding", Value: "br"}}}},
		{"zstd", "GET", "cdn.example", "/app.json", "/usr/bin/node", 200, nil, archive.Message{},
			archive.Message{Body: coded(newZstd, `{"zstd":"json"}`), Headers: []archive.Header{{Name: "content-type", Value: "application/json"}, {Name: "content-encoding", Value: "zstd"}}, Trailers: []archive.Header{{Name: "server-timing", Value: "db;dur=53"}}}},
		{"bomb", "GET", "evil.example", "/bomb", "/usr/bin/curl", 200, nil, archive.Message{},
			archive.Message{Body: coded(newBrotli, strings.Repeat("\x00", 64<<20)), Headers: []archive.Header{{Name: "content-encoding", Value: "br"}}}},
		{"cut_brotli", "GET", "cdn.example", "/cut.css", "/usr/bin/node", 200, nil, archive.Message{},
			archive.Message{Body: coded(newBrotli, strings.Repeat("body { color: brotli }\n", 100))[:20], BodySize: 50, Truncated: true, Headers: []archive.Header{{Name: "content-encoding", Value: "br"}}}},
		{"events", "GET", "chat.example", "/events", "/usr/bin/node", 200, nil, archive.Message{},
			archive.Message{
				Body: []byte("data: first\n\nevent: tick\nid: 7\ndata: second\n\n"), Decoded: true, Arrivals: []archive.Arrival{{Time: now}},
				Headers: []archive.Header{{Name: "content-type", Value: "text/event-stream"}, {Name: "content-encoding", Value: "gzip"}},
			}},
		{"socket", "GET", "chat.example", "/socket", "/usr/bin/node", 101, nil, archive.Message{}, archive.Message{}},
		{"image", "GET", "cdn.example", "/logo.png", "/usr/bin/node", 200, nil, archive.Message{},
			archive.Message{Body: pic.Bytes(), Headers: []archive.Header{{Name: "content-type", Value: "image/png"}}}},
		{"form", "POST", "login.example", "/session", "/usr/bin/curl", 302, nil,
			archive.Message{Body: []byte("user=ada&remember=1&next=%2Fhome"), Headers: []archive.Header{{Name: "content-type", Value: "application/x-www-form-urlencoded"}}},
			archive.Message{Headers: []archive.Header{{Name: "location", Value: "/home"}}}},
		{"binary", "PUT", "files.example", "/upload/{id}", "/usr/local/bin/backup", 204, nil,
			archive.Message{Body: noise, Headers: []archive.Header{{Name: "content-type", Value: "application/octet-stream"}}}, archive.Message{}},
		{"truncated", "GET", "files.example", "/big.txt", "/usr/bin/wget", 200, func(r *pulsestore.Request) { r.PayloadState = "truncated"; r.PayloadReason = "body_cap" },
			archive.Message{}, archive.Message{Body: []byte(strings.Repeat("line of text\n", 50)), BodySize: 5 << 20, Truncated: true, Headers: []archive.Header{{Name: "content-type", Value: "text/plain"}}}},
		{"no_response", "GET", "slow.example", "/hang", "/usr/bin/curl", 0, func(r *pulsestore.Request) { r.ErrorType = "timeout" }, archive.Message{}, archive.Message{}},
	}
	receipts := pulsestore.NewRows()
	segment := objectkey.New("default", "host-1", now)
	var exchanges []archive.Exchange
	var requests []pulsestore.Request
	for i, f := range fixtures {
		row := w.row(f.name, byte(i+1), now.Add(-time.Duration(i+1)*700*time.Millisecond), segment, "pending")
		row.Method, row.ServerAddress, row.Path, row.Template, row.Executable, row.Status = f.method, f.host, f.path, "", f.program, f.status
		row.Query, row.ErrorType = "", ""
		row.ResponseBodySize = max(uint64(len(f.response.Body)), f.response.BodySize)
		row.RequestBodySize = uint64(len(f.request.Body))
		if f.edit != nil {
			f.edit(&row)
		}
		requests = append(requests, row)
		x := exchange(row, f.request, f.response)
		if f.name == "socket" {
			x.Part = 1
			for i, m := range []archive.WebSocketMessage{
				{FromClient: true, Opcode: 1, Data: []byte("hello from a client")}, {Opcode: 1, Data: []byte("<b>hello</b>")},
				{Opcode: 2, Data: []byte{0, 0xff}}, {FromClient: true, Opcode: 8, Data: []byte("\x03\xe8bye")},
			} {
				m.Time, m.Size = now.Add(time.Duration(i)*time.Millisecond), uint64(len(m.Data))
				x.Messages = append(x.Messages, m)
			}
		}
		exchanges = append(exchanges, x)
	}
	packedUp, err := w.putPacked(segment, exchanges)
	require.NoError(t, err)
	for i := range exchanges {
		receipts.AddPayloadEntry(entryOf(&requests[i], segment, packedUp.Entries[i]))
	}

	states := []struct{ name, state, reason, object string }{
		{"lost", "lost", "queue_full", segment}, {"not_visible", "not_visible", "attached_late", ""}, {"filtered", "filtered", "", ""},
		{"sampled_out", "sampled_out", "", ""}, {"gone", "sent", "", objectkey.New("default", "host-1", now.Add(-time.Hour))},
	}
	for i, s := range states {
		row := w.row(s.name, byte(50+i), now.Add(-time.Duration(i+20)*time.Second), s.object, s.state)
		if s.name == "gone" {
			receipts.AddPayloadEntry(entryOf(&row, s.object, archive.Entry{Length: 100}))
		}
		row.PayloadReason, row.Path, row.Method, row.Status = s.reason, "/state/"+s.name, "GET", []uint16{200, 404, 500, 503, 200}[i]
		row.Kind = []string{"client", "server"}[i%2]
		requests = append(requests, row)
	}

	// Objects that are there and are not what they should be.
	broken := map[string][]byte{"garbage": bytes.Repeat([]byte("this is no archive. "), 5000), "empty": {}}
	whole, err := archive.NewPacker().Pack(slices.Values(exchanges[:1]))
	require.NoError(t, err)
	broken["stranger"] = bytes.Clone(whole.Bytes) // sound, but of another exchange
	for i, name := range []string{"garbage", "empty", "cut", "flipped", "stranger"} {
		key := objectkey.New("default", "host-1", now.Add(-time.Duration(i)*time.Minute))
		row := w.row(name, byte(60+i), now.Add(-time.Duration(i+30)*time.Second), key, "sent")
		entry := whole.Entries[0]
		if name == "flipped" || name == "cut" {
			own, err := archive.NewPacker().Pack(slices.Values([]archive.Exchange{exchange(row, archive.Message{}, archive.Message{})}))
			require.NoError(t, err)
			broken[name], entry = own.Bytes, own.Entries[0]
			if name == "cut" {
				broken[name] = own.Bytes[:200]
			} else {
				own.Bytes[100] ^= 0xff
			}
		}
		require.NoError(t, w.bucket.Put(t.Context(), objectstore.Put{Key: inBucket(key), Body: broken[name], Digest: name}))
		receipts.AddPayloadEntry(entryOf(&row, key, entry))
		row.Path = "/broken/" + name
		requests = append(requests, row)
	}

	late := objectkey.New("default", "host-1", now.Add(time.Second))
	row := w.row("late", 80, now.Add(-300*time.Millisecond), late, "pending")
	row.Path = "/late"
	row.Duration = 10 * time.Minute // its receipt is awaited from its end on: however long the steps before take
	requests = append(requests, row)
	w.late = func() error {
		packed, err := w.putPacked(late, []archive.Exchange{exchange(row, archive.Message{}, archive.Message{Body: []byte("arrived"), Headers: []archive.Header{{Name: "content-type", Value: "text/plain"}}})})
		if err != nil {
			return err
		}
		receipt := pulsestore.NewRows()
		receipt.AddPayloadEntry(entryOf(&row, late, packed.Entries[0]))
		return w.store.Insert(context.Background(), receipt)
	}
	w.burst = func(n int, id byte, path string) error {
		var many []pulsestore.Request
		at := time.Now()
		for i := range n {
			row := fullRequest(1, at.Add(time.Duration(i)*time.Microsecond))
			row.SpanID = [8]byte{id, byte(i >> 8), byte(i), 1}
			row.Path, row.PayloadState = fmt.Sprintf("%s/%d", path, i), "filtered"
			many = append(many, row)
		}
		return w.insert(many)
	}
	require.NoError(t, w.store.Insert(t.Context(), receipts))
	require.NoError(t, w.insert(requests, pulsestore.PayloadObject{Time: now, Key: segment, Environment: "demo", State: "sent", Opened: now, Closed: now}))
}

func entryOf(row *pulsestore.Request, key string, e archive.Entry) *pulsestore.PayloadEntry {
	return &pulsestore.PayloadEntry{
		Time: row.Time, TraceID: row.TraceID, SpanID: row.SpanID, Environment: row.Environment, HostID: row.HostID, Key: key,
		Offset: uint64(e.Offset), Length: uint64(e.Length),
	}
}

// TestNoNeighbour: a link for one exchange cannot read another one of the same object, nor the object.
func TestNoNeighbour(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	segment := objectkey.New("default", "host-1", now)
	var rows []pulsestore.Request
	var exchanges []archive.Exchange
	for i := range 3 {
		row := w.row(fmt.Sprint(i), byte(i+1), now, segment, "sent")
		rows = append(rows, row)
		exchanges = append(exchanges, exchange(row, archive.Message{}, archive.Message{Body: fmt.Appendf(nil, "secret of %d", i), Headers: []archive.Header{{Name: "content-type", Value: "text/plain"}}}))
	}
	packed, err := w.putPacked(segment, exchanges)
	require.NoError(t, err)
	b := pulsestore.NewRows()
	for i := range rows {
		b.AddRequest(&rows[i])
		b.AddPayloadEntry(entryOf(&rows[i], segment, packed.Entries[i]))
	}
	require.NoError(t, w.store.Insert(t.Context(), b))
	status, link, _ := w.live.call(t, "POST", "/api/v1/payload-links", fmt.Sprintf(`{"trace_id":"%x","span_id":"%x"}`, rows[1].TraceID, rows[1].SpanID))
	require.Equal(t, 200, status)
	read := func(span string) (int, []byte) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link["url"].(string), nil)
		require.NoError(t, err)
		if span != "" {
			r.Header.Set("Range", span)
		}
		res, err := http.DefaultClient.Do(r)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		return res.StatusCode, body
	}
	status, own := read(link["range"].(string))
	require.Equal(t, 206, status)
	e := packed.Entries[1]
	require.Equal(t, packed.Bytes[e.Offset:e.Offset+e.Length], own)
	for _, span := range []string{"", "bytes=0-", fmt.Sprintf("bytes=%d-%d", e.Offset, e.Offset+e.Length), fmt.Sprintf("bytes=%d-%d", packed.Entries[0].Offset, packed.Entries[0].Offset+packed.Entries[0].Length-1)} {
		status, body := read(span)
		require.Equal(t, 403, status, "%q", span)
		require.NotContains(t, string(body), "PK\x03\x04")
	}
}

// fresh inserts a row that is new.
func (w *world) fresh(path string, n byte) error {
	row := fullRequest(n, time.Now())
	row.Path, row.PayloadState = path, "filtered"
	return w.insert([]pulsestore.Request{row})
}

func (w *world) row(name string, n byte, at time.Time, object, state string) pulsestore.Request {
	row := fullRequest(n, at)
	row.PayloadObject, row.PayloadState, row.ErrorType = object, state, ""
	w.ids[name] = fmt.Sprintf("%x/%x", row.TraceID, row.SpanID)
	return row
}

func exchange(row pulsestore.Request, request, response archive.Message) archive.Exchange {
	request.Method, request.Target, request.Version = row.Method, row.Path, "1.1"
	x := archive.Exchange{
		TraceID: fmt.Sprintf("%x", row.TraceID), SpanID: fmt.Sprintf("%x", row.SpanID), Started: row.Time,
		Send: row.TimingSend, Wait: row.TimingWait, Receive: row.TimingReceive,
		Scheme: row.Scheme, ServerAddress: row.ServerAddress, ServerPort: 443, Request: request,
	}
	x.Request.BodySize = max(x.Request.BodySize, uint64(len(request.Body)))
	if row.Status != 0 {
		response.Status, response.Reason, response.Version = int(row.Status), http.StatusText(int(row.Status)), "1.1"
		response.BodySize = max(response.BodySize, uint64(len(response.Body)))
		x.Response = &response
	}
	return x
}

// inBucket is where the page's environment has an object.
func inBucket(key string) string { return objectkey.InBucket("", "demo", key) }

func (w *world) putPacked(key string, exchanges []archive.Exchange) (*archive.Archive, error) {
	packed, err := archive.NewPacker().Pack(slices.Values(exchanges))
	if err != nil {
		return nil, err
	}
	return &packed, w.bucket.Put(context.Background(), objectstore.Put{Key: inBucket(key), Body: packed.Bytes, Digest: base64.RawURLEncoding.EncodeToString(packed.Digest[:])})
}
