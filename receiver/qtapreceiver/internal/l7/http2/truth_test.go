// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/l7test"
)

// truth is an exchange as it was made. Its id is in every message and every byte of content.
type truth struct {
	id                      int
	method, path            string
	status                  int
	request, response       []string // "name: value"
	requestBody, reply      []byte
	replyTrailers           []string
	requestDone, answerDone bool
}

// talk is a conversation with what it means. Events are runs of whole frames.
type talk struct {
	Events []l7test.Event
	byPos  map[uint64]*truth
	all    []*truth
}

// converse makes a conversation of n exchanges, width of them at a time. With nested, contents are
// themselves HTTP/2 connections.
func converse(seed uint64, n, width int, nested bool) *talk {
	r := rand.New(rand.NewPCG(seed, 7))
	c, s := newWriter(), newWriter()
	k := &talk{byPos: map[uint64]*truth{}}
	var pos [2]uint64
	flush := func() {
		for i, w := range []*writer{c, s} {
			if b := w.take(); len(b) > 0 {
				k.Events = append(k.Events, l7test.Event{Client: i == 0, Data: b, At: int64(len(k.Events) + 1)})
				pos[i] += uint64(len(b))
			}
		}
	}
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(c.line("preface"))
	must(c.line("settings"))
	must(s.line("settings"))
	flush()
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	content := func(id int, label string) []byte {
		if r.IntN(3) == 0 {
			return nil
		}
		if nested && r.IntN(2) == 0 {
			var b bytes.Buffer
			for _, e := range converse(seed*31+uint64(id), 2+r.IntN(12), 2, false).Events {
				if e.Client == (label == "request") {
					b.Write(bytes.ReplaceAll(e.Data, []byte("real"), []byte("fake")))
				}
			}
			return b.Bytes()
		}
		return bytes.Repeat([]byte(fmt.Sprintf("%s %d;", label, id)), 1+r.IntN(1<<r.IntN(9)))
	}
	fields := func(id int) (list []string) {
		for range r.IntN(4) {
			list = append(list, fmt.Sprintf("x-%s: real %s", pick("a", "b", "c"), pick("1", "2", "3", "4", "5")))
		}
		if r.IntN(2) == 0 {
			list = append(list, fmt.Sprintf("x-id: %d", id))
		}
		return list
	}
	text := func(fs []string) string {
		var b strings.Builder
		for _, f := range fs {
			name, v, _ := strings.Cut(f, ": ")
			b.WriteString(" | " + name + "=" + v)
		}
		return b.String()
	}
	type live struct {
		*truth
		stream    uint32
		left, out []byte
		begun     bool
	}
	var open []*live
	next := uint32(1)
	for len(k.all) < n || len(open) > 0 {
		if len(k.all) < n && len(open) < width && (len(open) == 0 || r.IntN(2) == 0) {
			id := len(k.all)
			x := &truth{id: id, method: pick("GET", "POST", "DELETE"), path: fmt.Sprintf("/real/%d", id%7), request: fields(id), response: fields(id), status: 200 + r.IntN(9)}
			x.requestBody, x.reply = content(id, "request"), content(id, "response")
			k.all = append(k.all, x)
			k.byPos[pos[0]+uint64(c.Len())] = x
			l := &live{truth: x, stream: next, left: x.requestBody, out: x.reply}
			next += 2
			end := ""
			if len(l.left) == 0 {
				end, x.requestDone = "end ", true
			}
			must(c.line(fmt.Sprintf("headers %d %scont=%d :method=%s | :scheme=https | :authority=real.example | :path=%s%s", l.stream, end, r.IntN(4)/3, x.method, x.path, text(x.request))))
			open = append(open, l)
		}
		for _, l := range open {
			switch {
			case len(l.left) > 0 && r.IntN(2) == 0:
				part := l.left[:min(len(l.left), 1+r.IntN(3000))]
				l.left = l.left[len(part):]
				l.requestDone = len(l.left) == 0
				must(c.fr.WriteData(l.stream, l.requestDone, part))
			case !l.requestDone:
			case !l.begun && r.IntN(2) == 0:
				l.begun = true
				end := ""
				if len(l.out) == 0 && r.IntN(2) == 0 {
					end, l.answerDone = "end ", true
				}
				must(s.line(fmt.Sprintf("headers %d %s:status=%d%s", l.stream, end, l.status, text(l.response))))
			case l.begun && len(l.out) > 0:
				part := l.out[:min(len(l.out), 1+r.IntN(3000))]
				l.out = l.out[len(part):]
				must(s.fr.WriteData(l.stream, false, part))
			case l.begun && !l.answerDone:
				l.answerDone = true
				l.replyTrailers = []string{fmt.Sprintf("x-end: %d", l.id%5)}
				must(s.line(fmt.Sprintf("headers %d end %s", l.stream, text(l.replyTrailers)[3:])))
			}
		}
		open = slices.DeleteFunc(open, func(l *live) bool { return l.answerDone })
		if r.IntN(3) > 0 {
			flush()
		}
		if r.IntN(5) == 0 {
			must(c.line("window 0"))
		}
		if r.IntN(9) == 0 {
			must(s.line("ping"))
		}
	}
	flush()
	return k
}

