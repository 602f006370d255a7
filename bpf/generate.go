// SPDX-License-Identifier: Apache-2.0

// Package bpf holds the BPF programs of the capture, compiled and embedded, and the Go mirror
// of the records they write.
package bpf

//go:generate go tool -modfile=../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -cflags "-O2 -g -Wall -Werror -mcpu=v3 -nostdinc -std=gnu11" -target amd64,arm64 -tags linux -no-global-types Capture capture.bpf.c
//go:generate go tool -modfile=../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -cflags "-O2 -g -Wall -Werror -mcpu=v3 -nostdinc -std=gnu11" -target amd64,arm64 -tags linux -no-global-types Datagram datagram.bpf.c
//go:generate go tool -modfile=../tools/go.mod bpf2go -cc clang-19 -strip llvm-strip-19 -cflags "-O2 -g -Wall -Werror -mcpu=v3 -nostdinc -std=gnu11" -target amd64,arm64 -tags linux -no-global-types Restart restart.bpf.c
