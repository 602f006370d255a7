// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

const ordered = 10_000_000

// openOrdering captures a new cgroup with a web server in it; on is called with every event.
func openOrdering(t *testing.T, on func(*Capture, *nginx, any)) (*host, *nginx) {
	t.Helper()
	dir := newCgroup(t)
	n := startNginx(t, dir, ordered)
	c, err := Open(Config{CgroupPath: dir, Level: LevelFull, Keys: true, RingBytes: 64 << 20})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	h := &host{t: t, cgroup: dir, capture: c, rec: newRecorder()}
	h.rec.on = func(e any) { on(c, n, e) }
	h.run()
	return h, n
}

// requireAll holds what was copied and skipped against what went over the wire at both ends; segments that were sent
// again count again.
func requireAll(t *testing.T, want, got uint64, retransmits uint32) {
	t.Helper()
	if retransmits == 0 {
		require.Equal(t, want, got)
	} else {
		require.GreaterOrEqual(t, got, want)
	}
}

// copied is how many bytes of a connection's two ends were copied.
func (r *events) copied(a, b uint16) (n uint64) {
	for i := range r.packets {
		p := &r.packets[i]
		if l, o := p.Local.Port(), p.Remote.Port(); l == a && o == b || l == b && o == a {
			n += uint64(len(p.Data))
		}
	}
	return n
}

// TestOrderConnections stops the copies of a connection at both ends when it is established: what was copied and what
// was skipped are together all that went over it, and its life and its counters are reported as ever.
func TestOrderConnections(t *testing.T) {
	h, n := openOrdering(t, func(c *Capture, _ *nginx, e any) {
		if s, ok := e.(*event.Socket); ok && s.Kind == event.SocketEstablished {
			require.NoError(t, c.Order(s.Cookie, event.Order{Level: event.OrderConnections, Reason: event.SkipUnread}))
		}
	})
	got := h.curl("--limit-rate", "30M", fmt.Sprintf("http://127.0.0.1:%d/file", n.http))
	require.True(t, bytes.Equal(n.file, got.body), "the program is not touched")
	h.ended(got.localPort, uint16(n.http))
	require.Empty(t, h.lost)
	copied, skipped := h.copied(got.localPort, uint16(n.http)), h.skipped[event.SkipUnread]
	t.Logf("copied %d, skipped %d", copied, skipped)
	closed := h.connection(got.localPort, uint16(n.http))[event.SocketClosed]
	requireAll(t, 2*(got.request+got.header+got.payload), copied+skipped, h.connection(uint16(n.http), got.localPort)[event.SocketClosed].Retransmits)
	require.Greater(t, skipped, uint64(ordered))
	require.Equal(t, got.header+got.payload, closed.BytesReceived)
}

// TestOrderNone ends all reports of a connection, and its skipped bytes are still counted. Its counters may have been
// reported before the order came.
func TestOrderNone(t *testing.T) {
	var ordered sync.Map // when, by cookie
	h, n := openOrdering(t, func(c *Capture, n *nginx, e any) {
		if s, ok := e.(*event.Socket); ok && s.Kind == event.SocketEstablished && (s.Local.Port() == uint16(n.http) || s.Remote.Port() == uint16(n.http)) {
			require.NoError(t, c.Order(s.Cookie, event.Order{Level: event.OrderNone, Reason: event.SkipRule}))
			ordered.Store(s.Cookie, time.Now())
		}
	})
	got := h.curl("--limit-rate", "5M", fmt.Sprintf("http://127.0.0.1:%d/file", n.http))
	require.True(t, bytes.Equal(n.file, got.body))
	other := h.curl(fmt.Sprintf("https://127.0.0.1:%d/none", n.https))
	h.ended(other.localPort, uint16(n.https))
	for _, end := range []map[event.SocketKind]event.Socket{h.connection(got.localPort, uint16(n.http)), h.connection(uint16(n.http), got.localPort)} {
		require.Contains(t, end, event.SocketEstablished)
		require.NotContains(t, end, event.SocketClosed)
	}
	for i := range h.packets {
		if at, ok := ordered.Load(h.packets[i].Cookie); ok {
			require.Less(t, h.packets[i].Time, at.(time.Time).Add(100*time.Millisecond).UnixNano(), "give or take what clocks differ by, nothing is copied once the order is given")
		}
	}
	require.GreaterOrEqual(t, h.copied(got.localPort, uint16(n.http))+h.skipped[event.SkipRule], 2*(got.request+got.header+got.payload))
	require.NotZero(t, h.skipped[event.SkipRule])
	require.NotZero(t, h.copied(other.localPort, uint16(n.https)), "another connection is copied")
}

