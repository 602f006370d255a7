// SPDX-License-Identifier: Apache-2.0

//go:build linux

package exactness

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// Account is what became of numbered requests. Each counts twice: once for each end, both of which are watched.
type Account struct {
	// Sent are the ends of requests that had their response.
	Sent uint64 `json:"sent"`
	// Stored are their spans in ClickHouse, Kept their payloads in the bucket, Receipts what ClickHouse knows of where
	// those lie.
	Stored   uint64 `json:"stored"`
	Kept     uint64 `json:"kept"`
	Receipts uint64 `json:"receipts"`
	// DroppedSpans and DroppedPayloads are what was counted as given up on either way, by stage and reason.
	DroppedSpans    map[string]uint64 `json:"dropped_spans"`
	DroppedPayloads map[string]uint64 `json:"dropped_payloads"`
	// Unreadable are ends of HTTPS requests on connections whose record says that they cannot be read, and why.
	Unreadable uint64 `json:"unreadable"`
	// Lost are the kernel's events that did not fit into the ring: an exchange that nobody saw has cost at least one.
	Lost uint64 `json:"lost_events"`
	// UnseenSpans and UnseenPayloads are in neither count.
	UnseenSpans    int64 `json:"unseen_spans"`
	UnseenPayloads int64 `json:"unseen_payloads"`
	// Objects is the number of objects in the bucket.
	Objects int `json:"objects"`
}

// Requests is what is accounted for: the numbers of all loads, and who sent and answered them.
type Requests struct {
	last    uint64
	clients []int
	ledgers []string
	server  int
	before  Books
	// receipts are those that ClickHouse had before.
	receipts uint64
}

// Expect begins an account of numbered requests to tr. The collector is warm.
func (c *Collector) Expect(t testing.TB, tr *Traffic) *Requests {
	t.Helper()
	tr.Quiet(t, c)
	return &Requests{server: tr.PID, before: c.Books(t), receipts: c.Number(t, receipts)}
}

// Add adds what was sent; its numbers follow those before.
func (r *Requests) Add(t testing.TB, sent Sent) {
	t.Helper()
	require.Equal(t, r.last+1, sent.First)
	r.last = sent.Last
	r.clients = append(r.clients, sent.PID)
	r.ledgers = append(r.ledgers, sent.ledger)
}

// Next is the number that the next load begins with.
func (r *Requests) Next() uint64 { return r.last + 1 }

// sums adds what stages and exporters have dropped since the account began.
func (r *Requests) sums(now Books, stages []string, exporters ...string) map[string]uint64 {
	all := map[string]uint64{}
	for _, name := range stages {
		if s := now.Stages[name]; s != nil {
			for reason, n := range s.Dropped {
				if was := r.before.Stages[name]; was != nil {
					n -= was.Dropped[reason]
				}
				if n > 0 {
					all[name+"/"+reason] = uint64(n)
				}
			}
		}
	}
	for name, n := range now.Failed {
		if slices.Contains(exporters, name) {
			if n -= r.before.Failed[name]; n > 0 {
				all[name] = uint64(n)
			}
		}
	}
	return all
}

