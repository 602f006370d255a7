// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) {
	testkit.Main(m,
		// local_s3 runs on fasthttp, whose pool looks for idle workers every 10 s and sees only then
		// that it was stopped, and whose clock runs for ever, once per process.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
