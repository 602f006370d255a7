// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"debug/elf"
	"errors"
	"io"
	"regexp"
	"strings"
)

// logLabels are the labels of RFC 9850 that every implementation of TLS 1.2 and 1.3 has among its constants
// when it can write a key log. What is found of them says where its secrets pass.
var logLabels = [...]string{
	"CLIENT_HANDSHAKE_TRAFFIC_SECRET", "SERVER_HANDSHAKE_TRAFFIC_SECRET", "CLIENT_TRAFFIC_SECRET_0", "SERVER_TRAFFIC_SECRET_0", "CLIENT_RANDOM",
}

// Bounds of the search. Files are read in pieces: memory does not grow with them.
const (
	maxConstants = 512 << 20
	maxText      = 1 << 30
	piece        = 1 << 20
	// overlap is how much of a piece is in the next one as well, more than any pattern is long.
	overlap = 256
)

// TLS implementations that may have no key source, as Capture.UnreadTLS names them.
const (
	unreadBoringSSL = "boringssl"
	unreadJava      = "java"
	unreadNSS       = "nss"
	unreadOpenSSL   = "openssl" // linked without exported symbols
	unreadRustls    = "rustls"
)

// errNotAsExpected says that code is not as that of a known implementation. A probe would be a guess.
var errNotAsExpected = errors.New("the labels of the key log are not used as expected")

// opensslVersion is OPENSSL_VERSION_TEXT.
var opensslVersion = regexp.MustCompile(`OpenSSL [13]\.\d+\.\d+[a-z+-]{0,8}\d* +\d{1,2} [A-Z][a-z]{2} \d{4}`)

// tlsText is what the constants of a program say about the TLS implementation inside it.
type tlsText struct {
	constants *elf.Section
	labels    [len(logLabels)]uint64 // addresses; 0 when it has no such constant, or more than one
}

// readTLSText looks for the constants of a TLS implementation. It returns errNoSymbol when there are none.
func readTLSText(f *elf.File) (*tlsText, error) {
	s := f.Section(".rodata")
	if s == nil || s.Type == elf.SHT_NOBITS || s.Size > maxConstants {
		return nil, errNoSymbol
	}
	t := &tlsText{constants: s}
	found, twice := false, [len(logLabels)]bool{}
	err := pieces(s, s.Size, func(off uint64, b []byte) bool {
		found = found || bytes.Contains(b, []byte(logLabels[0]))
		// Two searches for all of them: most files have none, and each is read once.
		for _, mark := range []string{"_TRAFFIC_SECRET", "CLIENT_RANDOM\x00"} {
			for _, at := range indexAll(b, []byte(mark)) {
				for i, label := range logLabels {
					from := at - strings.Index(label+"\x00", mark) - 1
					if strings.Contains(label+"\x00", mark) && from >= 0 && bytes.HasPrefix(b[from:], []byte("\x00"+label+"\x00")) {
						addr := s.Addr + off + uint64(from) + 1
						twice[i] = twice[i] || t.labels[i] != 0 && t.labels[i] != addr
						t.labels[i] = addr
					}
				}
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	if !found {
		return nil, errNoSymbol
	}
	for i := range twice {
		if twice[i] {
			t.labels[i] = 0
		}
	}
	return t, nil
}

// implementation names what the constants are of, "" when they do not say it.
func (t *tlsText) implementation() (name string, err error) {
	var rustls, boringssl, openssl bool
	err = pieces(t.constants, t.constants.Size, func(_ uint64, b []byte) bool {
		rustls = rustls || bytes.Contains(b, []byte("/rustls-0."))
		boringssl = boringssl || bytes.Contains(b, []byte("boringssl/"))
		openssl = openssl || opensslVersion.Match(b)
		return !rustls
	})
	switch {
	case err != nil:
		return "", err
	case rustls:
		return unreadRustls, nil // its crypto library may be a descendant of BoringSSL
	case boringssl:
		return unreadBoringSSL, nil
	case openssl:
		return unreadOpenSSL, nil
	}
	return "", nil
}

// pieces reads size bytes in overlapping pieces, until take returns false.
func pieces(r io.ReaderAt, size uint64, take func(off uint64, b []byte) bool) error {
	buf := make([]byte, min(piece, size))
	for off := uint64(0); off < size; off += piece - overlap {
		b := buf[:min(uint64(len(buf)), size-off)]
		n, err := r.ReadAt(b, int64(off))
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		// A file may be shorter than it says.
		if !take(off, b[:n]) || n < len(b) || off+uint64(n) == size {
			return nil
		}
	}
	return nil
}

// indexAll returns where a pattern is.
func indexAll(b, pattern []byte) (at []int) {
	for from := 0; ; {
		i := bytes.Index(b[from:], pattern)
		if i < 0 {
			return at
		}
		at = append(at, from+i)
		from += i + 1
	}
}
