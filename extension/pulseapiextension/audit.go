// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

type auditJSON struct {
	Time        string `json:"time"`
	ID          string `json:"id"`
	Environment string `json:"environment"`
	Actor       string `json:"actor"`
	Role        string `json:"role,omitempty"`
	Address     string `json:"address,omitempty"`
	Action      string `json:"action"`
	Outcome     string `json:"outcome"`
	Reason      string `json:"reason,omitempty"`
	TraceID     string `json:"trace_id,omitempty"`
	SpanID      string `json:"span_id,omitempty"`
	Detail      string `json:"detail,omitempty"`
	Count       uint64 `json:"count"`
}

type auditAnswer struct {
	Events []auditJSON `json:"events"`
}

func (a *api) getAudit(q *question) (any, error) {
	f := pulsestore.AuditFilter{Actor: q.params["actor"], Action: q.params["action"]}
	f.Scope = q.scope
	var err error
	if f.From, f.To, err = q.span(a.now()); err != nil {
		return nil, err
	}
	if f.Limit, err = q.int("limit", defaultLimit, maxLimit); err != nil {
		return nil, err
	}
	var answer auditAnswer
	answer.Events, err = view(a, q, func(ctx context.Context) ([]pulsestore.AuditEvent, error) { return a.reader.AuditEvents(ctx, f) },
		func(e *pulsestore.AuditEvent) auditJSON {
			v := auditJSON{
				Time: timeText(e.Time), ID: hex.EncodeToString(e.ID[:]), Environment: e.Environment, Actor: e.Actor, Role: e.Role, Address: addrText(e.Address),
				Action: e.Action, Outcome: e.Outcome, Reason: e.Reason, Detail: e.Detail, Count: e.Count,
			}
			if e.TraceID != [16]byte{} {
				v.TraceID, v.SpanID = hex.EncodeToString(e.TraceID[:]), hex.EncodeToString(e.SpanID[:])
			}
			return v
		})
	return answer, err
}

type policyJSON struct {
	TTL          int64            `json:"ttl_ns"` // 0 keeps rows for ever
	Environments map[string]int64 `json:"environments"`
	Tables       map[string]int64 `json:"tables"`
}

type expiryJSON struct {
	Table       string `json:"table"`
	Environment string `json:"environment"`
	TTL         int64  `json:"ttl_ns"`
	Rows        uint64 `json:"rows"`
	Bytes       uint64 `json:"bytes"`
	Oldest      string `json:"oldest"`
	Newest      string `json:"newest"`
}

type retentionAnswer struct {
	Current  policyJSON   `json:"current"`
	Asked    policyJSON   `json:"asked"`
	At       string       `json:"at"`
	Expiring []expiryJSON `json:"expiring"`
	// Objects are in the bucket. Their lifetime is that of their retention class, which is the bucket's business.
	Objects []objectExpiryJSON `json:"objects"`
}

type objectExpiryJSON struct {
	Environment    string `json:"environment"`
	RetentionClass string `json:"retention_class"`
	Objects        uint64 `json:"objects"`
	Bytes          uint64 `json:"bytes"`
	Expiring       uint64 `json:"expiring"`
	ExpiringBytes  uint64 `json:"expiring_bytes"`
	Unknown        uint64 `json:"unknown"`
	Next           string `json:"next,omitempty"`
}

// getRetention says what would go under another policy, and removes nothing.
func (a *api) getRetention(q *question) (any, error) {
	at, err := q.time("at", a.now())
	if err != nil {
		return nil, err
	}
	var answer retentionAnswer
	answer.At = timeText(at)
	var asked pulsestore.Retention
	answer.Expiring, err = view(a, q, func(ctx context.Context) ([]pulsestore.Expiry, error) {
		current, err := a.reader.Retention(ctx)
		if err != nil {
			return nil, err
		}
		answer.Current = policyView(current)
		if asked, err = q.policy(current); err != nil {
			return nil, err
		}
		answer.Asked = policyView(asked)
		return a.reader.Expiring(ctx, asked, at, q.scope)
	}, func(e *pulsestore.Expiry) expiryJSON {
		return expiryJSON{e.Table, e.Environment, int64(e.TTL), e.Rows, e.Bytes, timeText(e.Oldest), timeText(e.Newest)}
	})
	if err != nil {
		return nil, err
	}
	answer.Objects, err = view(a, q, func(ctx context.Context) ([]pulsestore.ObjectExpiry, error) {
		return a.reader.ExpiringObjects(ctx, at, q.scope)
	},
		func(e *pulsestore.ObjectExpiry) objectExpiryJSON {
			v := objectExpiryJSON{e.Environment, e.Class, e.Objects, e.Bytes, e.Expiring, e.ExpiringBytes, e.Unknown, ""}
			if !e.Next.IsZero() {
				v.Next = timeText(e.Next)
			}
			return v
		})
	return answer, err
}

// policy changes the policy as the parameters say: the general lifetime, or that of one table or one environment.
func (p params) policy(r pulsestore.Retention) (pulsestore.Retention, error) {
	text, ok := p["ttl"]
	if !ok {
		if p["table"] != "" || p["of_environment"] != "" {
			return r, badParam("ttl", "is missing: how long is it to be kept?")
		}
		return r, nil
	}
	ttl, err := parseTTL(text)
	if err != nil {
		return r, badParam("ttl", "is not a length of time such as 30d, 12h or 0")
	}
	changed := pulsestore.Retention{TTL: r.TTL, Environments: map[string]time.Duration{}, Tables: map[string]time.Duration{}}
	for name, old := range r.Environments {
		changed.Environments[name] = old
	}
	for name, old := range r.Tables {
		changed.Tables[name] = old
	}
	switch table, environment := p["table"], p["of_environment"]; {
	case table != "" && environment != "":
		return r, badParam("table", "and of_environment exclude each other")
	case table != "":
		changed.Tables[table] = ttl
	case environment != "":
		changed.Environments[environment] = ttl
	default:
		changed.TTL = ttl
	}
	if err := changed.Validate(); err != nil {
		return r, badParam("ttl", "gives no policy: "+err.Error())
	}
	return changed, nil
}

// parseTTL reads a duration, in days too.
func parseTTL(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		return time.Duration(n) * 24 * time.Hour, err
	}
	return time.ParseDuration(text)
}

func policyView(r pulsestore.Retention) policyJSON {
	nanos := func(of map[string]time.Duration) map[string]int64 {
		out := map[string]int64{}
		for name, ttl := range of {
			out[name] = int64(ttl)
		}
		return out
	}
	return policyJSON{int64(r.TTL), nanos(r.Environments), nanos(r.Tables)}
}
