// SPDX-License-Identifier: Apache-2.0

package corpus

import (
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"math/big"
	"math/rand/v2"
	"strings"
)

// generators make values, by kind.
var generators = append([]generator{
	{"card", "visa", cardOf(16, "4"), "card_number"},
	{"card", "mastercard", cardOf(16, "51", "52", "53", "54", "55", "2221", "2500", "2720"), "creditCard"},
	{"card", "american express", cardOf(15, "34", "37"), "card_number"},
	{"card", "discover", cardOf(16, "6011", "644", "65"), "pan"},
	{"card", "diners", cardOf(14, "300", "305", "36", "38"), "card"},
	{"card", "jcb", cardOf(16, "3528", "3589"), "card"},
	{"card", "unionpay", cardOf(19, "62"), "card"},
	{"iban", "registry", iban, "iban"},
	{"email", "plain", email, "email"},
	{"email", "percent-encoded", func(r *rand.Rand) string { return strings.Replace(email(r), "@", "%40", 1) }, "email"},
	{"phone", "E.164", func(r *rand.Rand) string {
		return "+" + pick(r, "49", "34", "46", "81", "351", "380", "55") + str(r, "123456789", 10)
	}, "phone"},
	{"phone", "E.164 in groups", func(r *rand.Rand) string { return "+49 " + str(r, "123456789", 3) + " " + str(r, digits, 7) }, "mobile"},
	{"phone", "north america", northAmerica, "phone"},
	{"phone", "france", func(r *rand.Rand) string {
		return "0" + str(r, "123456789", 1) + " " + grouped(str(r, digits, 8), []string{" "}, 2, 2, 2, 2)
	}, "telephone"},
	{"phone", "britain, national", func(r *rand.Rand) string { return "020 7" + str(r, digits, 3) + " " + str(r, digits, 4) }, "phone"},
	{"phone", "digits", func(r *rand.Rand) string { return "0" + str(r, "123456789", 2) + str(r, digits, 8) }, "phoneNumber"},
	{"jwt", "JWS", jwt, "value"},
	{"private_key", "PEM", pem, "value"},
	{"api_key", "aws", func(r *rand.Rand) string { return pick(r, "AKIA", "ASIA") + str(r, upper+"234567", 16) }, "key"},
	{"api_key", "google", func(r *rand.Rand) string { return "AIza" + str(r, base64u[:len(base64u)-2], 35) }, "key"},
	{"api_key", "github", func(r *rand.Rand) string { return github(pick(r, "ghp_", "gho_", "ghs_", "ghu_"), str(r, base62, 30)) }, "key"},
	{"api_key", "github, fine-grained", func(r *rand.Rand) string { return "github_pat_" + str(r, base62, 22) + "_" + str(r, base62, 59) }, "key"},
	{"api_key", "gitlab", func(r *rand.Rand) string { return "glpat-" + str(r, base62, 20) }, "key"},
	{"api_key", "slack", func(r *rand.Rand) string {
		return "xoxb-" + str(r, digits, 12) + "-" + str(r, digits, 12) + "-" + str(r, base62, 24)
	}, "key"},
	{"api_key", "stripe", func(r *rand.Rand) string { return pick(r, "sk_live_", "rk_live_", "sk_test_") + str(r, base62, 24) }, "key"},
	{"api_key", "openai", func(r *rand.Rand) string { return "sk-proj-" + str(r, base62, 64) + "1T3BlbkFJ" + str(r, base62, 64) }, "key"},
	{"api_key", "anthropic", func(r *rand.Rand) string { return "sk-ant-api03-" + str(r, base62, 92) + "1AA" }, "key"},
	{"api_key", "hugging face", func(r *rand.Rand) string { return "hf_" + str(r, base62, 34) }, "key"},
	{"api_key", "npm", func(r *rand.Rand) string { return github("npm_", str(r, base62, 30)) }, "key"},
	{"api_key", "sendgrid", func(r *rand.Rand) string { return "SG." + str(r, base62, 22) + "." + str(r, base62, 43) }, "key"},
	{"api_key", "digitalocean", func(r *rand.Rand) string { return "dop_v1_" + str(r, hexa, 64) }, "key"},
	{"secret", "base62, 20", func(r *rand.Rand) string { return str(r, base62, 20) }, "client_secret"},
	{"secret", "base62, 32", func(r *rand.Rand) string { return str(r, base62, 32) }, "apiKey"},
	{"secret", "aws secret key", func(r *rand.Rand) string { return base64.StdEncoding.EncodeToString([]byte(str(r, base62, 30))) }, "secretAccessKey"},
	{"secret", "base64url, 43", func(r *rand.Rand) string { return randomBase64(r, 32) }, "access_token"},
	{"secret", "hex, 64", func(r *rand.Rand) string { return str(r, hexa, 64) }, "api_token"},
	{"secret", "password", func(r *rand.Rand) string {
		return words[r.IntN(len(words))] + str(r, digits, 2) + pick(r, "!", "#", "$") + str(r, lower, 3)
	}, "password"},
}, nationalIDs...)

