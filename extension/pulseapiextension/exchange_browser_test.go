// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// TestExchange opens payloads of every kind, in every way that the page has.
func TestExchange(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	w.fill(t)
	w.fillExchanges(t)
	w.drive(t, "exchange")
	require.NotZero(t, w.live.logs.FilterMessage("payload link").Len(), "every link is in the audit log")
	w.live.requireLogsWithout(t, w.live.token, "canary-in-a-body", "Signature", "-secret-1")
	w.keys.requireLogsWithout(t, string(w.bucketKeys.AccessKey), string(w.bucketKeys.SecretKey))
}

// TestHostileContent opens payloads that attack the page.
func TestHostileContent(t *testing.T) {
	needBrowser(t)
	w := newWorld(t)
	w.fillExchanges(t)
	w.drive(t, "hostile")
}

// TestPageUnits runs the tests of the page's own parsers and writers, under node.
func TestPageUnits(t *testing.T) {
	if _, err := os.Stat("web/node_modules/typescript/package.json"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("npm ci in web has not run")
		}
		t.Skip("npm ci in web has not run")
	}
	cmd := exec.CommandContext(t.Context(), "npm", "test", "--silent")
	cmd.Dir = "web"
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// exchanges makes rows and payloads for what the exchange panel can show. They are from yesterday, so that the lists of today
// do not have them.
type exchanges struct {
	t       *testing.T
	w       *world
	at      time.Time
	segment string
	rows    []pulsestore.Request
	all     []archive.Exchange
}

func headers(pairs ...string) (out []archive.Header) {
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, archive.Header{Name: pairs[i], Value: pairs[i+1]})
	}
	return out
}

func (e *exchanges) add(name string, edit func(*pulsestore.Request, *archive.Exchange), request, response archive.Message) *pulsestore.Request {
	n := byte(100 + len(e.rows))
	row := e.w.row(name, n, e.at.Add(time.Duration(n)*time.Second), e.segment, "pending")
	row.Method, row.Path, row.Template, row.Query, row.Status, row.ErrorType, row.ConnectionID = "POST", "/"+name, "", "", 200, "", 0xabad1dea00000001
	row.ParentSpanID = [8]byte{}
	row.ServerAddress, row.Executable = "api.shop.example", "/usr/bin/python3.13"
	row.RequestBodySize, row.ResponseBodySize = uint64(len(request.Body)), uint64(len(response.Body))
	x := exchange(row, request, response)
	if edit != nil {
		edit(&row, &x)
		x.TraceID, x.SpanID = fmt.Sprintf("%x", row.TraceID), fmt.Sprintf("%x", row.SpanID)
	}
	e.w.ids[name] = fmt.Sprintf("%x/%x", row.TraceID, row.SpanID)
	e.rows, e.all = append(e.rows, row), append(e.all, x)
	return &e.rows[len(e.rows)-1]
}

