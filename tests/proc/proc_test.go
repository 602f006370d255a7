// SPDX-License-Identifier: Apache-2.0

//go:build linux

package proc

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }

// TestChild runs real processes: their CPU time is found by group, and they are gone after stop.
func TestChild(t *testing.T) {
	c, err := Start(-1, "sh", nil, "-c", "echo hello; sh -c 'while :; do :; done' & wait")
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(testkit.Patience)
	for {
		_, others, err := GroupCPU(c.PID())
		if err != nil {
			t.Fatal(err)
		}
		if others >= 0.05 {
			break // in the grandchild: the leader only waits
		}
		if time.Now().After(deadline) {
			t.Fatalf("only %v s of CPU", others)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if !strings.Contains(string(c.Output()), "hello") {
		t.Errorf("output %q", c.Output())
	}
	if err := c.Stop(testkit.Patience); err != nil {
		t.Fatal(err)
	}
	for deadline = time.Now().Add(testkit.Patience); ; time.Sleep(10 * time.Millisecond) {
		if _, _, err := GroupCPU(c.PID()); err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the group still runs")
		}
	}
	for time.Now().Before(deadline) { // the scheduler's clock moves when we work
		cpu, err := PreciseCPU(os.Getpid())
		if err != nil {
			t.Fatal(err)
		}
		if cpu > 0 {
			break
		}
	}
	if busy, _, err := MachineCPU(); err != nil || busy <= 0 {
		t.Error(busy, err)
	}
	if now, peak := Memory(os.Getpid()); now == 0 || peak < now {
		t.Error(now, peak)
	}
}

func TestEnds(t *testing.T) {
	var e ends
	for i := range 10000 {
		fmt.Fprintf(&e, "line %d\n", i)
	}
	c := &Child{}
	c.log.first, c.log.last = e.first, e.last
	out := string(c.Output())
	if !strings.HasPrefix(out, "line 0\n") || !strings.HasSuffix(out, "line 9999\n") || len(out) > 3*endSize {
		t.Errorf("%d bytes, %.20q", len(out), out)
	}
}
