// SPDX-License-Identifier: Apache-2.0

package needle

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func zipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write(b)
	_ = w.Close()
	return out.Bytes()
}

func percent(s string) (out string) {
	for i := range len(s) {
		out += fmt.Sprintf("%%%02X", s[i])
	}
	return out
}

// block is a block of ClickHouse without the checksum in front of it.
func block(b []byte) []byte {
	out := make([]byte, 9+lz4.CompressBlockBound(len(b)))
	n, err := lz4.CompressBlock(b, out[9:], nil)
	if err != nil || n == 0 {
		panic(fmt.Sprint(n, err))
	}
	out[0] = 0x82
	binary.LittleEndian.PutUint32(out[1:], uint32(n+9))
	binary.LittleEndian.PutUint32(out[5:], uint32(len(b)))
	return out[:n+9]
}

func noise(r *rand.Rand, n int) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = byte(r.Uint32())
	}
	return out
}

func TestMain(m *testing.M) { testkit.Main(m) }

// TestEveryForm plants one of many secrets in each form among noise, at every offset of a base64 group, and asks for exactly it.
func TestEveryForm(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var secrets []string
	for i := range 2000 {
		switch i % 4 {
		case 0:
			secrets = append(secrets, hex.EncodeToString(noise(r, 16)))
		case 1:
			secrets = append(secrets, "Mixed"+base64.RawURLEncoding.EncodeToString(noise(r, 18)))
		case 2:
			secrets = append(secrets, fmt.Sprintf("%016d", r.Uint64N(1e16)))
		case 3:
			secrets = append(secrets, fmt.Sprintf("%08x@mail-%08x.example", r.Uint32(), r.Uint32()))
		}
	}
	set, err := New(secrets)
	require.NoError(t, err)
	digest256 := func(s string) []byte { d := sha256.Sum256([]byte(s)); return d[:] }
	digest1 := func(s string) []byte { d := sha1.Sum([]byte(s)); return d[:] }
	digest5 := func(s string) []byte { d := md5.Sum([]byte(s)); return d[:] }
	some := func(s string) []byte {
		return []byte(strings.Repeat("some text around it, ", 20) + s + strings.Repeat(" and after it", 20))
	}
	encoder, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	defer encoder.Close()
	forms := map[string]func(s string) []byte{
		"as it is":      func(s string) []byte { return []byte(s) },
		"in upper case": func(s string) []byte { return []byte(strings.ToUpper(s)) },
		"in lower case": func(s string) []byte { return []byte(strings.ToLower(s)) },
		"hex":           func(s string) []byte { return []byte(hex.EncodeToString([]byte(s))) },
		"HEX":           func(s string) []byte { return []byte(strings.ToUpper(hex.EncodeToString([]byte(s)))) },
		"percent":       func(s string) []byte { return []byte(percent(s)) },
		"part percent":  func(s string) []byte { return []byte(s[:5] + percent(s[5:6]) + s[6:]) },
		"percent twice": func(s string) []byte { return []byte(percent(percent(s))) },
		"gzip":          func(s string) []byte { return zipped(some(s)) },
		"gzip in gzip":  func(s string) []byte { return zipped(zipped(some(s))) },
		"zstd":          func(s string) []byte { return encoder.EncodeAll(some(s), nil) },
		"lz4":           func(s string) []byte { return block(some(s)) },
		"base64 in gzip": func(s string) []byte {
			return zipped(some(base64.StdEncoding.EncodeToString([]byte(s))))
		},
		"percent in lz4":    func(s string) []byte { return block(some(percent(s))) },
		"broken off gzip":   func(s string) []byte { z := zipped(append(some(s), noise(r, 3000)...)); return z[:len(z)-20] },
		"sha256":            func(s string) []byte { return []byte(hex.EncodeToString(digest256(s))) },
		"sha256 of lower":   func(s string) []byte { return []byte(hex.EncodeToString(digest256(strings.ToLower(s)))) },
		"bytes of sha256":   digest256,
		"base64 of sha256":  func(s string) []byte { return []byte(base64.StdEncoding.EncodeToString(digest256(s))) },
		"sha1":              func(s string) []byte { return []byte(hex.EncodeToString(digest1(s))) },
		"md5":               func(s string) []byte { return []byte(hex.EncodeToString(digest5(s))) },
		"bytes of md5":      digest5,
		"base64 by headers": func(s string) []byte { return []byte(base64.StdEncoding.EncodeToString([]byte("alice:" + s))) },
	}
	for shift := range 3 {
		forms[fmt.Sprintf("base64 at %d", shift)] = func(s string) []byte {
			return []byte(base64.StdEncoding.EncodeToString(append(noise(r, shift), s+"?>"...)))
		}
		forms[fmt.Sprintf("base64url at %d", shift)] = func(s string) []byte {
			return []byte(base64.RawURLEncoding.EncodeToString(append(noise(r, shift), s+"?>"...)))
		}
	}
	for form, write := range forms {
		t.Run(form, func(t *testing.T) {
			for range 40 {
				i := r.IntN(len(secrets))
				data := append(noise(r, 500+r.IntN(30)), write(secrets[i])...)
				data = append(data, noise(r, 500)...)
				finds := set.Search(data)
				require.NotEmpty(t, finds, "%s", secrets[i])
				for _, f := range finds {
					require.Equal(t, i, f.Secret, "%+v", f)
				}
			}
		})
	}
	t.Run("bytes of hex", func(t *testing.T) {
		raw, err := hex.DecodeString(secrets[0])
		require.NoError(t, err)
		require.Equal(t, 0, set.Search(append(noise(r, 7), raw...))[0].Secret)
	})
	t.Run("at the very ends", func(t *testing.T) {
		require.Len(t, set.Search([]byte(secrets[1])), 1)
	})
}

// TestNearMisses: a secret with another character, or without its end, is not it.
func TestNearMisses(t *testing.T) {
	secret := "0123456789abcdef0123456789abcdef"
	set, err := New([]string{secret})
	require.NoError(t, err)
	for i := range secret {
		text := secret[:i] + "x" + secret[i+1:]
		require.Empty(t, set.Search([]byte(text)))
		require.Empty(t, set.Search([]byte(base64.StdEncoding.EncodeToString([]byte(text)))))
		require.Empty(t, set.Search(zipped([]byte(text))))
	}
	require.Empty(t, set.Search([]byte(secret[:31])))
	require.Empty(t, set.Search(nil))
	_, err = New([]string{"short"})
	require.ErrorContains(t, err, "shorter")
}

func BenchmarkSearch(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	var secrets []string
	for range 10_000 {
		secrets = append(secrets, hex.EncodeToString(noise(r, 16)))
	}
	set, err := New(secrets)
	require.NoError(b, err)
	data := noise(r, 8<<20)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		set.Search(data)
	}
}
