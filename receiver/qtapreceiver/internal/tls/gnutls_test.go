// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// gnuTLS runs gnutls-cli against gnutls-serv, which echoes each line, through the recording proxy.
func (o *openSSL) gnuTLS(serverArgs, clientArgs, lines []string) *capture {
	o.t.Helper()
	need(o.t, "gnutls-cli")
	need(o.t, "gnutls-serv")
	_ = os.Remove(o.path("keys"))
	ctx, cancel := context.WithTimeout(o.t.Context(), testkit.Patience)
	defer cancel()
	o.server = testkit.Addr(o.t)
	_, port, err := net.SplitHostPort(o.server)
	require.NoError(o.t, err)
	server := exec.CommandContext(ctx, "gnutls-serv", append([]string{"--echo", "--quiet", "-p", port, "--x509certfile", o.path(o.cert), "--x509keyfile", o.path(o.cert)}, serverArgs...)...)
	require.NoError(o.t, server.Start())
	defer func() {
		_ = server.Process.Kill()
		_ = server.Wait()
	}()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(o.t, err)
	defer l.Close()
	rec, done := &capture{}, make(chan error, 1)
	go func() { done <- o.proxy(ctx, l, rec) }()
	client := exec.CommandContext(ctx, "gnutls-cli", append([]string{
		"--insecure", "--inline-commands", "--sni-hostname", "example.test", "--alpn", "http/1.1", "-p", strconv.Itoa(l.Addr().(*net.TCPAddr).Port), "127.0.0.1",
	}, clientArgs...)...)
	client.Env = append(os.Environ(), "SSLKEYLOGFILE="+o.path("keys"))
	in := o.input(client)
	out, err := client.StdoutPipe()
	require.NoError(o.t, err)
	require.NoError(o.t, client.Start())
	var got bytes.Buffer
	buf := make([]byte, 65536)
	wait := func(s string) {
		for !strings.Contains(got.String(), s) {
			n, err := out.Read(buf)
			got.Write(buf[:n])
			require.NoError(o.t, err, "waiting for %q in %q", s, got.String())
		}
		got.Reset()
	}
	wait("- Simple Client Mode:")
	for _, line := range lines {
		o.write(in, line)
		if !strings.HasPrefix(line, "^") { // what follows a command does, too
			wait(line[max(0, len(line)-20):])
		}
	}
	require.NoError(o.t, in.Close())
	_, _ = io.Copy(io.Discard, out)
	require.NoError(o.t, client.Wait())
	require.NoError(o.t, <-done)
	return rec
}

// GnuTLS does what OpenSSL 3.0 does not: smaller records by agreement, and keys without Diffie-Hellman.
func TestGnuTLS(t *testing.T) {
	o := newOpenSSL(t)
	lines := []string{"first line", strings.Repeat("long line ", 700), "last"}
	require.NoError(t, os.WriteFile(o.path("psk"), []byte("me:0102030405060708\n"), 0o600))
	const only13, only12 = "NORMAL:-VERS-ALL:+VERS-TLS1.3", "NORMAL:-VERS-ALL:+VERS-TLS1.2"
	short := []string{lines[0], strings.Repeat("long line ", 40), lines[2]}
	o.rsaCert()
	var both []byte // a certificate that does not fit into one of these records
	for _, name := range []string{"rsa.key", "rsa.pem"} {
		b, err := os.ReadFile(o.path(name))
		require.NoError(t, err)
		both = append(both, b...)
	}
	require.NoError(t, os.WriteFile(o.path("both.pem"), both, 0o600))
	smallRecords := func(t *testing.T, r *rig, rec *capture) {
		require.Less(t, longestRecord(rec.stream(false)), 600)
		require.Equal(t, "CN=rsa.test", r.last().Certificate.Subject)
	}
	for name, x := range map[string]struct {
		cert                  string
		server, client, lines []string
		check                 func(t *testing.T, r *rig, rec *capture)
	}{
		"record_size_limit": {
			cert: "both.pem", client: []string{"--priority", only13, "--recordsize", "512"}, lines: short,
			check: smallRecords,
		},
		"record_size_limit12": {
			cert: "both.pem", client: []string{"--priority", only12, "--recordsize", "512"}, lines: short,
			check: smallRecords,
		},
		"psk_ke": {
			server: []string{"--pskpasswd", o.path("psk"), "--priority", only13 + ":+PSK:-GROUP-ALL"},
			client: []string{"--pskusername", "me", "--pskkey", "0102030405060708", "--priority", only13 + ":+PSK:-GROUP-ALL"},
			check:  func(t *testing.T, r *rig, _ *capture) { require.True(t, r.last().Resumed) },
		},
		"key_update": {
			client: []string{"--priority", only13},
			lines:  []string{lines[0], "^rekey^", lines[1], "^rekey^", lines[2]},
		},
		"renegotiation": {
			client: []string{"--priority", only12},
			lines:  []string{lines[0], "^renegotiate^", lines[1], "^renegotiate^", lines[2]},
			check: func(t *testing.T, _ *rig, _ *capture) {
				b, err := os.ReadFile(o.path("keys"))
				require.NoError(t, err)
				require.Equal(t, 3, strings.Count(string(b), "CLIENT_RANDOM"))
			},
		},
		"cbc12": {
			client: []string{"--priority", only12 + ":-CIPHER-ALL:+AES-256-CBC:-MAC-ALL:+SHA1"},
			check: func(t *testing.T, r *rig, _ *capture) {
				require.Equal(t, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", r.last().Cipher)
				require.True(t, r.macOut)
			},
		},
		"cbc12_mac_then_encrypt": {
			client: []string{"--priority", only12 + ":-CIPHER-ALL:+AES-128-CBC:-MAC-ALL:+SHA1:%NO_ETM"},
			check:  func(t *testing.T, r *rig, _ *capture) { require.False(t, r.macOut) },
		},
		"ccm8_12": {
			client: []string{"--priority", only12 + ":-CIPHER-ALL:+AES-256-CCM-8"},
			server: []string{"--priority", "NORMAL:+AES-256-CCM-8"},
			check: func(t *testing.T, r *rig, _ *capture) {
				require.Equal(t, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8", r.last().Cipher)
			},
		},
		"ccm13": {
			client: []string{"--priority", only13 + ":-CIPHER-ALL:+AES-128-CCM"},
			check:  func(t *testing.T, r *rig, _ *capture) { require.Equal(t, "TLS_AES_128_CCM_SHA256", r.last().Cipher) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			o := o.with(t)
			if o.cert = x.cert; x.cert == "" {
				o.cert = "cert.pem"
			}
			in := lines
			if x.lines != nil {
				in = x.lines
			}
			rec := o.gnuTLS(x.server, x.client, in)
			r := o.read(rec, false)
			want := ""
			for _, line := range in {
				if !strings.HasPrefix(line, "^") {
					want += line + "\n"
				}
			}
			require.Equal(t, want, r.sent.String())
			require.Equal(t, want, r.got.String())
			if x.check != nil {
				x.check(t, r, rec)
			}
		})
	}
}

func longestRecord(b []byte) (longest int) {
	for len(b) >= headerLen {
		n := headerLen + int(b[3])<<8 + int(b[4])
		longest = max(longest, n)
		b = b[min(n, len(b)):]
	}
	return longest
}
