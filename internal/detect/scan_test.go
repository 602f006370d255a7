// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// found is what Scan says of s, as `kind:value` in order.
func found(field Kind, s string) []string {
	var all []string
	ScanString(field, s, func(k Kind, start, end int) bool {
		all = append(all, k.String()+":"+s[start:end])
		return true
	})
	return all
}

func TestScan(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "",
		"nothing to see, really": "",
		`{"card":"4111111111111111","mail":"alice@example.com"}`:      "card:4111111111111111 email:alice@example.com",
		"q=1&email=a.b%2Bc%40mail.example.org&x=2":                    "email:a.b%2Bc%40mail.example.org",
		"Authorization: Bearer " + jwt:                                "jwt:" + jwt,
		"to DE89370400440532013000.":                                  "iban:DE89370400440532013000",
		"id 123e4567-e89b-12d3-a456-426614174000 ok":                  "",
		"AKIAIOSFODNN7EXAMPLE":                                        "api_key:AKIAIOSFODNN7EXAMPLE",
		"password=hunter2&next=/":                                     "secret:hunter2",
		"{\"client_secret\": \"s3cr3t!\", \"token_type\":\"bearer\"}": "secret:s3cr3t!",
	} {
		require.Equal(t, want, strings.Join(found(None, in), " "), "%q", in)
	}
}

func TestScanStops(t *testing.T) {
	t.Parallel()
	n := 0
	Scan([]byte("a@example.com b@example.com"), func(Kind, int, int) bool { n++; return false })
	require.Equal(t, 1, n)
}

func TestScanAllocatesNothing(t *testing.T) {
	body := []byte(strings.Repeat(`{"password":"hunter22","email":"alice@example.com","card":"4111 1111 1111 1111","jwt":"`+jwt+`"} `, 20))
	n := 0
	require.Zero(t, testing.AllocsPerRun(10, func() {
		Scan(body, func(Kind, int, int) bool { n++; return true })
	}))
	require.NotZero(t, n)
}
