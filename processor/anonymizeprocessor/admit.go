// SPDX-License-Identifier: Apache-2.0

package anonymizeprocessor

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/qpoint-io/otelcol-qpoint/internal/identity"
)

// errNoIdentity is final for the sender (HTTP 401): sending again changes nothing.
var errNoIdentity = status.Error(codes.Unauthenticated,
	"the request has no identity to take the environment from: the receiver needs `auth::authenticator: pulse_tokens`")

// admit returns the environment that a batch of so many items belongs to. It comes before any work on the
// batch, and before any queue: a refused batch is the sender's still, who is told so.
func (a *anonymizer) admit(ctx context.Context, items int) (string, error) {
	if a.environment != "" {
		return a.environment, nil
	}
	sender := identity.FromContext(ctx)
	if sender == nil {
		a.telemetry.refuse(ctx, refusedNoIdentity, items)
		return "", errNoIdentity
	}
	if wait := sender.Admit(time.Now(), items); wait > 0 {
		a.telemetry.refuse(ctx, refusedQuota, items)
		return "", overQuota(wait)
	}
	return sender.Environment, nil
}

// overQuota tells the sender when to try again: OTLP retries RESOURCE_EXHAUSTED (HTTP 429) only with a delay.
func overQuota(wait time.Duration) error {
	// HTTP's Retry-After has whole seconds.
	wait = max(wait.Round(time.Second), time.Second)
	s, err := status.New(codes.ResourceExhausted, fmt.Sprintf("the environment's `items_per_second` is used up: send again in %s", wait)).
		WithDetails(&errdetails.RetryInfo{RetryDelay: durationpb.New(wait)})
	if err != nil {
		return status.Error(codes.Unavailable, "the environment's `items_per_second` is used up")
	}
	return s.Err()
}
