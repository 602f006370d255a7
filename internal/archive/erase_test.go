// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func three(t testing.TB) Archive {
	var xs []Exchange
	for i := range 3 {
		xs = append(xs, Exchange{
			TraceID: strings.Repeat("a", 32), SpanID: fmt.Sprintf("%016x", i+1), Started: time.Unix(1764000000, 0),
			Request:  Message{Method: "POST", Target: fmt.Sprintf("/%d", i), Version: "1.1", Body: fmt.Appendf(nil, "canary-%d %s", i, strings.Repeat("x", i))},
			Response: &Message{Status: 200, Version: "1.1"},
		})
	}
	packed, err := NewPacker().Pack(slices.Values(xs))
	require.NoError(t, err)
	packed.Entries = slices.Clone(packed.Entries)
	return packed
}

func TestErase(t *testing.T) {
	was := three(t)
	second := fmt.Sprintf("%016x", 2)
	e, err := Erase(was.Bytes, func(span string) bool { return span == second })
	require.NoError(t, err)
	require.Equal(t, 1, e.Files)
	require.Equal(t, 2, e.Left)
	require.Len(t, e.Bytes, len(was.Bytes))
	for _, i := range []int{0, 2} {
		at := was.Entries[i]
		require.Equal(t, was.Bytes[at.Offset:at.Offset+at.Length], e.Bytes[at.Offset:at.Offset+at.Length], "the neighbours are where and what they were")
	}
	at := was.Entries[1]
	data := was.Bytes[at.Offset+localHeader+20 : at.Offset+at.Length]
	require.NotContains(t, string(e.Bytes), string(data[:40]))
	require.NotContains(t, string(e.Bytes), second, "nor its name")

	zr, err := zip.NewReader(bytes.NewReader(e.Bytes), int64(len(e.Bytes)))
	require.NoError(t, err)
	require.Len(t, zr.File, 3)
	require.Equal(t, "erased0000000001.har", zr.File[1].Name)
	for _, f := range zr.File {
		r, err := f.Open()
		require.NoError(t, err)
		body, err := io.ReadAll(r) // holds the checksum against the bytes
		require.NoError(t, err)
		require.Equal(t, f.Name == "erased0000000001.har", strings.HasPrefix(string(body), tombstone))
	}
	xs, err := Read(e.Bytes)
	require.NoError(t, err)
	require.Len(t, xs, 2)

	again, err := Erase(e.Bytes, func(span string) bool { return span == second })
	require.NoError(t, err)
	require.Zero(t, again.Files)
	require.Equal(t, e.Bytes, again.Bytes)
	all, err := Erase(e.Bytes, func(string) bool { return true })
	require.NoError(t, err)
	require.Equal(t, []int{2, 0}, []int{all.Files, all.Left})
	_, err = zip.NewReader(bytes.NewReader(all.Bytes), int64(len(all.Bytes)))
	require.NoError(t, err)
}

func TestEraseOthers(t *testing.T) {
	var other bytes.Buffer
	zw := zip.NewWriter(&other)
	w, err := zw.Create("0000000000000001.har") // with a data descriptor
	require.NoError(t, err)
	_, err = w.Write([]byte("x"))
	require.NoError(t, err)
	require.NoError(t, zw.Close())
	_, err = Erase(other.Bytes(), func(string) bool { return true })
	require.ErrorIs(t, err, errLayout)
	_, err = Erase([]byte("PK"), func(string) bool { return true })
	require.Error(t, err)
}

func FuzzErase(f *testing.F) {
	f.Add(three(f).Bytes)
	f.Add([]byte("PK\x05\x06" + strings.Repeat("\x00", 18)))
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		e, err := Erase(b, func(span string) bool { return strings.HasSuffix(span, "2") })
		if !bytes.Equal(before, b) {
			t.Fatal("the archive itself was changed")
		}
		if err == nil && len(e.Bytes) != len(b) {
			t.Fatal("another length")
		}
	})
}
