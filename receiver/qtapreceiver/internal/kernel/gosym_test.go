// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// buildGo builds the test's program and returns its path. env may cross-compile.
func buildGo(t testing.TB, env []string, args ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "gotls")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, args...), ".")...)
	cmd.Dir = "../../testdata/gotls"
	cmd.Env = append(os.Environ(), env...)
	b, err := cmd.CombinedOutput()
	require.NoError(t, err, string(b))
	return out
}

// gofmt is a Go program without TLS.
func gofmt(t testing.TB) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOROOT").Output()
	require.NoError(t, err)
	return filepath.Join(strings.TrimSpace(string(out)), "bin", "gofmt")
}

// fileAddr turns a function's place in the file into its address.
func fileAddr(t testing.TB, f *elf.File, fn function) uint64 {
	t.Helper()
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD && fn.offset >= p.Off && fn.offset < p.Off+p.Filesz {
			return fn.offset - p.Off + p.Vaddr
		}
	}
	t.Fatal("in no segment")
	return 0
}

// TestFindGoKeyLog compares with the symbol table, and with what is found once it is stripped.
func TestFindGoKeyLog(t *testing.T) {
	builds := map[string][]string{
		"plain": {"CGO_ENABLED=0"},
		"pie":   {"CGO_ENABLED=0", "-buildmode=pie"},
		"arm64": {"CGO_ENABLED=0", "GOARCH=arm64"},
	}
	if _, err := exec.LookPath("gcc"); err == nil {
		builds["external"] = []string{"CGO_ENABLED=1", "-ldflags=-linkmode=external"}
		builds["external pie"] = []string{"CGO_ENABLED=1", "-ldflags=-linkmode=external", "-buildmode=pie"}
	}
	for name, build := range builds {
		t.Run(name, func(t *testing.T) {
			var env, args []string
			for _, s := range build {
				if strings.HasPrefix(s, "-") {
					args = append(args, s)
				} else {
					env = append(env, s)
				}
			}
			path := buildGo(t, env, args...)
			f, err := elf.Open(path)
			require.NoError(t, err)
			defer f.Close()
			fn, err := findGoKeyLog(f)
			require.NoError(t, err)
			addr := fileAddr(t, f, fn)
			syms, err := f.Symbols()
			require.NoError(t, err)
			found := false
			for _, s := range syms {
				if s.Name == goKeyLog {
					require.Equal(t, s.Value, addr)
					found = true
				}
			}
			require.True(t, found)

			if i := strings.Index(strings.Join(args, " "), "-ldflags="); i >= 0 {
				args[0] += " -s -w"
			} else {
				args = append(args, "-ldflags=-s -w")
			}
			stripped, err := elf.Open(buildGo(t, env, args...))
			require.NoError(t, err)
			defer stripped.Close()
			_, err = stripped.Symbols()
			require.ErrorIs(t, err, elf.ErrNoSymbols)
			same, err := findGoKeyLog(stripped)
			require.NoError(t, err)
			// Its first instructions hold no addresses.
			require.Equal(t, fn.code[:8], same.code[:8])
			require.Len(t, same.code, len(fn.code))
		})
	}
}

// TestFindGoKeyLogNot refuses what is not a Go program with crypto/tls, and a table that lies.
func TestFindGoKeyLogNot(t *testing.T) {
	for _, path := range []string{"/bin/true", opensslLibrary(t), gofmt(t)} {
		f, err := elf.Open(path)
		require.NoError(t, err)
		_, err = findGoKeyLog(f)
		require.ErrorIs(t, err, errNoSymbol, path)
		f.Close()
	}

	b, err := os.ReadFile(buildGo(t, []string{"CGO_ENABLED=0"}))
	require.NoError(t, err)
	f, err := elf.NewFile(bytes.NewReader(b))
	require.NoError(t, err)
	fn, err := findGoKeyLog(f)
	require.NoError(t, err)
	lie := func(at uint64) error {
		c := bytes.Clone(b)
		c[at] ^= 0xff
		e, err := elf.NewFile(bytes.NewReader(c))
		require.NoError(t, err)
		_, err = findGoKeyLog(e)
		return err
	}
	require.Error(t, lie(fn.offset), "the function does not begin as one")
	tab := f.Section(".gopclntab")
	require.ErrorIs(t, lie(tab.Offset), errNoSymbol, "another version")
	require.Error(t, lie(tab.Offset+goFuncs+2), "more functions than there is room for")
	name := bytes.Index(b[tab.Offset:], []byte("\x00"+goKeyLog+"\x00"))
	require.ErrorIs(t, lie(tab.Offset+uint64(name)+1), errNoSymbol, "another name")
}

func FuzzFindGoKeyLog(f *testing.F) {
	b, err := os.ReadFile(gofmt(f))
	require.NoError(f, err)
	e, err := elf.NewFile(bytes.NewReader(b))
	require.NoError(f, err)
	tab, err := e.Section(".gopclntab").Data()
	require.NoError(f, err)
	f.Add(tab[:4096], uint64(4096), uint64(5), uint32(100))
	f.Add(tab[:200], uint64(100), uint64(3), uint32(0))
	f.Fuzz(func(t *testing.T, b []byte, table, funcs uint64, name uint32) {
		_, _, samples, _ := findGoEntry(sliceReader(b), table%(1<<40), funcs%(1<<20), name)
		if len(samples) > 65 {
			t.Fatal("too many samples")
		}
		if len(b) > 200 {
			_, _ = findGoName(bytes.NewReader(b), string(b[100:110]))
		}
	})
}

func BenchmarkFindGoKeyLog(b *testing.B) {
	f, err := elf.Open(buildGo(b, []string{"CGO_ENABLED=0"}))
	require.NoError(b, err)
	defer f.Close()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := findGoKeyLog(f); err != nil {
			b.Fatal(err)
		}
	}
}
