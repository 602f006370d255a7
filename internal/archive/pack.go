// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"hash/crc32"
	"iter"
	"strconv"
	"time"

	"github.com/klauspost/compress/flate"
)

// Extension ends the name of every file in an archive.
const Extension = ".har"

// localHeader is the size of a local file header without name and extra field, in bytes (APPNOTE 4.3.7).
const localHeader = 30

// Packer makes archives and keeps its buffers for the next one. It is not safe for concurrent use.
type Packer struct {
	out, har, deflated bytes.Buffer
	enc                *json.Encoder
	fw                 *flate.Writer
	names              map[string]int
	entries            []Entry
}

// Entry is where one file lies in an archive: its local header and its data, which together can be read
// without anything else.
type Entry struct {
	// Offset is that of the local header, in bytes.
	Offset int64
	// Length is that of header and data, in bytes.
	Length int64
}

// Archive is a packed segment. Bytes is valid until the Packer is used again.
type Archive struct {
	Bytes []byte
	// Uncompressed is the size of all files before compression, in bytes.
	Uncompressed int64
	// Digest is the SHA-256 of the names and contents of the files, before compression: equal
	// content has an equal digest, whatever compressed it.
	Digest [sha256.Size]byte
	// Entries are the files in the order of the exchanges, valid as long as Bytes.
	Entries []Entry
}

// NewPacker returns an empty Packer.
func NewPacker() *Packer {
	p := &Packer{names: map[string]int{}}
	p.enc = json.NewEncoder(&p.har)
	p.enc.SetEscapeHTML(false)
	// The fastest level: packing runs on the watched host, and text still shrinks about as well.
	p.fw, _ = flate.NewWriter(&p.deflated, flate.BestSpeed) // fails only for a level that does not exist
	return p
}

// Pack makes a ZIP file of the exchanges, in their order, taking one at a time. The same exchanges give the same bytes.
// A file is named by its exchange's span id; if a span id comes again, a number follows it.
func (p *Packer) Pack(exchanges iter.Seq[Exchange]) (Archive, error) {
	p.out.Reset()
	clear(p.names)
	p.entries = p.entries[:0]
	zw := zip.NewWriter(&p.out)
	digest := sha256.New()
	var total int64
	for x := range exchanges {
		n, err := p.add(zw, digest, &x)
		if err != nil {
			return Archive{}, fmt.Errorf("pack exchange %s: %w", x.SpanID, err)
		}
		total += n
	}
	if err := zw.Close(); err != nil {
		return Archive{}, fmt.Errorf("pack: %w", err)
	}
	a := Archive{Bytes: p.out.Bytes(), Uncompressed: total, Entries: p.entries}
	digest.Sum(a.Digest[:0])
	return a, nil
}

// add deflates the exchange before its header is written, so that the local header carries the
// sizes: one range request for an entry then needs nothing else.
func (p *Packer) add(zw *zip.Writer, digest hash.Hash, x *Exchange) (int64, error) {
	if x.Sealed != nil {
		// Its time is inside.
		date, clock := dosTime(time.Time{})
		return int64(len(x.Sealed)), p.store(zw, digest, &zip.FileHeader{
			Name: p.name(x.SpanID, Extension+SealedExtension), Method: zip.Store, ModifiedDate: date, ModifiedTime: clock, //nolint:staticcheck // as below
			CRC32: crc32.ChecksumIEEE(x.Sealed), CompressedSize64: uint64(len(x.Sealed)), UncompressedSize64: uint64(len(x.Sealed)),
		}, x.Sealed, x.Sealed)
	}
	p.har.Reset()
	if err := p.enc.Encode(toHAR(x)); err != nil {
		return 0, err
	}
	p.deflated.Reset()
	p.fw.Reset(&p.deflated)
	if _, err := p.fw.Write(p.har.Bytes()); err != nil {
		return 0, err
	}
	if err := p.fw.Close(); err != nil {
		return 0, err
	}

	date, clock := dosTime(x.Started)
	return int64(p.har.Len()), p.store(zw, digest, &zip.FileHeader{
		Name:               p.name(x.SpanID, Extension),
		Method:             zip.Deflate,
		ModifiedDate:       date,  //nolint:staticcheck // CreateRaw does not derive them from Modified
		ModifiedTime:       clock, //nolint:staticcheck // as above
		CRC32:              crc32.ChecksumIEEE(p.har.Bytes()),
		CompressedSize64:   uint64(p.deflated.Len()),
		UncompressedSize64: uint64(p.har.Len()),
	}, p.har.Bytes(), p.deflated.Bytes())
}

// store appends a file whose content is packed into data.
func (p *Packer) store(zw *zip.Writer, digest hash.Hash, fh *zip.FileHeader, content, data []byte) error {
	fh.SetMode(0o600)
	w, err := zw.CreateRaw(fh)
	if err != nil {
		return err
	}
	if _, err := w.Write(data); err != nil {
		return err
	}
	var offset int64
	if n := len(p.entries); n > 0 {
		offset = p.entries[n-1].Offset + p.entries[n-1].Length
	}
	// No extra field and no data descriptor: see TestLocalHeaders.
	p.entries = append(p.entries, Entry{Offset: offset, Length: int64(localHeader + len(fh.Name) + len(data))})
	// Name and content are separated by their lengths, so that no two lists of files collide.
	fmt.Fprintf(digest, "%d %s %d ", len(fh.Name), fh.Name, len(content))
	digest.Write(content)
	return nil
}

func (p *Packer) name(spanID, extension string) string {
	p.names[spanID]++
	if n := p.names[spanID]; n > 1 {
		return spanID + "." + strconv.Itoa(n) + extension
	}
	return spanID + extension
}

// dosTime is MS-DOS date and time in UTC, the fields of a ZIP header. It cannot say more than
// even seconds from 1980 to 2107.
func dosTime(t time.Time) (date, clock uint16) {
	t = t.UTC()
	if t.Year() < 1980 || t.Year() > 2107 {
		return 1<<5 | 1, 0
	}
	date = uint16(t.Day() + int(t.Month())<<5 + (t.Year()-1980)<<9)
	clock = uint16(t.Second()/2 + t.Minute()<<5 + t.Hour()<<11)
	return date, clock
}
