// SPDX-License-Identifier: Apache-2.0

package tls

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

type nothing struct{ n int }

func (s *nothing) Data(_ bool, _ int64, _ uint64, b []byte) { s.n += len(b) }
func (s *nothing) Gap(bool, int64, uint64, uint64)          {}
func (s *nothing) Close(int64, bool)                        {}
func (s *nothing) TLS(Info)                                 {}
func (s *nothing) NotVisible(string)                        {}

// FuzzConn starts a connection at a real place (nothing, hellos, whole handshake) and goes on
// with the input: control bytes choose direction, length and gaps.
func FuzzConn(f *testing.F) {
	hello, server := unhex(f, rfcClientHello), unhex(f, rfcServerHello)
	y, traffic := newSynthetic(f, suites[0x1301], []int{10, 100, 3}, 1)
	f.Add(uint8(0), append([]byte{0, 255}, hello...))
	f.Add(uint8(1), append([]byte{1, 255}, server...))
	f.Add(uint8(2), append([]byte{1, 255}, y.b...))
	f.Add(uint8(3), append([]byte{1, 99}, unhex(f, rfcServerFlight)...))
	f.Add(uint8(4), append([]byte{0, 255}, y.b...))
	for i, macOut := range []bool{false, true} {
		p := cbc12(f, 0xc024, macOut)
		for _, b := range [][]byte{sealCBC(p, typeHandshake, []byte{msgHelloRequest, 0, 0, 0}, 0), sealCBC(p, typeCCS, []byte{1}, 0), sealCBC(p, typeAlert, []byte{1, 0}, 0)} {
			f.Add(uint8(5+i), append([]byte{1, 255}, b...))
		}
		f.Add(uint8(5+i), append([]byte{1, 255}, sealCBC(cbc12(f, 0xc024, macOut), typeHandshake, append([]byte{msgServerHello}, vector24(server[9:])...), 1)...))
	}
	f.Fuzz(func(t *testing.T, start uint8, in []byte) {
		testkit.Keep(t, in)
		r := newRig(t, Limits{MaxWaiting: 4096, MaxTrialBytes: 1 << 16})
		switch start % 7 {
		case 1:
			r.feed(true, hello)
		case 2:
			*r = *established(t, suites[0x1301], traffic)
		case 3:
			for _, s := range []seen{
				{secret: keyLog("SERVER_HANDSHAKE_TRAFFIC_SECRET", string(hello[11:43]), 32)},
				{secret: keyLog("CLIENT_HANDSHAKE_TRAFFIC_SECRET", string(hello[11:43]), 32)},
				{secret: keyLog("SERVER_TRAFFIC_SECRET_0", string(hello[11:43]), 32)},
			} {
				r.add(s.secret)
			}
			r.feed(true, hello)
			r.feed(false, server)
		case 4:
			*r = *established(t, suites[0x1303], traffic)
		case 5, 6:
			*r = *established12(t, 0xc024, start%7 == 6)
		}
		for len(in) > 2 {
			op, n := in[0], min(int(in[1])+int(in[0]>>4)<<8, len(in)-2)
			b := in[2 : 2+n]
			in = in[2+n:]
			switch op & 7 {
			case 0, 1, 2, 3:
				r.feed(op&1 == 0, b)
			case 4, 5:
				r.lose(op&1 == 0, n+1)
			case 6:
				r.Tick(r.t)
			case 7:
				r.Tick(r.t + 10e9)
			}
		}
		r.end()
	})
}

// FuzzHandshake feeds the message parsers alone.
func FuzzHandshake(f *testing.F) {
	f.Add(unhex(f, rfcClientHello)[9:])
	f.Add(unhex(f, rfcServerHello)[9:])
	f.Add([]byte{0, 9, 0, 16, 0, 5, 0, 3, 2, 'h', '2'})
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Keep(t, b)
		in := bytes.Clone(b)
		ch, _ := parseClientHello(b)
		sh, _ := parseServerHello(b)
		alpn, _, _ := parseEncryptedExtensions(b)
		Sniff(b)
		message(b)
		for _, s := range []string{ch.sni, sh.alpn, alpn} {
			for _, c := range []byte(s) {
				if c < 0x21 || c > 0x7e {
					t.Fatalf("%q", s)
				}
			}
		}
		if !bytes.Equal(in, b) {
			t.Fatal("input changed")
		}
	})
}

func BenchmarkConn(b *testing.B) {
	for _, id := range []uint16{0x1301, 0x1302, 0x1303, 0x1304} {
		for _, size := range []int{100, 1024, 16384} {
			for _, piece := range []string{"whole", "1448"} {
				b.Run(fmt.Sprintf("%s/%d/%s", suites[id].name, size, piece), func(b *testing.B) {
					sizes := make([]int, 1+(1<<20)/size)
					for i := range sizes {
						sizes[i] = size
					}
					y, traffic := newSynthetic(b, suites[id], sizes, -1)
					keys, st, sink := NewKeyStore(KeyLimits{}), &Stats{}, &nothing{}
					c := NewConn(keys, sink, Limits{}, st)
					p, _ := newProtection(suites[id], traffic)
					c.suite, c.server.keys, c.server.state = suites[id], p, stateEncrypted
					b.ReportAllocs()
					b.SetBytes(int64(len(y.b)))
					var off uint64
					for b.Loop() {
						c.server.keys.seq = 0
						step := 1448
						if piece == "whole" {
							step = len(y.b) / len(sizes) * 4
						}
						for at := 0; at < len(y.b); at += step {
							e := min(at+step, len(y.b))
							c.Data(false, 1, off, y.b[at:e])
							off += uint64(e - at)
						}
					}
					b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(sizes)), "ns/record")
				})
			}
		}
	}
}

// BenchmarkHandshake reads a whole small TLS 1.3 connection.
func BenchmarkHandshake(b *testing.B) {
	client, server := testConfigs()
	c := record(b, client, server, 100)
	keys, st, sink := NewKeyStore(KeyLimits{}), &Stats{}, &nothing{}
	for _, s := range c.seen {
		if s.secret != nil {
			keys.Add(s.secret)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		conn := NewConn(keys, sink, Limits{}, st)
		var off [2]uint64
		for _, s := range c.seen {
			if s.secret == nil {
				i := 0
				if s.fromClient {
					i = 1
				}
				conn.Data(s.fromClient, 1, off[i], s.b)
				off[i] += uint64(len(s.b))
			}
		}
		conn.Close(1, false)
	}
	if st.NotVisible > 0 {
		b.Fatal("not visible")
	}
}

func FuzzSniffRecords(f *testing.F) {
	record := append([]byte{typeApplication, 3, 3, 0, 20}, make([]byte, 20)...)
	f.Add(record)
	f.Add(append(record, typeApplication, 3))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Keep(t, b)
		if SniffRecords(b) && (b[0] != typeApplication || len(b) < headerLen+tagLen) {
			t.Fatalf("%x is no record", b)
		}
	})
}
