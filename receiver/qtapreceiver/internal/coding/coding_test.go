// SPDX-License-Identifier: Apache-2.0

package coding

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

type flusher interface {
	io.WriteCloser
	Flush() error
}

var writers = map[string]func(io.Writer) flusher{
	"gzip":   func(w io.Writer) flusher { return gzip.NewWriter(w) },
	"x-gzip": func(w io.Writer) flusher { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) flusher {
		return zlib.NewWriter(w)
	},
	"raw": func(w io.Writer) flusher {
		z, _ := flate.NewWriter(w, 6)
		return z
	},
	"br": func(w io.Writer) flusher { return brotli.NewWriter(w) },
	"zstd": func(w io.Writer) flusher {
		z, _ := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1))
		return z
	},
}

// TestFlushed: what a sender flushed is there when its last byte is, whatever pieces it comes in.
func TestFlushed(t *testing.T) {
	for name, newWriter := range writers {
		for _, piece := range []int{1, 7, 1 << 20} {
			t.Run(fmt.Sprintf("%s in %d", name, piece), func(t *testing.T) {
				d, ok := New(strings.Replace(name, "raw", "deflate", 1))
				require.True(t, ok)
				defer d.Close()
				require.Positive(t, d.Cost())
				var wire, got bytes.Buffer
				z := newWriter(&wire)
				feed := func() (err error) {
					for b := wire.Bytes(); len(b) > 0 && err == nil; {
						n := min(piece, len(b))
						err = d.Feed(b[:n], func(p []byte) { got.Write(p) })
						b = b[n:]
					}
					wire.Reset()
					return err
				}
				want := ""
				for i := range 50 {
					event := fmt.Sprintf("data: %d %s\n\n", i, strings.Repeat("x", i*i))
					want += event
					_, _ = io.WriteString(z, event)
					require.NoError(t, z.Flush())
					require.NoError(t, feed())
					require.Equal(t, want, got.String())
				}
				require.NoError(t, z.Close())
				if err := feed(); err != nil {
					require.ErrorIs(t, err, io.EOF)
				}
				require.Equal(t, want, got.String())
			})
		}
	}
}

// TestFinish: of a body that is cut anywhere everything is handed out that can be decoded.
func TestFinish(t *testing.T) {
	var text strings.Builder
	for i := range 400 {
		fmt.Fprintf(&text, "%d %x;", i, i*i*7919)
	}
	for name, newWriter := range writers {
		var wire bytes.Buffer
		z := newWriter(&wire)
		_, _ = io.WriteString(z, text.String())
		require.NoError(t, z.Close())
		kept := 0
		for cut := 1; cut <= wire.Len(); cut++ {
			if cut > 20 && cut%37 != 0 && cut < wire.Len()-20 {
				continue
			}
			d, ok := New(strings.Replace(name, "raw", "deflate", 1))
			require.True(t, ok)
			var got bytes.Buffer
			out := func(p []byte) { got.Write(p) }
			err := d.Feed(wire.Bytes()[:cut], out)
			if err == nil {
				err = d.Finish(out)
			}
			d.Close()
			if cut == wire.Len() {
				require.ErrorIs(t, err, io.EOF, name)
				require.Equal(t, text.String(), got.String(), name)
				continue
			}
			require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%s cut at %d", name, cut)
			require.True(t, strings.HasPrefix(text.String(), got.String()), "%s cut at %d", name, cut)
			kept = max(kept, got.Len())
		}
		if name != "zstd" { // whose blocks cannot be decoded in part
			require.Greater(t, kept, text.Len()*8/10, name)
		}
	}
}

func TestTwoCodings(t *testing.T) {
	var inner, outer bytes.Buffer
	z := gzip.NewWriter(&inner)
	_, _ = io.WriteString(z, "twice")
	require.NoError(t, z.Close())
	b := brotli.NewWriter(&outer)
	_, _ = b.Write(inner.Bytes())
	require.NoError(t, b.Close())
	d, ok := New("gzip, br")
	require.True(t, ok)
	defer d.Close()
	var got bytes.Buffer
	require.NoError(t, d.Feed(outer.Bytes(), func(p []byte) { got.Write(p) }))
	require.Equal(t, "twice", got.String())
}

