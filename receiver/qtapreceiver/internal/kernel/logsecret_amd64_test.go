// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"debug/elf"
	"encoding/binary"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// textOf opens a program and reads its constants.
func textOf(t *testing.T, path string) (*elf.File, *tlsText, error) {
	t.Helper()
	r, err := os.Open(path)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(func() { r.Close() })
	f, err := openELF(r, nativeMachine)
	require.NoError(t, err)
	text, err := readTLSText(f)
	return f, text, err
}

const npm = "../../../../tests/node_modules/"

// TestFindLocal compares with the exported symbols of a program that has both, and looks into one that has local ones only.
func TestFindLocal(t *testing.T) {
	f, text, err := textOf(t, npm+"@sentry/cli-linux-x64/bin/sentry-cli")
	require.NoError(t, err)
	name, err := text.implementation()
	require.NoError(t, err)
	require.Equal(t, unreadOpenSSL, name)
	fn, err := findLocal(f, "EVP_KDF_derive")
	require.NoError(t, err)
	syms, err := f.Symbols()
	require.NoError(t, err)
	i := slices.IndexFunc(syms, func(s elf.Symbol) bool { return s.Name == "EVP_KDF_derive" })
	require.Equal(t, syms[i].Value, fileAddr(t, f, fn))
	require.Len(t, fn.code, int(syms[i].Size))
	// Without its symbols, the same program is read by another function.
	log, cookie, err := findOpenSSL(f, text)
	require.NoError(t, err)
	i = slices.IndexFunc(syms, func(s elf.Symbol) bool { return s.Name == "ssl_log_secret" })
	require.Equal(t, syms[i].Value, fileAddr(t, f, log))
	require.NotZero(t, cookie>>16)
	for _, missing := range []string{"EVP_KDF_deriv", "VP_KDF_derive", "", "no_such_symbol"} {
		_, err = findLocal(f, missing)
		require.ErrorIs(t, err, errNoSymbol, missing)
	}
	many := map[string]int{}
	for _, s := range syms {
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Section != elf.SHN_UNDEF {
			many[s.Name]++
		}
	}
	for name, n := range many {
		if n > 1 && name != "" {
			_, err = findLocal(f, name)
			require.ErrorIs(t, err, errNoSymbol, "%s is there %d times", name, n)
			return
		}
	}
	t.Fatal("no name is there twice")
}

// TestFindBoringSSL looks into real programs of every kind. That the places are right is what decrypting by them
// shows (TestE2EBoringSSL).
func TestFindBoringSSL(t *testing.T) {
	nss, err := filepath.Glob("/usr/lib/*/libssl3.so")
	require.NoError(t, err)
	for _, c := range []struct {
		path, name string
		found      bool
	}{
		{"/usr/lib/chromium/chromium", unreadBoringSSL, true},
		{"../../../../_build/bun-musl/bin/bun", unreadBoringSSL, true},
		{npm + "@deno/linux-x64-glibc/deno", unreadRustls, false},
		{"/usr/bin/node", unreadOpenSSL, false}, // it exports what openssl3 looks for, which comes first
		{filepath.Join(filepath.Dir(opensslLibrary(t)), "libssl.so.3"), "", false},
		{append(nss, "libssl3.so")[0], "", false},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			f, text, err := textOf(t, c.path)
			require.NoError(t, err)
			name, err := text.implementation()
			require.NoError(t, err)
			require.Equal(t, c.name, name)
			fn, cookie, err := findBoringSSL(f, text)
			if !c.found {
				require.ErrorIs(t, err, errNotAsExpected)
				return
			}
			require.NoError(t, err)
			require.NotZero(t, fn.offset)
			require.Equal(t, byte(0x55), fn.code[0], "push rbp")
			require.Zero(t, cookie>>32)
			require.NotZero(t, cookie&0xffff)
			require.NotZero(t, cookie>>16)
		})
	}
	_, _, err = textOf(t, "/bin/ls")
	require.ErrorIs(t, err, errNoSymbol)
}

