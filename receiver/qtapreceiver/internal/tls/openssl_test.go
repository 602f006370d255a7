// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// openSSL runs the openssl program against itself through a proxy that records.
type openSSL struct {
	t      *testing.T
	dir    string
	server string   // address
	in     *os.File // the server's input
	said   *said    // by the server, when it takes commands
	shim   string
	ends   bool   // s_client ends by itself
	cert   string // of gnutls-serv
}

// need finds a program; without it the test fails in CI and is skipped elsewhere.
func need(t *testing.T, name string) {
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is needed: %v", name, err)
		}
		t.Skipf("%s is needed", name)
	}
}

func newOpenSSL(t *testing.T) *openSSL {
	need(t, "openssl")
	need(t, "cc")
	o := &openSSL{t: t, dir: t.TempDir()}
	o.shim = o.path("kdf.so")
	out, err := exec.CommandContext(t.Context(), "cc", "-shared", "-fPIC", "-o", o.shim, "testdata/kdf.c", "-ldl").CombinedOutput()
	require.NoError(t, err, string(out))
	cert := testCert()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	b := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	b = append(b, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	require.NoError(t, os.WriteFile(o.path("cert.pem"), b, 0o600))
	return o
}

func (o *openSSL) path(name string) string { return filepath.Join(o.dir, name) }

func (o *openSSL) command(ctx context.Context, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "openssl", args...)
	c.Env = append(os.Environ(), "LD_PRELOAD="+o.shim, "KDF_LOG="+o.path("kdf"))
	return c
}

// serve starts s_server, which answers each line by its reverse; when plain is set it takes commands instead.
func (o *openSSL) serve(plain bool, args ...string) {
	o.server = testkit.Addr(o.t)
	args = append([]string{"s_server", "-accept", o.server, "-cert", o.path("cert.pem")}, args...)
	if !plain {
		args = append(args, "-rev", "-quiet")
	}
	c := o.command(o.t.Context(), args...)
	c.Cancel = func() error { return c.Process.Kill() }
	o.in = o.input(c) // it ends at the end of its input
	if o.said = nil; plain {
		o.said = &said{}
		c.Stdout = o.said
	}
	require.NoError(o.t, c.Start())
	o.t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
		_ = o.in.Close()
	})
}

// input gives a program a pipe to read, and returns its other end.
func (o *openSSL) input(c *exec.Cmd) *os.File {
	o.t.Helper()
	r, w, err := os.Pipe()
	require.NoError(o.t, err)
	c.Stdin = r
	o.t.Cleanup(func() { _, _ = r.Close(), w.Close() })
	return w
}

// write gives a program a line and returns when it has read it: these programs take a command only at the beginning of what
// one read gives them.
func (o *openSSL) write(in *os.File, line string) {
	o.t.Helper()
	_, err := io.WriteString(in, line+"\n")
	require.NoError(o.t, err)
	o.until("the program reads its input", func() bool {
		left, err := unix.IoctlGetInt(int(in.Fd()), unix.TIOCINQ)
		require.NoError(o.t, err)
		return left == 0
	})
}

func (o *openSSL) until(what string, happened func() bool) {
	o.t.Helper()
	for end := time.Now().Add(testkit.Patience); !happened(); time.Sleep(time.Millisecond) {
		require.True(o.t, time.Now().Before(end), what)
	}
}

// said is what a program printed so far.
type said struct {
	mu  sync.Mutex
	out bytes.Buffer
}

func (s *said) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(b)
}

func (s *said) has(text string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Contains(s.out.String(), text)
}

// toServer begins a line that s_server is given, not s_client.
const toServer = "server: "

