// SPDX-License-Identifier: Apache-2.0

//go:build linux && (amd64 || arm64)

package kernel

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mappings are the executable mappings that processes make, as the kernel tells profilers of
// them (perf_event_open(2), PERF_RECORD_MMAP2). A library that is loaded long after its process
// was started is found by them. There is neither a tracepoint nor a BPF program for it that
// every kernel has. One goroutine uses it at a time.
type mappings struct {
	rings []mappingRing
	seen  map[mappedFile]bool // files that were told of lately
	next  time.Time
	buf   []byte
}

type mappingRing struct {
	fd   int
	mem  []byte // one page of positions, then the data
	data []byte
}

// mappedFile names a file that is mapped now.
type mappedFile struct {
	major, minor uint32
	ino, gen     uint64
}

// mappingPages is the size of each CPU's ring, which holds about a hundred records. What finds no
// room is found by the next rescan.
const mappingPages = 4

// Offsets of struct perf_event_mmap_page and sizes of struct perf_record_mmap2.
const (
	perfDataHead   = 1024
	perfDataTail   = 1032
	perfHeaderSize = 8
	perfMmap2Size  = perfHeaderSize + 64
)

// openMappings asks every CPU.
func openMappings() (*mappings, error) {
	m := &mappings{seen: map[mappedFile]bool{}}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, err
	}
	attr := unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_DUMMY,
		Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
		Bits: unix.PerfBitMmap | unix.PerfBitMmap2, // without mmap_data: executable ones only
	}
	page := os.Getpagesize()
	for cpu := range cpus {
		fd, err := unix.PerfEventOpen(&attr, -1, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
		if errors.Is(err, unix.ENODEV) {
			continue // offline
		}
		if err != nil {
			m.close()
			return nil, fmt.Errorf("watch executable mappings (CAP_PERFMON): %w", err)
		}
		mem, err := unix.Mmap(fd, 0, (1+mappingPages)*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			unix.Close(fd)
			m.close()
			return nil, fmt.Errorf("watch executable mappings: %w", err)
		}
		m.rings = append(m.rings, mappingRing{fd: fd, mem: mem, data: mem[page:]})
	}
	return m, nil
}

// drain tells of each process that has mapped a file which nobody had for some time.
func (m *mappings) drain(now time.Time, tell func(pid uint32)) {
	if now.After(m.next) || len(m.seen) >= maxKnown {
		// An inode number is used again, and probes are forgotten.
		clear(m.seen)
		m.next = now.Add(rescanAll)
	}
	for i := range m.rings {
		r := &m.rings[i]
		head := atomic.LoadUint64((*uint64)(unsafe.Pointer(&r.mem[perfDataHead])))
		tail := (*uint64)(unsafe.Pointer(&r.mem[perfDataTail]))
		at := *tail // nobody else writes it
		for at < head {
			at += m.record(r, at, tell)
		}
		atomic.StoreUint64(tail, at)
	}
}

// record takes the record at a position and returns its size.
func (m *mappings) record(r *mappingRing, at uint64, tell func(pid uint32)) uint64 {
	m.buf = r.copy(m.buf, at, perfHeaderSize)
	kind, size := binary.LittleEndian.Uint32(m.buf), uint64(binary.LittleEndian.Uint16(m.buf[6:]))
	if kind == unix.PERF_RECORD_MMAP2 && size > perfMmap2Size {
		b := r.copy(m.buf, at, perfMmap2Size+1)
		m.buf = b
		le := binary.LittleEndian
		file := mappedFile{le.Uint32(b[40:]), le.Uint32(b[44:]), le.Uint64(b[48:]), le.Uint64(b[56:])}
		// Anonymous memory has a name in brackets or after slashes, and no inode.
		if file.ino != 0 && b[perfMmap2Size] == '/' && !m.seen[file] {
			m.seen[file] = true
			tell(le.Uint32(b[8:]))
		}
	}
	return max(size, perfHeaderSize)
}

// copy copies n bytes, which may go around the end of the ring.
func (r *mappingRing) copy(to []byte, at uint64, n int) []byte {
	from := int(at % uint64(len(r.data)))
	k := min(n, len(r.data)-from)
	to = append(to[:0], r.data[from:from+k]...)
	return append(to, r.data[:n-k]...)
}

func (m *mappings) close() {
	for _, r := range m.rings {
		_ = unix.Munmap(r.mem)
		unix.Close(r.fd)
	}
	m.rings = nil
}
