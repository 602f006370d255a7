// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// rsaCert makes a certificate for suites that sign or decrypt with RSA, and returns s_server's flags for it.
func (o *openSSL) rsaCert() []string {
	out, err := exec.CommandContext(o.t.Context(), "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=rsa.test",
		"-keyout", o.path("rsa.key"), "-out", o.path("rsa.pem")).CombinedOutput()
	require.NoError(o.t, err, string(out))
	return []string{"-dcert", o.path("rsa.pem"), "-dkey", o.path("rsa.key")}
}

// with returns o for a sub-test.
func (o *openSSL) with(t *testing.T) *openSSL {
	c := *o
	c.t = t
	return &c
}

var corner = []string{"first line", strings.Repeat("long line ", 700), "last"}

// echoed is what corner gives at a server and at its client.
func echoed(lines ...string) (sent, got string) {
	for _, l := range lines {
		sent += l + "\n"
		got += reverse(l) + "\n"
	}
	return sent, got
}

func (o *openSSL) requireLines(r *rig, lines ...string) {
	o.t.Helper()
	sent, got := echoed(lines...)
	require.Equal(o.t, sent, r.sent.String())
	require.Equal(o.t, got, r.got.String())
}

// Every way of protecting records that is read, by OpenSSL at both ends.
func TestOpenSSLSuites(t *testing.T) {
	o := newOpenSSL(t)
	flags := append(o.rsaCert(), "-psk", "0102030405", "-cipher", "ALL:@SECLEVEL=0",
		"-ciphersuites", "TLS_AES_128_CCM_SHA256:TLS_AES_128_CCM_8_SHA256:TLS_CHACHA20_POLY1305_SHA256")
	o.serve(false, flags...)
	for _, x := range []struct{ cipher, name string }{
		{"TLS_AES_128_CCM_SHA256", ""}, {"TLS_AES_128_CCM_8_SHA256", ""}, {"TLS_CHACHA20_POLY1305_SHA256", ""},
		{"ECDHE-ECDSA-AES128-SHA", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"},
		{"ECDHE-ECDSA-AES256-SHA", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"},
		{"ECDHE-ECDSA-AES128-SHA256", "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"},
		{"ECDHE-ECDSA-AES256-SHA384", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"},
		{"ECDHE-RSA-AES256-SHA384", "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"},
		{"AES256-SHA256", "TLS_RSA_WITH_AES_256_CBC_SHA256"},
		{"DHE-RSA-AES128-SHA256", "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"},
		{"PSK-AES256-CBC-SHA384", "TLS_PSK_WITH_AES_256_CBC_SHA384"},
		{"ECDHE-ECDSA-AES128-CCM", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"},
		{"ECDHE-ECDSA-AES256-CCM", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"},
		{"ECDHE-ECDSA-AES128-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8"},
		{"ECDHE-ECDSA-AES256-CCM8", "TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8"},
		{"DHE-RSA-AES256-CCM8", "TLS_DHE_RSA_WITH_AES_256_CCM_8"},
		{"ECDHE-RSA-CHACHA20-POLY1305", "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"},
	} {
		t.Run(x.cipher, func(t *testing.T) {
			o := o.with(t)
			args, variants := []string{"-tls1_2", "-cipher", x.cipher + ":@SECLEVEL=0", "-psk", "0102030405"}, [][]string{nil}
			if x.name == "" {
				x.name = x.cipher
				args = []string{"-tls1_3", "-ciphersuites", x.cipher}
			} else if strings.Contains(x.name, "_CBC_") {
				variants = append(variants, []string{"-no_etm"})
			}
			for i, variant := range variants {
				r := o.read(o.connect(true, corner, append(args, variant...)...), false)
				o.requireLines(r, corner...)
				require.Equal(t, x.name, r.last().Cipher)
				require.True(t, r.last().Full)
				if strings.Contains(x.name, "_CBC_") {
					require.Equal(t, i == 0, r.macOut)
				}
			}
		})
	}
}

// The names are those of the library.
func TestSuiteNames(t *testing.T) {
	need(t, "openssl")
	out, err := exec.CommandContext(t.Context(), "openssl", "ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:@SECLEVEL=0").Output()
	require.NoError(t, err)
	n := 0
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line) // 0xC0,0x2C - NAME - …
		id := unhex(t, strings.ReplaceAll(strings.ReplaceAll(f[0], "0x", ""), ",", ""))
		require.Equal(t, f[2], cipherName(uint16(id[0])<<8|uint16(id[1])))
		n++
	}
	require.Greater(t, n, 50)
}

// What is not read says so, and is told about as far as it is in the clear.
func TestOpenSSLNotRead(t *testing.T) {
	o := newOpenSSL(t)
	o.serve(false, "-cipher", "ALL:@SECLEVEL=0")
	for _, x := range []struct {
		args                    []string
		reason, version, cipher string
	}{
		{[]string{"-tls1_2", "-cipher", "ECDHE-ECDSA-CAMELLIA128-SHA256"}, ReasonUnsupportedCipher, "1.2", "TLS_ECDHE_ECDSA_WITH_CAMELLIA_128_CBC_SHA256"},
		{[]string{"-tls1_1", "-cipher", "ALL:@SECLEVEL=0"}, ReasonUnsupportedVersion, "1.1", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"},
		{[]string{"-tls1", "-cipher", "ALL:@SECLEVEL=0"}, ReasonUnsupportedVersion, "1.0", "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"},
		{[]string{"-tls1_2"}, ReasonNoSecret, "1.2", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"},
		{[]string{"-tls1_3"}, ReasonNoSecret, "1.3", "TLS_AES_256_GCM_SHA384"},
	} {
		for _, resumed := range []bool{false, true} {
			session := "-sess_out"
			if resumed {
				session = "-sess_in"
			}
			r := newRig(t, Limits{})
			r.replay(o.connect(true, corner, append([]string{session, o.path("session")}, x.args...)...))
			r.end()
			require.Equal(t, []string{x.reason}, r.notVisible, x.args)
			i := r.last()
			require.Equal(t, Info{Version: x.version, Cipher: x.cipher, SNI: "example.test", Resumed: resumed, Full: !resumed}, basic(i), x.args)
			require.Len(t, i.JA3, 32)
			require.Equal(t, "t"+strings.ReplaceAll(x.version, ".", "")+"d", i.JA4[:4])
			want := Certificate{}
			if !resumed && x.version != "1.3" {
				want = leaf(t)
			}
			require.Equal(t, want, i.Certificate)
			require.Empty(t, r.sent.String()+r.got.String())
		}
	}
}

func leaf(t *testing.T) Certificate {
	c := parseCertificates(certificateMessage(version12, testCert().Certificate[0]), version12)
	require.Equal(t, "CN=example.test", c.Subject)
	return c
}

// Sessions go on in every way that TLS 1.2 and 1.3 know.
func TestOpenSSLResumption(t *testing.T) {
	o := newOpenSSL(t)
	for name, x := range map[string]struct{ server, client []string }{
		"tickets12":     {nil, []string{"-tls1_2"}},
		"session_ids12": {[]string{"-no_ticket"}, []string{"-tls1_2", "-no_ticket"}},
		"cbc12":         {nil, []string{"-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"}},
		"psk_dhe_ke13":  {nil, []string{"-tls1_3"}},
		"psk_ke13":      {[]string{"-allow_no_dhe_kex"}, []string{"-tls1_3", "-allow_no_dhe_kex"}},
		"stateful13":    {[]string{"-no_ticket"}, []string{"-tls1_3"}},
		"retry13":       {[]string{"-groups", "P-384"}, []string{"-tls1_3", "-groups", "X25519:P-384"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := o.with(t)
			o.serve(false, x.server...)
			for i, session := range []string{"-sess_out", "-sess_in", "-sess_in"} {
				r := o.read(o.connect(true, corner, append(x.client, session, o.path("session"))...), false)
				o.requireLines(r, corner...)
				require.Equal(t, i > 0, r.last().Resumed)
				require.Equal(t, i == 0, r.last().Full)
				require.Equal(t, i == 0, r.last().Certificate == leaf(t))
				require.Equal(t, name == "retry13", r.retried)
			}
		})
	}
}

// A TLS 1.2 connection that changes its keys is followed, whoever asks for it and with or without a
// session to resume; one whose server refuses stays what it was.
func TestOpenSSLRenegotiation(t *testing.T) {
	o := newOpenSSL(t)
	ask := []string{corner[0], "R", corner[1], "R", corner[2]}
	for _, cipher := range []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"} {
		t.Run("client_"+cipher, func(t *testing.T) {
			o := o.with(t)
			o.serve(false, "-client_renegotiation")
			rec := o.connect(true, ask, "-tls1_2", "-cipher", cipher)
			r := o.read(rec, false)
			o.requireLines(r, corner...)
			require.Equal(t, 3, strings.Count(o.keyLog(), "CLIENT_RANDOM"), "it did happen, twice")
		})
	}
	t.Run("without_its_secret", func(t *testing.T) {
		o := o.with(t)
		o.serve(false, "-client_renegotiation")
		rec := o.connect(true, ask, "-tls1_2")
		r := newRig(t, Limits{})
		r.add(o.secrets(false)[0])
		r.replay(rec)
		r.end()
		require.Equal(t, []string{ReasonNoSecret}, r.notVisible)
		o.requireLines(r, corner[0])
	})
	for _, letter := range []string{"r", "R"} { // R asks for the client's certificate
		t.Run("server_"+letter, func(t *testing.T) {
			o := o.with(t)
			o.serve(true)
			rec := o.connect(false, []string{corner[0], toServer + letter, corner[1], toServer + "answer", corner[2]}, "-tls1_2", "-cert", o.path("cert.pem"))
			r := o.read(rec, false)
			sent, _ := echoed(corner...)
			require.Equal(t, sent, r.sent.String())
			require.Equal(t, "answer\n", r.got.String())
			require.Equal(t, 2, strings.Count(o.keyLog(), "CLIENT_RANDOM"))
			require.Equal(t, leaf(t), r.last().Certificate)
		})
	}
	t.Run("refused", func(t *testing.T) {
		o := o.with(t)
		o.serve(false) // s_client ends the connection then
		rec := o.connectUntilEnd([]string{corner[0], "R"}, "-tls1_2")
		r := o.read(rec, false)
		o.requireLines(r, corner[0])
		require.Equal(t, 1, strings.Count(o.keyLog(), "CLIENT_RANDOM"))
	})
}

// A client that is asked for its certificate long after the handshake.
func TestOpenSSLPostHandshakeAuth(t *testing.T) {
	o := newOpenSSL(t)
	o.serve(true, "-verify", "1")
	rec := o.connect(false, []string{corner[0], toServer + "c", corner[1], toServer + "answer", corner[2]}, "-tls1_3", "-enable_pha", "-cert", o.path("cert.pem"))
	for _, derived := range []bool{true, false} {
		r := o.read(rec, derived)
		sent, _ := echoed(corner...)
		require.Equal(t, sent, r.sent.String())
		require.Equal(t, "answer\n", r.got.String())
		require.Equal(t, leaf(t), r.last().Certificate, "the server's, not the client's")
	}
}

// What follows close_notify is not TLS any more and nobody's content.
func TestCloseNotify(t *testing.T) {
	o := newOpenSSL(t)
	o.serve(false)
	for _, version := range []string{"-tls1_2", "-tls1_3"} {
		rec := o.connect(true, corner, version)
		r := newRig(t, Limits{})
		for _, s := range o.secrets(false) {
			r.add(s)
		}
		r.replay(rec)
		require.Equal(t, stateClosed, r.client.state)
		r.feed(true, []byte("NOOP\r\n"))
		r.lose(true, 100)
		r.feed(true, []byte{typeApplication, 3, 3, 0, 40})
		require.Zero(t, r.gaps)
		r.end()
		o.requireLines(r, corner...)
		require.Empty(t, r.notVisible)
		require.EqualValues(t, 11, r.st.Skipped)
	}
}
