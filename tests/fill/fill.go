// SPDX-License-Identifier: Apache-2.0

package fill

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// Options say what is made.
type Options struct {
	Rows         int       // of `requests`, in all
	From, To     time.Time // when the exchanges begin, evenly
	Seed         uint64
	Environments []string // default: production
	// Workers insert at the same time; default 2.
	Workers int
	// Progress is called after every push with the rows stored so far, if set.
	Progress func(rows int)
}

// chunk is how many rows one push has.
const chunk = 100_000

func (o Options) check() (Options, error) {
	if o.Rows < 1 || !o.To.After(o.From) {
		return o, errors.New("fill: there are no rows in no time")
	}
	if len(o.Environments) == 0 {
		o.Environments = []string{"production"}
	}
	if o.Workers == 0 {
		o.Workers = 2
	}
	return o, nil
}

// Store inserts the rows that o says, and those of their connections and segments, as `pulse` does.
func Store(ctx context.Context, s *pulsestore.Store, o Options) error {
	o, err := o.check()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	w := newWorld(o.Seed, o.Environments)
	chunks := (o.Rows + chunk - 1) / chunk
	var next, stored atomic.Int64
	var wg sync.WaitGroup
	for range o.Workers {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= chunks {
					return
				}
				rows := pulsestore.NewRows()
				n := min(chunk, o.Rows-i*chunk)
				g := newGenerator(w, o, i)
				g.onConnection, g.onObject = rows.AddConnection, rows.AddPayloadObject
				var r pulsestore.Request
				for range n {
					g.Next(&r)
					rows.AddRequest(&r)
				}
				g.close(i == chunks-1)
				if err := s.Insert(ctx, rows); err != nil {
					cancel(fmt.Errorf("fill: %w", err))
					return
				}
				if done := stored.Add(int64(n)); o.Progress != nil {
					o.Progress(int(done))
				}
			}
		})
	}
	wg.Wait()
	return context.Cause(ctx)
}

// Requests returns the first n rows that Store would insert.
func Requests(n int, o Options) ([]pulsestore.Request, error) {
	o.Rows = n
	o, err := o.check()
	if err != nil {
		return nil, err
	}
	w := newWorld(o.Seed, o.Environments)
	out := make([]pulsestore.Request, 0, n)
	for i := 0; len(out) < n; i++ {
		size := min(chunk, n-len(out))
		g := newGenerator(w, o, i)
		for range size {
			var r pulsestore.Request
			g.Next(&r)
			out = append(out, r)
		}
	}
	return out, nil
}

// generator makes the rows of one chunk, in the order in which exchanges begin.
type generator struct {
	*rand.Rand
	world       *world
	at, step    float64 // Unix nanoseconds
	connections map[[3]int][]*connection
	segments    map[string]*segment // by host
	trace       [16]byte            // of the exchange that causes others
	inTrace     int
	// second is the server's end of the exchange whose client's end came last.
	second    pulsestore.Request
	hasSecond bool

	onConnection func(*pulsestore.Connection)
	onObject     func(*pulsestore.PayloadObject)
}

type connection struct {
	client, server       uint64 // ids of the two ends
	address              netip.Addr
	port                 uint16
	exchanges, left      uint32
	start                time.Time
	sent, received       uint64
	clientEnd, serverEnd *pulsestore.Origin
	to                   *server
	peer                 netip.Addr
}

type segment struct {
	key     string
	opened  time.Time
	entries uint32
	bytes   uint64
	host    *pulsestore.Origin
}

func newGenerator(w *world, o Options, index int) *generator {
	span := float64(o.To.Sub(o.From))
	from := float64(o.From.UnixNano()) + span*float64(index)*chunk/float64(o.Rows)
	return &generator{
		Rand: rand.New(rand.NewPCG(o.Seed, uint64(index)+2)), world: w, at: from, step: span / float64(o.Rows) * w.perExchange,
		connections: map[[3]int][]*connection{}, segments: map[string]*segment{},
	}
}

