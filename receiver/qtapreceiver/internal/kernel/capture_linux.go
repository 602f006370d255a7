// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	"github.com/qpoint-io/otelcol-qpoint/bpf"
)

// Capture is the kernel as an event.Source.
type Capture struct {
	cfg      Config
	features Features
	cgroup   cgroup

	coll   *ebpf.Collection
	reader *ringbuf.Reader
	links  []link.Link
	scan   *link.Iter // nil when the kernel has no task_file iterator
	scans  uint32     // how many there were
	keys   *keyProbes // nil when secrets are not captured
	mapped *mappings  // nil when secrets are not captured, or the kernel does not tell
	files  *keyFiles  // nil when there are no key logs

	datagrams *datagrams // nil when they are not captured

	orders uint32 // given so far

	mu     sync.Mutex
	closed bool
	stop   []context.CancelFunc // of Runs
	runs   sync.WaitGroup
}

// Open loads and attaches everything. From then on events are kept in the ring, until Run reads
// them. When something is missing, the error is a *MissingError that names it all.
func Open(cfg Config) (*Capture, error) {
	cfg = cfg.withDefaults()
	features := Probe(cfg)
	if err := features.check(); err != nil {
		return nil, err
	}
	// From here on there are secrets and payloads in this process: no core dump has them, and no other process of the same
	// user attaches to it (prctl(2)). Children that are executed are as usual.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return nil, fmt.Errorf("keep this process out of core dumps: %w", err)
	}
	return open(cfg, features)
}

// open uses the given features only.
func open(cfg Config, features Features) (_ *Capture, err error) {
	c := &Capture{cfg: cfg, features: features}
	if c.cgroup, err = resolveCgroup(cfg.CgroupPath); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := c.load(); err != nil {
		return nil, err
	}
	if err := c.attach(); err != nil {
		return nil, err
	}
	return c, nil
}

// load puts programs and maps into the kernel.
func (c *Capture) load() error {
	spec, err := bpf.LoadCapture()
	if err != nil {
		return fmt.Errorf("read the embedded BPF object: %w", err)
	}
	drop := func(names ...string) {
		for _, name := range names {
			delete(spec.Programs, name)
		}
	}
	if c.cfg.Level == LevelConnections {
		drop(bpf.CaptureProgPacketEgress, bpf.CaptureProgPacketIngress)
	}
	if c.features.Get(featureTouch) != Supported {
		drop(bpf.CaptureProgSocketSend, bpf.CaptureProgSocketRecv)
	}
	if c.features.Get(featureTouch) == Supported || c.features.Get(featureAccept) != Supported {
		drop(bpf.CaptureProgSocketAccept)
	}
	helpers := c.features.Get(featureSockHelpers) == Supported
	if helpers {
		spec.Maps[bpf.CaptureMapSockTable].MaxEntries = 1
	} else {
		drop(bpf.CaptureProgSocketCreate) // it has nowhere to leave a mark
	}
	for _, src := range append([]keySource{logSecret}, keySources...) {
		if !c.cfg.Keys || src.find == nil && c.features.Get(featureCookies) != Supported {
			drop(src.programs...)
			continue
		}
		for _, name := range src.programs {
			if c.features.Get(featureUprobeMulti) == Supported {
				spec.Programs[name].AttachType = ebpf.AttachTraceUprobeMulti
			}
		}
	}
	spec.Maps[bpf.CaptureMapRing].MaxEntries = uint32(c.cfg.RingBytes)

	size := uint64(c.cfg.RingBytes)
	bits, filter := c.cfg.Ports.bits()
	roles := map[Direction]uint8{DirectionBoth: 6, DirectionEgress: 2, DirectionIngress: 4}[c.cfg.Direction]
	for name, value := range map[string]any{
		bpf.CaptureVarScopeCgroup: c.cgroup.id,
		bpf.CaptureVarFilterPorts: filter, bpf.CaptureVarPortBits: bits, bpf.CaptureVarWantedRoles: roles,
		bpf.CaptureVarPacketRoom: size - size/8, bpf.CaptureVarSockHelpers: helpers,
		bpf.CaptureVarHeadStates: headStates(),
	} {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s of the BPF object: %w", name, err)
		}
	}

	c.coll, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: c.cfg.logLevel}})
	if err != nil {
		var verr *ebpf.VerifierError
		if errors.As(err, &verr) {
			c.cfg.Logger.Debug("the kernel's reasons against a BPF program", zap.String("log", fmt.Sprintf("%+v", verr)))
			return fmt.Errorf("the kernel refuses a BPF program (its reasons are in the debug log): %w", verr)
		}
		return fmt.Errorf("load BPF programs: %w", err)
	}
	for _, name := range c.cfg.DenyProcesses {
		var comm [16]byte
		copy(comm[:15], name)
		if err := c.coll.Maps[bpf.CaptureMapDeniedComms].Put(comm, uint8(1)); err != nil {
			return fmt.Errorf("deny process %q: %w", name, err)
		}
	}
	if c.reader, err = ringbuf.NewReader(c.coll.Maps[bpf.CaptureMapRing]); err != nil {
		return fmt.Errorf("read the BPF ring buffer: %w", err)
	}
	return nil
}

