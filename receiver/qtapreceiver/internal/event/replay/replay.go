// SPDX-License-Identifier: Apache-2.0

// Package replay records the events of a Source and plays them again, so that what consumes
// them can be tested without root and a kernel.
//
// A recording is a text file with one event per line, as JSON. It holds payloads and TLS
// secrets: it is for tests with made-up traffic only.
package replay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// maxLine is far above the longest event, a packet with 64 KiB.
const maxLine = 1 << 20

// line is one event; exactly one field is set.
type line struct {
	Packet   *event.Packet   `json:",omitempty"`
	Socket   *event.Socket   `json:",omitempty"`
	Secret   *event.Secret   `json:",omitempty"`
	Process  *event.Process  `json:",omitempty"`
	Datagram *event.Datagram `json:",omitempty"`
	Flow     *event.Flow     `json:",omitempty"`
	Lost     *lost           `json:",omitempty"`
	Idle     *int64          `json:",omitempty"`
}

type lost struct {
	Kind string
	N    uint64
}

// Recorder is an event.Handler that writes every event and passes it on.
type Recorder struct {
	next event.Handler
	w    *bufio.Writer
	enc  *json.Encoder
	err  error
}

// NewRecorder records to w. next may be nil. Events are whole in w after Flush.
func NewRecorder(w io.Writer, next event.Handler) *Recorder {
	b := bufio.NewWriter(w)
	return &Recorder{next: next, w: b, enc: json.NewEncoder(b)}
}

// Flush writes what is buffered and returns the first error of the recording.
func (r *Recorder) Flush() error {
	return errors.Join(r.err, r.w.Flush())
}

func (r *Recorder) write(l line) {
	if r.err == nil {
		r.err = r.enc.Encode(l)
	}
}

// Packet implements event.Handler.
func (r *Recorder) Packet(p *event.Packet) {
	r.write(line{Packet: p})
	if r.next != nil {
		r.next.Packet(p)
	}
}

// Socket implements event.Handler.
func (r *Recorder) Socket(s *event.Socket) {
	r.write(line{Socket: s})
	if r.next != nil {
		r.next.Socket(s)
	}
}

// Secret implements event.Handler.
func (r *Recorder) Secret(s *event.Secret) {
	r.write(line{Secret: s})
	if r.next != nil {
		r.next.Secret(s)
	}
}

// Process implements event.Handler.
func (r *Recorder) Process(p *event.Process) {
	r.write(line{Process: p})
	if r.next != nil {
		r.next.Process(p)
	}
}

// Datagram implements event.DatagramHandler.
func (r *Recorder) Datagram(d *event.Datagram) {
	r.write(line{Datagram: d})
	if h, ok := r.next.(event.DatagramHandler); ok {
		h.Datagram(d)
	}
}

// Flow implements event.DatagramHandler.
func (r *Recorder) Flow(f *event.Flow) {
	r.write(line{Flow: f})
	if h, ok := r.next.(event.DatagramHandler); ok {
		h.Flow(f)
	}
}

// Lost implements event.Handler.
func (r *Recorder) Lost(kind string, n uint64) {
	r.write(line{Lost: &lost{kind, n}})
	if r.next != nil {
		r.next.Lost(kind, n)
	}
}

// Idle implements event.Handler.
func (r *Recorder) Idle(now int64) {
	r.write(line{Idle: &now})
	if r.next != nil {
		r.next.Idle(now)
	}
}

// Source plays a recording. It is an event.Source.
type Source struct {
	r io.Reader
}

// NewSource plays the recording in r. When r is an io.Closer, Close closes it.
func NewSource(r io.Reader) *Source { return &Source{r: r} }

// Run plays the recording as fast as h takes it and returns at its end.
func (s *Source) Run(ctx context.Context, h event.Handler) error {
	lines := bufio.NewScanner(s.r)
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan() && ctx.Err() == nil; n++ {
		var l line
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			return fmt.Errorf("recording, line %d: %w", n, err)
		}
		switch {
		case l.Packet != nil:
			h.Packet(l.Packet)
		case l.Socket != nil:
			h.Socket(l.Socket)
		case l.Secret != nil:
			h.Secret(l.Secret)
		case l.Process != nil:
			h.Process(l.Process)
		case l.Datagram != nil:
			if d, ok := h.(event.DatagramHandler); ok {
				d.Datagram(l.Datagram)
			}
		case l.Flow != nil:
			if d, ok := h.(event.DatagramHandler); ok {
				d.Flow(l.Flow)
			}
		case l.Lost != nil:
			h.Lost(l.Lost.Kind, l.Lost.N)
		case l.Idle != nil:
			h.Idle(*l.Idle)
		default:
			return fmt.Errorf("recording, line %d: no event", n)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read recording: %w", err)
	}
	return nil
}

// Close implements event.Source.
func (s *Source) Close() error {
	if c, ok := s.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}
