// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
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

	for ctx.Err() == nil {
		if err := c.beat(&d); err != nil {
			return err
		}
		c.reader.SetDeadline(time.Now().Add(drainInterval))
		if err := d.drain(ctx, c.reader, c.beat); err != nil {
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
	return d.drain(last, c.reader, c.beat)
}

// ringReader is what drain needs of a ringbuf.Reader.
type ringReader interface {
	ReadInto(*ringbuf.Record) error
}

// drain reads until the reader's deadline has passed and the ring is empty, or ctx ends.
func (d *decoder) drain(ctx context.Context, r ringReader, beat func(*decoder) error) error {
	begun, err := monotonic()
	if err != nil {
		return err
	}
	rec := ringbuf.Record{RawSample: d.buf}
	defer func() { d.buf = rec.RawSample }()
	for n := 1; ; n++ {
		if err := r.ReadInto(&rec); errors.Is(err, os.ErrDeadlineExceeded) {
			d.read = max(d.read, begun) // the ring was empty later than that
			return nil
		} else if err != nil {
			return fmt.Errorf("read the BPF ring buffer: %w", err)
		}
		d.decode(rec.RawSample)
		// A ring that never gets empty must not starve the rest.
		if n%1024 == 0 && time.Since(d.beat) > drainInterval {
			d.read = max(d.read, int64(d.latest))
			if err := beat(d); err != nil {
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
	offset, err := clockOffset()
	if err != nil {
		return err
	}
	d.beat, d.offset = time.Now(), offset
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
	// Not what the clock says: on a busy machine seconds may lie unread in the ring, and what the handler waits for with them.
	if d.read != 0 {
		d.handler.Idle(d.read + d.offset)
	}
	return nil
}

// monotonic is the time of CLOCK_MONOTONIC, which records have.
func monotonic() (int64, error) {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &t); err != nil {
		return 0, fmt.Errorf("read the clock: %w", err)
	}
	return t.Nano(), nil
}

// clockOffset is what makes Unix nanoseconds of a monotonic time. When the process was stopped between reading one clock
// and the other, the difference is nothing: of a few tries the quickest counts.
func clockOffset() (offset int64, err error) {
	quickest := int64(math.MaxInt64)
	for range 8 {
		before, err := monotonic()
		if err != nil {
			return 0, err
		}
		var real unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_REALTIME, &real); err != nil {
			return 0, fmt.Errorf("read the clock: %w", err)
		}
		after, err := monotonic()
		if err != nil {
			return 0, err
		}
		if took := after - before; took < quickest {
			quickest, offset = took, real.Nano()-before
		}
		if quickest < int64(100*time.Microsecond) {
			break
		}
	}
	return offset, nil
}

// writeHeartbeat tells the key probes that somebody reads what they write.
func (c *Capture) writeHeartbeat() error {
	mono, err := monotonic()
	if err != nil {
		return err
	}
	if err := c.coll.Variables[bpf.CaptureVarHeartbeat].Set(uint64(mono)); err != nil {
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
