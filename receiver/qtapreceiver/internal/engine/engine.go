// SPDX-License-Identifier: Apache-2.0

// Package engine makes connections, exchanges and payloads out of the kernel's events.
//
// It is one goroutine's: the source calls it, and it never blocks. Whatever waits for a
// pipeline does so in package emit.
package engine

import (
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/coverage"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/emit"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/process"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/stream"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/tls"
)

const (
	// announceDelay is how long the first record of a connection waits after the first answer,
	// announceLatest how long without one: the exclusion of the collector's own connections
	// arrives before.
	announceDelay  = 50 * time.Millisecond
	announceLatest = 2 * time.Second
	// closeLinger is how long a closed socket is kept: packets and secrets written by another CPU
	// may still be in the ring.
	closeLinger = 200 * time.Millisecond
	// secretLinger is how much longer it is kept when its ciphertext waits for a secret.
	secretLinger = time.Second
	// anchorWait is how long packets are held for the sequence numbers they start from; after that
	// the first one seen is the start.
	anchorWait = time.Second
	// claimWait is how long packets that no socket event explains are held.
	claimWait = 5 * time.Second
	// activeFor is how long after its last packet a connection is still ticked every time.
	activeFor = 15 * time.Second
	// excludeFor is how long the other end of an excluded connection is awaited.
	excludeFor = time.Minute
	sweepEvery = time.Second

	maxConns    = 65536
	maxExcluded = 4096
	// maxHeld and maxHeldConn bound the packet bytes held in total and per connection.
	maxHeld     = 64 << 20
	maxHeldConn = 256 << 10
	// maxCharged bounds the bytes that unfinished exchanges may hold, in total.
	maxCharged = 256 << 20
	// Of a budget of memory they are at most a sixteenth and a quarter.
)

// Settings are what an Engine works with.
type Settings struct {
	Include, Exclude []uint16 // server ports; an empty Include takes all
	Egress, Ingress  bool     // which ends are reported
	// Level is what is kept where there are no rules; "" is full.
	Level rules.Level
	// Suppress leaves out the exchanges of processes that send spans themselves.
	Suppress bool
	// Control is told what is not wanted; nil: nobody is.
	Control event.Controller
	// NoPackets says that the source sends none, so that none are missing.
	NoPackets bool
	// Interval is the time between two records of an open connection.
	Interval time.Duration

	Emitter   *emit.Emitter[*process.Info]
	Processes *process.Resolver
	Coverage  CoverageSettings
	// UnreadTLS names the TLS implementation of a process when it has no key source, else "". nil knows none.
	UnreadTLS func(tgid uint32) string
	// Sessions keeps TLS sessions for the next process; nil keeps none.
	Sessions Sessions
	// DenyProcesses are names of processes (comm) whose sessions are neither kept nor taken over, as their secrets
	// are not read. With NoSecrets, which says that no process's are, nobody's is.
	DenyProcesses []string
	NoSecrets     bool
	// Budget keeps the process within a budget; nil has none.
	Budget *Budget
}

// Payloads is where payloads go while a `qtap_payload` receiver is attached.
type Payloads struct {
	// MaxBody is the number of bytes kept of each body.
	MaxBody int
	// PartAge is how long an exchange that goes on waits until what came of it is emitted.
	PartAge   time.Duration
	Segmenter *emit.Segmenter[*process.Info]
}

// Engine implements event.Handler.
type Engine struct {
	set      Settings
	host     process.Host
	payloads atomic.Pointer[Payloads]
	beats    atomic.Uint64

	byCookie map[event.Cookie]*conn
	byTuple  map[tuple]*conn
	byPeer   map[tuple]*conn // by what the other end knows, tuple.shared
	excluded map[tuple]int64 // other ends still to come, by tuple.shared, with the time at which they are given up
	active   []*conn

	resolvers map[resolverKey]*resolver
	names     map[nameKey]nameEntry
	quicFlows map[quicKey]*quicFlow

	held, maxHeld       int
	charged, maxCharged int // Σ application.charge
	budget              budgeted
	bodyCap             uint32 // that the source was told
	now                 int64
	sweepAt             int64
	idled               int64 // when Idle was called last
	resumed             int64 // the end of the last time of which nothing is known: the clock was set, or the process stood still

	coverage coverer
	rules    atomic.Pointer[rules.Set]
	ruleEnv  rules.Env
	// denials are by TGID; denialSet are the rules that all of them were judged by.
	denials   map[uint32]denial
	denialSet *rules.Set

	keys   *tls.KeyStore
	counts counters
	snap   snapshot
}