// connect runs s_client with the given lines of input through the proxy and returns what was
// seen. It waits for each line's echo before the next when echo is set.
func (o *openSSL) connect(echo bool, lines []string, args ...string) *capture {
	o.t.Helper()
	_ = os.Remove(o.path("keys"))
	_ = os.Remove(o.path("kdf"))
	if session := slices.Index(args, "-sess_out"); session >= 0 {
		require.NoError(o.t, os.RemoveAll(args[session+1]))
	}
	ctx, cancel := context.WithTimeout(o.t.Context(), testkit.Patience)
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(o.t, err)
	defer l.Close()
	rec := &capture{}
	done := make(chan error, 1)
	go func() { done <- o.proxy(ctx, l, rec) }()
	args = append([]string{"s_client", "-connect", l.Addr().String(), "-servername", "example.test", "-alpn", "h2,http/1.1", "-keylogfile", o.path("keys")}, args...)
	c := o.command(ctx, args...)
	in := o.input(c)
	out, err := c.StdoutPipe()
	require.NoError(o.t, err)
	require.NoError(o.t, c.Start())
	var got bytes.Buffer
	buf := make([]byte, 65536)
	wait := func(s string) {
		for !strings.Contains(got.String(), s) {
			n, err := out.Read(buf)
			got.Write(buf[:n])
			require.NoError(o.t, err, "waiting for %q in %q", s, got.String())
		}
	}
	wait("---\n")
	for _, line := range lines {
		command, toServer := strings.CutPrefix(line, toServer)
		switch {
		case toServer && len(command) > 1:
			o.write(o.in, command)
			wait(command)
		case toServer:
			before := rec.sent()
			o.write(o.in, command)
			o.until("the client answers what the server asks of it", func() bool { return rec.sent() > before })
		case len(line) == 1:
			o.write(in, line) // what follows it does, too
		case echo:
			o.write(in, line)
			wait(reverse(line))
		default:
			o.write(in, line)
			o.until("the server has the line", func() bool { return o.said.has(line) })
		}
	}
	if session := slices.Index(args, "-sess_out"); session >= 0 && !echo { // what was echoed came after it
		o.until("the client has a session", func() bool {
			text, _ := os.ReadFile(args[session+1])
			return bytes.Contains(text, []byte("-----END SSL SESSION"))
		})
	}
	if !o.ends {
		_, _ = io.WriteString(in, "Q\n")
	}
	_, _ = io.Copy(io.Discard, out)
	if err := c.Wait(); !o.ends {
		require.NoError(o.t, err)
	}
	require.NoError(o.t, <-done)
	return rec
}

// connectUntilEnd is connect for lines after which s_client ends by itself, with an error.
func (o *openSSL) connectUntilEnd(lines []string, args ...string) *capture {
	o.t.Helper()
	c := *o
	c.ends = true
	return c.connect(true, lines, args...)
}

// keyLog is what the client's key log has.
func (o *openSSL) keyLog() string {
	b, err := os.ReadFile(o.path("keys"))
	require.NoError(o.t, err)
	return string(b)
}

