// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/erasure"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

const (
	eraseAction = "data.erase"
	// eraseTimeout bounds an order. Who gave it may leave: it is carried out to its end.
	eraseTimeout = 10 * time.Minute
)

type eraseRequest struct {
	TraceID      string `json:"trace_id"`
	SpanID       string `json:"span_id"`
	ConnectionID string `json:"connection_id"`
	From         string `json:"from"`
	To           string `json:"to"`
	// DryRun is true unless it is said to be false.
	DryRun *bool `json:"dry_run"`
}

type eraseAnswer struct {
	DryRun    bool              `json:"dry_run"`
	Exchanges int               `json:"exchanges"` // parts of them among them
	Rows      map[string]uint64 `json:"rows"`      // by table
	Payloads  erasedPayloads    `json:"payloads"`
}

type erasedPayloads struct {
	Entries          int   `json:"entries"`
	Bytes            int64 `json:"bytes"`
	ObjectsDeleted   int   `json:"objects_deleted"`
	ObjectsRewritten int   `json:"objects_rewritten"`
	// Missing are payloads that were said to be kept and are not in the bucket.
	Missing int `json:"missing"`
	// OnTheirWay are those of them that may still come: an order waits for them.
	OnTheirWay int `json:"on_their_way"`
}

// order reads what is to be erased; text is how the audit says it.
func (b *eraseRequest) order(scope pulsestore.Scope) (o pulsestore.EraseOrder, text string, err error) {
	o.Scope = scope
	bad := func(detail string) (pulsestore.EraseOrder, string, error) {
		return o, "", fail(http.StatusBadRequest, "bad_body", detail)
	}
	kinds := 0
	if b.TraceID != "" {
		kinds++
		if o.Trace, err = parseTraceID(b.TraceID); err != nil {
			return o, "", err
		}
		text = "trace " + b.TraceID
		if b.SpanID != "" {
			if o.Span, err = parseSpanID(b.SpanID); err != nil {
				return o, "", err
			}
			text += " span " + b.SpanID
		}
		if o.Trace == [16]byte{} {
			return bad("`trace_id` is zero")
		}
	} else if b.SpanID != "" {
		return bad("`span_id` needs `trace_id`")
	}
	if b.ConnectionID != "" {
		kinds++
		if o.Connection, err = strconv.ParseUint(b.ConnectionID, 16, 64); err != nil || len(b.ConnectionID) != 16 || o.Connection == 0 {
			return bad("`connection_id` is not 16 hex digits")
		}
		text = "connection " + b.ConnectionID
	}
	if b.From != "" || b.To != "" {
		kinds++
		var errs [2]error
		o.From, errs[0] = time.Parse(time.RFC3339Nano, b.From)
		o.To, errs[1] = time.Parse(time.RFC3339Nano, b.To)
		if errors.Join(errs[:]...) != nil || !o.From.Before(o.To) || o.From.Year() < 1970 || o.To.Year() > 2200 {
			return bad("`from` and `to` are not two times such as 2026-11-24T06:00:00Z, the first one earlier")
		}
		text = "from " + timeText(o.From) + " to " + timeText(o.To)
	}
	if kinds != 1 {
		return bad("give one of `trace_id` (with `span_id` for one exchange), `connection_id`, and `from` with `to`")
	}
	return o, text, nil
}

