// SPDX-License-Identifier: Apache-2.0

package dns

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

func header(id uint16, response bool, code dnsmessage.RCode) dnsmessage.Header {
	return dnsmessage.Header{ID: id, Response: response, RCode: code, RecursionDesired: true}
}

func query(id uint16, name string, t dnsmessage.Type) []byte {
	b := dnsmessage.NewBuilder(nil, header(id, false, 0))
	b.EnableCompression()
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: t, Class: dnsmessage.ClassINET})
	_ = b.StartAdditionals()
	_ = b.OPTResource(dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("."), Class: 1232}, dnsmessage.OPTResource{})
	out, _ := b.Finish()
	return out
}

func response(id uint16, name string, t dnsmessage.Type, code dnsmessage.RCode, alias string, addrs ...string) []byte {
	b := dnsmessage.NewBuilder(nil, header(id, true, code))
	b.EnableCompression()
	_ = b.StartQuestions()
	_ = b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName(name), Type: t, Class: dnsmessage.ClassINET})
	_ = b.StartAnswers()
	owner := name
	if alias != "" {
		_ = b.CNAMEResource(dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: 60}, dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(alias)})
		owner = alias
	}
	for _, a := range addrs {
		addr := netip.MustParseAddr(a)
		h := dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(owner), Class: dnsmessage.ClassINET, TTL: 60}
		if addr.Is4() {
			_ = b.AResource(h, dnsmessage.AResource{A: addr.As4()})
		} else {
			_ = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: addr.As16()})
		}
	}
	// Somebody else's address, which does not belong to the name.
	_ = b.AResource(dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("other.example."), Class: dnsmessage.ClassINET}, dnsmessage.AResource{A: [4]byte{6, 6, 6, 6}})
	out, _ := b.Finish()
	return out
}

func TestParse(t *testing.T) {
	m, ok := Parse(query(7, "WWW.Example.", dnsmessage.TypeAAAA))
	require.True(t, ok)
	require.Equal(t, Message{ID: 7, Name: "www.example", Type: "AAAA"}, m)

	m, ok = Parse(response(7, "www.example.", dnsmessage.TypeA, 0, "cdn.example.", "192.0.2.1", "192.0.2.2"))
	require.True(t, ok)
	require.Equal(t, Message{
		ID: 7, Response: true, Name: "www.example", Type: "A", Code: "NOERROR", Answers: 4,
		Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
	}, m)

	m, ok = Parse(response(8, "no.example.", 65, dnsmessage.RCodeNameError, ""))
	require.True(t, ok)
	require.Equal(t, "NXDOMAIN", m.Code)
	require.Equal(t, "HTTPS", m.Type)
	require.Empty(t, m.Addresses)

	whole := response(7, "www.example.", dnsmessage.TypeA, 0, "", "192.0.2.1")
	for n := range whole {
		_, ok := Parse(whole[:n])
		require.False(t, ok, "cut at %d", n)
	}
	whole[2] |= 2 // TC
	_, ok = Parse(whole[:len(whole)-3])
	require.True(t, ok)
	for _, bad := range [][]byte{nil, make([]byte, 12), make([]byte, 40), []byte("GET / HTTP/1.1\r\nHost: a\r\n\r\n")} {
		_, ok := Parse(bad)
		require.False(t, ok)
	}
}

func TestMatcher(t *testing.T) {
	parse := func(b []byte) Message {
		m, ok := Parse(b)
		require.True(t, ok)
		return m
	}
	var x Matcher
	a := parse(query(1, "a.", dnsmessage.TypeA))
	for range 2 { // the second is a retry
		_, done := x.Message(a, 10)
		require.False(t, done)
	}
	_, done := x.Message(parse(query(1, "a.", dnsmessage.TypeAAAA)), 11)
	require.False(t, done)
	e, done := x.Message(parse(response(1, "a.", dnsmessage.TypeAAAA, 0, "", "::1")), 20)
	require.True(t, done)
	require.Equal(t, []int64{11, 20}, []int64{e.Start, e.End})
	e, done = x.Message(parse(response(2, "a.", dnsmessage.TypeA, 0, "")), 21)
	require.True(t, done)
	require.Nil(t, e.Query, "nobody asked")
	_, done = x.Expire(9)
	require.False(t, done)
	e, done = x.Expire(10)
	require.True(t, done)
	require.Equal(t, "A", e.Query.Type)
	for i := range maxPending {
		_, done = x.Message(parse(query(uint16(i), "b.", dnsmessage.TypeA)), int64(i))
		require.False(t, done)
	}
	e, done = x.Message(parse(query(999, "b.", dnsmessage.TypeA)), 99)
	require.True(t, done)
	require.Equal(t, uint16(0), e.Query.ID)
	require.Equal(t, maxPending, x.Pending())
}

func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
}

func TestStreamAtEverySplit(t *testing.T) {
	up := append(framed(query(1, "a.example.", dnsmessage.TypeA)), framed(query(2, "b.example.", dnsmessage.TypeA))...)
	down := append(framed(response(2, "b.example.", dnsmessage.TypeA, 0, "", "192.0.2.2")), framed(response(1, "a.example.", dnsmessage.TypeA, 0, "", "192.0.2.1"))...)
	for n := 1; n <= len(up); n++ {
		var stats Stats
		var got []string
		p := New(func(x Exchange) { got = append(got, x.Query.Name+" "+x.Response.Addresses[0].String()) }, &stats)
		for _, dir := range []struct {
			client bool
			b      []byte
		}{{true, up}, {false, down}} {
			for b := dir.b; len(b) > 0; {
				k := min(n, len(b))
				p.Data(dir.client, 1, 0, b[:k])
				b = b[k:]
			}
		}
		p.Close(2, false)
		require.Equal(t, []string{"b.example 192.0.2.2", "a.example 192.0.2.1"}, got)
		require.Equal(t, uint64(len(up)+len(down)), stats.BytesMessage.Load())
	}
	first := framed(query(1, "a.example.", dnsmessage.TypeA))
	for n := range len(first) {
		match, more := Sniff(first[:n])
		require.False(t, match)
		require.True(t, more, "%d", n)
	}
	match, _ := Sniff(up)
	require.True(t, match)
	for _, bad := range []string{"GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "\x00\x00\x00\x18\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"} {
		match, more := Sniff([]byte(bad))
		require.False(t, match || more, "%q", bad)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(query(1, "a.example.", dnsmessage.TypeA))
	f.Add(response(1, "a.example.", dnsmessage.TypeAAAA, 0, "b.", "::1"))
	f.Fuzz(func(t *testing.T, b []byte) {
		testkit.Keep(t, b)
		m, ok := Parse(b)
		if ok && (m.Name == "" || m.Type == "" || m.Response != (m.Code != "")) {
			t.Fatalf("%+v", m)
		}
		var stats Stats
		p := New(func(Exchange) {}, &stats)
		p.Data(true, 1, 0, b)
		p.Data(false, 1, 0, b)
		p.Close(1, false)
		require.Equal(t, stats.BytesIn.Load(), stats.BytesMessage.Load()+stats.Skipped.Load())
		Sniff(b)
	})
}

func BenchmarkParse(b *testing.B) {
	m := response(1, "www.example.", dnsmessage.TypeA, 0, "cdn.example.", "192.0.2.1", "192.0.2.2")
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := Parse(m); !ok {
			b.Fatal()
		}
	}
}
