// SPDX-License-Identifier: Apache-2.0

package governor

import (
	"runtime/metrics"
	"time"
)

var begun = time.Now()

// Measure measures this process: the CPU time of all its threads, in user space and in the kernel, without that of
// its children; and the memory that the Go runtime has of the system, which is what GOMEMLIMIT bounds.
func Measure() Usage {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}, {Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(samples)
	return Usage{
		At: time.Since(begun), CPU: processTime(), Memory: samples[0].Value.Uint64() - samples[1].Value.Uint64(),
		Collections: samples[2].Value.Uint64(),
	}
}
