// SPDX-License-Identifier: Apache-2.0

package detect

// evidence is how much a number says of itself. A single check digit is right for every tenth number that is none, so
// a weak one counts only where a field or words announce it.
type evidence uint8

const (
	nothing evidence = iota
	weak
	strong
)

func evident(yes bool, e evidence) evidence {
	if yes {
		return e
	}
	return nothing
}

// strength judges ungrouped digits as the number of a person.
func strength(d []byte) evidence {
	switch len(d) {
	case 8: // ES without its letter, AU tax file number
		return evident(weighted(d, 10, 7, 8, 4, 6, 3, 5, 1)%11 == 0, weak)
	case 9: // US SSN, CA SIN, NL BSN, PT NIF, AU TFN, IL
		return evident(ssn(d) || luhn(d) || bsn(d) || nif(d) || tfn(d), weak)
	case 10: // SE, DK, CZ, SK, BG, GB NHS
		return evident(sweden(d) || denmark(d) || czech(d) || bulgaria(d) || nhs(d), weak)
	case 11:
		switch {
		case norway(d), belgium(d), baltic(d), germany(d):
			return strong
		}
		return evident(pesel(d) || turkey(d) || cpf(d) || oib(d) || d[0] != 0 && latvia(d), weak)
	case 12:
		if (d[0] == 1 && d[1] == 9 || d[0] == 2 && d[1] == 0) && sweden(d[2:]) {
			return strong
		}
		return evident(aadhaar(d) || japan(d), weak)
	case 13:
		switch {
		case romania(d), southAfrica(d), switzerland(d), korea(d):
			return strong
		}
		return evident(thailand(d), weak)
	case 15:
		return evident(france(d), strong)
	case 18:
		return evident(china(d[:17], int(d[17])), strong)
	}
	return nothing
}

// formatted judges digits in the groups that the number is written in.
func formatted(g *groups, k int, d []byte) evidence {
	sep := g.sep[1]
	same := true
	for i := 2; i <= k; i++ {
		same = same && g.sep[i] == sep
	}
	switch g.pattern[k] {
	case 0x324: // 078-05-1120
		return evident(same && (sep == '-' || sep == ' ') && ssn(d), strong)
	case 0x333:
		ok := same && (sep == '-' || sep == ' ') && (d[0] != 0 && d[0] != 8 && luhn(d) || tfn(d))
		if sep == '-' {
			return evident(ok, strong)
		}
		return evident(ok, weak) // thousands are separated by spaces, too
	case 0x3332: // 529.982.247-25
		return evident(g.sep[1] == '.' && g.sep[2] == '.' && g.sep[3] == '-' && cpf(d), strong)
	case 0x22232: // 85.07.30-033.28
		return evident(sep == '.' && g.sep[3] == '-' && belgium(d), strong)
	case 0x64:
		switch sep {
		case '-', ' ':
			return evident(sweden(d) || denmark(d), strong)
		case '/':
			return evident(czech(d), strong)
		}
	case 0x84:
		return evident(sep == '-' && (d[0] == 1 && d[1] == 9 || d[0] == 2 && d[1] == 0) && sweden(d[2:]), strong)
	case 0x65:
		return evident(sep == ' ' && norway(d) || sep == '-' && latvia(d), strong)
	case 0x67:
		return evident(sep == '-' && korea(d), strong)
	case 0x1222332: // 1 85 05 78 006 084 36
		return evident(same && sep == ' ' && france(d), strong)
	case 0x3442: // 756.1234.5678.97
		return evident(same && sep == '.' && switzerland(d), strong)
	case 0x444:
		if same && (sep == ' ' || sep == '-') {
			if aadhaar(d) {
				return strong
			}
			return evident(japan(d), weak)
		}
	case 0x334: // 943 476 5919
		if same && sep == ' ' {
			return evident(nhs(d), strong)
		}
		return evident(same && nhs(d), weak)
	case 0x451: // AU Medicare
		return evident(same && d[0] >= 2 && d[0] <= 6 && weighted(d, 1, 3, 7, 9, 1, 3, 7, 9)%10 == int(d[8]), strong)
	case 0x14521:
		return evident(same && (sep == '-' || sep == ' ') && thailand(d), strong)
	case 0x281:
		return evident(sep == '-' && same && cuit(d), strong)
	case 0x2331, 0x1331: // 12.345.678-5
		return evident(g.sep[1] == '.' && g.sep[2] == '.' && g.sep[3] == '-' && rut(d[:len(d)-1]) == d[len(d)-1], strong)
	case 0x2333, 0x3334: // thousands, telephone numbers
		return nothing
	}
	return nothing
}