func randomBase64(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// luhn returns the digit that makes s valid.
func luhn(s string) string {
	for d := '0'; d <= '9'; d++ {
		total := 0
		all := s + string(d)
		for i, c := range all {
			v := int(c - '0')
			if (len(all)-i)%2 == 0 {
				v *= 2
			}
			total += v/10 + v%10
		}
		if total%10 == 0 {
			return string(d)
		}
	}
	panic("unreachable")
}

func cardOf(length int, prefixes ...string) func(*rand.Rand) string {
	return func(r *rand.Rand) string {
		s := pick(r, prefixes...)
		s += str(r, digits, length-1-len(s))
		s += luhn(s)
		sep := pick(r, " ", "-", "", "")
		switch {
		case sep == "":
			return s
		case length == 15:
			return grouped(s, []string{sep}, 4, 6, 5)
		case length == 14:
			return grouped(s, []string{sep}, 4, 6, 4)
		case length == 19:
			return grouped(s, []string{sep}, 4, 4, 4, 4, 3)
		}
		return grouped(s, []string{sep}, 4, 4, 4, 4)
	}
}

func iban(r *rand.Rand) string {
	// d: digits, l: letters; a few countries of every shape.
	country := pick(r, "DE18d", "GB4l14d", "FR10d11d2d", "NL4l10d", "ES20d", "IT1l22d", "PL24d", "NO11d", "BE12d", "CH17d", "SE20d", "AT16d", "MT4l5d18d", "PT21d", "DK14d")
	var b strings.Builder
	for s := country[2:]; s != ""; {
		var n int
		var what rune
		_, err := fmt.Sscanf(s, "%d%c", &n, &what)
		if err != nil {
			panic(err)
		}
		s = s[strings.IndexRune(s, what)+1:]
		if what == 'd' {
			b.WriteString(str(r, digits, n))
		} else {
			b.WriteString(str(r, upper, n))
		}
	}
	body := b.String()
	var number strings.Builder
	for _, c := range body + country[:2] + "00" {
		if c >= 'A' {
			fmt.Fprint(&number, c-'A'+10)
		} else {
			number.WriteRune(c)
		}
	}
	n, _ := new(big.Int).SetString(number.String(), 10)
	s := country[:2] + fmt.Sprintf("%02d", 98-n.Mod(n, big.NewInt(97)).Int64()) + body
	if r.IntN(3) > 0 {
		return s
	}
	var parts []string
	for ; len(s) > 4; s = s[4:] {
		parts = append(parts, s[:4])
	}
	return strings.Join(append(parts, s), " ")
}

func email(r *rand.Rand) string {
	local := pick(r, "%s", "%s.%s", "%s+%s", "%s_%s", "%s-%s7")
	first, last := str(r, lower, 3+r.IntN(6)), str(r, lower, 3+r.IntN(8))
	if strings.Count(local, "%s") == 1 {
		local = fmt.Sprintf(local, first)
	} else {
		local = fmt.Sprintf(local, first, last)
	}
	return local + "@" + str(r, lower, 4+r.IntN(6)) + pick(r, ".com", ".org", ".co.uk", ".de", ".io", ".example", ".museum")
}

func northAmerica(r *rand.Rand) string {
	a, b, c := str(r, "23456789", 1)+str(r, digits, 2), str(r, "23456789", 1)+str(r, digits, 2), str(r, digits, 4)
	return fmt.Sprintf(pick(r, "(%s) %s-%s", "%s-%s-%s", "%s.%s.%s", "+1 %s %s %s", "+1-%s-%s-%s", "1-%s-%s-%s"), a, b, c)
}

func jwt(r *rand.Rand) string {
	b64 := base64.RawURLEncoding.EncodeToString
	return b64([]byte(`{"alg":"`+pick(r, "HS256", "RS256", "ES256")+`","typ":"JWT"}`)) + "." + b64([]byte(`{"sub":"`+str(r, base62, 10)+`","iat":17067`+str(r, digits, 5)+`}`)) + "." + randomBase64(r, 32)
}

func pem(r *rand.Rand) string {
	kind := pick(r, "", "RSA ", "EC ", "OPENSSH ", "ENCRYPTED ")
	return "-----BEGIN " + kind + "PRIVATE KEY-----\n" + randomBase64(r, 48) + "\n" + randomBase64(r, 48) + "\n-----END " + kind + "PRIVATE KEY-----"
}

// github appends the CRC-32 in base 62.
func github(prefix, body string) string {
	sum := crc32.ChecksumIEEE([]byte(body))
	check := ""
	for range 6 {
		check = string((digits + upper + lower)[sum%62]) + check
		sum /= 62
	}
	return prefix + body + check
}