// TestMembers: a gzip body may be of many members, and the end of each is there at once.
func TestMembers(t *testing.T) {
	d, ok := New("gzip")
	require.True(t, ok)
	defer d.Close()
	var got bytes.Buffer
	for _, text := range []string{"one", "two"} {
		var wire bytes.Buffer
		z := gzip.NewWriter(&wire)
		_, _ = io.WriteString(z, text)
		require.NoError(t, z.Close())
		require.NoError(t, d.Feed(wire.Bytes(), func(p []byte) { got.Write(p) }))
		require.True(t, strings.HasSuffix(got.String(), text))
	}
	require.Equal(t, "onetwo", got.String())
}

func TestNotKnown(t *testing.T) {
	for _, field := range []string{"", "identity", "compress", "gzip, dcb", "gzip, gzip, gzip"} {
		d, ok := New(field)
		require.False(t, ok, field)
		require.Nil(t, d)
	}
}

// TestBomb: a few bytes do not become any amount.
func TestBomb(t *testing.T) {
	for _, name := range []string{"gzip", "br", "zstd"} {
		var wire bytes.Buffer
		z := writers[name](&wire)
		zeros := make([]byte, 1<<20)
		for range 64 {
			_, _ = z.Write(zeros)
		}
		require.NoError(t, z.Close())
		d, ok := New(name)
		require.True(t, ok)
		n := 0
		err := d.Feed(wire.Bytes(), func(p []byte) { n += len(p) })
		require.ErrorIs(t, err, ErrTooLarge, name)
		require.LessOrEqual(t, n, freeBytes+maxRatio*wire.Len())
		require.ErrorIs(t, d.Feed([]byte("more"), nil), ErrTooLarge)
		d.Close()
	}
}

func FuzzDecoder(f *testing.F) {
	names := []string{"gzip", "deflate", "br", "zstd"}
	for i, name := range names {
		var wire bytes.Buffer
		z := writers[name](&wire)
		_, _ = io.WriteString(z, "data: one\n\n")
		_ = z.Flush()
		_ = z.Close()
		f.Add(wire.Bytes(), i, 3)
	}
	f.Fuzz(func(t *testing.T, b []byte, coding, piece int) {
		testkit.Keep(t, b)
		if coding < 0 || piece <= 0 {
			t.Skip()
		}
		run := func(piece int) string {
			d, _ := New(names[coding%len(names)])
			defer d.Close()
			var got bytes.Buffer
			for rest := b; len(rest) > 0; {
				n := min(piece, len(rest))
				if d.Feed(rest[:n], func(p []byte) { got.Write(p) }) != nil {
					break
				}
				rest = rest[n:]
			}
			err := d.Finish(func(p []byte) { got.Write(p) })
			if err == nil {
				t.Fatal("the end is an error")
			}
			return got.String()
		}
		a := run(len(b) + 1)
		if len(a) > freeBytes+maxRatio*len(b) {
			t.Fatalf("%d bytes became %d", len(b), len(a))
		}
		run(piece)
	})
}

func BenchmarkFeed(b *testing.B) {
	for _, name := range []string{"gzip", "br", "zstd"} {
		b.Run(name, func(b *testing.B) {
			var wire bytes.Buffer
			z := writers[name](&wire)
			d, _ := New(name)
			defer d.Close()
			event := []byte("data: " + strings.Repeat("{\"delta\":\"word\"}", 8) + "\n\n")
			b.ReportAllocs()
			b.SetBytes(int64(len(event)))
			for b.Loop() {
				wire.Reset()
				_, _ = z.Write(event)
				_ = z.Flush()
				if err := d.Feed(wire.Bytes(), func([]byte) {}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
