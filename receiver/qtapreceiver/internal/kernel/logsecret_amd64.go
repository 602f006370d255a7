// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"debug/elf"
	"encoding/binary"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

const (
	// maxArguments is how far behind a label's use the call may be that takes it.
	maxArguments = 64
	// maxLogCode is how much of ssl_log_secret is looked at.
	maxLogCode = 1024
)

// findBoringSSL finds ssl_log_secret(ssl, label, secret, secret_size) of BoringSSL in a stripped program, and in its code
// where the client random is, relative to ssl: the value of the probe's cookie.
//
// Every label must be passed as the second argument to one and the same function, which must read 32 bytes one by one at
// an offset of what a field of its first argument points to. The program of the probe compares the label again, and a
// client random that is none makes no harm: nothing on the wire has it, so no connection takes the secret.
func findBoringSSL(f *elf.File, t *tlsText) (fn function, cookie uint64, err error) {
	fn, used, err := labelTaker(f, t)
	if err != nil {
		return function{}, 0, err
	}
	state, random, ok := clientRandom(fn.code)
	if !ok || slices.Contains(used[:], false) {
		return function{}, 0, errNotAsExpected
	}
	return fn, state | random<<16, nil
}

// findOpenSSL finds the same function of OpenSSL, 1.1.1 and later. It uses only the label of TLS 1.2 in a straight line;
// but the function does nothing but hand on its arguments with the client random, each where it must be.
func findOpenSSL(f *elf.File, t *tlsText) (fn function, cookie uint64, err error) {
	fn, used, err := labelTaker(f, t)
	if err != nil {
		return function{}, 0, err
	}
	state, random, ok := handedRandom(fn.code)
	if !ok || !used[len(used)-1] {
		return function{}, 0, errNotAsExpected
	}
	return fn, state | random<<16, nil
}

// labelTaker finds the only function that labels are passed to as the second argument, and says which ones are.
func labelTaker(f *elf.File, t *tlsText) (fn function, used [len(logLabels)]bool, err error) {
	if slices.Contains(t.labels[:], 0) {
		return function{}, used, errNotAsExpected
	}
	var target uint64
	conflict := false
	for _, p := range f.Progs {
		if f.Machine != elf.EM_X86_64 || p.Type != elf.PT_LOAD || p.Flags&elf.PF_X == 0 || p.Filesz > maxText {
			continue
		}
		err := pieces(p, p.Filesz, func(off uint64, b []byte) bool {
			for _, u := range labelUses(b, p.Vaddr+off, &t.labels, f.Type == elf.ET_EXEC) {
				to, ok := calledWith(b[u.at:min(len(b), u.at+maxArguments)], p.Vaddr+off+uint64(u.at))
				if !ok {
					continue
				}
				conflict = conflict || target != 0 && to != target
				target, used[u.label] = to, true
			}
			return !conflict
		})
		if err != nil {
			return function{}, used, err
		}
	}
	if conflict || target == 0 {
		return function{}, used, errNotAsExpected
	}
	fn, err = functionAt(f, "ssl_log_secret", target, maxLogCode)
	return fn, used, err
}

// labelUse is an instruction that makes a label the second argument.
type labelUse struct{ at, label int }

// labelUses finds the instructions that load a label's address into RSI. fixed says that addresses in the
// file are those at run time.
func labelUses(b []byte, addr uint64, labels *[len(logLabels)]uint64, fixed bool) (uses []labelUse) {
	for _, at := range indexAll(b, []byte{0x8d, 0x35}) { // LEA rel32(RIP), RSI, behind its REX.W, which is too common
		if at--; at < 0 || at+7 > len(b) || b[at] != 0x48 {
			continue
		}
		to := addr + uint64(at) + 7 + uint64(int64(int32(binary.LittleEndian.Uint32(b[at+3:]))))
		if i := slices.Index(labels[:], to); i >= 0 {
			uses = append(uses, labelUse{at, i})
		}
	}
	if !fixed {
		return uses
	}
	for i, label := range labels {
		if label>>31 != 0 {
			continue
		}
		for _, at := range indexAll(b, binary.LittleEndian.AppendUint32([]byte{0xbe}, uint32(label))) { // MOV imm32, ESI
			uses = append(uses, labelUse{at, i})
		}
	}
	return uses
}

