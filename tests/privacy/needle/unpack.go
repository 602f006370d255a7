// SPDX-License-Identifier: Apache-2.0

package needle

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// largest is how much is unpacked of one place; what is longer is searched as far as that.
const largest = 64 << 20

var (
	gzipMagic = []byte{0x1f, 0x8b, 8}          // RFC 1952 §2.3.1, with deflate
	zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd} // RFC 8878 §3.1.1
	zipMagic  = []byte("PK\x03\x04")           // APPNOTE 4.3.7
)

// unpack finds what is compressed within data, wherever it begins, and calls plain with what was in it. What is broken
// off is unpacked as far as it goes. A block of ClickHouse (its compressed parts are made of them) has an LZ4 block or a
// frame of zstd.
func unpack(data []byte, plain func(data []byte, how string)) {
	each(data, gzipMagic, func(at []byte) {
		if r, err := gzip.NewReader(bytes.NewReader(at)); err == nil {
			r.Multistream(false)
			give(r, "gzip", plain)
		}
	})
	each(data, zstdMagic, func(at []byte) {
		r, err := zstd.NewReader(bytes.NewReader(at), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(largest))
		if err == nil {
			give(r, "zstd", plain)
			r.Close()
		}
	})
	each(data, zipMagic, func(at []byte) {
		if len(at) < 30 || binary.LittleEndian.Uint16(at[8:]) != 8 {
			return // stored files are searched as they are
		}
		head := 30 + int(binary.LittleEndian.Uint16(at[26:])) + int(binary.LittleEndian.Uint16(at[28:]))
		if head < len(at) {
			give(flate.NewReader(bytes.NewReader(at[head:])), "zip", plain)
		}
	})
	const lz4Block, head = 0x82, 9 // a byte for the method, and the sizes of the block with this head and of the plain bytes
	for i := bytes.IndexByte(data, lz4Block); i >= 0 && i+head < len(data); {
		packed, size := binary.LittleEndian.Uint32(data[i+1:]), binary.LittleEndian.Uint32(data[i+5:])
		if packed > head && uint64(packed) <= uint64(len(data)-i) && size > 0 && size <= largest && size/300 <= packed {
			out := make([]byte, size)
			if n, err := lz4.UncompressBlock(data[i+head:i+int(packed)], out); err == nil && n == int(size) {
				plain(out, "lz4")
			}
		}
		next := bytes.IndexByte(data[i+1:], lz4Block)
		if next < 0 {
			break
		}
		i += 1 + next
	}
}

func each(data, magic []byte, f func(at []byte)) {
	for {
		i := bytes.Index(data, magic)
		if i < 0 {
			return
		}
		f(data[i:])
		data = data[i+1:]
	}
}

// give reads what can be read.
func give(r io.Reader, how string, plain func([]byte, string)) {
	out, _ := io.ReadAll(io.LimitReader(r, largest))
	if len(out) > 0 {
		plain(out, how)
	}
}
