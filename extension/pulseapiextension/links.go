// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectkey"
	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// linkLifetime is how long a payload link works. A link cannot be revoked, so it is short.
const linkLifetime = 60 * time.Second

// signer makes links that let their bearer read one object. It cannot read one itself: it holds
// a signer and no client.
type signer struct {
	// settings is asked for every link, because a bucket's extension may change its credentials.
	settings func() s3settings.Settings
	prefix   string
	base     *url.URL // of the bucket
	// byBrowser: there are no credentials here. Whoever looks signs with their own, in the page.
	byBrowser bool
}

func newSigner(settings func() s3settings.Settings, prefix string) (*signer, error) {
	s := settings()
	if s.Bucket == "" {
		return nil, errors.New("the bucket that `storage` or `s3` names has no name: payload links cannot be signed")
	}
	base, err := bucketURL(s)
	if err != nil {
		return nil, err
	}
	return &signer{settings: settings, prefix: prefix, base: base, byBrowser: s.AccessKey == "" && s.SecretKey == ""}, nil
}

func bucketURL(s s3settings.Settings) (*url.URL, error) {
	endpoint := s.Endpoint
	if endpoint == "" {
		endpoint = "https://s3." + s.Region + ".amazonaws.com"
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("the endpoint of the bucket is not a URL: %q", endpoint)
	}
	u.Path = "/"
	if s.PathStyle {
		u.Path += s.Bucket + "/"
	} else {
		u.Host = s.Bucket + "." + u.Host
	}
	return u, nil
}

// origin is what the page may connect to beside itself; "" without a bucket.
func (s *signer) origin() string {
	if s == nil {
		return ""
	}
	return s.base.Scheme + "://" + s.base.Host
}

func (s *signer) bucket() string { return s.settings().Bucket }

// place is where a payload lies.
type place struct {
	// environment is that of the row which names the object: what it can name lies below it.
	environment string
	key         string // of the object, without prefix and environment
	bytes       extent // those of one exchange; of the whole object when it is nothing
}

// extent is a range of the bytes of an object.
type extent struct{ offset, length uint64 }

// header is the extent as the field Range has it, "" for nothing.
func (e extent) header() string {
	if e.length == 0 {
		return ""
	}
	return fmt.Sprintf("bytes=%d-%d", e.offset, e.offset+e.length-1)
}

// cut divides an extent after n bytes.
func (e extent) cut(n uint64) (first, rest extent) {
	if n == 0 || e.length <= n {
		return e, extent{}
	}
	return extent{e.offset, n}, extent{e.offset + n, e.length - n}
}

// object is the whole name of the object in the bucket.
func (s *signer) object(at place) string { return objectkey.InBucket(s.prefix, at.environment, at.key) }

