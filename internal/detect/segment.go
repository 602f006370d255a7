// SPDX-License-Identifier: Apache-2.0

package detect

const (
	// maxSegment is the length above which a path segment is an identifier, whatever it says.
	maxSegment = 64
	// idDigits is the run of digits that makes any segment an identifier: years and the
	// numbers of standards (`rfc9110`) are shorter.
	idDigits = 5
	// maxWord is the longest unseparated run of letters and digits that is still a word.
	maxWord = 23
)

// Segment classifies one segment of a URL path, a query key or another short name. None
// means that it looks like a word of the vocabulary of an API: `checkout`, `v1`, `.well-known`.
func Segment(s string) Kind {
	if s == "" || s == "." || s == ".." {
		return None
	}
	if len(s) > maxSegment {
		switch {
		case IsEmail(s):
			return Email
		case IsJWT(s):
			return JWT
		case IsHex(s):
			return Hex
		}
		return Token
	}

	// One pass over the segment: the kinds of characters as a whole, and every run of
	// letters and digits between punctuation.
	var (
		seen    uint8
		foreign bool
		digits  int
		bad     Kind
		start   = -1
		pairs   int
		rare    int
		last    byte // the letter before, in lower case, or 0
	)
	for i := range len(s) {
		c := charClass[s[i]]
		if c&(upper|lower) != 0 {
			letter := s[i] | 0x20
			if last != 0 {
				pairs++
				if common[last-'a']&(1<<(letter-'a')) == 0 {
					rare++
				}
			}
			last = letter
		} else {
			last = 0
		}
		switch {
		case c&alnum != 0:
			if start < 0 {
				start = i
			}
			if c&digit != 0 {
				digits++
			}
		case c == 0:
			foreign = true
			fallthrough
		default:
			if start >= 0 {
				bad = max(bad, run(s[start:i]))
				start = -1
			}
		}
		seen |= c &^ vowel
	}
	switch {
	case foreign:
		if IsEmail(s) {
			return Email
		}
		return Token
	case IsUUID(s): // before Number: one may be all digits
		return UUID
	case isDate(s):
		return Date
	case digits > 0 && seen&^(digit|numeric|listing) == 0:
		return Number
	case seen&listing != 0:
		return Token
	case IsULID(s):
		return ULID
	case IsHex(s):
		return Hex
	case IsJWT(s):
		return JWT
	}
	if start >= 0 {
		bad = max(bad, run(s[start:]))
	}
	if bad != None {
		return bad
	}
	if rare >= 3 && rare*4 >= pairs {
		return Token
	}
	// base64url with its separators: all three character sets in one long segment.
	if len(s) >= 20 && digits >= 2 && seen&upper != 0 && seen&lower != 0 {
		return Token
	}
	return None
}

// isDate reports whether s is a date, a month or a time in the form of RFC 3339, as far as a path has it.
func isDate(s string) bool {
	if len(s) < 7 || s[4] != '-' {
		return false
	}
	for i := range min(len(s), 10) {
		if i == 4 || i == 7 {
			if s[i] != '-' {
				return false
			}
		} else if charClass[s[i]]&digit == 0 {
			return false
		}
	}
	if s[:2] != "19" && s[:2] != "20" || len(s) > 7 && len(s) < 10 {
		return false
	}
	d := 1
	if len(s) > 7 {
		d = int(s[8]-'0')*10 + int(s[9]-'0')
	}
	if !day(int(s[5]-'0')*10+int(s[6]-'0'), d) {
		return false
	}
	if len(s) > 10 && s[10]|0x20 != 't' && s[10] != '_' {
		return false
	}
	for i := 11; i < len(s); i++ {
		if c := s[i]; charClass[c]&(digit|numeric|listing) == 0 && c|0x20 != 'z' {
			return false
		}
	}
	return true
}

// run classifies a run of letters and digits: Number when it holds a long number, Hex, or
// Token when it looks random or is too long for a word.
func run(s string) Kind {
	if len(s) > maxWord && !IsHex(s) {
		return Token
	}
	var (
		digits, letters, vowels      int
		longest, current, consonants int // longest run of digits, current one, longest of small consonants
		switches, humps, hard        int // digit/letter changes, lower-to-upper changes, current run of small ones
		prev                         uint8
		small                        bool
	)
	for i := range len(s) {
		c := charClass[s[i]]
		if c&digit != 0 {
			digits++
			current++
			longest = max(longest, current)
			hard = 0
		} else {
			current = 0
			letters++
			small = small || c&lower != 0
			switch {
			case c&vowel != 0:
				vowels++
				hard = 0
			case c&lower != 0:
				hard++
				consonants = max(consonants, hard)
			default:
				hard = 0 // capitals spell acronyms: XMLHTTPRequest
			}
		}
		if prev != 0 && (prev&digit != 0) != (c&digit != 0) {
			switches++
		}
		if prev&lower != 0 && c&upper != 0 {
			humps++
		}
		prev = c
	}
	switch {
	case letters > 0 && IsHex(s):
		return Hex
	case longest >= idDigits:
		return Number
	case len(s) >= 8 && digits >= 2 && letters >= 2 && switches >= 3:
		return Token // a1b2c3d4e5: words change between letters and digits once or twice (base64url)
	case len(s) >= 12 && digits >= 3 && letters >= 3 && switches >= 2:
		return Token
	case len(s) >= 16 && digits > 0 && !small:
		return Token // capitals with digits and no separator: access key ids, base32
	case letters >= 8 && humps*7 > letters*2:
		return Token // camelCase has humps of words, not of single letters
	case len(s) >= 12 && (consonants >= 7 || vowels*6 < letters):
		return Token // no language writes a long word almost without vowels
	}
	return None
}

// common has a bit for each letter that often follows another in the words of programs and
// their documentation: pairs that make up at least 0.06 % of the pairs in the distinct words
// of the Go and Python standard libraries and Debian's documentation, and those of usual
// acronyms. Of 5,200 words of 8 to 23 letters in those texts 23 have a quarter of other
// pairs; of random strings about 90 % have.
var common = func() (t [26]uint32) {
	for i, next := range [26]string{
		"bcdfgiklmnprstuvxy",     // a
		"aceijlorsuy",            // b
		"acdefhiklmorstu",        // c
		"abcdefgilorsu",          // d
		"abcdefghilmnopqrstvwxy", // e
		"adefilorstuy",           // f
		"acehilnorsu",            // g
		"aeiort",                 // h
		"abcdefglmnoprstvxz",     // i
		"aeosu",                  // j
		"aeins",                  // k
		"acdefilostuy",           // l
		"abdeilmopsu",            // m
		"acdefgiklnopstuv",       // n
		"abcdfgiklmnoprstuvw",    // o
		"aceghiloprstuy",         // p
		"lu",                     // q
		"acdefgiklmnoprstuvwy",   // r
		"acefhiklmnopqrstuy",     // s
		"acdefhilmnoprstuwy",     // t
		"abcefgilmnprst",         // u
		"aei",                    // v
		"aehilnors",              // w
		"epty",                   // x
		"lmnpst",                 // y
		"e",                      // z
	} {
		for j := range len(next) {
			t[i] |= 1 << (next[j] - 'a')
		}
	}
	return t
}()
