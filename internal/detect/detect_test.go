// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"

var segments = map[Kind][]string{
	// Hard negatives: words, versions, file names and standards that stay readable.
	None: {
		"", ".", "..", "-", "_", "api", "v1", "v2beta1", "checkout", "well-known", ".well-known", "index.html",
		"users", "facade", "deadbeef", "defaced", "oauth2", "openid-configuration", "base64url", "sha256", "sha256sum",
		"rfc9110", "iso8601", "ipv6", "x86_64", "i18n", "k8s", "log4j", "utf-8", "robots.txt", "favicon.ico",
		"main.js", "jquery.min.js", "apple-touch-icon.png", "getUserById", "XMLHttpRequest", "XMLHTTPRequest", "grpc.health.v1.Health",
		"helloworld.Greeter", "SayHello", "internationalization", "electroencephalogram", "strengths", "catchphrase",
		"my-blog-post-about-otel", "instances:batchDelete", "~alice", "$metadata", "_search", "en-US", "ES256", "product_list",
		"getProductRecommendations"[:23], "AcmeCorp-API", "OpenTelemetryCollector", "p12", "mp3", "h264", "web3js",
	},
	Number: {
		"0", "7", "42", "2024", "12345678901234567890", "-12.5", "2024-13-31", "2024-02-30", "+1-555-123-4567", "555-12-3456",
		"10.0.0.1", "52.52,13.40", "1.2.3", "order-12345", "user123456", "photo_20240131.jpg", "4111111111111111",
	},
	Date: {"2024-01-31", "2024-01-31_12:30", "2024-01", "2024-01-31T12:30:00Z", "2024-01-31T12:30:00.123+01:00"},
	UUID: {"123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000", "00000000-0000-0000-0000-000000000000"},
	ULID: {"01ARZ3NDEKTSV4RRFFQ69G5FAV", "01arz3ndektsv4rrffq69g5fav"},
	Hex: {
		"deadbee1", "0xdeadbee1", "d41d8cd98f00b204e9800998ecf8427e", "DA39A3EE5E6B4B0D3255BFEF95601890AFD80709",
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "app.3f2a9c1b.js", "rev-3f2a9c1b",
	},
	Email: {"alice@example.com", "alice%40example.com", "a.b+c@mail.example.co.uk", "%61lice@example.com"},
	JWT:   {jwt, "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn"},
	Token: {
		"a1b2c3d4e5z", "dQw4w9WgXcQ", "dGhpcy1pcy1h-bm90aGVy_dGVzdDEyMw", "sk_test_4eC39HqLyjWDarjtT1zdp7dc", "AKIAIOSFODNN7EXAMPLE",
		"ghp_16C7e42F292c6912E7710c838347Ae178B4a", "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqygy", "JBSWY3DPEHPK3PXP",
		"AbCdEfGhIjKlMnOp", "kqzxvbnmwrtplkjh", "abcdefghijklmnopqrstuvwxyz", "caf%C3%A9", "caf\xc3\xa9", "with space", "a=b", "tab\tbed",
		"nul\x00", "\xff\xfe", "user@host", "@alice", "Smith,John", "{secret}", "<script>", "quote'", "back\\slash",
		strings.Repeat("word-", 13), "John+Smith", "a;b", "A1b2C3d4",
	},
}

func TestSegment(t *testing.T) {
	t.Parallel()
	for want, list := range segments {
		for _, s := range list {
			got := Segment(s)
			if want == Token {
				require.NotEqual(t, None, got, "%q", s) // which kind it is named does not matter
				continue
			}
			if want == None || want == Number || want == Date || want == UUID || want == ULID || want == Email {
				require.Equal(t, want, got, "%q", s)
				continue
			}
			require.NotEqual(t, None, got, "%q", s)
		}
	}
	require.Equal(t, JWT, Segment("eyJhbGciOiJub25lIn0.e30."))
	require.Equal(t, JWT, Segment(jwt))
	require.Equal(t, Hex, Segment("d41d8cd98f00b204e9800998ecf8427e"))
}

