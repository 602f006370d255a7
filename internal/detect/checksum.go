// SPDX-License-Identifier: Apache-2.0

package detect

// The checksums of national ids. Digits are values, not characters.

// values returns the digits of b, which it overwrites.
func values(b []byte) []byte {
	for i := range b {
		b[i] -= '0'
	}
	return b
}

// weighted returns the sum of the products of d and weights, as far as there are weights.
func weighted(d []byte, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += int(d[i]) * w
	}
	return sum
}

// modulo returns the number that d spells, modulo m.
func modulo(d []byte, m int) int {
	r := 0
	for _, v := range d {
		r = (r*10 + int(v)) % m
	}
	return r
}

func two(d []byte) int { return int(d[0])*10 + int(d[1]) }

// day reports whether there is such a month and day.
func day(month, day int) bool {
	return month >= 1 && month <= 12 && day >= 1 && day <= 31 && (day <= 29 || month != 2) && (day <= 30 || month != 4 && month != 6 && month != 9 && month != 11)
}

// ssn: US, no checksum; areas, groups and serial numbers that are never issued.
func ssn(d []byte) bool {
	area := int(d[0])*100 + two(d[1:])
	return area != 0 && area != 666 && area < 900 && two(d[3:]) != 0 && two(d[5:])+two(d[7:]) != 0
}

// bsn: NL.
func bsn(d []byte) bool {
	return (weighted(d, 9, 8, 7, 6, 5, 4, 3, 2)-int(d[8]))%11 == 0 && modulo(d, 1000000) != 0
}

// nif: PT.
func nif(d []byte) bool {
	c := 11 - weighted(d, 9, 8, 7, 6, 5, 4, 3, 2)%11
	if c > 9 {
		c = 0
	}
	return d[0] != 0 && c == int(d[8])
}

// tfn: AU tax file number.
func tfn(d []byte) bool { return weighted(d, 1, 4, 3, 7, 5, 8, 6, 9, 10)%11 == 0 }

// sweden: ten digits, a date and Luhn; a day above 60 is a coordination number.
func sweden(d []byte) bool {
	dd := two(d[4:])
	if dd > 60 {
		dd -= 60
	}
	return day(two(d[2:]), dd) && luhn(d)
}

// denmark: a date; numbers since 2007 have no checksum.
func denmark(d []byte) bool { return day(two(d[2:]), two(d)) }

// czech: CZ and SK since 1954; months of women are 50 higher, of a full day's series 20.
func czech(d []byte) bool {
	m := two(d[2:])
	if m > 50 {
		m -= 50
	}
	if m > 20 {
		m -= 20
	}
	return day(m, two(d[4:])) && (modulo(d, 11) == 0 || modulo(d[:9], 11) == 10 && d[9] == 0)
}

func bulgaria(d []byte) bool {
	m := two(d[2:])
	switch {
	case m > 40:
		m -= 40
	case m > 20:
		m -= 20
	}
	return day(m, two(d[4:])) && weighted(d, 2, 4, 8, 5, 10, 9, 7, 3, 6)%11%10 == int(d[9])
}

// nhs: GB.
func nhs(d []byte) bool {
	c := 11 - weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11
	return c%11 == int(d[9]) && c != 10 && modulo(d, 1000000007) != 0
}

// norway: two check digits; D-numbers have a day 40 higher.
func norway(d []byte) bool {
	dd := two(d)
	if dd > 40 {
		dd -= 40
	}
	return day(two(d[2:]), dd) && weighted(d, 3, 7, 6, 1, 8, 9, 4, 5, 2, 1)%11 == 0 && weighted(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1)%11 == 0
}

// belgium: the rest of 97; of those born since 2000 with a 2 in front.
func belgium(d []byte) bool {
	m := two(d[2:])
	if m > 40 {
		m -= 40 // BIS numbers
	} else if m > 20 {
		m -= 20
	}
	if m > 12 || two(d[4:]) > 31 {
		return false
	}
	n, check := modulo(d[:9], 1e9), two(d[9:])
	return 97-n%97 == check || 97-(n+2e9)%97 == check
}

// baltic: EE and LT.
func baltic(d []byte) bool {
	if d[0] < 1 || d[0] > 8 || !day(two(d[3:]), two(d[5:])) {
		return false
	}
	c := weighted(d, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1) % 11
	if c == 10 {
		c = weighted(d, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3) % 11 % 10
	}
	return c == int(d[10])
}

// germany: of the first ten digits one or two are missing and one occurs twice or three times; ISO 7064 MOD 11,10.
func germany(d []byte) bool {
	if d[0] == 0 {
		return false
	}
	var count [10]int
	for _, v := range d[:10] {
		count[v]++
	}
	repeated := 0
	for _, n := range count {
		if n > 3 {
			return false
		}
		if n > 1 {
			repeated++
		}
	}
	return repeated == 1 && mod1110(d)
}

// mod1110 is the checksum of ISO 7064 MOD 11,10 over eleven digits.
func mod1110(d []byte) bool {
	p := 10
	for _, v := range d[:10] {
		s := (int(v) + p) % 10
		if s == 0 {
			s = 10
		}
		p = s * 2 % 11
	}
	return (11-p)%10 == int(d[10])
}