// calledWith returns the function that is called, or jumped to as the last thing, after the first
// instruction, which sets RSI, and nothing but straight code that leaves RSI alone.
func calledWith(code []byte, addr uint64) (to uint64, ok bool) {
	for at, first := 0, true; at < len(code); first = false {
		inst, n := decodeInst(code[at:])
		if n == 0 {
			return 0, false
		}
		at += n
		rel, relative := inst.Args[0].(x86asm.Rel)
		switch inst.Op {
		case x86asm.CALL, x86asm.JMP:
			return addr + uint64(at) + uint64(int64(rel)), relative && n == 5
		case x86asm.LEA, x86asm.MOV, x86asm.MOVZX, x86asm.ADD, x86asm.XOR, x86asm.POP, x86asm.NOP:
			if r, reg := inst.Args[0].(x86asm.Reg); reg && wide(r) == x86asm.RSI && !first {
				return 0, false
			}
		default:
			return 0, false
		}
	}
	return 0, false
}

// clientRandom reads in the code of ssl_log_secret how it comes to the client random: the offset in ssl of
// a pointer, and the offset of 32 bytes behind that, which are read one by one.
func clientRandom(code []byte) (state, random uint64, ok bool) {
	ssl := map[x86asm.Reg]bool{x86asm.RDI: true}
	behind := map[x86asm.Reg]uint64{} // registers with what a field of ssl points to
	var counter x86asm.Reg            // indexes the last byte that was read
	to32 := map[x86asm.Reg]bool{}     // registers that are compared with 32
	for at := 0; at < len(code); {
		inst, n := decodeInst(code[at:])
		if n == 0 || inst.Op == x86asm.INT {
			break // what fills the space behind the function
		}
		at += n
		dst, toReg := inst.Args[0].(x86asm.Reg)
		src, fromReg := inst.Args[1].(x86asm.Reg)
		mem, fromMem := inst.Args[1].(x86asm.Mem)
		switch inst.Op {
		case x86asm.CALL:
			for _, r := range []x86asm.Reg{x86asm.RAX, x86asm.RCX, x86asm.RDX, x86asm.RSI, x86asm.RDI, x86asm.R8, x86asm.R9, x86asm.R10, x86asm.R11} {
				delete(ssl, r)
				delete(behind, r)
			}
			continue
		case x86asm.CMP:
			if imm, isImm := inst.Args[1].(x86asm.Imm); isImm && toReg && imm == 32 {
				to32[wide(dst)] = true
			}
			continue
		case x86asm.TEST, x86asm.PUSH, x86asm.JMP, x86asm.JE, x86asm.JNE, x86asm.JB, x86asm.JAE, x86asm.JA, x86asm.JBE:
			continue
		case x86asm.MOV:
			if toReg && fromReg && ssl[src] {
				ssl[dst] = true
				delete(behind, dst)
				continue
			}
			if toReg && fromMem && is64(dst) && ssl[mem.Base] && mem.Index == 0 && mem.Segment == 0 && mem.Disp > 0 && mem.Disp < 1<<16 {
				delete(ssl, dst)
				behind[dst] = uint64(mem.Disp)
				continue
			}
		case x86asm.MOVZX:
			field, known := behind[mem.Base]
			if fromMem && known && mem.Index != 0 && mem.Scale == 1 && inst.MemBytes == 1 && mem.Disp > 0 && mem.Disp < 1<<16 {
				if random != 0 && (state != field || random != uint64(mem.Disp)) {
					return 0, 0, false
				}
				state, random, counter = field, uint64(mem.Disp), mem.Index
			}
		}
		if toReg {
			delete(ssl, wide(dst))
			delete(behind, wide(dst))
		}
	}
	return state, random, random != 0 && to32[counter]
}

