// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"compress/zlib"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/binary"
	"io"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func vector24(b []byte) []byte {
	return append([]byte{byte(len(b) >> 16), byte(len(b) >> 8), byte(len(b))}, b...)
}

// certificateMessage makes the body of a Certificate message.
func certificateMessage(version uint16, chain ...[]byte) []byte {
	var list []byte
	for _, der := range chain {
		list = append(list, vector24(der)...)
		if version == version13 {
			list = append(list, 0, 0) // no extensions
		}
	}
	if version == version13 {
		return append([]byte{0}, vector24(list)...)
	}
	return vector24(list)
}

func certificateOf(t testing.TB, subject pkix.Name) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: subject, NotBefore: time.Unix(1700000000, 0), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}, &x509.Certificate{Subject: pkix.Name{CommonName: "Issuing CA 1", Organization: []string{"Example, Inc."}}}, &key.PublicKey, key)
	require.NoError(t, err)
	return der
}

func TestCertificate(t *testing.T) {
	email := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}, Value: "alice@example.com"}
	der := certificateOf(t, pkix.Name{
		CommonName: "*.example.com", Organization: []string{"Example"}, OrganizationalUnit: []string{"Payments"}, Country: []string{"DE"}, Locality: []string{"Köln"},
		Province: []string{"NRW"}, SerialNumber: "HRB 12345", StreetAddress: []string{"Main street 1"}, PostalCode: []string{"50667"},
		ExtraNames: []pkix.AttributeTypeAndValue{email},
	})
	want := Certificate{
		Subject: "CN=*.example.com,OU=Payments,O=Example,L=Köln,ST=NRW,C=DE", Issuer: `CN=Issuing CA 1,O=Example\, Inc.`,
		NotBefore: time.Date(2023, 11, 14, 22, 13, 20, 0, time.UTC), NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	for _, version := range []uint16{version12, version13} {
		body := certificateMessage(version, der, testCert().Certificate[0])
		require.Equal(t, want, parseCertificates(body, version))
		for n := range 100 {
			require.Equal(t, Certificate{}, parseCertificates(body[:n], version))
		}
		require.Equal(t, Certificate{}, parseCertificates(certificateMessage(version), version))
		require.Equal(t, Certificate{}, parseCertificates(certificateMessage(version, []byte("no certificate")), version))
		require.Equal(t, Certificate{}, parseCertificates(certificateMessage(version, make([]byte, maxCertificate+1)), version))
	}
	long := parseCertificates(certificateMessage(version12, certificateOf(t, pkix.Name{
		Organization: []string{strings.Repeat("a", 200)}, CommonName: strings.Repeat("b", 100),
	})), version12)
	require.Equal(t, "O="+strings.Repeat("a", 200), long.Subject, "bounded")

	plain := certificateMessage(version13, der)
	for algorithm := byte(compressionZlib); algorithm <= compressionZstd; algorithm++ {
		z := compressed(t, algorithm, plain)
		require.Equal(t, plain, decompressCertificates(compressedMessage(algorithm, len(plain), z)))
		require.Nil(t, decompressCertificates(compressedMessage(algorithm%3+1, len(plain), z)), "another algorithm")
		require.Nil(t, decompressCertificates(compressedMessage(algorithm, len(plain)+1, z)))
		require.Nil(t, decompressCertificates(compressedMessage(algorithm, 1<<24-1, z)))
		require.Nil(t, decompressCertificates(compressedMessage(algorithm, len(plain), z[:20])))
	}
	require.Nil(t, decompressCertificates(nil))
}

