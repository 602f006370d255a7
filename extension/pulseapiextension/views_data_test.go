// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/tests/fill"
)

// hostileName is what a server may call itself in SNI, and a process itself.
const hostileName = `<img src=x onerror="window.pwned=1">"&{{7*7}}`

// fillViews writes what the views show: a fleet's day, and of everything that is wrong somewhere one.
func fillViews(t *testing.T, s *pulsestore.Store, now time.Time, rows int) {
	t.Helper()
	require.NoError(t, fill.Store(t.Context(), s, fill.Options{Rows: rows, From: now.Add(-24 * time.Hour), To: now, Seed: 7}))
	b := pulsestore.NewRows()
	fillNew(b, now)
	fillWeak(b, now)
	fillReports(b, now)
	fillKept(b, now)
	// Long ago there were more servers than a picture can show.
	for i := range 60 {
		r := fullRequest(byte(i), now.Add(-20*time.Hour-time.Duration(i)*time.Second))
		r.TraceID, r.SpanID = [16]byte{210, byte(i)}, [8]byte{211, byte(i)}
		r.Origin, r.ServerAddress, r.Status, r.ErrorType = viewOrigin("crawler", "/opt/crawler/bin/crawler-old"), fmt.Sprintf("shop-%02d.tail.example", i), 200, ""
		b.AddRequest(&r)
	}
	for i := range 40 {
		e := pulsestore.AuditEvent{
			Time: now.Add(-time.Duration(i*i) * time.Minute), ID: [16]byte{9, byte(i)}, Environment: "production", Actor: []string{"ada@example.com", "grace@example.com", "ci"}[i%3],
			Role: []string{"payload:read", "payload:export_raw", "payload:read"}[i%3], Address: netip.MustParseAddr("10.42.0.7"), Action: []string{"payload.link", "payload.export", "payload.link"}[i%3],
			Outcome: "allowed", TraceID: [16]byte{1, byte(i)}, SpanID: [8]byte{2, byte(i)}, Count: 1,
		}
		if i%7 == 3 {
			e.Outcome, e.Reason = "refused", "forbidden"
		}
		b.AddAuditEvent(&e)
	}
	require.NoError(t, s.Insert(t.Context(), b))
}

func viewOrigin(service, executable string) pulsestore.Origin {
	return pulsestore.Origin{
		Environment: "production", ServiceName: service, HostID: "0123456789abcdef0123456789abcdef", HostName: "node-03", PID: 3141, Executable: executable, User: "app",
	}
}

// fillNew writes a program and servers that nobody saw before the last half hour.
func fillNew(b *pulsestore.Rows, now time.Time) {
	for i, name := range []string{"api.new-vendor.example", "telemetry.tracker.example", hostileName} {
		for n := range 30 {
			r := fullRequest(byte(n), now.Add(-25*time.Minute+time.Duration(n*45)*time.Second))
			r.TraceID, r.SpanID = [16]byte{200, byte(i), byte(n)}, [8]byte{201, byte(i), byte(n)}
			r.Origin = viewOrigin("crawler", "/opt/crawler/bin/crawler")
			if i == 2 {
				r.Origin = viewOrigin(hostileName, "/tmp/"+hostileName)
			}
			r.ServerAddress, r.Status, r.ErrorType = name, 200, ""
			if n%9 == 0 {
				r.Status, r.ErrorType = 503, "503"
			}
			r.Path, r.Template = fmt.Sprintf("/v1/things/%d", n), "/v1/things/{number}"
			r.ConnectionID = uint64(7_000 + i)
			r.Duration = time.Duration(20+n*n) * time.Millisecond
			b.AddRequest(&r)
		}
		c := viewConnection(uint64(7_000+i), now.Add(-25*time.Minute), "crawler", "/opt/crawler/bin/crawler", name)
		if i == 2 {
			c.Origin = viewOrigin(hostileName, "/tmp/"+hostileName)
		}
		c.Requests, c.SentBytes, c.ReceivedBytes = 30, 48_000, 9_400_000
		b.AddConnection(&c)
	}
}

func viewConnection(id uint64, start time.Time, service, executable, server string) pulsestore.Connection {
	return pulsestore.Connection{
		Origin: viewOrigin(service, executable), Time: start.Add(time.Minute), Start: start, ConnectionID: id, Sequence: 2, State: "closed", Role: "client", CloseReason: "fin",
		LocalAddress: netip.MustParseAddr("10.42.3.9"), LocalPort: 40_000 + uint16(id%1000), PeerAddress: netip.MustParseAddr("203.0.113.77"), PeerPort: 443, ServerAddress: server,
		Protocol: "http", ProtocolVersion: "1.1", TLSVersion: "1.3", TLSCipher: "TLS_AES_256_GCM_SHA384", SentBytes: 1200, ReceivedBytes: 44_000, SentPackets: 12, ReceivedPackets: 40,
		Duration: time.Minute, RTT: 12 * time.Millisecond, Visibility: "visible", Transport: "tcp",
		Handshake: pulsestore.Handshake{TLSServerSubject: "CN=" + server, TLSServerIssuer: "CN=Example CA", TLSServerNotBefore: start.Add(-time.Hour), TLSServerNotAfter: start.Truncate(24 * time.Hour).Add(80 * 24 * time.Hour)},
	}
}