// fillExchanges stores them, each with its receipt.
func (w *world) fillExchanges(t *testing.T) {
	t.Helper()
	at := time.Now().Add(-23 * time.Hour)
	e := &exchanges{t: t, w: w, at: at, segment: objectkey.New("default", "host-1", at)}
	jsonType := archive.Header{Name: "Content-Type", Value: "application/json"}

	order := func(state string, qty int) []byte {
		return []byte(fmt.Sprintf(`{"id":12345678901234567890,"state":%q,"token":"tok-secret-1","customer":{"name":"Ada","email":"ada@example.com"},"items":[{"sku":"A-1","qty":%d,"price":19.90},{"sku":"B-7","qty":1,"price":5}]}`, state, qty))
	}
	for i, name := range []string{"secrets", "secrets2"} {
		e.add(name, func(r *pulsestore.Request, x *archive.Exchange) {
			r.Query = "page&access_token"
			x.Request.Target = "/v1/orders?page=2&access_token=query-secret-1"
			x.Resource = map[string]string{"process.command_line": "python3 shop.py --verbose"}
		}, archive.Message{
			Body: []byte(`{"amount":44.8,"password":"body-secret-1"}`),
			Headers: append(headers("Host", "api.shop.example", "User-Agent", "python-requests/2.33", "Authorization", "Bearer header-secret-1", "Cookie", "sid=cookie-secret-1; theme=dark",
				"X-Api-Key", "key-secret-1", "X-Request-Id", fmt.Sprint("r-", i)), jsonType),
		}, archive.Message{
			Body:    order([]string{"paid", "open"}[i], 2+i),
			Headers: append(headers("Set-Cookie", "sid=set-secret-1; Path=/; HttpOnly; Secure", "Set-Cookie", "theme=dark; Max-Age=60", "Server", []string{"nginx", "envoy"}[i]), jsonType),
		})
	}
	big := strings.Builder{}
	rng := rand.New(rand.NewPCG(1, 2))
	big.WriteString(`{"rows":[`)
	for i := range 30_000 {
		if i > 0 {
			big.WriteByte(',')
		}
		fmt.Fprintf(&big, `{"n":%d,"id":"%016x%016x%016x"}`, i, rng.Uint64(), rng.Uint64(), rng.Uint64())
	}
	big.WriteString(`],"last":"at-the-end"}`)
	e.add("big", nil, archive.Message{Headers: headers("Host", "api.shop.example")}, archive.Message{Body: []byte(big.String()), Headers: append(headers("X-Head", "is-loaded-first"), jsonType)})

	e.add("multipart", nil, archive.Message{
		Body:    []byte("--B\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nfirst part\r\n--B\r\nContent-Disposition: form-data; name=\"doc\"; filename=\"a.json\"\r\nContent-Type: application/json\r\n\r\n{\"in\":\"a part\"}\r\n--B--\r\n"),
		Headers: headers("Content-Type", "multipart/form-data; boundary=B"),
	}, archive.Message{Headers: headers("Content-Type", "text/plain"), Body: []byte("ok")})

	frame := func(compressed bool, message []byte) []byte {
		out := []byte{0}
		if compressed {
			out[0] = 1
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(message)
			_ = z.Close()
			message = b.Bytes()
		}
		return append(binary.BigEndian.AppendUint32(out, uint32(len(message))), message...)
	}
	e.add("grpc", func(r *pulsestore.Request, _ *archive.Exchange) { r.ProtocolVersion = "2" }, archive.Message{
		Body: frame(false, []byte("\x0a\x05hello\x10\x2a")), Headers: headers("content-type", "application/grpc", "te", "trailers"),
	}, archive.Message{
		Body:    append(frame(true, []byte("\x0a\x0bfrom a gzip\x1a\x02\x08\x07")), frame(false, []byte("\x0a\x06second"))...),
		Headers: headers("content-type", "application/grpc", "grpc-encoding", "gzip"), Trailers: headers("grpc-status", "0"),
	})
	e.add("llm", nil, archive.Message{Body: []byte(`{"stream":true}`), Headers: []archive.Header{jsonType}}, archive.Message{
		Body:    []byte("data: {\"choices\":[{\"delta\":{\"content\":\"The answer \"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"is 42.\"}}]}\n\ndata: [DONE]\n\n"),
		Headers: headers("Content-Type", "text/event-stream"),
	})
	// A WebSocket whose messages came in two parts.
	socket := *e.add("parts", func(r *pulsestore.Request, x *archive.Exchange) {
		r.Status, r.Method, x.Response.Status, x.Response.Reason = 101, "GET", 101, "Switching Protocols"
	}, archive.Message{Headers: headers("Upgrade", "websocket")}, archive.Message{Headers: headers("Upgrade", "websocket")})
	for part := range uint32(2) {
		e.add(fmt.Sprint("part", part+1), func(r *pulsestore.Request, x *archive.Exchange) {
			r.TraceID, r.ParentSpanID, r.Part, r.Method = socket.TraceID, socket.SpanID, part+1, "GET"
			x.Part = int64(part + 1)
			for i := range 3 {
				text := fmt.Sprintf(`{"part":%d,"message":%d}`, part+1, i)
				x.Messages = append(x.Messages, archive.WebSocketMessage{Time: r.Time.Add(time.Duration(i) * time.Millisecond), FromClient: i%2 == 0, Opcode: 1, Data: []byte(text), Size: uint64(len(text))})
			}
		}, archive.Message{}, archive.Message{})
	}
	e.add("redacted", func(_ *pulsestore.Request, x *archive.Exchange) {
		x.RedactionPolicy, x.Redactions = "0123456789abcdef", []archive.Redaction{{At: "request.headers[0]", Reason: "header", Count: 1}, {At: "request.postData", Reason: "email", Count: 2}}
	}, archive.Message{Headers: headers("Authorization", "*****"), Body: []byte("****")}, archive.Message{})
	e.hostile()
	e.store()
	e.states()
}