func code(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

func TestCalledWith(t *testing.T) {
	for s, want := range map[string]uint64{
		"488d354eb104f8 4889df 4c89e2 e810000000":             0x1000 + 18 + 0x10, // lea rsi; mov rdi, rbx; mov rdx, r12; call
		"be01ae2c00 4889df 4c89e2 5b 415e c3":                 0,                  // returns
		"be01ae2c00 4889df 4c89e2 5b 415e e9f0ffffff":         0x1000 + 19 - 0x10, // a tail call
		"be01ae2c00 4889df 31f6 e810000000":                   0,                  // rsi is changed
		"be01ae2c00 7402 e810000000":                          0,                  // may jump away
		"be01ae2c00 ffd0":                                     0,                  // an indirect call
		"be01ae2c00 eb05":                                     0,                  // a short jump stays within the function
		"be01ae2c00 4889df":                                   0,                  // ends
		"be01ae2c00 f30f1efa e810000000":                      0x1000 + 14 + 0x10,
		"be01ae2c00 0000000000000000000000000000000000000000": 0,
	} {
		b := []byte{}
		for _, r := range s {
			if r != ' ' {
				b = append(b, byte(r))
			}
		}
		to, ok := calledWith(code(t, string(b)), 0x1000)
		require.Equal(t, want != 0, ok, s)
		if ok {
			require.Equal(t, want, to, s)
		}
	}
}

// TestClientRandom reads code as compilers make it, and code that is not as expected.
func TestClientRandom(t *testing.T) {
	const (
		enter = "4889fb"         // mov rbx, rdi
		state = "4c8b6b30"       // mov r13, [rbx+0x30]
		each  = "410fb64c0530"   // movzx ecx, byte [r13+rax+0x30]
		loop  = "48ffc04883f820" // inc rax; cmp rax, 32
		call  = "e800000000"
	)
	for s, want := range map[string][2]uint64{
		enter + state + each + loop:                      {0x30, 0x30},
		enter + loop + state + call + each:               {0x30, 0x30}, // the loop is entered in its middle
		"4c8b6f30" + each + loop:                         {0x30, 0x30}, // mov r13, [rdi+0x30]
		call + "4c8b6f30" + each + loop:                  {},           // rdi is another one behind a call
		enter + state + each:                             {},           // how many bytes?
		enter + state + each + "4883f940":                {},           // cmp rcx, 64
		enter + state + "4d31ed" + each + loop:           {},           // xor r13, r13
		enter + state + each + "410fb64c0540" + loop:     {},           // two places
		enter + "5b" + state + each + loop:               {},           // pop rbx
		enter + state + "cc" + each + loop:               {},           // behind the function
		enter + "4c8b6bf0" + each + loop:                 {},           // before ssl
		enter + "644c8b2c2530000000" + each + loop:       {},           // of another segment
		enter + state + "430fb64c6530" + loop:            {},           // not byte by byte
		enter + "4c8b6b30" + "4d8b6d08" + each + loop:    {},           // a pointer further
		enter + "4c8bab00000100" + "410fb64c0530" + loop: {},           // too far for the cookie
	} {
		from, random, ok := clientRandom(code(t, s))
		require.Equal(t, want != [2]uint64{}, ok, s)
		if ok {
			require.Equal(t, want, [2]uint64{from, random}, s)
		}
	}
}

// TestFindOpenSSL looks into builds of several versions and compilers. In libraries it is not looked for: their secrets
// pass through another.
func TestFindOpenSSL(t *testing.T) {
	_, old := openssl1Command(t)
	for _, path := range []string{filepath.Join(filepath.Dir(opensslLibrary(t)), "libssl.so.3"), filepath.Join(old, "libssl.so.1.1")} {
		f, text, err := textOf(t, path)
		require.NoError(t, err)
		_, cookie, err := findOpenSSL(f, text)
		require.NoError(t, err, path)
		t.Logf("%s: %#x", path, cookie)
		require.NotZero(t, cookie>>16, path)
	}
}

// TestHandedRandom reads OpenSSL's function as compilers make it, and what is not it.
func TestHandedRandom(t *testing.T) {
	const (
		openssl3 = "4889f8" + "4989d0" + "4889f7" + "4989c9" // mov rax, rdi; mov r8, rdx; mov rdi, rsi; mov r9, rcx
		random3  = "488d9088010000"                          // lea rdx, [rax+0x188]
		rest     = "b920000000" + "4889c6" + "e9a0b8ffff"    // mov ecx, 32; mov rsi, rax; jmp
		random1  = "488b80a8000000" + "488d90b8000000"       // mov rax, [rax+0xa8]; lea rdx, [rax+0xb8]
	)
	for s, want := range map[string][2]uint64{
		openssl3 + random3 + rest:                                   {0, 0x188},
		"f30f1efa" + openssl3 + random3 + rest:                      {0, 0x188},
		openssl3 + "4889c6" + random1 + "b920000000" + "e9a0b8ffff": {0xa8, 0xb8},
		openssl3 + random3 + "b920000000" + "4889c6" + "e8a0b8ffff": {},         // a call is not the end
		openssl3 + random3 + "b930000000" + "4889c6" + "e9a0b8ffff": {},         // 48 bytes
		openssl3 + random3 + "b920000000" + "e9a0b8ffff":            {},         // the second argument is the label
		openssl3 + "4889d6" + random3 + "b920000000" + "e9a0b8ffff": {},         // the second argument is the secret
		"4889f8" + "4989d0" + "4889f7" + random3 + rest:             {},         // without the size
		openssl3 + "4883b8a003000000" + "7402" + random3 + rest:     {0, 0x188}, // cmp qword [rax+0x3a0], 0; je
		openssl3 + "eb02" + random3 + rest:                          {},         // a jump within it
		openssl3 + "488d9424" + "88010000" + rest:                   {},         // of the stack
		openssl3 + "488b9088010000" + rest:                          {},         // what is there, not where
		openssl3 + random1 + rest:                                   {},         // the second argument is the state
		openssl3 + random3:                                          {},         // ends
		"488b3f" + openssl3 + random3 + rest:                        {},         // of another ssl
	} {
		from, random, ok := handedRandom(code(t, s))
		require.Equal(t, want != [2]uint64{}, ok, s)
		if ok {
			require.Equal(t, want, [2]uint64{from, random}, s)
		}
	}
}

// FuzzLogSecret reads code that no compiler makes.
func FuzzLogSecret(f *testing.F) {
	f.Add([]byte{0x48, 0x8d, 0x35, 0xf9, 0xff, 0xff, 0xff, 0xe8, 0, 0, 0, 0}, uint64(4096))
	f.Add([]byte{0x48, 0x89, 0xfb, 0x4c, 0x8b, 0x6b, 0x30, 0x41, 0x0f, 0xb6, 0x4c, 0x05, 0x30, 0x48, 0x83, 0xf8, 0x20}, uint64(0))
	f.Fuzz(func(t *testing.T, b []byte, addr uint64) {
		labels := [len(logLabels)]uint64{addr, addr + 1, addr + 2, 1, binary.LittleEndian.Uint64(append(b, make([]byte, 8)...))}
		for _, u := range labelUses(b, addr, &labels, true) {
			calledWith(b[u.at:], addr)
		}
		if state, random, ok := clientRandom(b); ok && (state == 0 || state >= 1<<16 || random == 0 || random >= 1<<16) {
			t.Fatal(state, random)
		}
		if state, random, ok := handedRandom(b); ok && (state >= 1<<16 || random == 0 || random >= 1<<16) {
			t.Fatal(state, random)
		}
	})
}

// TestPieces finds what lies across the edge of two pieces, once.
func TestPieces(t *testing.T) {
	b := make([]byte, 3*piece)
	for at := 0; at < len(b)-8; at += piece/2 - 100 {
		copy(b[at:], "needle")
	}
	found := map[uint64]bool{}
	last := uint64(0)
	err := pieces(sliceReader(b), uint64(len(b)), func(off uint64, p []byte) bool {
		for _, at := range indexAll(p, []byte("needle")) {
			found[off+uint64(at)] = true
		}
		last = off + uint64(len(p))
		return true
	})
	require.NoError(t, err)
	require.Equal(t, uint64(len(b)), last)
	require.Len(t, found, (len(b)-8+piece/2-101)/(piece/2-100))
}