// lettered judges numbers with a letter behind digits and a separator, which the groups that g holds are parts of:
// DNI 12345678-Z, HETU 131052-308T, RUT 12.345.678-K, NINO QQ 12 34 56 C.
func (c *scanner) lettered(g *groups, start int) {
	s := c.s
	end := g.end[0]
	lone := func(i int) bool { // one letter, and nothing behind it
		return i < len(s) && charClass[s[i]]&(upper|lower) != 0 && (i+1 == len(s) || charClass[s[i+1]]&alnum == 0)
	}
	switch {
	case g.pattern[0] == 8 && g.n == 1 && end+1 < len(s) && s[end] == '-' && lone(end+1):
		if dniLetter(g.digit[:8]) == s[end+1]&^0x20 {
			c.report(NationalID, start, end+2)
		}
	case g.pattern[0] == 6 && end+5 <= len(s) && (s[end] == '-' || s[end] == '+'):
		// 131052-308T: the digits behind the hyphen are part of a run that ends in a letter.
		if g.n <= 2 && (end+5 == len(s) || charClass[s[end+5]]&alnum == 0) && finland(s[start:end+5]) {
			c.report(NationalID, start, end+5)
		}
	case g.n == 3 && (g.pattern[2] == 0x233 || g.pattern[2] == 0x133) && g.sep[1] == '.' && g.sep[2] == '.':
		if end = g.end[2]; end+1 < len(s) && s[end] == '-' && s[end+1]|0x20 == 'k' && lone(end+1) && rut(g.digit[:g.count[2]]) == 10 {
			c.report(NationalID, start, end+2)
		}
	case g.n == 3 && g.pattern[2] == 0x222 && g.sep[1] == ' ' && g.sep[2] == ' ' && start >= 3 && s[start-1] == ' ':
		if end = g.end[2]; end+1 < len(s) && s[end] == ' ' && lone(end+1) && start-3 >= c.last &&
			(start == 3 || charClass[s[start-4]]&alnum == 0) && ninoLetters(s[start-3], s[start-2], s[end+1]) {
			c.report(NationalID, start-3, end+2)
		}
	}
}

// mixed judges a run of letters and digits.
func (c *scanner) mixed(start, end int) {
	s := c.s[start:end]
	if len(s) >= 15 && len(s) <= 34 && charClass[s[0]]&(upper|lower) != 0 && IsIBAN(s) {
		c.report(IBAN, start, end)
		return
	}
	if len(s) > 18 {
		// A digest, unless something says that it is a key.
		if len(s) >= 32 && IsHex(s) && c.announced(start) == Secret {
			c.report(Secret, start, end)
		}
		return
	}
	e := nothing
	for i := range len(s) {
		if charClass[s[i]]&lower != 0 {
			e = weak // codes are written in capitals
			break
		}
	}
	if person := lettersAndDigits(s); person == nothing || e == weak && person == strong {
		e = min(person, weak)
	} else {
		e = person
	}
	if e == strong || c.announced(start) == NationalID && (e == weak || passport(s)) {
		c.report(NationalID, start, end)
	}
}

// lettersAndDigits judges s, in either case, by its form and check letter.
func lettersAndDigits(s string) evidence {
	var b [18]byte // in capitals
	var shape uint32
	for i := range len(s) {
		b[i] = s[i]
		if charClass[s[i]]&lower != 0 {
			b[i] -= 'a' - 'A'
		}
		if charClass[s[i]]&digit == 0 {
			shape |= 1 << i
		}
	}
	t := b[:len(s)]
	switch {
	case len(s) == 9 && shape == 1<<8: // ES DNI: 12345678Z
		return evident(dniLetter(values(t[:8])) == t[8], strong)
	case len(s) == 9 && shape == 1<<8|1: // ES NIE: X1234567L; SG: S1234567D
		if t[0] >= 'X' && t[0] <= 'Z' {
			t[0] -= 'X' - '0'
			return evident(dniLetter(values(t[:8])) == t[8], strong)
		}
		return evident(singapore(t), strong)
	case len(s) == 9 && shape == 1<<8|3: // GB NINO: AB123456C
		return evident(ninoLetters(t[0], t[1], t[8]), strong)
	case len(s) == 8 && shape == 1<<7, len(s) == 9 && shape == 3<<7: // IE PPS: 1234567T, 1234567TW
		return evident(ireland(t), strong)
	case len(s) == 10 && shape == 1: // TW: A123456789
		return evident(taiwan(t), weak)
	case len(s) == 8 && shape == 1: // HK: A1234567
		return evident(hongKong(t), weak)
	case len(s) == 10 && shape == 0x21f: // IN PAN: ABCPE1234F
		switch t[3] {
		case 'P', 'C', 'H', 'F', 'A', 'T', 'B', 'L', 'J', 'G':
			return weak
		}
	case len(s) == 11 && shape&^(1<<10) == 1<<6: // FI: 131052A308T
		return evident(finland(string(t)), strong)
	case len(s) == 16 && t[15] >= 'A' && shape&0x3f == 0x3f && t[8] >= 'A': // IT
		return evident(italy(t), strong)
	case len(s) == 18 && shape == 1<<17 && t[17] == 'X': // CN
		return evident(china(values(t[:17]), 10), strong)
	case len(s) == 18 && shape&0xffff == 0xfc0f: // MX CURP: four letters, a date, six letters
		return evident(mexico(t), strong)
	}
	return nothing
}

// passport reports whether s can be the number of a passport or licence, where a field announces one.
func passport(s string) bool {
	if len(s) < 7 || len(s) > 16 {
		return false
	}
	digits := 0
	for i := range len(s) {
		if charClass[s[i]]&digit != 0 {
			digits++
		}
	}
	return digits >= 4
}