// subsequence says whether got is want with some left out.
func subsequence(got []l7.Header, want []string) bool {
	i := 0
	for _, h := range got {
		for i < len(want) && want[i] != h.Name+": "+h.Value {
			i++
		}
		if i == len(want) {
			return false
		}
		i++
	}
	return true
}

// check holds an emitted exchange against the truth: everything it says must be so.
func (k *talk) check(t *testing.T, x *l7.Exchange) {
	t.Helper()
	w := k.byPos[x.Position]
	if w == nil {
		t.Fatalf("no request begins at %d: %+v", x.Position, x)
	}
	q := &x.Request
	if q.Method != "" && q.Method != w.method || q.Target != "" && q.Target != w.path {
		t.Fatalf("exchange %d: %s %s, is %s %s", w.id, q.Method, q.Target, w.method, w.path)
	}
	all := append([]string{"host: real.example"}, w.request...)
	if !subsequence(q.Headers, all) {
		t.Fatalf("exchange %d: headers %q are not of %q", w.id, q.Headers, all)
	}
	if len(q.Headers)+q.UnknownFields < len(all) && x.Incomplete == "" {
		t.Fatalf("exchange %d: headers %q and %d unknown of %q", w.id, q.Headers, q.UnknownFields, all)
	}
	if !bytes.HasPrefix(w.requestBody, q.Body) {
		t.Fatalf("exchange %d: request body differs", w.id)
	}
	if a := x.Response; a != nil {
		if a.Status != 0 && a.Status != w.status {
			t.Fatalf("exchange %d: status %d, is %d", w.id, a.Status, w.status)
		}
		if !subsequence(a.Headers, w.response) || !subsequence(a.Trailers, w.replyTrailers) {
			t.Fatalf("exchange %d: headers %q %q are not of %q %q", w.id, a.Headers, a.Trailers, w.response, w.replyTrailers)
		}
		if !bytes.HasPrefix(w.reply, a.Body) {
			t.Fatalf("exchange %d: response body differs", w.id)
		}
	}
	if x.Incomplete == "" {
		if q.BodySize != uint64(len(w.requestBody)) || x.Response.BodySize != uint64(len(w.reply)) || q.Method == "" || q.Target == "" || x.Response.Status == 0 {
			t.Fatalf("exchange %d is not whole: %+v %+v", w.id, x, x.Response)
		}
	}
}

// feed plays events and returns how many exchanges were emitted, complete, and complete with every field line known.
func (k *talk) feed(t *testing.T, opt Options, events []l7test.Event, pos [2]uint64) (emitted, complete, whole int) {
	t.Helper()
	opt.KeepPayload, opt.MaxBody = true, 1<<20
	var stats Stats
	p := New(opt, func(x *l7.Exchange) {
		emitted++
		k.check(t, x)
		if x.Incomplete == "" {
			complete++
		}
		if x.Incomplete == "" && x.Request.UnknownFields+x.Response.UnknownFields == 0 && x.Request.Missing+x.Response.Missing == 0 {
			whole++
		}
	}, &stats)
	for _, e := range events {
		d := 1
		if e.Client {
			d = 0
		}
		if e.Data == nil {
			p.Gap(e.Client, e.At, pos[d], e.Gap)
			pos[d] += e.Gap
			continue
		}
		p.Data(e.Client, e.At, pos[d], e.Data)
		pos[d] += uint64(len(e.Data))
	}
	p.Close(1<<40, false)
	checkBooks(t, p, &stats)
	return emitted, complete, whole
}

