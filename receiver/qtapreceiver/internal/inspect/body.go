// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"strings"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coding"
)

const (
	// maxRedact bounds a decoded body that is redacted; a larger one is taken out whole.
	maxRedact = 64 << 20
	// maxScratch is how much memory for decoded bodies is kept from one call to the next.
	maxScratch = 1 << 20
	// feedSize is how much of a body is decoded before its bound is looked at.
	feedSize = 4 << 10
)

// body looks at the body of a message. reason says why not at all of it.
func (in *Inspector) body(at pcommon.Map, m *sides, contentType, contentEncoding string) (reason string) {
	v, ok := at.Get(m.body)
	if !ok || v.Type() != pcommon.ValueTypeBytes || v.Bytes().Len() == 0 {
		return ""
	}
	cut := flag(at, m.truncated)
	d, coded := (*coding.Decoder)(nil), false
	if !flag(at, m.decoded) && contentEncoding != "" && !strings.EqualFold(contentEncoding, "identity") {
		if d, ok = coding.New(contentEncoding); !ok {
			in.remove(v, reasonCoding)
			return reasonCoding
		}
		defer d.Close()
		coded = true
	}
	b := v.Bytes().AsRaw()
	exact := true
	if coded {
		limit := in.set.MaxSize
		if in.set.Redact != nil {
			limit = maxRedact
		}
		var end ending
		if b, end, reason = in.decode(d, b, limit); reason != "" {
			in.remove(v, reason)
			if in.set.Redact != nil {
				return reason
			}
		}
		exact = end == ended
		cut = cut || end == cutOff
		if end == cutOff && in.set.Redact != nil {
			in.marked("not_redactable:" + reasonCoding)
			at.PutBool(m.truncated, true)
		}
	} else if in.set.Redact == nil && len(b) > in.set.MaxSize {
		b, cut, reason = b[:in.set.MaxSize], true, reasonSize
	}
	in.edited = false
	if why := in.content(b, contentType, cut); why != "" {
		in.remove(v, why)
		return why
	}
	// What is not the coded form of what was looked at, and of nothing else, does not stay.
	if !in.edited && (exact || in.set.Redact == nil) {
		return reason
	}
	if grown := int64(len(b) - v.Bytes().Len()); grown > 0 {
		if grown > *in.room {
			in.remove(v, reasonSize)
			return reasonSize
		}
		*in.room -= grown
	}
	v.Bytes().FromRaw(b)
	if coded {
		at.PutBool(m.decoded, true)
		if size, ok := at.Get(m.size); ok && (!flag(at, m.truncated) || size.Int() <= int64(len(b))) {
			at.PutInt(m.size, int64(len(b)))
		}
	}
	return reason
}

// ending says how a coded body ends.
type ending uint8

const (
	ended    ending = iota // with its coding
	cutOff                 // within its coding
	followed               // behind its coding there may be something else
)

// decode undoes the content coding of a body, up to limit bytes. That a body is cut is no error.
func (in *Inspector) decode(d *coding.Decoder, b []byte, limit int) (out []byte, end ending, reason string) {
	in.decoded = in.decoded[:0]
	keep := func(p []byte) {
		if len(in.decoded) <= limit {
			in.decoded = append(in.decoded, p...)
		}
	}
	for last := false; !last; {
		n := min(len(b), feedSize)
		var err error
		if last = n == 0; last {
			err = d.Finish(keep)
		} else {
			err = d.Feed(b[:n], keep)
		}
		b = b[n:]
		switch {
		case len(in.decoded) > limit:
			return in.decoded[:limit], cutOff, reasonSize
		case errors.Is(err, io.EOF) && last:
			return in.decoded, ended, ""
		case errors.Is(err, io.EOF):
			return in.decoded, followed, ""
		case errors.Is(err, io.ErrUnexpectedEOF):
			return in.decoded, cutOff, ""
		case err != nil:
			return in.decoded, cutOff, reasonCoding
		}
	}
	return in.decoded, cutOff, ""
}

// remove takes a whole value out, where the policy could not be applied to it.
func (in *Inspector) remove(v pcommon.Value, reason string) {
	if in.set.Redact == nil {
		return
	}
	in.marked("not_redactable:" + reason)
	v.SetEmptyBytes()
}

