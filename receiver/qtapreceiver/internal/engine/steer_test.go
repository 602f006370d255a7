// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// control keeps what the engine orders.
type control struct {
	orders map[event.Cookie][]event.Order
	denied map[uint32]bool
	paused []bool
	caps   []uint32
	calls  int
	fail   bool
}

func (c *control) Order(cookie event.Cookie, o event.Order) error {
	if c.fail {
		return errors.New("no")
	}
	c.orders[cookie] = append(c.orders[cookie], o)
	return nil
}

func (c *control) DenySecrets(tgid uint32, deny bool) error {
	c.calls++
	c.denied[tgid] = deny
	return nil
}

func (c *control) BodyCap(bytes uint32) error {
	if c.fail {
		return errors.New("no")
	}
	c.caps = append(c.caps, bytes)
	return nil
}

func (c *control) Pause(pause bool) error {
	if c.fail {
		return errors.New("no")
	}
	c.paused = append(c.paused, pause)
	return nil
}

func steered(t *testing.T, levels rules.Levels, list ...rules.Config) (*bench, *control) {
	t.Helper()
	k := &control{orders: map[event.Cookie][]event.Order{}, denied: map[uint32]bool{}}
	b := newBench(t, withPayloads(1<<16), func(s *Settings, _ *bench) { s.Control, s.Level = k, levels.Base })
	set, err := rules.Compile(list, levels)
	require.NoError(t, err)
	b.e.SetRules(set)
	return b, k
}

var fullLevels = rules.Levels{Base: rules.LevelFull, Max: rules.LevelFull}

func (b *bench) exchangeOn(n int) *wire {
	w := b.dial(n).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, okResponse)
	return w
}

func attr(m pcommon.Map, key string) string {
	if v, ok := m.Get(key); ok {
		return v.AsString()
	}
	return ""
}

// TestStop says what the source is told of each end, and when.
func TestStop(t *testing.T) {
	connections, none := event.Order{Level: event.OrderConnections}, event.Order{Level: event.OrderNone}
	for name, c := range map[string]struct {
		match          string
		level          rules.Level
		client, server []event.Order
		spans, records int
	}{
		"none by process":         {`process.executable.name == "curl"`, rules.LevelNone, []event.Order{none}, nil, 1, 1},
		"none by direction":       {`direction == "ingress"`, rules.LevelNone, nil, []event.Order{none}, 1, 1},
		"none by port":            {`server.port == 8080`, rules.LevelNone, []event.Order{none}, []event.Order{none}, 0, 0},
		"connections by process":  {`process.executable.name == "nginx"`, rules.LevelConnections, nil, []event.Order{connections}, 1, 2},
		"connections by network":  {`cidr(network.peer.address, "127.0.0.0/8")`, rules.LevelConnections, []event.Order{connections}, []event.Order{connections}, 0, 2},
		"without a name of TLS":   {`tls.client.server_name == ""`, rules.LevelConnections, []event.Order{connections}, []event.Order{connections}, 0, 2},
		"headers":                 {`server.port == 8080`, rules.LevelHeaders, nil, nil, 2, 2},
		"connections by the path": {`url.path startsWith "/users/"`, rules.LevelConnections, nil, nil, 0, 2},
		"none by the name":        {`server.address == "api.example"`, rules.LevelNone, nil, nil, 0, 0},
		"another process":         {`process.executable.name == "wget"`, rules.LevelNone, nil, nil, 2, 2},
	} {
		t.Run(name, func(t *testing.T) {
			b, k := steered(t, fullLevels, rules.Config{Match: c.match, Level: c.level})
			w := b.exchangeOn(1)
			b.idle(orderAgain / 2)
			w.send(true, getRequest) // still in the ring
			w.send(false, okResponse)
			w.hangup(event.CloseFIN)
			b.idle(time.Second)
			require.Equal(t, c.client, k.orders[w.client])
			require.Equal(t, c.server, k.orders[w.server])
			b.idle(2 * silenceLinger)
			require.Zero(t, b.e.Stats().Connections, "it is not kept")
			b.close()
			require.Len(t, b.spans(), 2*c.spans)
			ends := map[string]bool{}
			for _, lr := range b.records(semantic.EventConnection) {
				ends[attr(lr.Attributes(), semantic.ConnectionID)] = true
				if attr(lr.Attributes(), semantic.PayloadVisibility) == semantic.PayloadNotVisible {
					require.Equal(t, "rule", attr(lr.Attributes(), semantic.PayloadReason))
					require.Equal(t, "http", attr(lr.Attributes(), semantic.NetworkProtocolName), "what it is was found out before")
				}
			}
			require.Len(t, ends, c.records)
			require.Zero(t, b.e.stats().Missing, "what is not copied by order is not missing")
			require.EqualValues(t, len(c.client)+len(c.server), b.e.Stats().Stopped[event.SkipRule])
		})
	}
}

