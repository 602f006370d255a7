// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

var sizes = []int{0, 1, 100, 20000, 5, 16384, 70000, 3}

func TestGo13(t *testing.T) {
	client, server := testConfigs()
	c := record(t, client, server, sizes...)
	r := newRig(t, Limits{})
	r.replay(c)
	r.end()
	r.requireAll(c)
	require.Equal(t, Info{Version: "1.3", Cipher: r.last().Cipher, SNI: "example.test", ALPN: "http/1.1", Full: true, Visible: true}, basic(r.last()))
	require.Contains(t, []string{"TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"}, r.last().Cipher)
}

func TestGoVariants(t *testing.T) {
	for name, f := range map[string]func(client, server *tls.Config){
		"hello_retry": func(client, server *tls.Config) {
			client.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
			server.CurvePreferences = []tls.CurveID{tls.CurveP384}
		},
		"client_certificate": func(client, server *tls.Config) {
			client.Certificates = []tls.Certificate{testCert()}
			server.ClientAuth = tls.RequireAnyClientCert
		},
		"no_alpn": func(client, server *tls.Config) { client.NextProtos = nil },
		"tls12_aes128": func(client, _ *tls.Config) {
			client.MaxVersion = tls.VersionTLS12
			client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
		},
		"tls12_aes256": func(client, _ *tls.Config) {
			client.MaxVersion = tls.VersionTLS12
			client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		},
		"tls12_chacha": func(client, _ *tls.Config) {
			client.MaxVersion = tls.VersionTLS12
			client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := testConfigs()
			f(client, server)
			c := record(t, client, server, sizes...)
			r := newRig(t, Limits{})
			r.replay(c)
			r.end()
			r.requireAll(c)
			require.Equal(t, name == "hello_retry", r.retried)
			require.False(t, r.last().Resumed)
			require.True(t, r.last().Full)
			require.Equal(t, "CN=example.test", r.last().Certificate.Subject)
			require.Equal(t, "example.test", r.last().SNI)
			if name != "no_alpn" {
				require.Equal(t, "http/1.1", r.last().ALPN)
			}
		})
	}
}

func TestGoResumption(t *testing.T) {
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(v), func(t *testing.T) {
			client, server := testConfigs()
			client.MaxVersion = v
			server.SetSessionTicketKeys([][32]byte{{1}}) // each connection clones the config
			client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			var master seen
			for i := range 3 {
				c := record(t, client, server, 100, 5)
				if v == tls.VersionTLS12 && i == 0 {
					for _, s := range c.seen {
						if s.secret != nil {
							master = s
						}
					}
				} else if v == tls.VersionTLS12 {
					// Go does not log the master secret of a resumed TLS 1.2 session. OpenSSL's key
					// derivation shows it with the new client random.
					r := newRig(t, Limits{})
					r.replay(c)
					r.end()
					require.Equal(t, []string{ReasonNoSecret}, r.notVisible)
					again := *master.secret
					again.Context = c.stream(true)[11:43]
					c.seen = append([]seen{{secret: &again}}, c.seen...)
				}
				r := newRig(t, Limits{})
				r.replay(c)
				r.end()
				r.requireAll(c)
				require.Equal(t, i > 0, r.last().Resumed)
				require.Equal(t, i == 0, r.last().Full)
			}
		})
	}
}

