// SPDX-License-Identifier: Apache-2.0

package peer

import (
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func TestPlace(t *testing.T) {
	for _, c := range []struct {
		name string
		code []byte
		at   int
		ok   bool
	}{
		// sub $0x18,%rsp; mov %fs:0x28,%rax; mov %rax,0x8(%rsp); xor %eax,%eax; test %edx,%edx; js +0x2f
		{"as in OpenSSL 3.0", []byte{0x48, 0x83, 0xec, 0x18, 0x64, 0x48, 0x8b, 0x04, 0x25, 0x28, 0, 0, 0, 0x48, 0x89, 0x44, 0x24, 0x08, 0x31, 0xc0, 0x85, 0xd2, 0x78, 0x2f}, 22, true},
		{"endbr64; push %rbp", []byte{0xf3, 0x0f, 0x1e, 0xfa, 0x55}, 4, true},
		{"mov %rsi,%rdi; js", []byte{0x48, 0x89, 0xf7, 0x78, 0x01}, 0, false},
		{"call", []byte{0xe8, 0, 0, 0, 0, 0x78, 0x01}, 0, false},
		{"nothing", nil, 0, false},
	} {
		if at, ok := place(c.code); at != c.at || ok != c.ok {
			t.Errorf("%s: %d, %v", c.name, at, ok)
		}
	}
}