// postErase erases rows and payloads, or says what it would erase. It is written down before and after.
func (a *api) postErase(q *question) (any, error) {
	var body eraseRequest
	if err := decodeBody(q.Request, &body); err != nil {
		return nil, err
	}
	order, text, err := body.order(q.scope)
	if err != nil {
		return nil, err
	}
	answer := eraseAnswer{DryRun: body.DryRun == nil || *body.DryRun}
	event := pulsestore.AuditEvent{
		Actor: q.caller, Role: string(eraseData), Action: eraseAction, Environment: a.environment, TraceID: order.Trace, SpanID: order.Span, Detail: text,
	}
	if from, err := netip.ParseAddr(remoteHost(q.Request)); err == nil {
		event.Address = from
	}
	if answer.DryRun {
		err = a.erase(q.Context(), order, &answer)
		return answer, cmp.Or(a.auditErase(q.Context(), event, "dry_run", &answer, err), err)
	}
	// What cannot be written down does not happen.
	if err := a.auditErase(q.Context(), event, "allowed", nil, nil); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(q.Context()), eraseTimeout)
	defer cancel()
	err = a.erase(ctx, order, &answer)
	if failed := a.auditErase(ctx, event, "done", &answer, err); failed != nil {
		a.log.Error("cannot write the result of an erasure to the audit", zap.Error(failed))
		err = cmp.Or(err, failed)
	}
	return answer, err
}

// auditErase writes an order down, or its result.
func (a *api) auditErase(ctx context.Context, e pulsestore.AuditEvent, outcome string, answer *eraseAnswer, failed error) error {
	e.Time, e.Outcome = a.now(), outcome
	if answer != nil {
		e.Count = uint64(answer.Exchanges)
		e.Detail += fmt.Sprintf(": %d exchanges; %d payloads of %d bytes, %d objects deleted, %d rewritten, %d payloads missing; rows:",
			answer.Exchanges, answer.Payloads.Entries, answer.Payloads.Bytes, answer.Payloads.ObjectsDeleted, answer.Payloads.ObjectsRewritten, answer.Payloads.Missing)
		for _, table := range slices.Sorted(maps.Keys(answer.Rows)) {
			e.Detail += fmt.Sprintf(" %s %d", table, answer.Rows[table])
		}
	}
	if failed != nil {
		e.Outcome, e.Reason = "failed", "failed"
		var p *problem
		if errors.As(failed, &p) {
			e.Reason = p.Code
		}
	}
	_, _ = rand.Read(e.ID[:]) // never fails, by its contract
	a.audit.Info("erase", zap.String("who", e.Actor), zap.String("from", e.Address.String()), zap.String("outcome", e.Outcome), zap.String("reason", e.Reason), zap.String("what", e.Detail))
	return a.query(ctx, func(ctx context.Context) error { return a.reader.Audit(ctx, e) })
}

// erase erases payloads, then rows: as long as a row is there, the same order finds what it is about.
func (a *api) erase(ctx context.Context, order pulsestore.EraseOrder, answer *eraseAnswer) error {
	doomed, err := a.reader.Doomed(ctx, order)
	if errors.Is(err, pulsestore.ErrManyErase) {
		return fail(http.StatusUnprocessableEntity, "query_too_large", "this concerns "+err.Error()+": take a shorter time, and the next one after it")
	}
	if err != nil {
		return err
	}
	tasks, spans := eraseTasks(doomed)
	answer.Exchanges, answer.Rows = spans, map[string]uint64{}
	if len(tasks) > 0 {
		if a.eraser == nil {
			return fail(http.StatusConflict, "no_eraser", "these exchanges have payloads in the bucket, which Pulse itself cannot change: name an extension that may, such as qpoint_erase, by `eraser`")
		}
		// First without doing it: an order that would leave something is not begun.
		would, err := a.eraser.Erase(ctx, tasks, true)
		if err != nil {
			return a.eraserFailed(err)
		}
		a.missing(doomed, would, &answer.Payloads)
		if answer.DryRun {
			answer.Payloads.add(would)
		} else {
			if n := answer.Payloads.OnTheirWay; n > 0 {
				return fail(http.StatusConflict, "payload_pending", fmt.Sprintf("%d payloads are on their way to the bucket and would come there later: give the order again in a minute, or one that ends earlier", n))
			}
			done, err := a.eraser.Erase(ctx, tasks, false)
			answer.Payloads.add(done)
			if noted := a.noteErased(ctx, done); err == nil {
				err = noted
			} else {
				err = a.eraserFailed(err)
			}
			if err != nil {
				return err
			}
		}
	}
	answer.Rows, err = a.reader.EraseRows(ctx, order, doomed, answer.DryRun)
	return err
}

