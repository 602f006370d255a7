// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
)

const (
	card  = "4111111111111111"
	email = "alice@example.com"
	jwt   = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
)

// exchange is a payload record as the engine makes it.
type exchange struct {
	target           string
	headers, answers [][2]string
	body, answer     string
	cut              bool
	messages         []string // of a WebSocket, the client's first, then in turns
}

func (x exchange) put(lr plog.LogRecord) pcommon.Map {
	lr.SetTimestamp(7)
	lr.SetSpanID(pcommon.SpanID{1})
	m := lr.Attributes()
	m.PutStr(semantic.ConnectionRole, "client")
	m.PutStr(semantic.ServerAddress, "api.example.com")
	m.PutInt(semantic.ServerPort, 443)
	m.PutStr(semantic.PayloadRequestMethod, "POST")
	m.PutStr(semantic.PayloadRequestTarget, x.target)
	put := func(key string, hs [][2]string) {
		list := m.PutEmptySlice(key)
		for _, h := range hs {
			pair := list.AppendEmpty().SetEmptySlice()
			pair.AppendEmpty().SetStr(h[0])
			pair.AppendEmpty().SetStr(h[1])
		}
	}
	body := func(b, key, size, truncated string) {
		if b != "" {
			m.PutEmptyBytes(key).FromRaw([]byte(b))
		}
		m.PutInt(size, int64(len(b)))
		m.PutBool(truncated, x.cut)
	}
	put(semantic.PayloadRequestHeaders, x.headers)
	body(x.body, semantic.PayloadRequestBody, semantic.PayloadRequestBodySize, semantic.PayloadRequestBodyTruncated)
	m.PutInt(semantic.PayloadResponseStatus, 200)
	put(semantic.PayloadResponseHeaders, x.answers)
	body(x.answer, semantic.PayloadResponseBody, semantic.PayloadResponseBodySize, semantic.PayloadResponseBodyTruncated)
	if len(x.messages) > 0 {
		list := m.PutEmptySlice(semantic.PayloadWebSocketMessages)
		for i, text := range x.messages {
			message := list.AppendEmpty().SetEmptyMap()
			message.PutBool(semantic.MessageClient, i%2 == 0)
			message.PutStr(semantic.MessageData, text)
			if x.cut {
				message.PutBool(semantic.MessageTruncated, true) // absent when it is whole
			}
		}
	}
	return m
}

type result struct {
	found []string // kind message location place count
	m     pcommon.Map
	book  emit.Totals
}

func run(t testing.TB, set Settings, x exchange) result {
	t.Helper()
	book := emit.NewLedger("inspected", "{message}")
	in, room := New(set, book), int64(1<<20)
	sl := plog.NewScopeLogs()
	m := x.put(sl.LogRecords().AppendEmpty())
	n, fill := in.Inspect(sl.LogRecords(), &room)
	r := result{m: m, book: book.Totals()}
	for i := range n {
		lr := plog.NewLogRecord()
		fill(i, lr)
		at := lr.Attributes().AsRaw()
		require.Equal(t, semantic.EventFinding, lr.EventName())
		require.EqualValues(t, 7, lr.Timestamp())
		if at[semantic.FindingReason] != reasonPlaces {
			require.Equal(t, "client", at[semantic.ConnectionRole])
			require.Equal(t, "api.example.com", at[semantic.ServerAddress])
		}
		for k := range at {
			require.NotEqual(t, semantic.Removed, semantic.ClassOf(k), "%s would not pass anonymize", k)
		}
		name := at[semantic.FindingKind]
		if name == nil {
			name = at[semantic.FindingReason]
		}
		text := func(key string) string { s, _ := at[key].(string); return s }
		r.found = append(r.found, strings.TrimSpace(fmt.Sprint(name, " ", text(semantic.FindingMessage), " ", text(semantic.FindingLocation), " ", text(semantic.FindingPlace), " ", at[semantic.FindingCount])))
	}
	slices.Sort(r.found)
	require.True(t, r.book.Balanced())
	return r
}

func look() Settings { return Settings{Findings: true, CPU: 1, MaxSize: 1 << 20} }

func redact(t testing.TB, c RedactConfig) Settings {
	p, err := c.Compile()
	require.NoError(t, err)
	return Settings{Findings: true, MaxSize: 1 << 10, Redact: p}
}

func packed(s string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(s))
	_ = w.Close()
	return b.String()
}

