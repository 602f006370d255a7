// SPDX-License-Identifier: Apache-2.0

package detect

const (
	maxDigits = 24
	maxGroups = 8
)

// groups are the digits from a place on, in groups with single separators between them: 4111 1111 1111 1111.
type groups struct {
	digit   [maxDigits]byte   // values, 0 to 9
	end     [maxGroups]int    // offset behind each group
	count   [maxGroups]int    // digits up to and with each group
	sep     [maxGroups]byte   // separator before each group; 0 before the first
	pattern [maxGroups]uint64 // lengths up to and with each group, a hexadecimal digit each: 0x4444
	n       int
}

// separator returns the one at s[i:], in the form that it has unencoded, and its width; 0 when there is none.
func separator(s string, i int) (sep byte, width int) {
	if i >= len(s) {
		return 0, 0
	}
	switch s[i] {
	case ' ', '-', '.', '/':
		return s[i], 1
	case '+': // a space in a form
		return ' ', 1
	case '%':
		if i+2 < len(s) && s[i+1] == '2' && s[i+2] == '0' {
			return ' ', 3
		}
	case 0xc2:
		if i+1 < len(s) && s[i+1] == 0xa0 { // no-break space
			return ' ', 2
		}
	}
	return 0, 0
}

// gather reads the groups from s[start] on, which is a digit.
func (g *groups) gather(s string, start int) {
	i, total := start, 0
	var sep byte
	var pattern uint64
	for g.n < maxGroups {
		first := i
		for i < len(s) && charClass[s[i]]&digit != 0 {
			if total == maxDigits {
				return // this group is none, for it has no end
			}
			g.digit[total] = s[i] - '0'
			total++
			i++
		}
		if i-first > 15 {
			pattern = pattern<<8 | uint64(i-first)
		} else {
			pattern = pattern<<4 | uint64(i-first)
		}
		g.end[g.n], g.count[g.n], g.sep[g.n], g.pattern[g.n] = i, total, sep, pattern
		g.n++
		var width int
		sep, width = separator(s, i)
		if width == 0 || i+width >= len(s) || charClass[s[i+width]]&digit == 0 {
			return
		}
		i += width
	}
}

// number judges the run of digits s[start:end] and the groups that it is the first of.
func (c *scanner) number(start, end int) {
	s := c.s
	_, width := separator(s, end)
	joined := width > 0 && end+width < len(s) && charClass[s[end+width]]&alnum != 0
	announced := None
	if start < c.fieldEnd {
		announced = c.field
	}
	if end-start < 7 && !joined && announced == None {
		return
	}
	if end-start == 1 && !joined {
		return
	}
	if start > 1 && s[start-1] == '.' && charClass[s[start-2]]&digit != 0 && (!joined || s[end] != '.') {
		return // the fraction of a number
	}
	var g groups
	g.gather(s, start)
	if g.n == 0 {
		return
	}
	if c.lettered(&g, start); c.seen {
		return
	}
	// Numbers that are longer than what stands here: 1-2-3 within 0-1-2-3-4.
	var before byte
	if start > 1 && charClass[s[start-2]]&digit != 0 {
		before, _ = separator(s, start-1)
	}
	for k := g.n - 1; k >= 0; k-- {
		if g.end[k] < len(s) && charClass[s[g.end[k]]]&alnum != 0 {
			continue
		}
		d := g.digit[:g.count[k]]
		if len(d) >= 13 && (len(d) > 13 || k > 0 || strength(d) != strong) && card(d, g.pattern[k], g.sep[:k+1]) {
			c.report(Card, start, g.end[k])
			return
		}
		var after byte
		if k+1 < g.n {
			after = g.sep[k+1]
		}
		if k == 0 {
			if before == '-' || before == '.' || before == '/' || after == '-' || after == '.' || after == '/' {
				continue
			}
		} else if before == g.sep[1] || after == g.sep[k] {
			continue
		}
		if kind := c.groups(&g, k, start); kind != None {
			c.report(kind, start, g.end[k])
			return
		}
	}
}

