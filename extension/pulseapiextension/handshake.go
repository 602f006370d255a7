// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"time"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// handshakeJSON is a part of connectionJSON.
type handshakeJSON struct {
	TLSResumed         *bool  `json:"tls_resumed,omitempty"`
	TLSClientJA3       string `json:"tls_client_ja3,omitempty"`
	TLSClientJA4       string `json:"tls_client_ja4,omitempty"`
	TLSServerSubject   string `json:"tls_server_subject,omitempty"`
	TLSServerIssuer    string `json:"tls_server_issuer,omitempty"`
	TLSServerNotBefore string `json:"tls_server_not_before,omitempty"`
	TLSServerNotAfter  string `json:"tls_server_not_after,omitempty"`
}

func handshakeView(row *pulsestore.Handshake) handshakeJSON {
	return handshakeJSON{
		TLSResumed: row.TLSResumed, TLSClientJA3: row.TLSClientJA3, TLSClientJA4: row.TLSClientJA4,
		TLSServerSubject: row.TLSServerSubject, TLSServerIssuer: row.TLSServerIssuer,
		TLSServerNotBefore: knownTime(row.TLSServerNotBefore), TLSServerNotAfter: knownTime(row.TLSServerNotAfter),
	}
}

// knownTime is timeText; "" for the zero time.
func knownTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return timeText(t)
}
