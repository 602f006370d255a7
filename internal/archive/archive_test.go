// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sample is an exchange with everything that HAR has trouble with.
func sample() Exchange {
	return Exchange{
		TraceID: "0102030405060708090a0b0c0d0e0f10", SpanID: "0102030405060708",
		Started: time.Date(2026, 11, 24, 6, 1, 2, 123456789, time.UTC),
		Send:    1500, Wait: NotMeasured, Receive: 2 * time.Millisecond,
		Scheme: "https", ServerAddress: "example.com", ServerPort: 443, ServerIP: "192.0.2.1", ConnectionID: "00000000000000ff", Incomplete: "gap",
		Resource:        map[string]string{"service.name": "curl", "process.pid": "42"},
		RedactionPolicy: "0123456789abcdef", Redactions: []Redaction{{"request.headers[3]", "header", 1}, {"response.content", "not_redactable:coding", 2}},
		Request: Message{
			Method: "POST", Target: "/a?q=1&q=%20x&bad=%zz&flag", Version: "1.1",
			Headers: []Header{
				{"Host", "example.com:8443"}, {"cOOkie", "a=1; b=2=3"}, {"X-Odd", "caf\xe9"}, {"x-odd", ""}, {"X-Odd", "<&>\u2028"},
				{"Content-Type", "application/json"},
			},
			Trailers: []Header{{"Checksum", "caf\xe9"}, {"checksum", "2"}},
			Body:     []byte(`{"a":"<ü>"}`), BodySize: 12,
		},
		Response: &Message{
			Status: 200, Reason: "D\xe9j\xe0 vu", Version: "1.1",
			Headers: []Header{
				{"Content-Encoding", "gzip"}, {"Set-Cookie", "s=v; Path=/; HttpOnly; Secure"}, {"Set-Cookie", "=broken"},
				{"Content-Type", "text/html"}, {"Location", "/next"},
			},
			Trailers: []Header{{"grpc-status", "5"}, {"grpc-message", "none <&>"}},
			Body:     []byte{0x1f, 0x8b, 0, 255}, BodySize: 4096, Truncated: true,
		},
	}
}

func pack(t testing.TB, xs ...Exchange) Archive {
	t.Helper()
	a, err := NewPacker().Pack(slices.Values(xs))
	require.NoError(t, err)
	return a
}

func TestRoundTrip(t *testing.T) {
	bare := Exchange{TraceID: "t", SpanID: "00000000000000aa", Started: time.Unix(0, 0).UTC(), Send: NotMeasured, Wait: NotMeasured, Receive: NotMeasured}
	empty := sample()
	empty.SpanID, empty.Request.Body, empty.Response.Body = "00000000000000bb", nil, nil // cut to nothing
	a := pack(t, sample(), bare, empty, sample())
	got, err := Read(a.Bytes)
	require.NoError(t, err)
	require.Equal(t, map[string]Exchange{
		"0102030405060708.har": sample(), "00000000000000aa.har": bare, "00000000000000bb.har": empty, "0102030405060708.2.har": sample(),
	}, got)
}

