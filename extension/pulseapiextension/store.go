// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"errors"
	"io"

	"go.opentelemetry.io/collector/component"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

func (e *apiExtension) openStore(context.Context, component.Host) (pulsestore.Reader, io.Closer, error) {
	return nil, nil, errors.New("not wired yet")
}
