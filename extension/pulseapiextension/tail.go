// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

const (
	// tailEvery is how often the store is asked for what is new.
	tailEvery = time.Second
	// tailLateness is how much later than its time a row may be stored and still be told.
	tailLateness = 30 * time.Second
	// tailAhead is how far ahead of ours a row's clock may be. One that is further ahead is told once its time has come.
	tailAhead = 5 * time.Second
	// tailLifetime ends a stream, so that it does not outlive the credentials and the roles it was opened with: the client comes
	// back by Last-Event-ID.
	tailLifetime = 10 * time.Minute
	// tailRows is how many rows are told at once.
	tailRows = 500
	// tailHeartbeat keeps proxies from closing an idle stream.
	tailHeartbeat = 15 * time.Second
)

// tail tells rows as they come to be stored, each once, oldest first, as server-sent events: `row` with the row, `gap` when there
// were more than can be told, with the times between which some are missing, `problem` with what hinders. The id of an event is
// the newest time told; with it (Last-Event-ID) a client goes on where it was. Rows of up to 30 s before are told again then,
// as they may have been stored late: the client knows them by their ids.
type tail[J any] struct {
	// newest returns the newest rows of [since, until), newest first, and whether there are more.
	newest func(ctx context.Context, since, until time.Time) (rows []J, more bool, err error)
	// identify returns what a row is told by.
	identify func(*J) (id string, at time.Time)
	// again is what about a row is told once more when it changes; nil for nothing.
	again func(*J) string
}

// stream runs until the client leaves, its lifetime ends, or the server stops.
func (t *tail[J]) stream(a *api, q *question) (any, error) {
	since := a.now()
	if id := q.Header.Get("Last-Event-ID"); id != "" {
		nanos, err := strconv.ParseInt(id, 10, 64)
		if err != nil || nanos < 0 {
			return nil, badParam("Last-Event-ID", "was not given out by this API")
		}
		// What is older is for the lists.
		if at := time.Unix(0, nanos); at.Before(since) && since.Sub(at) < defaultRange {
			since = at
		}
	}
	if err := a.streams.enter(q.caller); err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter) error {
		defer a.streams.leave(q.caller)
		h := w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("X-Accel-Buffering", "no")
		out := &events{w: w, control: http.NewResponseController(w)}
		if err := out.comment("tail"); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(q.Context(), a.streamLifetime)
		defer cancel()
		return t.follow(ctx, a, out, since)
	}), nil
}

func (t *tail[J]) follow(ctx context.Context, a *api, out *events, since time.Time) error {
	told := map[string]tellingOf{}
	ticker := time.NewTicker(tailEvery)
	defer ticker.Stop()
	newest := since
	for {
		now := a.now()
		rows, more, err := t.newest(ctx, newest.Add(-tailLateness), now.Add(tailAhead))
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			p := a.problemOf("tail", err)
			if p == nil {
				return nil
			}
			if err := out.event("problem", newest, p); err != nil {
				return err
			}
		}
		slices.Reverse(rows)
		fresh := 0
		before := newest
		for i := range rows {
			id, at := t.identify(&rows[i])
			state := ""
			if t.again != nil {
				state = t.again(&rows[i])
			}
			if old, known := told[id]; known && old.state == state {
				continue
			} else if !known {
				fresh++
			}
			told[id] = tellingOf{at, state}
			if at = earlier(at, now); at.After(newest) { // a clock ahead must not hide what others store meanwhile
				newest = at
			}
			if err := out.event("row", newest, &rows[i]); err != nil {
				return err
			}
		}
		if more && fresh == len(rows) { // not one of the page was known: there may be others between
			_, oldest := t.identify(&rows[0])
			if err := out.event("gap", newest, gapJSON{timeText(before), timeText(oldest)}); err != nil {
				return err
			}
		}
		for id, one := range told {
			if newest.Sub(one.at) > tailLateness {
				delete(told, id)
			}
		}
		if err := out.heartbeat(); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return nil
		case <-a.done:
			return nil
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// tellingOf is what was told of a row.
type tellingOf struct {
	at    time.Time
	state string
}

type gapJSON struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// events writes server-sent events.
type events struct {
	w       http.ResponseWriter
	control *http.ResponseController
	last    time.Time
}

func (e *events) write(text string) error {
	_ = e.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // where it is not supported the server's own holds
	if _, err := e.w.Write([]byte(text)); err != nil {
		return err
	}
	e.last = time.Now()
	return e.control.Flush()
}

func (e *events) comment(text string) error { return e.write(": " + text + "\n\n") }

func (e *events) event(name string, at time.Time, data any) error {
	body, err := json.Marshal(data) // one line
	if err != nil {
		return err
	}
	return e.write(fmt.Sprintf("event: %s\nid: %d\ndata: %s\n\n", name, at.UnixNano(), body))
}

func (e *events) heartbeat() error {
	if time.Since(e.last) < tailHeartbeat {
		return nil
	}
	return e.comment("still here")
}

func (a *api) tailRequests(q *question) (any, error) {
	s, err := q.selection(pulsestore.OfRequests, a.now())
	if err != nil {
		return nil, err
	}
	t := tail[requestJSON]{
		newest: func(ctx context.Context, since, until time.Time) ([]requestJSON, bool, error) {
			s.From, s.To = since, until
			rows, next, err := a.requestPage(ctx, pulsestore.RequestQuery{Selection: s, Limit: tailRows})
			return rows, next != nil, err
		},
		identify: func(r *requestJSON) (string, time.Time) { return r.TraceID + r.SpanID, parseTimeText(r.Time) },
		again:    func(r *requestJSON) string { return r.Payload.State },
	}
	return t.stream(a, q)
}

func (a *api) tailConnections(q *question) (any, error) {
	s, err := q.selection(pulsestore.OfConnections, a.now())
	if err != nil {
		return nil, err
	}
	t := tail[connectionJSON]{
		newest: func(ctx context.Context, since, until time.Time) ([]connectionJSON, bool, error) {
			s.From, s.To = since, until
			rows, next, err := a.connectionPage(ctx, pulsestore.ConnectionQuery{Selection: s, Limit: tailRows})
			return rows, next != nil, err
		},
		identify: func(c *connectionJSON) (string, time.Time) {
			return c.HostID + "/" + c.ConnectionID, parseTimeText(c.Start)
		},
		again: func(c *connectionJSON) string { return strconv.FormatUint(uint64(c.Sequence), 10) },
	}
	return t.stream(a, q)
}

// parseTimeText undoes timeText.
func parseTimeText(s string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, s)
	return t
}