// TestHAR holds the file against HAR 1.2, as another program would read it.
func TestHAR(t *testing.T) {
	var doc map[string]any
	require.NoError(t, json.Unmarshal(firstFile(t, pack(t, sample()).Bytes), &doc))
	checkHAR(t, doc)
	e := doc["log"].(map[string]any)["entries"].([]any)[0].(map[string]any)
	req, res := e["request"].(map[string]any), e["response"].(map[string]any)

	require.Equal(t, "2026-11-24T06:01:02.123456789Z", e["startedDateTime"])
	require.InDelta(t, 2.0015, e["time"], 1e-9)
	require.Equal(t, map[string]any{"send": 0.0015, "wait": -1.0, "receive": 2.0, "_notMeasured": []any{"wait"}}, e["timings"])
	require.Equal(t, "0102030405060708090a0b0c0d0e0f10", e["_traceId"])
	require.Equal(t, "0102030405060708", e["_spanId"])
	require.Equal(t, "192.0.2.1", e["serverIPAddress"])
	require.Equal(t, map[string]any{"service.name": "curl", "process.pid": "42"}, e["_resource"])

	require.Equal(t, "https://example.com:8443/a?q=1&q=%20x&bad=%zz&flag", req["url"])
	require.Equal(t, "HTTP/1.1", req["httpVersion"])
	require.Equal(t, []any{pair("q", "1"), pair("q", " x"), pair("bad", "%zz"), pair("flag", "")}, req["queryString"])
	require.Equal(t, []any{pair("a", "1"), pair("b", "2=3")}, req["cookies"])
	odd := req["headers"].([]any)[2].(map[string]any)
	require.Equal(t, base64.StdEncoding.EncodeToString([]byte("caf\xe9")), odd["_valueBase64"])
	require.Equal(t, map[string]any{"mimeType": "application/json", "text": `{"a":"<ü>"}`}, req["postData"])

	require.Equal(t, map[string]any{
		"size": 4096.0, "mimeType": "text/html", "encoding": "base64", "text": base64.StdEncoding.EncodeToString([]byte{0x1f, 0x8b, 0, 255}),
		"_contentEncoding": "gzip", "_truncated": true, "_originalSize": 4096.0,
	}, res["content"])
	require.Equal(t, []any{pair("grpc-status", "5"), pair("grpc-message", "none <&>")}, res["_trailers"])
	require.Equal(t, base64.StdEncoding.EncodeToString([]byte("caf\xe9")), req["_trailers"].([]any)[0].(map[string]any)["_valueBase64"])
	require.Equal(t, "/next", res["redirectURL"])
	require.Equal(t, []any{map[string]any{"name": "s", "value": "v", "path": "/", "httpOnly": true, "secure": true}}, res["cookies"])

	// A binary request body.
	x := sample()
	x.Request.Body, x.Response = []byte{0, 255}, nil
	doc = nil
	require.NoError(t, json.Unmarshal(firstFile(t, pack(t, x).Bytes), &doc))
	checkHAR(t, doc)
	e = doc["log"].(map[string]any)["entries"].([]any)[0].(map[string]any)
	post := e["request"].(map[string]any)["postData"].(map[string]any)
	require.Equal(t, "base64", post["_encoding"])
	require.Equal(t, "AP8=", post["text"])
	require.Equal(t, true, e["response"].(map[string]any)["_notSeen"])
}

func pair(name, value string) map[string]any { return map[string]any{"name": name, "value": value} }

// checkHAR fails unless every field that HAR 1.2 requires is there with the type it requires.
func checkHAR(t *testing.T, doc map[string]any) {
	t.Helper()
	check := func(where string, v any, fields map[string]any) map[string]any {
		obj, ok := v.(map[string]any)
		require.True(t, ok, where)
		for name, kind := range fields {
			require.IsType(t, kind, obj[name], "%s.%s", where, name)
		}
		return obj
	}
	str, num, list, object := "", 0.0, []any{}, map[string]any{}
	log := check("log", doc["log"], map[string]any{"version": str, "creator": object, "entries": list})
	require.Equal(t, "1.2", log["version"])
	check("creator", log["creator"], map[string]any{"name": str, "version": str})
	require.Len(t, log["entries"], 1)
	e := check("entry", log["entries"].([]any)[0], map[string]any{
		"startedDateTime": str, "time": num, "request": object, "response": object, "cache": object, "timings": object,
	})
	_, err := time.Parse(time.RFC3339Nano, e["startedDateTime"].(string))
	require.NoError(t, err)
	check("timings", e["timings"], map[string]any{"send": num, "wait": num, "receive": num})
	check("request", e["request"], map[string]any{
		"method": str, "url": str, "httpVersion": str, "cookies": list, "headers": list, "queryString": list, "headersSize": num, "bodySize": num,
	})
	res := check("response", e["response"], map[string]any{
		"status": num, "statusText": str, "httpVersion": str, "cookies": list, "headers": list, "content": object,
		"redirectURL": str, "headersSize": num, "bodySize": num,
	})
	check("content", res["content"], map[string]any{"size": num, "mimeType": str})
}

func TestURL(t *testing.T) {
	for _, c := range []struct {
		target, host, scheme, server string
		port                         int64
		want                         string
	}{
		{"/x", "h:1", "http", "s", 80, "http://h:1/x"},
		{"/x", "", "https", "s", 8443, "https://s:8443/x"},
		{"/x", "", "", "2001:db8::1", 80, "http://[2001:db8::1]:80/x"},
		{"/a://b", "h", "http", "", 0, "http://h/a://b"},
		{"http://p/x?y=1", "h", "http", "", 0, "http://p/x?y=1"},
		{"*", "h", "http", "", 0, "http://h/"},
		{"h:443", "h:443", "http", "", 0, "http://h:443/"},
		{"", "", "", "", 0, "http:///"},
	} {
		x := Exchange{Scheme: c.scheme, ServerAddress: c.server, ServerPort: c.port, Request: Message{Target: c.target}}
		if c.host != "" {
			x.Request.Headers = []Header{{"HOST", c.host}}
		}
		require.Equal(t, c.want, absoluteURL(&x))
	}
}

