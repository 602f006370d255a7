// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// seen is one thing that was seen of a connection, in order: bytes or a secret.
type seen struct {
	fromClient bool
	b          []byte
	secret     *event.Secret
}

// capture records a connection and its secrets as they come.
type capture struct {
	mu   sync.Mutex
	seen []seen
	// what the programs sent
	request, response bytes.Buffer
}

func (c *capture) data(fromClient bool, b []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, seen{fromClient: fromClient, b: bytes.Clone(b)})
}

// Write takes key log lines (RFC 9850).
func (c *capture) Write(b []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) != 3 || strings.HasPrefix(line, "#") {
			continue
		}
		random, err1 := hex.DecodeString(f[1])
		secret, err2 := hex.DecodeString(f[2])
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		c.seen = append(c.seen, seen{secret: &event.Secret{Kind: event.SecretKeyLog, Label: f[0], Context: random, Secret: secret}})
	}
	return len(b), nil
}

// sent is how much the client has sent so far.
func (c *capture) sent() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.stream(true))
}

func (c *capture) stream(fromClient bool) (b []byte) {
	for _, s := range c.seen {
		if s.secret == nil && s.fromClient == fromClient {
			b = append(b, s.b...)
		}
	}
	return b
}

// tap records what is written to a connection.
type tap struct {
	net.Conn
	c      *capture
	client bool
}

func (t tap) Write(b []byte) (int, error) {
	t.c.data(t.client, b)
	return t.Conn.Write(b)
}

var testCert = sync.OnceValue(func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "example.test"}, DNSNames: []string{"example.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
})

func testConfigs() (client, server *tls.Config) {
	return &tls.Config{ServerName: "example.test", InsecureSkipVerify: true, NextProtos: []string{"h2", "http/1.1"}}, //nolint:gosec // a test peer
		&tls.Config{Certificates: []tls.Certificate{testCert()}, NextProtos: []string{"http/1.1"}} //nolint:gosec // likewise
}

// record runs real crypto/tls ends against each other: each of sizes is a message to the
// server and one twice as long back.
func record(t testing.TB, client, server *tls.Config, sizes ...int) *capture {
	t.Helper()
	c := &capture{}
	client, server = client.Clone(), server.Clone()
	client.KeyLogWriter, server.KeyLogWriter = c, c
	// Not net.Pipe: it holds no bytes, and both ends may write at once.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	a, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	b, err := l.Accept()
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		s := tls.Server(tap{b, c, false}, server)
		done <- func() error {
			for _, n := range sizes {
				buf := make([]byte, n)
				if _, err := io.ReadFull(s, buf); err != nil {
					return err
				}
				out := append(bytes.Clone(buf), buf...)
				c.response.Write(out)
				if _, err := s.Write(out); err != nil {
					return err
				}
			}
			return nil
		}()
	}()
	cl := tls.Client(tap{a, c, true}, client)
	for i, n := range sizes {
		buf := bytes.Repeat([]byte{byte('a' + i%26)}, n)
		if n > 8 {
			copy(buf, "message ")
		}
		c.request.Write(buf)
		_, err := cl.Write(buf)
		require.NoError(t, err)
		_, err = io.ReadFull(cl, make([]byte, 2*n))
		require.NoError(t, err)
	}
	require.NoError(t, <-done)
	_, _ = a.Close(), b.Close()
	return c
}

// result is a Sink that keeps everything and checks the contract.
type result struct {
	t                 testing.TB
	infos             []Info
	notVisible        []string
	sent, got         bytes.Buffer
	pos               [2]uint64
	gaps              [2]int
	ended             int
	deliveredAfterEnd bool
}

func (r *result) Data(fromClient bool, _ int64, pos uint64, b []byte) {
	i, buf := 1, &r.got
	if fromClient {
		i, buf = 0, &r.sent
	}
	require.NotEmpty(r.t, b)
	require.GreaterOrEqual(r.t, pos, r.pos[i], "positions only grow")
	r.pos[i] = pos + uint64(len(b))
	buf.Write(b)
	r.deliveredAfterEnd = r.deliveredAfterEnd || r.ended > 0 || len(r.notVisible) > 0
}

