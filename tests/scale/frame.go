// SPDX-License-Identifier: Apache-2.0

//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/collector/pdata/ptrace"
	"go.opentelemetry.io/collector/pdata/ptrace/ptraceotlp"
	"google.golang.org/protobuf/encoding/protowire"
)

// frame is an encoded ExportTraceServiceRequest with the places of what differs each time it is sent: ids and times. They have a
// fixed length on the wire, so an agent costs a copy and not an encoder, and 500 of them leave a core's time to what is measured.
type frame struct {
	body  []byte
	spans []place
}

// place says where in the body the fields of one span begin (opentelemetry/proto/trace/v1/trace.proto).
type place struct {
	trace, span, start, end int
	parent                  int           // 0: it has none
	took                    time.Duration // from start to end
}

func newFrame(td ptrace.Traces) (*frame, error) {
	body, err := ptraceotlp.NewExportRequestFromTraces(td).MarshalProto()
	if err != nil {
		return nil, err
	}
	f := &frame{body: body}
	// ExportTraceServiceRequest.resource_spans, ResourceSpans.scope_spans, ScopeSpans.spans
	err = messages(body, 0, 1, func(rs []byte, at int) error {
		return messages(rs, at, 2, func(ss []byte, at int) error {
			return messages(ss, at, 2, func(span []byte, at int) error {
				p, err := placeOf(span, at)
				f.spans = append(f.spans, p)
				return err
			})
		})
	})
	if err == nil && len(f.spans) != td.SpanCount() {
		err = fmt.Errorf("%d spans were encoded, %d found", td.SpanCount(), len(f.spans))
	}
	return f, err
}

// messages calls visit for every field of the number in b, which begins at offset; visit gets where its content begins.
func messages(b []byte, offset int, number protowire.Number, visit func(content []byte, at int) error) error {
	for at := 0; at < len(b); {
		n, typ, size := protowire.ConsumeTag(b[at:])
		if size < 0 {
			return protowire.ParseError(size)
		}
		value := at + size
		length := protowire.ConsumeFieldValue(n, typ, b[value:])
		if length < 0 {
			return protowire.ParseError(length)
		}
		at = value + length
		if n != number {
			continue
		}
		content := b[value:at]
		if typ == protowire.BytesType {
			_, prefix := protowire.ConsumeVarint(content)
			content, value = content[prefix:], value+prefix
		}
		if err := visit(content, offset+value); err != nil {
			return err
		}
	}
	return nil
}

// placeOf finds Span.trace_id, span_id, parent_span_id, start_time_unix_nano and end_time_unix_nano.
func placeOf(span []byte, offset int) (place, error) {
	var p place
	var start, end uint64
	for _, f := range []struct {
		number protowire.Number
		length int
		to     *int
		value  *uint64
	}{{1, 16, &p.trace, nil}, {2, 8, &p.span, nil}, {4, 8, &p.parent, nil}, {7, 8, &p.start, &start}, {8, 8, &p.end, &end}} {
		if err := messages(span, offset, f.number, func(content []byte, at int) error {
			if len(content) == f.length {
				*f.to = at
				if f.value != nil {
					*f.value = binary.LittleEndian.Uint64(content)
				}
			}
			return nil
		}); err != nil {
			return p, err
		}
	}
	if p.trace == 0 || p.span == 0 || p.start == 0 || p.end == 0 {
		return p, errors.New("a span without ids or times")
	}
	p.took = time.Duration(end - start)
	return p, nil
}

// render returns the request as it is sent now: spans of their own, that began within the last second and belong together as they did.
func (f *frame) render(r *rand.Rand, now time.Time) []byte {
	b := append([]byte(nil), f.body...)
	var nonce [2]uint64
	nonce[0], nonce[1] = r.Uint64(), r.Uint64()
	mix := func(at, n int) {
		for i := range n {
			v := binary.LittleEndian.Uint64(b[at+8*i:])
			binary.LittleEndian.PutUint64(b[at+8*i:], v^nonce[i])
		}
	}
	for i, p := range f.spans {
		mix(p.trace, 2)
		mix(p.span, 1)
		if p.parent != 0 {
			mix(p.parent, 1)
		}
		start := now.Add(-time.Second).Add(time.Duration(i) * time.Second / time.Duration(len(f.spans))).Add(-p.took)
		binary.LittleEndian.PutUint64(b[p.start:], uint64(start.UnixNano()))
		binary.LittleEndian.PutUint64(b[p.end:], uint64(start.Add(p.took).UnixNano()))
	}
	return b
}
