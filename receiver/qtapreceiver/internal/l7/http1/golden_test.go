// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/l7test"
)

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
	l7test.Conversation
	opt Options
}

func readScript(t testing.TB, path string) script {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	s := script{opt: Options{KeepPayload: true}}
	add := func(e l7test.Event) {
		e.At = int64(len(s.Events) + 1)
		s.Events = append(s.Events, e)
	}
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
			add(l7test.Event{Client: key == "C", Data: []byte(strings.Repeat(v, times))})
		case "GC", "GS":
			n, err := strconv.ParseUint(arg, 10, 64)
			if err != nil {
				t.Fatalf("%s:%d: %v", path, i+1, err)
			}
			add(l7test.Event{Client: key == "GC", Gap: n})
		case "RESET":
			s.Reset = true
		default:
			t.Fatalf("%s:%d: unknown line", path, i+1)
		}
	}
	return s
}

// parser starts a parser for a conversation.
func parser(t testing.TB, opt Options) l7test.Parser {
	return func(emit func(*l7.Exchange), tunnel func(*l7.Exchange) l7.Stream) (l7.Stream, func()) {
		var stats Stats
		opt.OnTunnel = tunnel
		p := New(opt, emit, &stats)
		return p, func() { checkBooks(t, p, &stats) }
	}
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

func TestScripts(t *testing.T) {
	paths, _ := filepath.Glob("testdata/*.http")
	if len(paths) < 30 {
		t.Fatalf("only %d scripts", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".http")
		t.Run(name, func(t *testing.T) {
			s := readScript(t, path)
			s.Golden(t, parser(t, s.opt), strings.TrimSuffix(path, ".http")+".json")
		})
	}
}
