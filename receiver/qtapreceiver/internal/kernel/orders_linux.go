// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// order is struct order of the programs.
type order struct {
	Level, Reason, Skip, Serial uint8
	Until                       [2]uint32
}

var _ event.Controller = (*Capture)(nil)

// Order implements event.Controller.
func (c *Capture) Order(cookie event.Cookie, o event.Order) error {
	c.orders++
	// 0 is a socket that has had none.
	v := order{Level: uint8(o.Level), Reason: uint8(o.Reason), Until: o.Until, Serial: uint8(c.orders%255) + 1}
	for dir, skip := range o.Skip {
		if skip {
			v.Skip |= 1 << dir
		}
	}
	if err := c.coll.Maps[bpf.CaptureMapOrders].Put(uint64(cookie), v); err != nil {
		return fmt.Errorf("give an order about a connection: %w", err)
	}
	if err := c.coll.Variables[bpf.CaptureVarOrdersGiven].Set(c.orders); err != nil {
		return fmt.Errorf("give an order about a connection: %w", err)
	}
	return nil
}

// DenySecrets implements event.Controller.
func (c *Capture) DenySecrets(tgid uint32, deny bool) error {
	m := c.coll.Maps[bpf.CaptureMapDeniedTgids]
	if deny {
		return m.Put(tgid, uint8(1))
	}
	if err := m.Delete(tgid); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return err
	}
	return nil
}

// BodyCap implements event.Controller.
func (c *Capture) BodyCap(bytes uint32) error {
	if err := c.coll.Variables[bpf.CaptureVarBodyCap].Set(bytes); err != nil {
		return fmt.Errorf("say how much of a body is wanted: %w", err)
	}
	return nil
}

// Pause implements event.Controller.
func (c *Capture) Pause(pause bool) error {
	var v uint32
	if pause {
		v = 1
	}
	if err := c.coll.Variables[bpf.CaptureVarPaused].Set(v); err != nil {
		return fmt.Errorf("pause the capture, or go on with it: %w", err)
	}
	return nil
}

// reportSkipped tells the handler how many bytes orders have spared since the last time.
func (c *Capture) reportSkipped(d *decoder) error {
	h, ok := d.handler.(event.SkipHandler)
	if !ok {
		return nil
	}
	var skipped [event.SkipReasons]uint64
	if err := c.coll.Variables[bpf.CaptureVarSkipped].Get(&skipped); err != nil {
		return fmt.Errorf("read the counters of skipped bytes: %w", err)
	}
	for i, n := range skipped {
		if n -= d.skipped[i]; n > 0 {
			h.Skipped(event.SkipReason(i), n)
		}
	}
	d.skipped = skipped
	return nil
}