// TestRandomSecrets plants secrets of the usual generators; a few of the short ones look
// like words, which the bound says.
func TestRandomSecrets(t *testing.T) {
	t.Parallel()
	encodings := map[string]struct {
		encode func([]byte) string
		bytes  int
		missed int // of 1000, at most
	}{
		"hex, 8 bytes":        {hex.EncodeToString, 8, 2},
		"hex, 32 bytes":       {hex.EncodeToString, 32, 0},
		"base64url, 12 bytes": {base64.RawURLEncoding.EncodeToString, 12, 40},
		"base64url, 16 bytes": {base64.RawURLEncoding.EncodeToString, 16, 15},
		"base64url, 24 bytes": {base64.RawURLEncoding.EncodeToString, 24, 2},
		"base64url, 32 bytes": {base64.RawURLEncoding.EncodeToString, 32, 1},
		"base32, 10 bytes":    {base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString, 10, 60},
		"base32, 20 bytes":    {base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString, 20, 0},
	}
	for name, e := range encodings {
		missed := 0
		rnd := rand.NewChaCha8([32]byte{1}) // the same strings in each run
		b := make([]byte, e.bytes)
		var example string
		for range 1000 {
			_, err := rnd.Read(b)
			require.NoError(t, err)
			if s := e.encode(b); Segment(s) == None {
				missed++
				example = s
			}
		}
		t.Logf("%-20s missed %d of 1000 %s", name, missed, example)
		require.LessOrEqual(t, missed, e.missed, name)
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"4111111111111111", "4111 1111 1111 1111", "5500-0000-0000-0004", "378282246310005", "6011111111111117", "4222222222222"} {
		require.True(t, IsCard(s), s)
	}
	for _, s := range []string{"", "4111111111111112", "411111111111", "41111111111111111111", "4111  1111 1111 1111", " 4111111111111111", "4111111111111111 ", "4111x111111111111", "- - - -"} {
		require.False(t, IsCard(s), s)
	}
	for _, s := range []string{"DE89370400440532013000", "DE89 3704 0044 0532 0130 00", "gb82west12345698765432", "FR1420041010050500013M02606", "NO9386011117947"} {
		require.True(t, IsIBAN(s), s)
	}
	for _, s := range []string{"", "DE88370400440532013000", "DE8937040044053201300", "1234567890123456", "DE89", "DE89-3704-0044-0532-0130-00", strings.Repeat("A", 40)} {
		require.False(t, IsIBAN(s), s)
	}
}

func TestEmail(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "@", "a@b", "@example.com", "a@.com", "a@com.", "a@@example.com", "a@b@example.com", "a b@example.com", "a@exa mple.com", "a/b@example.com"} {
		require.False(t, IsEmail(s), s)
	}
}

func TestNoAllocations(t *testing.T) {
	for _, list := range segments {
		for _, s := range list {
			require.Zero(t, testing.AllocsPerRun(10, func() { Segment(s) }), s)
		}
	}
}

func FuzzSegment(f *testing.F) {
	for _, list := range segments {
		for _, s := range list {
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		IsCard(s)
		IsIBAN(s)
		if Segment(s) != None {
			return
		}
		if len(s) > maxSegment {
			t.Fatalf("%q is too long for a word", s)
		}
		digits := 0
		for i := range len(s) {
			c := s[i]
			if c <= ' ' || c >= 0x7f || strings.IndexByte("%@;=/?#{}<>\"'\\&|^`()", c) >= 0 {
				t.Fatalf("%q has %q", s, c)
			}
			if digits++; c < '0' || c > '9' {
				digits = 0
			}
			if digits >= idDigits {
				t.Fatalf("%q has a long number", s)
			}
		}
	})
}

func BenchmarkSegment(b *testing.B) {
	for _, s := range []string{"checkout", "jquery.min.js", "123e4567-e89b-12d3-a456-426614174000", "dQw4w9WgXcQ", jwt} {
		name := s
		if len(name) > 12 {
			name = name[:12]
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(s)))
			for b.Loop() {
				Segment(s)
			}
		})
	}
}

func TestPlace(t *testing.T) {
	require.Equal(t, "{email}", PlaceName("alice@example.com"))
	require.Equal(t, "user.email", PlaceName("user.email"))
	for in, want := range map[string]string{
		"": "", "authorization": "authorization", "x-api-key": "x-api-key", "user.cards[].number": "user.cards[].number", "[].email": "[].email",
		"users.alice@example.com.mail": "users.{token}.com.mail", "550e8400-e29b-41d4-a716-446655440000.name": "{uuid}.name",
		"byId.4111111111111111[].x": "byId.{id}[].x", "Alice Smith.age": "{token}.age", "a\x00b": "{token}", "{id}.x": "{id}.x",
		"sk_live_4eC39HqLyjWDarjtT1zdp7dc": "{token}", strings.Repeat("a", 80): "{token}", "a/b": "{token}",
		strings.Repeat("a.", 40) + "a": strings.Repeat("a.", 15) + "{more}",
	} {
		got := Place(in)
		require.Equal(t, want, got, in)
		require.Equal(t, got, Place(got), "clean is left as it is: %q", in)
	}
}
