// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/ptrace"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const jwt = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"

func TestHost(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"localhost", "example.com", "example.com.", "a-b.example.com", "my_service", "_dmarc.example.com", "10.0.0.1", "::1", "2001:db8::1",
		"::ffff:10.0.0.1", "xn--mnchen-3ya.de", "EXAMPLE.com", strings.Repeat("a", 63) + ".com",
	} {
		require.True(t, validHost(s), s)
	}
	for _, s := range []string{
		"", ".", "..", "a..b", ".a", "-a.com", "a-.com", "a.-b", "a-", "user@example.com", "user:pass@example.com", "example.com:80", "example.com/path",
		"exam ple.com", "münchen.de", "fe80::1%eth0", "::1%secret", "[::1]", "a\x00b", "a\nb", strings.Repeat("a", 64), strings.Repeat("a.", 130) + "a",
		"1:2", "a%41.com", jwt,
	} {
		require.False(t, validHost(s), s)
	}
}

func TestID(t *testing.T) {
	t.Parallel()
	for key, list := range map[string][2][]string{
		semantic.HostID:         {{"4c4c4544-0051-3010-8050-b9c04f4b4e32", "i-0123456789abcdef0", "vm_1.example"}, {"", "a b", "a\nb", "a;b", "<x>", strings.Repeat("a", 129), jwt[:20] + ".e30.x"}},
		semantic.ContainerID:    {{strings.Repeat("0a", 32)}, {"docker\x00", "a?b"}},
		semantic.ConnectionID:   {{"0123456789abcdef"}, {"", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdefg", "secret"}},
		semantic.K8sPodUID:      {{"123e4567-e89b-12d3-a456-426614174000", strings.Repeat("a1", 16)}, {"pod", "secret-secret", strings.Repeat("g", 32)}},
		semantic.SegmentKey:     {{"default/2026/11/24/06/host-1/01ARZ3NDEKTSV4RRFFQ69G5FAV.zip"}, {"", "01ARZ3NDEKTSV4RRFFQ69G5FAV.zip", "default/2026/11/24/06/a b/01ARZ3NDEKTSV4RRFFQ69G5FAV.zip", "secret"}},
		semantic.PayloadObjects: {nil, nil},
	} {
		for _, s := range list[0] {
			require.True(t, validID(key, s), "%s %q", key, s)
		}
		for _, s := range list[1] {
			require.False(t, validID(key, s), "%s %q", key, s)
		}
	}
}

func TestToken(t *testing.T) {
	t.Parallel()
	for _, s := range []string{
		"http", "https", "1.1", "1.3", "2", "tcp", "ipv4", "linux", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256",
		"TLS_AES_256_GCM_SHA384", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", "ECDHE-RSA-AES128-GCM-SHA256", "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
		"TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", "http/1.1", "h2", "h2c", "spdy/3.1", "grpc-exp", "established", "sampled_out", "attached_late", "not_visible",
		"500", "_OTHER", "timeout", "connection_reset", "java.net.UnknownHostException", "protocol_error", "postgresql", "acme-tls/1",
		"payload_capture_off", "max_body_size", "unknown_protocol", "protocol_unsupported", "handshake_malformed", "decrypt_failed", "gap_in_handshake",
		"unsupported_cipher", "unsupported_version", "renegotiation", "resync_failed", "buffer_limit", "no_secret", "secret_unreadable", "no_secret_boringssl", "no_secret_openssl", "refused", "truncated", "queue_full", "shutdown",
	} {
		require.True(t, validToken("", s), s)
	}
	for _, c := range append(tls.CipherSuites(), tls.InsecureCipherSuites()...) {
		require.True(t, validToken("", c.Name), c.Name)
	}
	for _, s := range []string{
		"", "two words", "a\nb", "a=b", "alice@example.com", "a1b2c3d4e5f6", "dGhpcyBpcyBhIHNlY3JldCE", jwt, "4111111111111111", "555-12-3456",
		"123e4567-e89b-12d3-a456-426614174000", strings.Repeat("a", 65), "h2/a1b2c3d4e5f6", "{id}", "\xff",
	} {
		require.False(t, validToken("", s), s)
	}
	for _, s := range []string{"A", "AAAA", "CNAME", "HTTPS", "SVCB", "ALL", "TYPE257", "TYPE65535"} {
		require.True(t, validToken(semantic.DNSQuestionType, s), s)
	}
	for _, s := range []string{"", "aaaa", "A1", "TYPE65536", "TYPE+1", "TYPE 1", "ABCDEFGH", "555-12-3456"} {
		require.False(t, validToken(semantic.DNSQuestionType, s), s)
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"checkout", "my service", "/usr/bin/python3.13", "/usr/bin/foo (deleted)", "alice@corp", "nginx-7c5ddbdf54-x2x7k", "unknown_service:curl", "[kworker]", "c++", "_apt", "1000"} {
		require.True(t, validName(s), s)
	}
	for _, s := range []string{"", "a\nb", "password=x", "a\x00", "<script>", "\"a\"", "it's", "a;b", "a&b", "caf\u00e9", "a?b", strings.Repeat("a", 257), jwt, "4111 1111 1111 1111", "DE89 3704 0044 0532 0130 00"} {
		require.False(t, validName(s), s)
	}
}

func TestSchemaURL(t *testing.T) {
	t.Parallel()
	for _, s := range []string{semantic.SchemaURL, "https://opentelemetry.io/schemas/1.4.0", "https://opentelemetry.io/schemas/1.21.0"} {
		require.Equal(t, s, schemaURL(s))
	}
	for _, s := range []string{"", "https://opentelemetry.io/schemas/", "https://opentelemetry.io/schemas/secret", "https://opentelemetry.io/schemas/1.2", "https://opentelemetry.io/schemas/1..2", "https://opentelemetry.io/schemas/1.2.3.4",
		"https://opentelemetry.io/schemas/1.2.3?x=y", "https://opentelemetry.io/schemas/1234.5.6", "http://opentelemetry.io/schemas/1.2.3", "https://evil.example/schemas/1.2.3", "https://opentelemetry.io/schemas/.1.2"} {
		require.Empty(t, schemaURL(s), s)
	}
}

func TestScope(t *testing.T) {
	t.Parallel()
	const ours = "github.com/qpoint-io/otelcol-qpoint/"
	require.True(t, validScopeName(ours+"receiver/qtapreceiver"))
	for _, s := range []string{"", "io.opentelemetry.contrib", ours, ours + "receiver", ours + "receiver/", ours + "receiver/secret", ours + "receiver/a b receiver", ours + "secret/qtapsecret", ours + "receiver/x/qtapreceiver", ours + "receiver/a1b2c3d4e5f6receiver"} {
		require.False(t, validScopeName(s), s)
	}
	for _, s := range []string{"", "dev", "latest", "0.1.0", "v1.2.3", "1.2.3-rc.1+abc", "0.0.0-20261124063241-1d72067abcde"} {
		require.True(t, validVersion(s), s)
	}
	for _, s := range []string{"secret", "v", "1", "1.2", "a.b.c", "1.2.3 secret", "1.2.3/x", strings.Repeat("1.", 30)} {
		require.False(t, validVersion(s), s)
	}
}

func TestSpanName(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ method, template, want string }{
		{"GET", "/users/{id}", "GET /users/{id}"},
		{"GET", "", "GET"},
		{"_OTHER", "/users/{id}", "HTTP"},
		{"", "/users/{id}", "HTTP"},
		{"", "", "HTTP"},
	} {
		for _, was := range []string{"", "GET", "GET ", "GET /users/alice@example.com", tc.want, "GET/users/{id}", "HTTP"} {
			s := ptrace.NewSpan()
			s.SetName(was)
			setSpanName(s, tc.method, tc.template)
			require.Equal(t, tc.want, s.Name(), was)
		}
	}
}
