// SPDX-License-Identifier: Apache-2.0

//go:build linux

package faults

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Host names of the stores. RFC 6761 §6.4: nothing resolves them but the hosts file that the test gives the collector.
const (
	bucketName     = "bucket.faults.invalid"
	clickhouseName = "clickhouse.faults.invalid"
)

// certificates returns a good and an expired certificate of those names, and the file of their authority.
func certificates(t *testing.T) (good, expired tls.Certificate, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	issue := func(template, parent *x509.Certificate) []byte {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, key)
		require.NoError(t, err)
		return der
	}
	now := time.Now()
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "faults"}, NotBefore: now.Add(-48 * time.Hour), NotAfter: now.Add(48 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := func(serial int64, end time.Time) tls.Certificate {
		der := issue(&x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "stores"}, DNSNames: []string{bucketName, clickhouseName},
			NotBefore: now.Add(-24 * time.Hour), NotAfter: end,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}, ca)
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	}
	authority = filepath.Join(t.TempDir(), "ca.pem")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: issue(ca, ca)}), 0o600))
	return leaf(2, now.Add(24*time.Hour)), leaf(3, now.Add(-time.Hour)), authority
}

// withHosts starts a program in a mount namespace where /etc/hosts is the file, and no name server answers.
func withHosts(t *testing.T, hosts string) []string {
	t.Helper()
	none := filepath.Join(t.TempDir(), "resolv.conf")
	require.NoError(t, os.WriteFile(none, []byte("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n"), 0o644))
	script := fmt.Sprintf(`mount --bind %s /etc/hosts; if [ -e /etc/resolv.conf ]; then mount --bind %s /etc/resolv.conf; fi; exec "$@"`, hosts, none)
	return []string{"unshare", "--mount", "sh", "-ec", script, "sh"}
}

// TestOutages takes the bucket and ClickHouse away in every way that there is, one after the other, while requests go on.
// The queue on disk keeps what was taken. When the store is back, both have all of it, once; what a store refuses for good
// is counted.
func TestOutages(t *testing.T) {
	far := startStores(t)
	good, expired, authority := certificates(t)
	for _, store := range []string{"bucket", "clickhouse"} {
		t.Run(store, func(t *testing.T) {
			bucket, clickhouse := newLine(t, far.dialS3), newLine(t, far.dialClickHouse)
			bucket.up(bucket.secure(good, bucket.pass))
			clickhouse.up(clickhouse.secure(good, clickhouse.pass))
			const names = "127.0.0.1 localhost " + bucketName + " " + clickhouseName + "\n"
			l, name := bucket, bucketName
			if store == "clickhouse" {
				l, name = clickhouse, clickhouseName
			}
			hosts := filepath.Join(t.TempDir(), "hosts")
			require.NoError(t, os.WriteFile(hosts, []byte(names), 0o644))
			h := newHost(t, far, fmt.Sprintf("https://%s:%d", clickhouseName, clickhouse.port), fmt.Sprintf("https://%s:%d", bucketName, bucket.port),
				"exporters::pulse: {timeout: 3s, tls: {ca_file: "+authority+"}}", "connectors::qpoint_s3::timeout: 3s")
			h.before = withHosts(t, hosts)
			h.env = append(h.env, "SSL_CERT_FILE="+authority)
			c := h.start()
			h.send(10)
			h.whole(far, missing{})

			over := func(s serve) func() { return func() { l.up(l.secure(good, s)) } }
			// seen counts the attempts that have failed, as the collector tells it.
			seen := func() int {
				if store == "bucket" {
					return int(c.total(t, "otelcol_exporter_qpoint_s3_failures"))
				}
				log := c.log.String()
				return strings.Count(log, "ClickHouse did not take rows") + strings.Count(log, "ClickHouse has too much to do") + strings.Count(log, "ClickHouse refuses rows")
			}
			var lost missing
			for _, fault := range []struct {
				name  string
				begin func()
				log   string // that the collector must have said
				final bool   // the store refuses: nothing is tried again
				again bool   // the fault is met by new connections only, and names are remembered for seconds
			}{
				{name: "down", begin: l.down, log: "connection refused"},
				{name: "connection reset in a request", begin: over(l.cut(1500, nil))},
				{name: "one byte per second", begin: over(l.slow(""))},
				{name: "500", begin: over(l.answer(500, "InternalError")), log: "500"},
				{name: "503", begin: over(l.answer(503, "SlowDown", "Retry-After", "1")), log: map[string]string{"bucket": "SlowDown", "clickhouse": "too much to do"}[store]},
				{name: "certificate expired", begin: func() { l.up(l.secure(expired, l.pass)) }, log: "certificate has expired"},
				{name: "name not found", begin: func() {
					require.NoError(t, os.WriteFile(hosts, []byte(strings.Replace(names, name, "", 1)), 0o644))
				}, log: "lookup " + name, again: true},
				{name: "403", begin: over(l.answer(403, "AccessDenied")), log: map[string]string{"bucket": "AccessDenied", "clickhouse": "refuses rows"}[store], final: true},
			} {
				failures, rows, payloads, from := seen(), h.failed(c), h.dropped(c), len(c.log.String())
				fault.begin()
				require.Eventually(t, func() bool {
					if fault.again {
						l.up(l.secure(good, l.pass))
					}
					h.send(10)
					return seen() > failures && strings.Contains(c.log.String()[from:], fault.log)
				}, patience, 200*time.Millisecond, "%s was not met", fault.name)
				h.endure()
				h.taken(c, 0, missing{})
				if fault.final {
					// Nothing is left of it when the store is back.
					h.idle(c)
					lost.rows, lost.payloads = int(h.failed(c)), int(h.dropped(c))
					require.Positive(t, lost.rows+lost.payloads)
				} else {
					require.Equal(t, rows, h.failed(c), "%s: spans were given up", fault.name)
					require.Equal(t, payloads, h.dropped(c), "%s: payloads were given up", fault.name)
				}
				require.NoError(t, os.WriteFile(hosts, []byte(names), 0o644))
				l.up(l.secure(good, l.pass))
				h.send(10)
				h.whole(far, lost)
				t.Logf("%s: %d attempts failed, %d ids sent so far, given up: %+v", fault.name, seen()-failures, h.sent, lost)
			}
			h.books(c, lost)
		})
	}
}
