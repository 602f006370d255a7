// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"golang.org/x/net/quic"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// recorded are the datagrams of a real handshake.
type recorded struct {
	fromClient bool
	b          []byte
}

// handshake lets a client and a server of golang.org/x/net/quic shake hands through a relay, and returns what went through.
func handshake(t *testing.T, retry bool) (out []recorded) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testkit.Patience)
	defer cancel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1)}, &x509.Certificate{SerialNumber: big.NewInt(1)}, key.Public(), key)
	require.NoError(t, err)
	server, err := quic.Listen("udp", "127.0.0.1:0", &quic.Config{
		RequireAddressValidation: retry,
		TLSConfig:                &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"test"}, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
	})
	require.NoError(t, err)
	client, err := quic.Listen("udp", "127.0.0.1:0", nil)
	require.NoError(t, err)
	relay, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2048)
		for {
			n, from, err := relay.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			r := recorded{from == client.LocalAddr(), append([]byte(nil), buf[:n]...)}
			out = append(out, r)
			to := client.LocalAddr()
			if r.fromClient {
				to = server.LocalAddr()
			}
			_, _ = relay.WriteToUDPAddrPort(r.b, to)
		}
	}()
	conn, err := client.Dial(ctx, "udp", relay.LocalAddr().String(), &quic.Config{
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"test"}, ServerName: "quic.example", InsecureSkipVerify: true},
	})
	require.NoError(t, err)
	conn.Abort(nil)
	require.NoError(t, client.Close(ctx))
	require.NoError(t, server.Close(ctx))
	relay.Close()
	<-done
	return out
}

// see gives both ends' datagrams to the engine, as the kernel does: those that begin with an Initial packet.
func (b *bench) see(rs []recorded, port uint16) {
	client, server := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.MustParseAddrPort("127.0.0.1:443")
	for _, r := range rs {
		b.now += int64(time.Millisecond)
		if len(r.b) < 1200 || r.b[0]&0xf0 != 0xc0 {
			continue
		}
		for _, end := range []struct {
			cookie        event.Cookie
			local, remote netip.AddrPort
			sends         bool
		}{{5, client, server, r.fromClient}, {6, server, client, !r.fromClient}} {
			dir := event.Ingress
			if end.sends {
				dir = event.Egress
			}
			b.e.Datagram(&event.Datagram{Cookie: end.cookie, Time: b.now, Dir: dir, TGID: 100, Comm: "quic", Len: uint32(len(r.b)), Data: r.b, Local: end.local, Remote: end.remote})
		}
	}
}

func (b *bench) flows(port uint16, n uint64, latest int64) {
	client, server := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port), netip.MustParseAddrPort("127.0.0.1:443")
	b.e.Flow(&event.Flow{Cookie: 5, Remote: server, BytesSent: n, BytesReceived: 10 * n, DatagramsSent: 1, DatagramsRcvd: 2, Latest: latest})
	b.e.Flow(&event.Flow{Cookie: 6, Remote: client, BytesSent: 10 * n, BytesReceived: n, DatagramsSent: 2, DatagramsRcvd: 1, Latest: latest})
}

// TestQUIC: a connection has one life, whatever ids its first packets go by, and what it carried is counted.
func TestQUIC(t *testing.T) {
	for name, retry := range map[string]bool{"plain": false, "retry": true} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.see(handshake(t, retry), 5000)
			begun := b.now
			b.idle(30 * time.Second)
			b.flows(5000, 1000, begun)
			b.idle(20 * time.Second)
			b.flows(5000, 1000, begun) // nothing new to say
			b.idle(30 * time.Second)
			b.flows(5000, 1000, begun)
			b.flows(5000, 1000, begun) // long over
			b.idle(time.Second)
			b.idle(2 * time.Minute)
			require.Empty(t, b.e.quicFlows)
			b.close()
			got := map[string][]string{}
			for _, r := range b.records(semantic.EventConnection) {
				m := r.Attributes()
				require.Equal(t, "quic.example", str(t, m, semantic.ServerAddress))
				require.Equal(t, "udp", str(t, m, semantic.NetworkTransport))
				require.Equal(t, semantic.PayloadNotVisible, str(t, m, semantic.PayloadVisibility))
				role, state := str(t, m, semantic.ConnectionRole), str(t, m, semantic.ConnectionState)
				got[role] = append(got[role], state)
				sent, counted := m.Get(semantic.ConnectionSentBytes)
				require.Equal(t, state != stateOpen, counted)
				if counted {
					require.Equal(t, map[string]int64{"client": 1000, "server": 10000}[role], sent.Int())
				}
				if state == stateClosed {
					require.Equal(t, "timeout", str(t, m, semantic.ConnectionCloseReason))
					require.Equal(t, pcommon.Timestamp(begun), r.Timestamp())
				}
			}
			life := []string{stateOpen, stateEstablished, stateClosed}
			require.Equal(t, map[string][]string{"client": life, "server": life}, got)
		})
	}
}

// TestQUICSharesAFlow: counters of two connections are not those of one of them.
func TestQUICSharesAFlow(t *testing.T) {
	b := newBench(t)
	b.see(handshake(t, false), 5000)
	b.idle(time.Second)
	b.flows(5000, 1000, b.now)
	b.see(handshake(t, false), 5000)
	b.idle(20 * time.Second)
	b.flows(5000, 3000, b.now)
	b.close()
	states := map[string]int{}
	for _, r := range b.records(semantic.EventConnection) {
		m := r.Attributes()
		_, counted := m.Get(semantic.ConnectionSentBytes)
		s := str(t, m, semantic.ConnectionState)
		states[s]++
		require.Equal(t, s == stateClosed, counted, s)
	}
	require.Equal(t, map[string]int{stateOpen: 4, stateClosed: 2, stateEstablished: 2}, states)
}

// TestQUICForgotten: what the kernel does not count any more ends, too.
func TestQUICForgotten(t *testing.T) {
	b := newBench(t)
	b.see(handshake(t, false), 5000)
	for range 3 {
		b.idle(time.Minute)
		b.idle(time.Minute)
	}
	require.Empty(t, b.e.quicFlows)
	b.close()
	for _, r := range b.records(semantic.EventConnection) {
		if str(t, r.Attributes(), semantic.ConnectionState) == stateClosed {
			require.Equal(t, "unknown", str(t, r.Attributes(), semantic.ConnectionCloseReason))
		}
	}
	require.Len(t, b.records(semantic.EventConnection), 4)
}