func TestFindings(t *testing.T) {
	for name, tc := range map[string]struct {
		x    exchange
		want []string
	}{
		"nothing": {exchange{target: "/a/b?page=1", headers: [][2]string{{"Host", "api.example.com"}}, body: `{"a":1}`}, nil},
		"path":    {exchange{target: "/users/" + email}, []string{"email request path  1"}},
		"query":   {exchange{target: "/a?x=1&mail=alice%40example.com&e=" + card}, []string{"card request query e 1", "email request query mail 1"}},
		"headers": {exchange{target: "/", headers: [][2]string{{"X-Mail", email}, {"x-mail", email}}, answers: [][2]string{{"X-Data", jwt}}},
			[]string{"email request header x-mail 2", "jwt response header x-data 1"}},
		"cookies": {exchange{target: "/", headers: [][2]string{{"Cookie", "a=1; mail=" + email}}, answers: [][2]string{{"Set-Cookie", "t=" + jwt + "; Path=/"}}},
			[]string{"email request cookie mail 1", "jwt response cookie t 1"}},
		"names of cookies": {exchange{target: "/", headers: [][2]string{{"Cookie", "a=1; " + email + "=x"}}, answers: [][2]string{{"Set-Cookie", jwt + "=1; Path=/"}}},
			[]string{"email request cookie  1", "jwt response cookie  1"}},
		"json": {exchange{target: "/", headers: [][2]string{{"Content-Type", "application/json; charset=utf-8"}},
			body: `{"user":{"cards":[{"number":"` + card + `"},{"number":4111111111111111}],"e\u006dail":"a\u006cice@example.com"},"` + email + `":true}`},
			[]string{"card request json user.cards[].number 2", "email request json  1", "email request json user.email 1"}},
		"json by id": {exchange{target: "/", headers: [][2]string{{"Content-Type", "application/json"}}, body: `{"550e8400-e29b-41d4-a716-446655440000":{"m":"` + email + `"}}`},
			[]string{"email request json {uuid}.m 1"}},
		"json cut":     {exchange{target: "/", cut: true, headers: [][2]string{{"Content-Type", "application/json"}}, body: `{"a":"` + email + `","b":"` + email[:10]}, []string{"email request json a 1"}},
		"json broken":  {exchange{target: "/", headers: [][2]string{{"Content-Type", "application/json"}}, body: `{"a":1} oops ` + email}, []string{"email request text  1"}},
		"json guessed": {exchange{target: "/", body: ` {"a":"` + email + `"}`}, []string{"email request json a 1"}},
		"lines":        {exchange{target: "/", headers: [][2]string{{"Content-Type", "application/x-ndjson"}}, body: "{\"a\":\"" + email + "\"}\n{\"a\":\"" + email + "\"}\n"}, []string{"email request json a 2"}},
		"form":         {exchange{target: "/", headers: [][2]string{{"Content-Type", "application/x-www-form-urlencoded"}}, body: "mail=alice%40example.com&x=y"}, []string{"email request form mail 1"}},
		"multipart": {exchange{target: "/", headers: [][2]string{{"Content-Type", "multipart/form-data; boundary=xx"}},
			body: "--xx\r\nContent-Disposition: form-data; name=\"mail\"\r\n\r\n" + email + "\r\n--xx\r\nContent-Disposition: form-data; name=j\r\nContent-Type: application/json\r\n\r\n{\"c\":\"" + card + "\"}\r\n--xx--\r\n"},
			[]string{"card request json c 1", "email request multipart mail 1"}},
		"text":   {exchange{target: "/", answers: [][2]string{{"Content-Type", "text/html"}}, answer: "<p>" + email + "</p>"}, []string{"email response text  1"}},
		"binary": {exchange{target: "/", answers: [][2]string{{"Content-Type", "application/grpc"}}, answer: "\x00\x00\x00\x00\x13\x0a\x11" + email}, []string{"email response binary  1"}},
		"events": {exchange{target: "/", answers: [][2]string{{"Content-Type", "text/event-stream"}}, answer: "event: x\ndata: {\"d\":\"" + email + "\"}\n\n"}, []string{"email response json d 1"}},
		"gzip":   {exchange{target: "/", answers: [][2]string{{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}}, answer: packed(`{"m":"` + email + `"}`)}, []string{"email response json m 1"}},
		"coding": {exchange{target: "/", answers: [][2]string{{"Content-Encoding", "rot13"}}, answer: "x"}, []string{"coding response   1"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := run(t, look(), tc.x)
			require.Equal(t, tc.want, r.found)
			_, marked := r.m.Get(semantic.PayloadRedactionPolicy)
			require.False(t, marked)
		})
	}
}

