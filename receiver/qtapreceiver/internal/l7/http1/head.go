// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// framing is what the field lines say about the content's length (RFC 9112 §6).
type framing struct {
	// length is the Content-Length, -1 when there is none.
	length int64
	// coded: there is a Transfer-Encoding; chunked: its last coding is chunked.
	coded, chunked bool
	// bad: the length is invalid or contradicts itself.
	bad bool
}

// head consumes a start line and its header section.
func (p *Parser) head(h *half, b []byte) int {
	old := len(h.buf)
	if old == 0 {
		if end := sectionEnd(b, 0); end >= 0 && end <= p.opt.MaxHeader {
			p.section(h, b[:end])
			return end
		}
	}
	n := min(len(b), p.opt.MaxHeader-old)
	h.buf = append(h.buf, b[:n]...)
	if end := sectionEnd(h.buf, h.scan); end >= 0 {
		section := h.buf[:end]
		h.resetBuf()
		p.section(h, section)
		return end - old
	}
	h.scan = max(0, len(h.buf)-2)
	if len(h.buf) == p.opt.MaxHeader {
		p.lose(h, l7.IncompleteHeader)
		return n
	}
	if old < 2*maxMethod { // do not wait for the bound when it is something else
		sniff := SniffResponse
		if h.client {
			sniff = Sniff
		}
		if match, more := sniff(h.buf); !match && !more {
			p.lose(h, l7.IncompleteParse)
		}
	}
	return n
}

// sectionEnd returns the index after the empty line that ends a header section, or -1. It looks
// at line ends from index from on. A line may end with a bare LF (RFC 9112 §2.2).
func sectionEnd(b []byte, from int) int {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		if from < len(b) && b[from] == '\n' {
			return from + 1
		}
		if from+1 < len(b) && b[from] == '\r' && b[from+1] == '\n' {
			return from + 2
		}
	}
}

// section reads a whole header section. It may be kept in h.buf's memory: nothing refers to it afterwards.
func (p *Parser) section(h *half, b []byte) {
	text := h.text(b)
	if h.client {
		p.requestHead(h, b, text)
	} else {
		p.responseHead(h, b, text)
	}
}

// text returns b as a string: one allocation for all strings of the section, and none when the
// section repeats the previous one of this direction.
func (h *half) text(b []byte) string {
	if string(b) == h.last {
		return h.last
	}
	s := string(b)
	if len(s) <= keepBuffer {
		h.last = s
	}
	return s
}

func (p *Parser) requestHead(h *half, b []byte, text string) {
	x := h.x
	m := &x.Request
	line, rest := cutLine(text)
	var ok bool
	if m.Method, m.Target, m.Version, ok = requestLine(line); !ok {
		p.stats.skip(h.skipReason(), len(b))
		p.abandon(h, l7.IncompleteParse)
		return
	}
	h.seen = true
	p.count(x)
	m.Start = h.startTime
	p.took(h, len(b))
	f := framing{length: -1}
	m.Headers, ok = fields(x.fields[:0], rest, &f)
	x.used = min(len(m.Headers), len(x.fields))
	p.hold(x, len(b)+len(m.Headers)*headerCost)
	m.Headers = m.Headers[:len(m.Headers):len(m.Headers)]
	if !ok || f.bad || f.coded && (!f.chunked || m.Version == "1.0") { // RFC 9112 §6.1, §6.3
		p.abandon(h, l7.IncompleteParse)
		return
	}
	h.begin(p.opt.KeepPayload)
	switch {
	case f.chunked:
		h.state = chunkSize
	case f.length > 0:
		h.state, h.remain = fixed, uint64(f.length)
	default:
		p.finish(h, h.now)
	}
}

func (p *Parser) responseHead(h *half, b []byte, text string) {
	x := h.x
	var m l7.Message
	line, rest := cutLine(text)
	var ok bool
	if m.Status, m.Reason, m.Version, ok = statusLine(line); !ok {
		p.stats.skip(h.skipReason(), len(b))
		p.abandon(h, l7.IncompleteParse)
		return
	}
	h.seen = true
	p.took(h, len(b))
	m.Start = h.startTime
	var room []l7.Header
	if x != nil && x.counted {
		room = x.fields[x.used:x.used]
	}
	f := framing{length: -1}
	m.Headers, ok = fields(room, rest, &f)
	if m.Status < 200 && m.Status != 101 {
		if !ok {
			p.abandon(h, l7.IncompleteParse)
			return
		}
		if x != nil {
			x.Interim++
		}
		h.x, h.msg, h.state = nil, nil, idle
		return
	}
	method := p.answers(h)
	if x != nil {
		x.response = m
		x.Response = &x.response
		p.hold(x, len(b)+len(m.Headers)*headerCost)
	}
	if !ok || f.bad && !f.coded {
		p.abandon(h, l7.IncompleteParse)
		return
	}
	h.begin(p.opt.KeepPayload)
	if x != nil && x.counted && p.opt.OnContent != nil {
		h.watch = p.opt.OnContent(&x.Exchange)
	}
	switch {
	case m.Status == 101 || method == "CONNECT" && m.Status < 300:
		p.switchProtocol(h)
	case method == "HEAD" || m.Status == 204 || m.Status == 304:
		p.finish(h, h.now)
	case f.coded && m.Version == "1.0":
		p.abandon(h, l7.IncompleteParse) // RFC 9112 §6.1: its framing is not to be believed
	case f.chunked:
		h.state = chunkSize
	case f.coded || f.length < 0:
		h.state = untilClose
	case f.length > 0:
		h.state, h.remain = fixed, uint64(f.length)
	default:
		p.finish(h, h.now)
	}
}