// groups judges the first k+1 groups as anything but a card.
func (c *scanner) groups(g *groups, k, start int) Kind {
	d := g.digit[:g.count[k]]
	if k == 0 {
		if len(d) >= 7 && len(d) <= 15 && start < c.fieldEnd && c.field == Phone {
			return Phone
		}
		switch strength(d) {
		case strong:
			return NationalID
		case weak:
			if c.announced(start) == NationalID {
				return NationalID
			}
		}
	} else {
		switch formatted(g, k, d) {
		case strong:
			return NationalID
		case weak:
			if c.announced(start) == NationalID {
				return NationalID
			}
		}
		if nationalPhone(g, k, d) {
			return Phone
		}
		if k == 3 && address(g, k, d) {
			return IP
		}
	}
	if len(d) >= 7 && len(d) <= 15 && c.announced(start) == Phone {
		return Phone
	}
	return None
}

// announced returns what the field or the words before s[start] say of it.
func (c *scanner) announced(start int) Kind {
	if start < c.fieldEnd && c.field != None {
		return c.field
	}
	s := c.s
	i := start
	for i > 0 && start-i < 32 {
		if b := s[i-1]; b == '\n' || b == '&' || b == ';' || b == '{' || b == '}' || b == ',' {
			break
		}
		i--
	}
	// A word that is cut is none.
	for i > 0 && i < start && charClass[s[i-1]]&alnum != 0 && charClass[s[i]]&alnum != 0 {
		i++
	}
	return Field(s[i:start])
}

// address reports whether the four groups are those of an IPv4 address.
func address(g *groups, k int, d []byte) bool {
	prev := 0
	for i := range k + 1 {
		if i > 0 && g.sep[i] != '.' {
			return false
		}
		group := d[prev:g.count[i]]
		n := 0
		for _, v := range group {
			n = n*10 + int(v)
		}
		if n > 255 || len(group) > 3 || len(group) > 1 && group[0] == 0 {
			return false
		}
		prev = g.count[i]
	}
	return k == 3
}

// card reports whether d is the number of a payment card, ungrouped or in the groups that cards show.
func card(d []byte, pattern uint64, sep []byte) bool {
	if len(sep) > 1 {
		switch pattern {
		case 0x4444, 0x44443, 0x465, 0x464, 0x4441:
		default:
			return false
		}
		for _, b := range sep[1:] {
			if b != sep[1] || b == '.' || b == '/' {
				return false
			}
		}
	}
	return issued(d) && luhn(d)
}

// luhn is the checksum of ISO/IEC 7812-1.
func luhn(d []byte) bool {
	sum := 0
	for i := range d {
		v := int(d[len(d)-1-i])
		if i%2 == 1 {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
	}
	return sum%10 == 0
}

// issued reports whether an issuer of payment cards has numbers of this beginning and length.
func issued(d []byte) bool {
	n := len(d)
	if n < 13 || n > 19 {
		return false
	}
	p4 := int(d[0])*1000 + int(d[1])*100 + int(d[2])*10 + int(d[3])
	p2, p3 := p4/100, p4/10
	switch {
	case d[0] == 4: // Visa
		return n == 13 || n == 16 || n == 19
	case p2 >= 51 && p2 <= 55, p4 >= 2221 && p4 <= 2720: // Mastercard
		return n == 16
	case p2 == 34, p2 == 37: // American Express
		return n == 15
	case p3 >= 300 && p3 <= 305, p4 == 3095, p2 == 36, p2 == 38, p2 == 39: // Diners Club
		return n >= 14
	case p4 >= 3528 && p4 <= 3589: // JCB
		return n >= 16
	case p2 == 62: // UnionPay
		return n >= 16
	case p4 == 6011, p3 >= 644 && p3 <= 649, p2 == 65: // Discover
		return n >= 16
	case p4 >= 2200 && p4 <= 2204: // Mir
		return n >= 16
	case p4 == 5018, p4 == 5020, p4 == 5038, p4 == 5893, p4 == 6304, p4 == 6759, p4 >= 6761 && p4 <= 6763: // Maestro
		return true
	case p3 == 508, p2 == 60, p2 == 81, p2 == 82, p4 == 5066, p4 == 5067, p3 == 509, p4 == 9792: // RuPay, Elo, Troy
		return n == 16
	case p4 == 5060, p4 == 5061: // Verve
		return n == 16 || n >= 18
	}
	return false
}