func TestMessagesOfAWebSocket(t *testing.T) {
	for _, cut := range []bool{false, true} {
		r := run(t, look(), exchange{messages: []string{`{"card": "` + card + `"}`, `{"mail": "` + email + `"}`}, cut: cut})
		require.Contains(t, strings.Join(r.found, "\n"), "card request")
		require.Contains(t, strings.Join(r.found, "\n"), "email response")
	}
}

func TestWhatWasNotLookedAtIsCounted(t *testing.T) {
	big := exchange{target: "/", headers: [][2]string{{"Content-Type", "text/plain"}}, body: strings.Repeat("x ", 600) + email}
	set := look()
	set.MaxSize = 1000
	r := run(t, set, big)
	require.Equal(t, []string{"size request   1"}, r.found)
	require.EqualValues(t, 1, r.book.Dropped[reasonSize])
	require.EqualValues(t, 1, r.book.Out, "the response")

	set.CPU = 0
	r = run(t, set, big)
	require.Equal(t, []string{"cpu_budget request   1", "cpu_budget response   1"}, r.found)

	// Too many places: the rest are one row.
	var b strings.Builder
	for i := range 2 * maxGroups {
		fmt.Fprintf(&b, `{"k%c%c":%q}`, 'a'+i/26, 'a'+i%26, email)
	}
	r = run(t, look(), exchange{target: "/", headers: [][2]string{{"Content-Type", "application/json"}}, body: b.String()})
	require.Len(t, r.found, maxGroups+1)
	require.Contains(t, r.found, fmt.Sprintf("places    %d", maxGroups))
}

// TestParts: the head of an exchange is in the records of its parts, too.
func TestParts(t *testing.T) {
	sl := plog.NewScopeLogs()
	for i := range 3 {
		m := exchange{target: "/" + email, headers: [][2]string{{"X-Mail", email}}, answers: [][2]string{{"Content-Type", "text/plain"}}, answer: email}.put(sl.LogRecords().AppendEmpty())
		if i > 0 {
			m.PutInt(semantic.ExchangePart, int64(i))
		}
	}
	n, fill := New(look(), emit.NewLedger("", "")).Inspect(sl.LogRecords(), new(int64))
	got := map[string]int64{}
	for i := range n {
		lr := plog.NewLogRecord()
		fill(i, lr)
		location, _ := lr.Attributes().Get(semantic.FindingLocation)
		count, _ := lr.Attributes().Get(semantic.FindingCount)
		got[location.Str()] = count.Int()
	}
	require.Equal(t, map[string]int64{"path": 1, "header": 1, "text": 3}, got)
}

func TestBudget(t *testing.T) {
	now := time.Unix(0, 0)
	b := budget{share: 0.1, now: func() time.Time { return now }}
	require.True(t, b.begin())
	b.spend(100 * time.Millisecond)
	require.False(t, b.begin(), "a tenth of a second is spent")
	now = now.Add(100 * time.Millisecond)
	require.True(t, b.begin(), "ten more milliseconds")
	b.spend(30 * time.Millisecond)
	now = now.Add(100 * time.Millisecond)
	require.False(t, b.begin(), "what was overdrawn is paid back first")
	now = now.Add(time.Hour)
	require.True(t, b.begin())
	require.Equal(t, 100*time.Millisecond, b.left, "no more than a second's is saved")
}

func attr(t *testing.T, m pcommon.Map, key string) string {
	v, ok := m.Get(key)
	require.True(t, ok, key)
	return text(v)
}

func stars(n int) string { return strings.Repeat("*", n) }

