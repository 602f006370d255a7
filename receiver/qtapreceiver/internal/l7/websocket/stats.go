// SPDX-License-Identifier: Apache-2.0

package websocket

import "sync/atomic"

// Stats counts what parsers did and what they gave up. For the sum of all parsers that share it:
//
//	BytesIn = BytesFrame + Skipped + bytes of unfinished headers (0 after Close)
type Stats struct {
	// Messages that were emitted, control frames among them, and of those the Incomplete ones.
	Messages, Incomplete atomic.Uint64
	// NotInflated are compressed messages whose context was not known. BytesInflated is what
	// inflating made of the others.
	NotInflated, BytesInflated atomic.Uint64
	// Malformed counts frames and compressed messages that cannot be; Gaps, and how often the framing
	// was found again.
	Malformed, Gaps, Resyncs atomic.Uint64
	// BytesIn were given to Data. BytesFrame are those in frames, headers included; Skipped those
	// that were passed over while the framing was lost.
	BytesIn, BytesFrame, Skipped atomic.Uint64
}
