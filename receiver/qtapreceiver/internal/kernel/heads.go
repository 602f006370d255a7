// SPDX-License-Identifier: Apache-2.0

package kernel

import "strings"

// The automaton by which the packet programs read the length of a response's content (bpf/length.h).
const (
	headNone = 62 // no length, or one that does not count
	headEnd  = 63 // the empty line after the head

	headValue = 1 << 6 // the byte begins what a Content-Length field says
	headDigit = 1 << 7 // the byte is a digit of it
)

// headStates returns the automaton: for each state and byte the next state and what the byte is. It begins in state 0,
// at the status line. Letters of names match in either case.
//
// Whatever makes a stated length not the one that counts (RFC 9112 section 6.3), or the content one that is read whole,
// ends in headNone: Transfer-Encoding, a Content-Length that is no plain number, an event stream. Where
// Content-Length comes twice, its value is begun twice.
func headStates() (table [64 * 256]uint8) {
	const field = "\r\n"
	words := map[string]uint8{
		field + "content-length:":    0,
		field + "transfer-encoding:": headNone,
		"text/event-stream":          headNone,
		field + field:                headEnd,
	}
	// A state is a prefix of a word; the words themselves are the ends.
	prefixes := []string{""}
	states := map[string]uint8{"": 0}
	for _, word := range []string{field + "content-length:", field + "transfer-encoding:", "text/event-stream", field + field} {
		for n := 1; n < len(word); n++ {
			if p := word[:n]; states[p] == 0 {
				states[p] = uint8(len(prefixes))
				prefixes = append(prefixes, p)
			}
		}
	}
	blank := uint8(len(prefixes))      // between the colon and the number
	number, ending := blank+1, blank+2 // and after its line's CR
	words[field+"content-length:"] = blank

	// after returns the state of what was read, of which only its longest end that begins a word counts.
	after := func(read string) uint8 {
		for ; ; read = read[1:] {
			if end, ok := words[read]; ok {
				return end
			}
			if s, ok := states[read]; ok {
				return s
			}
		}
	}
	for s, prefix := range prefixes {
		for c := range 256 {
			table[s<<8|c] = after(prefix + strings.ToLower(string([]byte{byte(c)})))
		}
	}
	for c := range 256 {
		table[int(blank)<<8|c], table[int(number)<<8|c], table[int(ending)<<8|c] = headNone, headNone, headNone
	}
	for c := '0'; c <= '9'; c++ {
		table[int(blank)<<8|int(c)] = number | headDigit | headValue
		table[int(number)<<8|int(c)] = number | headDigit
	}
	table[int(blank)<<8|' '], table[int(blank)<<8|'\t'] = blank, blank
	table[int(number)<<8|'\r'], table[int(ending)<<8|'\n'] = ending, states[field]
	return table
}
