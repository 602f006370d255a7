// SPDX-License-Identifier: Apache-2.0

package http2

import (
	"encoding/binary"
	"strings"
)

// isGRPC says whether a content-type is that of gRPC over HTTP/2. gRPC-Web frames differently and is not.
func isGRPC(contentType string) bool {
	const base = "application/grpc"
	if len(contentType) < len(base) || !strings.EqualFold(contentType[:len(base)], base) {
		return false
	}
	rest := contentType[len(base):]
	return rest == "" || rest[0] == '+' || rest[0] == ';' || rest[0] == ' '
}

// messageCounter counts the length-prefixed messages of a gRPC body.
type messageCounter struct {
	n      int
	prefix [5]byte
	have   int    // bytes of prefix
	left   uint64 // of the message
}

func (c *messageCounter) feed(b []byte) {
	for len(b) > 0 {
		if c.have < len(c.prefix) {
			k := copy(c.prefix[c.have:], b)
			c.have += k
			b = b[k:]
			if c.have < len(c.prefix) {
				return
			}
			c.left = uint64(binary.BigEndian.Uint32(c.prefix[1:]))
		}
		k := min(c.left, uint64(len(b)))
		c.left -= k
		b = b[k:]
		if c.left == 0 {
			c.n++
			c.have = 0
		}
	}
}