func (a *api) eraserFailed(err error) error {
	a.log.Error("cannot erase in the bucket", zap.Error(err))
	return fail(http.StatusBadGateway, "eraser_failed", "the bucket was not changed, or not wholly: see the collector's log, and give the order again")
}

func (p *erasedPayloads) add(results []erasure.Result) {
	for _, r := range results {
		p.Entries += r.Entries
		p.Bytes += r.Bytes
		if r.Deleted {
			p.ObjectsDeleted++
		} else {
			p.ObjectsRewritten++
		}
	}
}

// eraseTasks sorts what is doomed by segment, and counts exchanges.
func eraseTasks(doomed []pulsestore.Doomed) (tasks []erasure.Task, spans int) {
	type exchange struct {
		trace [16]byte
		span  [8]byte
	}
	seen := map[exchange]bool{}
	at := map[pulsestore.ObjectID]int{}
	for _, d := range doomed {
		seen[exchange{d.Trace, d.Span}] = true
		if objectkey.Validate(d.PayloadObject) != nil {
			continue
		}
		id := pulsestore.ObjectID{Environment: d.Environment, Key: objectkey.Segment(d.PayloadObject)}
		i, ok := at[id]
		if !ok {
			i = len(tasks)
			at[id] = i
			tasks = append(tasks, erasure.Task{Environment: id.Environment, Key: id.Key})
		}
		if !slices.Contains(tasks[i].Spans, d.Span) {
			tasks[i].Spans = append(tasks[i].Spans, d.Span)
		}
	}
	return tasks, len(seen)
}

// missing counts what of the doomed should be in the bucket, and is not. A segment may be there in part.
func (a *api) missing(doomed []pulsestore.Doomed, results []erasure.Result, p *erasedPayloads) {
	type place struct {
		environment, segment string
		span                 [8]byte
	}
	found := map[place]bool{}
	for _, r := range results {
		for _, span := range r.Spans {
			found[place{r.Environment, objectkey.Segment(r.Key), span}] = true
		}
	}
	for _, d := range doomed {
		segment := objectkey.Segment(d.PayloadObject)
		if !awaitsReceipt(d.PayloadState) || found[place{d.Environment, segment, d.Span}] ||
			found[place{d.Environment, objectkey.WithClass(segment, objectkey.DefaultClass), d.Span}] {
			continue
		}
		p.Missing++
		if a.now().Sub(d.Time) < erasure.OnItsWay {
			p.OnTheirWay++
		}
	}
}

// noteErased writes down what has become of objects, so that a receipt says what is there now.
func (a *api) noteErased(ctx context.Context, done []erasure.Result) error {
	for batch := range slices.Chunk(done, maxLimit) {
		keys := make([]string, len(batch))
		for i, r := range batch {
			keys[i] = r.Key
		}
		was, err := a.reader.PayloadObjects(ctx, pulsestore.OnlyEnvironment(a.environment), keys)
		if err != nil {
			return err
		}
		var now []pulsestore.PayloadObject
		for _, r := range batch {
			o := was[pulsestore.ObjectID{Environment: r.Environment, Key: r.Key}]
			if o.Opened.IsZero() {
				o.Opened = objectkey.Opened(r.Key)
			}
			o.Environment, o.Key, o.RetentionClass = r.Environment, r.Key, objectkey.Class(r.Key)
			o.Time, o.State, o.Reason, o.Entries, o.Size, o.SHA256 = a.now(), "stored", "", uint32(r.Left), uint64(r.Size), r.SHA256
			o.Expires = time.Time{} // what was written anew stays longer: a bucket counts from then
			if r.Deleted {
				o.State, o.Reason, o.Size, o.SHA256 = payloadErased, "asked", 0, [32]byte{}
			}
			now = append(now, o)
		}
		if err := a.reader.PutObjects(ctx, now...); err != nil {
			return err
		}
	}
	return nil
}