// Next sets r to the next row.
func (g *generator) Next(r *pulsestore.Request) {
	if g.hasSecond {
		*r, g.hasSecond = g.second, false
		return
	}
	g.at += g.ExpFloat64() * g.step
	now := time.Unix(0, int64(g.at)).UTC()
	index, _ := slices.BinarySearch(g.world.weights, g.Float64()*g.world.weights[len(g.world.weights)-1])
	e := g.world.edges[index]
	var to *server
	var answering *instance
	var replica int
	if e.to < services {
		s := &g.world.services[e.to]
		to, replica = &s.server, g.IntN(len(s.instances))
		answering = &s.instances[replica]
	} else {
		to = &g.world.outside[e.to-services]
		replica = g.IntN(len(to.addresses))
	}
	var calling *instance
	caller := -1
	if e.from >= 0 {
		s := &g.world.services[e.from]
		caller = g.IntN(len(s.instances))
		calling = &s.instances[caller]
		if answering != nil && answering.origin.Environment != calling.origin.Environment {
			answering = nil // the other environment has a collector of its own
		}
	}
	c := g.connection([3]int{index, caller, replica}, now, calling, answering, to, to.addresses[replica])

	// The endpoints of a server are not asked equally often.
	p := &to.endpoints[min(int(g.ExpFloat64()*2.5), len(to.endpoints)-1)]
	*r = pulsestore.Request{
		Time: now, Kind: "client", ConnectionID: c.client, ExchangeSequence: c.exchanges, Method: p.method, Scheme: "http",
		ServerAddress: to.name, ServerPort: to.port, ClientAddress: c.address, ClientPort: c.port, PeerAddress: c.peer, PeerPort: to.port,
		Path: p.template, Template: p.template, Query: p.query, Status: 200, ProtocolVersion: to.version, TLSVersion: to.tls, TLSCipher: to.cipher,
		PayloadState: "pending", PayloadVisible: true,
	}
	if to.tls != "" {
		r.Scheme = "https"
	}
	if g.IntN(50) == 0 {
		r.Path = to.tail[g.IntN(len(to.tail))]
		r.Template = r.Path
	}
	c.exchanges++
	if g.inTrace == 0 {
		binary.LittleEndian.PutUint64(g.trace[:], g.Uint64())
		binary.LittleEndian.PutUint64(g.trace[8:], g.Uint64())
		g.inTrace = 1 + g.IntN(4)
	}
	g.inTrace--
	r.TraceID = g.trace
	binary.LittleEndian.PutUint64(r.SpanID[:], g.Uint64())
	switch chance := g.Float64(); {
	case chance < p.errors:
		r.Status = []uint16{500, 502, 503}[g.IntN(3)]
	case chance < p.errors+p.missing:
		r.Status = []uint16{400, 401, 404, 409}[g.IntN(4)]
	case p.method == "POST":
		r.Status = 201
	case p.method == "DELETE":
		r.Status = 204
	}
	if r.Status >= 400 {
		r.ErrorType = strconv.Itoa(int(r.Status))
	}
	normal := func(median, sigma float64) float64 { return median * math.Exp(g.NormFloat64()*sigma) }
	r.RequestBodySize, r.ResponseBodySize = uint64(normal(p.request, 0.4)), uint64(normal(p.response, 0.6))
	r.TimingSend = time.Duration(normal(30_000, 0.6) + float64(r.RequestBodySize)*2)
	r.TimingWait = time.Duration(normal(p.wait, 0.7))
	r.TimingReceive = time.Duration(normal(40_000, 0.8) + float64(r.ResponseBodySize)*8)
	r.Duration = r.TimingSend + r.TimingWait + r.TimingReceive
	c.sent, c.received = c.sent+r.RequestBodySize+300, c.received+r.ResponseBodySize+250

	client, server := calling != nil, answering != nil
	if server {
		g.second = *r
		s := &g.second
		s.Kind, s.ConnectionID, s.PeerAddress, s.PeerPort = "server", c.server, c.address, c.port
		s.Origin = answering.origin
		s.ParentSpanID = r.SpanID
		binary.LittleEndian.PutUint64(s.SpanID[:], g.Uint64())
		delay := time.Duration(normal(90_000, 0.5)) // half a round trip
		s.Time = s.Time.Add(delay)
		s.TimingWait = max(1000, s.TimingWait-2*delay)
		s.Duration = s.TimingSend + s.TimingWait + s.TimingReceive
		s.PayloadObject = g.segment(&answering.origin, s)
		if !client {
			*r = *s
			r.ParentSpanID = [8]byte{}
			return
		}
		g.hasSecond = true
	}
	if client {
		r.Origin = calling.origin
		r.PayloadObject = g.segment(&calling.origin, r)
	}
}

