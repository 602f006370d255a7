// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// ids are the names of one exchange's spans.
type ids struct {
	trace  pcommon.TraceID
	client pcommon.SpanID
	server pcommon.SpanID
	parent pcommon.SpanID // from the wire; zero without traceparent
}

// deriveIDs names an exchange so that both ends of its connection, on one host or two, come to
// the same names without touching a header: from both initial sequence numbers, which only the
// two ends know, and the position of the request in the stream. seed replaces the sequence
// numbers when they are not known, and then nobody else derives the same.
func deriveIDs(clientISN, serverISN uint32, seed string, position uint64) ids {
	var b [16]byte
	binary.BigEndian.PutUint32(b[0:], clientISN)
	binary.BigEndian.PutUint32(b[4:], serverISN)
	binary.BigEndian.PutUint64(b[8:], position)
	h := sha256.New()
	h.Write([]byte("qpoint.exchange\x00"))
	h.Write([]byte(seed))
	h.Write([]byte{0})
	h.Write(b[:])
	var x ids
	var to [sha256.Size]byte // one trace id and two span ids
	sum := h.Sum(to[:0])
	copy(x.trace[:], sum[:16])
	copy(x.client[:], sum[16:24])
	copy(x.server[:], sum[24:])
	// The all-zero id is invalid (W3C Trace Context §3.2.2.3).
	x.trace[15] |= bit(x.trace.IsEmpty())
	x.client[7] |= bit(x.client.IsEmpty())
	x.server[7] |= bit(x.server.IsEmpty())
	return x
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// parseTraceparent reads a traceparent header (W3C Trace Context §3.2).
func parseTraceparent(v string) (trace pcommon.TraceID, parent pcommon.SpanID, ok bool) {
	v = strings.Trim(v, " \t")
	// Later versions may append fields after another dash.
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || len(v) > 55 && (v[55] != '-' || v[:2] == "00") {
		return trace, parent, false
	}
	if !lowerHex(v[:2]) || v[:2] == "ff" || !lowerHex(v[3:35]) || !lowerHex(v[36:52]) || !lowerHex(v[53:55]) {
		return trace, parent, false
	}
	_, _ = hex.Decode(trace[:], []byte(v[3:35]))
	_, _ = hex.Decode(parent[:], []byte(v[36:52]))
	return trace, parent, !trace.IsEmpty() && !parent.IsEmpty()
}

func lowerHex(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}
