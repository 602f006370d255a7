// SPDX-License-Identifier: Apache-2.0

// Package qpoints3connector is where ocb finds the factory of the `qpoint_s3` connector: a manifest
// names one factory per import path.
package qpoints3connector // import "github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter/qpoints3connector"

import (
	"go.opentelemetry.io/collector/connector"

	"github.com/qpoint-io/otelcol-qpoint/exporter/qpoints3exporter"
)

// NewFactory returns the factory of the `qpoint_s3` connector.
func NewFactory() connector.Factory { return qpoints3exporter.NewConnectorFactory() }