func sum(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

const numbered = "path = '/numbered'"

// fill takes what can be asked at once.
func (r *Requests) fill(t testing.TB, c *Collector, a *Account) {
	now := c.Books(t)
	a.DroppedSpans = r.sums(now, []string{"exchanges", "spans"}, "pulse/spans")
	a.DroppedPayloads = r.sums(now, []string{"exchanges", "payloads"}, "qpoint_s3/log_records")
	a.Lost = uint64(now.Lost - r.before.Lost)
	a.Stored = c.Number(t, "SELECT count() FROM qpoint.requests WHERE "+numbered)
	a.Receipts = c.Number(t, receipts) - r.receipts
}

// settle waits until all is where it belongs, or nothing comes any more.
func (r *Requests) settle(t testing.TB, c *Collector) (a Account) {
	t.Helper()
	a.Sent = 2 * r.last
	var last string
	var since time.Time
	require.Eventually(t, func() bool {
		r.fill(t, c, &a)
		if a.Stored+sum(a.DroppedSpans) >= a.Sent && a.Receipts+sum(a.DroppedPayloads) >= a.Sent {
			return true
		}
		if now := fmt.Sprint(a); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > testkit.Patience // what is missing then is missing
	}, time.Hour, 500*time.Millisecond)
	return a
}

// Account waits until everything has arrived, reads it back, and fails the test unless all of it is accounted for:
// what is in ClickHouse and what was dropped on that way, and what is in the bucket and what was dropped on that way, are
// each what was sent; nothing is there twice, and nothing is another's.
func (r *Requests) Account(t testing.TB, c *Collector) Account {
	t.Helper()
	a := r.settle(t, c)
	spans := r.spans(t, c, "SELECT span_id, kind FROM qpoint.requests WHERE "+numbered)
	a.Stored = uint64(len(spans["client"]) + len(spans["server"]))
	kept, missing := r.payloads(t, c, &a)
	a.Unreadable = r.unreadable(t, c, missing)
	a.Kept = uint64(len(kept["client"]) + len(kept["server"]))
	a.UnseenSpans = int64(a.Sent) - int64(a.Stored+sum(a.DroppedSpans)+a.Unreadable)
	a.UnseenPayloads = int64(a.Sent) - int64(a.Kept+sum(a.DroppedPayloads)+a.Unreadable)
	text, err := json.Marshal(a)
	require.NoError(t, err)
	t.Logf("%s", text)

	for _, end := range []string{"client", "server"} {
		require.Zero(t, repeated(spans[end]), "a %s's span is stored twice", end)
		require.Zero(t, repeated(kept[end]), "a %s's payload is kept twice", end)
		// Every payload has its span and every span its payload, but for what was dropped.
		require.LessOrEqual(t, uint64(without(kept[end], spans[end])), sum(a.DroppedSpans), "%s: payloads whose span is not in ClickHouse", end)
		require.LessOrEqual(t, uint64(without(spans[end], kept[end])), sum(a.DroppedPayloads), "%s: spans whose payload is not in the bucket", end)
	}
	for way, unseen := range map[string]int64{"spans": a.UnseenSpans, "payloads": a.UnseenPayloads} {
		require.GreaterOrEqual(t, unseen, int64(0), "%s: more than was sent", way)
		require.LessOrEqual(t, unseen, int64(a.Lost), "%s: missing without a reason", way)
	}
	return a
}

// RequireAll fails the test when something was dropped, for whatever reason. What is Unreadable is not there either, and
// said so: a handshake's secrets may be missed on a machine that is very busy.
func (a Account) RequireAll(t testing.TB) {
	t.Helper()
	require.Zero(t, a.Lost, "events that did not fit into the ring")
	require.Empty(t, a.DroppedSpans)
	require.Empty(t, a.DroppedPayloads)
	require.Equal(t, a.Sent, a.Stored+a.Unreadable)
	require.Equal(t, a.Stored, a.Kept)
	require.Equal(t, a.Kept, a.Receipts)
}

// spans are the ids of spans, by end, sorted.
func (r *Requests) spans(t testing.TB, c *Collector, question string) map[string][]uint64 {
	t.Helper()
	found := map[string][]uint64{}
	c.Query(t, strings.Replace(question, "span_id", "reinterpretAsUInt64(reverse(span_id))", 1), func(rows driver.Rows) error {
		var id uint64
		var end string
		err := rows.Scan(&id, &end)
		found[end] = append(found[end], id)
		return err
	})
	for _, ids := range found {
		slices.Sort(ids)
	}
	return found
}

// payloads reads the bucket: each numbered exchange must be one of those that were sent, and its response that of its
// request. It returns the ids of their spans, by end, sorted, and the numbers that are not there.
func (r *Requests) payloads(t testing.TB, c *Collector, a *Account) (found, missing map[string][]uint64) {
	t.Helper()
	found, missing = map[string][]uint64{}, map[string][]uint64{}
	seen := map[string][]uint64{"client": make([]uint64, r.last/64+1), "server": make([]uint64, r.last/64+1)}
	wrong := map[string]int{}
	a.Objects = c.Payloads(t, func(x archive.Exchange) {
		number := x.Request.Get("X-Sequence")
		if x.Request.Target != "/numbered" {
			return
		}
		end := "server"
		if pid, err := strconv.Atoi(x.Resource["process.pid"]); err != nil || pid != r.server {
			end = "client"
			if !slices.Contains(r.clients, pid) {
				wrong["of a process that sends nothing"]++
			}
		}
		n, err := strconv.ParseUint(number, 10, 64)
		if err != nil || n == 0 || n > r.last {
			wrong["with a number that was not sent"]++
			return
		}
		if seen[end][n/64]&(1<<(n%64)) != 0 {
			wrong["with a number that was there before"]++
		}
		seen[end][n/64] |= 1 << (n % 64)
		if x.Incomplete == "" && (x.Response == nil || !strings.HasPrefix(string(x.Response.Body), "this is "+number+" ")) {
			wrong["with another one's response"]++
		}
		id, err := strconv.ParseUint(x.SpanID, 16, 64)
		if err != nil {
			wrong["without a span"]++
		}
		found[end] = append(found[end], id)
	})
	require.Empty(t, wrong, "exchanges in the bucket")
	for end, bits := range seen {
		for n := uint64(1); n <= r.last; n++ {
			if bits[n/64]&(1<<(n%64)) == 0 {
				missing[end] = append(missing[end], n)
			}
		}
	}
	for _, ids := range found {
		slices.Sort(ids)
	}
	return found, missing
}

// unreadable counts the missing ends whose connection says that it cannot be read.
func (r *Requests) unreadable(t testing.TB, c *Collector, missing map[string][]uint64) (n uint64) {
	t.Helper()
	if len(missing["client"])+len(missing["server"]) == 0 {
		return 0
	}
	ports := map[string]map[uint16]string{"client": {}, "server": {}}
	c.Query(t, "SELECT role, if(role = 'client', local_port, peer_port), reason FROM qpoint.connections FINAL WHERE visibility = 'not_visible'", func(rows driver.Rows) error {
		var role, reason string
		var port uint16
		err := rows.Scan(&role, &port, &reason)
		if ports[role] != nil {
			ports[role][port] = reason
		}
		return err
	})
	port := map[uint64]uint16{}
	for _, path := range r.ledgers {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		for line := range strings.Lines(string(text)) {
			var id uint64
			var p uint16
			_, err := fmt.Sscan(line, &id, &p)
			require.NoError(t, err)
			port[id] = p
		}
	}
	reasons := map[string]uint64{}
	for end, ids := range missing {
		for _, id := range ids {
			if reason := ports[end][port[id]]; port[id] != 0 && reason != "" {
				reasons[reason]++
				n++
			}
		}
	}
	t.Logf("on connections that cannot be read: %v", reasons)
	return n
}

// repeated counts values that are there more than once.
func repeated(sorted []uint64) (n int) {
	for i := range sorted {
		if i > 0 && sorted[i] == sorted[i-1] {
			n++
		}
	}
	return n
}

// without counts the values of a that are not in b.
func without(a, b []uint64) (n int) {
	for _, v := range a {
		if _, ok := slices.BinarySearch(b, v); !ok {
			n++
		}
	}
	return n
}