// TestOrdersGetLost: an order that is not heeded is given again, and what comes all the same changes nothing.
func TestOrdersGetLost(t *testing.T) {
	b, k := steered(t, fullLevels, rules.Config{Match: `server.port == 8080`, Level: rules.LevelConnections})
	w := b.exchangeOn(1)
	k.fail = true
	for range 5 {
		b.idle(time.Second)
		w.send(true, getRequest)
		w.send(false, okResponse)
	}
	require.EqualValues(t, 10, b.e.counts.ordersFailed)
	k.fail = false
	b.idle(time.Second)
	w.send(true, getRequest)
	require.Len(t, k.orders[w.client], 2)
	w.hangup(event.CloseFIN)
	b.idle(time.Second)
	b.close()
	require.Empty(t, b.spans())
}

// TestUnread stops the copies of what nobody reads; rules are not needed for that.
func TestUnread(t *testing.T) {
	b, k := steered(t, fullLevels)
	w := b.dial(1).open()
	w.own()
	w.send(true, "SSH-2.0-OpenSSH_9.2\r\n")
	w.send(false, "SSH-2.0-OpenSSH_9.2\r\n")
	for range maxTurns {
		require.Empty(t, k.orders, "it may turn to TLS yet")
		w.send(true, "no TLS")
	}
	require.Equal(t, []event.Order{{Level: event.OrderConnections, Reason: event.SkipUnread}}, k.orders[w.client])
	require.Equal(t, k.orders[w.client], k.orders[w.server])
	w.hangup(event.CloseFIN)
	b.close()
	records := b.records(semantic.EventConnection)
	require.NotEmpty(t, records)
	require.Equal(t, reasonUnknownProtocol, attr(records[len(records)-1].Attributes(), semantic.PayloadReason))
}

// TestDNSIsNoMatterOfRules: a resolver's connections are read, whatever rules say of its requests.
func TestDNSIsNoMatterOfRules(t *testing.T) {
	b, k := steered(t, fullLevels, rules.Config{Match: `true`, Level: rules.LevelNone})
	w := b.dial(1)
	w.sa = netip.MustParseAddrPort("127.0.0.1:53")
	w.open()
	w.own()
	w.send(true, getRequest)
	require.Empty(t, k.orders)
}

// TestSkipBody: the rest of a long body is skipped up to its last byte, whether the source heeds that or not, and what
// the exchange says is the same.
func TestSkipBody(t *testing.T) {
	const size = 3 << 20
	for name, heeds := range map[string]bool{"heeded": true, "not heeded": false} {
		t.Run(name, func(t *testing.T) {
			b, k := steered(t, fullLevels)
			w := b.dial(1).open()
			w.own()
			w.send(true, getRequest)
			start := w.seq[1]
			head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
			w.send(false, head+repeat("x", 50_000))
			require.Empty(t, k.orders, "the body is still kept")
			w.send(false, repeat("x", 50_000))
			until := start + uint32(len(head)) + size - 1
			for cookie, dir := range map[event.Cookie]event.Direction{w.client: event.Ingress, w.server: event.Egress} {
				o := event.Order{Reason: event.SkipCap}
				o.Skip[dir], o.Until[dir] = true, until
				got := k.orders[cookie]
				require.Len(t, got, 1)
				got[0].Until[1-dir] = 0
				require.Equal(t, o, got[0])
			}
			if heeds {
				w.seq[1] = until
				b.now += int64(time.Second)
				w.send(false, "x")
			} else {
				for left := size - 100_000; left > 0; left -= 60_000 {
					w.send(false, repeat("x", min(left, 60_000)))
				}
			}
			end := b.now
			require.Zero(t, b.e.stats().Missing+b.e.stats().Gaps, "what is not wanted is not missing")
			w.send(true, getRequest)
			w.send(false, okResponse)
			w.hangup(event.CloseFIN)
			b.close()
			spans := b.spans()
			require.Len(t, spans, 4)
			for _, s := range spans {
				if n := attr(s.Attributes(), semantic.HTTPResponseBodySize); n != "5" {
					require.Equal(t, fmt.Sprint(size), n)
					require.Equal(t, "truncated max_body_size", attr(s.Attributes(), semantic.PayloadState)+" "+attr(s.Attributes(), semantic.PayloadReason))
					require.EqualValues(t, end, s.EndTimestamp(), "the time of the last byte")
				} else {
					require.Equal(t, "pending", attr(s.Attributes(), semantic.PayloadState))
				}
			}
		})
	}
}

