// SPDX-License-Identifier: Apache-2.0

package http1

const (
	// coincidence is how unlikely it must be that a client which pipelines looked like one that waits.
	coincidence = 1e-9
	// clockGrain is the least time in nanoseconds that two events are told apart by.
	clockGrain = 10_000
)

// doubt is about whether the client of a connection that was joined in the middle waits for its responses.
//
// Suppose that it does not: each response seen answers an older request, which was at the server all the time
// since the response before. Then the server's work on it ended, by coincidence, in the short time between the
// end of the newest request and the response, again and again, however long the client had waited before that
// request. Had the server taken about equally long for two of them, the client would have waited equally long;
// if it took unequally long, it hit, out of times at least as different as the client's two waits, one no longer
// than what it took to answer. So each cycle multiplies the chance by
//
//	(latency + latency before) / |wait − wait before|
//
// and a client that sends the next request as soon as it has a response, or always after the same time, is
// never believed. What this presumes is that a server does not hold a response back until the next request comes.
type doubt struct {
	joined         bool // and not dispelled
	chance         float64
	wait, lastWait int64 // of the client before the latest request and the one before, -1: not known
	latency        int64 // of the response before
}

// cycle is told when a request begins at time t. whole says that exactly one response came since the request
// before, which ended at asked; the response began at answered and ended at done. Times are Unix nanoseconds.
func (d *doubt) cycle(whole bool, asked, answered, done, t int64) {
	if !d.joined {
		return
	}
	if !whole || answered < asked {
		d.chance, d.wait, d.lastWait = 1, -1, -1
		if whole {
			d.wait = t - done
		}
		return
	}
	latency := max(answered-asked, clockGrain)
	if d.wait >= 0 {
		if d.lastWait >= 0 {
			differ := max(d.wait-d.lastWait, d.lastWait-d.wait, 1)
			d.chance *= min(1, float64(latency+d.latency)/float64(differ))
		}
		d.lastWait, d.latency = d.wait, latency
	}
	d.wait = t - done
	d.joined = d.chance > coincidence
}
