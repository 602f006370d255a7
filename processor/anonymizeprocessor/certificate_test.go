// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

func TestDistinguishedName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"CN=example.com", "CN=*.example.com", "CN=R11,O=Let's Encrypt,C=US", `CN=WE1,O=Google Trust Services,C=US`, `CN=DigiCert TLS RSA SHA256 2020 CA1,O=DigiCert Inc,C=US`,
		`O=Internet Widgits Pty Ltd,ST=Some-State,C=AU`, `CN=a.example,O=Example\, Inc.`, "CN=Verisign Class 3 Public Primary Certification Authority - G5,OU=(c) 2006 Verisign",
		"CN=kubernetes", "CN=Kubernetes Ingress Controller Fake Certificate,O=Acme Co", "CN=10.0.0.1", "O=AT&T",
	} {
		require.Equal(t, s, cleanDistinguishedName(s))
	}
	for was, want := range map[string]string{
		"":                                        "",
		"CN=example.com,emailAddress=a@b.de":      "CN=example.com",
		"CN=alice@example.com,O=Example":          "O=Example",
		"CN=a,UID=alice,SERIALNUMBER=1234":        "CN=a",
		"1.2.840.113549.1.9.1=#0c1161,C=DE":       "C=DE",
		"CN=a+UID=b,O=x":                          "O=x",
		"O=4111 1111 1111 1111,C=DE":              "C=DE",
		"O=" + jwt:                                "",
		"OU=0123456789abcdef,O=Example":           "O=Example",
		"OU=123e4567-e89b-12d3-a456-426614174000": "",
		"O=Köln,C=DE":                             "C=DE",
		"O=a\x00b,C=DE":                           "C=DE",
		`O=a\\,C=DE`:                              "",
		`O=a\"b\",C=DE`:                           "C=DE",
		"cn=lower":                                "",
		"example.com":                             "",
		"O=" + strings.Repeat("a ", 65):           "",
		"CN=a," + strings.Repeat("C=DE,", 200):    "",
	} {
		got := cleanDistinguishedName(was)
		require.Equal(t, want, got, "%q", was)
		require.Equal(t, got, cleanDistinguishedName(got))
	}
}

func TestFingerprints(t *testing.T) {
	t.Parallel()
	for key, list := range map[string][2][]string{
		semantic.TLSClientJA3: {{"ada70206e40642a3e4461f35503241d5"}, {"", "ada70206e40642a3e4461f35503241d", "ADA70206e40642a3e4461f35503241d5", "secret-secret-secret-secret-secr"}},
		semantic.TLSClientJA4: {
			{"t13d1516h2_8daaf6152771_e5627efa2ab1", "q13i031100_55b375c5d22e_000000000000", "t00i000000_000000000000_000000000000"},
			{"", "t13d1516h2_8daaf6152771", "x13d1516h2_8daaf6152771_e5627efa2ab1", "t13d1516h2_8daaf6152771_E5627efa2ab1", "t13dab16h2_8daaf6152771_e5627efa2ab1", "t14d1516h2_8daaf6152771_e5627efa2ab1", "t13d1516h-_8daaf6152771_e5627efa2ab1"},
		},
	} {
		for _, s := range list[0] {
			require.True(t, validID(key, s), s)
		}
		for _, s := range list[1] {
			require.False(t, validID(key, s), s)
		}
	}
	require.True(t, validTime("2026-01-31T23:59:59.000Z"))
	for _, s := range []string{"", "2026-01-31", "2026-01-31T23:59:59Z", "2026-01-31T23:59:59.0000Z", "2026-01-31T23:59:59.000+01:00", "2026-02-31T23:59:59.000Z"} {
		require.False(t, validTime(s), s)
	}
}
