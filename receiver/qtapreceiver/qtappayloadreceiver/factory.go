// SPDX-License-Identifier: Apache-2.0

// Package qtappayloadreceiver is where ocb finds the factory of `qtap_payload`: a manifest
// names one factory per import path.
package qtappayloadreceiver // import "github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/qtappayloadreceiver"

import (
	"go.opentelemetry.io/collector/receiver"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver"
)

// NewFactory returns the factory of `qtap_payload`.
func NewFactory() receiver.Factory { return qtapreceiver.NewPayloadFactory() }
