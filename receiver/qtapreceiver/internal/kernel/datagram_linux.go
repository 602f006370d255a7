// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/cilium/ebpf"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// datagrams is the capture of UDP. It shares the ring of the capture, and what it knows of own
// processes.
type datagrams struct {
	coll  *ebpf.Collection
	lost  uint64 // as of the last beat
	flows time.Time
	every time.Duration
}

// attachDatagrams starts the capture of UDP. The capture of TCP does not depend on it: a kernel that
// refuses it is told about, and that is all.
func (c *Capture) attachDatagrams() {
	d, err := c.loadDatagrams()
	if err != nil {
		c.cfg.Logger.Warn("DNS and QUIC are not seen: the kernel refuses the capture of UDP", zap.Error(err))
		return
	}
	c.datagrams = d
}

func (c *Capture) loadDatagrams() (_ *datagrams, err error) {
	spec, err := bpf.LoadDatagram()
	if err != nil {
		return nil, fmt.Errorf("read the embedded BPF object: %w", err)
	}
	size := uint64(c.cfg.RingBytes)
	if err := spec.Variables[bpf.DatagramVarPacketRoom].Set(size - size/8); err != nil {
		return nil, fmt.Errorf("set %s of the BPF object: %w", bpf.DatagramVarPacketRoom, err)
	}
	// A replaced map has to be declared as it is.
	spec.Maps[bpf.DatagramMapRing].MaxEntries = uint32(c.cfg.RingBytes)
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{
		bpf.DatagramMapRing:     c.coll.Maps[bpf.CaptureMapRing],
		bpf.DatagramMapOwnTgids: c.coll.Maps[bpf.CaptureMapOwnTgids],
	}})
	if err != nil {
		return nil, fmt.Errorf("load BPF programs: %w", err)
	}
	before := len(c.links)
	for _, p := range []struct {
		name string
		at   ebpf.AttachType
	}{
		{bpf.DatagramProgDatagramOwner, ebpf.AttachCGroupInetSockCreate},
		{bpf.DatagramProgDatagramOut, ebpf.AttachCGroupInetEgress},
		{bpf.DatagramProgDatagramIn, ebpf.AttachCGroupInetIngress},
	} {
		if err := c.attachCgroupProgram(coll.Programs[p.name], p.name, p.at, c.cgroup.path); err != nil {
			for _, l := range c.links[before:] {
				_ = l.Close()
			}
			c.links = c.links[:before]
			coll.Close()
			return nil, err
		}
	}
	return &datagrams{coll: coll, every: c.cfg.StatsInterval}, nil
}

// beat reports the datagrams that found no room in the ring.
func (g *datagrams) beat(d *decoder) error {
	var lost uint64
	if err := g.coll.Variables[bpf.DatagramVarDatagramsLost].Get(&lost); err != nil {
		return fmt.Errorf("read the counter of lost datagrams: %w", err)
	}
	if n := lost - g.lost; n > 0 {
		d.handler.Lost("datagram", n)
	}
	g.lost = lost
	if d.beat.Sub(g.flows) < g.every {
		return nil
	}
	g.flows = d.beat
	return g.readFlows(d)
}

// readFlows reports what flows of QUIC have carried.
func (g *datagrams) readFlows(d *decoder) error {
	h, ok := d.handler.(event.DatagramHandler)
	if !ok {
		return nil
	}
	var key bpf.FlowKey
	var f bpf.Flow
	flows := g.coll.Maps[bpf.DatagramMapFlows].Iterate()
	for flows.Next(&key, &f) {
		h.Flow(&event.Flow{
			Cookie: event.Cookie(key.Cookie), Remote: netip.AddrPortFrom(netip.AddrFrom16(key.Remote).Unmap(), key.Port),
			BytesSent: f.Bytes[event.Egress], BytesReceived: f.Bytes[event.Ingress],
			DatagramsSent: f.Packets[event.Egress], DatagramsRcvd: f.Packets[event.Ingress],
			Latest: int64(f.Last) + d.offset,
		})
	}
	// A table that changes while it is read is read in part; the rest comes next time.
	if err := flows.Err(); err != nil && !errors.Is(err, ebpf.ErrIterationAborted) {
		return fmt.Errorf("read the counters of QUIC: %w", err)
	}
	return nil
}
