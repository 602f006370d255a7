// SPDX-License-Identifier: Apache-2.0

package detect

// phone judges the number behind a `+` or `(` at s[i], with the plus possibly percent-encoded.
func (c *scanner) phone(i, width int) {
	s := c.s
	if i > 0 && (charClass[s[i-1]]&alnum != 0 || s[i-1] == '+') {
		return // a form's space, a time zone, an addition
	}
	if s[i] == '(' {
		c.northAmerican(i)
		return
	}
	var d [16]byte
	n, end, open := 0, 0, false
	for j := i + width; j < len(s); {
		if charClass[s[j]]&digit != 0 {
			if n == 15 { // E.164 §6.2.1
				return
			}
			d[n] = s[j] - '0'
			n++
			j++
			end = j
			continue
		}
		// At most two of these between digits: ") ", " (".
		k := j
		for k < len(s) && k-j < 2 && (s[k] == ' ' || s[k] == '-' || s[k] == '.' || s[k] == '(' || s[k] == ')' || s[k] == '/') {
			if s[k] == '(' {
				open = true
			}
			k++
		}
		if k == j {
			if charClass[s[j]]&alnum != 0 {
				return
			}
			break
		}
		if k >= len(s) || charClass[s[k]]&digit == 0 {
			break
		}
		// What begins a group of its own after a whole number is another number.
		if n >= 11 && s[j] == ' ' && !open {
			break
		}
		j = k
	}
	if n >= 8 && callingCode(d[:n]) {
		c.report(Phone, i, end)
	}
}

// callingCode reports whether d, without the plus, begins with a country code and has a length that its country has.
func callingCode(d []byte) bool {
	switch p := int(d[0])*10 + int(d[1]); {
	case d[0] == 0, p == 28, p == 83, p == 89:
		return false
	case d[0] == 1:
		return len(d) == 11 && d[1] >= 2 && d[4] >= 2
	case d[0] == 7:
		return len(d) == 11
	case p == 33:
		return len(d) == 11
	case p == 44:
		return len(d) == 11 || len(d) == 12
	case p == 86:
		return len(d) >= 11 && len(d) <= 13
	case p == 91:
		return len(d) == 12
	}
	return true
}

// northAmerican judges "(555) 123-4567" at s[i].
func (c *scanner) northAmerican(i int) {
	s := c.s
	at := func(j int) byte {
		if j < len(s) && charClass[s[j]]&digit != 0 {
			return s[j] - '0'
		}
		return 255
	}
	if at(i+1) < 2 || at(i+1) > 9 || at(i+2) > 9 || at(i+3) > 9 || i+4 >= len(s) || s[i+4] != ')' {
		return
	}
	j := i + 5
	if j < len(s) && (s[j] == ' ' || s[j] == '-') {
		j++
	}
	if at(j) < 2 || at(j) > 9 || at(j+1) > 9 || at(j+2) > 9 {
		return
	}
	j += 3
	if j < len(s) && (s[j] == ' ' || s[j] == '-' || s[j] == '.') {
		j++
	}
	for k := range 4 {
		if at(j+k) > 9 {
			return
		}
	}
	if j += 4; j < len(s) && charClass[s[j]]&alnum != 0 {
		return
	}
	c.report(Phone, i, j)
}

// nationalPhone reports whether the groups are in a national form of telephone numbers that little else has: of North
// America with hyphens or dots, and of France.
func nationalPhone(g *groups, k int, d []byte) bool {
	for i := 2; i <= k; i++ {
		if g.sep[i] != g.sep[1] {
			return false
		}
	}
	switch g.pattern[k] {
	case 0x334:
		return (g.sep[1] == '-' || g.sep[1] == '.') && d[0] >= 2 && d[3] >= 2
	case 0x1334:
		return (g.sep[1] == '-' || g.sep[1] == '.') && d[0] == 1 && d[1] >= 2 && d[4] >= 2
	case 0x22222:
		return (g.sep[1] == ' ' || g.sep[1] == '.') && d[0] == 0 && d[1] >= 1
	}
	return false
}
