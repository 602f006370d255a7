// SPDX-License-Identifier: Apache-2.0

package locals3extension

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

func TestMain(m *testing.M) {
	testkit.Main(m,
		// fasthttp's pool looks for idle workers every 10 s and sees only then that it was stopped.
		// It holds nothing but its own memory and ends by itself.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// One per process, started by the first server, for ever: the clock of the Date header.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.updateServerDate.func1"))
}