// oib: HR.
func oib(d []byte) bool { return mod1110(d) }

// pesel: PL; months tell the century.
func pesel(d []byte) bool {
	return day(two(d[2:])%20, two(d[4:])) && (10-weighted(d, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3)%10)%10 == int(d[10])
}

func turkey(d []byte) bool {
	if d[0] == 0 {
		return false
	}
	odd := int(d[0] + d[2] + d[4] + d[6] + d[8])
	even := int(d[1] + d[3] + d[5] + d[7])
	return (odd*7-even+100)%10 == int(d[9]) && (odd+even+int(d[9]))%10 == int(d[10])
}

// cpf: BR.
func cpf(d []byte) bool {
	same := true
	for _, v := range d {
		same = same && v == d[0]
	}
	return !same && weighted(d, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == int(d[9]) && weighted(d, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)*10%11%10 == int(d[10])
}

// latvia: a date and a checksum; numbers since 2017 begin with 32 and have none.
func latvia(d []byte) bool {
	if d[0] == 3 && d[1] >= 2 {
		return true
	}
	return day(two(d[2:]), two(d)) && (1101-weighted(d, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2))%11 == int(d[10])
}

var (
	verhoeffD = [10][10]byte{
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		{1, 2, 3, 4, 0, 6, 7, 8, 9, 5},
		{2, 3, 4, 0, 1, 7, 8, 9, 5, 6},
		{3, 4, 0, 1, 2, 8, 9, 5, 6, 7},
		{4, 0, 1, 2, 3, 9, 5, 6, 7, 8},
		{5, 9, 8, 7, 6, 0, 4, 3, 2, 1},
		{6, 5, 9, 8, 7, 1, 0, 4, 3, 2},
		{7, 6, 5, 9, 8, 2, 1, 0, 4, 3},
		{8, 7, 6, 5, 9, 3, 2, 1, 0, 4},
		{9, 8, 7, 6, 5, 4, 3, 2, 1, 0},
	}
	verhoeffP = [8][10]byte{
		{0, 1, 2, 3, 4, 5, 6, 7, 8, 9},
		{1, 5, 7, 6, 2, 8, 3, 0, 9, 4},
		{5, 8, 0, 3, 7, 9, 6, 1, 4, 2},
		{8, 9, 1, 6, 0, 4, 3, 5, 2, 7},
		{9, 4, 5, 3, 1, 2, 6, 8, 7, 0},
		{4, 2, 8, 6, 5, 7, 3, 9, 0, 1},
		{2, 7, 9, 3, 8, 0, 6, 4, 1, 5},
		{7, 0, 4, 6, 9, 1, 3, 2, 5, 8},
	}
)

// aadhaar: IN, Verhoeff.
func aadhaar(d []byte) bool {
	c := byte(0)
	for i := range d {
		c = verhoeffD[c][verhoeffP[i%8][d[len(d)-1-i]]]
	}
	return d[0] >= 2 && c == 0
}

// japan: My Number.
func japan(d []byte) bool {
	c := weighted(d, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2) % 11
	if c <= 1 {
		c = 0
	} else {
		c = 11 - c
	}
	return c == int(d[11])
}

func romania(d []byte) bool {
	county := two(d[7:])
	return d[0] >= 1 && d[0] <= 8 && day(two(d[3:]), two(d[5:])) && county >= 1 && county <= 52 &&
		(weighted(d, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)%11 == int(d[12]) || weighted(d, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9)%11 == 10 && d[12] == 1)
}

func southAfrica(d []byte) bool { return day(two(d[2:]), two(d[4:])) && d[10] <= 1 && luhn(d) }

// switzerland: AHV numbers are EAN-13 with the country's prefix.
func switzerland(d []byte) bool {
	return d[0] == 7 && d[1] == 5 && d[2] == 6 && (10-weighted(d, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3)%10)%10 == int(d[12])
}

// korea: numbers until 2020, which have a checksum.
func korea(d []byte) bool {
	return day(two(d[2:]), two(d[4:])) && (11-weighted(d, 2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5)%11)%10 == int(d[12])
}

func thailand(d []byte) bool {
	return d[0] != 0 && (11-weighted(d, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2)%11)%10 == int(d[12])
}

// france: sex, year, month, department, …; 97 less the rest. Corsica's letters are not digits.
func france(d []byte) bool {
	m := two(d[3:])
	return (d[0] == 1 || d[0] == 2) && (m >= 1 && m <= 12 || m >= 20 && m <= 42 || m >= 50) && 97-modulo(d[:13], 97) == two(d[13:])
}

// china: ISO 7064 MOD 11-2 and a date; a check of 10 is written X.
func china(d []byte, check int) bool {
	year := two(d[6:])
	return d[0] >= 1 && (year == 19 || year == 20) && day(two(d[10:]), two(d[12:])) &&
		(12-weighted(d, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11)%11 == check
}

// cuit: AR, CUIT and CUIL.
func cuit(d []byte) bool {
	c := 11 - weighted(d, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2)%11
	switch c {
	case 11:
		c = 0
	case 10:
		c = 9
	}
	return c == int(d[10]) && (d[0] == 2 || d[0] == 3)
}

// rut returns the check digit of CL; 10 is written K.
func rut(d []byte) byte {
	sum, w := 0, 2
	for i := len(d) - 1; i >= 0; i-- {
		sum += int(d[i]) * w
		if w++; w > 7 {
			w = 2
		}
	}
	return byte((11 - sum%11) % 11)
}

// dniLetter returns the letter of a Spanish number.
func dniLetter(d []byte) byte { return "TRWAGMYFPDXBNJZSQVHLCKE"[modulo(d, 23)] }

// ninoLetters: GB national insurance number, no checksum; letters that are never issued.
func ninoLetters(a, b, suffix byte) bool {
	a, b, suffix = a&^0x20, b&^0x20, suffix&^0x20
	if a < 'A' || a > 'Z' || b < 'A' || b > 'Z' || suffix < 'A' || suffix > 'D' {
		return false
	}
	for _, c := range [...]byte{'D', 'F', 'I', 'Q', 'U', 'V'} {
		if a == c || b == c {
			return false
		}
	}
	switch string([]byte{a, b}) {
	case "BG", "GB", "KN", "NK", "NT", "TN", "ZZ":
		return false
	}
	return b != 'O'
}

// ireland: seven digits and a check letter, of which a second letter is a part.
func ireland(t []byte) bool {
	sum := 0
	for i := range 7 {
		sum += int(t[i]-'0') * (8 - i)
	}
	if len(t) == 9 && t[8] != 'W' && t[8] != 'T' && t[8] != 'X' { // those of before 2013 do not count
		sum += int(t[8]-'A'+1) * 9
	}
	return "WABCDEFGHIJKLMNOPQRSTUV"[sum%23] == t[7]
}

// singapore: NRIC and FIN.
func singapore(t []byte) bool {
	sum := 0
	for i, w := range [...]int{2, 7, 6, 5, 4, 3, 2} {
		sum += int(t[i+1]-'0') * w
	}
	switch t[0] {
	case 'S':
		return "JZIHGFEDCBA"[sum%11] == t[8]
	case 'T':
		return "JZIHGFEDCBA"[(sum+4)%11] == t[8]
	case 'F':
		return "XWUTRQPNMLK"[sum%11] == t[8]
	case 'G':
		return "XWUTRQPNMLK"[(sum+4)%11] == t[8]
	}
	return false
}

func taiwan(t []byte) bool {
	n := int([...]byte{10, 11, 12, 13, 14, 15, 16, 17, 34, 18, 19, 20, 21, 22, 35, 23, 24, 25, 26, 27, 28, 29, 32, 30, 31, 33}[t[0]-'A'])
	sum := n/10 + n%10*9
	for i, w := range [...]int{8, 7, 6, 5, 4, 3, 2, 1, 1} {
		sum += int(t[i+1]-'0') * w
	}
	return (t[1] == '1' || t[1] == '2' || t[1] == '8' || t[1] == '9') && sum%10 == 0
}

func hongKong(t []byte) bool {
	sum := 36*9 + int(t[0]-'A'+10)*8
	for i := 1; i < 8; i++ {
		sum += int(t[i]-'0') * (8 - i)
	}
	return sum%11 == 0
}

// finland: ddmmyy, a sign of the century, three digits and a check character.
func finland(s string) bool {
	var d [9]byte
	for i := range 6 {
		d[i] = s[i] - '0'
	}
	for i := 7; i < 10; i++ {
		if charClass[s[i]]&digit == 0 {
			return false
		}
		d[i-1] = s[i] - '0'
	}
	switch s[6] {
	case '-', '+', 'A', 'B', 'C', 'D', 'E', 'F', 'U', 'V', 'W', 'X', 'Y':
	default:
		return false
	}
	return day(two(d[2:]), two(d[:])) && "0123456789ABCDEFHJKLMNPRSTUVWXY"[modulo(d[:], 31)] == s[10]
}

// italy: codice fiscale; digits may be replaced by letters where two persons would have the same.
func italy(t []byte) bool {
	odd := [...]int{1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23}
	sum := 0
	for i, c := range t[:15] {
		v := int(c) - 'A'
		if charClass[c]&digit != 0 {
			v = int(c) - '0'
		}
		if i%2 == 0 {
			sum += odd[v]
		} else {
			sum += v
		}
	}
	return t[15] == byte('A'+sum%26)
}

// mexico: CURP.
func mexico(t []byte) bool {
	// Ñ has the value 24, between N and O.
	sum := 0
	for i, c := range t[:17] {
		v := int(c - '0')
		if charClass[c]&digit == 0 {
			if v = int(c-'A') + 10; c > 'N' {
				v++
			}
		}
		sum += v * (18 - i)
	}
	return (t[10] == 'H' || t[10] == 'M' || t[10] == 'X') && (10-sum%10)%10 == int(t[17])-'0'
}
