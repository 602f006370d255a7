// SPDX-License-Identifier: Apache-2.0

package pulsestore

import (
	"math"
	"time"
)

// Handshake is what the TLS handshake of a connection says of its two ends.
type Handshake struct {
	// TLSResumed is nil while it is not known, and of connections without TLS.
	TLSResumed       *bool
	TLSClientJA3     string
	TLSClientJA4     string
	TLSServerSubject string
	TLSServerIssuer  string
	// TLSServerNotBefore and TLSServerNotAfter have whole seconds, between 1970 and 2262; zero when not known.
	TLSServerNotBefore time.Time
	TLSServerNotAfter  time.Time
}

// handshakeColumns are the columns that migration 7 adds to `connections`.
type handshakeColumns struct {
	resumed                   []*bool
	ja3, ja4, subject, issuer []string
	notBefore, notAfter       []time.Time
}

const handshakeSelect = "tls_resumed, tls_client_ja3, tls_client_ja4, tls_server_subject, tls_server_issuer, tls_server_not_before, tls_server_not_after, "

func (c *handshakeColumns) add(r *Handshake) {
	c.resumed = append(c.resumed, r.TLSResumed)
	c.ja3 = append(c.ja3, r.TLSClientJA3)
	c.ja4 = append(c.ja4, r.TLSClientJA4)
	c.subject = append(c.subject, r.TLSServerSubject)
	c.issuer = append(c.issuer, r.TLSServerIssuer)
	c.notBefore = append(c.notBefore, validity(r.TLSServerNotBefore))
	c.notAfter = append(c.notAfter, validity(r.TLSServerNotAfter))
}

func (c *handshakeColumns) columns() []column {
	return []column{
		{"tls_resumed", "Nullable(Bool)", &c.resumed},
		{"tls_client_ja3", "String", &c.ja3},
		{"tls_client_ja4", "String", &c.ja4},
		{"tls_server_subject", "String", &c.subject},
		{"tls_server_issuer", "String", &c.issuer},
		{"tls_server_not_before", validityType, &c.notBefore},
		{"tls_server_not_after", validityType, &c.notAfter},
	}
}

func (r *Handshake) scanHandshake() []any {
	return []any{&r.TLSResumed, &r.TLSClientJA3, &r.TLSClientJA4, &r.TLSServerSubject, &r.TLSServerIssuer, &r.TLSServerNotBefore, &r.TLSServerNotAfter}
}

// validityType has whole seconds, as certificates have.
const validityType = "DateTime64(0, 'UTC')"

// maxValidity is the last second that clickhouse-go can send, 2262-04-11 23:47:16: certificates that shall
// never expire say 9999 (RFC 5280 §4.1.2.5).
var maxValidity = time.Unix(math.MaxInt64/int64(time.Second), 0).UTC()

// validity brings t into the column's range; the epoch stands for "not known".
func validity(t time.Time) time.Time {
	switch epoch := time.Unix(0, 0).UTC(); {
	case t.Before(epoch):
		return epoch
	case t.After(maxValidity):
		return maxValidity
	}
	return t
}

// fromValidity undoes validity.
func fromValidity(t time.Time) time.Time {
	if t.Unix() == 0 {
		return time.Time{}
	}
	return t.UTC()
}