// handedRandom reads in the code of OpenSSL's ssl_log_secret(ssl, label, secret, secret_size) how it comes to the client
// random: it ends with nss_keylog_int(label, ssl, random, 32, secret, secret_size), and nothing comes before but moves and
// the question whether there is a callback.
func handedRandom(code []byte) (state, random uint64, ok bool) {
	const ssl, label, secret, size, number, pointer, place = 1, 2, 3, 4, 5, 6, 7
	type value struct {
		kind   int
		at, to uint64 // of pointer: the offset in ssl; of place: behind that pointer, or in ssl itself
	}
	regs := map[x86asm.Reg]value{x86asm.RDI: {kind: ssl}, x86asm.RSI: {kind: label}, x86asm.RDX: {kind: secret}, x86asm.RCX: {kind: size}}
	for at := 0; at < len(code); {
		inst, n := decodeInst(code[at:])
		if n == 0 {
			return 0, 0, false
		}
		at += n
		switch inst.Op {
		case x86asm.NOP, x86asm.CMP, x86asm.TEST, x86asm.JE, x86asm.JNE: // without a callback it returns
			continue
		}
		if inst.Op == x86asm.JMP && n == 5 {
			break
		}
		dst, toReg := inst.Args[0].(x86asm.Reg)
		if !toReg {
			return 0, 0, false
		}
		var v value
		switch src := inst.Args[1].(type) {
		case x86asm.Reg:
			if inst.Op != x86asm.MOV || !is64(dst) {
				return 0, 0, false
			}
			v = regs[src]
		case x86asm.Imm:
			if inst.Op != x86asm.MOV {
				return 0, 0, false
			}
			v = value{number, uint64(src), 0}
		case x86asm.Mem:
			base := regs[src.Base]
			if src.Segment != 0 || src.Index != 0 || src.Disp <= 0 || src.Disp >= 1<<16 || !is64(dst) {
				return 0, 0, false
			}
			switch {
			case inst.Op == x86asm.MOV && base.kind == ssl:
				v = value{pointer, uint64(src.Disp), 0}
			case inst.Op == x86asm.LEA && base.kind == ssl:
				v = value{place, 0, uint64(src.Disp)}
			case inst.Op == x86asm.LEA && base.kind == pointer:
				v = value{place, base.at, uint64(src.Disp)}
			default:
				return 0, 0, false
			}
		default:
			return 0, 0, false
		}
		regs[wide(dst)] = v
	}
	r := regs[x86asm.RDX]
	return r.at, r.to, r.kind == place && regs[x86asm.RDI].kind == label && regs[x86asm.RSI].kind == ssl &&
		regs[x86asm.RCX] == value{number, 32, 0} && regs[x86asm.R8].kind == secret && regs[x86asm.R9].kind == size
}

func is64(r x86asm.Reg) bool { return r >= x86asm.RAX && r <= x86asm.R15 }

// wide returns the 64-bit register that r is a part of.
func wide(r x86asm.Reg) x86asm.Reg {
	switch {
	case r >= x86asm.AL && r <= x86asm.BL:
		return r - x86asm.AL + x86asm.RAX
	case r >= x86asm.AH && r <= x86asm.BH:
		return r - x86asm.AH + x86asm.RAX
	case r >= x86asm.SPB && r <= x86asm.R15B:
		return r - x86asm.SPB + x86asm.RSP
	case r >= x86asm.AX && r <= x86asm.R15W:
		return r - x86asm.AX + x86asm.RAX
	case r >= x86asm.EAX && r <= x86asm.R15L:
		return r - x86asm.EAX + x86asm.RAX
	}
	return r
}
