// SPDX-License-Identifier: Apache-2.0

package privacyguardextension

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/extensioncapabilities"
	"go.opentelemetry.io/collector/featuregate"
	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/internal/privacy"
)

// partialReload is the feature gate under which the collector swaps receivers in place: a
// changed graph would then run without being shown to extensions.
const partialReload = "service.partialReload"

// guard checks the graph in NotifyConfigSnapshot, which the collector calls after all
// extensions and before any pipeline component has started; its error aborts the start.
type guard struct {
	logger  *zap.Logger
	checked atomic.Bool
}

var (
	_ extension.Extension                         = (*guard)(nil)
	_ extensioncapabilities.ConfigSnapshotWatcher = (*guard)(nil)
	_ privacy.Guard                               = (*guard)(nil)
)

// Start implements component.Component.
func (g *guard) Start(context.Context, component.Host) error {
	return refusePartialReload(featuregate.GlobalRegistry())
}

func refusePartialReload(gates *featuregate.Registry) (err error) {
	gates.VisitAll(func(gate *featuregate.Gate) {
		if gate.ID() == partialReload && gate.IsEnabled() {
			err = fmt.Errorf("the feature gate `%s` exchanges receivers without showing the new graph to `privacy_guard`: start without it", partialReload)
		}
	})
	return err
}

// Shutdown implements component.Component.
func (g *guard) Shutdown(context.Context) error {
	g.checked.Store(false)
	return nil
}

// NotifyConfigSnapshot implements extensioncapabilities.ConfigSnapshotWatcher.
func (g *guard) NotifyConfigSnapshot(_ context.Context, snapshot extensioncapabilities.ConfigSnapshot) error {
	g.checked.Store(false)
	conf := snapshot.Effective()
	if conf == nil {
		return errors.New("`privacy_guard` was not shown the configuration and so cannot vouch for it")
	}
	graph, err := parse(conf)
	if err != nil {
		return fmt.Errorf("`privacy_guard` cannot read the pipeline graph: %w", err)
	}
	if err := graph.check(); err != nil {
		return fmt.Errorf("`privacy_guard` refuses the pipelines: %w", err)
	}
	disk, err := payloadQueues(conf)
	if err == nil {
		err = disk.protect(func(folder string) {
			g.logger.Warn("Others on this host could read the folder in which payloads wait. Its mode is 0700 now, and that of its files 0600.", zap.String("directory", folder))
		})
	}
	if err != nil {
		return fmt.Errorf("`privacy_guard` refuses the queues: %w", err)
	}
	g.checked.Store(true)
	g.logger.Info("Pipeline graph checked: payloads end in qpoint_s3 only, metadata passes anonymize.",
		zap.Int("pipelines", len(graph.pipelines)))
	return nil
}

// GuardsPayloads implements privacy.Guard. It is true from the moment the graph was found
// safe, which is before any receiver starts, and false in a collector that never shows it.
func (g *guard) GuardsPayloads() bool { return g.checked.Load() }
