// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package localclickhouseextension

import (
	"context"
	"errors"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
)

type unsupported struct{ component.ShutdownFunc }

func newExtension(extension.Settings, *Config) extension.Extension { return unsupported{} }

func (unsupported) Start(context.Context, component.Host) error {
	return errors.New("`local_clickhouse` works on Linux only: use `endpoint` of a ClickHouse server instead")
}
