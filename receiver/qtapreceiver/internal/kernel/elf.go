// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// errNoSymbol says that a file is fine but has no such symbol.
var errNoSymbol = errors.New("symbol not found")

// function is a function of an ELF file.
type function struct {
	name   string
	offset uint64 // in the file
	code   []byte // at most maxCode bytes
}

const (
	// maxCode bounds how much of a function is looked at.
	maxCode = 4096
	// maxSymbols bounds the tables of symbols that are for debuggers.
	maxSymbols = 256 << 20
)

// openELF reads the headers of a file that this machine can run.
func openELF(r io.ReaderAt, machine elf.Machine) (*elf.File, error) {
	f, err := elf.NewFile(r)
	if err != nil {
		return nil, err
	}
	if f.Class != elf.ELFCLASS64 || f.ByteOrder != binary.LittleEndian || f.Machine != machine {
		return nil, errNoSymbol // of another architecture: not loadable here
	}
	return f, nil
}

// findFunction looks an exported function up, through the file's GNU hash table: the symbol
// table of a large program is never read as a whole.
func findFunction(f *elf.File, name string) (function, error) {
	sym, err := lookup(f, name)
	if err != nil {
		return function{}, err
	}
	return functionAt(f, name, sym.Value, sym.Size)
}

// functionAt finds the function at an address in the file.
func functionAt(f *elf.File, name string, addr, size uint64) (function, error) {
	for _, p := range f.Progs {
		if p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || addr < p.Vaddr || addr-p.Vaddr >= p.Filesz {
			continue
		}
		at := addr - p.Vaddr
		fn := function{name: name, offset: p.Off + at}
		fn.code = make([]byte, min(size, p.Filesz-at, maxCode))
		if _, err := p.ReadAt(fn.code, int64(at)); err != nil {
			return function{}, fmt.Errorf("read code of %s: %w", name, err)
		}
		return fn, nil
	}
	return function{}, fmt.Errorf("%s is in no executable segment", name)
}

// gnuHash is the hash function of DT_GNU_HASH.
func gnuHash(name string) uint32 {
	h := uint32(5381)
	for i := range len(name) {
		h = h*33 + uint32(name[i])
	}
	return h
}

// lookup finds a defined function in .dynsym.
func lookup(f *elf.File, name string) (elf.Sym64, error) {
	dynsym, dynstr := f.Section(".dynsym"), f.Section(".dynstr")
	if dynsym == nil || dynstr == nil {
		return elf.Sym64{}, errNoSymbol
	}
	table := f.Section(".gnu.hash")
	if table == nil {
		return lookupSlow(f, name)
	}
	// Header, bloom filter, buckets, chains; see the linker's sources, there is no standard.
	t := words{r: table}
	nbuckets, first, bloomSize, shift := t.u32(0), t.u32(4), t.u32(8), t.u32(12)
	if t.err != nil || nbuckets == 0 || bloomSize == 0 {
		return elf.Sym64{}, errNoSymbol
	}
	h := gnuHash(name)
	word := t.u64(16 + 8*int64(h/64%bloomSize))
	if t.err != nil {
		return elf.Sym64{}, t.err
	}
	if word>>(h%64)&1 == 0 || word>>(h>>(shift&31)%64)&1 == 0 {
		return elf.Sym64{}, errNoSymbol
	}
	buckets := 16 + 8*int64(bloomSize)
	i := t.u32(buckets + 4*int64(h%nbuckets))
	if t.err != nil || i < first {
		return elf.Sym64{}, errNoSymbol
	}
	chains := buckets + 4*int64(nbuckets)
	const maxChain = 1 << 16
	for n := 0; n < maxChain && i < math.MaxUint32; n++ {
		c := t.u32(chains + 4*int64(i-first))
		if t.err != nil {
			return elf.Sym64{}, t.err
		}
		if c|1 == h|1 {
			sym, ok, err := symbolAt(dynsym, dynstr, i, name)
			if err != nil || ok {
				return sym, err
			}
		}
		if c&1 != 0 {
			break
		}
		i++
	}
	return elf.Sym64{}, errNoSymbol
}

