// SPDX-License-Identifier: Apache-2.0

package identity

import "time"

// Token is what may be told of a token: neither the token nor its hash.
type Token struct {
	Environment string
	Name        string
	Created     time.Time // zero: nobody wrote it down
	LastUsed    time.Time // zero: not since the collector started
	NotAfter    time.Time // zero: valid until it is taken away
}

// Tokens is implemented by an authenticator that can tell which tokens it accepts, or did until they expired.
type Tokens interface{ Tokens() []Token }
