// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/stretchr/testify/require"
)

// TestRestartABI compares every field of the Go mirror with the object's BTF.
func TestRestartABI(t *testing.T) {
	spec, err := LoadRestart()
	require.NoError(t, err)
	compare := func(name string, mirror any) {
		var s *btf.Struct
		require.NoError(t, spec.Types.TypeByName(name, &s))
		l := layoutIn(t, spec, name)
		typ := reflect.TypeOf(mirror)
		require.EqualValues(t, l.size, typ.Size())
		require.Equal(t, len(s.Members), typ.NumField())
		for i, m := range s.Members {
			f := typ.Field(i)
			at := l.members[m.Name]
			require.EqualValues(t, at[0], f.Offset, m.Name)
			require.EqualValues(t, at[1], f.Type.Size(), m.Name)
			if f.Name != "_" {
				require.Equal(t, strings.ReplaceAll(m.Name, "_", ""), strings.ToLower(f.Name))
			}
		}
	}
	compare("restart_direction", RestartDirection{})
	compare("restart_entry", RestartEntry{})
	require.EqualValues(t, reflect.TypeFor[RestartEntry]().Size(), spec.Maps[RestartMapRestartMap].ValueSize)
}

func TestLoadRestart(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root")
	}
	spec, err := LoadRestart()
	require.NoError(t, err)
	coll, err := ebpf.NewCollection(spec)
	var verr *ebpf.VerifierError
	if errors.As(err, &verr) {
		t.Fatalf("%+v", verr)
	}
	require.NoError(t, err)
	coll.Close()
}
