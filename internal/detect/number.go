// SPDX-License-Identifier: Apache-2.0

package detect

func (c *scanner) number(start, end int) {
	if end-start >= 13 && end-start <= 19 && IsCard(c.s[start:end]) {
		c.report(Card, start, end)
	}
}
func (c *scanner) mixed(start, end int) {
	if end-start >= 15 && end-start <= 34 && IsIBAN(c.s[start:end]) {
		c.report(IBAN, start, end)
	}
}
func (c *scanner) phone(i int) {}
