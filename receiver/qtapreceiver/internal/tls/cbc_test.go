// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// NIST SP 800-38C, example 3: the one with a nonce of 12 bytes.
func TestCCM(t *testing.T) {
	block, err := aes.NewCipher(unhex(t, "404142434445464748494a4b4c4d4e4f"))
	require.NoError(t, err)
	c := newCCM(block, 8)
	nonce, aad := unhex(t, "101112131415161718191a1b"), unhex(t, "000102030405060708090a0b0c0d0e0f10111213")
	plain := unhex(t, "202122232425262728292a2b2c2d2e2f3031323334353637")
	sealed := c.Seal([]byte("x"), nonce, plain, aad)
	require.Equal(t, "78"+"e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5"+"484392fbc1b09951", hex.EncodeToString(sealed))
	got, err := c.Open([]byte("y"), nonce, sealed[1:], aad)
	require.NoError(t, err)
	require.Equal(t, "y"+string(plain), string(got))

	for tagLen := range map[int]bool{8: true, 16: true} {
		c := newCCM(block, tagLen)
		for n := range 70 {
			for _, aad := range [][]byte{nil, aad[:5], aad[:13], aad, bytes.Repeat(aad, 5)} {
				plain := bytes.Repeat([]byte{byte(n)}, n)
				sealed := c.Seal(nil, nonce, plain, aad)
				require.Len(t, sealed, n+c.Overhead())
				got, err := c.Open(nil, nonce, sealed, aad)
				require.NoError(t, err)
				require.True(t, bytes.Equal(plain, got))
				for range 3 {
					bad := bytes.Clone(sealed)
					bad[rand.IntN(len(bad))] ^= 1 << rand.IntN(8)
					_, err = c.Open(nil, nonce, bad, aad)
					require.ErrorIs(t, err, errTag)
				}
				if len(aad) > 0 {
					_, err = c.Open(nil, nonce, sealed, aad[:len(aad)-1])
					require.ErrorIs(t, err, errTag)
				}
			}
		}
		_, err := c.Open(nil, nonce, make([]byte, tagLen-1), nil)
		require.ErrorIs(t, err, errTag)
	}
}

// cbc12 is a server's side of a TLS 1.2 connection in CBC mode.
func cbc12(t testing.TB, id uint16, macOut bool) *protection {
	var master secret
	master.set(bytes.Repeat([]byte{5}, 48))
	_, p, err := newProtection12(suites[id], &master, make([]byte, 32), make([]byte, 32), macOut)
	require.NoError(t, err)
	return p
}

// sealCBC makes a record with pad bytes of padding beyond the least.
func sealCBC(p *protection, typ byte, plain []byte, pad int) []byte {
	mac := func(b []byte) []byte {
		head := binary.BigEndian.AppendUint64(nil, p.seq)
		head = append(head, typ, 3, 3, byte(len(b)>>8), byte(len(b)))
		p.cbc.mac.Reset()
		p.cbc.mac.Write(head)
		p.cbc.mac.Write(b)
		return p.cbc.mac.Sum(nil)
	}
	body := bytes.Clone(plain)
	if !p.cbc.macOut {
		body = append(body, mac(plain)...)
	}
	n := aes.BlockSize - 1 - len(body)%aes.BlockSize + pad*aes.BlockSize
	body = append(body, bytes.Repeat([]byte{byte(n)}, n+1)...)
	iv := bytes.Repeat([]byte{byte(p.seq)}, aes.BlockSize)
	cipher.NewCBCEncrypter(p.cbc.block, iv).CryptBlocks(body, body)
	body = append(iv, body...)
	if p.cbc.macOut {
		body = append(body, mac(body)...)
	}
	p.seq++
	return append([]byte{typ, 3, 3, byte(len(body) >> 8), byte(len(body))}, body...)
}

var cbcSuites = []uint16{0xc009, 0xc023, 0xc024} // SHA-1, SHA-256, SHA-384

// The MAC proves a record: nothing else opens, whatever bit is changed, and no other sequence number does.
func TestCBC(t *testing.T) {
	for _, id := range cbcSuites {
		for _, macOut := range []bool{false, true} {
			p := cbc12(t, id, macOut)
			for n := range 80 {
				plain := bytes.Repeat([]byte{byte(n)}, n)
				p.seq = uint64(n)
				rec := sealCBC(p, typeApplication, plain, n%8)
				_, got, err := p.openAt([]byte("x"), rec, uint64(n))
				require.NoError(t, err)
				require.Equal(t, "x"+string(plain), string(got))
				require.GreaterOrEqual(t, uint64(len(rec)), p.suite.minRecord())
				_, _, err = p.openAt(nil, rec, uint64(n)+1)
				require.ErrorIs(t, err, errTag)
				for i := headerLen; i < len(rec); i++ {
					bad := bytes.Clone(rec)
					bad[i] ^= 1 << (i % 8)
					_, _, err := p.openAt(nil, bad, uint64(n))
					require.ErrorIs(t, err, errTag)
				}
				bad := bytes.Clone(rec)
				bad[0] = typeHandshake
				_, _, err = p.openAt(nil, bad, uint64(n))
				require.ErrorIs(t, err, errTag)
				for cut := range rec[headerLen:] {
					_, _, err := p.openAt(nil, rec[:headerLen+cut], uint64(n))
					require.ErrorIs(t, err, errTag)
				}
			}
		}
	}
}

// established12 is a rig whose server is past its TLS 1.2 handshake.
func established12(t testing.TB, id uint16, macOut bool) *rig {
	r := newRig(t, Limits{})
	r.suite, r.info.Version = suites[id], "1.2"
	r.server.keys, r.server.state = cbc12(t, id, macOut), stateEncrypted
	return r
}

func TestGapsInCBC(t *testing.T) {
	for _, id := range cbcSuites {
		for seed := range uint64(60) {
			rnd := rand.New(rand.NewPCG(seed, uint64(id)))
			macOut := seed%2 == 0
			p, y := cbc12(t, id, macOut), &synthetic{}
			for i := range 60 {
				plain := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 1+rnd.IntN(1<<rnd.IntN(12)))
				y.starts = append(y.starts, len(y.b))
				y.b = append(y.b, sealCBC(p, typeApplication, plain, rnd.IntN(4))...)
				y.plain = append(y.plain, plain)
			}
			y.starts = append(y.starts, len(y.b))
			r := established12(t, id, macOut)
			from := rnd.IntN(len(y.b) / 2)
			n := 1 + rnd.IntN(len(y.b)/3)
			r.feed(false, y.b[:from])
			r.lose(false, n)
			r.feed(false, y.b[from+n:])
			var want []byte
			for i, p := range y.plain {
				if y.starts[i+1] <= from || y.starts[i] >= from+n {
					want = append(want, p...)
				}
			}
			r.end()
			require.Empty(t, r.notVisible, seed)
			require.True(t, bytes.Equal(want, r.got.Bytes()), "seed %d", seed)
		}
	}
}

func BenchmarkCBC(b *testing.B) {
	for _, macOut := range []bool{false, true} {
		b.Run(map[bool]string{false: "mac_then_encrypt", true: "encrypt_then_mac"}[macOut], func(b *testing.B) {
			p := cbc12(b, 0xc024, macOut)
			rec := sealCBC(p, typeApplication, make([]byte, 16000), 0)
			dst := make([]byte, 0, maxRecord)
			b.ReportAllocs()
			b.SetBytes(int64(len(rec)))
			for b.Loop() {
				if _, _, err := p.openAt(dst, rec, 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
