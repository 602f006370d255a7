// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"bytes"
	"cmp"
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// rows is a pulsestore.Reader over slices. It lets a test put any state before the API without an
// engine; TestBrowser runs on the real store.
type rows struct {
	pulsestore.Reader // nil: what a test does not put there is not asked
	mu                sync.Mutex
	requests          []pulsestore.Request
	connections       []pulsestore.Connection
	coverage          []pulsestore.Coverage
	findings          []pulsestore.FindingGroup
	objects           map[pulsestore.ObjectID]pulsestore.PayloadObject
	entries           map[[8]byte][]pulsestore.PayloadEntry
	audit             []pulsestore.AuditEvent
	auditErr          error
	err               error
	block             chan struct{} // when not nil, queries wait for it
	asked             []pulsestore.RequestQuery
}

func (r *rows) wait(ctx context.Context) error {
	r.mu.Lock()
	block, err := r.block, r.err
	r.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}

func (r *rows) Requests(ctx context.Context, q pulsestore.RequestQuery) ([]pulsestore.Request, *pulsestore.Cursor, error) {
	if err := r.wait(ctx); err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, q)
	sorted := slices.Clone(r.requests)
	slices.SortFunc(sorted, func(a, b pulsestore.Request) int {
		return cmp.Or(b.Time.Compare(a.Time), bytes.Compare(b.SpanID[:], a.SpanID[:]))
	})
	var out []pulsestore.Request
	for _, row := range sorted {
		switch {
		case row.Time.Before(q.From), !q.To.IsZero() && !row.Time.Before(q.To), !seen(q.Scope, row.Environment):
			continue
		case q.After != nil && (row.Time.After(q.After.Time) || row.Time.Equal(q.After.Time) && bytes.Compare(row.SpanID[:], q.After.SpanID[:]) >= 0):
			continue
		}
		if len(out) == q.Limit {
			last := out[len(out)-1]
			return out, &pulsestore.Cursor{Time: last.Time, SpanID: last.SpanID}, nil
		}
		out = append(out, row)
	}
	return out, nil, nil
}

func (r *rows) Request(ctx context.Context, scope pulsestore.Scope, trace [16]byte, span [8]byte) (*pulsestore.Request, error) {
	if err := r.wait(ctx); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, row := range r.requests {
		if row.TraceID == trace && row.SpanID == span && seen(scope, row.Environment) {
			return &row, nil
		}
	}
	return nil, nil
}

// seen is as much of a scope as a slice can tell; the filters are for the real store.
func seen(s pulsestore.Scope, environment string) bool {
	return s.Environment() == "" || s.Environment() == environment
}

func (r *rows) Connections(ctx context.Context, _ pulsestore.ConnectionQuery) ([]pulsestore.Connection, *pulsestore.ConnectionCursor, error) {
	return r.connections, nil, r.wait(ctx)
}

func (r *rows) Coverage(ctx context.Context, q pulsestore.CoverageQuery) ([]pulsestore.Coverage, error) {
	out := slices.DeleteFunc(slices.Clone(r.coverage), func(c pulsestore.Coverage) bool {
		return q.HostID != "" && c.HostID != q.HostID || q.Subject != "" && c.Subject != q.Subject
	})
	return out, r.wait(ctx)
}

func (r *rows) Findings(ctx context.Context, _ pulsestore.FindingQuery) ([]pulsestore.FindingGroup, error) {
	return r.findings, r.wait(ctx)
}

func (r *rows) PayloadObjects(ctx context.Context, _ pulsestore.Scope, keys []string) (map[pulsestore.ObjectID]pulsestore.PayloadObject, error) {
	found := map[pulsestore.ObjectID]pulsestore.PayloadObject{}
	r.mu.Lock()
	for _, k := range keys {
		for id, o := range r.objects {
			if id.Key == k {
				found[id] = o
			}
		}
	}
	r.mu.Unlock()
	return found, r.wait(ctx)
}

func (r *rows) PayloadEntries(ctx context.Context, _ pulsestore.Scope, _ [16]byte, span [8]byte) ([]pulsestore.PayloadEntry, error) {
	return r.entries[span], r.wait(ctx)
}

func (r *rows) Audit(ctx context.Context, events ...pulsestore.AuditEvent) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.auditErr != nil {
		return r.auditErr
	}
	r.audit = append(r.audit, events...)
	return nil
}

func (r *rows) Retention(ctx context.Context) (pulsestore.Retention, error) {
	return pulsestore.Retention{TTL: 24 * time.Hour, Environments: map[string]time.Duration{"kept": 0}}, r.wait(ctx)
}

func (r *rows) Ping(ctx context.Context) error { return r.wait(ctx) }

const testKey = "default/2026/11/24/07/3c7b1e/01KAV3T0QW8ZJ5V6X7Y8Z9ABCD.zip"

// fullRequest has every field set.
func fullRequest(n byte, at time.Time) pulsestore.Request {
	return pulsestore.Request{
		Time: at, TraceID: [16]byte{1, n}, SpanID: [8]byte{2, n}, ParentSpanID: [8]byte{3, n}, Kind: "client",
		Origin: pulsestore.Origin{Environment: "demo", ServiceName: "curl", HostID: "3c7b1e", HostName: "web-1", PID: 4242, Executable: "/usr/bin/curl",
			User: "app", ContainerID: "c0ffee", PodUID: "0b5c"}, ConnectionID: 0xfeedfacecafebeef, ExchangeSequence: 3,
		Method: "POST", Scheme: "https", ServerAddress: "api.example.com", ServerPort: 443,
		ClientAddress: netip.MustParseAddr("10.0.0.2"), ClientPort: 50000, PeerAddress: netip.MustParseAddr("2001:db8::1"), PeerPort: 443,
		Path: "/v1/orders/{number}", Template: "/v1/orders/{number}", Query: "page&sort", Status: 201, ErrorType: "500",
		ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "TLS_AES_128_GCM_SHA256",
		Duration: 42 * time.Millisecond, TimingSend: time.Millisecond, TimingWait: 30 * time.Millisecond, TimingReceive: 11 * time.Millisecond,
		RequestBodySize: 120, ResponseBodySize: 4096, PayloadState: "pending", PayloadObject: testKey, PayloadVisible: true,
	}
}
