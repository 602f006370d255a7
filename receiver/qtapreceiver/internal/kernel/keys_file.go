// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"encoding/hex"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// maxKeyLogLine is more than any line of a key log that is of use: a label, 32 bytes and at most
// 64 bytes in hexadecimal.
const maxKeyLogLine = 512

// keyLogLabels are the labels whose secrets decrypt something.
var keyLogLabels = map[string]bool{
	"CLIENT_RANDOM": true, "CLIENT_EARLY_TRAFFIC_SECRET": true,
	"CLIENT_HANDSHAKE_TRAFFIC_SECRET": true, "SERVER_HANDSHAKE_TRAFFIC_SECRET": true,
	"CLIENT_TRAFFIC_SECRET_0": true, "SERVER_TRAFFIC_SECRET_0": true,
}

// keyLogReader takes a key log (RFC 9850) apart, in pieces as they come. What is not a line of
// one is left out.
type keyLogReader struct {
	line []byte // what came of a line so far
	skip bool   // the line is too long
}

// take reads b, hands on each secret, and wipes b.
func (r *keyLogReader) take(b []byte, emit func(*event.Secret)) {
	defer clear(b)
	for len(b) > 0 {
		end := bytes.IndexByte(b, '\n')
		part := b
		if end >= 0 {
			part, b = b[:end], b[end+1:]
		} else {
			b = nil
		}
		if len(r.line)+len(part) > maxKeyLogLine {
			r.skip = true
		}
		if !r.skip {
			if r.line == nil {
				r.line = make([]byte, 0, maxKeyLogLine) // never moved, so that wiping leaves no copy
			}
			r.line = append(r.line, part...)
		}
		if end < 0 {
			return
		}
		if !r.skip {
			if s, ok := parseKeyLogLine(r.line); ok {
				emit(s)
			}
		}
		r.reset()
	}
}

// reset forgets a line that was begun.
func (r *keyLogReader) reset() {
	clear(r.line)
	r.line, r.skip = r.line[:0], false
}

// parseKeyLogLine reads a line without its end: label, client random and secret (RFC 9850 §2).
func parseKeyLogLine(line []byte) (*event.Secret, bool) {
	line = bytes.TrimSuffix(line, []byte("\r"))
	label, rest, _ := bytes.Cut(line, []byte(" "))
	random, secret, ok := bytes.Cut(rest, []byte(" "))
	if !ok || !keyLogLabels[string(label)] || len(random) != 64 || len(secret) != 64 && len(secret) != 96 {
		return nil, false
	}
	s := &event.Secret{
		Kind: event.SecretKeyLog, Label: string(label),
		Context: make([]byte, len(random)/2), Secret: make([]byte, len(secret)/2),
	}
	if _, err := hex.Decode(s.Context, random); err != nil {
		return nil, false
	}
	if _, err := hex.Decode(s.Secret, secret); err != nil {
		clear(s.Secret)
		return nil, false
	}
	return s, true
}
