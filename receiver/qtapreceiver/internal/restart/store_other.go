// SPDX-License-Identifier: Apache-2.0

//go:build !(linux && (amd64 || arm64))

package restart

import (
	"errors"
	"time"

	"go.uber.org/zap"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

// Store is not there on this system.
type Store struct{}

// Open returns an error.
func Open(string, time.Duration, *zap.Logger) (*Store, error) {
	return nil, errors.New("`tls::restart_state` needs Linux on amd64 or arm64")
}

// Load returns nil.
func (*Store) Load(event.Cookie) *Session { return nil }

// Save does nothing.
func (*Store) Save(event.Cookie, *Session, bool) bool { return false }

// Delete does nothing.
func (*Store) Delete(event.Cookie) {}

// Tick does nothing.
func (*Store) Tick() {}

// Close does nothing.
func (*Store) Close() error { return nil }