// store puts them into one object, with receipts.
func (e *exchanges) store() {
	t, w := e.t, e.w
	packed, err := w.putPacked(e.segment, e.all)
	require.NoError(t, err)
	b := pulsestore.NewRows()
	for i := range e.rows {
		b.AddRequest(&e.rows[i])
		b.AddPayloadEntry(entryOf(&e.rows[i], e.segment, packed.Entries[i]))
	}
	b.AddPayloadObject(&pulsestore.PayloadObject{
		Time: e.at, Key: e.segment, Environment: "demo", State: "stored", Opened: e.at, Closed: e.at, Size: uint64(len(packed.Bytes)), SHA256: sha256.Sum256(packed.Bytes),
		Expires: e.at.Add(30 * 24 * time.Hour), RetentionClass: "standard", Entries: uint32(len(e.rows)),
	})
	yes := true
	b.AddConnection(&pulsestore.Connection{
		Origin: e.rows[0].Origin, Time: e.at, Start: e.at.Add(-3 * time.Second), ConnectionID: 0xabad1dea00000001, State: "closed", Role: "client", CloseReason: "fin",
		LocalAddress: netip.MustParseAddr("10.0.0.2"), LocalPort: 50000, PeerAddress: netip.MustParseAddr("192.0.2.7"), PeerPort: 443, ServerAddress: "api.shop.example",
		Protocol: "http", ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "TLS_AES_128_GCM_SHA256", TLSNextProtocol: "http/1.1", SentBytes: 5000, ReceivedBytes: 90_000,
		SentPackets: 20, ReceivedPackets: 80, Retransmits: 1, RTT: 12 * time.Millisecond, Duration: time.Minute, Requests: 12, Visibility: "visible", Transport: "tcp",
		Handshake: pulsestore.Handshake{
			TLSResumed: &yes, TLSClientJA3: "e7d705a3286e19ea42f587b344ee6865", TLSClientJA4: "t13d1516h2_8daaf6152771_b186095e22b6", TLSServerSubject: "CN=api.shop.example,O=Shop",
			TLSServerIssuer: "CN=Example CA", TLSServerNotBefore: e.at.Add(-24 * time.Hour).Truncate(time.Second), TLSServerNotAfter: e.at.Add(20 * 24 * time.Hour).Truncate(time.Second),
		},
	})
	require.NoError(t, w.store.Insert(t.Context(), b))
}