func firstFile(t *testing.T, b []byte) []byte {
	t.Helper()
	zr, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	require.NoError(t, err)
	rc, err := zr.File[0].Open()
	require.NoError(t, err)
	defer rc.Close()
	out, err := io.ReadAll(rc)
	require.NoError(t, err)
	return out
}

// TestLocalHeaders reads an entry as the page does: by the local header alone, without a data
// descriptor behind the data.
func TestLocalHeaders(t *testing.T) {
	a := pack(t, sample(), sample())
	zr, err := zip.NewReader(bytes.NewReader(a.Bytes), int64(len(a.Bytes)))
	require.NoError(t, err)
	require.Len(t, a.Entries, len(zr.File))
	for i, f := range zr.File {
		off, err := f.DataOffset()
		require.NoError(t, err)
		require.Equal(t, Entry{Offset: off - int64(30+len(f.Name)), Length: int64(30+len(f.Name)) + int64(f.CompressedSize64)}, a.Entries[i])
		local := a.Bytes[off-int64(30+len(f.Name)):]
		require.Equal(t, "PK\x03\x04", string(local[:4]))
		require.Zero(t, binary.LittleEndian.Uint16(local[6:])&8, "data descriptor flag")
		require.EqualValues(t, 8, binary.LittleEndian.Uint16(local[8:]), "deflate")
		require.EqualValues(t, f.CRC32, binary.LittleEndian.Uint32(local[14:]))
		require.EqualValues(t, f.CompressedSize64, binary.LittleEndian.Uint32(local[18:]))
		require.EqualValues(t, f.UncompressedSize64, binary.LittleEndian.Uint32(local[22:]))
		require.Zero(t, binary.LittleEndian.Uint16(local[28:]), "extra field")
		require.Equal(t, time.Date(2026, 11, 24, 6, 1, 2, 0, time.UTC), f.Modified.UTC())
	}
}

func TestDeterministic(t *testing.T) {
	p := NewPacker()
	first, err := p.Pack(slices.Values([]Exchange{sample(), sample()}))
	require.NoError(t, err)
	sum, digest := sha256.Sum256(first.Bytes), first.Digest
	for range 10 {
		_, err := p.Pack(slices.Values([]Exchange{{SpanID: "other"}}))
		require.NoError(t, err)
		again, err := p.Pack(slices.Values([]Exchange{sample(), sample()}))
		require.NoError(t, err)
		require.Equal(t, sum, sha256.Sum256(again.Bytes))
		require.Equal(t, digest, again.Digest)
	}
	changed := sample()
	changed.Response.Body = []byte{0x1f, 0x8b, 0, 254}
	require.NotEqual(t, digest, pack(t, sample(), changed).Digest)
	require.NotEqual(t, pack(t, sample()).Digest, digest)
}

// TestOtherReaders opens the archive with programs that are not ours.
func TestOtherReaders(t *testing.T) {
	path := filepath.Join(t.TempDir(), "segment.zip")
	second := sample()
	second.SpanID = "00000000000000aa"
	require.NoError(t, os.WriteFile(path, pack(t, sample(), second).Bytes, 0o600))
	for _, c := range [][]string{
		{"unzip", "-tqq", path},
		{"python3", "-c", `import json, sys, zipfile
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None
assert z.namelist() == ["0102030405060708.har", "00000000000000aa.har"]
for n in z.namelist():
    assert json.loads(z.read(n))["log"]["version"] == "1.2"`, path},
	} {
		t.Run(c[0], func(t *testing.T) {
			bin, err := exec.LookPath(c[0])
			if err != nil && os.Getenv("CI") != "true" {
				t.Skipf("%s is not installed", c[0])
			}
			require.NoError(t, err)
			out, err := exec.Command(bin, c[1:]...).CombinedOutput()
			require.NoError(t, err, "%s", out)
		})
	}
}

func TestReadRefusesGarbage(t *testing.T) {
	_, err := Read([]byte("PK"))
	require.Error(t, err)
	for _, har := range []string{"", "{}", `{"log":{"entries":[{},{}]}}`, `{"log":{"entries":[{"startedDateTime":"x"}]}}`} {
		_, err := ReadHAR([]byte(har))
		require.Error(t, err, har)
	}
	good := string(firstFile(t, pack(t, sample()).Bytes))
	for from, to := range map[string]string{`"encoding":"base64"`: `"encoding":"rot13"`, `"H4sA/w=="`: `"!"`, `"Y2Fm6Q=="`: `"!"`} {
		bad := strings.Replace(good, from, to, 1)
		require.NotEqual(t, good, bad, from)
		_, err := ReadHAR([]byte(bad))
		require.Error(t, err, to)
	}
}
