// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"debug/elf"
	"errors"
	"fmt"

	"golang.org/x/arch/x86/x86asm"
)

// emulatedPlace is the distance from a function's entry to the first instruction that the kernel
// emulates, where a trap is all that a probe costs, and no single step. Up to there the registers
// of the first three arguments must be untouched, and no branch may be passed.
func emulatedPlace(path, name string) (uint64, error) {
	code, err := function(path, name)
	if err != nil {
		return 0, err
	}
	at, ok := place(code)
	if !ok {
		return 0, fmt.Errorf("%s: no emulated instruction at the beginning of %s", path, name)
	}
	return uint64(at), nil
}

func place(code []byte) (int, bool) {
	for at := 0; at < len(code); {
		inst, n := decode(code[at:])
		if n == 0 {
			return 0, false
		}
		switch inst.Op {
		case x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JNE, x86asm.JG, x86asm.JGE, x86asm.JL, x86asm.JLE, x86asm.JS, x86asm.JNS:
			return at, true
		case x86asm.PUSH:
			if _, reg := inst.Args[0].(x86asm.Reg); reg && n <= 2 {
				return at, true
			}
			return 0, false
		case x86asm.NOP, x86asm.TEST, x86asm.CMP:
		case x86asm.SUB, x86asm.MOV, x86asm.XOR, x86asm.LEA:
			if r, ok := inst.Args[0].(x86asm.Reg); ok && argument(r) {
				return 0, false
			}
		default:
			return 0, false
		}
		at += n
	}
	return 0, false
}

// argument says that a register has one of the first three arguments, or part of it.
func argument(r x86asm.Reg) bool {
	switch r {
	case x86asm.RDI, x86asm.EDI, x86asm.DI, x86asm.DIB, x86asm.RSI, x86asm.ESI, x86asm.SI, x86asm.SIB,
		x86asm.RDX, x86asm.EDX, x86asm.DX, x86asm.DL, x86asm.DH:
		return true
	}
	return false
}

func decode(code []byte) (x86asm.Inst, int) {
	// endbr64, which the decoder does not know.
	if len(code) >= 4 && code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa {
		return x86asm.Inst{Op: x86asm.NOP}, 4
	}
	inst, err := x86asm.Decode(code, 64)
	if err != nil {
		return inst, 0
	}
	return inst, inst.Len
}

// function is the code of an exported function, at most 64 bytes of it.
func function(path, name string) ([]byte, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return nil, err
	}
	for _, s := range symbols {
		if s.Name != name || s.Section == elf.SHN_UNDEF {
			continue
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_LOAD && s.Value >= p.Vaddr && s.Value < p.Vaddr+p.Filesz {
				b := make([]byte, min(64, s.Size))
				_, err := p.ReadAt(b, int64(s.Value-p.Vaddr))
				return b, err
			}
		}
	}
	return nil, errors.New("it has no " + name)
}
