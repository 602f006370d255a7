// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestSniff(t *testing.T) {
	type want struct{ match, more bool }
	for in, w := range map[string]want{
		"":                                   {false, true},
		"G":                                  {false, true},
		"GET":                                {false, true},
		"GET ":                               {false, true},
		"GET /":                              {false, true},
		"GET / HTTP/1.":                      {false, true},
		"GET / HTTP/1.1":                     {false, true},
		"GET / HTTP/1.1\r":                   {false, true},
		"GET / HTTP/1.1\r\n":                 {true, false},
		"GET / HTTP/1.0\nX":                  {true, false},
		"M-SEARCH * HTTP/1.1\r\n":            {true, false},
		"GET /a b HTTP/1.1\r\n":              {false, false},
		"GET / HTTP/2.0\r\n":                 {false, false},
		"GET / HTTP/1.1x\r\n":                {false, false},
		"GET  / HTTP/1.1\r\n":                {false, false},
		"GET / FTP":                          {false, false},
		"GET /\r\n":                          {false, false},
		" GET / HTTP/1.1\r\n":                {false, false},
		"\x16\x03\x01":                       {false, false},
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n":   {false, false},
		strings.Repeat("A", 32):              {false, true},
		strings.Repeat("A", 33):              {false, false},
		"GET /" + strings.Repeat("a", 20000): {false, false},
		"SSH-2.0-OpenSSH_9.2\r\n":            {false, false},
		"HTTP/1.1 200 OK\r\n":                {false, false},
		"GET /\x80\xff HTTP/1.1\r\n":         {true, false},
		"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n": {true, false},
	} {
		if match, more := Sniff([]byte(in)); (want{match, more}) != w {
			t.Errorf("Sniff(%.40q) = %v, %v", in, match, more)
		}
	}
	for in, w := range map[string]want{
		"":                       {false, true},
		"HTT":                    {false, true},
		"HTTP/1.1 2":             {false, true},
		"HTTP/1.1 200":           {false, true},
		"HTTP/1.1 200 OK":        {false, true},
		"HTTP/1.1 200 OK\r\n":    {true, false},
		"HTTP/1.1 200\r\n":       {true, false},
		"HTTP/1.1 200 \n":        {true, false},
		"HTTP/1.1 2000\r\n":      {false, false},
		"HTTP/1.d 200 OK\r\n":    {false, false},
		"HTTP/2.0 200 OK\r\n":    {false, false},
		"HTTP/1.1 ddd OK\r\n":    {false, false},
		"GET / HTTP/1.1\r\n":     {false, false},
		"HTTP/1.1  200 OK\r\n":   {false, false},
		"HTTP/1.1 200\rOK\r\n\r": {false, false},
	} {
		if match, more := SniffResponse([]byte(in)); (want{match, more}) != w {
			t.Errorf("SniffResponse(%q) = %v, %v", in, match, more)
		}
	}
}

// collect returns the exchanges of a conversation that is fed in pieces of at most n bytes.
func collect(t *testing.T, opt Options, n int, data ...[]byte) []*l7.Exchange {
	var out []*l7.Exchange
	var stats Stats
	p := New(opt, func(x *l7.Exchange) { out = append(out, x) }, &stats)
	var pos [2]uint64
	for i, b := range data { // client, server, client, …
		for _, b := range slices.Collect(slices.Chunk(b, n)) {
			p.Data(i%2 == 0, int64(i+1), pos[i%2], b)
			pos[i%2] += uint64(len(b))
		}
	}
	p.Close(int64(len(data)+1), false)
	checkBooks(t, p, &stats)
	return out
}

// TestAgainstNetHTTP compares with the standard library on generated valid messages.
func TestAgainstNetHTTP(t *testing.T) {
	for seed := uint64(0); seed < 2000; seed++ {
		r := rand.New(rand.NewPCG(seed, 7))
		c := &conversation{r: r, sizes: map[int]int{}, methods: map[int]string{}}
		req := c.request(1)
		res := c.response(1)
		if r.IntN(8) == 0 && c.methods[1] != "HEAD" { // ends with the connection
			res = fmt.Appendf(nil, "HTTP/1.%d 200 Fine\r\nX-Id: 1\r\n\r\n%s", r.IntN(2), c.filler())
		}
		got := collect(t, Options{KeepPayload: true}, 1+r.IntN(200), req, res)
		if len(got) != 1 || got[0].Response == nil || got[0].Incomplete != "" {
			t.Fatalf("seed %d: %d exchanges of %q %q", seed, len(got), req, res)
		}
		x := got[0]
		hr, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(req)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(hr.Body)
		if err != nil {
			t.Fatal(err)
		}
		if x.Request.Method != hr.Method || x.Request.Target != hr.RequestURI || "HTTP/"+x.Request.Version != hr.Proto || !bytes.Equal(x.Request.Body, body) {
			t.Fatalf("seed %d: %+v of %q", seed, x.Request, req)
		}
		if x.Request.Get("host") != hr.Host {
			t.Fatalf("seed %d: host %q", seed, x.Request.Get("host"))
		}
		rd := bufio.NewReader(bytes.NewReader(res))
		status, header, body := readFinal(t, rd, hr)
		m := x.Response
		if fmt.Sprintf("%d %s", m.Status, m.Reason) != status || !bytes.Equal(m.Body, body) || int(m.BodySize) != len(body) || !m.Complete {
			t.Fatalf("seed %d: %+v of %q", seed, m, res)
		}
		for name, vs := range header {
			if m.Get(name) != vs[0] {
				t.Fatalf("seed %d: %s is %q, want %q", seed, name, m.Get(name), vs[0])
			}
		}
	}
}

