// SPDX-License-Identifier: Apache-2.0

// Package coding undoes the content codings (RFC 9110 §8.4.1) of a body that comes piece by piece: what a sender
// has flushed is there at once, however long the body goes on.
package coding

import (
	"bufio"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"iter"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

const (
	// maxRatio bounds what bytes may become, beside freeBytes: a small body can claim to hold any amount.
	maxRatio  = 128
	freeBytes = 1 << 20
	// maxWindow is what a zstd sender may have a receiver remember (RFC 9659).
	maxWindow = 8 << 20
	// maxCodings is how many codings may be applied to each other; nobody uses two.
	maxCodings = 2
	bufferSize = 8 << 10
)

// ErrTooLarge says that a body becomes more than is reasonable for its size.
var ErrTooLarge = errors.New("decoded content is out of proportion")

var errEnded = errors.New("decoder was closed")

// Decoder undoes content codings. It is not safe for concurrent use, and must be closed.
//
// The libraries' decoders pull, a capture pushes: each runs as a coroutine of the caller, which goes on when
// there are bytes for it. So there is no goroutine, and no lock.
type Decoder struct {
	next func() ([]byte, bool)
	stop func()
	in   []byte
	end  bool // nothing follows in
	cost int

	total, limit uint64
	err          error
}

// New returns a decoder for what a Content-Encoding field says; ok is false when a coding is not known, and for a
// body without one.
func New(field string) (d *Decoder, ok bool) {
	var open []func(io.Reader) (io.Reader, error)
	d = &Decoder{limit: freeBytes}
	for name := range strings.SplitSeq(field, ",") {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "", "identity":
			continue
		case "gzip", "x-gzip":
			open = append(open, newGzip)
			d.cost += 64 << 10
		case "deflate":
			open = append(open, newDeflate)
			d.cost += 64 << 10
		case "br":
			open = append(open, func(r io.Reader) (io.Reader, error) { return brotli.NewReader(r), nil })
			d.cost += 4 << 20
		case "zstd":
			open = append(open, newZstd)
			d.cost += 2 << 20
		default:
			return nil, false
		}
	}
	if len(open) == 0 || len(open) > maxCodings {
		return nil, false
	}
	d.next, d.stop = iter.Pull(func(yield func([]byte) bool) {
		d.err = decode(&source{d: d, more: func() bool { return yield(nil) }}, open, yield)
	})
	return d, true
}

// newGzip reads members behind each other, as gzip.Reader does, but hands on the last bytes of one before it
// waits for the next.
func newGzip(r io.Reader) (io.Reader, error) {
	m := &members{src: bufio.NewReader(r)}
	var err error
	if m.z, err = gzip.NewReader(m.src); err != nil {
		return nil, err
	}
	m.z.Multistream(false)
	return m, nil
}

type members struct {
	src   *bufio.Reader
	z     *gzip.Reader
	ended bool
}

// Read implements io.Reader.
func (m *members) Read(p []byte) (int, error) {
	if m.ended {
		if err := m.z.Reset(m.src); err != nil {
			return 0, err
		}
		m.z.Multistream(false)
		m.ended = false
	}
	n, err := m.z.Read(p)
	if m.ended = errors.Is(err, io.EOF); m.ended {
		err = nil
	}
	return n, err
}

// newZstd decodes in the caller's goroutine; it is closed with its reader.
func newZstd(r io.Reader) (io.Reader, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
	if err != nil {
		return nil, err
	}
	return zstdReader{z}, nil
}

type zstdReader struct{ *zstd.Decoder }

func (z zstdReader) Close() error {
	z.Decoder.Close()
	return nil
}

// newDeflate reads the zlib format, and what some senders take "deflate" for (RFC 9110 §8.4.1.2).
func newDeflate(r io.Reader) (io.Reader, error) {
	b := bufio.NewReaderSize(r, 16)
	head, err := b.Peek(2)
	if err != nil {
		if len(head) > 0 && errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		return zlib.NewReader(b)
	}
	return flate.NewReader(b), nil
}

func decode(src io.Reader, open []func(io.Reader) (io.Reader, error), yield func([]byte) bool) error {
	r := src
	for i := len(open) - 1; i >= 0; i-- { // the last that was applied comes off first
		var err error
		if r, err = open[i](r); err != nil {
			return err
		}
		if c, ok := r.(io.Closer); ok {
			defer c.Close()
		}
	}
	buf := make([]byte, bufferSize)
	for {
		n, err := r.Read(buf)
		if n > 0 && !yield(buf[:n]) {
			return errEnded
		}
		if err != nil {
			return err
		}
	}
}

// source is what the first decoder reads: what Feed was given, and a way to ask for more.
type source struct {
	d    *Decoder
	more func() bool
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	for len(s.d.in) == 0 {
		if s.d.end {
			return 0, io.EOF
		}
		if !s.more() {
			return 0, errEnded
		}
	}
	n := copy(p, s.d.in)
	s.d.in = s.d.in[n:]
	return n, nil
}

// Feed takes the next bytes of the body, valid during the call, and calls out with what they become, valid during
// that call. After an error, which io.EOF is not, nothing more can be decoded.
func (d *Decoder) Feed(b []byte, out func([]byte)) error {
	if d.err != nil {
		return d.err
	}
	d.in = b
	d.limit += maxRatio * uint64(len(b))
	return d.pull(out)
}

// Finish says that nothing follows, and calls out with what the decoder has kept back: some hand out bytes only when their
// window is full. It returns io.EOF when the body ended where its codings do, io.ErrUnexpectedEOF when it was cut, and
// else what is wrong with it. Nothing more can be decoded.
func (d *Decoder) Finish(out func([]byte)) error {
	if d.err != nil {
		return d.err
	}
	d.in, d.end = nil, true
	return d.pull(out)
}

// pull hands on what the decoder makes of what it has.
func (d *Decoder) pull(out func([]byte)) error {
	for {
		p, ok := d.next()
		if !ok {
			return d.err
		}
		if p == nil {
			return nil // it asks for more
		}
		if d.total += uint64(len(p)); d.total > d.limit {
			d.stop()
			d.err = ErrTooLarge
			return d.err
		}
		out(p)
	}
}

// Cost is about what the decoder takes, in bytes of memory.
func (d *Decoder) Cost() int { return d.cost }

// Close frees the decoder.
func (d *Decoder) Close() {
	d.stop()
	if d.err == nil {
		d.err = errEnded
	}
}
