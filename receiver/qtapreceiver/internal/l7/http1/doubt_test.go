// SPDX-License-Identifier: Apache-2.0

package http1

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/l7"
)

// joinAlternating plays a connection that is joined while depth requests are out. The client sends a request
// think after each response, and the server works for work on each request, one after the other. It returns
// how many responses were given to their request, and to another one.
func joinAlternating(depth, n int, think, work func() int64) (right, wrong int) {
	const trip = 20_000 // ns from one end to the other
	var stats Stats
	p := New(Options{Joined: true}, func(x *l7.Exchange) {
		if x.Response == nil {
			return
		}
		if "/"+x.Response.Get("X-Id") == x.Request.Target {
			right++
		} else {
			wrong++
		}
	}, &stats)
	var pos uint64
	say := func(client bool, t int64, s string) {
		p.Data(client, t, pos, []byte(s))
		pos += uint64(len(s))
	}
	now := int64(1e9)
	sends := []int64{now} // when requests will be sent
	out := depth          // requests at the server
	done := now + work()  // when it has worked on the first of them
	for asked, answered := 0, -depth; asked < n; {
		if len(sends) > 0 && (out == 0 || sends[0] < done+trip) {
			now, sends = sends[0], sends[1:]
			say(true, now, fmt.Sprintf("GET /%d HTTP/1.1\r\nHost: a\r\n\r\n", asked))
			if asked++; out == 0 {
				done = now + trip + work()
			}
			out++
			continue
		}
		now = done + trip
		say(false, now, fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %d\r\nContent-Length: 0\r\n\r\n", answered))
		answered++
		out--
		done += work()
		sends = append(sends, now+think())
		slices.Sort(sends)
	}
	p.Close(now, false)
	return right, wrong
}

// TestJoinedClientThatPipelines never gets a response that is another request's, whatever its rhythm.
func TestJoinedClientThatPipelines(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	constant := func(d int64) func() int64 { return func() int64 { return d } }
	uniform := func(low, high int64) func() int64 { return func() int64 { return low + r.Int64N(high-low) } }
	for name, c := range map[string]struct{ think, work func() int64 }{
		"at once":                      {constant(0), constant(1e6)},
		"at once, work varies":         {constant(0), uniform(1e5, 50e6)},
		"paced":                        {constant(90e6), constant(91e6)},
		"paced, work varies":           {constant(90e6), uniform(91e6, 200e6)},
		"thinks, server much slower":   {uniform(0, 10e6), uniform(200e6, 400e6)},
		"thinks, server a bit slower":  {uniform(0, 10e6), uniform(10e6, 20e6)},
		"thinks, server equally slow":  {uniform(0, 10e6), uniform(5e6, 12e6)},
		"thinks, server hardly slower": {uniform(9e6, 10e6), constant(10e6)},
	} {
		for depth := 1; depth <= 3; depth++ {
			for range 50 {
				if right, wrong := joinAlternating(depth, 300, c.think, c.work); wrong > 0 {
					t.Fatalf("%s, %d requests out: %d responses given to another request, %d to their own", name, depth, wrong, right)
				}
			}
		}
	}
}

// TestJoinedClientThatWaits is believed once its waits have shown it.
func TestJoinedClientThatWaits(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		right, wrong := joinAlternating(0, 40, func() int64 { return int64(r.ExpFloat64() * 500e6) }, func() int64 { return 1e6 + r.Int64N(4e6) })
		if right < 20 || wrong > 0 {
			t.Fatalf("%d of 40 responses given to their request, %d to another", right, wrong)
		}
	}
	// One that never waits does not show anything.
	if right, wrong := joinAlternating(0, 1000, func() int64 { return 0 }, func() int64 { return 1e6 }); right+wrong > 0 {
		t.Fatalf("%d, %d", right, wrong)
	}
}
