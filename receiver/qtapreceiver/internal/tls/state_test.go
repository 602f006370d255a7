// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"crypto/tls"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// resumed continues a rig in a new one, as after a restart of the program: it has the State and no secrets.
func (r *rig) resumed(s *State) *rig {
	n := &rig{keys: NewKeyStore(KeyLimits{}), result: &result{t: r.result.t}, st: &Stats{}, off: r.off, t: r.t}
	n.pos = r.off
	n.Conn = Resume(n.keys, n.result, Limits{}, n.st, s, r.off[0], r.off[1])
	require.NotNil(r.result.t, n.Conn)
	return n
}

// TestResume restarts at every point of a connection, having missed nothing or something.
func TestResume(t *testing.T) {
	for name, f := range map[string]func(*tls.Config){
		"tls13": func(*tls.Config) {},
		"tls12_aes256": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384}
		},
		"tls12_cbc": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		},
		"tls12_chacha": func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := testConfigs()
			f(client)
			rnd := rand.New(rand.NewPCG(1, 1))
			sizes := make([]int, 45)
			for i := range sizes {
				sizes[i] = 1 + rnd.IntN(1<<rnd.IntN(14))
			}
			c := record(t, client, server, sizes...)
			resumes := 0
			for at := range c.seen {
				for _, missed := range []int{0, 1, 5} {
					r := newRig(t, Limits{})
					feed := func(part []seen) {
						for _, s := range part {
							if s.secret != nil {
								r.add(s.secret)
							} else {
								r.feed(s.fromClient, s.b)
							}
						}
					}
					feed(c.seen[:at])
					var s State
					if !r.State(&s) {
						continue
					}
					resumes++
					before := r.got.Len() + r.sent.Len()
					partial := len(r.client.in) + len(r.server.in)
					end := min(at+missed, len(c.seen))
					for _, m := range c.seen[at:end] {
						if m.fromClient {
							r.off[0] += uint64(len(m.b))
						} else {
							r.off[1] += uint64(len(m.b))
						}
					}
					r = r.resumed(&s)
					require.Equal(t, "example.test", r.last().SNI)
					require.True(t, r.last().Full)
					require.False(t, r.last().Visible, "not before a tag proves it")
					feed(c.seen[end:])
					r.end()
					require.Empty(t, r.notVisible)
					require.True(t, bytes.HasSuffix(c.request.Bytes(), r.sent.Bytes()))
					require.True(t, bytes.HasSuffix(c.response.Bytes(), r.got.Bytes()))
					if missed == 0 && partial == 0 {
						require.Equal(t, c.request.Len()+c.response.Len(), before+r.sent.Len()+r.got.Len())
						require.Zero(t, r.st.Resyncs)
					}
					if end < len(c.seen)-8 {
						require.True(t, r.last().Visible)
						require.NotZero(t, r.sent.Len())
						require.NotZero(t, r.got.Len())
					}
				}
			}
			require.Greater(t, resumes, 150)
		})
	}
}

func TestResumeAfterKeyUpdate(t *testing.T) {
	s := suites[0x1301]
	sizes := make([]int, 100)
	for i := range sizes {
		sizes[i] = 100
	}
	y, traffic := newSynthetic(t, s, sizes, 50)
	for _, stop := range []int{20, 70} { // before the update, and after it
		r := established(t, s, traffic)
		r.client.state = stateEncrypted
		k, err := newProtection(s, traffic)
		require.NoError(t, err)
		r.client.setKeys(k)
		r.feed(false, y.b[:y.starts[stop]])
		var st State
		require.True(t, r.State(&st))
		r.off[1] = uint64(y.starts[80] + 7) // within a record
		n := r.resumed(&st)
		n.feed(false, y.b[y.starts[80]+7:])
		var want []byte
		for _, p := range y.plain[81:] {
			want = append(want, p...)
		}
		require.True(t, bytes.Equal(want, n.got.Bytes()))
		n.end()
	}
}

// TestNoStateWithinAMessage: the rest of a KeyUpdate whose beginning was forgotten would not be understood.
func TestNoStateWithinAMessage(t *testing.T) {
	s := suites[0x1301]
	y, traffic := newSynthetic(t, s, nil, -1)
	p, err := newProtection(s, traffic)
	require.NoError(t, err)
	update := []byte{msgKeyUpdate, 0, 0, 1, 0}
	y.seal(p, typeHandshake, update[:3])
	cut := len(y.b)
	y.seal(p, typeHandshake, update[3:])
	r := established(t, s, traffic)
	r.client.state = stateEncrypted
	k, err := newProtection(s, traffic)
	require.NoError(t, err)
	r.client.setKeys(k)
	var st State
	require.True(t, r.State(&st))
	r.feed(false, y.b[:cut])
	require.False(t, r.State(&st))
	r.feed(false, y.b[cut:])
	require.True(t, r.State(&st))
	require.NotEqual(t, traffic.b, st.Server.Secret, "after the update")
	r.end()
}

func TestResumeRefusesWhatItCannotRead(t *testing.T) {
	for name, s := range map[string]State{
		"no suite":          {},
		"another's length":  {Cipher: 0x1301, Client: DirectionState{Size: 48}, Server: DirectionState{Size: 32}},
		"impossible length": {Cipher: 0x1301, Client: DirectionState{Size: 1000}, Server: DirectionState{Size: -1}},
		"no key":            {Cipher: 0xc02b},
	} {
		require.Nil(t, Resume(NewKeyStore(KeyLimits{}), &result{t: t}, Limits{}, &Stats{}, &s, 0, 0), name)
	}
	// Wrong keys show by the tags, and nothing comes of them.
	s := State{Cipher: 0x1303, Client: DirectionState{Size: 32}, Server: DirectionState{Size: 32, Offset: 5}}
	r := &rig{keys: NewKeyStore(KeyLimits{}), result: &result{t: t}, st: &Stats{}}
	r.Conn = Resume(r.keys, r.result, Limits{}, r.st, &s, 0, 500)
	y, _ := newSynthetic(t, suites[0x1303], make([]int, 4000), -1)
	r.off[1] = 500
	for len(y.b) > 0 {
		n := min(1000, len(y.b))
		r.feed(false, y.b[:n])
		y.b = y.b[n:]
	}
	r.end()
	require.Equal(t, []string{ReasonResync}, r.notVisible)
	require.Zero(t, r.got.Len())
}
