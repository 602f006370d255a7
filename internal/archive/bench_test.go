// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// BenchmarkPack packs segments of 100 exchanges; MB/s is of uncompressed HAR.
func BenchmarkPack(b *testing.B) {
	rng := rand.NewChaCha8([32]byte{1})
	noise := make([]byte, 16<<10)
	_, _ = rng.Read(noise)
	for name, body := range map[string][]byte{
		"none":      nil,
		"json_1k":   []byte(strings.Repeat(`{"id":12345,"name":"some name","ok":true},`, 25)),
		"json_16k":  []byte(strings.Repeat(`{"id":12345,"name":"some name","ok":true},`, 400)),
		"noise_16k": noise,
	} {
		b.Run(name, func(b *testing.B) {
			xs := make([]Exchange, 100)
			for i := range xs {
				xs[i] = sample()
				xs[i].SpanID = fmt.Sprintf("%016x", i+1)
				xs[i].Response.Headers = xs[i].Response.Headers[1:] // not compressed
				xs[i].Response.Body, xs[i].Response.BodySize = body, uint64(len(body))
			}
			p := NewPacker()
			b.ReportAllocs()
			var size int
			for b.Loop() {
				a, err := p.Pack(slices.Values(xs))
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(a.Uncompressed)
				size = len(a.Bytes)
			}
			b.ReportMetric(float64(size)/float64(len(xs)), "zip-B/exchange")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(xs)), "ns/exchange")
		})
	}
}
