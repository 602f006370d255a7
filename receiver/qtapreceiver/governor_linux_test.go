// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/governor"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// oneConnection asks for the paths on its standard input, all on one connection, and prints the answers' lengths.
const oneConnection = `
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]))
for line in sys.stdin:
    c.request("GET", line.strip())
    print(len(c.getresponse().read()), flush=True)
`

// TestGovernor takes real programs through all levels, by a measure that the test gives: what the kernel does not copy
// then, what is said of it, and what is read again.
func TestGovernor(t *testing.T) {
	l, h := newLab(t, "governor"), &host{}
	var target atomic.Value
	target.Store(rules.LevelFull)
	level := func() rules.Level { return l.slot.tap.engine.Stats().Budget.Level }
	l.host = h
	l.tune = func(tap *tap) {
		var u governor.Usage
		tap.measure = func() governor.Usage {
			cores, now, want := 0.9, tap.engine.Stats().Budget.Level, target.Load().(rules.Level) // 0.9 of one: it stays
			switch {
			case now == "" || now == want:
			case rules.Lower(now, want) == want:
				cores = 2
			default:
				cores = 0
			}
			const passes = 5 * time.Second // with each look, about once a second
			u.At += passes
			u.CPU += time.Duration(cores * float64(passes))
			return u
		}
	}
	to := func(want rules.Level) {
		target.Store(want)
		require.Eventually(t, func() bool { return level() == want }, 5*time.Minute, 10*time.Millisecond, "never at %s", want)
	}
	l.start(func(c *Config, _ *PayloadConfig) { c.Limits.CPU, c.ConnectionInterval = 1, time.Second })
	dir, port := t.TempDir(), freePort(t)
	body := randomFile(t, filepath.Join(dir, "full"), 10_000)
	for _, name := range []string{"headers", "unseen", "last"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), body, 0o644))
	}
	l.nginx(port, dir, fmt.Sprintf("listen 127.0.0.1:%d; keepalive_timeout 1h;", port))
	url := fmt.Sprintf("http://127.0.0.1:%d", port)
	curl := func(path string) { require.Equal(t, body, l.run("curl", "-s", url+path)) }
	state := func(path string) string {
		var c, s *seen
		require.Eventually(t, func() bool { c, s = l.spans(path); return c != nil && s != nil }, time.Minute, 20*time.Millisecond, path)
		return text(c.span.Attributes(), semantic.PayloadState) + " " + text(c.span.Attributes(), semantic.PayloadReason)
	}

	// A client that goes on with one connection through it all.
	client := l.command("python3", "-u", "-c", oneConnection, strconv.Itoa(port))
	in, err := client.StdinPipe()
	require.NoError(t, err)
	out, err := client.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, client.Start())
	t.Cleanup(func() {
		_ = in.Close()
		_ = client.Wait()
	})
	lines := bufio.NewScanner(out)
	ask := func(path string) {
		_, err := io.WriteString(in, path+"\n")
		require.NoError(t, err)
		require.True(t, lines.Scan(), "the client goes on, whatever is read of it")
	}

	for i := range 4 {
		ask(fmt.Sprintf("/long-%d", i))
	}
	curl("/full")
	require.Equal(t, "pending ", state("/full"))
	to(rules.LevelHeaders)
	ask("/long-headers")
	require.NotEmpty(t, state("/long-headers"))
	curl("/headers")
	require.Equal(t, "truncated over_budget", state("/headers"))

	to(rules.LevelConnections)
	captured := func() uint64 { return l.slot.tap.books()[0].In }
	skipped := func() uint64 { return l.slot.tap.engine.Stats().Skipped[event.SkipBudget] }
	ask("/long-unseen")
	before := skipped()
	const n = 10
	for range n {
		curl("/unseen")
	}
	require.Eventually(t, func() bool { return skipped() >= before+2*n*uint64(len(body)) }, time.Minute, 10*time.Millisecond, "at both ends")
	require.Eventually(t, func() bool {
		return len(l.records(semantic.EventConnection, func(m pcommon.Map) bool {
			return text(m, semantic.ConnectionState) == "closed" && text(m, semantic.PayloadReason) == "over_budget"
		})) >= 2*n
	}, time.Minute, 20*time.Millisecond, "their records go on")
	copied := captured()

	to(rules.LevelFull)
	require.Equal(t, copied, captured(), "nothing was copied in the meantime")
	curl("/last")
	l.verify("/last", body, "curl", "nginx", "http", url+"/last")
	// The long connection is read again from where its counters say that it is.
	found := false
	for i := 0; !found && i < 600; i++ {
		path := fmt.Sprintf("/long-again-%d", i)
		ask(path)
		for until := time.Now().Add(time.Second); !found && time.Now().Before(until); time.Sleep(20 * time.Millisecond) {
			c, s := l.spans(path)
			found = c != nil && s != nil && c.span.TraceID() == s.span.TraceID()
		}
	}
	require.True(t, found, "the connection is never read again")

	require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusRecoverableError,
		componentstatus.StatusRecoverableError, componentstatus.StatusOK}, h.statuses())
	l.stop()
	for _, path := range []string{"/unseen", "/long-unseen"} {
		c, s := l.spans(path)
		require.Nil(t, c, path)
		require.Nil(t, s, path)
	}
	var levels []string
	for _, m := range l.records(semantic.EventCoverage, func(m pcommon.Map) bool { return text(m, semantic.CoverageSubject) == "governor" }) {
		levels = append(levels, text(m, semantic.CoverageState)+" "+text(m, semantic.CoverageReason))
	}
	require.Equal(t, []string{"full ", "headers cpu", "connections cpu", "headers cpu", "full "}, slices.Compact(levels))
}

// statuses are those that were reported, in order.
func (h *host) statuses() (all []componentstatus.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ev := range h.events {
		all = append(all, ev.Status())
	}
	return all
}
