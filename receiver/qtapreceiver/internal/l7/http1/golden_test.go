// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

var update = flag.Bool("update", false, "write the golden files")

// A script in testdata is a list of lines:
//
//	# comment            opt KEY VALUE (MaxBody, MaxHeader, MaxPending, KeepPayload)
//	C "bytes"            bytes of the client, Go-quoted; S of the server
//	C 3*"bytes"          repeated
//	GC 100               gap of 100 bytes in the client's direction (0: unknown); GS in the server's
//	RESET                the connection ends by a reset instead of a FIN
//
// The time of a line is its number among these. Its exchanges are in the .json beside it.
type script struct {
	opt    Options
	events []scriptEvent
	reset  bool
}

type scriptEvent struct {
	client bool
	data   []byte // nil: gap
	gap    uint64
}

func readScript(t testing.TB, path string) script {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := script{opt: Options{KeepPayload: true}}
	for i, line := range strings.Split(string(text), "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		key, arg, _ := strings.Cut(line, " ")
		switch key {
		case "opt":
			name, v, _ := strings.Cut(arg, " ")
			n, _ := strconv.Atoi(v)
			switch name {
			case "MaxBody":
				s.opt.MaxBody = n
			case "MaxHeader":
				s.opt.MaxHeader = n
			case "MaxPending":
				s.opt.MaxPending = n
			case "KeepPayload":
				s.opt.KeepPayload = v == "true"
			default:
				t.Fatalf("%s:%d: unknown option", path, i+1)
			}
		case "C", "S":
			times := 1
			if n, rest, ok := strings.Cut(arg, "*\""); ok {
				times, _ = strconv.Atoi(n)
				arg = "\"" + rest
			}
			v, err := strconv.Unquote(arg)
			if err != nil {
				t.Fatalf("%s:%d: %v", path, i+1, err)
			}
			s.events = append(s.events, scriptEvent{client: key == "C", data: []byte(strings.Repeat(v, times))})
		case "GC", "GS":
			n, err := strconv.ParseUint(arg, 10, 64)
			if err != nil {
				t.Fatalf("%s:%d: %v", path, i+1, err)
			}
			s.events = append(s.events, scriptEvent{client: key == "GC", gap: n})
		case "RESET":
			s.reset = true
		default:
			t.Fatalf("%s:%d: unknown line", path, i+1)
		}
	}
	return s
}

// play feeds the script, its data cut into pieces by split, and returns the exchanges as JSON.
func (s script) play(t testing.TB, split func([]byte) [][]byte) string {
	t.Helper()
	var out bytes.Buffer
	var stats Stats
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	p := New(s.opt, func(x *l7.Exchange) {
		if err := enc.Encode(golden(x)); err != nil {
			t.Fatal(err)
		}
	}, &stats)
	var pos [2]uint64
	side := map[bool]int{false: 0, true: 1}
	for i, e := range s.events {
		now := int64(i + 1)
		at := &pos[side[e.client]]
		if e.data == nil {
			p.Gap(e.client, now, *at, e.gap)
			*at += e.gap
			continue
		}
		for _, b := range split(e.data) {
			p.Data(e.client, now, *at, b)
			*at += uint64(len(b))
		}
	}
	p.Close(int64(len(s.events)+1), s.reset)
	checkBooks(t, p, &stats)
	return out.String()
}

// checkBooks asserts the identities of Stats for closed parsers.
func checkBooks(t testing.TB, p *Parser, s *Stats) {
	t.Helper()
	if s.Requests.Load() != s.Exchanges.Load() || p != nil && p.Pending() != 0 {
		t.Errorf("requests %d, exchanges %d", s.Requests.Load(), s.Exchanges.Load())
	}
	if p != nil && p.held != 0 {
		t.Errorf("%d bytes held by exchanges that are emitted", p.held)
	}
	sum := s.BytesMessage.Load()
	var by strings.Builder
	for i := range s.Skipped {
		sum += s.Skipped[i].Load()
		fmt.Fprintf(&by, " %v=%d", Skip(i), s.Skipped[i].Load())
	}
	if sum != s.BytesIn.Load() {
		t.Errorf("bytes in %d, accounted for %d: message=%d%s", s.BytesIn.Load(), sum, s.BytesMessage.Load(), by.String())
	}
}

