// SPDX-License-Identifier: Apache-2.0

package corpus

import "github.com/qpoint-io/otelcol-qpoint/internal/detect"

// Result is what the detectors said of a corpus.
type Result struct {
	Samples int               `json:"samples"`
	Values  int               `json:"values"`
	Kinds   map[string]*Count `json:"kinds"`
	Forms   map[string]*Count `json:"forms"`     // of values, "kind: form"
	Wrong   map[string]*Count `json:"negatives"` // of hard negatives, by form: False of Samples
}

// Count counts the samples of one kind or form.
type Count struct {
	Samples    int `json:"samples"`
	Found      int `json:"found"` // as this kind, over the whole value
	Alone      int `json:"alone"` // samples that no name announces
	FoundAlone int `json:"found_alone"`
	Any        int `json:"found_as_any"` // touched by any report at all: what `anonymize` would not let pass
	False      int `json:"false"`        // reports of this kind that touch no value of it
}

// Recall is the share of all values that were found whole.
func (c *Count) Recall() float64 { return ratio(c.Found, c.Samples) }

// RecallAlone is the share of those that no name announces.
func (c *Count) RecallAlone() float64 { return ratio(c.FoundAlone, c.Alone) }

// RecallAnnounced is the share of those that the name of their field announces.
func (c *Count) RecallAnnounced() float64 { return ratio(c.Found-c.FoundAlone, c.Samples-c.Alone) }

// Precision is the share of right reports among all of the kind in this corpus, in which a third of the texts are hard
// negatives.
func (c *Count) Precision() float64 { return ratio(c.Found, c.Found+c.False) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 1
	}
	return float64(a) / float64(b)
}

// Measure scans every sample.
func Measure(samples []Sample) *Result {
	r := &Result{Samples: len(samples), Kinds: map[string]*Count{}, Forms: map[string]*Count{}, Wrong: map[string]*Count{}}
	of := func(m map[string]*Count, name string) *Count {
		if m[name] == nil {
			m[name] = &Count{}
		}
		return m[name]
	}
	for _, s := range samples {
		var found, touched bool
		var wrong []string
		detect.Scan([]byte(s.Text), func(k detect.Kind, start, end int) bool {
			if k == detect.IP {
				return true
			}
			touches := start < s.End && end > s.Start && s.Kind != ""
			touched = touched || touches
			switch {
			case touches && k.String() == s.Kind && start <= s.Start && end >= s.End:
				found = true
			case touches && k.String() == s.Kind: // a part of it: not found, not false
			default:
				wrong = append(wrong, k.String())
			}
			return true
		})
		for _, k := range wrong {
			of(r.Kinds, k).False++
		}
		if s.Kind == "" {
			c := of(r.Wrong, s.Form)
			c.Samples++
			if len(wrong) > 0 {
				c.False++
			}
			continue
		}
		r.Values++
		for _, c := range []*Count{of(r.Kinds, s.Kind), of(r.Forms, s.Kind+": "+s.Form)} {
			c.Samples++
			if s.Alone {
				c.Alone++
			}
			if touched {
				c.Any++
			}
			if found {
				c.Found++
				if s.Alone {
					c.FoundAlone++
				}
			}
		}
	}
	return r
}