func (o *openSSL) proxy(ctx context.Context, l net.Listener, rec *capture) error {
	a, err := l.Accept()
	if err != nil {
		return err
	}
	defer a.Close()
	var b net.Conn
	for ctx.Err() == nil { // until s_server listens
		var d net.Dialer
		if b, err = d.DialContext(ctx, "tcp", o.server); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	defer b.Close()
	var wg sync.WaitGroup
	copyTo := func(dst, src net.Conn, fromClient bool) {
		_, _ = io.Copy(tap{dst, rec, fromClient}, onlyReader{src})
		if t, ok := dst.(*net.TCPConn); ok {
			_ = t.CloseWrite()
		}
	}
	wg.Go(func() { copyTo(b, a, true) })
	wg.Go(func() { copyTo(a, b, false) })
	wg.Wait()
	return nil
}

// onlyReader hides the methods by which io.Copy would go round the tap.
type onlyReader struct{ io.Reader }

func reverse(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

// secrets returns what the run left: in key-log form, or as the key derivations of both ends.
func (o *openSSL) secrets(derived bool) (all []*event.Secret) {
	if !derived {
		b, err := os.ReadFile(o.path("keys"))
		require.NoError(o.t, err)
		c := &capture{}
		_, err = c.Write(b)
		require.NoError(o.t, err)
		for _, s := range c.seen {
			all = append(all, s.secret)
		}
		return all
	}
	b, err := os.ReadFile(o.path("kdf"))
	require.NoError(o.t, err)
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		require.Len(o.t, f, 3)
		all = append(all, &event.Secret{
			Kind: event.SecretTLS13Derive, Label: strings.ReplaceAll(f[0], "_", " "),
			Secret: unhex(o.t, f[1]), Context: unhex(o.t, f[2]),
		})
	}
	return all
}

func (o *openSSL) read(rec *capture, derived bool) *rig {
	r := newRig(o.t, Limits{})
	for _, s := range o.secrets(derived) {
		r.add(s)
	}
	r.replay(rec)
	r.end()
	require.Empty(o.t, r.notVisible)
	require.Zero(o.t, r.gaps)
	require.Zero(o.t, r.st.TagFailures)
	return r
}

func TestOpenSSL(t *testing.T) {
	o := newOpenSSL(t)
	lines := []string{"first line", strings.Repeat("long line ", 700), "last"}
	var sent, got string
	for _, l := range lines {
		sent += l + "\n"
		got += reverse(l) + "\n"
	}
	for _, x := range []struct {
		name           string
		server, client []string
		cipher         string
		lines          []string
	}{
		{name: "aes128", client: []string{"-ciphersuites", "TLS_AES_128_GCM_SHA256"}, cipher: "TLS_AES_128_GCM_SHA256"},
		{name: "aes256", client: []string{"-ciphersuites", "TLS_AES_256_GCM_SHA384"}, cipher: "TLS_AES_256_GCM_SHA384"},
		{name: "chacha", client: []string{"-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"}, cipher: "TLS_CHACHA20_POLY1305_SHA256"},
		{name: "hello_retry", server: []string{"-groups", "P-384"}, client: []string{"-groups", "X25519:P-384"}},
		{name: "client_certificate", server: []string{"-Verify", "1"}, client: []string{"-cert", o.path("cert.pem")}},
		{name: "key_update", lines: []string{lines[0], "k", lines[1], "K", "K", "k", lines[2]}},
		{name: "padding", server: []string{"-record_padding", "512"}, client: []string{"-record_padding", "1000"}},
		{name: "split", server: []string{"-split_send_frag", "512", "-max_send_frag", "512"}, client: []string{"-max_send_frag", "600"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			o := *o
			o.t = t
			o.serve(false, append(x.server, "-alpn", "http/1.1")...)
			in := lines
			if x.lines != nil {
				in = x.lines
			}
			rec := o.connect(true, in, append([]string{"-tls1_3"}, x.client...)...)
			for _, derived := range []bool{true, false} {
				r := o.read(rec, derived)
				require.Equal(t, sent, r.sent.String())
				require.Equal(t, got, r.got.String())
				want := Info{Version: "1.3", Cipher: x.cipher, SNI: "example.test", ALPN: "http/1.1", Full: true, Visible: true}
				if x.cipher == "" {
					want.Cipher = r.last().Cipher
				}
				require.Equal(t, want, basic(r.last()))
				require.Equal(t, x.name == "hello_retry", r.retried)
			}
		})
	}
	t.Run("resumption", func(t *testing.T) {
		o := *o
		o.t = t
		o.serve(false)
		o.connect(true, lines, "-tls1_3", "-sess_out", o.path("session"))
		rec := o.connect(true, lines, "-tls1_3", "-sess_in", o.path("session"))
		for _, derived := range []bool{true, false} {
			r := o.read(rec, derived)
			require.Equal(t, sent, r.sent.String())
			require.Equal(t, got, r.got.String())
			require.True(t, r.last().Resumed)
		}
	})
	t.Run("tls12", func(t *testing.T) {
		for _, cipher := range []string{"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"} {
			o := *o
			o.t = t
			o.serve(false)
			rec := o.connect(true, lines, "-tls1_2", "-cipher", cipher, "-sess_out", o.path("session12"))
			r := o.read(rec, false)
			require.Equal(t, sent, r.sent.String())
			require.Equal(t, got, r.got.String())
			rec = o.connect(true, lines, "-tls1_2", "-cipher", cipher, "-sess_in", o.path("session12"))
			r = o.read(rec, false)
			require.Equal(t, sent, r.sent.String())
			require.True(t, r.last().Resumed)
		}
	})
}

// 0-RTT: read when its secret is known, passed over when it is not or the server refuses it.
func TestOpenSSLEarlyData(t *testing.T) {
	o := newOpenSSL(t)
	early := strings.Repeat("early data ", 200)
	require.NoError(t, os.WriteFile(o.path("early"), []byte(early), 0o600))
	for _, accept := range []bool{true, false} {
		o.serve(true, "-early_data", "-no_anti_replay")
		o.connect(false, []string{"x"}, "-tls1_3", "-sess_out", o.path("session"))
		if !accept {
			// Another server refuses the session, and with it the data.
			o.serve(true, "-early_data", "-no_anti_replay")
		}
		rec := o.connect(false, []string{"then this"}, "-tls1_3", "-sess_in", o.path("session"), "-early_data", o.path("early"))
		for _, derived := range []bool{true, false} {
			r := o.read(rec, derived)
			if accept {
				require.Equal(t, early+"then this\n", r.sent.String())
			} else {
				require.Equal(t, "then this\n", r.sent.String())
				require.NotZero(t, r.st.EarlyRejected)
			}
		}
		// Without its secret.
		r := newRig(t, Limits{})
		for _, s := range o.secrets(true) {
			if s.Label != "c e traffic" {
				r.add(s)
			}
		}
		r.replay(rec)
		r.end()
		require.Empty(t, r.notVisible)
		require.Equal(t, "then this\n", r.sent.String())
		if accept {
			require.Equal(t, 1, r.gaps[0])
		}
	}
	// Refused by HelloRetryRequest.
	o.serve(true, "-early_data", "-no_anti_replay", "-groups", "X25519:P-384")
	o.connect(false, []string{"x"}, "-tls1_3", "-groups", "X25519:P-384", "-sess_out", o.path("session"))
	o.serve(true, "-early_data", "-no_anti_replay", "-groups", "P-384")
	rec := o.connect(false, []string{"then this"}, "-tls1_3", "-groups", "X25519:P-384", "-sess_in", o.path("session"), "-early_data", o.path("early"))
	r := o.read(rec, true)
	require.Equal(t, "then this\n", r.sent.String())
	require.True(t, r.retried)
	require.NotZero(t, r.st.EarlyRejected)
}
