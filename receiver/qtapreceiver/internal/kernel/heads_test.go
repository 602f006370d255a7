// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var testHeads = headStates()

// readHead is read_head of bpf/length.h: the head's size and the content's length, 0 when there is none to go by.
func readHead(head []byte) (size int, length uint64) {
	var state uint8
	var values, digits int
	for i, c := range head[:min(len(head), 1024)] {
		next := testHeads[int(state)<<8|int(c)]
		if next&headDigit != 0 {
			length = length*10 + uint64(c&15)
			digits++
		}
		if next&headValue != 0 {
			values++
		}
		if state = next & 0x3f; state == headEnd && values == 1 && digits <= 10 {
			return i + 1, length
		} else if state >= headNone {
			break
		}
	}
	return 0, 0
}

func TestHeadStates(t *testing.T) {
	for _, test := range []struct {
		head   string
		length uint64 // 0: not to be skipped
	}{
		{"Content-Length: 123", 123},
		{"content-length:123", 123},
		{"CONTENT-LENGTH: \t 1234567890", 1234567890},
		{"Server: x\r\nContent-Length: 7\r\nContent-Type: text/html", 7},
		{"Server: x\r\nX-Content-Length: 7", 0},
		{"Server: content-length: 7", 0},
		{"Content-Length : 7", 0},
		{"Content-Length: 7\r\nContent-Length: 7", 0},
		{"Content-Length: 7, 7", 0},
		{"Content-Length: +7", 0},
		{"Content-Length: 7a", 0},
		{"Content-Length: 12345678901", 0},
		{"Content-Length:", 0},
		{"Content-Length: 1\r0", 0},
		{"Content-Length: 7\r\nTransfer-Encoding: chunked", 0},
		{"transfer-encoding: gzip\r\nContent-Length: 7", 0},
		{"Content-Length: 7\r\nContent-Type: text/Event-Stream; charset=utf-8", 0},
		{"Content-Length: 7\r\nX: texttext/event-strea", 7},
		{"X: \r\r\nContent-Length: 7", 7},
		{"X: " + strings.Repeat("y", 1024) + "\r\nContent-Length: 7", 0},
	} {
		head := "HTTP/1.1 200 OK\r\n" + test.head + "\r\n\r\n"
		size, length := readHead([]byte(head + "body\r\nContent-Length: 5\r\n\r\n"))
		require.Equal(t, test.length, length, test.head)
		if length > 0 {
			require.Equal(t, len(head), size, test.head)
		}
	}
}

// FuzzHeadStates holds what the automaton reads against net/http: a length that it finds is the one that counts.
func FuzzHeadStates(f *testing.F) {
	f.Add("Content-Length: 12\r\nServer: x")
	f.Add("A: b\r\ncontent-length:12\r\nTransfer-Encoding: chunked")
	f.Fuzz(func(t *testing.T, fields string) {
		head := []byte("HTTP/1.1 200 OK\r\n" + fields + "\r\n\r\n")
		size, length := readHead(head)
		if length == 0 || bytes.ContainsAny(head[:size], "\x00") {
			return
		}
		var lengths []string
		for line := range strings.SplitSeq(string(head[:size]), "\r\n") {
			name, value, _ := strings.Cut(line, ":")
			switch http.CanonicalHeaderKey(name) {
			case "Content-Length":
				lengths = append(lengths, strings.Trim(value, " \t"))
			case "Transfer-Encoding":
				t.Fatalf("%q: there is a transfer coding", head)
			}
		}
		require.Len(t, lengths, 1, "%q", head)
		n, err := strconv.ParseUint(lengths[0], 10, 64)
		require.NoError(t, err, "%q", head)
		require.Equal(t, n, length, "%q", head)
		require.True(t, bytes.HasSuffix(head[:size], []byte("\r\n\r\n")))
	})
}
