// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// goKeyLog is called with each secret by every handshake of crypto/tls, whether a key log is
// wanted or not, and has been since Go 1.8.
const goKeyLog = "crypto/tls.(*Config).writeKeyLog"

// Layout of .gopclntab since Go 1.18 (runtime.pcHeader). Before 1.18 no architecture but amd64
// passed arguments in registers, so older tables are left alone.
const (
	goMagic118 = 0xfffffff0
	goMagic120 = 0xfffffff1

	goHeaderSize = 8 + 8*8
	goFuncs      = 8       // number of functions
	goNames      = 8 + 3*8 // offset of the names
	goNamesEnd   = 8 + 4*8 // offset of what follows them
	goTable      = 8 + 7*8 // offset of the table of functions

	maxGoTable = 1 << 30
	// maxGoShift is how far behind the start of .text Go's part may begin: a C linker puts its
	// start-up code in front.
	maxGoShift = 64 << 10
)

var errGoTable = errors.New("malformed .gopclntab")

// findGoKeyLog looks goKeyLog up in the table that a Go program's runtime unwinds stacks with, which
// stripping leaves in place. Table and text are read in pieces, once, so that memory does not grow
// with the program.
func findGoKeyLog(f *elf.File) (function, error) {
	text, tab := f.Section(".text"), f.Section(".gopclntab")
	if tab == nil {
		tab = f.Section(".data.rel.ro.gopclntab") // of position-independent programs
	}
	if tab == nil || text == nil || tab.Size < goHeaderSize {
		return function{}, errNoSymbol
	}
	h := words{r: tab}
	magic, kind := h.u32(0), h.u32(4)
	funcs, names, namesEnd, table := h.u64(goFuncs), h.u64(goNames), h.u64(goNamesEnd), h.u64(goTable)
	if h.err != nil {
		return function{}, h.err
	}
	if magic != goMagic118 && magic != goMagic120 {
		return function{}, errNoSymbol
	}
	if kind&0xffff != 0 || kind>>24 != 8 || tab.Size > maxGoTable ||
		names > namesEnd || namesEnd > tab.Size || table > tab.Size || funcs >= (tab.Size-table)/8 {
		return function{}, errGoTable
	}
	nameOff, err := findGoName(io.NewSectionReader(tab, int64(names), int64(namesEnd-names)), goKeyLog)
	if err != nil {
		return function{}, err
	}
	entry, end, samples, err := findGoEntry(tab, table, funcs, nameOff)
	if err != nil {
		return function{}, err
	}
	shift, err := goTextShift(text, f.Machine, entry, samples)
	if err != nil {
		return function{}, fmt.Errorf("%s: %w", goKeyLog, err)
	}
	return functionAt(f, goKeyLog, text.Addr+shift+uint64(entry), uint64(end-entry))
}

// findGoName returns the offset of a name among NUL-terminated ones.
func findGoName(r io.Reader, name string) (uint32, error) {
	want := []byte("\x00" + name + "\x00")
	buf := make([]byte, 1, 256<<10)
	// One NUL stands before the first name, so a name's offset is that of the match.
	for base := 0; ; {
		n, err := io.ReadFull(r, buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if i := bytes.Index(buf, want); i >= 0 {
			return uint32(base + i), nil
		}
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return 0, errNoSymbol
		}
		if err != nil {
			return 0, err
		}
		keep := len(want) - 1
		base += len(buf) - keep
		buf = buf[:copy(buf, buf[len(buf)-keep:])]
	}
}

