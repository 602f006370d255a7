// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// closed waits for the closing records of n connection ends to a port.
func (l *lab) closed(port, n int) (out []pcommon.Map) {
	l.t.Helper()
	require.Eventually(l.t, func() bool {
		out = l.records(semantic.EventConnection, func(m pcommon.Map) bool {
			return text(m, semantic.ConnectionState) == "closed" && text(m, semantic.ServerPort) == strconv.Itoa(port) && text(m, semantic.TLSEstablished) != ""
		})
		return len(out) >= n
	}, testkit.Patience, 50*time.Millisecond)
	require.Len(l.t, out, n)
	return out
}

// TestE2ESuites reads curl and nginx through the suites that are not AES-GCM.
func TestE2ESuites(t *testing.T) {
	l := newLab(t, "suites")
	dir, port := t.TempDir(), freePort(t)
	selfSigned(t, dir)
	l.start(nil)
	l.nginx(port, dir, fmt.Sprintf(`listen 127.0.0.1:%[1]d ssl; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem;
		ssl_protocols TLSv1.2 TLSv1.3; ssl_ciphers ALL:@SECLEVEL=0; ssl_conf_command Ciphersuites TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256;`, port, dir))
	for i, x := range []struct{ flag, cipher, name string }{
		{"--ciphers", "ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
		{"--ciphers", "ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"},
		{"--ciphers", "ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"},
		{"--ciphers", "ECDHE-ECDSA-AES256-CCM", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"},
		{"--ciphers", "ECDHE-ECDSA-AES128-CCM8:@SECLEVEL=0", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"},
		{"--ciphers", "ECDHE-ECDSA-CHACHA20-POLY1305", "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
		{"--tls13-ciphers", "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_SHA256"},
		{"--tls13-ciphers", "TLS_AES_128_CCM_8_SHA256", "TLS_AES_128_CCM_8_SHA256"},
	} {
		path := fmt.Sprintf("/file%d", i)
		body := randomFile(t, filepath.Join(dir, path), 100_000)
		url := fmt.Sprintf("https://127.0.0.1:%d%s", port, path)
		args := []string{"-sSk", "--http1.1", x.flag, x.cipher}
		if x.flag == "--ciphers" {
			args = append(args, "--tls-max", "1.2")
		}
		require.Equal(t, sha256.Sum256(body), sha256.Sum256(l.run("curl", append(args, url)...)))
		l.verify(path, body, "curl", "nginx", "https", url)
		c, s := l.spans(path)
		require.Equal(t, x.name, text(c.span.Attributes(), semantic.TLSCipher))
		require.Equal(t, x.name, text(s.span.Attributes(), semantic.TLSCipher))
	}
	l.stop()
}

// personal makes a client's certificate, which is a person's.
func personal(t *testing.T, dir string) (cert, key string) {
	cert, key = filepath.Join(dir, "alice.pem"), filepath.Join(dir, "alice.key")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
		"-subj", "/CN=Alice Person/emailAddress=alice@example.com", "-keyout", key, "-out", cert).CombinedOutput()
	require.NoError(t, err, string(out))
	return cert, key
}

// TestE2EHandshakeFacts holds what connection records say of a handshake against what the programs did:
// with and without its secrets, whole and resumed, with a client's certificate, which is nobody's business.
func TestE2EHandshakeFacts(t *testing.T) {
	for _, secrets := range []bool{true, false} {
		for _, version := range []string{"1.2", "1.3"} {
			t.Run(fmt.Sprintf("%s_%v", version, secrets), func(t *testing.T) {
				l := newLab(t, fmt.Sprintf("facts-%s-%v", version, secrets))
				dir, port := t.TempDir(), freePort(t)
				selfSigned(t, dir)
				cert, key := personal(t, dir)
				randomFile(t, filepath.Join(dir, "file"), 1000)
				l.start(func(c *Config, _ *PayloadConfig) { c.TLS.Enabled = secrets })
				l.nginx(port, dir, fmt.Sprintf(`listen 127.0.0.1:%[1]d ssl; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem;
					ssl_protocols TLSv%[3]s; ssl_session_cache shared:s:1m; ssl_verify_client optional_no_ca;`, port, dir, version))
				// Two connections: the second takes up the first one's session.
				url := fmt.Sprintf("https://lab.test:%d/file", port)
				l.run("curl", "-sSk", "--http1.1", "--cert", cert, "--key", key, "--resolve", fmt.Sprintf("lab.test:%d:127.0.0.1", port),
					"-H", "Connection: close", "-o", filepath.Join(dir, "out1"), url, "-o", filepath.Join(dir, "out2"), url)
				byResumed := map[string]int{}
				for _, m := range l.closed(port, 4) {
					resumed := text(m, semantic.TLSResumed)
					byResumed[resumed]++
					require.Equal(t, version, text(m, semantic.TLSProtocolVersion))
					require.NotEmpty(t, text(m, semantic.TLSCipher))
					require.Equal(t, "lab.test", text(m, semantic.ServerAddress))
					require.Equal(t, "t13d", text(m, semantic.TLSClientJA4)[:4], "what curl offers")
					require.Len(t, text(m, semantic.TLSClientJA3), 32)
					if resumed == "true" || !secrets && version == "1.3" {
						require.Empty(t, text(m, semantic.TLSServerSubject))
						require.Empty(t, text(m, semantic.TLSServerNotAfter))
						continue
					}
					require.Equal(t, "CN=lab.test", text(m, semantic.TLSServerSubject))
					require.Equal(t, "CN=lab.test", text(m, semantic.TLSServerIssuer))
					before, err := time.Parse(time.RFC3339, text(m, semantic.TLSServerNotBefore))
					require.NoError(t, err)
					after, err := time.Parse(time.RFC3339, text(m, semantic.TLSServerNotAfter))
					require.NoError(t, err)
					require.Equal(t, 24*time.Hour, after.Sub(before))
					require.WithinDuration(t, time.Now(), before, time.Hour)
				}
				require.Equal(t, map[string]int{"true": 2, "false": 2}, byResumed)
				if secrets {
					client, server := l.spans("/file")
					require.Equal(t, text(client.span.Attributes(), semantic.TLSClientJA4), text(server.span.Attributes(), semantic.TLSClientJA4))
				}
				l.stop()
				for _, ld := range l.logs.AllLogs() {
					b, err := (&plog.ProtoMarshaler{}).MarshalLogs(ld)
					require.NoError(t, err)
					require.NotContains(t, strings.ToLower(string(b)), "alice")
				}
			})
		}
	}
}

// sClient runs s_client, and gives it a line when it has read the one before: commands must be alone in what it reads.
func (l *lab) sClient(lines []string, args ...string) {
	l.t.Helper()
	cmd := l.command("openssl", append([]string{"s_client", "-servername", "lab.test"}, args...)...)
	read, in, err := os.Pipe()
	require.NoError(l.t, err)
	defer read.Close()
	defer in.Close()
	cmd.Stdin = read
	out, err := cmd.StdoutPipe()
	require.NoError(l.t, err)
	require.NoError(l.t, cmd.Start())
	kill := time.AfterFunc(testkit.Patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	for _, line := range lines {
		_, err := io.WriteString(in, line)
		require.NoError(l.t, err)
		require.Eventually(l.t, func() bool {
			left, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ)
			return err == nil && left == 0
		}, testkit.Patience, time.Millisecond)
	}
	_, _ = io.Copy(io.Discard, out)
	require.NoError(l.t, cmd.Wait())
}

// TestE2ERenegotiation follows a TLS 1.2 connection over a change of its keys, before a request and at both ends.
func TestE2ERenegotiation(t *testing.T) {
	l := newLab(t, "renegotiation")
	dir, port := t.TempDir(), freePort(t)
	selfSigned(t, dir)
	body := randomFile(t, filepath.Join(dir, "file"), 100_000)
	l.start(nil)
	server := l.command("openssl", "s_server", "-quiet", "-WWW", "-accept", fmt.Sprintf("127.0.0.1:%d", port), "-client_renegotiation",
		"-cert", filepath.Join(dir, "cert.pem"), "-key", filepath.Join(dir, "key.pem"))
	server.Dir = dir
	l.background(server, port)
	l.sClient([]string{"R\n", "GET /file HTTP/1.0\r\n\r\n"}, "-tls1_2", "-connect", fmt.Sprintf("127.0.0.1:%d", port))
	l.verify("/file", body, "openssl", "openssl", "https", fmt.Sprintf("https://lab.test:%d/file", port))
	for _, m := range l.closed(port, 2) {
		require.Equal(t, "visible", text(m, semantic.PayloadVisibility))
	}
	l.stop()
}

// TestE2EEarlyData reads a request that was sent as 0-RTT data, which the server accepts.
func TestE2EEarlyData(t *testing.T) {
	l := newLab(t, "early")
	dir, port := t.TempDir(), freePort(t)
	selfSigned(t, dir)
	body := randomFile(t, filepath.Join(dir, "early"), 50_000)
	randomFile(t, filepath.Join(dir, "first"), 10)
	session, data := filepath.Join(dir, "session"), filepath.Join(dir, "data")
	require.NoError(t, os.WriteFile(data, []byte("GET /early HTTP/1.1\r\nHost: lab.test\r\nConnection: close\r\n\r\n"), 0o644))
	l.start(nil)
	l.nginx(port, dir, fmt.Sprintf(`listen 127.0.0.1:%[1]d ssl; ssl_certificate %[2]s/cert.pem; ssl_certificate_key %[2]s/key.pem; ssl_protocols TLSv1.3; ssl_early_data on;`, port, dir))
	address := fmt.Sprintf("127.0.0.1:%d", port)
	l.sClient([]string{"GET /first HTTP/1.1\r\nHost: lab.test\r\nConnection: close\r\n\r\n"}, "-tls1_3", "-connect", address, "-sess_out", session)
	l.sClient(nil, "-tls1_3", "-connect", address, "-sess_in", session, "-early_data", data)
	l.verify("/early", body, "openssl", "nginx", "https", "https://lab.test/early")
	c, _ := l.spans("/early")
	require.Equal(t, "true", text(c.span.Attributes(), semantic.TLSResumed))
	l.stop()
}
