// SPDX-License-Identifier: Apache-2.0

// Package filestorageextension is the `file_storage` extension of the collector's contributors, with the same type, keys and files. A queue
// before it loses nothing that it has taken when its disk is full.
package filestorageextension

import (
	"context"

	"github.com/open-telemetry/opentelemetry-collector-contrib/extension/storage/filestorage"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/extension"
	"go.opentelemetry.io/collector/extension/xextension/storage"
	"go.uber.org/zap"
)

var inner = filestorage.NewFactory()

// NewFactory returns the factory of the `file_storage` extension.
func NewFactory() extension.Factory {
	return extension.NewFactory(inner.Type(), inner.CreateDefaultConfig, create, inner.Stability())
}

func create(ctx context.Context, set extension.Settings, cfg component.Config) (extension.Extension, error) {
	e, err := inner.Create(ctx, set, cfg)
	if err != nil {
		return nil, err
	}
	return &files{e.(storage.Extension), set.Logger}, nil
}

// files is the extension.
type files struct {
	storage.Extension
	logger *zap.Logger
}

// GetClient implements storage.Extension.
func (f *files) GetClient(ctx context.Context, kind component.Kind, id component.ID, name string) (storage.Client, error) {
	c, err := f.Extension.GetClient(ctx, kind, id, name)
	if err != nil {
		return nil, err
	}
	return newClient(c, f.logger), nil
}
