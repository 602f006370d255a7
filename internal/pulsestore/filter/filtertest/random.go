// SPDX-License-Identifier: Apache-2.0

// Package filtertest makes filters that nobody would write, for tests and measurements of what they may do to a store.
package filtertest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore/filter"
)

// hostile are values that break what is not careful.
var hostile = []string{
	"*", "**a*b*c*d*e**", "*%*_*", `"' OR 1=1 --"`, `"\\\"; DROP TABLE requests"`, `"{filter0:String}"`, "\"\x00\"", `"ü😀"`, `""`, "5xx", "0..18446744073709551615",
	"18446744073709551615", "99999999999999999999", "1e9", "-1", "0.0.0.0/0", "::/0", "10.0.0.0/33", "2562047h", "1000000tb", "true", "ffffffffffffffff",
	strings.Repeat("a", 300), strings.Repeat("*x", 100), `"` + strings.Repeat("%", 500) + `"`,
}

// Random returns a filter over fields: most are right, some are wrong, many are costly.
func Random(r *rand.Rand, fields *filter.Fields) string {
	all := fields.All()
	var expr func(depth int) string
	value := func(f filter.Field) string {
		if r.IntN(6) == 0 {
			return hostile[r.IntN(len(hostile))]
		}
		switch f.Kind {
		case filter.Number:
			return strconv.Itoa(r.IntN(1000))
		case filter.Bytes:
			return fmt.Sprint(r.IntN(1000), []string{"", "kb", "mib"}[r.IntN(3)])
		case filter.Duration:
			return fmt.Sprint(r.IntN(1000), []string{"us", "ms", "s"}[r.IntN(3)])
		case filter.IP:
			return fmt.Sprintf("10.%d.0.0/%d", r.IntN(256), r.IntN(33))
		case filter.Bool:
			return "true"
		case filter.ID8, filter.Fixed8:
			return fmt.Sprintf("%016x", r.Uint64())
		case filter.Fixed16:
			return fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
		}
		return []string{"GET", "*a*", "/v1/*/x*", "api-*.example.com", "curl", "*.example.com"}[r.IntN(6)]
	}
	expr = func(depth int) string {
		if depth > 0 && r.IntN(2) == 0 {
			parts := make([]string, 2+r.IntN(4))
			for i := range parts {
				parts[i] = expr(depth - 1)
			}
			return "(" + strings.Join(parts, []string{" ", " OR "}[r.IntN(2)]) + ")"
		}
		if r.IntN(8) == 0 {
			return hostile[r.IntN(len(hostile))]
		}
		f := all[r.IntN(len(all))]
		op := ":"
		if f.Kind == filter.Number || f.Kind == filter.Bytes || f.Kind == filter.Duration {
			op = []string{":", ":>", ":<=", ":!=", ">="}[r.IntN(5)]
		}
		return []string{"", "", "-"}[r.IntN(3)] + f.Name + op + value(f)
	}
	return expr(4)
}
