// SPDX-License-Identifier: Apache-2.0

package qpointeraseextension

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) {
	testkit.Main(m,
		// Of the S3 server that the tests run against, see locals3extension.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
