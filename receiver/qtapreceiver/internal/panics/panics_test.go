// SPDX-License-Identifier: Apache-2.0

package panics

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// payload is what must be in no error.
const payload = "s3cret-of-a-request"

func index(b []byte, i int) byte { return b[i] }

func unmade() map[string]int { return nil }

func TestCatch(t *testing.T) {
	require.NoError(t, Catch(func() error { return nil }))
	plain := errors.New("plain")
	require.Equal(t, plain, Catch(func() error { return plain }))

	for what, f := range map[string]func(){
		"panic: runtime error: index out of range [100] with length 19 at ":           func() { index([]byte(payload), 100) },
		"panic: a value of type string at ":                                           func() { panic("bad bytes " + payload) },
		"panic: a value of type *errors.errorString at ":                              func() { panic(errors.New(payload)) },
		"panic: interface conversion: interface {} is string, not int at ":            func() { var v any = payload; _ = v.(int) },
		"panic: panic called with nil argument":                                       func() { panic(nil) },
		"panic: runtime error: invalid memory address or nil pointer dereference at ": func() { var e *Error; _ = e.What },
		"panic: assignment to entry in nil map at ":                                   func() { unmade()[payload] = 1 },
	} {
		err := Catch(func() error { f(); return nil })
		var caught *Error
		require.ErrorAs(t, err, &caught)
		require.Contains(t, err.Error(), what)
		require.NotContains(t, err.Error(), payload)
		require.NotEmpty(t, caught.Where)
		require.Contains(t, caught.Where[0], "panics.")
		require.NotContains(t, err.Error(), ".go", "no path of the machine that built it")
	}
}
