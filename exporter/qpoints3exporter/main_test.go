// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) {
	testkit.Main(m,
		// The S3 server of the tests: see the same list in extension/locals3extension.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
