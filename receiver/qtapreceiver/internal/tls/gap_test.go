// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// synthetic is a server's application data under a TLS 1.3 suite of choice, which Go does not
// let a program choose.
type synthetic struct {
	b      []byte
	starts []int // of each record, and the end
	plain  [][]byte
}

// newSynthetic seals records of the given sizes, with a KeyUpdate before record updateAt.
func newSynthetic(t testing.TB, s *suite, sizes []int, updateAt int) (*synthetic, *secret) {
	var traffic secret
	traffic.set(bytes.Repeat([]byte{9}, s.hash().Size()))
	p, err := newProtection(s, &traffic)
	require.NoError(t, err)
	y := &synthetic{}
	for i, n := range sizes {
		if i == updateAt {
			y.seal(p, typeHandshake, []byte{msgKeyUpdate, 0, 0, 1, 0})
			y.plain = append(y.plain, nil)
			p, err = p.next()
			require.NoError(t, err)
		}
		plain := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, n/2)
		y.seal(p, typeApplication, plain)
		y.plain = append(y.plain, plain)
	}
	y.starts = append(y.starts, len(y.b))
	return y, &traffic
}

func (y *synthetic) seal(p *protection, typ byte, plain []byte) {
	y.starts = append(y.starts, len(y.b))
	inner := append(bytes.Clone(plain), typ)
	hdr := []byte{typeApplication, 3, 3, 0, 0}
	binary.BigEndian.PutUint16(hdr[3:], uint16(len(inner)+p.suite.tagLen))
	y.b = append(append(y.b, hdr...), p.aead.Seal(nil, p.nonceOf(p.seq), inner, hdr)...)
	p.seq++
}

// established is a rig whose server is past its handshake.
func established(t testing.TB, s *suite, traffic *secret) *rig {
	r := newRig(t, Limits{})
	p, err := newProtection(s, traffic)
	require.NoError(t, err)
	r.suite = s
	r.server.keys = p
	r.server.state = stateEncrypted
	return r
}

// After any gap what is delivered is the truth, and everything after the gap comes back.
func TestGapsInApplicationData(t *testing.T) {
	for _, id := range []uint16{0x1301, 0x1302, 0x1303, 0x1304, 0x1305} {
		s := suites[id]
		t.Run(s.name, func(t *testing.T) {
			for seed := range uint64(150) {
				rnd := rand.New(rand.NewPCG(seed, uint64(id)))
				sizes := make([]int, 60)
				for i := range sizes {
					sizes[i] = 2 * (1 + rnd.IntN(1<<rnd.IntN(13)))
				}
				update := -1
				if seed%3 == 0 {
					update = rnd.IntN(len(sizes))
				}
				y, traffic := newSynthetic(t, s, sizes, update)
				r := established(t, s, traffic)
				from := rnd.IntN(len(y.b) / 2)
				n := 1 + rnd.IntN(len(y.b)/3)
				if seed%5 == 0 {
					n = 1 + rnd.IntN(50)
				}
				for at := 0; at < len(y.b); {
					if at == from {
						r.lose(false, n)
						at += n
						continue
					}
					m := min(1+rnd.IntN(9000), len(y.b)-at)
					if at < from {
						m = min(m, from-at)
					}
					r.feed(false, y.b[at:at+m])
					at += m
				}
				var want []byte
				for i, p := range y.plain {
					if y.starts[i+1] <= from || y.starts[i] >= from+n {
						want = append(want, p...)
					}
				}
				r.end()
				require.Empty(t, r.notVisible, seed)
				require.True(t, bytes.Equal(want, r.got.Bytes()), "seed %d", seed)
				require.Equal(t, 1, r.gaps[1])
			}
		})
	}
}

// AES-GCM tells its sequence number: no gap is too long.
func TestGapOfManySmallRecords(t *testing.T) {
	s := suites[0x1301]
	sizes := make([]int, 200_000)
	for i := range sizes {
		sizes[i] = 2
	}
	y, traffic := newSynthetic(t, s, sizes, 100_000)
	r := established(t, s, traffic)
	r.feed(false, y.b[:y.starts[10]])
	end := y.starts[199_000]
	r.lose(false, end-len(y.b[:y.starts[10]]))
	r.feed(false, y.b[end:])
	r.end()
	require.Empty(t, r.notVisible)
	require.Equal(t, 2*(10+1001), r.got.Len())
	require.Less(t, r.st.TrialBytes, uint64(1000))
}

