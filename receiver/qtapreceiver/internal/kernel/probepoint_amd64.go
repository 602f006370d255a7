// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"debug/elf"

	"golang.org/x/arch/x86/x86asm"
)

const nativeMachine = elf.EM_X86_64

// probePoint chooses where in a function's first instructions a probe costs least. The kernel
// emulates a conditional jump or a push where it would have to single-step, with a second
// trap, through most others. The place is as good as the entry only if every call passes it
// once, with the arguments untouched: so only instructions that change nothing but flags may
// come before it, and no branch of the function may lead to it or to what is before. (A computed
// jump, as a tail call is, cannot: no table leads between a comparison and its jump.) Whatever
// is not understood keeps the entry.
func probePoint(code []byte) uint64 {
	point := -1
	for at := 0; at < len(code); {
		inst, n := decodeInst(code[at:])
		if n == 0 {
			return 0
		}
		if emulated(inst) {
			point = at
			break
		}
		switch inst.Op {
		case x86asm.TEST, x86asm.CMP:
			if _, ok := inst.Args[0].(x86asm.Reg); !ok {
				return 0
			}
			if _, ok := inst.Args[1].(x86asm.Mem); ok {
				return 0 // may fault, and the kernel would restart it
			}
		case x86asm.NOP:
		default:
			return 0
		}
		at += n
	}
	if point <= 0 {
		return 0
	}
	for at := 0; at < len(code); {
		inst, n := decodeInst(code[at:])
		if n == 0 {
			return 0
		}
		if rel, ok := inst.Args[0].(x86asm.Rel); ok {
			if to := at + n + int(rel); to > 0 && to <= point {
				return 0
			}
		}
		at += n
	}
	return uint64(point)
}

// decodeInst decodes one instruction, n is 0 when it is not known.
func decodeInst(code []byte) (inst x86asm.Inst, n int) {
	// endbr64, which the decoder does not know, is a no-op.
	if len(code) >= 4 && code[0] == 0xf3 && code[1] == 0x0f && code[2] == 0x1e && code[3] == 0xfa {
		return x86asm.Inst{Op: x86asm.NOP}, 4
	}
	inst, err := x86asm.Decode(code, 64)
	if err != nil {
		return inst, 0
	}
	return inst, inst.Len
}

func emulated(inst x86asm.Inst) bool {
	switch inst.Op {
	case x86asm.JA, x86asm.JAE, x86asm.JB, x86asm.JBE, x86asm.JE, x86asm.JNE, x86asm.JG, x86asm.JGE,
		x86asm.JL, x86asm.JLE, x86asm.JO, x86asm.JNO, x86asm.JP, x86asm.JNP, x86asm.JS, x86asm.JNS:
		return inst.Prefix[0] == 0 || inst.Prefix[0]&x86asm.PrefixImplicit != 0
	case x86asm.PUSH:
		_, reg := inst.Args[0].(x86asm.Reg)
		return reg && inst.Len <= 2
	}
	return false
}