// findGoEntry returns where the function with a name begins and ends, from the start of Go's text,
// and the beginnings of some other functions, evenly chosen.
func findGoEntry(r io.ReaderAt, table, funcs uint64, name uint32) (entry, end uint32, samples []uint32, err error) {
	index, details := window{r: r}, window{r: r}
	step := funcs/64 + 1
	var last uint32
	found := false
	for i := range funcs {
		at := index.u64(table + 8*i)
		off, detail := uint32(at), uint32(at>>32)
		if detail <= last && i > 0 {
			return 0, 0, nil, errGoTable // reading in order is what bounds the work
		}
		last = detail
		// runtime._func begins with the entry again and the name.
		d := details.u64(table + uint64(detail))
		if index.err != nil || details.err != nil {
			return 0, 0, nil, errors.Join(index.err, details.err)
		}
		if uint32(d) != off {
			return 0, 0, nil, errGoTable
		}
		if i%step == 0 {
			samples = append(samples, off)
		}
		if uint32(d>>32) == name {
			if found {
				return 0, 0, nil, errGoTable
			}
			found, entry, end = true, off, uint32(index.u64(table+8*(i+1)))
		}
	}
	if index.err != nil {
		return 0, 0, nil, index.err
	}
	if !found {
		return 0, 0, nil, errNoSymbol // inlined everywhere
	}
	if end <= entry {
		return 0, 0, nil, errGoTable
	}
	return entry, end, samples, nil
}

// goTextShift finds where Go's text begins in .text, by its functions themselves: what the table
// is relative to is not in a file that is relocated when it is loaded, or linked by a C linker. The
// function and most of the samples must begin as Go functions do, with the check of the stack.
func goTextShift(text io.ReaderAt, machine elf.Machine, entry uint32, samples []uint32) (uint64, error) {
	code := make([]byte, maxGoShift+16)
	n, err := text.ReadAt(code, int64(entry))
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, err
	}
	code = code[:n]
	head := make([]byte, 16)
	for shift := 0; shift+16 <= len(code); shift += 16 {
		if !checksGoStack(code[shift:], machine) {
			continue
		}
		right := 0
		for _, s := range samples {
			if _, err := text.ReadAt(head, int64(s)+int64(shift)); err == nil && checksGoStack(head, machine) {
				right++
			}
		}
		if 2*right > len(samples) {
			return uint64(shift), nil
		}
	}
	return 0, errors.New("no Go function begins where .gopclntab says")
}

// checksGoStack says whether code begins as Go functions do: compare the stack pointer with the
// goroutine's bound, g.stackguard0, at 16 of what g's register (R14, X28) points to.
func checksGoStack(code []byte, machine elf.Machine) bool {
	switch machine {
	case elf.EM_X86_64:
		return bytes.HasPrefix(code, []byte{0x49, 0x3b, 0x66, 0x10}) || // CMPQ SP, 16(R14)
			bytes.HasPrefix(code, []byte{0x4c, 0x8d, 0x64, 0x24}) && bytes.HasPrefix(code[5:], []byte{0x4d, 0x3b, 0x66, 0x10}) || // LEAQ -n(SP), R12; CMPQ R12, 16(R14)
			bytes.HasPrefix(code, []byte{0x4c, 0x8d, 0xa4, 0x24}) && bytes.HasPrefix(code[8:], []byte{0x4d, 0x3b, 0x66, 0x10})
	case elf.EM_AARCH64:
		return bytes.HasPrefix(code, []byte{0x90, 0x0b, 0x40, 0xf9}) // MOVD 16(R28), R16
	}
	return false
}

// window reads numbers at growing places through a buffer.
type window struct {
	r   io.ReaderAt
	buf []byte
	at  uint64 // of buf
	err error
}

func (w *window) u64(at uint64) uint64 {
	if w.err != nil {
		return 0
	}
	if at < w.at || at+8 > w.at+uint64(len(w.buf)) {
		if w.buf == nil {
			w.buf = make([]byte, 64<<10)
		}
		n, err := w.r.ReadAt(w.buf[:cap(w.buf)], int64(at))
		w.buf, w.at = w.buf[:n], at
		if n < 8 {
			w.err = errors.Join(errGoTable, err)
			return 0
		}
	}
	return binary.LittleEndian.Uint64(w.buf[at-w.at:])
}