// symbolAt reads a symbol and says whether it is the function that is looked for.
func symbolAt(dynsym, dynstr io.ReaderAt, i uint32, name string) (elf.Sym64, bool, error) {
	s := words{r: dynsym}
	at := int64(i) * elf.Sym64Size
	head, value, size := s.u64(at), s.u64(at+8), s.u64(at+16)
	if s.err != nil {
		return elf.Sym64{}, false, s.err
	}
	sym := elf.Sym64{Name: uint32(head), Info: byte(head >> 32), Shndx: uint16(head >> 48), Value: value, Size: size}
	if elf.ST_TYPE(sym.Info) != elf.STT_FUNC || sym.Shndx == uint16(elf.SHN_UNDEF) {
		return sym, false, nil
	}
	b := make([]byte, len(name)+1)
	if _, err := dynstr.ReadAt(b, int64(sym.Name)); err != nil {
		return sym, false, err
	}
	return sym, string(b) == name+"\x00", nil
}

// lookupSlow reads the whole table, for files linked without a GNU hash table.
func lookupSlow(f *elf.File, name string) (elf.Sym64, error) {
	if s := f.Section(".dynsym"); s.Size > 64<<20 {
		return elf.Sym64{}, fmt.Errorf("symbol table of %d bytes is too large", s.Size)
	}
	syms, err := f.DynamicSymbols()
	if err != nil {
		return elf.Sym64{}, err
	}
	for _, s := range syms {
		if s.Name == name && elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			return elf.Sym64{Value: s.Value, Size: s.Size}, nil
		}
	}
	return elf.Sym64{}, errNoSymbol
}

// findLocal looks a function up among the symbols that are there for debuggers, in a program that exports none. There
// may be several of a name: then none is found.
func findLocal(f *elf.File, name string) (function, error) {
	syms := f.SectionByType(elf.SHT_SYMTAB)
	if syms == nil || int(syms.Link) >= len(f.Sections) || syms.Size > maxSymbols || f.Sections[syms.Link].Size > maxSymbols {
		return function{}, errNoSymbol
	}
	names := f.Sections[syms.Link]
	at := map[uint32]bool{} // in names
	err := pieces(names, names.Size, func(off uint64, b []byte) bool {
		for _, i := range indexAll(b, []byte("\x00"+name+"\x00")) {
			at[uint32(off)+uint32(i)+1] = true
		}
		return true
	})
	if err != nil || len(at) == 0 {
		return function{}, cmp.Or(err, errNoSymbol)
	}
	var found []elf.Sym64
	table := window{r: syms}
	for i := range syms.Size / elf.Sym64Size {
		head := table.u64(i * elf.Sym64Size)
		if !at[uint32(head)] || elf.ST_TYPE(byte(head>>32)) != elf.STT_FUNC || uint16(head>>48) == uint16(elf.SHN_UNDEF) {
			continue
		}
		found = append(found, elf.Sym64{Value: table.u64(i*elf.Sym64Size + 8), Size: table.u64(i*elf.Sym64Size + 16)})
	}
	if table.err != nil {
		return function{}, table.err
	}
	if len(found) != 1 {
		return function{}, errNoSymbol
	}
	return functionAt(f, name, found[0].Value, found[0].Size)
}

// words reads little-endian numbers and keeps the first error.
type words struct {
	r   io.ReaderAt
	err error
}

func (w *words) read(at int64, n int) uint64 {
	var b [8]byte
	if w.err == nil {
		_, w.err = w.r.ReadAt(b[:n], at)
	}
	return binary.LittleEndian.Uint64(b[:])
}

func (w *words) u32(at int64) uint32 { return uint32(w.read(at, 4)) }
func (w *words) u64(at int64) uint64 { return w.read(at, 8) }