// link signs a GET of a place: of these bytes and no others.
func (s *signer) link(ctx context.Context, at place, now time.Time) (string, error) {
	set := s.settings()
	u := *s.base
	u.Path += s.object(at)
	u.RawPath = escapePath(u.Path)
	u.RawQuery = url.Values{"X-Amz-Expires": {strconv.Itoa(int(linkLifetime / time.Second))}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return "", err
	}
	if at.bytes.length > 0 {
		r.Header.Set("Range", at.bytes.header()) // becomes a signed header: another range has another signature
	}
	// In the query, not in headers: a request without headers of its own but a range needs no CORS preflight.
	signed, _, err := v4.NewSigner().PresignHTTP(ctx,
		aws.Credentials{AccessKeyID: string(set.AccessKey), SecretAccessKey: string(set.SecretKey)},
		r, "UNSIGNED-PAYLOAD", "s3", set.Region, now,
		func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	return signed, err
}

// escapePath escapes as S3 signatures want it: everything but unreserved characters and '/'
// (net/url leaves more as it is, and the signature would not match).
func escapePath(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~/", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

type linkRequest struct {
	TraceID string `json:"trace_id"`
	SpanID  string `json:"span_id"`
	// Purpose is view, export for who takes the payload away as it is, or verify for who compares the object with its receipt.
	Purpose string `json:"purpose"`
	// Head is how many bytes the first link may be for; the answer then has a second one for the rest.
	Head uint64 `json:"head"`
}

type linkAnswer struct {
	rangeLink
	ExpiresAt string `json:"expires_at"`
	Bucket    string `json:"bucket"`
	Key       string `json:"key"` // with prefix and environment
	Entry     string `json:"entry"`
	// Offset and Length are those of the entry in the object, by its receipt.
	Offset uint64 `json:"offset,omitempty"`
	Length uint64 `json:"length,omitempty"`
	// Rest is the link for what is behind Head bytes.
	Rest *rangeLink `json:"rest,omitempty"`
	// Endpoint and Region are what a browser signs with that has its own credentials. There is no URL then.
	Endpoint string `json:"endpoint,omitempty"`
	Region   string `json:"region,omitempty"`
}

type rangeLink struct {
	URL string `json:"url,omitempty"`
	// Range has to be sent as it is, when there is one: the link is for these bytes only, of one entry of the ZIP.
	Range string `json:"range,omitempty"`
}

// postPayloadLink gives out a link to the payload of one exchange. The caller names the exchange
// and never a key; the audit line is written before the link leaves.
func (a *api) postPayloadLink(q *question) (any, error) {
	var body linkRequest
	if err := decodeBody(q.Request, &body); err != nil {
		return nil, err
	}
	needs := readPayload
	switch body.Purpose {
	case "", "view":
		body.Purpose = "view"
	case "export":
		needs = exportPayload
	case "verify":
	default:
		return nil, fail(http.StatusBadRequest, "bad_body", "`purpose` is none of view, export and verify")
	}
	trace, err := parseTraceID(body.TraceID)
	if err != nil {
		return nil, err
	}
	span, err := parseSpanID(body.SpanID)
	if err != nil {
		return nil, err
	}
	scope, err := a.scope(q.may, needs)
	if err != nil {
		return nil, a.refused(q, body, trace, span, "forbidden", err)
	}
	row, at, reason, err := a.payloadPlace(q.Context(), scope, trace, span)
	if err != nil {
		return nil, a.refused(q, body, trace, span, reason, err)
	}
	if body.Purpose == "verify" {
		if scope.Bound() != nil {
			return nil, a.refused(q, body, trace, span, "forbidden", fail(http.StatusForbidden, "forbidden",
				"the object holds requests of others too, and your roles are bound by a filter: the whole object is not for you"))
		}
		at.bytes = extent{}
	}
	answer, err := a.signer.answer(q.Context(), at, body.Head, a.now())
	if err != nil {
		return nil, a.refused(q, body, trace, span, "signer", fmt.Errorf("cannot sign a payload link: %w", err))
	}
	answer.Entry = body.SpanID + ".har"
	// What cannot be written down does not happen.
	if err := a.auditLink(q, body, pulsestore.AuditEvent{TraceID: trace, SpanID: span, Environment: row.Environment, Outcome: "allowed", Count: 1}); err != nil {
		return nil, err
	}
	return answer, nil
}

// answer has the links for a place, or where it is for who signs in the page.
func (s *signer) answer(ctx context.Context, at place, head uint64, now time.Time) (linkAnswer, error) {
	first, rest := at.bytes.cut(head)
	answer := linkAnswer{
		rangeLink: rangeLink{Range: first.header()}, ExpiresAt: timeText(now.Add(linkLifetime)),
		Bucket: s.bucket(), Key: s.object(at), Offset: at.bytes.offset, Length: at.bytes.length,
	}
	if rest.length > 0 {
		answer.Rest = &rangeLink{Range: rest.header()}
	}
	if s.byBrowser {
		answer.Endpoint, answer.Region = s.base.String(), s.settings().Region
		return answer, nil
	}
	var err error
	if answer.URL, err = s.link(ctx, place{at.environment, at.key, first}, now); err == nil && answer.Rest != nil {
		answer.Rest.URL, err = s.link(ctx, place{at.environment, at.key, rest}, now)
	}
	return answer, err
}

// refused writes down that a link was not given out, as well as that can be done, and returns why it was not.
func (a *api) refused(q *question, body linkRequest, trace [16]byte, span [8]byte, reason string, why error) error {
	outcome := "refused"
	var p *problem
	if !errors.As(why, &p) || p.Status >= http.StatusInternalServerError {
		outcome = "failed"
	}
	event := pulsestore.AuditEvent{TraceID: trace, SpanID: span, Environment: a.environment, Outcome: outcome, Reason: reason}
	if err := a.auditLink(q, body, event); err != nil {
		a.log.Error("cannot write to the audit", zap.Error(err))
	}
	return why
}

// payloadPlace returns the row of an exchange and where its payload lies, or why there is none.
func (a *api) payloadPlace(ctx context.Context, scope pulsestore.Scope, trace [16]byte, span [8]byte) (row *pulsestore.Request, at place, reason string, err error) {
	row, objects, err := a.request(ctx, scope, trace, span)
	var entries []pulsestore.PayloadEntry
	if err == nil {
		err = a.query(ctx, func(ctx context.Context) error {
			entries, err = a.reader.PayloadEntries(ctx, pulsestore.OnlyEnvironment(row.Environment), trace, span)
			return err
		})
	}
	if err != nil {
		reason = "store_unavailable"
		var p *problem
		if errors.As(err, &p) {
			reason = p.Code
		}
		return nil, at, reason, err
	}
	at = place{environment: row.Environment, key: row.PayloadObject}
	if len(entries) > 0 { // the receipt knows best: a segment may have been stored in parts
		e := entries[len(entries)-1]
		at.key, at.bytes = e.Key, extent{e.Offset, e.Length}
	}
	state, reason := payloadState(row, objects, a.now())
	kept := state == semantic.PayloadSent || state == semantic.PayloadPending || state == semantic.PayloadTruncated ||
		// Without a receipt nobody knows; the bucket does.
		state == semantic.PayloadLost && reason == reasonNoReceipt
	switch {
	case a.signer == nil:
		return nil, at, "no_bucket", fail(http.StatusNotFound, "no_bucket", "this Pulse knows no bucket: set `storage` or `s3` of `pulse_api`")
	case !kept || at.key == "":
		p := fail(http.StatusNotFound, "payload_"+nonEmpty(state, "none"), "the payload of this request is not in the bucket")
		p.Reason = reason
		return nil, at, p.Code, p
	case objectkey.Validate(at.key) != nil || !semantic.ValidEnvironment(at.environment):
		// Rows come from other hosts: what is not shaped as our keys is never signed.
		return nil, at, "bad_key", fail(http.StatusNotFound, "bad_key", "the stored object key is not one that qpoint_s3 writes")
	case at.bytes.length == 0:
		// The object holds other exchanges too: a link for one never reads its neighbour.
		return nil, at, reasonNoReceipt, fail(http.StatusNotFound, reasonNoReceipt,
			"no receipt says yet which bytes of the object are this request's: receipts come from the qpoint_s3 connector, not from the exporter")
	}
	return row, at, "", nil
}

func nonEmpty(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// auditLink writes down who asked for which payload and what came of it. No key: with it and a leaked audit, nobody should
// find the object faster.
func (a *api) auditLink(q *question, body linkRequest, e pulsestore.AuditEvent) error {
	e.Time, e.Actor, e.Action, e.Role = a.now(), q.caller, "payload.link", string(readPayload)
	switch body.Purpose {
	case "export":
		e.Action, e.Role = "payload.export", string(exportPayload)
	case "verify":
		e.Action = "payload.verify"
	}
	_, _ = rand.Read(e.ID[:]) // never fails, by its contract
	if from, err := netip.ParseAddr(remoteHost(q.Request)); err == nil {
		e.Address = from
	}
	a.audit.Info("payload link", zap.String("who", e.Actor), zap.String("from", q.RemoteAddr), zap.String("action", e.Action),
		zap.String("trace_id", body.TraceID), zap.String("span_id", body.SpanID), zap.String("result", e.Outcome), zap.String("reason", e.Reason))
	a.links.Add(q.Context(), 1, metric.WithAttributes(attribute.String("result", e.Outcome)))
	return a.query(q.Context(), func(ctx context.Context) error { return a.reader.Audit(ctx, e) })
}