func TestRedaction(t *testing.T) {
	all := RedactConfig{Headers: []string{"Authorization"}, Fields: []string{"password"}, JSONPaths: []string{"$.user.id", "$..secret", "$.list[*].x"}, Detectors: []string{"all"}}
	body := `{"user":{"id":12345,"mail":"` + email + `","pass":1},"password":"hunter2","a":{"secret":{"x":[1,2]}},"list":[{"x":true},{"x":"q"}],"n":7}`
	want := `{"user":{"id":"***","mail":"` + stars(len(email)) + `","pass":1},"password":"*******","a":{"secret":"` + stars(len(`{"x":[1,2]}`)-2) + `"},"list":[{"x":"**"},{"x":"*"}],"n":7}`
	r := run(t, redact(t, all), exchange{
		target:  "/a?password=p%20w&mail=alice%40example.com&ok=1",
		headers: [][2]string{{"Authorization", "Basic xyz"}, {"Content-Type", "application/json"}, {"X-Ok", "fine"}},
		body:    body, answers: [][2]string{{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}}, answer: packed(body),
	})
	require.Equal(t, "/a?password="+stars(5)+"&mail="+stars(19)+"&ok=1", attr(t, r.m, semantic.PayloadRequestTarget))
	require.Equal(t, want, attr(t, r.m, semantic.PayloadRequestBody))
	require.True(t, json.Valid([]byte(want)))
	require.Equal(t, want, attr(t, r.m, semantic.PayloadResponseBody), "the same under a content coding")
	require.True(t, flag(r.m, semantic.PayloadResponseBodyDecoded))
	require.False(t, flag(r.m, semantic.PayloadRequestBodyDecoded))
	size, _ := r.m.Get(semantic.PayloadResponseBodySize)
	require.EqualValues(t, len(want), size.Int())
	hs, _ := r.m.Get(semantic.PayloadRequestHeaders)
	require.Equal(t, stars(9), hs.Slice().At(0).Slice().At(1).Str())
	require.Equal(t, "fine", hs.Slice().At(2).Slice().At(1).Str())
	require.Regexp(t, `^[0-9a-f]{16}$`, attr(t, r.m, semantic.PayloadRedactionPolicy))
	list, _ := r.m.Get(semantic.PayloadRedactions)
	got := map[string]int64{}
	for _, one := range list.Slice().All() {
		got[one.Slice().At(0).Str()+" "+one.Slice().At(1).Str()] = one.Slice().At(2).Int()
	}
	for _, body := range []string{"request.postData", "response.content"} {
		require.EqualValues(t, 1, got[body+" field"])
		require.EqualValues(t, 4, got[body+" json_path"], "%v", got)
		require.EqualValues(t, 1, got[body+" email"])
	}
	require.EqualValues(t, 1, got["request.headers[0] header"])
	require.EqualValues(t, 1, got["request.url email"])

	// Every other kind of body, by detectors alone.
	set := redact(t, RedactConfig{Detectors: []string{"email"}})
	for media, b := range map[string]string{
		"text/plain": "to " + email + "!", "application/octet-stream": "\x00\xff" + email + "\x01", "application/x-www-form-urlencoded": "a=" + email,
		"application/grpc": "\x00\x00\x00\x00\x13\x0a\x11" + email, "text/event-stream": "data: " + email + "\n\n", "multipart/form-data; boundary=b": "--b\r\nX: y\r\n\r\n" + email + "\r\n--b--",
		"application/json": `["` + email + `"]`, "": email, "application/xml": "<a b='" + email + "'/>",
	} {
		for _, coding := range []string{"", "gzip"} {
			x := exchange{target: "/", answers: [][2]string{{"Content-Type", media}, {"Content-Encoding", coding}}, answer: b}
			if coding != "" {
				x.answer = packed(b)
			}
			r := run(t, set, x)
			require.Equal(t, strings.Replace(b, email, stars(len(email)), 1), attr(t, r.m, semantic.PayloadResponseBody), "%s %s", media, coding)
		}
	}
}

// TestRedactionFailsClosed has bodies that the policy cannot be applied to.
func TestRedactionFailsClosed(t *testing.T) {
	paths := RedactConfig{JSONPaths: []string{"$.a"}}
	for name, tc := range map[string]struct {
		c      RedactConfig
		x      exchange
		reason string
	}{
		"unknown coding": {paths, exchange{answers: [][2]string{{"Content-Encoding", "rot13"}}, answer: "x"}, "not_redactable:coding"},
		"broken coding":  {paths, exchange{answers: [][2]string{{"Content-Encoding", "gzip"}}, answer: "x not gzip"}, "not_redactable:coding"},
		"no json":        {paths, exchange{answers: [][2]string{{"Content-Type", "application/json"}}, answer: `{"a" "secret"}`}, "not_redactable:syntax"},
		"grpc":           {paths, exchange{answers: [][2]string{{"Content-Type", "application/grpc"}}, answer: "\x01\x00\x00\x00\x01x"}, "not_redactable:coding"},
	} {
		r := run(t, redact(t, tc.c), tc.x)
		require.Empty(t, attr(t, r.m, semantic.PayloadResponseBody), name)
		list, _ := r.m.Get(semantic.PayloadRedactions)
		require.Equal(t, tc.reason, list.Slice().At(0).Slice().At(1).Str(), name)
	}
	m := run(t, redact(t, paths), exchange{messages: []string{`{"a" "secret"}`, `{"a":"secret"}`}}).m
	list, _ := m.Get(semantic.PayloadWebSocketMessages)
	data := func(i int) string {
		v, _ := list.Slice().At(i).Map().Get(semantic.MessageData)
		return text(v)
	}
	require.Empty(t, data(0), "a message that cannot be redacted")
	require.Equal(t, `{"a":"******"}`, data(1))
	// What was cut is no fault of its own: as much of it as there is was looked at.
	r := run(t, redact(t, paths), exchange{cut: true, answers: [][2]string{{"Content-Type", "application/json"}}, answer: `{"a":"secr`})
	require.Equal(t, `{"a":"****`, attr(t, r.m, semantic.PayloadResponseBody))
	r = run(t, redact(t, paths), exchange{cut: true, answers: [][2]string{{"Content-Type", "application/json"}}, answer: `{"b":tru`})
	require.Equal(t, `{"b":tru`, attr(t, r.m, semantic.PayloadResponseBody))
	r = run(t, redact(t, paths), exchange{cut: true, answers: [][2]string{{"Content-Type", "application/json"}}, answer: `{"a":hunter`})
	require.Empty(t, attr(t, r.m, semantic.PayloadResponseBody), "no cut makes this of JSON")
	gz := packed(`{"b":"` + strings.Repeat("xyz", 100) + `","a":"secret"}`)
	r = run(t, redact(t, RedactConfig{Fields: []string{"b"}}), exchange{cut: true, answers: [][2]string{{"Content-Type", "application/json"}, {"Content-Encoding", "gzip"}}, answer: gz[:len(gz)-9]})
	require.NotContains(t, attr(t, r.m, semantic.PayloadResponseBody), "xyz")
}

