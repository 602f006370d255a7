// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"encoding/binary"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// mediaEvents is the media type of server-sent events (HTML, 9.2).
const mediaEvents = "text/event-stream"

// recordsOf returns how the records of a response's body are found, by its media type; nil when it has none that are
// known.
func recordsOf(x *l7.Exchange) func([]byte) (n, k int) {
	if x.RPC != nil {
		return wholeMessages
	}
	switch mediaType(x.Response) {
	case mediaEvents:
		return wholeEvents
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/json-seq", "application/stream+json":
		return wholeLines
	}
	return nil
}

func mediaType(m *l7.Message) string {
	media, _, _ := strings.Cut(m.Get("Content-Type"), ";")
	return strings.ToLower(strings.TrimSpace(media))
}

func isIdentity(field string) bool { return strings.EqualFold(strings.TrimSpace(field), "identity") }

// wholeEvents finds the end of the last whole event, which an empty line ends.
func wholeEvents(b []byte) (n, _ int) {
	for _, end := range [...]string{"\n\n", "\r\n\r\n", "\r\r"} {
		if i := bytes.LastIndex(b, []byte(end)); i >= 0 {
			n = max(n, i+len(end))
		}
	}
	return n, 0
}

// wholeLines finds the end of the last whole line; so does a text sequence of RFC 7464 end each of its own.
func wholeLines(b []byte) (n, _ int) { return bytes.LastIndexByte(b, '\n') + 1, 0 }

// wholeMessages finds the end of the last whole message of gRPC, and counts them.
func wholeMessages(b []byte) (n, k int) {
	const prefix = 5 // a flag and the length
	for len(b)-n >= prefix {
		size := int(binary.BigEndian.Uint32(b[n+1:]))
		if size > len(b)-n-prefix {
			break
		}
		n += prefix + size
		k++
	}
	return n, k
}
