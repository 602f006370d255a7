// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"slices"
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
		"<password>hunter2</password><a href=x>token</a>":             "secret:hunter2",
		"api key " + strings.Repeat("0a", 20):                         "secret:" + strings.Repeat("0a", 20),
		`"access_token": "-_LqLuTKIqQ3SCje_D2_0IcoluKdKJDFcwb"`:       "secret:-_LqLuTKIqQ3SCje_D2_0IcoluKdKJDFcwb",
		`"dni":"30700115-Z","phone":"04491179510"`:                    "national_id:30700115-Z phone:04491179510",
		"put the <token> here":                                        "",
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

// hostile are inputs that make backtracking or repeated looks backward quadratic.
var hostile = []string{
	"a", "1", "a1", "A1b", "eyJ.", "eyJ", "eyJ-", "eyJ_", "eyJaaaaaaaaaa.eyJ-", "eyJaaaaaaaaaa.-", "a@", "@", "%40", "1-", "1 ", "x.", "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "-----END ", "+1", "+", "(", "(555) ", "ghp_", "sk-", "AKIA", "key=", "password=", ":", "=",
	"\"password\":\"", "a:", "f:", "a/", "aB3/", "4111 1111 1111 111", "123456782 ", "DE89 ", "QQ 12 34 56 ", "a.b@c.d.", "1.2.3.4.", "ssn ssn ", "\\", "\xff", "\xc2\xa0", "4\xc2\xa0",
}

func FuzzScan(f *testing.F) {
	for _, list := range segments {
		for _, s := range list {
			f.Add(s, uint8(0))
		}
	}
	for _, list := range nationalIDs {
		for _, s := range list {
			f.Add("ssn="+s, uint8(NationalID))
		}
	}
	for _, s := range hostile {
		f.Add(strings.Repeat(s, 10), uint8(Phone))
	}
	f.Fuzz(func(t *testing.T, s string, field uint8) {
		last, values := 0, 0
		Scan([]byte(s), func(k Kind, start, end int) bool {
			if start < last || end <= start || end > len(s) || k == None || !slices.Contains(Sensitive, k) {
				t.Fatalf("%s at %d to %d of %d, after %d", k, start, end, len(s), last)
			}
			last = end
			values++
			return true
		})
		if (Find(s) != None) != (values > 0) {
			t.Fatalf("Find says %s of %d values", Find(s), values)
		}
		Field(s)
		ScanString(Kind(field%uint8(kinds)), s, func(Kind, int, int) bool { return true })
	})
}

func BenchmarkScan(b *testing.B) {
	for name, body := range map[string]string{
		"text":    strings.Repeat("The quick brown fox jumps over the lazy dog, and 42 others; see section 3.1 for more.\n", 1000),
		"json":    strings.Repeat(`{"id":"123e4567-e89b-12d3-a456-426614174000","name":"Alice Example","age":42,"tags":["a","b"],"price":12.5,"created":"2024-01-31T12:30:00Z","ok":true},`, 500),
		"form":    strings.Repeat("first_name=Alice&last_name=Example&page=2&sort=asc&email=alice%40example.com&", 1000),
		"base64":  strings.Repeat("SGVsbG8gV29ybGQhIFRoaXMgaXMgYSBsb25nIGJhc2U2NCBzdHJpbmc", 1000),
		"numbers": strings.Repeat("1706700000123,52.5200,13.4050,4711,0.25;", 1500),
	} {
		b.Run(name, func(b *testing.B) {
			in := []byte(body)
			b.SetBytes(int64(len(in)))
			b.ReportAllocs()
			for b.Loop() {
				Scan(in, func(Kind, int, int) bool { return true })
			}
		})
	}
}