// TestCutCoding: what a decoder has kept back until the end that never came is looked at, too, and what cannot be decoded
// does not stay.
func TestCutCoding(t *testing.T) {
	plain := email + " " + strings.Repeat("some words ", 50)
	cut := exchange{cut: true, answers: [][2]string{{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}}, answer: packed(plain)}
	cut.answer = cut.answer[:len(cut.answer)-12]
	require.Equal(t, []string{"email response text  1"}, run(t, look(), cut).found)
	r := run(t, redact(t, RedactConfig{Detectors: []string{"email"}}), cut)
	require.True(t, strings.HasPrefix(attr(t, r.m, semantic.PayloadResponseBody), stars(len(email))+" some words"))

	// The same where nothing has to go, whoever has cut it.
	for _, said := range []bool{true, false} {
		cut.cut = said
		r = run(t, redact(t, RedactConfig{Detectors: []string{"card"}}), cut)
		got := attr(t, r.m, semantic.PayloadResponseBody)
		require.True(t, strings.HasPrefix(got, email) && strings.HasPrefix(plain, got), "%q", got)
		require.True(t, flag(r.m, semantic.PayloadResponseBodyDecoded))
		require.True(t, flag(r.m, semantic.PayloadResponseBodyTruncated))
		list, _ := r.m.Get(semantic.PayloadRedactions)
		require.Equal(t, "not_redactable:coding", list.Slice().At(0).Slice().At(1).Str())
	}

	// What is whole stays as it was.
	cut.answer = packed(plain)
	cut.cut = false
	r = run(t, redact(t, RedactConfig{Detectors: []string{"card"}}), cut)
	require.Equal(t, cut.answer, attr(t, r.m, semantic.PayloadResponseBody))
	require.False(t, flag(r.m, semantic.PayloadResponseBodyDecoded))
}

// TestDeepJSON: below the depth that is walked no name would be found.
func TestDeepJSON(t *testing.T) {
	nested := func(depth int, inner, end string) string {
		return strings.Repeat("[", depth) + inner + end
	}
	for name, c := range map[string]RedactConfig{"fields": {Fields: []string{"a"}}, "paths": {JSONPaths: []string{"$..a"}}} {
		for _, media := range []string{"application/json", ""} {
			x := exchange{headers: [][2]string{{"Content-Type", media}}, body: nested(maxDepth-1, `{"a":"secret"}`, strings.Repeat("]", maxDepth-1))}
			require.Contains(t, attr(t, run(t, redact(t, c), x).m, semantic.PayloadRequestBody), `{"a":"******"}`)
			x.body = nested(maxDepth, `{"a":"secret"}`, strings.Repeat("]", maxDepth))
			require.Empty(t, attr(t, run(t, redact(t, c), x).m, semantic.PayloadRequestBody), name)
			x.body, x.cut = nested(maxDepth, `{"a":"secret`, ""), true
			require.Empty(t, attr(t, run(t, redact(t, c), x).m, semantic.PayloadRequestBody), "%s, cut", name)
		}
	}
	x := exchange{body: nested(maxDepth, `{"a":"`+email+`"}`, strings.Repeat("]", maxDepth))}
	require.Contains(t, attr(t, run(t, redact(t, RedactConfig{Detectors: []string{"email"}}), x).m, semantic.PayloadRequestBody), `{"a":"`+stars(len(email))+`"}`, "detectors need no names")
}