// states are payloads that cannot be shown, beside those of the list.
func (e *exchanges) states() {
	t, w := e.t, e.w
	b := pulsestore.NewRows()
	one := func(name string, n byte, state, reason string, object pulsestore.PayloadObject, body []byte) {
		key := objectkey.New("default", "host-1", e.at.Add(time.Duration(n)*time.Minute))
		row := w.row(name, n, e.at.Add(time.Duration(n)*time.Second), key, state)
		row.PayloadReason, row.Path = reason, "/state/"+name
		b.AddRequest(&row)
		length := 100
		if body != nil {
			require.NoError(t, w.bucket.Put(t.Context(), objectstore.Put{Key: inBucket(key), Body: body, Digest: name}))
			length = len(body)
		}
		b.AddPayloadEntry(entryOf(&row, key, archive.Entry{Offset: 0, Length: int64(length)}))
		if object.State != "" {
			object.Time, object.Key, object.Environment, object.Opened, object.Closed = e.at, key, "demo", e.at, e.at
			b.AddPayloadObject(&object)
		}
	}
	one("expired", 201, "pending", "", pulsestore.PayloadObject{State: "stored", Size: 10, Expires: e.at.Add(time.Hour)}, nil)
	one("erased", 202, "pending", "", pulsestore.PayloadObject{State: "erased"}, nil)
	one("no_receipt", 203, "pending", "", pulsestore.PayloadObject{}, nil)
	// What age makes (age-encryption.org/v1), stored as an entry of its own name.
	sealed := storedEntry(204, []byte("age-encryption.org/v1\n-> X25519 abc\n--- def\n"))
	one("encrypted", 204, "pending", "", pulsestore.PayloadObject{State: "stored", Size: 10}, sealed)
	// What qpoint_s3 seals, and the key that the user holds.
	identity, err := age.GenerateX25519Identity()
	require.NoError(t, err)
	w.ageKey = identity.String()
	key := objectkey.New("default", "host-1", e.at.Add(206*time.Minute))
	row := w.row("sealed", 206, e.at.Add(206*time.Second), key, "pending")
	row.Path = "/state/sealed"
	x := exchange(row, archive.Message{}, archive.Message{Body: []byte("only for who has the key"), Headers: []archive.Header{{Name: "content-type", Value: "text/plain"}}})
	file, err := archive.NewSealer([]age.Recipient{identity.Recipient()}).Seal(&x)
	require.NoError(t, err)
	packed, err := w.putPacked(key, []archive.Exchange{{TraceID: x.TraceID, SpanID: x.SpanID, Sealed: file}})
	require.NoError(t, err)
	b.AddRequest(&row)
	b.AddPayloadEntry(entryOf(&row, key, packed.Entries[0]))
	b.AddPayloadObject(&pulsestore.PayloadObject{Time: e.at, Key: key, Environment: "demo", Opened: e.at, Closed: e.at, State: "stored", Size: uint64(len(packed.Bytes))})
	// An object that is not the one of its receipt.
	one("tampered", 205, "pending", "", pulsestore.PayloadObject{State: "stored", Size: 10, SHA256: [32]byte{1}}, sealed)
	require.NoError(t, w.store.Insert(t.Context(), b))
}

