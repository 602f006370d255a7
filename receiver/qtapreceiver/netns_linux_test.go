// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace of the test's own.
type namespace struct {
	t    *testing.T
	name string
}

func newNamespace(t *testing.T, name string) *namespace {
	t.Helper()
	n := &namespace{t: t, name: fmt.Sprintf("qtap-%s-%d", name, os.Getpid())}
	tool(t, "ip", "netns", "add", n.name)
	t.Cleanup(func() { tool(t, "ip", "netns", "del", n.name) })
	n.ip("link", "set", "lo", "up")
	return n
}

// tool runs a program of the test's own.
func tool(t *testing.T, name string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(name)
	need(t, err == nil, name)
	out, err := exec.Command(path, args...).CombinedOutput()
	require.NoError(t, err, "%s %v: %s", name, args, out)
}

// ip configures the namespace.
func (n *namespace) ip(args ...string) {
	n.t.Helper()
	tool(n.t, "ip", append([]string{"-n", n.name}, args...)...)
}

// run runs a program of the test's own in the namespace.
func (n *namespace) run(name string, args ...string) {
	n.t.Helper()
	tool(n.t, "ip", append([]string{"netns", "exec", n.name, name}, args...)...)
}

// within is a command of the lab that runs in the namespace; ip becomes the program.
func (n *namespace) within(l *lab, name string, args ...string) *exec.Cmd {
	return l.command("ip", append([]string{"netns", "exec", n.name, name}, args...)...)
}

// nft loads rules into the namespace.
func (n *namespace) nft(rules string) {
	n.t.Helper()
	_, err := exec.LookPath("nft")
	need(n.t, err == nil, "nft")
	cmd := exec.Command("ip", "netns", "exec", n.name, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	out, err := cmd.CombinedOutput()
	require.NoError(n.t, err, string(out))
}

// newNode makes a namespace that routes between two others, as a node does between its pods: it is 10.98.1.1 and 10.98.2.1, they are
// 10.98.1.2 and 10.98.2.2.
func newNode(t *testing.T) (node, first, second *namespace) {
	t.Helper()
	node, first, second = newNamespace(t, "node"), newNamespace(t, "first"), newNamespace(t, "second")
	for i, pod := range []*namespace{first, second} {
		net, device := fmt.Sprintf("10.98.%d.", i+1), fmt.Sprintf("eth%d", i)
		node.ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", pod.name)
		node.ip("address", "add", net+"1/24", "dev", device)
		node.ip("link", "set", device, "up")
		pod.ip("address", "add", net+"2/24", "dev", "eth0")
		pod.ip("link", "set", "eth0", "up")
		pod.ip("route", "add", "default", "via", net+"1")
	}
	node.run("sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
	return node, first, second
}

// do calls f on a thread that is in the namespace.
func (n *namespace) do(f func() error) {
	n.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		// The first thread of a process does not end with its goroutine, and what others read below /proc/net is its namespace's.
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			done <- err
			return
		}
		defer home.Close()
		ns, err := os.Open("/run/netns/" + n.name)
		if err == nil {
			err = unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET)
			ns.Close()
		}
		if err == nil {
			err = errors.Join(f(), unix.Setns(int(home.Fd()), unix.CLONE_NEWNET))
		}
		if err == nil { // else the thread ends with the goroutine
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	require.NoError(n.t, <-done)
}

// tun makes a device whose packets the test itself carries, with an address.
func (n *namespace) tun(cidr string) *os.File {
	n.t.Helper()
	var f *os.File
	n.do(func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		req, err := unix.NewIfreq("tap0")
		if err != nil {
			return err
		}
		req.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(fd, unix.TUNSETIFF, req); err != nil {
			unix.Close(fd)
			return err
		}
		f = os.NewFile(uintptr(fd), "tun")
		return nil
	})
	n.t.Cleanup(func() { f.Close() })
	n.ip("address", "add", cidr, "dev", "tap0")
	n.ip("link", "set", "tap0", "up", "txqueuelen", "5000")
	return f
}

// faults are the shares of packets to which something happens on their way, and a delay of all.
type faults struct {
	loss, duplicate, reorder, corrupt float64
	delay                             time.Duration
}

// cable carries packets between two devices, with faults, until the test ends. It does what netem
// would do, which this kernel may lack.
type cable struct {
	faults
	mu                                  sync.Mutex
	rand                                *rand.Rand
	lost, duplicated, reordered, broken int
}

func connect(t *testing.T, a, b *os.File, f faults) *cable {
	c := &cable{faults: f, rand: rand.New(rand.NewPCG(1, 2))}
	var wg sync.WaitGroup
	carry := func(from, to *os.File) {
		p := make([]byte, 65536)
		for {
			n, err := from.Read(p)
			if err != nil {
				return
			}
			c.pass(&wg, to, p[:n])
		}
	}
	wg.Go(func() { carry(a, b) })
	wg.Go(func() { carry(b, a) })
	t.Cleanup(func() {
		a.Close()
		b.Close()
		wg.Wait()
	})
	return c
}

// pass sends one packet on, or not.
func (c *cable) pass(wg *sync.WaitGroup, to io.Writer, p []byte) {
	const ipHeader = 20
	c.mu.Lock()
	defer c.mu.Unlock()
	hit := func(share float64, n *int) bool {
		if c.rand.Float64() >= share {
			return false
		}
		*n++
		return true
	}
	if len(p) < ipHeader || p[0]>>4 != 4 { // the devices' own chatter
		return
	}
	if hit(c.loss, &c.lost) {
		return
	}
	if hit(c.corrupt, &c.broken) {
		// A bit of the segment: its header or its payload. The checksum stays.
		p[ipHeader+c.rand.IntN(len(p)-ipHeader)] ^= 1 << c.rand.IntN(8)
	}
	copies := 1
	if hit(c.duplicate, &c.duplicated) {
		copies = 2
	}
	delay := c.delay
	if hit(c.reorder, &c.reordered) {
		delay += time.Duration(1+c.rand.IntN(5)) * time.Millisecond
	}
	for range copies {
		if delay == 0 {
			_, _ = to.Write(p) // a full queue is a loss, too
			continue
		}
		q := append([]byte(nil), p...)
		wg.Add(1)
		time.AfterFunc(delay, func() {
			defer wg.Done()
			_, _ = to.Write(q)
		})
	}
}
