// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"strings"
	"unsafe"
)

// Scan finds sensitive values in b and tells f the kind and the place of each, b[start:end]. Places come in order and
// do not overlap. It ends when f returns false. It neither keeps nor allocates anything, and b may be text, JSON, a
// form, a header or bytes of no form at all.
//
// What Scan does not report is no proof of harmlessness: a name is a word.
func Scan(b []byte, f func(kind Kind, start, end int) bool) { ScanIn(None, b, f) }

// ScanIn is Scan of the value of a field that announces a kind, see Field: within a field of numbers of persons, of
// telephones or of cards weaker evidence is believed, and of a Secret the whole value is one.
func ScanIn(field Kind, b []byte, f func(kind Kind, start, end int) bool) {
	// The string lives no longer than this call, in which nobody writes to b.
	ScanString(field, unsafe.String(unsafe.SliceData(b), len(b)), f)
}

// ScanString is ScanIn of a string.
func ScanString(field Kind, s string, f func(kind Kind, start, end int) bool) {
	if field == Secret {
		if len(s) > 0 {
			f(Secret, 0, len(s))
		}
		return
	}
	c := scanner{s: s, field: field, fieldEnd: len(s), blobStart: -1}
	for c.next() && f(c.kind, c.start, c.last) {
	}
}

// Find returns the kind of the first sensitive value in s, or None.
func Find(s string) Kind {
	c := scanner{s: s, blobStart: -1}
	if !c.next() {
		return None
	}
	return c.kind
}

// scanner is the state of one pass.
type scanner struct {
	s         string
	i         int  // what comes next
	blobStart int  // where the current run of roleBlob bytes starts, or -1
	seen      bool // kind, start and last are a new value

	kind  Kind
	start int
	last  int // end of the last value: nothing before it is reported again

	noJWT    int  // no JWT starts before it
	field    Kind // what the field announces that holds the bytes up to fieldEnd
	fieldEnd int
}

// report notes s[start:end] as a value, unless a part of it was reported already.
func (c *scanner) report(k Kind, start, end int) {
	if start < c.last || end <= start || c.seen {
		return
	}
	c.kind, c.start, c.last, c.seen = k, start, end, true
}

// Roles of bytes in a scan.
const (
	roleWord  = 1 << iota // letters and digits
	roleStart             // something may start or turn here: see scan
	roleBlob              // part of base64, base64url and the like
	roleLocal             // of the local part of an email address (RFC 5322 atext and the dot)
)

var role = func() (t [256]uint8) {
	for i := range t {
		if charClass[i]&alnum != 0 {
			t[i] = roleWord | roleBlob | roleLocal
		}
	}
	for _, c := range "_-+/" {
		t[c] |= roleBlob
	}
	for _, c := range "!#$&'*+-/=?^_`{|}~.%" {
		t[c] |= roleLocal
	}
	for _, c := range "@%-:=>+(" {
		t[c] |= roleStart
	}
	return t
}()

// minBlob is the shortest run that is judged by its look alone.
const minBlob = 20

// next is the pass, up to the next value. Runs of letters and digits are taken whole; what a run is part of is judged
// when it starts (numbers, tokens with a prefix) or when it ends (random text). Every validator looks at a bounded
// number of bytes or moves c.last behind what it has looked at.
func (c *scanner) next() bool {
	s := c.s
	i, blob := c.i, c.blobStart
	c.seen = false
	for i < len(s) {
		r := role[s[i]]
		if r&roleWord == 0 {
			if blob >= 0 && r&roleBlob == 0 {
				if i-blob >= minBlob {
					if c.blob(blob, i); c.seen {
						break // and judges the rest of the run then
					}
				}
				blob = -1
			}
			if r&roleStart != 0 && i >= c.last {
				if c.mark(i); c.seen {
					i = max(i+1, c.last)
					blob = -1
					break
				}
			}
			i++
			continue
		}
		if blob < 0 {
			blob = i
		}
		start := i
		var seen uint8
		for i < len(s) {
			k := charClass[s[i]]
			if k&alnum == 0 {
				break
			}
			seen |= k
			i++
		}
		if start < c.last {
			continue
		}
		if i-start == 8 && i < len(s) && s[i] == '-' && len(s)-start >= 36 && IsUUID(s[start:start+36]) {
			i = start + 36 // its groups are not those of a number
			continue
		}
		switch {
		case seen&(upper|lower) == 0:
			c.number(start, i)
		case seen&digit != 0 && i-start >= 7:
			c.mixed(start, i)
		case seen&digit != 0 && i-start == 4:
			c.groupedIBAN(start)
		}
		if vendorStarts(s, start) && !c.seen {
			c.vendor(start, i)
		}
		if c.seen {
			i = max(i, c.last)
			blob = -1
			break
		}
	}
	if blob >= 0 && i == len(s) && !c.seen {
		c.blob(blob, i)
		if !c.seen {
			blob = -1
		}
	}
	c.i, c.blobStart = i, blob
	return c.seen
}

