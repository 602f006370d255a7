// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"
)

// negatives are values that look like sensitive ones and are none.
var negatives = []generator{
	{form: "uuid", make: func(r *rand.Rand) string { return grouped(str(r, hexa, 32), []string{"-"}, 8, 4, 4, 4, 12) }},
	{form: "digest", make: func(r *rand.Rand) string { return str(r, hexa, []int{32, 40, 64}[r.IntN(3)]) }},
	{form: "milliseconds", make: func(r *rand.Rand) string { return strconv.FormatInt(1_600_000_000_000+r.Int64N(300_000_000_000), 10) }},
	{form: "seconds", make: func(r *rand.Rand) string { return strconv.FormatInt(1_600_000_000+r.Int64N(300_000_000), 10) }},
	{form: "RFC 3339", make: func(r *rand.Rand) string {
		return time.Unix(1_600_000_000+r.Int64N(300_000_000), 0).UTC().Format(time.RFC3339)
	}},
	{form: "card with a wrong check digit", make: func(r *rand.Rand) string {
		s := "4" + str(r, digits, 14)
		return s + string('0'+(luhn(s)[0]-'0'+1+byte(r.IntN(9)))%10)
	}},
	{form: "number of 16 digits", make: func(r *rand.Rand) string { return str(r, "123456789", 1) + str(r, digits, 15) }},
	{form: "order number", make: func(r *rand.Rand) string { return pick(r, "ORD-", "INV-", "PO", "#") + str(r, digits, 6+r.IntN(5)) }},
	{form: "number of 9 digits", make: func(r *rand.Rand) string { return str(r, "123456789", 1) + str(r, digits, 8) }},
	{form: "number of 11 digits", make: func(r *rand.Rand) string { return str(r, "123456789", 1) + str(r, digits, 10) }},
	{form: "number of 13 digits", make: func(r *rand.Rand) string { return str(r, "123456789", 1) + str(r, digits, 12) }},
	{form: "IBAN with wrong check digits", make: func(r *rand.Rand) string {
		s := strings.ReplaceAll(iban(r), " ", "")
		return s[:2] + fmt.Sprintf("%02d", (int(s[2]-'0')*10+int(s[3]-'0')+1+r.IntN(90))%97) + s[4:]
	}},
	{form: "serial number", make: func(r *rand.Rand) string { return grouped(str(r, digits, 12), []string{"-"}, 4, 4, 4) }},
	{form: "thousands", make: func(r *rand.Rand) string {
		return grouped(str(r, "123456789", 9), []string{pick(r, " ", ",")}, 3, 3, 3)
	}},
	{form: "version", make: func(r *rand.Rand) string { return fmt.Sprintf("%d.%d.%d", r.IntN(30), r.IntN(30), r.IntN(300)) }},
	{form: "price", make: func(r *rand.Rand) string { return fmt.Sprintf("%d.%02d", r.IntN(100000), r.IntN(100)) }},
	{form: "coordinates", make: func(r *rand.Rand) string { return fmt.Sprintf("%.14f,%.14f", r.Float64()*180-90, r.Float64()*360-180) }},
	{form: "fraction", make: func(r *rand.Rand) string { return "0." + str(r, digits, 16) }},
	{form: "identifier", make: func(r *rand.Rand) string {
		return pick(r, "getCustomerOrderHistoryById", "org.springframework.web.servlet.DispatcherServlet", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "content-security-policy-report-only", "__webpack_require__", "kubernetes-dashboard-metrics-scraper",
			"application/vnd.openxmlformats-officedocument", "xmlSchemaValidationResultListener2", "MAX_CONCURRENT_STREAMS_PER_CONNECTION")
	}},
	{form: "pod", make: func(r *rand.Rand) string {
		return words[r.IntN(len(words))] + "-" + str(r, "bcdfghjklmnpqrstvwxz2456789", 10) + "-" + str(r, "bcdfghjklmnpqrstvwxz2456789", 5)
	}},
	{form: "path", make: func(r *rand.Rand) string {
		return "/" + words[r.IntN(len(words))] + "/" + words[r.IntN(len(words))] + "/v" + str(r, digits, 1) + "/" + words[r.IntN(len(words))] + ".min.js"
	}},
	{form: "product code", make: func(r *rand.Rand) string { return str(r, upper, 3) + "-" + str(r, digits, 4) + "-" + str(r, upper, 2) }},
	{form: "letter, 7 digits, letter", make: func(r *rand.Rand) string {
		return str(r, "ABCDEHJKLMNPQRUVW", 1) + str(r, digits, 7) + str(r, upper, 1)
	}},
	{form: "handle", make: func(r *rand.Rand) string { return "@" + str(r, lower, 8) }},
	{form: "words with @", make: func(r *rand.Rand) string { return words[r.IntN(len(words))] + "@" + str(r, digits, 2) + "x" }},
	{form: "GitHub token with a wrong checksum", make: func(r *rand.Rand) string { return "ghp_" + strings.Repeat("example", 5) + "X" }},
	{form: "placeholder", make: func(r *rand.Rand) string {
		return pick(r, "sk_live_", "xoxb-your-token", "AKIA", "<token>", "Bearer", "eyJ", "-----BEGIN CERTIFICATE-----")
	}},
	{form: "user agent", make: func(r *rand.Rand) string {
		return fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/%d.0.%d.%d Safari/537.36", 100+r.IntN(40), r.IntN(7000), r.IntN(200))
	}},
	{form: "prose", make: func(r *rand.Rand) string {
		parts := make([]string, 12)
		for i := range parts {
			parts[i] = words[r.IntN(len(words))]
		}
		return strings.Join(parts, " ")
	}},
}