// New returns an engine without connections.
func New(set Settings) *Engine {
	if set.Level == "" {
		set.Level = rules.LevelFull
	}
	e := &Engine{
		denials: map[uint32]denial{},
		set:     set, host: set.Processes.Host(),
		byCookie: map[event.Cookie]*conn{}, byTuple: map[tuple]*conn{}, byPeer: map[tuple]*conn{}, excluded: map[tuple]int64{},
		resolvers: map[resolverKey]*resolver{}, names: map[nameKey]nameEntry{}, quicFlows: map[quicKey]*quicFlow{},
		keys: newKeyStore(),
	}
	e.maxHeld, e.maxCharged = maxHeld, maxCharged
	if b := set.Budget; b != nil {
		e.budget.level = b.Top()
		if memory := b.Limits().Memory; memory > 0 {
			e.maxHeld, e.maxCharged = min(maxHeld, int(memory/16)), min(maxCharged, int(memory/4))
		}
	}
	e.counts.init()
	e.coverage = coverer{set: set.Coverage, host: process.Collector(e.host)}
	if set.Coverage.Interval > 0 {
		e.coverage.tracker = coverage.NewTracker()
	}
	return e
}

// SetPayloads attaches the payload path, or detaches it (nil). It may be called from any goroutine.
func (e *Engine) SetPayloads(p *Payloads) { e.payloads.Store(p) }

// Packet implements event.Handler.
func (e *Engine) Packet(p *event.Packet) {
	e.now = max(e.now, p.Time)
	n := uint64(len(p.Data))
	e.counts.captured += n
	c := e.byCookie[p.Cookie]
	if c == nil {
		c = e.unclaimed(p)
	}
	c.seen = p.Time
	if c.excluded || c.ignored {
		e.counts.dropBytes(dropFiltered, n)
		e.remind(c, n)
		return
	}
	if c.blind {
		e.counts.dropBytes(dropOverBudget, n)
		e.remind(c, n)
		return
	}
	if p.Refused {
		e.counts.refused++
		e.counts.dropBytes(dropRefused, n)
		return
	}
	if !c.tuple.complete() {
		e.setTuple(c, newTuple(p.Local, p.Remote, p.Netns))
		if c.excluded {
			e.counts.dropBytes(dropFiltered, n)
			return
		}
	}
	if p.Flags&event.FlagSYN != 0 {
		e.syn(c, p)
	}
	e.activate(c)
	if c.ready {
		e.feed(c, p)
	} else {
		e.hold(c, p)
		e.release(c, false)
	}
	e.remind(c, n)
	e.steer(c)
	for e.charged > e.maxCharged {
		e.evict(maxConns, func(a, b *conn) bool { return a.app.charge > b.app.charge })
	}
}

// syn takes what a SYN says. One that was received is believed as far as the socket would: it answers
// ours. Everything else that came is left to SocketEstablished.
func (e *Engine) syn(c *conn, p *event.Packet) {
	switch ack := p.Flags&event.FlagACK != 0; {
	case p.Dir == event.Egress:
		c.dirs[event.Egress].anchor(p.Seq + 1)
		if !ack {
			e.setRole(c, event.RoleClient)
		}
	case ack && c.dirs[event.Egress].hasISN && p.Ack == c.dirs[event.Egress].isn+1:
		c.dirs[event.Ingress].anchor(p.Seq + 1)
	}
}

func (e *Engine) feed(c *conn, p *event.Packet) {
	if p.HasRcvNxt {
		c.dirs[event.Ingress].stream.Received(p.RcvNxt)
	}
	c.dirs[p.Dir].stream.Packet(p)
	if p.Flags&event.FlagACK != 0 {
		c.dirs[1-p.Dir].stream.Acked(p.Ack)
	}
}

// hold keeps a copy of a packet until the connection is known and its streams are anchored.
func (e *Engine) hold(c *conn, p *event.Packet) {
	size := len(p.Data) + heldCost
	if c.heldSize+size > maxHeldConn || e.held+size > e.maxHeld {
		e.counts.dropBytes(dropHeldFull, uint64(len(p.Data)))
		return
	}
	// A handshake may take seconds, when its packets are lost. It is what follows it that waits.
	if c.heldAt == 0 && p.Len > 0 {
		c.heldAt = p.Time
	}
	q := *p
	q.Data = append([]byte(nil), p.Data...)
	c.held = append(c.held, q)
	c.heldSize += size
	e.held += size
	e.counts.heldBytes += uint64(len(p.Data))
}

