// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// said is one write of one end.
type said struct {
	client bool
	b      []byte
}

// tapped records what is written.
type tapped struct {
	net.Conn
	client bool
	mu     *sync.Mutex
	to     *[]said
}

func (c *tapped) Write(b []byte) (int, error) {
	c.mu.Lock()
	*c.to = append(*c.to, said{c.client, bytes.Clone(b)})
	c.mu.Unlock()
	return c.Conn.Write(b)
}

// overTLS is what goes over the wire when a client says request and a server answers, and the
// key log of it.
func overTLS(t *testing.T, alpn, request, response string) (wire []said, keyLog string) {
	t.Helper()
	return exchangesOverTLS(t, alpn, 1, request, response)
}

// exchangesOverTLS is that n times on one connection.
func exchangesOverTLS(t *testing.T, alpn string, n int, request, response string) (wire []said, keyLog string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"h"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)

	var log bytes.Buffer
	var mu sync.Mutex
	a, b := net.Pipe()
	client := tls.Client(&tapped{a, true, &mu, &wire}, &tls.Config{InsecureSkipVerify: true, ServerName: "h", NextProtos: []string{alpn}, KeyLogWriter: &log})
	server := tls.Server(&tapped{b, false, &mu, &wire}, &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, NextProtos: []string{alpn}, SessionTicketsDisabled: true,
	})
	var wg sync.WaitGroup
	wg.Go(func() {
		got := make([]byte, len(request))
		for range n {
			if _, err := server.Read(got); err == nil {
				_, _ = server.Write([]byte(response))
			}
		}
	})
	for range n {
		_, err = client.Write([]byte(request))
		require.NoError(t, err)
		_, err = client.Read(make([]byte, len(response)))
		require.NoError(t, err)
	}
	wg.Wait()
	_, _ = a.Close(), b.Close()
	return wire, log.String()
}

// keyLog tells the engine of the secrets in a key log.
func (b *bench) keyLog(text string) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		random, _ := hex.DecodeString(f[1])
		secret, _ := hex.DecodeString(f[2])
		b.e.Secret(&event.Secret{Kind: event.SecretKeyLog, Time: b.now, TGID: 100, Label: f[0], Context: random, Secret: secret})
	}
}

func TestSecretsEndWithTheEngine(t *testing.T) {
	wire, log := overTLS(t, "http/1.1", getRequest, okResponse)
	b := newBench(t)
	w := b.dial(1).open()
	b.keyLog(log)
	for _, s := range wire {
		w.send(s.client, string(s.b))
	}
	require.NotZero(t, b.e.keys.Stats().Entries)
	b.close()
	require.Zero(t, b.e.keys.Stats().Entries)
	require.Equal(t, map[string][]string{"/users/42": {"200", "200"}}, statusOf(t, b))
}

func TestTLSThatNobodyReadsIsLetGo(t *testing.T) {
	wire, log := overTLS(t, "imap", "a1 NOOP\r\n", "a1 OK\r\n")
	b := newBench(t)
	w := b.dial(1).open()
	b.keyLog(log)
	for _, s := range wire {
		w.send(s.client, string(s.b))
	}
	c := b.e.byCookie[w.client]
	require.True(t, c.app.encrypted)
	require.Nil(t, c.app.tls, "the keys of a connection that is not read are not kept")
	require.Zero(t, b.e.counts.tls.Buffered)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Len(t, b.records(semantic.EventConnection), 2)
	for _, r := range b.records(semantic.EventConnection) {
		require.Equal(t, "unknown_protocol", str(t, r.Attributes(), semantic.PayloadReason))
		require.Equal(t, "imap", str(t, r.Attributes(), semantic.TLSNextProtocol))
	}
}

func TestLateSecretsOfBothDirections(t *testing.T) {
	wire, log := overTLS(t, "http/1.1", getRequest, okResponse)
	b := newBench(t)
	w := b.dial(1).open()
	for _, s := range wire {
		w.send(s.client, string(s.b))
	}
	b.keyLog(log)
	b.idle(50 * time.Millisecond)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Equal(t, map[string][]string{"/users/42": {"200", "200"}}, statusOf(t, b))
}
