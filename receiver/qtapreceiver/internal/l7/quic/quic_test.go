// SPDX-License-Identifier: Apache-2.0

package quic

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	require.NoError(t, err)
	return b
}

// TestKeys holds the derivation against RFC 9001 §A.1 and §A.2, and RFC 9369 §A.1.
func TestKeys(t *testing.T) {
	dcid := string(unhex(t, "8394c8f03e515708"))
	k, ok := newKeys(version1, dcid)
	require.True(t, ok)
	require.Equal(t, "fa044b2f42a3fd3b46fb255c", hex.EncodeToString(k.iv))
	var mask [16]byte
	k.hp.Encrypt(mask[:], unhex(t, "d1b1c98dd7689fb8ec11d242b123dc9b"))
	require.Equal(t, "437b9aec36", hex.EncodeToString(mask[:5]))
	k, ok = newKeys(version2, dcid)
	require.True(t, ok)
	require.Equal(t, "91f73e2351d8fa91660e909f", hex.EncodeToString(k.iv))
}

// clientHello returns what a real client sends, with its handshake header.
func clientHello(t testing.TB, name string) []byte {
	t.Helper()
	c := tls.QUICClient(&tls.QUICConfig{TLSConfig: &tls.Config{ServerName: name, NextProtos: []string{"h3"}, MinVersion: tls.VersionTLS13}})
	c.SetTransportParameters([]byte{1, 2, 3})
	require.NoError(t, c.Start(context.Background()))
	defer c.Close()
	var out []byte
	for {
		e := c.NextEvent()
		switch e.Kind {
		case tls.QUICWriteData:
			out = append(out, e.Data...)
		case tls.QUICNoEvent:
			require.NotEmpty(t, out)
			return out
		}
	}
}

func appendVarint(b []byte, v int) []byte { return binary.BigEndian.AppendUint16(b, uint16(v)|0x4000) }

func cryptoFrame(off int, b []byte) []byte {
	f := appendVarint([]byte{6}, off)
	return append(appendVarint(f, len(b)), b...)
}

// seal makes a datagram of a client's Initial packet with the given frames.
func seal(t testing.TB, version uint32, dcid string, number uint16, frames []byte) []byte {
	t.Helper()
	k, ok := newKeys(version, dcid)
	require.True(t, ok)
	for len(frames) < 1162 {
		frames = append(frames, 0)
	}
	first := byte(0xc1) // a packet number of two bytes
	if version == version2 {
		first = 0xd1
	}
	b := binary.BigEndian.AppendUint32([]byte{first}, version)
	b = append(append(b, byte(len(dcid))), dcid...)
	b = append(b, 3, 'c', 'i', 'd', 2, 't', 'k')
	b = appendVarint(b, 2+len(frames)+tagSize)
	pn := len(b)
	b = binary.BigEndian.AppendUint16(b, number)
	nonce := append([]byte(nil), k.iv...)
	nonce[10] ^= byte(number >> 8)
	nonce[11] ^= byte(number)
	b = k.aead.Seal(b, nonce, frames, append([]byte(nil), b...))
	var mask [16]byte
	k.hp.Encrypt(mask[:], b[pn+4:pn+20])
	b[0] ^= mask[0] & 0x0f
	b[pn] ^= mask[1]
	b[pn+1] ^= mask[2]
	return append(b, "a coalesced packet"...)
}

// parse is the first Initial packet of a datagram.
func parse(b []byte) (p Initial, ok bool) {
	for p := range Initials(b) {
		return p, true
	}
	return p, false
}

// bare is seal without anything behind the packet.
func bare(t testing.TB, version uint32, dcid string, number uint16, frames []byte) []byte {
	return bytes.TrimSuffix(seal(t, version, dcid, number, frames), []byte("a coalesced packet"))
}