// heldCost is what a held packet is charged beside its bytes.
const heldCost = 160

// release feeds the streams what was held, once they know where they start; late says that
// this is not awaited any longer.
func (e *Engine) release(c *conn, late bool) {
	if c.ready || c.cookie == 0 {
		return
	}
	for i := range c.dirs {
		if s := c.dirs[i].stream; !s.Anchored() {
			if !late {
				return
			}
			s.AllowMidstream()
			c.dirs[i].joined = true
		}
	}
	c.ready = true
	held := c.held
	e.unhold(c)
	for i := range held {
		if c.ignored {
			e.counts.dropBytes(dropFiltered, uint64(len(held[i].Data)))
			continue
		}
		e.feed(c, &held[i])
		e.steer(c) // what the source left out by itself must be known as such before what follows it
	}
}

// unhold takes the held packets out of the books and off the connection.
func (e *Engine) unhold(c *conn) (bytes uint64) {
	for i := range c.held {
		bytes += uint64(len(c.held[i].Data))
	}
	e.held -= c.heldSize
	e.counts.heldBytes -= bytes
	c.held, c.heldSize, c.heldAt = nil, 0, 0
	return bytes
}

// unclaimed finds the connection of a packet whose cookie is not known: the request of a
// deferred accept comes under its listener's cookie, and a packet may overtake the event of
// its socket.
func (e *Engine) unclaimed(p *event.Packet) *conn {
	t := newTuple(p.Local, p.Remote, p.Netns)
	if c := e.byTuple[t]; c != nil && !c.closing {
		return c // one that has ended had the same addresses before
	}
	return e.create(0, t, p.Time)
}

// create adds a connection, in place of an older one when the table is full.
func (e *Engine) create(cookie event.Cookie, t tuple, now int64) *conn {
	if len(e.byCookie)+len(e.byTuple) >= 2*maxConns {
		e.evict(64, func(a, b *conn) bool { return a.seen < b.seen })
	}
	c := &conn{e: e, start: now, seen: now, proc: e.set.Processes.Unknown()}
	c.app.c, c.app.stack.a = c, &c.app
	for i := range c.dirs {
		h := &c.dirs[i]
		h.c, h.dir = c, event.Direction(i)
		h.stream = stream.New(h, stream.Limits{}, &e.counts.stream)
	}
	e.setTuple(c, t)
	if cookie != 0 {
		e.adopt(c, cookie)
	}
	e.foresee(c)
	e.activate(c)
	if e.blinds() {
		e.blind(c)
	}
	return c
}

// adopt gives a connection its cookie.
func (e *Engine) adopt(c *conn, cookie event.Cookie) {
	c.cookie = cookie
	c.id = connectionID(e.host, cookie, 0)
	e.byCookie[cookie] = c
	e.counts.opened++
}

// setTuple indexes a connection by its addresses, once both are known.
func (e *Engine) setTuple(c *conn, t tuple) {
	if !t.complete() {
		if !c.tuple.complete() {
			c.tuple, c.localText, c.remoteText = t, addr(t.local), addr(t.remote)
		}
		return
	}
	if c.tuple == t && e.byTuple[t] == c {
		return
	}
	e.unindex(c)
	if old := e.byTuple[t]; old != nil && old.cookie == 0 {
		// Packets that came before this connection was known by its addresses.
		e.unindex(old)
		e.absorb(c, old)
	}
	c.tuple, c.localText, c.remoteText = t, addr(t.local), addr(t.remote)
	e.byTuple[t], e.byPeer[t.shared()] = c, c
	if _, ok := e.excluded[t.shared()]; ok {
		delete(e.excluded, t.shared())
		e.drop(c)
	} else if c.excluded {
		e.excludePeer(t)
	}
	if !e.wanted(c) {
		e.ignore(c)
	}
}

// unindex makes a connection unknown by its addresses.
func (e *Engine) unindex(c *conn) {
	if e.byTuple[c.tuple] == c {
		delete(e.byTuple, c.tuple)
	}
	if t := c.tuple.shared(); e.byPeer[t] == c {
		delete(e.byPeer, t)
	}
}

// absorb moves what an unclaimed entry holds to the connection it belongs to.
func (e *Engine) absorb(c, old *conn) {
	for i := range old.dirs {
		if o := &old.dirs[i]; o.hasISN {
			c.dirs[i].anchor(o.isn + 1)
		}
	}
	if c.role == event.RoleUnknown && old.role != event.RoleUnknown {
		c.opened(old.role)
	}
	held := old.held
	e.unhold(old)
	old.closing, old.excluded = true, true // nothing is left of it
	for i := range held {
		e.hold(c, &held[i])
	}
}

