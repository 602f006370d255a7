// SPDX-License-Identifier: Apache-2.0

package detect

import "strings"

// maxBlob is the length above which random text is data (an image, an archive) and no secret.
const maxBlob = 512

// blob judges s[start:end], a run of the characters of base64 and base64url: as a whole, or between its slashes.
func (c *scanner) blob(start, end int) {
	start = max(start, c.last)
	s := c.s
	if end-start < minBlob || end-start > maxBlob {
		return
	}
	pad := end
	for pad < len(s) && pad-end < 2 && s[pad] == '=' {
		pad++
	}
	if random(s[start:end]) {
		// base64url may begin with what separates words, too.
		for start > c.last && (s[start-1] == '_' || s[start-1] == '-') && end-start < maxBlob {
			start--
		}
		c.report(Secret, start, pad)
		return
	}
	for piece := start; piece < end; {
		i := piece
		for i < end && s[i] != '/' {
			i++
		}
		if i-piece >= minBlob && i-piece < end-start && random(s[piece:i]) {
			c.report(Secret, piece, i)
			return // the rest is judged when this was taken
		}
		piece = i + 1
	}
}

// random reports whether s looks like the output of a generator: digits among letters, and pairs of letters that
// words do not have. Hexadecimal digits alone are as often a digest or an id as a secret, so they are none.
func random(s string) bool {
	var (
		digits, letters, pairs, rare, switches, marks int
		seen                                          uint8
		last                                          byte
		prev                                          uint8
		piece, longest                                int
		hexOnly                                       = true
	)
	for i := range len(s) {
		k := charClass[s[i]]
		switch {
		case k&digit != 0:
			digits++
			last = 0
		case k&(upper|lower) != 0:
			letters++
			letter := s[i] | 0x20
			if last != 0 {
				pairs++
				if common[last-'a']&(1<<(letter-'a')) == 0 {
					rare++
				}
			}
			last = letter
			if k&hexLetter == 0 {
				hexOnly = false
			}
		default:
			marks++
			last = 0
			k = 0
			piece = -1
		}
		piece++
		longest = max(longest, piece)
		if k != 0 && prev != 0 && (prev&digit != 0) != (k&digit != 0) {
			switches++
		}
		seen |= k
		prev = k
	}
	switch {
	case hexOnly || marks*6 > len(s):
		return false
	case (seen&upper == 0 || seen&lower == 0) && longest < minBlob:
		return false // names with hyphens: a pod's, a host's
	case digits == 0:
		// Words in camelCase have pairs of words; text that is letters only needs more of the others.
		return len(s) >= 24 && seen&upper != 0 && seen&lower != 0 && rare*5 >= pairs*2
	case rare >= 3 && rare*10 >= pairs*3:
		return true
	}
	// Digits that are strewn among few letters leave no pairs to judge by.
	return switches*4 >= len(s) && letters >= 4 && pairs*2 < len(s)
}

// assign notes what the name before the `:`, `=` or `>` at s[i] announces of the value behind it, and reports the value
// where that is a secret.
func (c *scanner) assign(i int) {
	s := c.s
	end := i
	for end > 0 && i-end < 3 && (s[end-1] == '"' || s[end-1] == '\'' || s[end-1] == ' ' || s[end-1] == '\\') {
		end--
	}
	start := end
	for start > 0 && end-start < maxField && nameByte(s[start-1]) {
		start--
	}
	if end-start < 2 || end-start == maxField || s[i] == '>' && (start == 0 || s[start-1] != '<') {
		return // no name, or no start of an element
	}
	k := Field(s[start:end])
	if k == None {
		return
	}
	value := i + 1
	for s[i] != '>' && value < len(s) && value-i < 5 && (s[value] == ' ' || s[value] == '"' || s[value] == '\'' || s[value] == '\\' || s[value] == '\t') {
		value++
	}
	// A scheme of authentication (RFC 9110 §11.1) is not secret.
	for _, scheme := range [...]string{"Bearer ", "Basic ", "Token ", "Digest ", "bearer ", "basic ", "token "} {
		if k == Secret && strings.HasPrefix(s[value:], scheme) {
			value += len(scheme)
			break
		}
	}
	c.field, c.fieldEnd = k, value+64
	if k != Secret {
		return
	}
	if vendorStarts(s, value) {
		if c.vendor(value, len(s)); c.seen {
			return // whose token it is says more
		}
	}
	stop := value
	for stop < len(s) && stop-value < maxBlob && !valueEnd(s[stop]) {
		stop++
	}
	// `token: true`, `password: null`, `secret: {`: what cannot be a secret by its length is a setting.
	if stop-value >= 4 && !setting(s[value:stop]) {
		c.report(Secret, value, stop)
	}
}

func nameByte(b byte) bool { return charClass[b]&alnum != 0 || b == '_' || b == '-' || b == '.' }

func valueEnd(b byte) bool {
	switch b {
	case '"', '\'', '&', ',', ';', ' ', '\n', '\r', '\t', '<', '>', '}', ']', '{', '[', '\\', 0:
		return true
	}
	return false
}

// setting reports values that say something about a secret instead of being one.
func setting(s string) bool {
	switch s {
	case "true", "false", "null", "none", "None", "nil", "undefined", "required", "string", "optional", "hidden", "redacted", "REDACTED", "****", "********":
		return true
	}
	return false
}
