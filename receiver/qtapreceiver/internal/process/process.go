// SPDX-License-Identifier: Apache-2.0

// Package process says who is behind a TGID: executable, owner, service, container and pod.
//
// A short-lived client (curl) is gone before its last bytes are seen, so an entry is read at
// the first event that names its process and kept for a grace after its exit.
package process

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

const (
	// grace keeps an exited process: its last packets and its sockets' ends come after it.
	grace = 30 * time.Second
	// maxProcesses bounds the cache; a host with more live processes re-reads some of them.
	maxProcesses = 65536
)

// Info is one process image. But for Tracing it never changes once resolved, so its address identifies a resource.
type Info struct {
	TGID           uint32
	ExecutablePath string
	ExecutableName string
	Owner          string
	ServiceName    string
	ContainerID    string
	PodUID         string
	// Namespace and PodName are known where the kubelet's log folders can be read, see PodUnknown.
	Namespace string
	PodName   string

	// Tracing is what was seen of the tracing of the process itself. It belongs to the goroutine that resolves.
	Tracing Tracing

	host Host
	// unplaced says that its cgroup could not be read: it may be in a pod.
	unplaced bool
	exited   int64 // Unix nanoseconds, 0 while it runs
}

// Tracing says what a process was seen to do.
type Tracing uint8

const (
	// SendsSpans says that it exported spans by OTLP, and they were taken.
	SendsSpans Tracing = 1 << iota
	// SendsHere says that it talks to this collector's OTLP port.
	SendsHere
	// SendsContext says that a request of it carried a trace context.
	SendsContext
)

// Resolver caches what /proc says. It is used by one goroutine.
type Resolver struct {
	root    string
	host    Host
	byTGID  map[uint32]*Info
	owners  map[uint32]string
	exits   []*Info // in order of exit
	unknown *Info
	pods    pods

	environs environs
}

// NewResolver returns a resolver that reads below root ("/" in production).
func NewResolver(root string, host Host) *Resolver {
	return &Resolver{
		root: root, host: host, byTGID: map[uint32]*Info{}, owners: map[uint32]string{},
		unknown: &Info{ServiceName: "unknown_service", host: host},
		pods:    pods{root: root, byUID: map[string]pod{}},

		environs: environs{wait: environWait},
	}
}

// Host returns the identity that the resolver stamps on resources.
func (r *Resolver) Host() Host { return r.host }

// Unknown is the process of a socket that nobody could be named for.
func (r *Resolver) Unknown() *Info { return r.unknown }

// Resolve returns the process with the given TGID, reading /proc when it is not known yet.
// comm and uid (as the kernel's event gave them) stand in for what cannot be read any more. now, in
// Unix nanoseconds, is when the process was seen: after an exit it is another one with that TGID,
// which only a fork without an exec leaves untold.
func (r *Resolver) Resolve(tgid, uid uint32, comm string, now int64) *Info {
	if tgid == 0 {
		return r.unknown
	}
	if p := r.byTGID[tgid]; p != nil && (p.exited == 0 || now <= p.exited) {
		return p
	}
	return r.read(tgid, uid, comm, "")
}

// Exec notes that tgid, of user uid, runs a new image, and returns it, read at once. executable is its path, ""
// when the event did not know it: a short-lived process is gone before /proc is read.
func (r *Resolver) Exec(tgid, uid uint32, executable string) *Info {
	if tgid == 0 {
		return r.unknown
	}
	return r.read(tgid, uid, "", executable)
}

// Exit notes the end of tgid at now (Unix nanoseconds).
func (r *Resolver) Exit(tgid uint32, now int64) {
	if p := r.byTGID[tgid]; p != nil && p.exited == 0 {
		p.exited = now
		r.exits = append(r.exits, p)
	}
}

// SetBack says that the clock was set back to now (Unix nanoseconds).
func (r *Resolver) SetBack(now int64) {
	for _, p := range r.exits {
		p.exited = min(p.exited, now)
	}
}

// Tick forgets processes whose grace is over.
func (r *Resolver) Tick(now int64) {
	n := 0
	for n < len(r.exits) && now-r.exits[n].exited >= int64(grace) {
		// The TGID may belong to a later process by now.
		if p := r.exits[n]; r.byTGID[p.TGID] == p {
			delete(r.byTGID, p.TGID)
		}
		n++
	}
	if n > 0 {
		r.exits = append(r.exits[:0:0], r.exits[n:]...)
	}
}

// Len is the number of cached processes.
func (r *Resolver) Len() int { return len(r.byTGID) }