// The bytes come in pieces of any size, the directions in any order that the handshake allows,
// and the secrets late.
func TestChunkingAndLateSecrets(t *testing.T) {
	client, server := testConfigs()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client.MaxVersion = v
		c := record(t, client, server, sizes...)
		for seed := range uint64(60) {
			rnd := rand.New(rand.NewPCG(seed, 2))
			r := newRig(t, Limits{MaxWaiting: 1 << 20})
			streams := [2][]byte{c.stream(true), c.stream(false)}
			var secrets []seen
			for _, s := range c.seen {
				if s.secret != nil {
					secrets = append(secrets, s)
				}
			}
			rnd.Shuffle(len(secrets), func(i, j int) { secrets[i], secrets[j] = secrets[j], secrets[i] })
			for len(streams[0])+len(streams[1])+len(secrets) > 0 {
				if i := rnd.IntN(8); i == 7 && len(secrets) > 0 {
					r.add(secrets[0].secret)
					secrets = secrets[1:]
					r.Tick(r.t)
				} else {
					n := min(1+rnd.IntN(1<<rnd.IntN(15)), len(streams[i%2]))
					r.feed(i%2 == 0, streams[i%2][:n])
					streams[i%2] = streams[i%2][n:]
				}
			}
			r.Tick(r.t)
			r.end()
			r.requireAll(c)
		}
	}
}

func TestNoSecret(t *testing.T) {
	client, server := testConfigs()
	c := record(t, client, server, 100)
	r := newRig(t, Limits{})
	for _, s := range c.seen {
		if s.secret == nil {
			r.feed(s.fromClient, s.b)
		}
	}
	require.True(t, r.Waiting())
	require.Equal(t, "example.test", r.last().SNI)
	r.Tick(int64(4 * time.Second))
	require.Empty(t, r.notVisible)
	r.Tick(int64(6 * time.Second))
	require.Equal(t, []string{ReasonNoSecret}, r.notVisible)
	require.Zero(t, r.st.Buffered)
	r.end()

	// A bound of bytes ends it as well.
	c = record(t, client, server, 200_000)
	r = newRig(t, Limits{MaxWaiting: 100_000})
	for _, s := range c.seen {
		if s.secret == nil {
			r.feed(s.fromClient, s.b)
			require.LessOrEqual(t, r.st.Buffered, uint64(100_000))
		}
	}
	require.Equal(t, []string{ReasonNoSecret}, r.notVisible)
	r.end()
}

// TestResponseWaitsForItsRequest: where all waited for secrets, and the server's come first, nothing of a response is shown
// before what was sent earlier.
func TestResponseWaitsForItsRequest(t *testing.T) {
	client, server := testConfigs()
	c := record(t, client, server, 100)
	for _, late := range []string{"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0"} {
		t.Run(late, func(t *testing.T) {
			r := newRig(t, Limits{})
			for _, s := range c.seen {
				if s.secret == nil {
					r.feed(s.fromClient, s.b)
				}
			}
			for _, last := range []bool{false, true} {
				require.Zero(t, r.got.Len())
				for _, s := range c.seen {
					if s.secret != nil && (s.secret.Label == late) == last {
						r.add(s.secret)
					}
				}
				r.Tick(r.t)
			}
			r.end()
			r.requireAll(c)
		})
	}
}

// TestUnreadableSecret: a secret that its program had, and that could not be read, is not one that never was.
func TestUnreadableSecret(t *testing.T) {
	client, server := testConfigs()
	for _, v := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		client.MaxVersion = v
		c := record(t, client, server, 100)
		for name, whose := range map[string]bool{"of this connection": true, "of nobody knows which": false} {
			t.Run(tls.VersionName(v)+" "+name, func(t *testing.T) {
				r := newRig(t, Limits{})
				want := []string{ReasonNoSecret}
				if whose {
					want = []string{ReasonUnreadableSecret}
				}
				n := uint64(0)
				for _, s := range c.seen {
					if s.secret == nil {
						r.feed(s.fromClient, s.b)
						continue
					}
					x := *s.secret
					x.Secret = nil
					if !whose {
						x.Context = nil
					}
					r.keys.Add(&x)
					n++
				}
				r.end()
				require.Equal(t, want, r.notVisible)
				require.Equal(t, n, r.keys.Stats().Unreadable)
				k := r.keys.Stats()
				require.Equal(t, k.Secrets, k.Added+k.Merged+k.Ignored+k.Malformed)

				// The other end may have what one end's memory has not.
				if whose {
					r = newRig(t, Limits{})
					for _, s := range c.seen {
						if s.secret != nil {
							r.keys.Add(&event.Secret{Kind: s.secret.Kind, Label: s.secret.Label, Context: s.secret.Context})
						}
					}
					r.replay(c)
					r.end()
					r.requireAll(c)
				}
			})
		}
	}
}

