// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

// erasedName begins the names of files that were erased.
const erasedName = "erased"

// tombstone is what an erased file holds, padded to the length of what was there.
const tombstone = `{"log":{"version":"1.2","creator":{"name":"otelcol-qpoint","version":"1"},"entries":[],"comment":"erased"}}`

// Erased is an archive without some of its files.
type Erased struct {
	// Bytes are as many as before: what is left has its place, and the links and receipts that say so stay true.
	Bytes []byte
	// Files is how many were erased now, and Removed how many bytes of the archive they had.
	Files   int
	Removed int64
	// Left is how many are still there.
	Left int
}

// Sizes and places in the records of a ZIP file (APPNOTE 4.3.7, 4.3.12, 4.3.16).
const (
	directoryHeader = 46
	endRecord       = 22
)

var errLayout = errors.New("not an archive of ours: a ZIP file without extra fields, data descriptors, comments and ZIP64")

// Erase puts tombstones in the place of the files that gone selects by the span id they are named by, in a copy.
// It looks at names and lengths only, whatever the files hold and however they are packed.
func Erase(b []byte, gone func(spanID string) bool) (e Erased, err error) {
	if _, err := zip.NewReader(bytes.NewReader(b), int64(len(b))); err != nil {
		return e, fmt.Errorf("erase: %w", err)
	}
	le := binary.LittleEndian
	end := len(b) - endRecord
	if end < 0 || string(b[end:end+4]) != "PK\x05\x06" || le.Uint16(b[end+20:]) != 0 {
		return e, errLayout
	}
	count, at := int(le.Uint16(b[end+10:])), int(le.Uint32(b[end+16:]))
	if count == 0xffff || at > end {
		return e, errLayout
	}
	e.Bytes = bytes.Clone(b)
	for i := range count {
		if at+directoryHeader > end || string(b[at:at+4]) != "PK\x01\x02" {
			return e, errLayout
		}
		nameLen, size, local := int(le.Uint16(b[at+28:])), int(le.Uint32(b[at+20:])), int(le.Uint32(b[at+42:]))
		next := at + directoryHeader + nameLen
		if next > end || le.Uint32(b[at+30:]) != 0 || local+localHeader+nameLen+size > len(b) || string(b[local:local+4]) != "PK\x03\x04" ||
			int(le.Uint16(b[local+26:])) != nameLen || le.Uint16(b[local+28:]) != 0 || le.Uint16(b[local+6:])&8 != 0 {
			return e, errLayout
		}
		name := string(b[at+directoryHeader : next])
		stem, rest, _ := strings.Cut(name, ".")
		switch {
		case strings.HasPrefix(name, erasedName):
		case !gone(stem):
			e.Left++
		default:
			e.Files++
			e.Removed += int64(size)
			data := e.Bytes[local+localHeader+nameLen:][:size]
			for j := copy(data, tombstoneOf(size)); j < size; j++ {
				data[j] = ' '
			}
			crc := crc32.ChecksumIEEE(data)
			for _, h := range []int{at + 10, local + 8} { // from the method on, both headers have the same fields
				le.PutUint16(e.Bytes[h:], zip.Store)
				le.PutUint16(e.Bytes[h+2:], 0) // the time
				le.PutUint16(e.Bytes[h+4:], 1<<5|1)
				le.PutUint32(e.Bytes[h+6:], crc)
				le.PutUint32(e.Bytes[h+14:], uint32(size))
			}
			if n := len(stem) - len(erasedName); n > 0 {
				as := fmt.Sprintf("%s%0*d.%s", erasedName, n, i, rest)
				if len(as) != nameLen {
					return e, errLayout
				}
				copy(e.Bytes[at+directoryHeader:], as)
				copy(e.Bytes[local+localHeader:], as)
			}
		}
		at = next
	}
	return e, nil
}

func tombstoneOf(size int) string {
	if size < len(tombstone) {
		return ""
	}
	return tombstone
}
