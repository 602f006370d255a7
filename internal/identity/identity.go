// SPDX-License-Identifier: Apache-2.0

// Package identity is what an authenticator knows of who sends telemetry. `pulse_tokens` puts a
// Sender into the request's client.Info; `anonymize` takes the environment from it and nowhere else.
package identity

import (
	"context"
	"time"

	"go.opentelemetry.io/collector/client"
	"golang.org/x/time/rate"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// TokenName is the attribute of Sender that names the token, never the token itself.
const TokenName = "qpoint.token"

// Sender is the authenticated sender of a request. It may write telemetry of its environment and
// nothing else: whoever serves reads refuses it.
type Sender struct {
	// Environment is the one that everything it sends belongs to.
	Environment string
	// Token is the name of the token it has shown.
	Token string
	// Quota is shared by all senders of the environment. Nil is none.
	Quota *rate.Limiter
}

var _ client.AuthData = (*Sender)(nil)

// GetAttribute implements client.AuthData: strings, or nil for an attribute it does not have.
func (s *Sender) GetAttribute(name string) any {
	switch name {
	case semantic.Environment:
		return s.Environment
	case TokenName:
		return s.Token
	}
	return nil
}

// GetAttributeNames implements client.AuthData.
func (*Sender) GetAttributeNames() []string { return []string{semantic.Environment, TokenName} }

// WriteOnly is implemented by an authenticator whose tokens write telemetry and read nothing. What serves
// reads refuses to start with one.
type WriteOnly interface{ WriteOnly() }

// FromContext returns the sender of a request, or nil when no authenticator has put one there.
func FromContext(ctx context.Context) *Sender {
	s, _ := client.FromContext(ctx).Auth.(*Sender)
	return s
}

// Admit takes items (spans, log records) out of the quota. When there is not enough left it takes
// nothing and returns how long to wait. A batch above the quota's burst passes once the burst is
// there, since it could never pass otherwise, and is charged whole: what comes after it waits for the rest too.
func (s *Sender) Admit(now time.Time, items int) (wait time.Duration) {
	if s.Quota == nil || items == 0 {
		return 0
	}
	burst := max(1, s.Quota.Burst())
	r := s.Quota.ReserveN(now, min(items, burst))
	wait = r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
		return wait
	}
	for rest := items - burst; rest > 0; rest -= burst {
		s.Quota.ReserveN(now, min(rest, burst))
	}
	return 0
}