// golden is an exchange in the form of the golden files.
func golden(x *l7.Exchange) map[string]any {
	msg := func(m *l7.Message) map[string]any {
		g := map[string]any{"complete": m.Complete, "time": [2]int64{m.Start, m.End}, "version": m.Version}
		if m.Method != "" {
			g["line"] = m.Method + " " + m.Target
		} else {
			g["line"] = fmt.Sprintf("%d %s", m.Status, m.Reason)
		}
		list := func(name string, hs []l7.Header) {
			var out []string
			for _, h := range hs {
				v := h.Value
				if len(v) > 40 {
					v = fmt.Sprintf("%s… (%d)", v[:20], len(v))
				}
				out = append(out, h.Name+": "+v)
			}
			if out != nil {
				g[name] = out
			}
		}
		list("headers", m.Headers)
		list("trailers", m.Trailers)
		if m.BodySize > 0 {
			g["body"], g["size"] = string(m.Body), m.BodySize
		}
		if m.Truncated {
			g["truncated"] = true
		}
		if m.Missing > 0 {
			g["missing"] = m.Missing
		}
		return g
	}
	g := map[string]any{"request": msg(&x.Request), "position": x.Position, "sequence": x.Sequence}
	if x.Response != nil {
		g["response"] = msg(x.Response)
	}
	if x.Incomplete != "" {
		g["incomplete"] = x.Incomplete
	}
	if x.Interim > 0 {
		g["interim"] = x.Interim
	}
	return g
}

func whole(b []byte) [][]byte { return [][]byte{b} }

func pieces(n int) func([]byte) [][]byte {
	return func(b []byte) (out [][]byte) {
		for len(b) > n {
			out, b = append(out, b[:n]), b[n:]
		}
		return append(out, b)
	}
}

func TestScripts(t *testing.T) {
	paths, _ := filepath.Glob("testdata/*.http")
	if len(paths) < 30 {
		t.Fatalf("only %d scripts", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".http")
		t.Run(name, func(t *testing.T) {
			s := readScript(t, path)
			goldenPath := strings.TrimSuffix(path, ".http") + ".json"
			got := s.play(t, whole)
			if *update {
				if err := os.WriteFile(goldenPath, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(goldenPath)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Fatalf("whole: got\n%s\nwant\n%s", got, want)
			}
			longest := 0
			for _, e := range s.events {
				longest = max(longest, len(e.data))
			}
			for n := 1; n <= 16; n++ {
				if got := s.play(t, pieces(n)); got != string(want) {
					t.Fatalf("pieces of %d: got\n%s\nwant\n%s", n, got, want)
				}
			}
			for at := 1; at < min(longest, 2000); at++ { // one cut, at every point
				cut := func(b []byte) [][]byte {
					if at >= len(b) {
						return whole(b)
					}
					return [][]byte{b[:at], b[at:]}
				}
				if got := s.play(t, cut); got != string(want) {
					t.Fatalf("cut at %d: got\n%s\nwant\n%s", at, got, want)
				}
			}
			for seed := uint64(0); seed < 50; seed++ {
				r := rand.New(rand.NewPCG(seed, 1))
				cut := func(b []byte) (out [][]byte) {
					for len(b) > 0 {
						n := min(1+r.IntN(1<<r.IntN(10)), len(b))
						out, b = append(out, b[:n]), b[n:]
					}
					return out
				}
				if got := s.play(t, cut); got != string(want) {
					t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, got, want)
				}
			}
		})
	}
}