// readFinal reads responses up to the final one and returns its status, header and content.
func readFinal(t *testing.T, rd *bufio.Reader, req *http.Request) (string, http.Header, []byte) {
	t.Helper()
	for {
		res, err := http.ReadResponse(rd, req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode >= 200 {
			return res.Status, res.Header, body
		}
	}
}

// tunnelReader records what it is handed.
type tunnelReader struct {
	bytes.Buffer
	closed bool
}

func (r *tunnelReader) Data(fromClient bool, t int64, pos uint64, b []byte) {
	fmt.Fprintf(r, "%v@%d:%s|", fromClient, pos, b)
}
func (r *tunnelReader) Gap(fromClient bool, t int64, pos uint64, n uint64) {
	fmt.Fprintf(r, "gap %d|", n)
}
func (r *tunnelReader) Close(int64, bool) { r.closed = true }

func TestTunnelHandsOver(t *testing.T) {
	var r tunnelReader
	var emitted *l7.Exchange
	var stats Stats
	p := New(Options{OnTunnel: func(x *l7.Exchange) l7.Stream {
		if x != emitted {
			t.Error("asked before the exchange was emitted")
		}
		return &r
	}}, func(x *l7.Exchange) { emitted = x }, &stats)
	up, ok := "GET /ws HTTP/1.1\r\nUpgrade: x\r\n\r\n", "HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\nab"
	p.Data(true, 1, 0, []byte(up))
	p.Data(true, 1, uint64(len(up)), []byte("early")) // not waiting for the 101
	p.Data(false, 2, 0, []byte(ok))
	p.Data(true, 3, 100, []byte("GET / HTTP/1.1\r\n\r\n"))
	p.Gap(false, 4, 50, 7)
	p.Close(5, false)
	want := fmt.Sprintf("true@%d:early|false@%d:ab|true@100:GET / HTTP/1.1\r\n\r\n|gap 7|", len(up), len(ok)-2)
	if r.String() != want || !r.closed || emitted == nil || emitted.Response.Status != 101 || emitted.Incomplete != "" {
		t.Errorf("handed over %q, closed %v, exchange %+v; want %q", r.String(), r.closed, emitted, want)
	}
	checkBooks(t, p, &stats)
	if n := stats.Skipped[SkipTunnel].Load(); n != 25 {
		t.Errorf("%d bytes in the tunnel", n)
	}
}

func TestSkippable(t *testing.T) {
	var stats Stats
	var got *l7.Exchange
	p := New(Options{KeepPayload: true, MaxBody: 10}, func(x *l7.Exchange) { got = x }, &stats)
	p.Data(true, 1, 0, []byte("GET / HTTP/1.1\r\n\r\n"))
	p.Data(false, 2, 0, []byte("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n01234"))
	if n := p.Skippable(false); n != 0 {
		t.Errorf("skippable %d before the cap", n)
	}
	p.Data(false, 2, 50, []byte("567890"))
	n := p.Skippable(false)
	if n != 89 {
		t.Errorf("skippable %d after the cap", n)
	}
	p.Gap(false, 3, 60, n)
	if got == nil || got.Incomplete != "" || !got.Response.Complete || got.Response.BodySize != 100 || string(got.Response.Body) != "0123456789" || !got.Response.Truncated || got.Response.Missing != 89 {
		t.Errorf("exchange %+v", got)
	}
	p.Close(4, false)
	checkBooks(t, p, &stats)
}

// TestKeptValues makes sure that what is emitted does not change with later exchanges.
func TestKeptValues(t *testing.T) {
	var data [][]byte
	for i := range 50 {
		b := []byte(fmt.Sprintf("POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n%02d", i%3, i))
		data = append(data, b, []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nX: %d\r\nContent-Length: 2\r\n\r\n%02d", i%2, i)))
	}
	got := collect(t, Options{KeepPayload: true}, 13, data...)
	for _, b := range data {
		clear(b) // the caller's memory is valid during the call only
	}
	for i, x := range got {
		if x.Request.Target != fmt.Sprint("/", i%3) || string(x.Request.Body) != fmt.Sprintf("%02d", i) ||
			x.Response.Get("x") != strconv.Itoa(i%2) || string(x.Response.Body) != fmt.Sprintf("%02d", i) || x.Sequence != uint32(i) {
			t.Fatalf("exchange %d: %+v %+v", i, x.Request, x.Response)
		}
	}
	if len(got) != 50 {
		t.Errorf("%d exchanges", len(got))
	}
}
