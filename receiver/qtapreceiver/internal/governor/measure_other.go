// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package governor

import "time"

// processTime is not needed where the receiver does not start.
func processTime() time.Duration { return 0 }
