// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/cilium/ebpf/ringbuf"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/panics"
)

// drainInterval is how long records wait in the ring at most. The programs wake nobody, which
// costs less than a wakeup per record.
const drainInterval = 10 * time.Millisecond

// lastDrain bounds the time in which the ring is read after the end of ctx.
const lastDrain = time.Second

// Run reads the ring until ctx ends or Close is called; at the end it asks once more for the counters of
// what is open, and reads what is in the ring then.
func (c *Capture) Run(ctx context.Context, h event.Handler) error {
	ctx, end, ok := c.begin(ctx)
	if !ok {
		return nil
	}
	defer end()
	ctx, fail := context.WithCancelCause(ctx)
	var wg, scans sync.WaitGroup
	defer wg.Wait()
	defer scans.Wait()
	defer fail(nil)
	// What fails beside the reader ends it, too.
	beside := func(wg *sync.WaitGroup, f func(context.Context)) {
		wg.Go(func() {
			if err := panics.Catch(func() error { f(ctx); return nil }); err != nil {
				fail(err)
			}
		})
	}
	if c.scan != nil {
		beside(&scans, c.scanSockets)
	}
	d := decoder{handler: h}
	if c.keys != nil {
		d.onExec = c.keys.onExec
		beside(&wg, c.keys.run)
	}
	if c.files != nil {
		beside(&wg, c.files.run)
	}

	var rec ringbuf.Record
	for ctx.Err() == nil {
		if err := c.beat(&d); err != nil {
			return err
		}
		c.reader.SetDeadline(time.Now().Add(drainInterval))
		if err := c.drain(ctx, &d, &rec); err != nil {
			return err
		}
	}
	if err := context.Cause(ctx); errors.As(err, new(*panics.Error)) {
		return err
	}
	scans.Wait()
	if c.scan != nil {
		c.scanSocketsOnce()
	}
	last, cancel := context.WithTimeout(context.Background(), lastDrain)
	defer cancel()
	c.reader.SetDeadline(time.Now())
	return c.drain(last, &d, &rec)
}

// drain reads until the reader's deadline has passed and the ring is empty, or ctx ends.
func (c *Capture) drain(ctx context.Context, d *decoder, rec *ringbuf.Record) error {
	for n := 1; ; n++ {
		if err := c.reader.ReadInto(rec); errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		} else if err != nil {
			return fmt.Errorf("read the BPF ring buffer: %w", err)
		}
		d.decode(rec.RawSample)
		// A ring that never gets empty must not starve the rest.
		if n%1024 == 0 && time.Since(d.beat) > drainInterval {
			if err := c.beat(d); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return nil
			default:
			}
		}
	}
}

// beat does what is due between two drains.
func (c *Capture) beat(d *decoder) error {
	var mono, real unix.Timespec
	if err := errors.Join(unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono), unix.ClockGettime(unix.CLOCK_REALTIME, &real)); err != nil {
		return fmt.Errorf("read the clocks: %w", err)
	}
	d.beat = time.Now()
	d.offset = real.Nano() - mono.Nano()
	if err := c.writeHeartbeat(); err != nil {
		return err
	}
	var lost [bpf.RecordKinds]uint64
	if err := c.coll.Variables[bpf.CaptureVarLost].Get(&lost); err != nil {
		return fmt.Errorf("read the counters of lost records: %w", err)
	}
	for kind, name := range recordNames {
		if n := lost[kind] - d.lost[kind]; n > 0 {
			d.handler.Lost(name, n)
		}
	}
	d.lost = lost
	if err := c.reportSkipped(d); err != nil {
		return err
	}
	if c.datagrams != nil {
		if err := c.datagrams.beat(d); err != nil {
			return err
		}
	}
	if c.mapped != nil {
		c.mapped.drain(d.beat, c.keys.onExec)
	}
	if c.files != nil {
		c.files.drain(d.handler)
	}
	d.handler.Idle(real.Nano())
	return nil
}

// writeHeartbeat tells the key probes that somebody reads what they write.
func (c *Capture) writeHeartbeat() error {
	var mono unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &mono); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	if err := c.coll.Variables[bpf.CaptureVarHeartbeat].Set(uint64(mono.Nano())); err != nil {
		return fmt.Errorf("write the heartbeat: %w", err)
	}
	return nil
}

// recordNames are the kinds of records as Handler.Lost names them.
var recordNames = map[int]string{
	bpf.RecordPacket: "packet", bpf.RecordSocket: "socket",
	bpf.RecordSecret: "secret", bpf.RecordProcess: "process",
}

// scanSockets walks over all connections from time to time; the program writes their counters
// to the ring.
func (c *Capture) scanSockets(ctx context.Context) {
	interval := c.cfg.StatsInterval
	if c.features.Get(featureTouch) != Supported && c.features.Get(featureAccept) != Supported && interval > time.Second {
		interval = time.Second // the scan is then the only way to the owners
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		c.scanSocketsOnce()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (c *Capture) scanSocketsOnce() {
	c.scans++
	if err := c.scanOnce(c.scans); err != nil {
		c.cfg.Logger.Warn("scan of open sockets failed", zap.Error(err))
	}
}

func (c *Capture) scanOnce(scan uint32) error {
	if err := c.coll.Variables[bpf.CaptureVarScan].Set(scan); err != nil {
		return err
	}
	r, err := c.scan.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(io.Discard, r)
	return err
}
