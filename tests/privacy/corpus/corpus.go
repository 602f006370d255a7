// SPDX-License-Identifier: Apache-2.0

// Package corpus makes texts with sensitive values in them, and texts that only look so, with the same result for the
// same seed. Its checksums are written for themselves: it shares no code with internal/detect.
package corpus

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Sample is one text.
type Sample struct {
	// Kind is the kind of the value as internal/detect names it; "" for a text without one.
	Kind string
	// Form is what was made: a country and number, an issuer, a kind of hard negative.
	Form string
	// Text holds the value at Text[Start:End].
	Text       string
	Start, End int
	// Alone says that the text does not announce what it holds.
	Alone bool
}

// Value returns the value.
func (s Sample) Value() string { return s.Text[s.Start:s.End] }

// generator makes one form of value.
type generator struct {
	kind, form string
	make       func(r *rand.Rand) string
	field      string // a name of a field that announces it
}

// Make returns n texts, two thirds of which have a value, in random order.
func Make(seed uint64, n int) []Sample {
	r := rand.New(rand.NewPCG(seed, 0x70726976616379))
	samples := make([]Sample, 0, n)
	byKind := map[string][]generator{}
	var kinds []string
	for _, g := range generators {
		if byKind[g.kind] == nil {
			kinds = append(kinds, g.kind)
		}
		byKind[g.kind] = append(byKind[g.kind], g)
	}
	for i := range n {
		if i%3 == 2 {
			g := negatives[r.IntN(len(negatives))]
			samples = append(samples, place(r, g, true))
			continue
		}
		of := byKind[kinds[r.IntN(len(kinds))]]
		samples = append(samples, place(r, of[r.IntN(len(of))], r.IntN(2) == 0))
	}
	r.Shuffle(len(samples), func(i, j int) { samples[i], samples[j] = samples[j], samples[i] })
	return samples
}

// place puts a value of g into a text, of which the value is the only sensitive part.
func place(r *rand.Rand, g generator, alone bool) Sample {
	name := g.field
	if alone {
		name = neutral[r.IntN(len(neutral))]
	}
	word := func() string { return words[r.IntN(len(words))] }
	var before, after string
	switch r.IntN(6) {
	case 0:
		before, after = fmt.Sprintf(`{"%s":"%s","%s":"`, word(), word(), name), fmt.Sprintf(`","%s":%d}`, word(), r.IntN(100))
	case 1:
		before, after = fmt.Sprintf(`{"%s": {"%s": "`, word(), name), `"}}`
	case 2:
		before, after = fmt.Sprintf("%s=%s&%s=", word(), word(), name), fmt.Sprintf("&%s=%d", word(), r.IntN(100))
	case 3:
		before, after = fmt.Sprintf("X-%s: ", name), "\r\n"
	case 4:
		before, after = fmt.Sprintf("%s %s %s ", word(), word(), name), fmt.Sprintf(" %s %s.", word(), word())
	default:
		before, after = fmt.Sprintf("<%s>", name), fmt.Sprintf("</%s>", name)
	}
	value := g.make(r)
	return Sample{Kind: g.kind, Form: g.form, Text: before + value + after, Start: len(before), End: len(before) + len(value), Alone: alone}
}

// neutral are names of fields that announce nothing.
var neutral = []string{"value", "data", "note", "comment", "ref", "text", "item", "q", "input", "content", "field", "extra"}

var words = strings.Fields("alpha order invoice status created the customer shipped from warehouse page total retry queue message worker region zone north latency window " +
	"cache result checkout basket product title summary report label color size weight delivery express standard pending active closed open member group team project release")

const (
	digits  = "0123456789"
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lower   = "abcdefghijklmnopqrstuvwxyz"
	base62  = digits + upper + lower
	base64u = base62 + "-_"
	hexa    = digits + "abcdef"
)

// str returns n characters of an alphabet.
func str(r *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(b)
}

func pick(r *rand.Rand, list ...string) string { return list[r.IntN(len(list))] }

// grouped writes s in groups of the given lengths with seps between them, the last one repeated.
func grouped(s string, seps []string, lengths ...int) string {
	var b strings.Builder
	for i, n := range lengths {
		if i > 0 {
			b.WriteString(seps[min(i-1, len(seps)-1)])
		}
		b.WriteString(s[:n])
		s = s[n:]
	}
	return b.String()
}
