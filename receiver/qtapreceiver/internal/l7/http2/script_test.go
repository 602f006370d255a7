// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7/l7test"
)

// A script in testdata is a list of lines; C is the client and S the server:
//
//	# comment                     opt KEY VALUE (MaxBody, MaxHeader, MaxStreams, MaxHeld, KeepPayload, Joined)
//	C preface                     S settings [ID=VALUE …]      C ack      C ping       C window STREAM
//	C headers 1 [end] [cont=N] [pad=N] [prio] [never] :method=GET | :path=/ | name=value
//	                              a field block in N+1 frames, "never" without indexing
//	S data 1 [end] [pad=N] 3*"bytes"
//	C rst 1 CODE                  S goaway LAST CODE           S push 1 2 :method=GET | …
//	C priority 1                  S unknown TYPE STREAM "bytes"
//	C raw "bytes"                 bytes as they are
//	C size N                      the encoder changes the size of its table
//	GC 100                        gap of 100 bytes in the client's direction (0: unknown); GS in the server's
//	C cut FROM N, S cut FROM N    of the line before, bytes FROM to FROM+N become a gap of known size
//	RESET                         the connection ends by a reset instead of a FIN
//
// The time of a line is its number among these. Its exchanges are in the .json beside it.
type script struct {
	l7test.Conversation
	opt Options
}

// writer makes the frames of one direction.
type writer struct {
	bytes.Buffer
	fr    *http2.Framer
	enc   *hpack.Encoder
	block bytes.Buffer
}

func newWriter() *writer {
	w := &writer{}
	w.fr = http2.NewFramer(w, nil)
	w.fr.AllowIllegalWrites = true
	w.enc = hpack.NewEncoder(&w.block)
	return w
}

func (w *writer) take() []byte {
	b := bytes.Clone(w.Bytes())
	w.Reset()
	return b
}

// encode makes a field block of "name=value | name=value".
func (w *writer) encode(text string, never bool) []byte {
	w.block.Reset()
	for _, f := range strings.Split(text, "|") {
		if f = strings.TrimSpace(f); f == "" {
			continue
		}
		i := strings.IndexByte(f[1:], '=') + 1 // names may begin with a colon, never with =
		value := f[i+1:]
		if n, rest, ok := strings.Cut(value, "*"); ok {
			if times, err := strconv.Atoi(n); err == nil {
				value = strings.Repeat(rest, times)
			}
		}
		if err := w.enc.WriteField(hpack.HeaderField{Name: f[:i], Value: value, Sensitive: never}); err != nil {
			panic(err)
		}
	}
	return bytes.Clone(w.block.Bytes())
}

func (w *writer) line(text string) error {
	verb, rest, _ := strings.Cut(text, " ")
	word := func() string {
		var s string
		s, rest, _ = strings.Cut(rest, " ")
		return s
	}
	number := func() uint32 {
		n, err := strconv.ParseUint(word(), 0, 32)
		if err != nil {
			panic(text)
		}
		return uint32(n)
	}
	quoted := func() []byte {
		times := 1
		if n, after, ok := strings.Cut(rest, "*\""); ok {
			times, _ = strconv.Atoi(n)
			rest = "\"" + after
		}
		if rest == "" {
			return nil
		}
		v, err := strconv.Unquote(rest)
		if err != nil {
			panic(text)
		}
		return []byte(strings.Repeat(v, times))
	}
	switch verb {
	case "preface":
		w.WriteString(preface)
	case "settings":
		var list []http2.Setting
		for _, s := range strings.Fields(rest) {
			var id, v int
			if _, err := fmt.Sscanf(s, "%d=%d", &id, &v); err != nil {
				return err
			}
			list = append(list, http2.Setting{ID: http2.SettingID(id), Val: uint32(v)})
		}
		return w.fr.WriteSettings(list...)
	case "ack":
		return w.fr.WriteSettingsAck()
	case "ping":
		return w.fr.WritePing(false, [8]byte{1, 2, 3})
	case "window":
		return w.fr.WriteWindowUpdate(number(), 1000)
	case "priority":
		return w.fr.WritePriority(number(), http2.PriorityParam{Weight: 3})
	case "rst":
		return w.fr.WriteRSTStream(number(), http2.ErrCode(number()))
	case "goaway":
		return w.fr.WriteGoAway(number(), http2.ErrCode(number()), []byte("why"))
	case "unknown":
		return w.fr.WriteRawFrame(http2.FrameType(number()), 0, number(), quoted())
	case "raw":
		w.Write(quoted())
	case "size":
		w.enc.SetMaxDynamicTableSizeLimit(1 << 20)
		w.enc.SetMaxDynamicTableSize(number())
	case "push":
		id, promised := number(), number()
		return w.fr.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: promised, BlockFragment: w.encode(rest, false), EndHeaders: true})
	case "data":
		id, end, pad := number(), false, []byte(nil)
		for {
			if after, ok := strings.CutPrefix(rest, "end"); ok {
				end, rest = true, strings.TrimPrefix(after, " ")
			} else if strings.HasPrefix(rest, "pad=") {
				n, _ := strconv.Atoi(word()[4:])
				pad = make([]byte, n)
			} else {
				break
			}
		}
		if pad == nil {
			return w.fr.WriteData(id, end, quoted())
		}
		return w.fr.WriteDataPadded(id, end, quoted(), pad)
	case "headers":
		p := http2.HeadersFrameParam{StreamID: number()}
		cont, never := 0, false
	options:
		for {
			o, after, _ := strings.Cut(rest, " ")
			key, v, _ := strings.Cut(o, "=")
			n, _ := strconv.Atoi(v)
			switch key {
			case "end":
				p.EndStream = true
			case "cont":
				cont = n
			case "pad":
				p.PadLength = uint8(n)
			case "prio":
				p.Priority = http2.PriorityParam{StreamDep: 3, Weight: 7}
			case "never":
				never = true
			default:
				break options
			}
			rest = after
		}
		block := w.encode(rest, never)
		size := len(block)/(cont+1) + 1
		first := block[:min(size, len(block))]
		block = block[len(first):]
		p.BlockFragment, p.EndHeaders = first, len(block) == 0
		if err := w.fr.WriteHeaders(p); err != nil {
			return err
		}
		for len(block) > 0 {
			part := block[:min(size, len(block))]
			block = block[len(part):]
			if err := w.fr.WriteContinuation(p.StreamID, len(block) == 0, part); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("unknown line %q", text)
	}
	return nil
}

