// SPDX-License-Identifier: Apache-2.0

package detect

import "strings"

// ibanLength holds the length of each country's IBAN, by the letters of its code; 0 where there is none. Source: the
// IBAN registry (SWIFT, ISO 13616).
var ibanLength = func() (t [26][26]uint8) {
	const registry = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 " +
		"GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 " +
		"OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30"
	for e := range strings.FieldsSeq(registry) {
		t[e[0]-'A'][e[1]-'A'] = (e[2]-'0')*10 + e[3] - '0'
	}
	return t
}()

// groupedIBAN judges s[start:] as an IBAN in groups of four: its first run is `DE89`.
func (c *scanner) groupedIBAN(start int) {
	s := c.s
	var b [34]byte
	want := 0
	if a, z := s[start]&^0x20, s[start+1]&^0x20; a >= 'A' && a <= 'Z' && z >= 'A' && z <= 'Z' {
		want = int(ibanLength[a-'A'][z-'A'])
	}
	if want == 0 || charClass[s[start+2]]&digit == 0 || charClass[s[start+3]]&digit == 0 {
		return
	}
	n, i := 0, start
	for i < len(s) && n < want {
		if n > 0 && n%4 == 0 {
			if _, width := separator(s, i); width > 0 {
				i += width
			}
		}
		if i >= len(s) || charClass[s[i]]&alnum == 0 {
			return
		}
		b[n] = s[i]
		n++
		i++
	}
	if n == want && (i == len(s) || charClass[s[i]]&alnum == 0) && isIBAN(b[:n]) {
		c.report(IBAN, start, i)
	}
}
