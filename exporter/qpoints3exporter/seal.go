// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"context"
	"fmt"
	"sync"

	"filippo.io/age"
	"go.opentelemetry.io/collector/consumer/consumererror"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/qpoint-io/otelcol-qpoint/internal/archive"
	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// EncryptionConfig says who can read payloads. Without recipients they are stored in the clear.
type EncryptionConfig struct {
	// AgeRecipients are public keys of age (age1…), each of which opens every payload.
	AgeRecipients []string `mapstructure:"age_recipients"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func (c *EncryptionConfig) recipients() ([]age.Recipient, error) {
	if len(c.AgeRecipients) == 0 {
		return nil, nil
	}
	r, err := archive.ParseRecipients(c.AgeRecipients)
	if err != nil {
		return nil, fmt.Errorf("`encryption::age_recipients`: %w", err)
	}
	return r, nil
}

// sealing encrypts payloads before the exporter's queue has them: so a queue on disk holds none in the clear, and a
// segment that is sent again is the same object.
type sealing struct {
	exporter.Logs
	sealers sync.Pool
}

func seal(next exporter.Logs, recipients []age.Recipient) *sealing {
	return &sealing{Logs: next, sealers: sync.Pool{New: func() any { return archive.NewSealer(recipients) }}}
}

// ConsumeLogs encrypts the payloads in ld and hands them to the queue. What is no payload stays as it is: it is refused there.
func (s *sealing) ConsumeLogs(ctx context.Context, ld plog.Logs) error {
	sealer := s.sealers.Get().(*archive.Sealer)
	defer s.sealers.Put(sealer)
	for _, rl := range ld.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, lr := range sl.LogRecords().All() {
				if lr.EventName() != semantic.EventPayload {
					continue
				}
				if err := sealer.SealRecord(rl.Resource(), lr); err != nil {
					return consumererror.NewPermanent(err)
				}
			}
		}
	}
	return s.Logs.ConsumeLogs(ctx, ld)
}