// TestGuessedJSON: what nobody said to be JSON, and is none, is text.
func TestGuessedJSON(t *testing.T) {
	set := redact(t, RedactConfig{Fields: []string{"password"}, Detectors: []string{"email"}})
	events := func(s string) string {
		return attr(t, run(t, set, exchange{answers: [][2]string{{"Content-Type", "text/event-stream"}}, answer: s}).m, semantic.PayloadResponseBody)
	}
	gone := stars(len(email))
	for in, want := range map[string]string{
		"data: {\"password\":\"x\"}\n\ndata: [DONE]\n\n":                       "data: {\"password\":\"*\"}\n\ndata: [DONE]\n\n",
		"data: [alice@example.com] hello\n\ndata: {" + email + "}\n\n":         "data: [" + gone + "] hello\n\ndata: {" + gone + "}\n\n",
		"data: {\r\ndata: \"password\":\r\ndata: \"x\"}\r\n\r\ndata: " + email: "data: {\r\ndata: \"password\":\r\ndata: \"*\"}\r\n\r\ndata: " + gone,
		"data: {\"password\" \"x\"}\nid: 1\n\ndata: [1]\n\n":                   "data:" + stars(len(` {"password" "x"}`)) + "\nid: 1\n\ndata: [1]\n\n",
	} {
		require.Equal(t, want, events(in))
	}
	r := run(t, set, exchange{messages: []string{"[INFO] to " + email, `{"password" "x"}`, "{{template}}"}, body: "[a] " + email})
	require.Equal(t, "[a] "+gone, attr(t, r.m, semantic.PayloadRequestBody))
	list, _ := r.m.Get(semantic.PayloadWebSocketMessages)
	var got []string
	for _, m := range list.Slice().All() {
		v, _ := m.Map().Get(semantic.MessageData)
		got = append(got, text(v))
	}
	require.Equal(t, []string{"[INFO] to " + gone, "", "{{template}}"}, got)
	// A word that is no JSON is text in a body that is said to be JSON, too.
	r = run(t, redact(t, RedactConfig{Detectors: []string{"email"}}), exchange{cut: true, headers: [][2]string{{"Content-Type", "application/json"}}, body: `[` + email + `]`})
	require.Equal(t, "["+gone+"]", attr(t, r.m, semantic.PayloadRequestBody))
}

// TestRoom: what redaction makes larger is bounded for all records together.
func TestRoom(t *testing.T) {
	text := email + strings.Repeat(" ", 5000)
	sl := plog.NewScopeLogs()
	for range 3 {
		exchange{body: text, answers: [][2]string{{"Content-Type", "text/plain"}, {"Content-Encoding", "gzip"}}, answer: packed(text)}.put(sl.LogRecords().AppendEmpty())
	}
	book, room := emit.NewLedger("", ""), int64(12000)
	New(redact(t, RedactConfig{Detectors: []string{"all"}}), book).Inspect(sl.LogRecords(), &room)
	require.EqualValues(t, 12000-2*(len(text)-len(packed(text))), room)
	for i, lr := range sl.LogRecords().All() {
		require.Len(t, attr(t, lr.Attributes(), semantic.PayloadRequestBody), len(text), "what does not grow needs no room")
		if got := attr(t, lr.Attributes(), semantic.PayloadResponseBody); i < 2 {
			require.Len(t, got, len(text))
		} else {
			require.Empty(t, got)
			list, _ := lr.Attributes().Get(semantic.PayloadRedactions)
			require.Contains(t, fmt.Sprint(list.AsRaw()), "response.content not_redactable:size 1")
		}
	}
	require.EqualValues(t, 1, book.Totals().Dropped[reasonSize])
}

// TestOddCodings: nothing gets past redaction by the way it is coded.
func TestOddCodings(t *testing.T) {
	set := redact(t, RedactConfig{Detectors: []string{"email"}})
	x := exchange{answers: [][2]string{{"Content-Encoding", "gzip"}, {"Content-Encoding", "gzip"}}, answer: packed(packed("to " + email))}
	require.Equal(t, "to "+stars(len(email)), attr(t, run(t, set, x).m, semantic.PayloadResponseBody), "two lines are two codings")
	x.answers[1][1] = "identity"
	x.answer = packed("to " + email)
	require.Equal(t, "to "+stars(len(email)), attr(t, run(t, set, x).m, semantic.PayloadResponseBody))

	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write([]byte("deflated"))
	require.NoError(t, w.Close())
	for _, behind := range []string{"", email} {
		r := run(t, set, exchange{answers: [][2]string{{"Content-Encoding", "deflate"}}, answer: z.String() + behind})
		require.Equal(t, "deflated", attr(t, r.m, semantic.PayloadResponseBody))
	}
	for _, behind := range []string{email, "\x1f\x8b" + email} {
		r := run(t, set, exchange{answers: [][2]string{{"Content-Encoding", "gzip"}}, answer: packed("x") + behind})
		require.NotContains(t, attr(t, r.m, semantic.PayloadResponseBody), email)
	}
}

