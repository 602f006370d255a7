// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"crypto/md5" //nolint:gosec // JA3 is defined with it
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// extension is one of a ClientHello that clientHelloBody makes.
type extension struct {
	typ  uint16
	body []byte
}

// clientHelloBody makes the body of a ClientHello.
func clientHelloBody(version uint16, ciphers []uint16, extensions []extension) []byte {
	b := append([]byte{byte(version >> 8), byte(version)}, make([]byte, 33)...) // random, no session id
	b = append(b, list16(ciphers)...)
	b = append(b, 1, 0)
	if extensions == nil {
		return b
	}
	var all []byte
	for _, x := range extensions {
		all = append(all, byte(x.typ>>8), byte(x.typ))
		all = append(all, vector16(x.body)...)
	}
	return append(b, vector16(all)...)
}

func vector16(b []byte) []byte { return append([]byte{byte(len(b) >> 8), byte(len(b))}, b...) }

func list16(values []uint16) []byte {
	var b []byte
	for _, v := range values {
		b = append(b, byte(v>>8), byte(v))
	}
	return vector16(b)
}

func alpnOf(name string) extension {
	return extension{extALPN, vector16(append([]byte{byte(len(name))}, name...))}
}

// The examples of the README of github.com/salesforce/ja3.
func TestJA3(t *testing.T) {
	for _, x := range []struct {
		body         []byte
		text, digest string
	}{
		{
			clientHelloBody(769, []uint16{47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4}, []extension{
				{0, vector16(append([]byte{0}, vector16([]byte("a.example"))...))}, {10, list16([]uint16{23, 24, 25})}, {11, []byte{1, 0}},
			}),
			"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5",
		},
		{
			clientHelloBody(769, []uint16{4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99}, nil),
			"769,4-5-10-9-100-98-3-6-19-18-99,,,", "de350869b8c85de67a350c8d186f11e6",
		},
		{ // the same with GREASE everywhere
			clientHelloBody(769, []uint16{0x0a0a, 47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 0xfafa, 19, 4}, []extension{
				{0x1a1a, nil}, {0, nil}, {10, list16([]uint16{0x2a2a, 23, 24, 25})}, {11, []byte{1, 0}}, {0xeaea, []byte{0}},
			}),
			"769,47-53-5-10-49161-49162-49171-49172-50-56-19-4,0-10-11,23-24-25,0", "ada70206e40642a3e4461f35503241d5",
		},
	} {
		var o offer
		require.True(t, o.parse(x.body))
		require.Equal(t, x.text, string(o.ja3()))
		digest, _ := Fingerprint(x.body, TransportTCP)
		require.Equal(t, x.digest, digest)
	}
}

// chrome is the ClientHello of the example in JA4.md, in its original order.
func chrome(algorithms []uint16) []byte {
	var extensions []extension
	for _, typ := range []uint16{0x001b, 0x0000, 0x0033, 0x0010, 0x4469, 0x0017, 0x002d, 0x000d, 0x0005, 0x0023, 0x0012, 0x002b, 0xff01, 0x000b, 0x000a, 0x0015} {
		x := extension{typ: typ}
		switch typ {
		case extALPN:
			x = alpnOf("h2")
		case extSignatureAlgorithms:
			x.body = list16(algorithms)
		case extSupportedVersions:
			x.body = []byte{6, 0xba, 0xba, 3, 4, 3, 3}
		}
		extensions = append(extensions, x)
	}
	extensions = append(extensions, extension{typ: 0x3a3a})
	return clientHelloBody(0x0303, []uint16{
		0x7a7a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035,
	}, extensions)
}

// The examples of technical_details/JA4.md of github.com/FoxIO-LLC/ja4.
func TestJA4(t *testing.T) {
	algorithms := []uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601}
	_, ja4 := Fingerprint(chrome(algorithms), TransportTCP)
	require.Equal(t, "t13d1516h2_8daaf6152771_e5627efa2ab1", ja4)
	_, ja4 = Fingerprint(chrome(algorithms), TransportQUIC)
	require.Equal(t, "q13d1516h2_8daaf6152771_e5627efa2ab1", ja4)
	_, ja4 = Fingerprint(chrome(nil), TransportTCP)
	require.Equal(t, "t13d1516h2_8daaf6152771_6d807ffa2a79", ja4)

	for name, want := range map[string]string{
		"h2": "h2", "http/1.1": "h1", "": "00", "x": "xx",
		"\xab": "ab", "\x20": "20", "\xab\xcd": "ad", "\x20\x61": "21", "\x30\xab": "3b", "\x61\x20": "60", "\x30\x31\xab\xcd": "3d", "\x30\xab\xcd\x31": "01",
	} {
		require.Equal(t, want, string(appendALPN(nil, []byte(name))), "%q", name)
	}
	for version, want := range map[uint16]string{0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2", 0x1234: "00", 0x0305: "00"} {
		_, ja4 := Fingerprint(clientHelloBody(version, nil, nil), TransportTCP)
		require.Equal(t, "t"+want+"i000000_000000000000_000000000000", ja4)
	}
	many := make([]uint16, 200)
	for i := range many {
		many[i] = uint16(i)
	}
	_, ja4 = Fingerprint(clientHelloBody(0x0303, many, []extension{}), TransportTCP)
	require.Equal(t, "t12i9900", ja4[:8])
	ja3, ja4 := Fingerprint([]byte{3, 3, 1}, TransportTCP)
	require.Empty(t, ja3+ja4)
}

func FuzzFingerprint(f *testing.F) {
	f.Add(chrome([]uint16{0x0403, 0x0804}))
	f.Add(unhex(f, rfcClientHello)[9:])
	f.Add(clientHelloBody(769, []uint16{4, 5}, nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Keep(t, b)
		ja3, ja4 := Fingerprint(b, TransportTCP)
		if ja3 == "" && ja4 == "" {
			return
		}
		if raw, err := hex.DecodeString(ja3); err != nil || len(raw) != md5.Size || len(ja4) != 36 || ja4[10] != '_' || ja4[23] != '_' {
			t.Fatalf("%q %q", ja3, ja4)
		}
		for _, c := range []byte(ja4) {
			if c != '_' && !alphanumeric(c) {
				t.Fatalf("%q", ja4)
			}
		}
	})
}

func BenchmarkFingerprint(b *testing.B) {
	body := chrome([]uint16{0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601})
	b.ReportAllocs()
	for b.Loop() {
		Fingerprint(body, TransportTCP)
	}
}
