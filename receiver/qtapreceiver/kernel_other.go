// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package qtapreceiver

import (
	"errors"
	"runtime"

	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func openKernel(*Config, *zap.Logger) (event.Source, []zap.Field, error) {
	return nil, nil, errors.New("capturing needs Linux with eBPF, this is " + runtime.GOOS + ": remove the receiver from the pipelines")
}