func (r *result) Gap(fromClient bool, _ int64, pos, n uint64) {
	i := 1
	if fromClient {
		i = 0
	}
	require.GreaterOrEqual(r.t, pos, r.pos[i])
	require.Zero(r.t, n)
	r.gaps[i]++
}

func (r *result) Close(int64, bool)        { r.ended++ }
func (r *result) TLS(i Info)               { r.infos = append(r.infos, i) }
func (r *result) NotVisible(reason string) { r.notVisible = append(r.notVisible, reason) }

func (r *result) last() Info {
	if len(r.infos) == 0 {
		return Info{}
	}
	return r.infos[len(r.infos)-1]
}

// basic leaves out of an Info what differs from run to run.
func basic(i Info) Info {
	i.JA3, i.JA4, i.Certificate = "", "", Certificate{}
	return i
}

func checkBooks(t testing.TB, c *Conn) {
	t.Helper()
	s := c.stats
	require.Equal(t, s.In, s.Consumed+s.Skipped+s.Dropped+s.Buffered)
	require.EqualValues(t, len(c.client.in)+len(c.server.in), s.Buffered)
}

type rig struct {
	keys *KeyStore
	*Conn
	*result
	st  *Stats
	off [2]uint64
	t   int64
}

func newRig(t testing.TB, l Limits) *rig {
	r := &rig{keys: NewKeyStore(KeyLimits{}), result: &result{t: t}, st: &Stats{}}
	r.Conn = NewConn(r.keys, r.result, l, r.st)
	return r
}

func (r *rig) feed(fromClient bool, b []byte) {
	i := 1
	if fromClient {
		i = 0
	}
	r.t++
	r.Conn.Data(fromClient, r.t, r.off[i], b)
	r.off[i] += uint64(len(b))
	checkBooks(r.result.t, r.Conn)
}

func (r *rig) lose(fromClient bool, n int) {
	i := 1
	if fromClient {
		i = 0
	}
	r.t++
	r.Conn.Gap(fromClient, r.t, r.off[i], uint64(n))
	r.off[i] += uint64(n)
	checkBooks(r.result.t, r.Conn)
}

func (r *rig) add(s *event.Secret) {
	c := *s
	c.Secret = bytes.Clone(s.Secret)
	c.Time = r.t
	r.keys.Add(&c)
	for _, b := range c.Secret {
		require.Zero(r.result.t, b, "the captured secret is wiped")
	}
}

func (r *rig) end() {
	r.Conn.Close(r.t, false)
	require.Equal(r.result.t, 1, r.ended)
	require.False(r.result.t, r.deliveredAfterEnd)
	require.Zero(r.result.t, r.st.Buffered)
	checkBooks(r.result.t, r.Conn)
	require.LessOrEqual(r.result.t, len(r.notVisible), 1)
}

// replay feeds a capture as it was.
func (r *rig) replay(c *capture) {
	for _, s := range c.seen {
		if s.secret != nil {
			r.add(s.secret)
		} else {
			r.feed(s.fromClient, s.b)
		}
	}
}

func (r *rig) requireAll(c *capture) {
	r.result.t.Helper()
	require.Empty(r.result.t, r.notVisible)
	require.True(r.result.t, bytes.Equal(c.request.Bytes(), r.sent.Bytes()), "request")
	require.True(r.result.t, bytes.Equal(c.response.Bytes(), r.got.Bytes()), "response")
	require.True(r.result.t, r.last().Visible)
	require.Zero(r.result.t, r.gaps)
	require.Zero(r.result.t, r.st.TagFailures)
}

func keyLog(label, random string, n int) *event.Secret {
	return &event.Secret{Kind: event.SecretKeyLog, Label: label, Context: []byte(random), Secret: bytes.Repeat([]byte{7}, n)}
}
