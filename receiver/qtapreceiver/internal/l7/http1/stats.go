// SPDX-License-Identifier: Apache-2.0

package http1

import "sync/atomic"

// Skip says why bytes belong to no exchange.
type Skip uint8

const (
	// SkipEmptyLine are line ends before a start line.
	SkipEmptyLine Skip = iota
	// SkipJoin are bytes before the direction's first readable message: the connection was joined in the middle.
	SkipJoin
	// SkipResync are bytes between a gap, or bytes that were not HTTP/1, and the next sure start.
	SkipResync
	// SkipUnmatched are responses that belong to no known request.
	SkipUnmatched
	// SkipTunnel are bytes after a switch of protocols; they may have had another reader.
	SkipTunnel

	numSkip
)

// String is the metric label of s.
func (s Skip) String() string {
	return [numSkip]string{"empty_line", "join", "resync", "unmatched_response", "tunnel"}[s]
}

// Stats counts what parsers did and what they gave up. Two identities hold for the sum of all
// parsers that share it:
//
//	Requests = Exchanges + Σ Parser.Pending
//	BytesIn  = BytesMessage + Σ Skipped + bytes held for reassembly (0 after Close)
type Stats struct {
	// Requests whose start line was read, Exchanges that were emitted, and of those the Incomplete ones.
	Requests, Exchanges, Incomplete atomic.Uint64
	// Unmatched is the number of final responses that belong to no known request.
	Unmatched atomic.Uint64
	// Desyncs is how often pairing stopped being certain, Resyncs how often it became so again.
	Desyncs, Resyncs atomic.Uint64
	// Tunnels is the number of switches of protocol.
	Tunnels atomic.Uint64
	// Gaps and the bytes in them whose number was known.
	Gaps, BytesMissing atomic.Uint64
	// BytesIn were given to Data. BytesMessage are those in messages of exchanges, framing included;
	// BytesCut is the content in them that was not kept.
	BytesIn, BytesMessage, BytesCut atomic.Uint64
	// Skipped are the other bytes, by reason.
	Skipped [numSkip]atomic.Uint64
}

func (s *Stats) skip(why Skip, n int) {
	if n > 0 {
		s.Skipped[why].Add(uint64(n))
	}
}

func (h *half) skipReason() Skip {
	if h.seen {
		return SkipResync
	}
	return SkipJoin
}

// took accounts for n bytes of the message in progress.
func (p *Parser) took(h *half, n int) {
	if h.x == nil {
		p.stats.skip(SkipUnmatched, n)
		return
	}
	p.stats.BytesMessage.Add(uint64(n))
}
