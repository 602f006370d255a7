// SPDX-License-Identifier: Apache-2.0

// Command recall measures what internal/detect finds in a generated corpus, and what it finds where nothing is. See
// ../README.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/qpoint-io/otelcol-qpoint/tests/privacy/corpus"
)

func main() {
	n := flag.Int("samples", 120_000, "texts, two thirds of which hold a value")
	seed := flag.Uint64("seed", 20261124, "of the corpus")
	out := flag.String("out", "", "file for the figures, as JSON")
	flag.Parse()
	r := corpus.Measure(corpus.Make(*seed, *n))
	fmt.Printf("%d texts, %d values, seed %d\n\n", r.Samples, r.Values, *seed)
	fmt.Println("| kind | values | recall | announced by a name | alone | precision |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, k := range slices.Sorted(maps.Keys(r.Kinds)) {
		c := r.Kinds[k]
		fmt.Printf("| %s | %d | %.2f %% | %.2f %% | %.2f %% | %.2f %% |\n", k, c.Samples, 100*c.Recall(), 100*c.RecallAnnounced(), 100*c.RecallAlone(), 100*c.Precision())
	}
	fmt.Println("\nForms of which more than 1 % is missed:\n\n| form | announced by a name | alone |\n|---|---|---|")
	for _, k := range slices.Sorted(maps.Keys(r.Forms)) {
		if c := r.Forms[k]; c.Recall() < 0.99 {
			fmt.Printf("| %s | %.1f %% | %.1f %% |\n", k, 100*c.RecallAnnounced(), 100*c.RecallAlone())
		}
	}
	fmt.Println("\nHard negatives that are taken for something:\n\n| negative | texts | taken |\n|---|---|---|")
	for _, k := range slices.Sorted(maps.Keys(r.Wrong)) {
		if c := r.Wrong[k]; c.False > 0 {
			fmt.Printf("| %s | %d | %.2f %% |\n", k, c.Samples, 100*float64(c.False)/float64(c.Samples))
		}
	}
	if *out != "" {
		b, err := json.MarshalIndent(r, "", " ")
		if err == nil {
			err = os.WriteFile(*out, append(b, '\n'), 0o644)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
