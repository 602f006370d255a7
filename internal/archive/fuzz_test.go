// SPDX-License-Identifier: Apache-2.0

package archive

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzRoundTrip: whatever the bytes on the wire were, they come back.
func FuzzRoundTrip(f *testing.F) {
	f.Add("/x?a=b", "Host", "example.com", "X", "caf\xe9", "OK", []byte("body"), []byte{255}, uint64(4), int64(1), int64(-1), 200, true)
	f.Add("", "content-encoding", "gzip", "Set-Cookie", "a=b; Expires=x", "\xff", []byte{}, []byte("\u2028\x00"), uint64(0), int64(0), int64(5), 0, false)
	f.Add("http://[::1]:x/\xff?%", "Cookie", "a;=;b==", "cookie", "\xff=\xff", "", []byte(nil), []byte("<>&"), uint64(1)<<63, int64(1)<<62, int64(7), -3, false)
	f.Fuzz(func(t *testing.T, target, n1, v1, n2, v2, phrase string, body1, body2 []byte, bodySize uint64, started, wait int64, status int, truncated bool) {
		want := Exchange{
			TraceID: "t", SpanID: "00000000000000aa", Started: time.Unix(0, started).UTC(),
			Send: NotMeasured, Wait: max(NotMeasured, time.Duration(wait%(1<<50))), Receive: 0,
			Scheme: "http", ConnectionID: "c",
			Request: Message{
				Method: "GET", Target: target, Version: "1.1", Headers: []Header{{n1, v1}, {n2, v2}, {n1, v2}},
				Body: body1, BodySize: bodySize, Truncated: truncated,
			},
			Response: &Message{
				Status: status, Reason: phrase, Version: "1.0", Headers: []Header{{n2, v1}},
				Body: body2, BodySize: bodySize, Truncated: truncated,
			},
		}
		for _, b := range []*[]byte{&want.Request.Body, &want.Response.Body} {
			if len(*b) == 0 {
				*b = nil
			}
		}
		got, err := Read(pack(t, want).Bytes)
		require.NoError(t, err)
		require.Equal(t, map[string]Exchange{"00000000000000aa.har": want}, got)
	})
}

// FuzzReadHAR: the reader of tests meets only our files, but must not fall over others.
func FuzzReadHAR(f *testing.F) {
	f.Add([]byte(`{"log":{"entries":[{"startedDateTime":"2026-11-24T06:01:02.123456789Z","timings":{"wait":-1}}]}}`))
	f.Fuzz(func(_ *testing.T, har []byte) { _, _ = ReadHAR(har) })
}

func FuzzRead(f *testing.F) {
	f.Add(pack(f, sample()).Bytes)
	f.Fuzz(func(_ *testing.T, zip []byte) { _, _ = Read(zip) })
}