func TestTruth(t *testing.T) {
	for seed := range uint64(40) {
		k := converse(seed, 60, 1+int(seed%5), seed%2 == 1)
		if emitted, _, whole := k.feed(t, Options{}, k.Events, [2]uint64{}); emitted != 60 || whole != 60 {
			t.Fatalf("seed %d: %d exchanges, %d whole", seed, emitted, whole)
		}
	}
}

// TestJoin joins a conversation at every run, in the middle of runs, and at every frame.
func TestJoin(t *testing.T) {
	seen, complete := 0, 0
	for seed := range uint64(8) {
		k := converse(seed, 80, 1+int(seed%4), seed%3 == 2)
		var pos [2]uint64
		for i, e := range k.Events {
			d := 1
			if e.Client {
				d = 0
			}
			var cuts []int
			for off := 0; off < len(e.Data) && i > 0; { // every frame of the run, and a place within it
				n := headerLen + parseFrame(e.Data[off:]).length
				cuts = append(cuts, off, off+n/2)
				off += n
			}
			for _, cut := range cuts {
				events := append([]l7test.Event{{Client: e.Client, Data: e.Data[cut:], At: e.At}}, k.Events[i+1:]...)
				at := pos
				at[d] += uint64(cut)
				n, c, _ := k.feed(t, Options{Joined: true}, events, at)
				seen, complete = seen+n, complete+c
			}
			pos[d] += uint64(len(e.Data))
		}
	}
	t.Logf("%d exchanges seen, %d of them complete but for field lines", seen, complete)
	if seen < 10000 || complete < 2000 {
		t.Fatal("joined connections show too little")
	}
}

// TestGaps loses bytes anywhere: of known and of unknown number.
func TestGaps(t *testing.T) {
	seen, whole, all := 0, 0, 0
	for seed := range uint64(500) {
		k := converse(seed%25, 80, 1+int(seed%5), seed%3 == 2)
		r := rand.New(rand.NewPCG(seed, 9))
		var events []l7test.Event
		for _, e := range k.Events {
			if len(events) < 2 || r.IntN(40) > 0 {
				events = append(events, e)
				continue
			}
			from := r.IntN(len(e.Data))
			n := 1 + r.IntN(len(e.Data)-from)
			for _, part := range []l7test.Event{{Data: e.Data[:from]}, {Gap: uint64(n)}, {Data: e.Data[from+n:]}} {
				if part.Gap > 0 || len(part.Data) > 0 {
					part.Client, part.At = e.Client, e.At
					events = append(events, part)
				}
			}
		}
		if seed%2 == 0 { // TLS does not say how much is missing
			var pos [2]uint64
			opt := Options{KeepPayload: true, MaxBody: 1 << 20}
			var stats Stats
			p := New(opt, func(x *l7.Exchange) { seen++; k.check(t, x) }, &stats)
			for _, e := range events {
				d := 1
				if e.Client {
					d = 0
				}
				if e.Data == nil {
					p.Gap(e.Client, e.At, pos[d], 0)
					pos[d] += e.Gap
					continue
				}
				p.Data(e.Client, e.At, pos[d], e.Data)
				pos[d] += uint64(len(e.Data))
			}
			p.Close(1<<40, false)
			checkBooks(t, p, &stats)
			continue
		}
		n, _, w := k.feed(t, Options{}, events, [2]uint64{})
		seen, whole, all = seen+n, whole+w, all+len(k.all)
	}
	t.Logf("%d exchanges seen; of %d with known gaps %d were whole", seen, all, whole)
	if whole < all/4 {
		t.Fatal("gaps cost too much")
	}
}
