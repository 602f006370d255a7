// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"testing"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) { testkit.Main(m) }
