// SPDX-License-Identifier: Apache-2.0

package http2

import "sync/atomic"

// Skip says why bytes belong to no exchange.
type Skip uint8

const (
	// SkipControl is what manages the connection: the preface, SETTINGS, PING, WINDOW_UPDATE, PRIORITY,
	// GOAWAY and unknown frames.
	SkipControl Skip = iota
	// SkipJoin are bytes before the direction's frames were found: the connection was joined in the middle.
	SkipJoin
	// SkipResync are bytes between a gap, or bytes that were not HTTP/2, and the next sure frame.
	SkipResync
	// SkipUnmatched are messages on streams that are not known, or not any more.
	SkipUnmatched
	// SkipPush are pushed promises and responses.
	SkipPush
	// SkipTunnel is what CONNECT tunnels carry, frame headers included: their own reader counts it.
	SkipTunnel

	numSkip
)

// String is the metric label of s.
func (s Skip) String() string {
	return [numSkip]string{"control", "join", "resync", "unmatched_stream", "push", "tunnel"}[s]
}

// Stats counts what parsers did and what they gave up. Two identities hold for the sum of all
// parsers that share it:
//
//	Requests = Exchanges + Σ Parser.Pending
//	BytesIn  = BytesMessage + Σ Skipped + bytes of field blocks that have not ended (0 after Close)
type Stats struct {
	// Requests that began, Exchanges that were emitted, and of those the Incomplete ones.
	Requests, Exchanges, Incomplete atomic.Uint64
	// Unmatched is the number of field blocks on streams that are not known.
	Unmatched atomic.Uint64
	// UnknownFields is the number of field lines that refer to what was not seen.
	UnknownFields atomic.Uint64
	// Pushes is the number of promised responses.
	Pushes atomic.Uint64
	// Tunnels is the number of streams that became a tunnel.
	Tunnels atomic.Uint64
	// Desyncs is how often a direction's frames were lost, Resyncs how often they were found again.
	Desyncs, Resyncs atomic.Uint64
	// Gaps and the bytes in them whose number was known.
	Gaps, BytesMissing atomic.Uint64
	// BytesIn were given to Data. BytesMessage are those in frames of exchanges, frame headers included;
	// BytesCut is the content in them that was not kept.
	BytesIn, BytesMessage, BytesCut atomic.Uint64
	// Skipped are the other bytes, by reason.
	Skipped [numSkip]atomic.Uint64
}

func (s *Stats) skip(why Skip, n int) { s.Skipped[why].Add(uint64(n)) }
