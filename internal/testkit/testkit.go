// SPDX-License-Identifier: Apache-2.0

// Package testkit is what makes tests certain on a machine that is slow, busy, or shared: patience, ports that nobody else is given, and
// the end of goroutines. Nothing but tests imports it.
package testkit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// Patience is how long a test waits for what should happen. It only bounds the time until a failure is told: what waits looks
// often, so a quick machine does not notice.
const Patience = 2 * time.Minute

// Main runs the tests of a package, and fails when goroutines are left that do not end. goleak itself looks for less than half a
// second, which those of a closed connection may need on a busy machine.
func Main(m *testing.M, options ...goleak.Option) {
	code := m.Run()
	if code == 0 {
		if err := leaked(Patience, options...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// leaked looks for goroutines until there are none or the time is over.
func leaked(patience time.Duration, options ...goleak.Option) error {
	for end := time.Now().Add(patience); ; {
		err := goleak.Find(options...)
		if err == nil || time.Now().After(end) {
			return err
		}
	}
}

// The range that ports come from: below those that the kernel gives (net.ipv4.ip_local_port_range, 32768–60999 by default), and above those that
// clients of the attribution tests choose for themselves.
const firstPort, endPort = 25_000, 32_768

// Port returns a port of loopback, for TCP and UDP, on which nobody listens. A port that was listened on and closed again may be given to
// anybody until it is used; this one is not among those that the kernel gives, and no other test gets it before t ends, of whatever process
// of this network namespace.
func Port(t testing.TB) int {
	t.Helper()
	for _, n := range rand.Perm(endPort - firstPort) {
		port := firstPort + n
		claim, err := net.Listen("unix", fmt.Sprintf("@qpoint-test-port-%d", port)) // abstract (unix(7)): it goes with its process
		if err != nil {
			continue
		}
		if free(port) {
			t.Cleanup(func() { _ = claim.Close() })
			return port
		}
		_ = claim.Close()
	}
	t.Fatalf("no port from %d to %d is free", firstPort, endPort-1)
	return 0
}

// Addr returns 127.0.0.1 with a Port.
func Addr(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(Port(t)))
}

// free says whether a port of loopback can be listened on. Without IPv6 (another error) it is for IPv4 to say.
func free(port int) bool {
	for _, host := range []string{"127.0.0.1", "::1"} {
		addr := net.JoinHostPort(host, strconv.Itoa(port))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
		if c, err := net.ListenPacket("udp", addr); err == nil {
			_ = c.Close()
		} else if errors.Is(err, syscall.EADDRINUSE) {
			return false
		}
	}
	return true
}