// content looks at a body, or a part of one, by what it is said to be. reason is set when the policy could not be
// applied to it.
func (in *Inspector) content(b []byte, contentType string, cut bool) (reason string) {
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		media, _, _ = strings.Cut(contentType, ";")
		media = lower(strings.TrimSpace(media))
	}
	switch {
	case strings.HasSuffix(media, "json") || strings.Contains(media, "json"):
		return in.json(b, cut, false)
	case media == "application/x-www-form-urlencoded":
		in.pairs(b, '&', locationForm)
		return ""
	case strings.HasPrefix(media, "multipart/") && params["boundary"] != "":
		return in.multipart(b, params["boundary"], cut)
	case media == "text/event-stream":
		in.events(b, cut)
		return ""
	case strings.HasPrefix(media, "application/grpc"):
		if grpcCompressed(b) {
			return reasonCoding
		}
		in.binary(b)
		return ""
	}
	if t := bytes.TrimLeft(b, " \t\r\n"); media == "" && len(t) > 0 && (t[0] == '{' || t[0] == '[') {
		in.location = locationJSON
		return in.json(b, cut, true)
	}
	if media == "" || strings.HasPrefix(media, "text/") || strings.Contains(media, "xml") || strings.Contains(media, "javascript") {
		in.location, in.place = locationText, nowhere
		in.look(b, plain, detect.None, "")
		return ""
	}
	in.binary(b)
	return ""
}

// binary looks at the text in bytes of any format: what is overwritten keeps its length.
func (in *Inspector) binary(b []byte) {
	in.location, in.place = locationBinary, nowhere
	in.look(b, plain, detect.None, "")
}

// grpcCompressed says that a body of length-prefixed messages has one that is compressed.
func grpcCompressed(b []byte) bool {
	for len(b) >= 5 {
		if b[0] != 0 {
			return true
		}
		n := int(b[1])<<24 | int(b[2])<<16 | int(b[3])<<8 | int(b[4])
		b = b[min(len(b), 5+n):]
	}
	return false
}

// events looks at an event stream (HTML, Server-sent events): the data of most is JSON.
func (in *Inspector) events(b []byte, cut bool) {
	in.lines = in.lines[:0]
	for len(b) > 0 {
		i := bytes.IndexAny(b, "\r\n")
		if i < 0 {
			i = len(b)
		}
		line := b[:i]
		if bytes.HasPrefix(b[i:], []byte("\r\n")) {
			i++
		}
		b = b[min(i+1, len(b)):]
		if data, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			in.lines = append(in.lines, data)
			continue
		}
		if len(line) == 0 {
			in.event(false)
			continue
		}
		in.location, in.place = locationText, nowhere
		in.look(line, plain, detect.None, "")
	}
	in.event(cut)
	clear(in.lines[:cap(in.lines)]) // they are of the body
}

// event looks at the data of an event, which are its lines together. Data that the policy cannot be applied to are
// overwritten; the other events stay.
func (in *Inspector) event(cut bool) {
	if len(in.lines) == 0 {
		return
	}
	data := in.lines[0]
	if len(in.lines) > 1 {
		in.joined = in.joined[:0]
		for _, line := range in.lines {
			in.joined = append(append(in.joined, line...), '\n')
		}
		data = in.joined
	}
	if why := in.content(data, "", cut); why != "" {
		in.skip(why)
		in.marked("not_redactable:" + why)
		mask(data, plain)
	}
	if len(in.lines) > 1 {
		for _, line := range in.lines {
			data = data[copy(line, data)+1:]
		}
	}
	in.lines = in.lines[:0]
}

// multipart looks at the parts of a body (RFC 2046 §5.1).
func (in *Inspector) multipart(b []byte, boundary string, cut bool) (reason string) {
	delimiter := []byte("--" + boundary)
	for len(b) > 0 {
		i := bytes.Index(b, delimiter)
		part := b
		if i >= 0 {
			part, b = b[:i], b[i+len(delimiter):]
		} else {
			b = nil
		}
		head, content, ok := bytes.Cut(part, []byte("\r\n\r\n"))
		if !ok {
			head, content = part, nil
		}
		name, media := partHeader(head)
		in.location, in.place = locationMultipart, nowhere
		in.look(head, plain, detect.None, "")
		place := func() string { return detect.PlaceName(name) }
		in.place = place
		content = bytes.TrimSuffix(content, []byte("\r\n"))
		switch named := in.set.Redact.field(name); {
		case named != "":
			in.look(content, plain, detect.Field(name), named)
		case strings.Contains(media, "json"):
			if why := in.json(content, cut && i < 0, false); why != "" {
				reason = why
			}
		default:
			in.look(content, plain, detect.Field(name), "")
		}
	}
	return reason
}

// partHeader returns the name of a part of a form (RFC 7578 §4.2) and its media type.
func partHeader(head []byte) (name, media string) {
	for line := range strings.SplitSeq(string(head), "\r\n") {
		key, value, _ := strings.Cut(line, ":")
		switch lower(strings.TrimSpace(key)) {
		case "content-disposition":
			if _, params, err := mime.ParseMediaType(value); err == nil {
				name = params["name"]
			}
		case "content-type":
			media = lower(value)
		}
	}
	return name, media
}

func flag(at pcommon.Map, key string) bool {
	v, ok := at.Get(key)
	return ok && v.Type() == pcommon.ValueTypeBool && v.Bool()
}