// TestSkippedByTheSource: what the source skips by itself is not missing, on a connection of which the first response is
// the first that is seen, too.
func TestSkippedByTheSource(t *testing.T) {
	const size, most = 3 << 20, 1 << 16
	for name, joined := range map[string]bool{"from the beginning": false, "joined": true} {
		t.Run(name, func(t *testing.T) {
			b, k := steered(t, fullLevels)
			b.idle(0)
			require.Equal(t, []uint32{most}, k.caps)
			w := b.dial(1)
			if joined {
				for ck, role := range map[event.Cookie]event.Role{w.client: event.RoleClient, w.server: event.RoleServer} {
					s := event.Socket{Kind: event.SocketStats, Cookie: ck, Time: b.now, Local: w.ca, Remote: w.sa, TGID: 100, PreExisting: true, Role: role,
						RcvNxt: w.seq[1], SndNxt: w.seq[0], BytesReceived: 900, BytesSent: 500}
					if role == event.RoleServer {
						s.Local, s.Remote, s.TGID, s.RcvNxt, s.SndNxt = w.sa, w.ca, 200, w.seq[0], w.seq[1]
					}
					b.e.Socket(&s) // it was torn: where its streams begin is not known
				}
			} else {
				w.open()
				w.own()
			}
			for range 2 {
				w.send(true, getRequest)
				head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)
				w.send(false, head)
				w.send(false, repeat("x", most))
				w.seq[1] += size - most - 1
				w.send(false, "x")
				b.idle(2 * time.Second)
			}
			require.Equal(t, []uint32{most}, k.caps)
			require.Zero(t, b.e.stats().Missing+b.e.stats().Gaps, "what is not wanted is not missing")
			w.hangup(event.CloseFIN)
			b.close()
			spans := b.spans()
			require.Len(t, spans, 4)
			if joined {
				return // which request the responses are to is not sure
			}
			for _, s := range spans {
				require.Equal(t, fmt.Sprint(size), attr(s.Attributes(), semantic.HTTPResponseBodySize))
				require.Equal(t, "truncated max_body_size", attr(s.Attributes(), semantic.PayloadState)+" "+attr(s.Attributes(), semantic.PayloadReason))
			}
		})
	}
}

// TestGapBeforeSkipIsAGap: what was lost of the part that is kept is not called cut.
func TestGapBeforeSkipIsAGap(t *testing.T) {
	const size = 3 << 20
	gaps := 0
	b, _ := steered(t, fullLevels)
	w := b.dial(1).open()
	w.own()
	w.send(true, getRequest)
	w.send(false, fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size)+repeat("x", 20_000))
	w.seq[1] += 5000 // lost
	w.send(false, repeat("x", 60_000))
	b.idle(time.Minute)
	w.seq[1] += size - 85_000 - 1
	w.send(false, "x")
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.close()
	for _, s := range b.spans() {
		if attr(s.Attributes(), semantic.HTTPResponseBodySize) == fmt.Sprint(size) {
			gaps++
			require.Equal(t, "truncated gap", attr(s.Attributes(), semantic.PayloadState)+" "+attr(s.Attributes(), semantic.PayloadReason))
		}
	}
	require.Equal(t, 2, gaps)
}

// TestRaise: rules raise the level of some exchanges above the receiver's.
func TestRaise(t *testing.T) {
	for base, want := range map[rules.Level]string{rules.LevelHeaders: "truncated level", rules.LevelConnections: ""} {
		t.Run(string(base), func(t *testing.T) {
			b, k := steered(t, rules.Levels{Base: base, Max: rules.LevelFull},
				rules.Config{Match: `server.address == "api.example" and url.path == "/full"`, Level: rules.LevelFull},
				rules.Config{Match: `process.executable.name == "nginx"`, Level: rules.LevelConnections})
			w := b.dial(1).open()
			w.own()
			w.send(true, "GET /full HTTP/1.1\r\nHost: api.example\r\n\r\n")
			w.send(false, okResponse)
			w.send(true, getRequest)
			w.send(false, okResponse)
			w.hangup(event.CloseFIN)
			b.close()
			require.Empty(t, k.orders, "a request decides")
			got := map[string]string{}
			for _, s := range b.spans() {
				if s.Kind().String() == "Client" {
					got[attr(s.Attributes(), semantic.URLPath)] = attr(s.Attributes(), semantic.PayloadState) + " " + attr(s.Attributes(), semantic.PayloadReason)
				}
			}
			require.Equal(t, "pending ", got["/full"])
			require.Equal(t, want, got["/users/42"])
			require.NotEmpty(t, b.segs)
		})
	}
}