func compressed(t testing.TB, algorithm byte, plain []byte) []byte {
	var out bytes.Buffer
	var w io.WriteCloser
	switch algorithm {
	case compressionZlib:
		w = zlib.NewWriter(&out)
	case compressionBrotli:
		w = brotli.NewWriter(&out)
	case compressionZstd:
		z, err := zstd.NewWriter(&out)
		require.NoError(t, err)
		w = z
	default:
		return plain
	}
	_, err := w.Write(plain)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// compressedMessage makes the body of a CompressedCertificate message.
func compressedMessage(algorithm byte, size int, b []byte) []byte {
	return append([]byte{0, algorithm, byte(size >> 16), byte(size >> 8), byte(size)}, vector24(b)...)
}

// offering is a record of a ClientHello with one more extension.
func offering(t testing.TB, record []byte, typ uint16, body []byte) []byte {
	t.Helper()
	ext := append([]byte{byte(typ >> 8), byte(typ), byte(len(body) >> 8), byte(len(body))}, body...)
	out := append(bytes.Clone(record), ext...)
	sessionID := headerLen + 4 + 2 + 32
	ciphers := sessionID + 1 + int(out[sessionID])
	compression := ciphers + 2 + int(binary.BigEndian.Uint16(out[ciphers:]))
	for _, at := range []int{3, headerLen + 2, compression + 1 + int(out[compression])} { // record, message (its lower 16 bits), extensions
		binary.BigEndian.PutUint16(out[at:], binary.BigEndian.Uint16(out[at:])+uint16(len(ext)))
	}
	return out
}

// flightWith plays a handshake whose server sends these messages in place of its certificate. No program that makes
// them is at hand, so the flight is sealed here.
func flightWith(t testing.TB, hello []byte, messages ...[]byte) *rig {
	t.Helper()
	var hs, app secret
	hs.set(bytes.Repeat([]byte{7}, 32)) // as keyLog has
	app.set(bytes.Repeat([]byte{7}, 32))
	flight := &synthetic{}
	p, err := newProtection(suites[0x1301], &hs)
	require.NoError(t, err)
	flight.seal(p, typeHandshake, append([]byte{msgEncryptedExts}, vector24([]byte{0, 0})...))
	for _, m := range messages {
		flight.seal(p, typeHandshake, m)
	}
	flight.seal(p, typeHandshake, append([]byte{msgFinished}, vector24(make([]byte, 32))...))
	p, err = newProtection(suites[0x1301], &app)
	require.NoError(t, err)
	flight.seal(p, typeApplication, []byte("hello"))

	r := newRig(t, Limits{})
	for _, label := range []string{"SERVER_HANDSHAKE_TRAFFIC_SECRET", "SERVER_TRAFFIC_SECRET_0"} {
		r.add(keyLog(label, string(hello[11:43]), 32))
	}
	r.feed(true, hello)
	r.feed(false, unhex(t, rfcServerHello))
	r.feed(false, flight.b)
	r.end()
	require.Empty(t, r.notVisible)
	require.Equal(t, "hello", r.got.String())
	return r
}

// offersCompression is the body of compress_certificate with all three algorithms.
var offersCompression = []byte{6, 0, compressionZlib, 0, compressionBrotli, 0, compressionZstd}

// A compressed certificate is one message among others.
func TestCompressedCertificate(t *testing.T) {
	plain := unhex(t, rfcClientHello)
	hello := offering(t, plain, extCompressCert, offersCompression)
	body := certificateMessage(version13, certificateOf(t, pkix.Name{CommonName: "small.test"}))
	verify := append([]byte{15}, vector24(make([]byte, 70))...)
	for algorithm, want := range map[byte]string{compressionZlib: "CN=small.test", compressionBrotli: "CN=small.test", compressionZstd: "CN=small.test", 4: ""} {
		m := append([]byte{msgCompressedCert}, vector24(compressedMessage(algorithm, len(body), compressed(t, algorithm, body)))...)
		require.Equal(t, want, flightWith(t, hello, m, verify).last().Certificate.Subject)
		require.Empty(t, flightWith(t, plain, m, verify).last().Certificate.Subject, "nobody asked for it")
	}
}

// TestOneCertificate: whatever a server sends, one message of it is looked at.
func TestOneCertificate(t *testing.T) {
	hello := offering(t, unhex(t, rfcClientHello), extCompressCert, offersCompression)
	first := certificateMessage(version13, certificateOf(t, pkix.Name{CommonName: "first.test"}))
	other := certificateMessage(version13, certificateOf(t, pkix.Name{CommonName: "other.test"}))
	zipped := func(b []byte) []byte {
		return append([]byte{msgCompressedCert}, vector24(compressedMessage(compressionBrotli, len(b), compressed(t, compressionBrotli, b)))...)
	}
	whole := append([]byte{msgCertificate}, vector24(other)...)
	one := flightWith(t, hello, zipped(first))
	flood := [][]byte{zipped(first)}
	for range 500 {
		flood = append(flood, zipped(other), whole)
	}
	r := flightWith(t, hello, flood...)
	require.Equal(t, "CN=first.test", r.last().Certificate.Subject)
	require.Len(t, r.infos, len(one.infos), "each that is read is told of")

	broken := append([]byte{msgCompressedCert}, vector24(compressedMessage(compressionBrotli, 100, []byte{1, 2, 3}))...)
	require.Empty(t, flightWith(t, hello, broken, zipped(other), whole).last().Certificate.Subject, "nor the next when that is broken")
}

// TestBrotliWindow: the decoder allocates the window that a stream of five bytes asks for.
func TestBrotliWindow(t *testing.T) {
	plain := make([]byte, maxDecompressed)
	for i := range plain { // its beginning comes again at its end, as far back as can be
		plain[i] = byte(i * i >> 8)
	}
	copy(plain[len(plain)-1000:], plain)
	for lgwin := 10; lgwin <= 24; lgwin++ {
		var out bytes.Buffer
		w := brotli.NewWriterOptions(&out, brotli.WriterOptions{Quality: 9, LGWin: lgwin})
		_, err := w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.True(t, bytes.Equal(plain, decompressCertificates(compressedMessage(compressionBrotli, len(plain), out.Bytes()))), lgwin)
	}
	// WBITS 24, and a meta-block of 16 MiB that does not come: RFC 7932 §9.1 and §9.2.
	hostile := compressedMessage(compressionBrotli, 100, []byte{0x0f | 2<<5, 0xff, 0xff, 0xff, 1, 2, 3})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		require.Nil(t, decompressCertificates(hostile))
	}
	runtime.ReadMemStats(&after)
	require.Less(t, (after.TotalAlloc-before.TotalAlloc)/10, uint64(2<<20))
}

func FuzzCertificates(f *testing.F) {
	der := testCert().Certificate[0]
	f.Add(certificateMessage(version12, der))
	f.Add(certificateMessage(version13, der, der))
	for algorithm := byte(0); algorithm <= compressionZstd; algorithm++ {
		f.Add(compressedMessage(algorithm, 100, compressed(f, algorithm, make([]byte, 100))))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Keep(t, b)
		for _, version := range []uint16{version12, version13} {
			c := parseCertificates(b, version)
			for _, s := range []string{c.Subject, c.Issuer} {
				if len(s) > 3*maxName || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' }) {
					t.Fatalf("%q", s)
				}
			}
		}
		if out := decompressCertificates(b); len(out) > maxHandshakeLen {
			t.Fatal(len(out))
		}
	})
}
