// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"compress/zlib"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"time"
	"unicode/utf8"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

// Certificate is what is told of a server's certificate. A client's is not looked at: its subject may
// be a person.
type Certificate struct {
	// Subject and Issuer are distinguished names as RFC 4514 writes them, of the attributes that name
	// organisations and machines: CN, O, OU, C, ST, L. The others (email address, serial number,
	// given name…) are left out.
	Subject, Issuer string
	// NotBefore and NotAfter are in UTC; zero when no certificate was seen.
	NotBefore, NotAfter time.Time
}

const (
	// maxCertificate bounds a certificate; real ones have 1 to 4 KiB.
	maxCertificate = 64 << 10
	// maxName bounds a distinguished name: attributes that would make it longer are left out.
	maxName = 256

	// maxBrotliWindow is the logarithm of the largest sliding window of brotli, and maxDecompressed what lies
	// within it whole: RFC 7932 §9.1.
	maxBrotliWindow = 18
	maxDecompressed = 1<<maxBrotliWindow - 16

	// RFC 8879 §7.3.
	compressionZlib   = 1
	compressionBrotli = 2
	compressionZstd   = 3
)

// parseCertificates reads the first certificate, the server's own, of a Certificate message's body. What
// is no X.509 certificate that Go reads (a raw public key, one with an unknown curve) tells nothing.
func parseCertificates(body []byte, version uint16) (c Certificate) {
	r := reader{b: body}
	if version == version13 {
		r.vec8() // certificate_request_context
	}
	list := reader{b: r.vec24()}
	der := list.vec24()
	if len(der) == 0 || len(der) > maxCertificate {
		return c
	}
	x, err := x509.ParseCertificate(der)
	if err != nil {
		return c
	}
	return Certificate{
		Subject: distinguishedName(&x.Subject), Issuer: distinguishedName(&x.Issuer),
		NotBefore: x.NotBefore.UTC(), NotAfter: x.NotAfter.UTC(),
	}
}

// decompressCertificates returns the Certificate message's body that a CompressedCertificate (RFC 8879
// §4) has; nil when it is not what it says.
func decompressCertificates(body []byte) []byte {
	r := reader{b: body}
	algorithm, size := r.u16(), r.u24()
	b := r.vec24()
	if r.bad || size > maxDecompressed {
		return nil
	}
	var z io.Reader
	switch algorithm {
	case compressionZlib:
		d, err := zlib.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil
		}
		z = d
	case compressionBrotli:
		z = brotli.NewReader(smallWindow(b))
	case compressionZstd:
		d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(1<<20))
		if err != nil {
			return nil
		}
		defer d.Close()
		z = d
	default:
		return nil
	}
	out := make([]byte, size)
	if _, err := io.ReadFull(z, out); err != nil {
		return nil
	}
	return out
}

// smallWindow is a brotli stream whose header (RFC 7932 §9.1) asks for no larger window than maxBrotliWindow.
// Encoders ask for 4 MiB by default and a hostile one for 16 MiB, which the decoder allocates; nothing that is
// no longer than the smaller window can tell it from a larger one.
func smallWindow(b []byte) io.Reader {
	// The first bit says that there are more, and the next three are WBITS - 17 unless they are 0: smaller windows.
	if len(b) == 0 || b[0]&1 == 0 || b[0]>>1&7 <= maxBrotliWindow-17 {
		return bytes.NewReader(b)
	}
	first := b[0]&^0xf | (maxBrotliWindow-17)<<1 | 1
	return io.MultiReader(bytes.NewReader([]byte{first}), bytes.NewReader(b[1:]))
}

func distinguishedName(n *pkix.Name) string {
	var kept pkix.RDNSequence
	size := 0
	for _, a := range n.Names {
		v, ok := a.Value.(string)
		if !ok || !printable(v) || len(a.Type) != 4 || a.Type[0] != 2 || a.Type[1] != 5 || a.Type[2] != 4 {
			continue
		}
		switch a.Type[3] { // X.520
		case 3, 6, 7, 8, 10, 11: // CN C L ST O OU
		default:
			continue
		}
		if size += len("CN=,") + len(v); size > maxName {
			break
		}
		kept = append(kept, pkix.RelativeDistinguishedNameSET{a})
	}
	return kept.String()
}

func printable(s string) bool {
	for _, c := range s {
		if c < ' ' || c == 0x7f || c == utf8.RuneError {
			return false
		}
	}
	return s != ""
}