// connection returns one that is kept alive, or a new one.
func (g *generator) connection(key [3]int, now time.Time, calling, answering *instance, to *server, peer netip.Addr) *connection {
	alive := g.connections[key]
	if n := len(alive); n > 0 && g.IntN(8) != 0 {
		i := g.IntN(n)
		c := alive[i]
		if c.left--; c.left == 0 {
			g.connections[key] = slices.Delete(alive, i, i+1)
			g.report(c, now, "closed")
		}
		return c
	}
	c := &connection{client: g.Uint64(), server: g.Uint64(), port: uint16(32768 + g.IntN(28000)), left: 1 + uint32(g.ExpFloat64()*30), start: now, to: to, peer: peer}
	if calling != nil {
		c.address, c.clientEnd = calling.address, &calling.origin
	} else {
		c.address = netip.AddrFrom4([4]byte{198, 51, byte(100 + g.IntN(4)), byte(g.IntN(256))})
	}
	if answering != nil {
		c.serverEnd = &answering.origin
	}
	g.connections[key] = append(alive, c)
	g.report(c, now, "open")
	return c
}

// report makes the records of both ends of a connection. Those between its first and its last are left out: they are gone after a merge.
func (g *generator) report(c *connection, now time.Time, state string) {
	if g.onConnection == nil {
		return
	}
	r := pulsestore.Connection{
		Time: now, Start: c.start, State: state,
		ServerAddress: c.to.name, Protocol: "http", ProtocolVersion: c.to.version, TLSVersion: c.to.tls, TLSCipher: c.to.cipher,
		SentPackets: c.sent/1200 + 4, ReceivedPackets: c.received/1200 + 4, Retransmits: uint32(g.ExpFloat64() * 0.3), RTT: time.Duration(150_000 + g.ExpFloat64()*200_000),
		Duration: now.Sub(c.start), Requests: c.exchanges, Visibility: "visible", Transport: "tcp",
	}
	if c.to.version == "2" {
		r.TLSNextProtocol = "h2"
	}
	if state != "open" {
		r.Sequence = 1 + uint32(now.Sub(c.start)/(30*time.Second))
	}
	if state == "closed" {
		r.CloseReason = "fin"
	}
	if c.clientEnd != nil {
		own := r
		own.Origin, own.ConnectionID, own.Role = *c.clientEnd, c.client, "client"
		own.LocalAddress, own.LocalPort, own.PeerAddress, own.PeerPort = c.address, c.port, c.peer, c.to.port
		own.SentBytes, own.ReceivedBytes = c.sent, c.received
		g.onConnection(&own)
	}
	if c.serverEnd != nil {
		own := r
		own.Origin, own.ConnectionID, own.Role = *c.serverEnd, c.server, "server"
		own.LocalAddress, own.LocalPort, own.PeerAddress, own.PeerPort = c.peer, c.to.port, c.address, c.port
		own.SentBytes, own.ReceivedBytes = c.received, c.sent
		g.onConnection(&own)
	}
}

// segment returns the key of the object that the payload of r goes into.
func (g *generator) segment(origin *pulsestore.Origin, r *pulsestore.Request) string {
	s := g.segments[origin.HostID]
	if s == nil || r.Time.Sub(s.opened) > 5*time.Second || s.entries == 2000 {
		g.sent(s)
		var id ulid.ULID
		_ = id.SetTime(uint64(r.Time.UnixMilli()))
		binary.LittleEndian.PutUint64(id[6:], g.Uint64())
		binary.LittleEndian.PutUint16(id[14:], uint16(g.Uint32()))
		s = &segment{key: r.Time.Format("default/2006/01/02/15/") + origin.HostID + "/" + id.String() + ".zip", opened: r.Time, host: origin}
		g.segments[origin.HostID] = s
	}
	s.entries++
	s.bytes += r.RequestBodySize + r.ResponseBodySize + 500
	return s.key
}

func (g *generator) sent(s *segment) {
	if s == nil || g.onObject == nil {
		return
	}
	closed := s.opened.Add(5 * time.Second)
	g.onObject(&pulsestore.PayloadObject{
		Time: closed, Key: s.key, Environment: s.host.Environment, HostID: s.host.HostID, State: "sent", Entries: s.entries, Bytes: s.bytes, Opened: s.opened, Closed: closed,
	})
}

// close reports what is still open: it is closed, but in the last chunk of all.
func (g *generator) close(last bool) {
	now := time.Unix(0, int64(g.at)).UTC()
	keys := make([][3]int, 0, len(g.connections))
	for key := range g.connections {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b [3]int) int { return slices.Compare(a[:], b[:]) })
	for _, key := range keys {
		for _, c := range g.connections[key] {
			state := "closed"
			if last {
				state = "established"
			}
			g.report(c, now, state)
		}
	}
	ids := make([]string, 0, len(g.segments))
	for id := range g.segments {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		g.sent(g.segments[id])
	}
}
