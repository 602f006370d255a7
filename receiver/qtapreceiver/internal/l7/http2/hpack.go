// SPDX-License-Identifier: Apache-2.0

package http2

import "golang.org/x/net/http2/hpack"

// HPACK (RFC 7541) for readers that may have missed something.
//
// A dynamic table is addressed from its newest entry on, so an entry that was inserted since the table was
// last lost has its exact index whatever came before it; everything behind those is unknown. What
// eviction does to a table of unknown size does not matter either: an encoder never refers to an entry that
// it evicted. So a value is exact or known to be unknown, and no state in between exists.

// staticTable is RFC 7541 Appendix A, taken from the library's decoder, which does not export it.
var staticTable = func() (t [62]hpack.HeaderField) {
	i := 0
	d := hpack.NewDecoder(0, func(f hpack.HeaderField) { t[i] = f })
	for i = 1; i < len(t); i++ {
		if _, err := d.Write([]byte{0x80 | byte(i)}); err != nil {
			panic(err) // the static table is part of the protocol
		}
	}
	return t
}()

const (
	// firstTable is the size of a dynamic table until the encoder says otherwise (RFC 9113 §6.5.2).
	firstTable = 4096
	// entryOverhead is added to the lengths of name and value (RFC 7541 §4.1).
	entryOverhead = 32
)

// field is a field line. Without nameKnown its name is not known, without valueKnown neither is its value.
type field struct {
	name, value           string
	nameKnown, valueKnown bool
}

func (f *field) size() int { return len(f.name) + len(f.value) + entryOverhead }

// dynamicTable holds the known entries, newest last, from index first on.
type dynamicTable struct {
	entries []field
	first   int
	size    int
	// limit is the size that the encoder announced, at most bound.
	limit, bound int
}

// lose forgets everything: what is inserted from now on is known again. The encoder's limit may have
// changed unseen.
func (t *dynamicTable) lose() {
	t.clear()
	t.limit = t.bound
}

func (t *dynamicTable) clear() {
	clear(t.entries)
	t.entries, t.first, t.size = t.entries[:0], 0, 0
}

func (t *dynamicTable) resize(limit uint64) {
	t.limit = int(min(limit, uint64(t.bound)))
	t.evict(0)
}

// evict makes room for n bytes.
func (t *dynamicTable) evict(n int) {
	for t.first < len(t.entries) && t.size+n > t.limit {
		t.size -= t.entries[t.first].size()
		t.entries[t.first] = field{}
		t.first++
	}
	if t.first > 32 && t.first > len(t.entries)/2 {
		k := copy(t.entries, t.entries[t.first:])
		clear(t.entries[k:])
		t.entries, t.first = t.entries[:k], 0
	}
}

func (t *dynamicTable) insert(f field) {
	n := f.size()
	t.evict(n)
	if n > t.limit { // RFC 7541 §4.4: empties the table
		return
	}
	t.entries = append(t.entries, f)
	t.size += n
}

// at returns the field line with the given index; false for index 0, which is an error.
func (t *dynamicTable) at(index uint64) (field, bool) {
	switch {
	case index == 0:
		return field{}, false
	case index < uint64(len(staticTable)):
		f := &staticTable[index]
		return field{f.Name, f.Value, true, true}, true
	}
	back := index - uint64(len(staticTable)) // 0 is the newest
	if back >= uint64(len(t.entries)-t.first) {
		return field{}, true
	}
	return t.entries[len(t.entries)-1-int(back)], true
}

// decode reads a whole field block and appends its field lines to out, until their sizes reach
// limit; the table follows the block to its end in any case. ok is false when the block is malformed:
// the table is not to be believed then.
func (t *dynamicTable) decode(out []field, b []byte, limit int) (fields []field, tooLarge, ok bool) {
	size := 0
	for len(b) > 0 {
		var f field
		var index uint64
		insert := false
		switch {
		case b[0]&0x80 != 0: // §6.1 indexed
			if index, b, ok = readInt(b, 7); !ok {
				return out, tooLarge, false
			}
			if f, ok = t.at(index); !ok {
				return out, tooLarge, false
			}
		case b[0]&0xe0 == 0x20: // §6.3 size update
			if index, b, ok = readInt(b, 5); !ok {
				return out, tooLarge, false
			}
			t.resize(index)
			continue
		default: // §6.2 literal
			bits := uint(4)
			if insert = b[0]&0xc0 == 0x40; insert {
				bits = 6
			}
			if index, b, ok = readInt(b, bits); !ok {
				return out, tooLarge, false
			}
			if index == 0 {
				if f.name, b, ok = readString(b); !ok {
					return out, tooLarge, false
				}
				f.nameKnown = true
			} else {
				f, _ = t.at(index)
			}
			if f.value, b, ok = readString(b); !ok {
				return out, tooLarge, false
			}
			f.valueKnown = true
		}
		if insert {
			t.insert(f)
		}
		if size += f.size(); size > limit {
			tooLarge = true
			continue
		}
		out = append(out, f)
	}
	return out, tooLarge, true
}

// readInt reads an integer with a prefix of so many bits (RFC 7541 §5.1).
func readInt(b []byte, bits uint) (v uint64, rest []byte, ok bool) {
	mask := byte(1<<bits - 1)
	v = uint64(b[0] & mask)
	b = b[1:]
	if v < uint64(mask) {
		return v, b, true
	}
	for shift := uint(0); shift < 28; shift += 7 {
		if len(b) == 0 {
			return 0, nil, false
		}
		c := b[0]
		b = b[1:]
		v += uint64(c&0x7f) << shift
		if c&0x80 == 0 {
			return v, b, true
		}
	}
	return 0, nil, false
}

// readString reads a string literal (RFC 7541 §5.2).
func readString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) == 0 {
		return "", nil, false
	}
	huffman := b[0]&0x80 != 0
	n, b, ok := readInt(b, 7)
	if !ok || n > uint64(len(b)) {
		return "", nil, false
	}
	raw := b[:n]
	if !huffman {
		return string(raw), b[n:], true
	}
	s, err := hpack.HuffmanDecodeToString(raw)
	return s, b[n:], err == nil
}