// TestOrderUntil skips a body up to its last byte as soon as its head is seen, at each end for itself, and has what
// follows on the connection.
func TestOrderUntil(t *testing.T) {
	given := map[event.Cookie]bool{}
	h, n := openOrdering(t, func(c *Capture, _ *nginx, e any) {
		p, ok := e.(*event.Packet)
		if !ok || given[p.Cookie] || !bytes.HasPrefix(p.Data, []byte("HTTP/1.1 200")) {
			return
		}
		head := bytes.Index(p.Data, []byte("\r\n\r\n")) + 4
		o := event.Order{Reason: event.SkipCap}
		o.Skip[p.Dir], o.Until[p.Dir] = true, p.Seq+uint32(head)+ordered-1
		given[p.Cookie] = true
		require.NoError(t, c.Order(p.Cookie, o))
	})
	url := fmt.Sprintf("http://127.0.0.1:%d/", n.http)
	got := h.curl("--limit-rate", "30M", url+"file", "-o", "/dev/null", url+"none")
	h.ended(got.localPort, uint16(n.http))
	require.Empty(t, h.lost)
	client := h.connection(got.localPort, uint16(n.http))
	se, closed := client[event.SocketEstablished], client[event.SocketClosed]
	copied, skipped := h.copied(got.localPort, uint16(n.http)), h.skipped[event.SkipCap]
	t.Logf("copied %d, skipped %d", copied, skipped)
	requireAll(t, 2*(closed.BytesSent+closed.BytesReceived), copied+skipped, h.connection(uint16(n.http), got.localPort)[event.SocketClosed].Retransmits)
	require.Greater(t, skipped, uint64(ordered))
	last, next := false, false
	for _, p := range h.packets {
		if p.Cookie == se.Cookie && p.Dir == event.Ingress && len(p.Data) > 0 {
			at := p.Seq + p.Off - se.RcvNxt
			last = last || p.Off > 0 && p.Data[0] == n.file[ordered-1]
			next = next || at > ordered && bytes.Contains(p.Data, []byte("404 Not Found"))
		}
	}
	require.True(t, last, "the last byte of the body")
	require.True(t, next, "the next response")
}

// TestBodyCap has the source skip bodies by what their heads say of their length: what comes of them is the beginning, to
// the cap at least, and the last byte. The responses between them are whole.
func TestBodyCap(t *testing.T) {
	const most = 64 << 10
	h, n := openOrdering(t, func(*Capture, *nginx, any) {})
	require.NoError(t, h.capture.BodyCap(most))
	url := fmt.Sprintf("http://127.0.0.1:%d/", n.http)
	got := h.curl(url+"file", "-o", "/dev/null", url+"none", "-o", "/dev/null", url+"file", "-o", "/dev/null", url+"none")
	h.ended(got.localPort, uint16(n.http))
	require.Empty(t, h.lost)
	client := h.connection(got.localPort, uint16(n.http))
	se, closed := client[event.SocketEstablished], client[event.SocketClosed]
	copied, skipped := h.copied(got.localPort, uint16(n.http)), h.skipped[event.SkipCap]
	t.Logf("copied %d, skipped %d", copied, skipped)
	requireAll(t, 2*(closed.BytesSent+closed.BytesReceived), copied+skipped, h.connection(uint16(n.http), got.localPort)[event.SocketClosed].Retransmits)
	require.Greater(t, skipped, uint64(2*2*(ordered-most-(1<<20))), "two bodies at two ends, but for what a segment holds beside")

	received := make([]byte, closed.BytesReceived)
	seen := make([]bool, len(received))
	for _, p := range h.packets {
		if p.Cookie == se.Cookie && p.Dir == event.Ingress && len(p.Data) > 0 {
			at := p.Seq + p.Off - se.RcvNxt
			for i := range copy(received[at:], p.Data) {
				seen[at+uint32(i)] = true
			}
		}
	}
	files := 0
	for at := 0; at < len(received); {
		head := bytes.Index(received[at:], []byte("\r\n\r\n")) + 4
		require.True(t, bytes.HasPrefix(received[at:], []byte("HTTP/1.1 ")), "a response at %d", at)
		fields := string(received[at : at+head])
		_, value, _ := strings.Cut(fields, "Content-Length: ")
		value, _, _ = strings.Cut(value, "\r\n")
		length, err := strconv.Atoi(value)
		require.NoError(t, err, fields)
		at += head
		wanted := length
		if length == ordered {
			files++
			wanted = most
			require.True(t, seen[at+length-1], "the last byte")
			require.Equal(t, n.file[ordered-1], received[at+length-1])
		}
		for i := range wanted {
			require.True(t, seen[at+i], "byte %d of a body of %d", i, length)
		}
		at += length
	}
	require.Equal(t, 2, files)
}