// fillWeak writes connections of every kind of finding, and such that could not be read.
func fillWeak(b *pulsestore.Rows, now time.Time) {
	add := func(id uint64, n int, edit func(*pulsestore.Connection)) {
		for i := range n {
			c := viewConnection(id+uint64(i), now.Add(-time.Duration(5+i)*time.Minute), "billing", "/usr/lib/jvm/bin/java", "legacy.bank.example")
			edit(&c)
			b.AddConnection(&c)
		}
	}
	add(8_000, 9, func(c *pulsestore.Connection) { c.TLSVersion, c.TLSCipher = "1.0", "TLS_RSA_WITH_AES_128_CBC_SHA" })
	add(8_100, 6, func(c *pulsestore.Connection) {
		c.ServerAddress, c.Handshake = "partner.example", pulsestore.Handshake{TLSServerSubject: "CN=partner.example", TLSServerIssuer: "CN=Example CA", TLSServerNotAfter: now.Add(-48 * time.Hour)}
	})
	add(8_200, 4, func(c *pulsestore.Connection) {
		c.ServerAddress, c.TLSServerNotAfter = "soon.example", now.Add(6*24*time.Hour)
	})
	add(8_300, 5, func(c *pulsestore.Connection) {
		c.ServerAddress, c.Protocol, c.TLSVersion, c.TLSCipher, c.Handshake = "", "redis", "", "", pulsestore.Handshake{}
		c.PeerAddress, c.PeerPort = netip.MustParseAddr("10.42.9.9"), 6379
	})
	for i, reason := range []string{"no_secret_java", "no_secret_java", "attached_late", "no_secret_rustls"} {
		add(8_400+uint64(i)*20, 12-3*i, func(c *pulsestore.Connection) {
			c.ServerAddress, c.Visibility, c.Reason, c.Requests, c.CloseReason = "opaque.example", "not_visible", reason, 0, []string{"fin", "reset", "timeout"}[i%3]
		})
	}
}

// fillReports writes what two hosts say that they see and do not see.
func fillReports(b *pulsestore.Rows, now time.Time) {
	for i, host := range []string{"node-03", "node-07"} {
		for _, c := range []pulsestore.Coverage{
			{Subject: "process", Name: "java", State: "not_seen", Reason: "no_secret_java", Advice: "Java compiles its TLS when it runs, so no function can be probed. Let an agent of your own write a key log and name that in keylog_files", Count: 1234, Origin: pulsestore.Origin{Executable: "/usr/lib/jvm/bin/java", ServiceName: "billing"}},
			{Subject: "process", Name: "rustls-proxy", State: "not_seen", Reason: "no_secret_rustls", Advice: "rustls is compiled into the program without a function that can be told. If the program heeds SSLKEYLOGFILE, set it and name that file in keylog_files", Count: 87, Origin: pulsestore.Origin{Executable: "/usr/bin/rustls-proxy", ServiceName: "edge"}},
			{Subject: "process", Name: "node", State: "seen", Count: 80_412, Origin: pulsestore.Origin{Executable: "/usr/bin/node", ServiceName: "order-api"}},
			{Subject: "process", Name: "python3.11", State: "seen", Count: 9_117, Origin: pulsestore.Origin{Executable: "/usr/bin/python3.11", ServiceName: "cart-api"}},
			{Subject: "feature", Name: "CAP_BPF", State: "supported"},
			{Subject: "feature", Name: "BTF", State: "supported"},
			{Subject: "feature", Name: "uprobe_multi", State: "missing", Reason: "kernel", Advice: "since Linux 6.6, perf uprobes are used instead"},
			{Subject: "drops", Name: "kernel", State: "dropped", Reason: "filtered", Advice: "no loss: own connections, and what the configuration leaves out", Count: 90_210},
			{Subject: "library", Name: "/usr/lib/libcrypto.so.3", State: "attached"},
			{Subject: "drops", Name: "ring", State: "dropped", Reason: "packet", Advice: "raise ring_size_mib, or exclude ports and processes", Count: 42},
		} {
			if i == 1 && c.State == "not_seen" {
				continue
			}
			c.Time, c.Environment, c.HostID, c.HostName = now.Add(-2*time.Minute), "production", fmt.Sprintf("%032d", i+1), host
			b.AddCoverage(&c)
		}
	}
}

// fillKept writes findings of sensitive data, and the receipts of segments.
func fillKept(b *pulsestore.Rows, now time.Time) {
	for i, f := range []pulsestore.Finding{
		{Kind: "email", Message: "request", Location: "json", Place: "user.email", ServerAddress: "api.new-vendor.example", Count: 412},
		{Kind: "card", Message: "request", Location: "form", Place: "card_number", ServerAddress: "pay.example.com", Count: 61},
		{Kind: "jwt", Message: "request", Location: "header", Place: "authorization", ServerAddress: "auth.example.com", Count: 2031},
		{Kind: "iban", Message: "response", Location: "json", Place: "accounts[].iban", ServerAddress: "legacy.bank.example", Count: 18},
		{Kind: "email", Message: "request", Location: "query", Place: hostileName, ServerAddress: hostileName, Count: 3},
		{Reason: "size", Message: "response", Count: 7, ServerAddress: "files.example.net"},
	} {
		f.Origin, f.Time, f.Role, f.ServerPort = viewOrigin("crawler", "/opt/crawler/bin/crawler"), now.Add(-time.Duration(i+1)*time.Minute), "client", 443
		f.TraceID, f.SpanID = [16]byte{200, 0, byte(i)}, [8]byte{201, 0, byte(i)}
		b.AddFinding(&f)
	}
	for i := range 30 {
		at := now.Add(-time.Duration(i) * time.Hour)
		b.AddPayloadObject(&pulsestore.PayloadObject{
			Time: at, Key: fmt.Sprintf("kept/%d.zip", i), Environment: "production", HostID: "0123456789abcdef0123456789abcdef", State: "stored", Entries: 40, Bytes: 900_000, Size: 210_000,
			Opened: at.Add(-time.Minute), Closed: at, Expires: at.Add(30 * 24 * time.Hour), RetentionClass: []string{"default", "errors"}[i%2],
		})
	}
}
