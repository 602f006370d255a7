// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// nationalIDs are numbers of persons of 26 countries, each in the forms that it is written in.
var nationalIDs = func() []generator {
	var all []generator
	add := func(form, field string, f func(r *rand.Rand) string) {
		all = append(all, generator{"national_id", form, f, field})
	}
	add("US SSN", "ssn", func(r *rand.Rand) string {
		return fmt.Sprintf("%03d-%02d-%04d", 1+r.IntN(665), 1+r.IntN(99), 1+r.IntN(9999))
	})
	add("CA SIN", "sin", func(r *rand.Rand) string {
		s := str(r, "12345679", 1) + str(r, digits, 7)
		return grouped(s+luhn(s), []string{"-"}, 3, 3, 3)
	})
	add("GB NHS", "nhs_number", func(r *rand.Rand) string {
		return grouped(checked(r, 9, func(s string) int { return flip(weigh(s, 10, 9, 8, 7, 6, 5, 4, 3, 2)) }), []string{" "}, 3, 3, 4)
	})
	add("GB NINO", "nino", func(r *rand.Rand) string {
		s := str(r, "ABCEHJKLMPRSWXY", 1) + str(r, "ACEHJLMPRSWXY", 1) + str(r, digits, 6) + str(r, "ABCD", 1)
		return pick(r, s, grouped(s, []string{" "}, 2, 2, 2, 2, 1))
	})
	add("DE IdNr", "steuerId", germany)
	add("FR NIR", "nir", func(r *rand.Rand) string {
		s := str(r, "12", 1) + fmt.Sprintf("%02d%02d%02d", r.IntN(100), 1+r.IntN(12), 1+r.IntN(95)) + str(r, digits, 6)
		n, _ := strconv.Atoi(s)
		s += fmt.Sprintf("%02d", 97-n%97)
		return pick(r, s, grouped(s, []string{" "}, 1, 2, 2, 2, 3, 3, 2))
	})
	add("IT codice fiscale", "codiceFiscale", italy)
	add("ES DNI", "dni", func(r *rand.Rand) string {
		n := r.IntN(1e8)
		return fmt.Sprintf("%08d%s%c", n, pick(r, "", "-"), "TRWAGMYFPDXBNJZSQVHLCKE"[n%23])
	})
	add("ES NIE", "nie", func(r *rand.Rand) string {
		k, n := r.IntN(3), r.IntN(1e7)
		return fmt.Sprintf("%c%07d%c", "XYZ"[k], n, "TRWAGMYFPDXBNJZSQVHLCKE"[(k*1e7+n)%23])
	})
	add("PT NIF", "nif", func(r *rand.Rand) string {
		return checked(r, 8, func(s string) int { return flip(weigh(s, 9, 8, 7, 6, 5, 4, 3, 2)) % 10 })
	})
	add("NL BSN", "bsn", func(r *rand.Rand) string {
		return checked(r, 8, func(s string) int { return weigh(s, 9, 8, 7, 6, 5, 4, 3, 2) % 11 })
	})
	add("BE", "national_id", func(r *rand.Rand) string {
		s := date(r, "yymmdd") + fmt.Sprintf("%03d", 1+r.IntN(997))
		n, _ := strconv.Atoi(s)
		if r.IntN(2) == 0 {
			n += 2e9
		}
		return grouped(s+fmt.Sprintf("%02d", 97-n%97), []string{".", ".", "-", "."}, 2, 2, 2, 3, 2)
	})
	add("SE", "personnummer", func(r *rand.Rand) string {
		s := date(r, "yymmdd") + str(r, digits, 3)
		return pick(r, "", "19") + grouped(s+luhn(s), []string{"-"}, 6, 4)
	})
	add("NO", "fodselsnummer", func(r *rand.Rand) string {
		for {
			s := date(r, "ddmmyy") + str(r, digits, 3)
			a := flip(weigh(s, 3, 7, 6, 1, 8, 9, 4, 5, 2))
			b := flip(weigh(s+strconv.Itoa(a), 5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
			if a < 10 && b < 10 {
				return fmt.Sprintf("%s%d%d", s, a, b)
			}
		}
	})
	add("DK CPR", "cpr", func(r *rand.Rand) string { return date(r, "ddmmyy") + "-" + str(r, digits, 4) })
	add("FI HETU", "hetu", func(r *rand.Rand) string {
		d, n := date(r, "ddmmyy"), str(r, digits, 3)
		v, _ := strconv.Atoi(d + n)
		return d + pick(r, "-", "A") + n + string("0123456789ABCDEFHJKLMNPRSTUVWXY"[v%31])
	})
	add("PL PESEL", "pesel", func(r *rand.Rand) string {
		s := date(r, "yymmdd") + str(r, digits, 4)
		return s + strconv.Itoa((10-weigh(s, 1, 3, 7, 9, 1, 3, 7, 9, 1, 3)%10)%10)
	})
	add("CZ", "rodneCislo", func(r *rand.Rand) string {
		for {
			s := date(r, "yymmdd") + str(r, digits, 3)
			n, _ := strconv.Atoi(s)
			if c := flip(n * 10); c < 10 {
				return s[:6] + "/" + s[6:] + strconv.Itoa(c)
			}
		}
	})
	add("RO CNP", "cnp", func(r *rand.Rand) string {
		s := str(r, "12345678", 1) + date(r, "yymmdd") + fmt.Sprintf("%02d", 1+r.IntN(46)) + str(r, digits, 3)
		c := weigh(s, 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9) % 11
		if c == 10 {
			c = 1
		}
		return s + strconv.Itoa(c)
	})
	add("EE", "isikukood", func(r *rand.Rand) string {
		s := str(r, "3456", 1) + date(r, "yymmdd") + str(r, digits, 3)
		c := weigh(s, 1, 2, 3, 4, 5, 6, 7, 8, 9, 1) % 11
		if c == 10 {
			c = weigh(s, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3) % 11 % 10
		}
		return s + strconv.Itoa(c)
	})
	add("CH AHV", "ahv", func(r *rand.Rand) string {
		s := "756" + str(r, digits, 9)
		return grouped(s+strconv.Itoa((10-weigh(s, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3)%10)%10), []string{"."}, 3, 4, 4, 2)
	})
	add("TR", "tckn", func(r *rand.Rand) string {
		s := str(r, "123456789", 1) + str(r, digits, 8)
		s += strconv.Itoa(((weigh(s, 7, 0, 7, 0, 7, 0, 7, 0, 7)-weigh(s, 0, 1, 0, 1, 0, 1, 0, 1))%10 + 10) % 10)
		return s + strconv.Itoa(weigh(s, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1)%10)
	})
	add("BR CPF", "cpf", func(r *rand.Rand) string {
		s := str(r, digits, 9)
		s += strconv.Itoa(weigh(s, 10, 9, 8, 7, 6, 5, 4, 3, 2) * 10 % 11 % 10)
		s += strconv.Itoa(weigh(s, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2) * 10 % 11 % 10)
		return pick(r, s, grouped(s, []string{".", ".", "-"}, 3, 3, 3, 2))
	})
	add("CN", "id_card", func(r *rand.Rand) string {
		s := pick(r, "110105", "310104", "440305") + pick(r, "19", "20") + date(r, "yymmdd") + str(r, digits, 3)
		return s + string("10X98765432"[weigh(s, 7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)%11])
	})
	add("SG NRIC", "nric", func(r *rand.Rand) string {
		k, n := r.IntN(2), str(r, digits, 7)
		return string("ST"[k]) + n + string("JZIHGFEDCBA"[(weigh(n, 2, 7, 6, 5, 4, 3, 2)+4*k)%11])
	})
	add("ZA", "id_number", func(r *rand.Rand) string {
		s := date(r, "yymmdd") + str(r, digits, 4) + str(r, "01", 1) + "8"
		return s + luhn(s)
	})
	return all
}()

// weigh returns the sum of digits times weights.
func weigh(s string, weights ...int) int {
	sum := 0
	for i, w := range weights {
		sum += int(s[i]-'0') * w
	}
	return sum
}

// flip returns what is missing to a multiple of 11.
func flip(n int) int { return (11 - n%11) % 11 }

// checked returns n digits and the check digit of them; those that have none are not issued.
func checked(r *rand.Rand, n int, check func(string) int) string {
	for {
		s := str(r, "123456789", 1) + str(r, digits, n-1)
		if c := check(s); c >= 0 && c < 10 {
			return s + strconv.Itoa(c)
		}
	}
}

func date(r *rand.Rand, form string) string {
	y, m, d := 40+r.IntN(60), 1+r.IntN(12), 1+r.IntN(28)
	if form == "ddmmyy" {
		return fmt.Sprintf("%02d%02d%02d", d, m, y)
	}
	return fmt.Sprintf("%02d%02d%02d", y, m, d)
}

// germany: one of the first ten digits twice, one missing; ISO 7064 MOD 11,10.
func germany(r *rand.Rand) string {
	for {
		p := r.Perm(10)
		p[9] = p[r.IntN(9)]
		r.Shuffle(10, func(i, j int) { p[i], p[j] = p[j], p[i] })
		if p[0] == 0 {
			continue
		}
		var s []byte
		product := 10
		for _, d := range p {
			s = strconv.AppendInt(s, int64(d), 10)
			sum := (d + product) % 10
			if sum == 0 {
				sum = 10
			}
			product = 2 * sum % 11
		}
		return string(strconv.AppendInt(s, int64((11-product)%10), 10))
	}
}

func italy(r *rand.Rand) string {
	s := str(r, "BCDFGLMNPRSTV", 6) + fmt.Sprintf("%02d%c%02d", r.IntN(100), "ABCDEHLMPRST"[r.IntN(12)], 1+r.IntN(31)) + pick(r, "H501", "F205", "L219", "D612")
	odd := map[byte]int{
		'0': 1, '1': 0, '2': 5, '3': 7, '4': 9, '5': 13, '6': 15, '7': 17, '8': 19, '9': 21, 'A': 1, 'B': 0, 'C': 5, 'D': 7, 'E': 9, 'F': 13, 'G': 15, 'H': 17, 'I': 19, 'J': 21,
		'K': 2, 'L': 4, 'M': 18, 'N': 20, 'O': 11, 'P': 3, 'Q': 6, 'R': 8, 'S': 12, 'T': 14, 'U': 16, 'V': 10, 'W': 22, 'X': 25, 'Y': 24, 'Z': 23,
	}
	sum := 0
	for i := range len(s) {
		switch {
		case i%2 == 0:
			sum += odd[s[i]]
		case s[i] >= 'A':
			sum += int(s[i] - 'A')
		default:
			sum += int(s[i] - '0')
		}
	}
	return s + string(rune('A'+sum%26))
}
