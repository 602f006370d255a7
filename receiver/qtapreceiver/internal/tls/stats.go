// SPDX-License-Identifier: Apache-2.0

package tls

import "time"

// Limits bound a Conn. A zero field takes its default.
type Limits struct {
	// MaxWaiting is how many bytes of one connection may wait, for a secret or for the other
	// direction's handshake. Default 256 KiB.
	MaxWaiting int
	// MaxTotal is how many bytes may be held by all Conns that share one Stats. Default 64 MiB.
	MaxTotal int
	// MaxWait is how long ciphertext waits for its secret. Default 5 s.
	MaxWait time.Duration
	// MaxTrialBytes is how many bytes may be put through the cipher to find the record sequence
	// after one gap, where the cipher leaves no other way. Default 32 MiB, some 20 ms.
	MaxTrialBytes int
}

func (l Limits) withDefaults() Limits {
	if l.MaxWaiting <= 0 {
		l.MaxWaiting = 256 << 10
	}
	if l.MaxTotal <= 0 {
		l.MaxTotal = 64 << 20
	}
	if l.MaxWait <= 0 {
		l.MaxWait = 5 * time.Second
	}
	if l.MaxTrialBytes <= 0 {
		l.MaxTrialBytes = 32 << 20
	}
	return l
}

// Stats are the books of all Conns that share them. Bytes are of the TCP stream. After every call:
//
//	In = Consumed + Skipped + Dropped + Buffered
//
// Buffered is 0 once every Conn is closed.
type Stats struct {
	// In counts the bytes given to Data.
	In uint64
	// Consumed bytes were records that were understood: handshake, alerts, verified ciphertext.
	Consumed uint64
	// Skipped bytes could not be used: next to a gap, or early data without a key.
	Skipped uint64
	// Dropped bytes came to connections that had been given up, or were held when that happened.
	Dropped uint64
	// Buffered bytes are held now: parts of records, and ciphertext that waits.
	Buffered uint64

	// Plaintext counts the application bytes given to the sinks, Records the verified records.
	Plaintext, Records uint64
	// Visible counts connections whose handshake was decrypted, NotVisible calls of NotVisible.
	Visible, NotVisible uint64
	// Gaps counts gaps after which decryption had to be taken up again, Resyncs the times it was,
	// TagFailures the records in sequence whose tag did not verify.
	Gaps, Resyncs, TagFailures uint64
	// TrialBytes went through a cipher only to find a record sequence.
	TrialBytes uint64
	// EarlyRejected counts 0-RTT records that the server refused to read.
	EarlyRejected uint64
}
