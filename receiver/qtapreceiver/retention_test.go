// SPDX-License-Identifier: Apache-2.0

package qtapreceiver

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer/consumertest"

	"github.com/qpoint-io/otelcol-qpoint/internal/retention"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/rules"
)

// TestUndeclaredClassInAnyOrder: the collector starts `qtap` before or after who stores payloads; who names a class that is not
// declared is told in both cases.
func TestUndeclaredClassInAnyOrder(t *testing.T) {
	for _, first := range []string{"qtap", "qtap_payload"} {
		t.Run(first+" starts first", func(t *testing.T) {
			ctx := context.Background()
			set := settings(metadata.Type, "classes-"+first)
			cfg := createDefaultConfig()
			cfg.Rules = []rules.Config{{Match: "true", RetentionClass: "short"}, {Match: "true", RetentionClass: "shrot"}}
			lg, err := newFactory(newScripted().open).CreateLogs(ctx, set, cfg, new(consumertest.LogsSink))
			require.NoError(t, err)
			pcfg := createDefaultPayloadConfig()
			pcfg.Receiver = set.ID
			pl, err := NewPayloadFactory().CreateLogs(ctx, settings(metadata.PayloadType, ""), pcfg, new(consumertest.LogsSink))
			require.NoError(t, err)
			var started []component.Component
			start := func(c component.Component) error {
				started = append(started, c)
				return c.Start(ctx, guardedHost())
			}
			if first == "qtap" {
				require.NoError(t, start(lg))
				defer retention.Declare(retention.Classes{"short": time.Hour})()
				err = start(pl)
			} else {
				defer retention.Declare(retention.Classes{"short": time.Hour})()
				require.NoError(t, start(pl))
				err = start(lg)
			}
			require.ErrorContains(t, err, "rule 2 of `rules`: `retention_class: shrot` is not among `retention_classes` of qpoint_s3: declare it there, or name one of default, short")
			for _, c := range started {
				require.NoError(t, c.Shutdown(ctx))
			}
		})
	}
}