// TestLongKeys: a key is read once, and not for every value below it.
func TestLongKeys(t *testing.T) {
	set := redact(t, RedactConfig{Fields: []string{"password"}, JSONPaths: []string{"$.a[1]"}, Detectors: []string{"email"}})
	body := `{"` + strings.Repeat(`\u0061x`, 1<<17) + `":[` + strings.Repeat(`"`+email+`",`, 999) + `{"pass\u0077ord":1234}]}`
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := run(t, set, exchange{headers: [][2]string{{"Content-Type", "application/json"}}, body: body})
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(64*len(body)))
	require.Equal(t, []string{"email request json {token}[] 999", "secret request json {token}[].password 1"}, r.found)
	require.True(t, strings.HasSuffix(attr(t, r.m, semantic.PayloadRequestBody), `{"pass\u0077ord":"**"}]}`))

	// A name of any length, in any case, is matched, also by a path to a key that is itself taken out, which no place tells.
	long := strings.Repeat("k\u00e9", 100)
	set = redact(t, RedactConfig{Fields: []string{long}, JSONPaths: []string{"$['" + email + "'].x"}, Detectors: []string{"email"}})
	r = run(t, set, exchange{headers: [][2]string{{"Content-Type", "application/json"}}, body: `{"` + strings.ToUpper(long) + `":"q","` + email + `":{"x":"q","y":"` + email + `"}}`})
	require.Equal(t, `{"`+strings.ToUpper(long)+`":"*","`+stars(len(email))+`":{"x":"*","y":"`+stars(len(email))+`"}}`, attr(t, r.m, semantic.PayloadRequestBody))
	require.Equal(t, []string{"email request json  1", "email request json {token}.y 1"}, r.found)
}

func TestPolicy(t *testing.T) {
	p, err := (&RedactConfig{}).Compile()
	require.NoError(t, err)
	require.Nil(t, p)
	a, err := (&RedactConfig{Headers: []string{"A", "b"}, Detectors: []string{"card"}}).Compile()
	require.NoError(t, err)
	b, err := (&RedactConfig{Headers: []string{"B", "a"}, Detectors: []string{"card"}}).Compile()
	require.NoError(t, err)
	require.Equal(t, a.Hash(), b.Hash())
	for bad, c := range map[string]RedactConfig{
		"`redact::detectors` has \"cards\"": {Detectors: []string{"cards"}},
		"`redact::headers` has an empty":    {Headers: []string{" "}},
		"`redact::json_paths` has \"a.b\"":  {JSONPaths: []string{"a.b"}},
		"`redact::json_paths` has \"$\"":    {JSONPaths: []string{"$"}},
		"[?(@.x)]":                          {JSONPaths: []string{"$[?(@.x)]"}},
	} {
		_, err := c.Compile()
		require.ErrorContains(t, err, bad)
	}
	key := func(name string) element { return element{name: []byte(name), index: -1} }
	for path, want := range map[string][]string{
		"$.a": {"a"}, "$['a']": {"a"}, "$.a.b": {"a.b"}, "$..b": {"a.b", "b", "l.0.b"}, "$.l[*].b": {"l.0.b"}, "$.l[0]": {"l.0"}, "$.*": {"a", "b", "l"}, "$..*": {"a", "a.b", "b", "l", "l.0", "l.0.b"}, "$..[0]": {"l.0"},
	} {
		p, err := (&RedactConfig{JSONPaths: []string{path}}).Compile()
		require.NoError(t, err, path)
		places := map[string][]element{
			"a": {key("a")}, "a.b": {key("a"), key("b")}, "b": {key("b")}, "l": {key("l")}, "l.0": {key("l"), {}}, "l.0.b": {key("l"), {}, key("b")},
		}
		var got []string
		for _, k := range slices.Sorted(maps.Keys(places)) {
			if p.path(places[k]) != "" {
				got = append(got, k)
			}
		}
		require.Equal(t, want, got, path)
	}
}

