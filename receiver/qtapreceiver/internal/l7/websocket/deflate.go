// SPDX-License-Identifier: Apache-2.0

package websocket

import (
	"bytes"
	"compress/flate"
	"io"
	"strings"
	"sync"
)

// Deflate is what a handshake agreed on about permessage-deflate (RFC 7692 §7.1).
type Deflate struct {
	Agreed bool
	// Whether that end begins each message with an empty compression context.
	ClientNoContextTakeover, ServerNoContextTakeover bool
}

// ParseExtensions reads the Sec-WebSocket-Extensions field of a 101 response: what the server chose.
func ParseExtensions(field string) (d Deflate) {
	for ext := range strings.SplitSeq(field, ",") {
		name, params, _ := strings.Cut(ext, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "permessage-deflate") {
			continue
		}
		d.Agreed = true
		for param := range strings.SplitSeq(params, ";") {
			name, _, _ := strings.Cut(param, "=")
			switch strings.ToLower(strings.TrimSpace(name)) {
			case "client_no_context_takeover":
				d.ClientNoContextTakeover = true
			case "server_no_context_takeover":
				d.ServerNoContextTakeover = true
			}
		}
	}
	return d
}

// windowSize is what DEFLATE may refer back to (RFC 1951); an agreed smaller one needs less.
const windowSize = 32 << 10

// window is the compression context of one direction.
type window struct {
	takeover bool
	dict     []byte // the latest plaintext
	lost     bool   // what came before is not known
}

func (w *window) lose() { w.dict, w.lost = nil, true }

// add remembers b behind what is known.
func (w *window) add(b []byte) {
	if !w.takeover || w.lost {
		return
	}
	if w.dict == nil {
		w.dict = make([]byte, 0, 2*windowSize)
	}
	if len(b) >= windowSize {
		w.dict = append(w.dict[:0], b[len(b)-windowSize:]...)
		return
	}
	if len(w.dict)+len(b) > cap(w.dict) {
		keep := windowSize - len(b)
		w.dict = w.dict[:copy(w.dict, w.dict[len(w.dict)-min(keep, len(w.dict)):])]
	}
	w.dict = append(w.dict, b...)
}

// recent is the dictionary of the next message.
func (w *window) recent() []byte { return w.dict[max(0, len(w.dict)-windowSize):] }

// tail is what the sender took off the end of a message (RFC 7692 §7.2.1), and an empty last
// block, so that the reader sees an end.
var tail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

// inflater is what inflating needs, shared by all connections: it is large and needed briefly.
type inflater struct {
	in    bytes.Reader
	end   bytes.Reader
	r     io.ReadCloser
	chunk [8 << 10]byte
}

var inflaters = sync.Pool{New: func() any { return &inflater{r: flate.NewReader(nil)} }}

// inflate replaces the compressed payload of m by the message, as far as that can be known.
func (p *Parser) inflate(h *half, m *Message) {
	w := &h.window
	if p.opt.MaxData == 0 {
		w.lose()
		return
	}
	packed := h.packed
	whole := !h.over && m.Missing == 0 && m.Incomplete == ""
	defer func() {
		if cap(h.packed) > 64<<10 {
			h.packed = nil
		}
	}()
	if w.lost && w.takeover {
		// It refers to what is not known: kept as it came.
		n := min(len(packed), p.opt.MaxData)
		m.Data = append([]byte(nil), packed[:n]...)
		m.Truncated = !whole || n < len(packed)
		p.stats.NotInflated.Add(1)
		return
	}
	f := inflaters.Get().(*inflater)
	defer inflaters.Put(f)
	f.in.Reset(packed)
	f.end.Reset(nil)
	if whole {
		f.end.Reset(tail)
	}
	_ = f.r.(flate.Resetter).Reset(io.MultiReader(&f.in, &f.end), w.recent()) // it has no error
	m.Inflated = true
	m.Data = nil
	total := 0
	for {
		n, err := f.r.Read(f.chunk[:])
		b := f.chunk[:n]
		total += n
		w.add(b)
		keep := min(n, max(0, p.opt.MaxData-len(m.Data)))
		m.Data = append(m.Data, b[:keep]...)
		m.Truncated = m.Truncated || keep < n
		p.stats.BytesInflated.Add(uint64(n))
		switch {
		case err == io.EOF:
			if !whole {
				m.Truncated = true
				w.lose()
			}
			return
		case err != nil:
			// The end of what was kept, or no DEFLATE at all.
			m.Truncated = true
			w.lose()
			if whole {
				p.stats.Malformed.Add(1)
			}
			return
		case total >= p.opt.MaxInflated, !whole && len(m.Data) >= p.opt.MaxData, !w.takeover && len(m.Data) >= p.opt.MaxData:
			// A bomb, or more than anybody asked for.
			m.Truncated = true
			if w.takeover {
				w.lose()
			}
			return
		}
	}
}