// Where trials are needed they are bounded.
func TestResyncFails(t *testing.T) {
	s := suites[0x1303]
	sizes := make([]int, 20_000)
	for i := range sizes {
		sizes[i] = 2
	}
	sizes[0] = 10_000 // a wrong guess of the size of what is lost
	y, traffic := newSynthetic(t, s, sizes, -1)
	r := established(t, s, traffic)
	r.limits.MaxTrialBytes = 10_000
	r.feed(false, y.b[:y.starts[1]])
	r.lose(false, y.starts[15_000]-y.starts[1])
	r.feed(false, y.b[y.starts[15_000]:])
	require.Equal(t, []string{ReasonResync}, r.notVisible)
	require.Less(t, r.st.TrialBytes, uint64(20_000))
	r.end()

	// Within the bound the same gap is bridged.
	r = established(t, s, traffic)
	r.feed(false, y.b[:y.starts[1]])
	r.lose(false, y.starts[15_000]-y.starts[1])
	r.feed(false, y.b[y.starts[15_000]:])
	r.end()
	require.Empty(t, r.notVisible)
	require.Equal(t, 10_000+2*5000, r.got.Len())
}

// A forged segment is not believed, and reading goes on behind it.
func TestForgedBytes(t *testing.T) {
	s := suites[0x1302]
	y, traffic := newSynthetic(t, s, []int{100, 100, 100, 100}, -1)
	y.b[y.starts[1]+20] ^= 1
	r := established(t, s, traffic)
	r.feed(false, y.b)
	r.end()
	require.Empty(t, r.notVisible)
	require.Equal(t, 300, r.got.Len())
	require.EqualValues(t, 1, r.st.TagFailures)
	require.Equal(t, 1, r.gaps[1])
}

func TestGarbageAfterHandshake(t *testing.T) {
	s := suites[0x1301]
	y, traffic := newSynthetic(t, s, []int{100}, -1)
	r := established(t, s, traffic)
	r.feed(false, y.b)
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		b := make([]byte, 1000)
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		copy(b[rnd.IntN(900):], []byte{typeApplication, 3, 3, 0, byte(17 + rnd.IntN(100))})
		r.feed(false, b)
	}
	require.Equal(t, []string{ReasonResync}, r.notVisible)
	require.Equal(t, 100, r.got.Len())
	r.end()
}

// TLS 1.2 and real handshakes: a gap anywhere behind them is bridged, and one inside says so.
func TestGapsInRealConnections(t *testing.T) {
	for _, cipher := range []uint16{
		0, // TLS 1.3
		tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
		tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256,
	} {
		t.Run(tls.CipherSuiteName(cipher), func(t *testing.T) {
			client, server := testConfigs()
			if cipher != 0 {
				client.MaxVersion, client.CipherSuites = tls.VersionTLS12, []uint16{cipher}
				server.CipherSuites = client.CipherSuites
			}
			c := record(t, client, server, 3000, 10, 200, 5000, 700, 60000, 5, 5)
			b := c.stream(false)
			for seed := range uint64(80) {
				rnd := rand.New(rand.NewPCG(seed, 4))
				from, n := rnd.IntN(len(b)*9/10), 1+rnd.IntN(len(b)/10)
				r := newRig(t, Limits{})
				pos := 0
				for _, s := range c.seen {
					switch {
					case s.secret != nil:
						r.add(s.secret)
					case s.fromClient:
						r.feed(true, s.b)
					default:
						for _, x := range s.b {
							if pos == from {
								r.lose(false, n)
							}
							if pos < from || pos >= from+n {
								r.Conn.Data(false, 0, uint64(pos), []byte{x})
								r.off[1]++
							}
							pos++
						}
					}
				}
				r.end()
				if len(r.notVisible) == 0 {
					require.Equal(t, c.request.Bytes(), r.sent.Bytes())
					require.True(t, isSubsequence(r.got.Bytes(), c.response.Bytes()))
					require.NotEmpty(t, r.got.Bytes())
					require.True(t, bytes.HasSuffix(r.got.Bytes(), c.response.Bytes()[c.response.Len()-20:]), "seed %d", seed)
				} else {
					require.Equal(t, []string{ReasonGapInHandshake}, r.notVisible, "seed %d", seed)
					require.Empty(t, r.got.Bytes())
				}
			}
		})
	}
}

func isSubsequence(part, whole []byte) bool {
	// One hole: a prefix and a suffix.
	i := 0
	for i < len(part) && i < len(whole) && part[i] == whole[i] {
		i++
	}
	return strings.HasSuffix(string(whole), string(part[i:]))
}