func (r *Resolver) read(tgid, uid uint32, comm, exe string) *Info {
	dir := filepath.Join(r.root, "proc", strconv.FormatUint(uint64(tgid), 10))
	p := &Info{TGID: tgid, host: r.host}

	link, err := os.Readlink(filepath.Join(dir, "exe"))
	link = strings.TrimSuffix(link, " (deleted)")
	if exe == "" {
		exe = link
	} else if exe != link {
		// It has ended or runs something else by now: what /proc says is not about it.
		p.ExecutablePath, p.ExecutableName, p.ServiceName = exe, filepath.Base(exe), filepath.Base(exe)
		p.Owner, p.unplaced = r.owner(uid), true
		r.keep(p)
		return p
	}
	if err == nil {
		p.ExecutablePath = exe
		p.ExecutableName = filepath.Base(exe)
	} else if comm != "" {
		p.ExecutableName = comm
	} else {
		p.ExecutableName = readLine(filepath.Join(dir, "comm"))
	}
	if errors.Is(err, fs.ErrNotExist) && p.ExecutableName == "" {
		// Gone before anybody could look, and no event names it: do not keep an empty entry,
		// a later event may carry its name.
		if old := r.byTGID[tgid]; old != nil {
			return old
		}
		return r.unknown
	}

	if owner, ok := ownerOf(filepath.Join(dir, "status")); ok {
		uid = owner
	}
	p.Owner = r.owner(uid)
	var placed bool
	p.ContainerID, p.PodUID, placed = readCgroup(filepath.Join(dir, "cgroup"))
	p.unplaced = !placed
	if p.PodUID != "" {
		x, _ := r.pods.find(p.PodUID)
		p.Namespace, p.PodName = x.namespace, x.name
	}
	p.ServiceName = r.environs.serviceName(filepath.Join(dir, "environ"))
	if p.ServiceName == "" {
		p.ServiceName = p.ExecutableName
	}

	r.keep(p)
	return p
}

func (r *Resolver) keep(p *Info) {
	if len(r.byTGID) >= maxProcesses {
		for k := range r.byTGID { // any one: re-reading costs microseconds
			delete(r.byTGID, k)
			break
		}
	}
	r.byTGID[p.TGID] = p
}

func (r *Resolver) owner(uid uint32) string {
	if name, ok := r.owners[uid]; ok {
		return name
	}
	id := strconv.FormatUint(uint64(uid), 10)
	name := id
	if u, err := user.LookupId(id); err == nil {
		name = u.Username
	}
	if len(r.owners) < 4096 {
		r.owners[uid] = name
	}
	return name
}

// ownerOf returns the real uid of a status file.
func ownerOf(path string) (uint32, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte("Uid:")); ok {
			f := bytes.Fields(rest)
			if len(f) == 0 {
				return 0, false
			}
			n, err := strconv.ParseUint(string(f[0]), 10, 32)
			return uint32(n), err == nil
		}
	}
	return 0, false
}

// readCgroup looks at every hierarchy of a cgroup file: on v1 and hybrid hosts the container
// is named in the controllers' paths while the unified one may be "/".
func readCgroup(path string) (container, pod string, ok bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return "", "", false
	}
	for line := range bytes.Lines(b) {
		_, rest, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			continue
		}
		_, cg, ok := bytes.Cut(rest, []byte(":"))
		if !ok {
			continue
		}
		c, p := cgroupIDs(strings.TrimSuffix(string(cg), "\n"))
		if container == "" {
			container = c
		}
		if pod == "" {
			pod = p
		}
	}
	return container, pod, true
}

// PodUnknown says that the process is, or may be, in a pod whose names could not be found out.
func (p *Info) PodUnknown() bool { return p.unplaced || p.PodUID != "" && p.PodName == "" }

// Fill writes the resource attributes of the process.
func (p *Info) Fill(m pcommon.Map) {
	put := func(k, v string) {
		if v != "" {
			m.PutStr(k, v)
		}
	}
	put(semantic.ServiceName, p.ServiceName)
	put(semantic.HostID, p.host.ID)
	put(semantic.HostName, p.host.Name)
	put(semantic.OSType, "linux")
	if p.TGID != 0 {
		m.PutInt(semantic.ProcessPID, int64(p.TGID))
	}
	put(semantic.ProcessExecutableName, strings.ToValidUTF8(p.ExecutableName, "\uFFFD"))
	put(semantic.ProcessExecutablePath, strings.ToValidUTF8(p.ExecutablePath, "\uFFFD"))
	put(semantic.ProcessOwner, p.Owner)
	put(semantic.ContainerID, p.ContainerID)
	put(semantic.K8sPodUID, p.PodUID)
	put(semantic.K8sNamespaceName, p.Namespace)
	put(semantic.K8sPodName, p.PodName)
}
