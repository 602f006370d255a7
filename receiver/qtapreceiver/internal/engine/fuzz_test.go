// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"bytes"
	"testing"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// FuzzEvents plays any order of events with any bytes over a few connections: nothing may panic,
// every book must balance and nothing may be left in flight at the end (bench.close).
func FuzzEvents(f *testing.F) {
	f.Add([]byte{0, 0, 0, 1, 0, 0, 2, 0, 0, 4, 0, 40, 5, 0, 9, 6, 0, 0}, getRequest+okResponse)
	f.Add([]byte{4, 1, 80, 1, 1, 0, 2, 1, 0, 5, 1, 80, 7, 1, 0, 8, 0, 200}, getRequest)
	f.Add([]byte{9, 2, 1, 4, 2, 99, 3, 2, 0, 10, 2, 0, 8, 0, 255, 8, 0, 255}, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00")
	c, s := newFrames(), newFrames()
	request, response := c.hello(true).get(1, "/a").get(3, "/b").take(), s.hello(false).headers(3, true, ":status", "204").headers(1, false, ":status", "200").data(1, true, "x").take()
	f.Add([]byte{0, 0, 0, 1, 0, 0, 2, 0, 0, 4, 0, byte(len(request)), 5, 0, byte(len(response)), 6, 0, 0}, request+response)
	f.Add([]byte{11, 0, 3, 4, 0, byte(len(request) - 33), 5, 0, byte(len(response)), 6, 0, 0}, request[33:]+response)
	open := []byte{0, 0, 0, 1, 0, 0, 2, 0, 0}
	for _, c := range [][2]string{
		{upgradeRequest, upgradeResponse + text("one") + text("two")},
		{getRequest, streamResponse + chunk("data: 1\n\nda") + chunk("ta: 2\n\n")},
		{"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"},
	} {
		f.Add(append(bytes.Clone(open), 4, 0, byte(len(c[0])), 5, 0, byte(len(c[1])), 8, 0, 200, 4, 0, byte(len(getRequest)), 5, 0, 200, 8, 0, 200, 6, 0, 0),
			c[0]+c[1]+getRequest+okResponse+text("three"))
	}
	f.Fuzz(func(t *testing.T, ops []byte, data string) {
		testkit.Keep(t, []byte(data))
		if len(ops) > 600 {
			return
		}
		b := newBench(t, withPayloads(64), withPartAge(time.Second))
		wires := [3]*wire{b.dial(1), b.dial(2), b.dial(3)}
		take := func(n byte) string {
			k := min(int(n), len(data))
			s := data[:k]
			data = data[k:]
			return s
		}
		for ; len(ops) >= 3; ops = ops[3:] {
			w, n := wires[ops[1]%3], ops[2]
			switch ops[0] % 14 {
			case 0:
				w.connect()
			case 1:
				w.establish(true)
			case 2:
				w.establish(false)
			case 3:
				w.own()
			case 4:
				w.send(true, take(n))
			case 5:
				w.send(false, take(n))
			case 6:
				w.hangup(event.CloseReason(n % 5))
			case 7:
				b.e.Socket(&event.Socket{Kind: event.SocketExcluded, Cookie: w.server, Time: b.now, Local: w.sa, Remote: w.ca})
			case 8:
				b.idle(time.Duration(n) * 10 * time.Millisecond)
			case 9: // a part of a segment, a hole, or nonsense
				s := take(n)
				b.e.Packet(&event.Packet{Cookie: w.client, Time: b.now, Dir: event.Direction(n & 1), Flags: n, Seq: w.seq[n&1] + uint32(n), Len: uint32(len(s)) + uint32(n&7), Off: uint32(n & 3), Data: []byte(s), Local: w.ca, Remote: w.sa})
			case 10:
				w.packet(event.Cookie(n), event.Ingress, event.FlagACK, w.seq[0], take(n))
			case 11:
				b.e.Socket(&event.Socket{Kind: event.SocketStats, Cookie: w.client, Time: b.now, Local: w.ca, Remote: w.sa, PreExisting: n&1 == 1, RcvNxt: w.seq[1], SndNxt: w.seq[0], Role: event.Role(n % 3)})
			case 12:
				b.e.Secret(&event.Secret{Kind: event.SecretKind(n % 3), Time: b.now, Label: take(12), Secret: []byte(take(32)), Context: []byte(take(32))})
			case 13:
				b.e.Process(&event.Process{Time: b.now, TGID: uint32(n), Exited: n&1 == 1})
				b.e.SetPayloads(nil)
			}
		}
		b.close()
	})
}
