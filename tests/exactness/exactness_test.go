// SPDX-License-Identifier: Apache-2.0

//go:build linux

package exactness

import (
	"encoding/json"
	"flag"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

var (
	rate     = flag.Float64("rate", 200, "requests per second; 0: the highest that this machine holds, found by steps")
	duration = flag.Duration("duration", 10*time.Second, "how long the load lasts")
	out      = flag.String("out", "", "write the result to this file, as JSON")
)

func TestMain(m *testing.M) { testkit.Main(m) }

// result is what -out writes.
type result struct {
	Rate    float64 `json:"rate"` // that was asked for, requests per second
	Steps   []step  `json:"steps,omitempty"`
	Sent    Sent    `json:"sent"`
	Account Account `json:"account"`
	// Bytes is the size of the data folder.
	Bytes int64 `json:"bytes"`
}

// step is a try of a rate.
type step struct {
	Rate  float64 `json:"rate"`
	Holds bool    `json:"holds"`
	Why   string  `json:"why,omitempty"`
	Sent  Sent    `json:"sent"`
}

// TestExactness sends numbered requests, HTTP and HTTPS, on connections that stay and on new ones, and accounts for each:
// at both ends, in ClickHouse, in the bucket, and in what was dropped.
func TestExactness(t *testing.T) {
	c := Start(t, Options{})
	tr := Serve(t, c.Cgroup)
	tr.Warm(t, c)
	res := result{Rate: *rate}
	requests := c.Expect(t, tr)
	if res.Rate == 0 {
		res.Rate, res.Steps = highest(t, c, tr, requests)
	}
	requireRoom(t, c.Data, res.Rate*duration.Seconds())
	before := c.Books(t)
	res.Sent = tr.Send(t, Load{Rate: res.Rate, Duration: *duration, First: requests.Next()})
	requests.Add(t, res.Sent)
	requests.settle(t, c)
	after := c.RequireConserved(t)
	res.Account = requests.Account(t, c)
	res.Bytes = size(t, c.Data)
	if *out != "" {
		text, err := json.MarshalIndent(res, "", "  ")
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(*out, append(text, '\n'), 0o644))
	}
	// In the short form nothing can be dropped: all bytes together are less than the ring, and all batches fewer than the
	// queues hold. In the long form nothing may be: the rate is one that the machine holds.
	if res.Steps == nil {
		t.Logf("%.0f bytes captured in all", after.Stages["capture"].In-before.Stages["capture"].In)
		res.Account.RequireAll(t)
	} else {
		since := requests.since(after, before)
		require.Empty(t, since, "dropped at a rate that was held for a short time")
	}
	require.Zero(t, c.Stop().ExitCode())
}

// since is what was dropped between two moments.
func (r *Requests) since(now, before Books) map[string]uint64 {
	all := (&Requests{before: before}).sums(now, []string{"exchanges", "spans", "payloads"}, "pulse/spans", "qpoint_s3/log_records")
	if lost := now.Lost - before.Lost; lost > 0 {
		all["ring"] = uint64(lost)
	}
	return all
}

// highest steps up until the rate is not held, and returns nine tenths of the last that was.
func highest(t *testing.T, c *Collector, tr *Traffic, requests *Requests) (float64, []step) {
	t.Helper()
	var steps []step
	held := 0.0
	for r := 1000.0; ; r *= 1.2 {
		before := c.Books(t)
		s := step{Rate: r, Sent: tr.Send(t, Load{Rate: r, Duration: 20 * time.Second, First: requests.Next()})}
		requests.Add(t, s.Sent)
		requests.settle(t, c)
		dropped := requests.since(c.Books(t), before)
		switch {
		case s.Sent.Rate < 0.97*r:
			s.Why = "the load itself is slower"
		case len(dropped) > 0:
			text, err := json.Marshal(dropped)
			require.NoError(t, err)
			s.Why = "dropped: " + string(text)
		default:
			s.Holds, held = true, r
		}
		t.Logf("%6.0f requests/s: held=%v %s (%.0f/s answered)", r, s.Holds, s.Why, s.Sent.Rate)
		steps = append(steps, s)
		if !s.Holds {
			require.NotZero(t, held, "not even %v requests/s", r)
			return 0.9 * held, steps
		}
	}
}

// perExchange is what an exchange takes on the disk, in bytes, generously.
const perExchange = 1500

// requireRoom fails the test when the disk is too small for what will be kept.
func requireRoom(t *testing.T, dir string, requests float64) {
	t.Helper()
	var fs syscall.Statfs_t
	require.NoError(t, syscall.Statfs(dir, &fs))
	free := float64(fs.Bavail) * float64(fs.Bsize)
	need := 2 * requests * perExchange
	require.Less(t, need, free, "%.0f GB are needed on the disk of $TMPDIR, %.0f GB are free", need/1e9, free/1e9)
}

// size is what a folder takes on the disk, in bytes.
func size(t *testing.T, dir string) (n int64) {
	t.Helper()
	require.NoError(t, walk(dir, func(info os.FileInfo) { n += info.Sys().(*syscall.Stat_t).Blocks * 512 }))
	return n
}
