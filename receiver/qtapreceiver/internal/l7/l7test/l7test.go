// SPDX-License-Identifier: Apache-2.0

// Package l7test holds what tests of protocols share: conversations that are played to a parser at every split, and
// the form of the golden files that say what comes of them.
package l7test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

var update = flag.Bool("update", false, "write the golden files")

// Event is data of one direction, or a gap in it.
type Event struct {
	Client bool
	Data   []byte // nil: a gap
	Gap    uint64 // of so many bytes, 0: unknown
	At     int64
}

// Conversation is what the two ends of a connection said.
type Conversation struct {
	Events []Event
	Reset  bool // the connection ends by a reset instead of a FIN
}

// Parser is made by a test for each time that a conversation is played: it emits exchanges, asks who reads a tunnel,
// and is checked when it was closed.
type Parser func(emit func(*l7.Exchange), tunnel func(*l7.Exchange) l7.Stream) (s l7.Stream, check func())

// Play feeds the conversation, its data cut into pieces by split, and returns the exchanges, and what went through
// tunnels, as JSON.
func (c Conversation) Play(t testing.TB, start Parser, split func([]byte) [][]byte) string {
	t.Helper()
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	write := func(v any) {
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	p, check := start(func(x *l7.Exchange) { write(exchange(x)) }, func(x *l7.Exchange) l7.Stream {
		return &tunnel{of: x.Sequence, write: write}
	})
	var pos [2]uint64
	last := int64(0)
	for _, e := range c.Events {
		last = e.At
		at := &pos[0]
		if e.Client {
			at = &pos[1]
		}
		if e.Data == nil {
			p.Gap(e.Client, e.At, *at, e.Gap)
			*at += e.Gap
			continue
		}
		for _, b := range split(e.Data) {
			p.Data(e.Client, e.At, *at, bytes.Clone(b))
			*at += uint64(len(b))
		}
	}
	p.Close(last+1, c.Reset)
	check()
	return out.String()
}

// Golden compares what comes of the conversation with the file at path: whole, in pieces, cut once at every point, and
// cut at random. With -update it writes the file.
func (c Conversation) Golden(t *testing.T, start Parser, path string) {
	t.Helper()
	got := c.Play(t, start, Whole)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Fatalf("whole: got\n%s\nwant\n%s", got, want)
	}
	longest := 0
	for _, e := range c.Events {
		longest = max(longest, len(e.Data))
	}
	for n := 1; n <= 16; n++ {
		if got := c.Play(t, start, pieces(n)); got != string(want) {
			t.Fatalf("pieces of %d: got\n%s\nwant\n%s", n, got, want)
		}
	}
	for at := 1; at < min(longest, 1500); at++ {
		cut := func(b []byte) [][]byte {
			if at >= len(b) {
				return Whole(b)
			}
			return [][]byte{b[:at], b[at:]}
		}
		if got := c.Play(t, start, cut); got != string(want) {
			t.Fatalf("cut at %d: got\n%s\nwant\n%s", at, got, want)
		}
	}
	for seed := uint64(0); seed < 40; seed++ {
		r := rand.New(rand.NewPCG(seed, 1))
		cut := func(b []byte) (out [][]byte) {
			for len(b) > 0 {
				n := min(1+r.IntN(1<<r.IntN(10)), len(b))
				out, b = append(out, b[:n]), b[n:]
			}
			return out
		}
		if got := c.Play(t, start, cut); got != string(want) {
			t.Fatalf("seed %d: got\n%s\nwant\n%s", seed, got, want)
		}
	}
}

// Whole does not cut.
func Whole(b []byte) [][]byte { return [][]byte{b} }

func pieces(n int) func([]byte) [][]byte {
	return func(b []byte) [][]byte { return slices.Collect(slices.Chunk(b, n)) }
}

// tunnel writes down what it is given, whatever pieces that comes in.
type tunnel struct {
	of    uint32
	write func(any)
	lines []string
	side  string
	pos   uint64
	run   []byte
}

func side(client bool) string {
	if client {
		return "C"
	}
	return "S"
}

// Data implements l7.Stream.
func (n *tunnel) Data(client bool, _ int64, pos uint64, b []byte) {
	if n.side != side(client) || n.pos+uint64(len(n.run)) != pos {
		n.end()
		n.side, n.pos = side(client), pos
	}
	n.run = append(n.run, b...)
}

// Gap implements l7.Stream.
func (n *tunnel) Gap(client bool, _ int64, _ uint64, size uint64) {
	n.end()
	n.lines = append(n.lines, fmt.Sprintf("G%s %d", side(client), size))
}

// Close implements l7.Stream.
func (n *tunnel) Close(_ int64, reset bool) {
	n.end()
	g := map[string]any{"tunnel of": n.of, "carries": n.lines}
	if reset {
		g["reset"] = true
	}
	n.write(g)
}

func (n *tunnel) end() {
	if len(n.run) > 0 {
		n.lines = append(n.lines, fmt.Sprintf("%s at %d: %q", n.side, n.pos, n.run))
	}
	n.side, n.run = "", nil
}

// exchange is an exchange in the form of the golden files.
func exchange(x *l7.Exchange) map[string]any {
	g := map[string]any{"request": message(&x.Request), "position": x.Position, "sequence": x.Sequence}
	if x.Response != nil {
		g["response"] = message(x.Response)
	}
	if x.Incomplete != "" {
		g["incomplete"] = x.Incomplete
	}
	if x.Interim > 0 {
		g["interim"] = x.Interim
	}
	if x.RPC != nil {
		g["messages"] = [2]int{x.RPC.RequestMessages, x.RPC.ResponseMessages}
	}
	return g
}

func message(m *l7.Message) map[string]any {
	g := map[string]any{"complete": m.Complete, "time": [2]int64{m.Start, m.End}, "version": m.Version}
	switch {
	case m.Status == 0:
		g["line"] = strings.Join(slices.DeleteFunc([]string{m.Method, m.Protocol, m.Scheme, m.Target}, func(s string) bool { return s == "" }), " ")
	case m.Reason == "":
		g["line"] = m.Status
	default:
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
	if m.UnknownFields > 0 {
		g["unknown_fields"] = m.UnknownFields
	}
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
