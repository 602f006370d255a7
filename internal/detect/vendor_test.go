// SPDX-License-Identifier: Apache-2.0

package detect

import (
	"encoding/base64"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// withCRC appends the checksum of GitHub's tokens, by the standard library.
func withCRC(prefix, body string) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	sum, out := crc32.ChecksumIEEE([]byte(body)), ""
	for range 6 {
		out = string(alphabet[sum%62]) + out
		sum /= 62
	}
	return prefix + body + out
}

// drawn returns n characters of an alphabet, digits among them.
func drawn(rnd *rand.Rand, alphabet string, n int) string {
	for {
		b := make([]byte, n)
		for i := range b {
			b[i] = alphabet[rnd.IntN(len(alphabet))]
		}
		if strings.ContainsAny(string(b), "0123456789") || !strings.Contains(alphabet, "0") {
			return string(b)
		}
	}
}

// expand writes out the ranges of a class of characters.
func expand(chars string) string {
	var b strings.Builder
	for i := 0; i < len(chars); i++ {
		if i+2 < len(chars) && chars[i+1] == '-' {
			for c := chars[i]; c <= chars[i+2]; c++ {
				b.WriteByte(c)
			}
			i += 2
			continue
		}
		b.WriteByte(chars[i])
	}
	return strings.Trim(b.String(), ".-=%$")
}

// TestVendorTokens makes a token of every form and finds it in JSON, a header, a query and a sentence.
func TestVendorTokens(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, v := range vendorTokens {
		for range 50 {
			s := v.prefix + drawn(rnd, expand(v.chars), v.min)
			if v.check != nil {
				s = withCRC(v.prefix, drawn(rnd, expand(v.chars), v.min-6))
			}
			for _, in := range []string{s, `{"k":"` + s + `"}`, "X-Key: " + s + "\r\n", "?k=" + s + "&b=1", "use " + s + ", please"} {
				require.Equal(t, []string{"api_key:" + s}, found(None, in), "%s in %q", v.prefix, in)
			}
		}
	}
}

func TestTokensThatAreNone(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"AKIAIOSFODNN7", "AKIAIOSFODNN7EXAMPLEMORE", "ghp_short", "sk-learn", "sk_live_", "hf_hub_download", "xoxb-", "SGML", "eyJ", "eyJhbGci", "eyJ.eyJ.eyJ", "AC/DC", "SKU", "npm_config_registry",
		"key-value", "glpat-", "secret_name", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----", "-----BEGIN PUBLIC KEY-----",
	} {
		require.Empty(t, found(None, s), s)
	}
	right := withCRC("ghp_", "abcdefghijABCDEFGHIJ0123456789")
	require.Equal(t, []string{"api_key:" + right}, found(None, right))
	wrong := right[:len(right)-1] + "#"
	require.NotContains(t, found(None, wrong), "api_key:"+wrong)
}

func TestKeysAndJWTs(t *testing.T) {
	t.Parallel()
	pem := "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\n/abc+\n-----END RSA PRIVATE KEY-----"
	for _, s := range []string{pem, strings.ReplaceAll(pem, "\n", `\n`), strings.ReplaceAll(pem, "RSA ", ""), strings.ReplaceAll(pem, "RSA", "OPENSSH"), strings.ReplaceAll(pem, "RSA", "ENCRYPTED")} {
		require.Equal(t, []string{"private_key:" + s}, found(None, s), s)
		require.Equal(t, []string{"private_key:" + s, "email:a@example.com"}, found(None, "x "+s+" a@example.com"), s)
	}
	require.Equal(t, []string{"private_key:" + pem[:60]}, found(None, pem[:60]), "a body that was cut")
	jwe := "eyJhbGciOiJkaXIifQ..aXY.Y3Q.dGFn"
	require.Equal(t, []string{"jwt:" + jwt, "jwt:" + jwe}, found(None, jwt+" "+jwe))
	require.Equal(t, []string{"jwt:" + jwt}, found(None, "see "+jwt+"."))
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	rnd := rand.New(rand.NewPCG(3, 4))
	const base62s = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	missed := map[string]int{}
	for range 1000 {
		b := make([]byte, 30)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		for name, s := range map[string]string{
			"base62, 24": drawn(rnd, base62s, 24), "base62, 32": drawn(rnd, base62s, 32), "base64, 40": base64.StdEncoding.EncodeToString(b), "base64url, 40": base64.URLEncoding.EncodeToString(b),
		} {
			if all := found(None, `{"v": "`+s+`"}`); len(all) != 1 || all[0] != "secret:"+s {
				missed[name]++
			}
		}
	}
	t.Log(missed, "of 1000 missed")
	for name, n := range missed {
		require.Less(t, n, 50, name)
	}
	for _, s := range []string{
		"d41d8cd98f00b204e9800998ecf8427e", "123e4567-e89b-12d3-a456-426614174000", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"/usr/share/javascript/jquery/3.7.1/jquery.min.js", "getProductRecommendationsByCustomerId2", "my-very-long-blog-post-about-open-telemetry-2024", "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
		"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "multipart/form-data; boundary", "org.springframework.web.servlet.DispatcherServlet", strings.Repeat("A", 40), strings.Repeat("0", 40),
		"kubernetes-dashboard-certificate-controller-manager", "x86_64-unknown-linux-gnu-20240131", "en-US,en;q=0.9", "abcdefghijklmnopqrstuvwxyz",
	} {
		require.Empty(t, found(None, s), s)
	}
}

func TestFields(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]Kind{
		"password": Secret, "newPassword": Secret, "user_password": Secret, "X-Api-Key": Secret, "apiKey": Secret, "Authorization": Secret, "Set-Cookie": Secret, "access_token": Secret, "client-secret": Secret,
		"aws.secret.access.key": Secret, "PIN": Secret, "cvv": Secret, "ssn": NationalID, "customer.ssn": NationalID, "tax_id": NationalID, "social security number": NationalID, "nationalId": NationalID,
		"phoneNumber": Phone, "mobile": Phone, "card_number": Card, "billingCardNumber": Card, "email": Email, "iban": IBAN,
		"": None, "p": None, "spinner": None, "shipping": None, "token_type": None, "passwordHint": None, "tokens": None, "description": None, "session_affinity": None, "design": None, "status": None,
		"max_tokens": None, strings.Repeat("password", 10): None, "cardinality": None, "assn": None,
	} {
		require.Equal(t, want.String(), Field(name).String(), name)
	}
}

// TestGitHubsOwnExample is the token in GitHub's description of the format (2021).
func TestGitHubsOwnExample(t *testing.T) {
	t.Parallel()
	require.Equal(t, []string{"api_key: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"}, found(None, "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"))
}