// Socket implements event.Handler.
func (e *Engine) Socket(s *event.Socket) {
	e.now = max(e.now, s.Time)
	t := newTuple(s.Local, s.Remote, s.Netns)
	if s.Kind == event.SocketExcluded {
		e.exclude(s, t)
		return
	}
	c := e.byCookie[s.Cookie]
	attempt := uint32(0)
	if c != nil && c.closing && s.Kind == event.SocketConnect {
		// The socket tries again after a failure: another connection.
		attempt = c.attempt + 1
		e.finish(c)
		c = nil
	}
	if c == nil {
		if t.remote.Port() == 0 {
			return // a listener, or a socket that was never connected
		}
		if c = e.byTuple[t]; c != nil && c.cookie == 0 && t.complete() {
			e.adopt(c, s.Cookie)
		} else {
			c = e.create(s.Cookie, t, s.Time)
		}
		if attempt > 0 {
			c.attempt, c.id = attempt, connectionID(e.host, s.Cookie, attempt)
		}
		if s.Kind == event.SocketStats || s.Kind == event.SocketClosed {
			c.books = *s
		}
	} else if t.complete() {
		e.setTuple(c, t)
	}
	c.seen = s.Time
	e.activate(c)
	if s.Role != event.RoleUnknown {
		e.setRole(c, s.Role)
	}
	if s.TGID != 0 && !c.excluded {
		c.proc = e.set.Processes.Resolve(s.TGID, s.UID, s.Comm, s.Time)
		e.judgeProcess(c.proc)
		c.kept.barred = c.kept.barred || e.denies(s.Comm)
	}

	if s.Role == event.RoleUnknown && c.role == event.RoleClient && s.PreExisting && s.BytesSent > 0 {
		s.BytesSent-- // the kernel does not know what is known here, and has counted the SYN
	}
	switch s.Kind {
	case event.SocketConnect:
		e.setRole(c, event.RoleClient)
	case event.SocketEstablished:
		c.dirs[event.Ingress].anchor(s.RcvNxt)
		c.dirs[event.Egress].anchor(s.SndNxt)
	case event.SocketStats:
		c.books = *s
		if c.blind && !e.blinds() {
			e.unblind(c)
		}
		// It was there before the capture, or its beginning was lost, or it was given up to make room.
		anchored := c.dirs[event.Egress].stream.Anchored()
		c.asServer = c.role == event.RoleUnknown && !anchored
		c.dirs[event.Ingress].join(s.RcvNxt, s.BytesReceived, s.RcvISN, s.HasISN)
		c.dirs[event.Egress].join(s.SndNxt, s.BytesSent, s.SndISN, s.HasISN)
		if !anchored && !c.wasBlind {
			e.resume(c)
		}
		c.dirs[event.Ingress].stream.Received(s.RcvNxt)
		if c.announced && !c.excluded && !c.ignored {
			e.record(c, stateEstablished, s.Time)
			c.kept.at = 0 // the count of records is kept, too
		}
	case event.SocketClosed:
		c.books = *s
		if !c.closing {
			c.closing, c.closedAt, c.linger = true, s.Time, s.Time+int64(closeLinger)
		}
	}
	e.release(c, false)
	e.steer(c)
}

// Secret implements event.Handler.
func (e *Engine) Secret(s *event.Secret) {
	e.now = max(e.now, s.Time)
	if e.denied(s.TGID) {
		clear(s.Secret) // from before the source was told
		return
	}
	e.counts.secrets++
	e.keys.Add(s)
}

// Process implements event.Handler.
func (e *Engine) Process(p *event.Process) {
	e.now = max(e.now, p.Time)
	if p.Exited {
		e.set.Processes.Exit(p.TGID, p.Time)
		if e.denied(p.TGID) {
			e.denySecrets(p.TGID, false) // given after the kernel had seen the end, it would hold for the next of this number
		}
		delete(e.denials, p.TGID)
		return
	}
	e.judgeProcess(e.set.Processes.Exec(p.TGID, p.UID, p.Executable))
}

// Lost implements event.Handler.
func (e *Engine) Lost(kind string, n uint64) { e.counts.lost[kind] += n }

// addr returns a valid address's text, or "".
func addr(a netip.AddrPort) string {
	if !a.Addr().IsValid() {
		return ""
	}
	return a.Addr().String()
}