// FuzzBody holds bodies of every kind against two rules: nothing changes its length, and a redacted body has nothing left to redact.
func FuzzBody(f *testing.F) {
	for _, b := range []string{`{"a":["` + email + `",1,{"b":null}]}`, "a=" + email + "&b", "--b\r\nX: y\r\n\r\n" + email, "data: {\"a\":1}\n", `"\`, `{"a":`, `[[[[`, "\x00\x00\x00\x00\x01x"} {
		for kind := range len(kindsOfBody) {
			f.Add(b, uint8(kind), kind%2 == 0)
		}
	}
	p, err := (&RedactConfig{Fields: []string{"a"}, JSONPaths: []string{"$..b"}, Detectors: []string{"all"}}).Compile()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, b string, kind uint8, cut bool) {
		testkit.Keep(t, []byte(b))
		media := kindsOfBody[int(kind)%len(kindsOfBody)]
		in := New(Settings{Findings: true, MaxSize: 1 << 20, Redact: p}, emit.NewLedger("", ""))
		once := []byte(b)
		in.found = map[group]*Finding{}
		if in.content(once, media, cut) != "" {
			return
		}
		require.Len(t, once, len(b))
		if json.Valid([]byte(b)) && strings.Contains(media, "json") {
			require.True(t, json.Valid(once), "%q became %q", b, once)
		}
	})
}

var kindsOfBody = []string{"application/json", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "text/event-stream", "application/grpc", "", "image/png"}

func BenchmarkInspect(b *testing.B) {
	var body strings.Builder
	body.WriteByte('[')
	for i := range 500 {
		fmt.Fprintf(&body, `{"id":%d,"name":"some product of a shop","price":12.50,"tags":["one","two","three"],"description":"Lorem ipsum dolor sit amet, consectetur"},`, i)
	}
	body.WriteString(`{"mail":"` + email + `"}]`)
	sl := plog.NewScopeLogs()
	exchange{target: "/a/b?page=1", headers: [][2]string{{"Content-Type", "application/json"}, {"User-Agent", "curl/8"}}, body: body.String()}.put(sl.LogRecords().AppendEmpty())
	in := New(Settings{Findings: true, CPU: 1e9, MaxSize: 1 << 20}, emit.NewLedger("", ""))
	b.SetBytes(int64(body.Len()))
	b.ReportAllocs()
	for b.Loop() {
		in.Inspect(sl.LogRecords(), new(int64))
	}
}

// TestWordsPassAnonymize: what findings are told by would not look like an identifier to anonymize.
func TestWordsPassAnonymize(t *testing.T) {
	words := []string{
		reasonBudget, reasonSize, reasonCoding, reasonPlaces, reasonSyntax, locationPath, locationQuery, locationHeader, locationCookie, locationTrailer, locationJSON,
		locationForm, locationMultipart, locationText, locationBinary, "request", "response",
	}
	for _, k := range detect.Sensitive {
		words = append(words, k.String())
	}
	for _, w := range words {
		require.Equal(t, detect.None, detect.Segment(w), w)
	}
}

// FuzzRecord has records of any content: nothing of it may end the collector, and what is said of it has no value.
func FuzzRecord(f *testing.F) {
	f.Add("/a?b="+email, "Content-Type", "application/json", `{"a":1}`, `{"a":`, true)
	f.Add("http://u:p@h/%zz;=?&&=", "Cookie", "a=b; c", "", "\x1e\x1e[[", false)
	f.Add("*", "Content-Encoding", "gzip, br", packed("x"), `"`, false)
	f.Add("/", "Content-Type", "multipart/form-data; boundary=\"\"", "--\r\n\r\n", "{", true)
	p, err := (&RedactConfig{Fields: []string{"a"}, JSONPaths: []string{"$..b"}, Headers: []string{"cookie"}, Detectors: []string{"all"}}).Compile()
	require.NoError(f, err)
	f.Fuzz(func(t *testing.T, target, name, value, body, message string, cut bool) {
		testkit.Keep(t, []byte(body))
		for _, set := range []Settings{look(), {Findings: true, MaxSize: 1 << 10, Redact: p}} {
			book := emit.NewLedger("inspected", "{message}")
			sl := plog.NewScopeLogs()
			exchange{target: target, headers: [][2]string{{name, value}}, answers: [][2]string{{name, value}}, body: body, answer: body, messages: []string{message, message}, cut: cut}.
				put(sl.LogRecords().AppendEmpty())
			n, fill := New(set, book).Inspect(sl.LogRecords(), new(int64(1<<16)))
			for i := range n {
				lr := plog.NewLogRecord()
				fill(i, lr)
				if place, ok := lr.Attributes().Get(semantic.FindingPlace); ok {
					require.Equal(t, place.Str(), detect.Place(place.Str()), "anonymize leaves it as it is")
				}
			}
			require.True(t, book.Totals().Balanced())
			require.Zero(t, book.Totals().InFlight)
		}
	})
}
