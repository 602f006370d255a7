// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func dnsBytes(t *testing.T, id uint16, name string, response bool, addrs ...string) []byte {
	t.Helper()
	n := dnsmessage.MustNewName(name)
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: id, Response: response},
		Questions: []dnsmessage.Question{{Name: n, Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}},
	}
	for _, a := range addrs {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: n, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.AResource{A: netip.MustParseAddr(a).As4()},
		})
	}
	b, err := m.Pack()
	require.NoError(t, err)
	return b
}

func (b *bench) datagram(dir event.Direction, tgid uint32, data []byte) {
	b.e.Datagram(&event.Datagram{
		Cookie: 77, Time: b.now, Dir: dir, TGID: tgid, Comm: "curl", Len: uint32(len(data)), Data: data,
		Local: netip.MustParseAddrPort("10.0.0.1:5000"), Remote: netip.MustParseAddrPort("10.0.0.2:53"),
	})
}

func (b *bench) resolve(tgid uint32, name string, addrs ...string) {
	b.datagram(event.Egress, tgid, dnsBytes(b.t.(*testing.T), 1, name, false))
	b.now += int64(time.Millisecond)
	b.datagram(event.Ingress, tgid, dnsBytes(b.t.(*testing.T), 1, name, true, addrs...))
}

// TestNames: a connection without a name gets the one that its own process asked for, if there is
// only one.
func TestNames(t *testing.T) {
	for _, c := range []struct {
		name, want string
		before     func(*bench)
	}{
		{"asked", "a.example", func(b *bench) { b.resolve(100, "a.example.", "127.0.0.9", "127.0.0.1") }},
		{"asked twice", "a.example", func(b *bench) { b.resolve(100, "a.example.", "127.0.0.1"); b.resolve(100, "a.example.", "127.0.0.1") }},
		{"two names", "", func(b *bench) { b.resolve(100, "a.example.", "127.0.0.1"); b.resolve(100, "b.example.", "127.0.0.1") }},
		{"and again", "", func(b *bench) {
			for range 2 {
				b.resolve(100, "a.example.", "127.0.0.1")
				b.resolve(100, "b.example.", "127.0.0.1")
			}
		}},
		{"another process", "", func(b *bench) { b.resolve(200, "a.example.", "127.0.0.1") }},
		{"nobody", "", func(b *bench) { b.resolve(0, "a.example.", "127.0.0.1") }},
		{"not asked for", "", func(b *bench) { b.datagram(event.Ingress, 100, dnsBytes(t, 1, "a.example.", true, "127.0.0.1")) }},
		{"long ago", "", func(b *bench) { b.resolve(100, "a.example.", "127.0.0.1"); b.idle(nameTTL + time.Second) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t)
			b.t = t
			c.before(b)
			w := b.dial(1).open()
			w.send(true, "\xff\xfe\xfd nobody knows")
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			b.close()
			for _, r := range b.records(semantic.EventConnection) {
				m := r.Attributes()
				if str(t, m, semantic.ConnectionRole) != "client" {
					continue
				}
				source, _ := m.Get(semantic.ServerNameSource)
				if c.want == "" {
					require.Equal(t, "127.0.0.1", str(t, m, semantic.ServerAddress))
					require.Empty(t, source.Str())
				} else {
					require.Equal(t, c.want, str(t, m, semantic.ServerAddress))
					require.Equal(t, "dns", source.Str())
				}
			}
		})
	}
}

// TestNameIsNoGuess: what the connection itself says comes first.
func TestNameIsNoGuess(t *testing.T) {
	b := newBench(t)
	b.resolve(100, "other.example.", "127.0.0.1")
	w := b.dial(1).open()
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	for _, r := range b.records(semantic.EventConnection) {
		require.Equal(t, "api.example", str(t, r.Attributes(), semantic.ServerAddress))
	}
}

func TestDNSRecords(t *testing.T) {
	b := newBench(t)
	b.resolve(100, "a.example.", "127.0.0.1")
	b.datagram(event.Egress, 100, dnsBytes(t, 9, "silent.example.", false))
	b.datagram(event.Egress, 100, []byte("no DNS"))
	for range 8 {
		b.idle(time.Second)
	}
	require.Empty(t, b.e.resolvers)
	b.datagram(event.Egress, 100, dnsBytes(t, 10, "late.example.", false)) // still open at the end
	b.close()
	var got []string
	for _, r := range b.records(semantic.EventDNS) {
		m := r.Attributes()
		code, _ := m.Get(semantic.DNSResponseCode)
		failed, _ := m.Get(semantic.ErrorType)
		got = append(got, fmt.Sprint(str(t, m, semantic.DNSQuestionName), " ", code.Str(), failed.Str()))
	}
	require.Equal(t, []string{"a.example NOERROR", "silent.example timeout", "late.example timeout"}, got)

	b = newBench(t, func(s *Settings, _ *bench) { s.Exclude = []uint16{53} })
	b.resolve(100, "a.example.", "127.0.0.1")
	b.close()
	require.Empty(t, b.records(semantic.EventDNS))
	require.Len(t, b.e.names, 1, "names are learned all the same")
}