// TestCoalesced: a ClientHello in two Initial packets of one datagram, with a 0-RTT packet between them.
func TestCoalesced(t *testing.T) {
	hello := clientHello(t, "quic.example")
	for version, first := range map[uint32]byte{version1: 0xd1, version2: 0xe1} {
		early := binary.BigEndian.AppendUint32([]byte{first}, version)
		early = append(early, 8, '1', '2', '3', '4', '5', '6', '7', '8', 0)
		early = append(appendVarint(early, 100), make([]byte, 100)...)
		b := bare(t, version, "12345678", 0, cryptoFrame(0, hello[:100]))
		b = append(append(b, early...), bare(t, version, "12345678", 1, cryptoFrame(100, hello[100:]))...)
		b = append(append(b, 0, 0, 0), bare(t, version, "12345678", 2, nil)...) // another segment
		var a Assembler
		n, whole := 0, 0
		for p := range Initials(b) {
			h, proven, done := a.Add(p)
			require.True(t, proven)
			if n++; done && whole == 0 {
				whole = n
				require.Equal(t, "quic.example", h.SNI)
				require.Equal(t, "q13d", h.JA4[:4])
				require.Len(t, h.JA3, 32)
			}
		}
		require.Equal(t, 3, n)
		require.Equal(t, 2, whole)
	}
}

func TestHello(t *testing.T) {
	hello := clientHello(t, "quic.example")
	for _, version := range []uint32{version1, version2} {
		// As browsers do: two packets, frames out of order, overlapping, others among them.
		ack := []byte{2, 5, 0, 1, 0, 0, 0}
		n := len(hello)
		first := append(append(append([]byte{1}, cryptoFrame(n/2, hello[n/2:n-10])...), ack...), cryptoFrame(0, hello[:20])...)
		second := append(append([]byte{0, 0}, cryptoFrame(n-15, hello[n-15:])...), cryptoFrame(10, hello[10:n/2])...)
		var a Assembler
		p, ok := parse(seal(t, version, "12345678", 0, first))
		require.True(t, ok)
		require.Equal(t, "12345678", p.DCID)
		_, proven, done := a.Add(p)
		require.True(t, proven)
		require.False(t, done)
		p, ok = parse(seal(t, version, "12345678", 1, second))
		require.True(t, ok)
		h, proven, done := a.Add(p)
		require.True(t, proven && done)
		require.Equal(t, "quic.example", h.SNI)
		require.Equal(t, version, h.Version)
		require.Equal(t, hello[6:38], h.Random[:])
	}
	b := seal(t, version1, "12345678", 7, cryptoFrame(0, hello))
	for _, i := range []int{0, 6, 25, 60, 1000} {
		bad := append([]byte(nil), b...)
		bad[i] ^= 4
		if p, ok := parse(bad); ok {
			_, proven, _ := new(Assembler).Add(p)
			require.False(t, proven, "byte %d", i)
		}
	}
	for n := range 60 {
		_, ok := parse(b[:n])
		require.False(t, ok)
	}
}

func FuzzInitial(f *testing.F) {
	hello := clientHello(f, "a.example")
	f.Add(seal(f, version1, "12345678", 0, cryptoFrame(0, hello)), cryptoFrame(0, hello))
	f.Add(seal(f, version2, "", 3, nil), []byte{2, 0x7f, 0xff, 0, 0, 3, 1, 1, 1, 1, 6, 0, 1, 1})
	f.Fuzz(func(t *testing.T, datagram, frames []byte) {
		testkit.Keep(t, datagram, frames)
		var a Assembler
		n := 0
		for p := range Initials(datagram) {
			a.Add(p)
			n += len(p.packet)
		}
		if n > len(datagram) {
			panic("packets overlap")
		}
		a.crypto(frames) // as if they had been proven
		a.hello()
	})
}

func BenchmarkHello(b *testing.B) {
	datagram := seal(b, version1, "12345678", 0, cryptoFrame(0, clientHello(b, "a.example"))[:600])
	b.ReportAllocs()
	for b.Loop() {
		p, ok := parse(datagram)
		if !ok {
			b.Fatal()
		}
		new(Assembler).Add(p)
	}
}