func TestWrongSecretIsNotBelieved(t *testing.T) {
	client, server := testConfigs()
	c := record(t, client, server, 100)
	r := newRig(t, Limits{})
	for _, s := range c.seen {
		if s.secret != nil {
			s.secret.Secret[3] ^= 1
		}
	}
	r.replay(c)
	require.Equal(t, []string{ReasonDecrypt}, r.notVisible)
	require.Empty(t, r.sent.Bytes())
	require.Empty(t, r.got.Bytes())
	r.end()
}

func TestAttachedLateAndGapInHandshake(t *testing.T) {
	client, server := testConfigs()
	c := record(t, client, server, 30000)
	r := newRig(t, Limits{})
	b := c.stream(false)
	r.feed(false, b[len(b)-16384-22-100:])
	r.feed(true, c.stream(true)[:10])
	r.feed(false, b)
	r.end()
	require.Len(t, r.notVisible, 1)

	r = newRig(t, Limits{})
	r.feed(true, []byte{typeApplication, 3, 3, 0, 30})
	r.feed(true, make([]byte, 30))
	require.Equal(t, []string{ReasonAttachedLate}, r.notVisible)
	r.end()

	for _, fromClient := range []bool{true, false} {
		r = newRig(t, Limits{})
		r.lose(fromClient, 10)
		r.feed(fromClient, make([]byte, 10))
		require.Equal(t, []string{ReasonGapInHandshake}, r.notVisible)
		r.end()
	}
}

func TestSniff(t *testing.T) {
	client, server := testConfigs()
	c := record(t, client, server, 1)
	for _, fromClient := range []bool{true, false} {
		b := c.stream(fromClient)
		for n := range sniffLen {
			match, more := Sniff(b[:n])
			require.False(t, match)
			require.True(t, more, n)
		}
		match, more := Sniff(b)
		require.True(t, match)
		require.False(t, more)
	}
	for _, s := range []string{"GET / HTTP/1.1", "\x16\x03\x01", "\x17\x03\x03\x00\x20", "SSH-2.0-x", "\x16\x03\x01\x02\x00\x03\x00"} {
		match, more := Sniff([]byte(s))
		require.False(t, match, s)
		require.Equal(t, s == "\x16\x03\x01", more, s)
	}
}

func TestKeyStoreBounds(t *testing.T) {
	k := NewKeyStore(KeyLimits{MaxEntries: 10, TTL: time.Second})
	for i := range 5000 {
		s := keyLog("CLIENT_RANDOM", fmt.Sprintf("%032d", i), 48)
		s.Time = int64(i) * 1e6
		k.Add(s)
		st := k.Stats()
		require.Equal(t, st.Added, st.Entries+st.Expired+st.Evicted)
		require.LessOrEqual(t, len(k.entries), 10)
	}
	require.EqualValues(t, 4990, k.Stats().Evicted)
	k.Tick(4995e6 + 1e9)
	require.EqualValues(t, 4, k.Stats().Entries)
	k.Add(keyLog("EXPORTER_SECRET", fmt.Sprintf("%032d", 1), 48))
	k.Add(keyLog("CLIENT_RANDOM", "short", 48))
	k.Add(keyLog("CLIENT_TRAFFIC_SECRET_0", fmt.Sprintf("%032d", 1), 31))
	require.EqualValues(t, 1, k.Stats().Ignored)
	require.EqualValues(t, 2, k.Stats().Malformed)
	k.Close()
	require.Zero(t, k.Stats().Entries)
	require.Empty(t, k.entries)
}