// storedEntry is one entry of a ZIP, not compressed, as qpoint_s3 begins one.
func storedEntry(n byte, content []byte) []byte {
	row := fullRequest(n, time.Time{})
	name := fmt.Sprintf("%x.har", row.SpanID)
	out := []byte("PK\x03\x04\x14\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	out = binary.LittleEndian.AppendUint32(out, crc32.ChecksumIEEE(content))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(content)))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(content)))
	out = binary.LittleEndian.AppendUint16(out, uint16(len(name)))
	out = append(append(append(out, 0, 0), name...), content...)
	return out
}

// hostile has payloads that attack whoever looks at them, in every field that a server or client can fill.
func (e *exchanges) hostile() {
	attacks := hostileTexts()
	for name, text := range attacks {
		one := strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
		e.add("hostile_"+name, func(r *pulsestore.Request, x *archive.Exchange) {
			r.Method, r.Path, r.Query, r.ServerAddress, r.Executable, r.ServiceName, r.User = one, "/"+one, one, one, "/tmp/"+one, one, one
			r.HostName, r.PodName, r.K8sNamespace, r.K8sContainer, r.ContainerID = one, one, one, one, one
			r.TLSVersion, r.TLSCipher, r.ProtocolVersion = one, one, one
			x.Request.Method, x.Request.Target, x.Request.Version, x.Response.Reason, x.Response.Version = one, "/"+one+"?"+one+"="+one, one, one, one
			x.Resource, x.Incomplete = map[string]string{"process.command_line": one}, one
			x.RedactionPolicy, x.Redactions = one, []archive.Redaction{{At: one, Reason: one, Count: 1}}
			x.Messages = []archive.WebSocketMessage{{Time: r.Time, Opcode: 1, Data: []byte(text), Size: uint64(len(text)), Incomplete: one}}
			r.Status = 101
		}, archive.Message{
			Headers: headers("Host", one, one, one, "Content-Type", "text/html", "Cookie", one+"="+one, "Referer", one), Trailers: headers(one, one), Body: []byte(text),
		}, archive.Message{
			Headers: headers("Content-Type", "image/svg+xml", "Location", one, "Set-Cookie", one+"="+one+"; Path="+one, one, one), Trailers: headers(one, one), Body: []byte(text),
		})
	}
	all := make([]string, 0, len(attacks))
	for _, text := range attacks {
		all = append(all, text)
	}
	object := map[string]any{}
	for _, text := range all {
		object[text] = []any{text, map[string]any{text: text}}
	}
	asJSON, err := json.Marshal(object)
	require.NoError(e.t, err)
	asText := strings.Join(all, "\n")
	form := strings.Builder{}
	parts := strings.Builder{}
	events := strings.Builder{}
	var proto []byte
	for _, text := range all {
		one := strings.NewReplacer("\r", "", "\n", "", "\x00", "").Replace(text)
		fmt.Fprintf(&form, "%s=%s&", strings.ReplaceAll(one, "&", "%26"), strings.ReplaceAll(one, "&", "%26"))
		fmt.Fprintf(&parts, "--B\r\nContent-Disposition: form-data; name=\"%s\"; filename=\"%s.svg\"\r\nContent-Type: image/svg+xml\r\n\r\n%s\r\n", strings.ReplaceAll(one, `"`, `\"`), strings.ReplaceAll(one, `"`, `\"`), text)
		fmt.Fprintf(&events, "event: %s\nid: %s\ndata: %s\n\n", one, one, one)
		proto = append(append(append(proto, 0x0a), binary.AppendUvarint(nil, uint64(len(text)))...), text...)
	}
	for name, m := range map[string]archive.Message{
		"json": {Headers: headers("Content-Type", "application/json"), Body: asJSON}, "text": {Headers: headers("Content-Type", "text/html"), Body: []byte(asText)},
		"form": {Headers: headers("Content-Type", "application/x-www-form-urlencoded"), Body: []byte(form.String())}, "multi": {Headers: headers("Content-Type", "multipart/form-data; boundary=B"), Body: []byte(parts.String() + "--B--")},
		"events": {Headers: headers("Content-Type", "text/event-stream"), Body: []byte(events.String())}, "proto": {Headers: headers("Content-Type", "application/x-protobuf"), Body: proto},
		"svg":      {Headers: headers("Content-Type", "image/svg+xml"), Body: []byte(attacks["svg"])},
		"polyglot": {Headers: headers("Content-Type", "text/html"), Body: append(append([]byte{}, polyglotGIF...), []byte(attacks["html"])...)},
	} {
		e.add("hostile_body_"+name, nil, m, m)
	}
}

// polyglotGIF is a picture of one pixel that a browser may take for a script.
var polyglotGIF, _ = base64.StdEncoding.DecodeString("R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs=")

// hostileTexts attack a page, a terminal, or the eye.
func hostileTexts() map[string]string {
	return map[string]string{
		"html":     `</pre></textarea></script><script>window.pwned=1;alert(1)</script><img src=x onerror="window.pwned=1;alert(2)"><iframe srcdoc="<script>parent.pwned=1</script>"></iframe>`,
		"remote":   `<img src="http://attacker.invalid/a.png"><link rel=stylesheet href="http://attacker.invalid/a.css"><script src="//attacker.invalid/a.js"></script><meta http-equiv=refresh content="0;url=http://attacker.invalid/">`,
		"svg":      `<svg xmlns="http://www.w3.org/2000/svg" onload="window.pwned=1"><script>window.pwned=1</script><foreignObject><body onload="window.pwned=1"/></foreignObject><image href="http://attacker.invalid/x.png"/></svg>`,
		"url":      `javascript:window.pwned=1//"onmouseover="window.pwned=1`,
		"data":     `data:text/html,<script>window.pwned=1</script>`,
		"template": `{{constructor.constructor('window.pwned=1')()}}${window.pwned=1}{@html '<img src=x onerror=window.pwned=1>'}`,
		"terminal": "\x1b]0;owned\x07\x1b[2J\x1b]52;c;cm0gLXJm\x07\u009b31m'; touch /tmp/pwned; '`id`$(id)",
		"bidi":     "user\u202e txt.exe\u2066 // if admin\u2069 \u2066begin\u200b\ufeff\u200f\u061c",
		"css":      `</style><style>*{background:url(http://attacker.invalid/)}</style>" style="background:url(http://attacker.invalid/)`,
		"proto":    `__proto__`,
	}
}