// TestConnectionsByDefault: at the base level connections, what no rule may raise is stopped.
func TestConnectionsByDefault(t *testing.T) {
	b, k := steered(t, rules.Levels{Base: rules.LevelConnections, Max: rules.LevelFull}, rules.Config{Match: `process.executable.name == "curl"`, Level: rules.LevelFull})
	w := b.exchangeOn(1)
	w.hangup(event.CloseFIN)
	b.close()
	require.Empty(t, k.orders[w.client])
	require.Equal(t, []event.Order{{Level: event.OrderConnections}}, k.orders[w.server])
	require.Len(t, b.spans(), 1)
}

// TestDenySecrets: the secrets of a process are left alone as soon as it is seen, and no longer than the rules say so.
func TestDenySecrets(t *testing.T) {
	b, k := steered(t, fullLevels, rules.Config{Match: `process.executable.name == "curl" and direction == "egress" or process.executable.name == "nginx"`, Level: rules.LevelConnections})
	w := b.dial(1).open()
	w.own()
	b.dial(2).open() // of the same process
	require.Equal(t, map[uint32]bool{200: true}, k.denied, "curl may accept a connection, too")
	require.Equal(t, 1, k.calls)
	secret := &event.Secret{Kind: event.SecretKeyLog, TGID: 200, Time: b.now, Label: "CLIENT_RANDOM", Secret: make([]byte, 48), Context: make([]byte, 32)}
	secret.Secret[0] = 1
	b.e.Secret(secret)
	require.Zero(t, b.e.keys.Stats().Entries)
	require.Zero(t, secret.Secret[0])
	b.e.SetRules(ruleSet(t, rules.Config{Match: `process.executable.name == "curl"`, Level: rules.LevelNone}))
	b.idle(2 * sweepEvery)
	require.Equal(t, map[uint32]bool{100: true, 200: false}, k.denied)
	b.e.Process(&event.Process{TGID: 100, Exited: true, Time: b.now})
	require.Len(t, b.e.denials, 1)
	require.Equal(t, map[uint32]bool{100: false, 200: false}, k.denied, "given late, it would hold for the next process of this number")
	w.hangup(event.CloseFIN)
}

// TestDenialOfAnImageThatIsOver: the kernel forgets a denial at exec, and the engine's may come after the exec that follows.
func TestDenialOfAnImageThatIsOver(t *testing.T) {
	b, k := steered(t, fullLevels, rules.Config{Match: `process.executable.name == "sh"`, Level: rules.LevelNone})
	b.e.Process(&event.Process{TGID: 4000000, Time: b.now, Executable: "/bin/sh"})
	require.Equal(t, map[uint32]bool{4000000: true}, k.denied)
	b.e.Process(&event.Process{TGID: 4000000, Time: b.now, Executable: "/opt/app"})
	require.Equal(t, map[uint32]bool{4000000: false}, k.denied)
}

// TestNoSkipWithoutSequenceNumbers: where a body ends in sequence numbers is known only with the first of them.
func TestNoSkipWithoutSequenceNumbers(t *testing.T) {
	b, k := steered(t, fullLevels)
	w := b.dial(1).open()
	w.own()
	for _, c := range b.e.byCookie {
		c.dirs[0].hasISN, c.dirs[1].hasISN = false, false
	}
	w.send(true, getRequest)
	w.send(false, "HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n"+repeat("x", 60_000))
	w.send(false, repeat("x", 60_000))
	require.Empty(t, k.orders)
}

// TestUnknownPod: a rule that looks at a name that is not known keeps no payload, and says so.
func TestUnknownPod(t *testing.T) {
	b, _ := steered(t, fullLevels, rules.Config{Match: `k8s.namespace.name == "prod"`, Level: rules.LevelNone})
	w := b.dial(1).open()
	w.own()
	c := b.e.byCookie[w.client]
	c.proc = &process.Info{TGID: 100, ExecutableName: "curl", PodUID: "2b5e0b1c-93a4-4b0e-8d5d-0a1b2c3d4e5f"}
	b.e.byCookie[w.server].proc = &process.Info{TGID: 200, ExecutableName: "nginx", PodUID: "u", PodName: "p", Namespace: "prod"}
	w.send(true, getRequest)
	w.send(false, okResponse)
	w.hangup(event.CloseFIN)
	b.close()
	spans := b.spans()
	require.Len(t, spans, 1)
	require.Equal(t, "filtered rule_unknown", attr(spans[0].Attributes(), semantic.PayloadState)+" "+attr(spans[0].Attributes(), semantic.PayloadReason))
	require.EqualValues(t, 1, b.e.Stats().RulesUnknown)
}
