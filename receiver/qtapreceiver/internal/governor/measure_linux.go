// SPDX-License-Identifier: Apache-2.0

package governor

import (
	"time"

	"golang.org/x/sys/unix"
)

func processTime() time.Duration {
	var r unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