// TestDenySecrets denies the secrets of each new process: those of one that was there are read.
func TestDenySecrets(t *testing.T) {
	var deny atomic.Bool
	deny.Store(true)
	h, n := openOrdering(t, func(c *Capture, _ *nginx, e any) {
		if p, ok := e.(*event.Process); ok && !p.Exited && deny.Load() {
			require.NoError(t, c.DenySecrets(p.TGID, true))
		}
	})
	url := fmt.Sprintf("https://127.0.0.1:%d/none", n.https)
	got := h.curl(url)
	h.ended(got.localPort, uint16(n.https))
	require.Empty(t, h.secretsOf(got.pid), "the client's are denied")
	workers := n.workers(t)
	require.NotEmpty(t, append(h.secretsOf(workers[0]), h.secretsOf(workers[1])...), "the server's are not")

	// What was denied may be allowed again, and one that was never denied, too.
	deny.Store(false)
	for _, pid := range workers {
		require.NoError(t, h.capture.DenySecrets(pid, true))
		require.NoError(t, h.capture.DenySecrets(pid, false))
		require.NoError(t, h.capture.DenySecrets(pid, false))
	}
	require.NotEmpty(t, h.secretsOf(h.curl(url).pid))
}

// TestPause copies nothing and reads no secret while it is paused, of connections that are open and of new ones, and
// reports their lives; afterwards all is as before.
func TestPause(t *testing.T) {
	h, n := openOrdering(t, func(*Capture, *nginx, any) {})
	require.NoError(t, h.capture.Pause(true))
	got := h.curl("--limit-rate", "30M", fmt.Sprintf("http://127.0.0.1:%d/file", n.http))
	require.True(t, bytes.Equal(n.file, got.body), "the program is not touched")
	h.ended(got.localPort, uint16(n.http))
	require.Empty(t, h.lost)
	require.Zero(t, h.copied(got.localPort, uint16(n.http)))
	closed := h.connection(got.localPort, uint16(n.http))[event.SocketClosed]
	require.Equal(t, got.header+got.payload, closed.BytesReceived, "its counters are whole")
	requireAll(t, 2*(got.request+got.header+got.payload), h.skipped[event.SkipBudget], h.connection(uint16(n.http), got.localPort)[event.SocketClosed].Retransmits)

	url := fmt.Sprintf("https://127.0.0.1:%d/none", n.https)
	blind := h.curl(url)
	h.ended(blind.localPort, uint16(n.https))
	require.NoError(t, h.capture.Pause(false))
	seen := h.curl(url)
	h.ended(seen.localPort, uint16(n.https))
	require.NotEmpty(t, h.secretsOf(seen.pid))
	require.Empty(t, h.secretsOf(blind.pid))
	require.NotZero(t, h.copied(seen.localPort, uint16(n.https)))
	require.Zero(t, h.copied(blind.localPort, uint16(n.https)))
}
