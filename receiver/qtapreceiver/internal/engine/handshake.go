// SPDX-License-Identifier: Apache-2.0

package engine

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"

	"github.com/qpoint-io/otelcol-qpoint/internal/semantic"
)

// putTLS puts what a request's span says of the TLS that it went through.
func (a *application) putTLS(m pcommon.Map) {
	if !a.encrypted {
		return
	}
	m.PutBool(semantic.TLSEstablished, a.info.Version != "")
	putStr(m, semantic.TLSProtocolVersion, a.info.Version)
	putStr(m, semantic.TLSCipher, a.info.Cipher)
	putStr(m, semantic.TLSNextProtocol, a.info.ALPN)
	if a.info.Resumed || a.info.Full { // else it is not known
		m.PutBool(semantic.TLSResumed, a.info.Resumed)
	}
	putStr(m, semantic.TLSClientJA4, a.info.JA4)
}

// putHandshake puts what only a connection's record has: the client's older fingerprint and the
// server's certificate.
func (a *application) putHandshake(m pcommon.Map) {
	if !a.encrypted {
		return
	}
	putStr(m, semantic.TLSClientJA3, a.info.JA3)
	c := &a.info.Certificate
	putStr(m, semantic.TLSServerSubject, c.Subject)
	putStr(m, semantic.TLSServerIssuer, c.Issuer)
	putTime(m, semantic.TLSServerNotBefore, c.NotBefore)
	putTime(m, semantic.TLSServerNotAfter, c.NotAfter)
}

func putTime(m pcommon.Map, key string, t time.Time) {
	if !t.IsZero() {
		m.PutStr(key, t.Format("2006-01-02T15:04:05.000Z"))
	}
}