// partialHead keeps what can be read of a header section that has no end.
func (p *Parser) partialHead(h *half, b []byte, reason string) {
	end := bytes.LastIndexByte(b, '\n')
	if end < 0 || h.x == nil {
		p.stats.skip(h.skipReason(), len(b))
		return
	}
	text := string(b[:end+1])
	line, rest := cutLine(text)
	var m l7.Message
	var ok bool
	if h.client {
		m.Method, m.Target, m.Version, ok = requestLine(line)
	} else {
		m.Status, m.Reason, m.Version, ok = statusLine(line)
	}
	if !ok {
		p.stats.skip(h.skipReason(), len(b))
		return
	}
	h.seen = true
	p.took(h, len(b))
	m.Start = h.startTime
	var f framing
	m.Headers, _ = fields(nil, rest, &f)
	x := h.x
	if h.client {
		x.Request = m
		p.count(x)
	} else if m.Status >= 200 {
		x.response = m
		x.Response = &x.response
	}
	x.fail(reason)
}

// cutLine splits off the first line, without its end.
func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	if i < 0 {
		return s, ""
	}
	line, rest = s[:i], s[i+1:]
	if i > 0 && line[i-1] == '\r' {
		line = line[:i-1]
	}
	return line, rest
}

func requestLine(s string) (method, target, version string, ok bool) {
	i := strings.IndexByte(s, ' ')
	j := strings.LastIndexByte(s, ' ')
	if i < 1 || i > maxMethod || j <= i+1 {
		return "", "", "", false
	}
	method, target = s[:i], s[i+1:j]
	for k := 0; k < len(method); k++ {
		if !isToken(method[k]) {
			return "", "", "", false
		}
	}
	for k := 0; k < len(target); k++ {
		if !isTarget(target[k]) {
			return "", "", "", false
		}
	}
	version, ok = httpVersion(s[j+1:])
	return method, target, version, ok
}

func statusLine(s string) (status int, reason, version string, ok bool) {
	const prefix = len("HTTP/1.1 ")
	if len(s) < prefix+3 || s[prefix-1] != ' ' {
		return 0, "", "", false
	}
	if version, ok = httpVersion(s[:prefix-1]); !ok {
		return 0, "", "", false
	}
	for _, c := range []byte(s[prefix : prefix+3]) {
		if c < '0' || c > '9' {
			return 0, "", "", false
		}
		status = status*10 + int(c-'0')
	}
	if s = s[prefix+3:]; s != "" {
		if s[0] != ' ' {
			return 0, "", "", false
		}
		reason = s[1:]
	}
	return status, reason, version, status >= 100
}

func httpVersion(s string) (string, bool) {
	const prefix = "HTTP/1."
	if len(s) != len(prefix)+1 || s[:len(prefix)] != prefix || s[7] < '0' || s[7] > '9' {
		return "", false
	}
	return s[5:], true
}

// fields appends the field lines of s to hs until its end or an empty line.
func fields(hs []l7.Header, s string, f *framing) ([]l7.Header, bool) {
	for s != "" {
		var line string
		line, s = cutLine(s)
		if line == "" {
			break
		}
		h, ok := field(line)
		if !ok {
			return hs, false
		}
		hs = append(hs, h)
		switch len(h.Name) {
		case len("content-length"):
			if strings.EqualFold(h.Name, "content-length") {
				f.contentLength(h.Value)
			}
		case len("transfer-encoding"):
			if strings.EqualFold(h.Name, "transfer-encoding") {
				f.transferEncoding(h.Value)
			}
		}
	}
	return hs, true
}

// field reads one field line. Folded lines, spaces before the colon and control characters are
// errors: readers disagree about them (RFC 9112 §5.1, §5.2).
func field(line string) (l7.Header, bool) {
	i := 0
	for i < len(line) && isToken(line[i]) {
		i++
	}
	if i == 0 || i == len(line) || line[i] != ':' {
		return l7.Header{}, false
	}
	v := line[i+1:]
	for len(v) > 0 && (v[0] == ' ' || v[0] == '\t') {
		v = v[1:]
	}
	for len(v) > 0 && (v[len(v)-1] == ' ' || v[len(v)-1] == '\t') {
		v = v[:len(v)-1]
	}
	if strings.IndexByte(v, '\r') >= 0 || strings.IndexByte(v, 0) >= 0 {
		return l7.Header{}, false
	}
	return l7.Header{Name: line[:i], Value: v}, true
}

// contentLength takes a Content-Length value; repeats must agree (RFC 9110 §8.6).
func (f *framing) contentLength(v string) {
	for more := true; more; {
		var one string
		one, v, more = strings.Cut(v, ",")
		one = strings.Trim(one, " \t")
		n, err := strconv.ParseUint(one, 10, 63)
		if err != nil || one[0] == '+' || f.length >= 0 && f.length != int64(n) {
			f.bad = true
			return
		}
		f.length = int64(n)
	}
}

// transferEncoding takes a Transfer-Encoding value: the last coding decides.
func (f *framing) transferEncoding(v string) {
	if i := strings.LastIndexByte(v, ','); i >= 0 {
		v = v[i+1:]
	}
	v = strings.Trim(v, " \t")
	if strings.EqualFold(v, "identity") && !f.coded {
		return // obsolete, means nothing
	}
	f.coded, f.chunked = true, strings.EqualFold(v, "chunked")
}
