// SPDX-License-Identifier: Apache-2.0

package kernel

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/receiver/qtapreceiver/internal/event"
)

func TestKeyLogReader(t *testing.T) {
	random, secret, secret48 := strings.Repeat("0a", 32), strings.Repeat("b1", 32), strings.Repeat("C2", 48)
	text := "# comment\n" +
		"CLIENT_RANDOM " + random + " " + secret48 + "\r\n" +
		"\n \nnonsense\n" +
		"EXPORTER_SECRET " + random + " " + secret + "\n" + // decrypts nothing
		"CLIENT_TRAFFIC_SECRET_0 " + random[2:] + " " + secret + "\n" +
		"CLIENT_TRAFFIC_SECRET_0 " + random + " " + secret[2:] + "\n" +
		"CLIENT_TRAFFIC_SECRET_0 " + random + " " + strings.Repeat("xx", 32) + "\n" +
		"CLIENT_TRAFFIC_SECRET_0 " + random + "\n" +
		strings.Repeat("CLIENT_TRAFFIC_SECRET_0 ", 1000) + "\n" +
		"SERVER_TRAFFIC_SECRET_0 " + random + " " + secret + "\n" +
		"SERVER_TRAFFIC_SECRET_0 " + random + " " + secret // no end: not complete
	for _, size := range []int{1, 7, 100, len(text)} {
		var got []string
		var r keyLogReader
		for b := []byte(text); len(b) > 0; {
			n := min(size, len(b))
			r.take(b[:n], func(s *event.Secret) {
				require.Equal(t, event.SecretKeyLog, s.Kind)
				got = append(got, s.Label+" "+hex.EncodeToString(s.Context)+" "+hex.EncodeToString(s.Secret))
			})
			require.Equal(t, make([]byte, n), b[:n], "wiped")
			b = b[n:]
		}
		require.Equal(t, []string{
			"CLIENT_RANDOM " + random + " " + strings.ToLower(secret48),
			"SERVER_TRAFFIC_SECRET_0 " + random + " " + secret,
		}, got)
		r.reset()
		require.Equal(t, make([]byte, maxKeyLogLine), r.line[:cap(r.line)], "wiped")
	}
}

func FuzzKeyLogReader(f *testing.F) {
	f.Add([]byte("CLIENT_RANDOM "+strings.Repeat("00", 32)+" "+strings.Repeat("11", 48)+"\n# x\n"), 3)
	f.Add(bytes.Repeat([]byte("a"), 2000), 100)
	f.Fuzz(func(t *testing.T, b []byte, size int) {
		// Pieces make no difference.
		read := func(size int) (out []string) {
			var r keyLogReader
			for c := bytes.Clone(b); len(c) > 0; {
				n := min(size, len(c))
				r.take(c[:n], func(s *event.Secret) {
					if !keyLogLabels[s.Label] || len(s.Context) != 32 || len(s.Secret) < 32 {
						t.Fatal("not a secret")
					}
					out = append(out, s.Label+hex.EncodeToString(s.Secret))
				})
				c = c[n:]
				if cap(r.line) > maxKeyLogLine {
					t.Fatal("unbounded")
				}
			}
			return out
		}
		require.Equal(t, read(len(b)+1), read(max(1, size&0xff)))
	})
}