func readScript(t testing.TB, path string) script {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseScript(t, string(text))
}

func parseScript(t testing.TB, text string) script {
	t.Helper()
	s := script{opt: Options{KeepPayload: true}}
	writers := map[string]*writer{"C": newWriter(), "S": newWriter()}
	at := int64(0)
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		key, arg, _ := strings.Cut(line, " ")
		at++
		switch key {
		case "opt":
			at--
			name, v, _ := strings.Cut(arg, " ")
			n, _ := strconv.Atoi(v)
			switch name {
			case "MaxBody":
				s.opt.MaxBody = n
			case "MaxHeader":
				s.opt.MaxHeader = n
			case "MaxStreams":
				s.opt.MaxStreams = n
			case "MaxHeld":
				s.opt.MaxHeld = n
			case "KeepPayload":
				s.opt.KeepPayload = v == "true"
			case "Joined":
				s.opt.Joined = v == "true"
			default:
				t.Fatalf("%d: unknown option", i+1)
			}
		case "C", "S":
			if after, ok := strings.CutPrefix(arg, "cut "); ok {
				at--
				var from, n int
				if _, err := fmt.Sscanf(after, "%d %d", &from, &n); err != nil {
					t.Fatalf("%d: %v", i+1, err)
				}
				last := s.Events[len(s.Events)-1]
				s.Events = s.Events[:len(s.Events)-1]
				for _, part := range []l7test.Event{{Data: last.Data[:from]}, {Gap: uint64(n)}, {Data: last.Data[from+n:]}} {
					if part.Gap > 0 || len(part.Data) > 0 {
						part.Client, part.At = last.Client, last.At
						s.Events = append(s.Events, part)
					}
				}
				continue
			}
			w := writers[key]
			if err := w.line(arg); err != nil {
				t.Fatalf("%d: %v", i+1, err)
			}
			if b := w.take(); len(b) > 0 {
				s.Events = append(s.Events, l7test.Event{Client: key == "C", Data: b, At: at})
			}
		case "GC", "GS":
			n, err := strconv.ParseUint(arg, 10, 64)
			if err != nil {
				t.Fatalf("%d: %v", i+1, err)
			}
			s.Events = append(s.Events, l7test.Event{Client: key == "GC", Gap: n, At: at})
		case "RESET":
			s.Reset = true
		default:
			t.Fatalf("%d: unknown line", i+1)
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
	if s.Requests.Load() != s.Exchanges.Load() || p != nil && (p.Pending() != 0 || p.held != (held{})) {
		t.Errorf("requests %d, exchanges %d", s.Requests.Load(), s.Exchanges.Load())
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
	paths, _ := filepath.Glob("testdata/*.h2")
	if len(paths) < 20 {
		t.Fatalf("only %d scripts", len(paths))
	}
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".h2")
		t.Run(name, func(t *testing.T) {
			s := readScript(t, path)
			s.Golden(t, parser(t, s.opt), strings.TrimSuffix(path, ".h2")+".json")
		})
	}
}
