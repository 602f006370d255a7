// SPDX-License-Identifier: Apache-2.0

// Package panics turns a panic into an error that says what happened and where, and nothing of the data that was at work:
// the capture reads what is not its own, and its errors are logged.
package panics

import (
	"fmt"
	"runtime"
	"strings"
)

// maxFrames bounds what an error says of where it happened.
const maxFrames = 8

// Error is a panic that was caught.
type Error struct {
	// What is the text of an error of the Go runtime, which has types and numbers only; of any other value the type.
	What string
	// Where are the innermost functions, with lines.
	Where []string
}

func (e *Error) Error() string { return "panic: " + e.What + " at " + strings.Join(e.Where, ", ") }

// Catch calls f and returns its error; when f panics, that is a *Error.
func Catch(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			pcs := make([]uintptr, 64)
			err = &Error{What: describe(v), Where: Frames(pcs[:runtime.Callers(1, pcs)])}
		}
	}()
	return f()
}

func describe(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a value of type %T", v)
}

// Frames names the innermost functions of a stack, without those of the Go runtime and of this package.
func Frames(pcs []uintptr) (where []string) {
	frames := runtime.CallersFrames(pcs)
	for more := len(pcs) > 0; more && len(where) < maxFrames; {
		var f runtime.Frame
		f, more = frames.Next()
		name := f.Function[strings.LastIndexByte(f.Function, '/')+1:]
		if name == "" || strings.HasPrefix(name, "runtime.") || strings.HasPrefix(name, "panics.Catch") {
			continue
		}
		where = append(where, fmt.Sprintf("%s:%d", name, f.Line))
	}
	return where
}