// mark judges a byte that is neither letter nor digit.
func (c *scanner) mark(i int) {
	s := c.s
	switch s[i] {
	case '@':
		c.email(i, 1)
	case '%':
		if i+2 < len(s) && s[i+1] == '4' && s[i+2] == '0' {
			c.email(i, 3)
		} else if i+3 < len(s) && s[i+1] == '2' && s[i+2]|0x20 == 'b' && charClass[s[i+3]]&digit != 0 {
			c.phone(i, 3)
		}
	case '-':
		if i+10 < len(s) && s[i+1] == '-' && s[i:i+11] == "-----BEGIN " {
			c.pem(i)
		}
	case '+', '(':
		if i+1 < len(s) && charClass[s[i+1]]&digit != 0 {
			c.phone(i, 1)
		}
	case ':', '=', '>':
		c.assign(i)
	}
}

// pem reports a private key from its header to its footer, or to the end of what is there.
func (c *scanner) pem(i int) {
	s := c.s
	const begin, limit = len("-----BEGIN "), 40
	head := s[i+begin : min(len(s), i+begin+limit)]
	at := strings.Index(head, "PRIVATE KEY")
	if at < 0 {
		return
	}
	end := i + begin + at + len("PRIVATE KEY")
	// A footer is looked for once: what is in between is reported, so nothing looks at it again.
	if n := strings.Index(s[end:], "-----END "); n >= 0 {
		end += n + len("-----END ")
		if n = strings.Index(s[end:min(len(s), end+limit)], "KEY"); n >= 0 {
			end += n + len("KEY")
		}
		for end < len(s) && s[end] == '-' {
			end++
		}
	} else {
		end = len(s)
	}
	c.report(PrivateKey, i, end)
}

// email reports the address around the `@`, of the given width, at s[at].
func (c *scanner) email(at, width int) {
	s := c.s
	start := at
	for start > c.last && at-start < 64 && role[s[start-1]]&roleLocal != 0 {
		start--
	}
	// What separates fields of a form or a list is legal in a local part and never there.
	for i := at - 1; i >= start; i-- {
		switch s[i] {
		case '=', '&', '?', '/', '\'', '{', '|', '`', '#', '}':
			start = i + 1
			i = -1
		}
	}
	for start < at && (s[start] == '.' || s[start] == '-' || s[start] == '*') {
		start++
	}
	if start == at || s[at-1] == '.' {
		return
	}
	// A domain: labels of letters, digits and hyphens, the last one of letters.
	i := at + width
	label, dots, letters := i, 0, 0
	end := 0
	for ; i <= len(s) && i-at < 254; i++ {
		if i < len(s) {
			k := charClass[s[i]]
			if k&alnum != 0 {
				if k&digit == 0 {
					letters++
				}
				continue
			}
			if s[i] == '-' && i > label {
				continue
			}
		}
		if i == label || s[i-1] == '-' {
			break
		}
		if dots > 0 && letters == i-label && letters >= 2 || dots > 0 && i-label > 4 && s[label:label+4] == "xn--" {
			end = i
		}
		if i == len(s) || s[i] != '.' {
			break
		}
		dots++
		label, letters = i+1, 0
	}
	if end > 0 {
		c.report(Email, start, end)
	}
}
