// SPDX-License-Identifier: Apache-2.0

package inspect

import (
	"unsafe"

	"github.com/qpoint-io/otelcol-qpoint/internal/detect"
)

// maxWord bounds what is held against detectors as one word.
const maxWord = 8 << 10

// find calls yield for everything in text that a detector is certain of.
func find(text []byte, yield func(kind string, start, end int)) {
	for i := 0; i < len(text); {
		if !inWord[text[i]] {
			i++
			continue
		}
		j := i
		for j < len(text) && inWord[text[j]] {
			j++
		}
		if j-i >= 5 && j-i <= maxWord {
			word := unsafe.String(&text[i], j-i)
			kind := detect.None
			switch {
			case detect.IsJWT(word):
				kind = detect.JWT
			case detect.IsEmail(word):
				kind = detect.Email
			case detect.IsIBAN(word):
				kind = detect.IBAN
			case detect.IsCard(word):
				kind = detect.Card
			}
			if kind != detect.None {
				yield(kind.String(), i, j)
			}
		}
		i = j
	}
}

// inWord has the characters that the detected values are made of.
var inWord = func() (t [256]bool) {
	for c := range 128 {
		t[c] = c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
	}
	for _, c := range "-_.@+%" {
		t[c] = true
	}
	return t
}()

// Kinds are the names of what find tells.
func Kinds() []string { return []string{"card", "email", "iban", "jwt"} }