// attach starts the programs. Own sockets are marked before the first packet is looked at: what
// this process sends must never be seen.
func (c *Capture) attach() error {
	if _, err := c.coll.Programs[bpf.CaptureProgWhoAmI].Run(&ebpf.RunOptions{}); err != nil {
		return fmt.Errorf("find the own process number: %w", err)
	}
	if c.coll.Programs[bpf.CaptureProgSocketCreate] != nil {
		// At the root whatever the scope: the mark must be on all sockets of this process.
		if err := c.attachCgroup(bpf.CaptureProgSocketCreate, ebpf.AttachCGroupInetSockCreate, c.cgroup.mount); err != nil {
			return err
		}
	}
	for _, name := range []string{bpf.CaptureProgSocketState, bpf.CaptureProgSocketDestroy, bpf.CaptureProgSocketSend, bpf.CaptureProgSocketRecv, bpf.CaptureProgSocketAccept, bpf.CaptureProgProcessExec, bpf.CaptureProgProcessExit} {
		prog := c.coll.Programs[name]
		if prog == nil {
			continue
		}
		l, err := link.AttachTracing(link.TracingOptions{Program: prog})
		if err != nil {
			return fmt.Errorf("attach %s: %w", name, err)
		}
		c.links = append(c.links, l)
	}
	if err := markOwn(c.coll); err != nil {
		return err
	}
	if prog := c.coll.Programs[bpf.CaptureProgSocketScan]; prog != nil {
		iter, err := link.AttachIter(link.IterOptions{Program: prog})
		if err != nil {
			return fmt.Errorf("attach socket_scan: %w", err)
		}
		c.scan = iter
		c.scans = 1
		if err := c.scanOnce(c.scans); err != nil {
			return fmt.Errorf("collect listening sockets: %w", err)
		}
	}
	if c.cfg.Level > LevelConnections {
		if err := c.attachCgroup(bpf.CaptureProgPacketEgress, ebpf.AttachCGroupInetEgress, c.cgroup.path); err != nil {
			return err
		}
		if err := c.attachCgroup(bpf.CaptureProgPacketIngress, ebpf.AttachCGroupInetIngress, c.cgroup.path); err != nil {
			return err
		}
		c.attachDatagrams()
	}
	if len(c.cfg.KeyLogFiles) > 0 {
		c.files = newKeyFiles(c.cfg.KeyLogFiles, c.cfg.Logger)
	}
	if c.cfg.Keys {
		// A sign of life until Run beats: secrets of the time between wait in the ring.
		if err := c.writeHeartbeat(); err != nil {
			return err
		}
		var err error
		if c.mapped, err = openMappings(); err != nil {
			c.cfg.Logger.Warn("libraries that are loaded long after their program are found within a minute", zap.Error(err))
		}
		c.keys = newKeyProbes(c.coll.Programs, c.features.Get(featureUprobeMulti) == Supported, c.cfg.Logger)
		c.keys.scanWellKnown()
		c.keys.scanAll()
	}
	return nil
}

func (c *Capture) attachCgroup(name string, at ebpf.AttachType, path string) error {
	return c.attachCgroupProgram(c.coll.Programs[name], name, at, path)
}

func (c *Capture) attachCgroupProgram(prog *ebpf.Program, name string, at ebpf.AttachType, path string) error {
	l, err := link.AttachCgroup(link.CgroupOptions{Path: path, Attach: at, Program: prog})
	if err != nil {
		return fmt.Errorf("attach %s to cgroup %s: %w", name, path, err)
	}
	c.links = append(c.links, l)
	return nil
}

// Summary says what was attached. It may be called at any time.
func (c *Capture) Summary() Summary {
	s := Summary{Cgroup: c.cgroup.path, Features: c.features}
	if c.keys != nil {
		s.Libraries = c.keys.attached()
	}
	return s
}

// Detach takes every program off the host, and leaves the rest as it is: for a Run that does not return. That ends when
// it comes to it.
func (c *Capture) Detach() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, stop := range c.stop {
		stop()
	}
	return c.detach()
}

// detach ends the hooks. What asks for counters (the scan) is asked by Run alone.
func (c *Capture) detach() error {
	var errs []error
	for i := len(c.links) - 1; i >= 0; i-- {
		errs = append(errs, c.links[i].Close())
	}
	c.links = nil
	if c.keys != nil { // last: a file that is being searched is waited for
		errs = append(errs, c.keys.close())
	}
	return errors.Join(errs...)
}

// Close detaches everything and frees it. A Run that is under way returns first.
func (c *Capture) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	for _, stop := range c.stop {
		stop()
	}
	c.runs.Wait()
	errs := []error{c.detach()}
	if c.mapped != nil {
		c.mapped.close()
	}
	if c.files != nil {
		c.files.close()
	}
	if c.scan != nil {
		errs = append(errs, c.scan.Close())
	}
	if c.reader != nil {
		errs = append(errs, c.reader.Close())
	}
	if c.datagrams != nil {
		c.datagrams.coll.Close()
	}
	if c.coll != nil {
		c.coll.Close()
	}
	return errors.Join(errs...)
}

// begin registers a Run. It reports false after Close.
func (c *Capture) begin(ctx context.Context) (context.Context, func(), bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, nil, false
	}
	ctx, cancel := context.WithCancel(ctx)
	c.stop = append(c.stop, cancel)
	c.runs.Add(1)
	return ctx, func() { cancel(); c.runs.Done() }, true
}
