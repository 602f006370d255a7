// SPDX-License-Identifier: Apache-2.0

package objectstore

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/objectstore/s3settings"
)

// TestUnsignedAcceptEncoding: the header is sent, and is none of those that are signed.
func TestUnsignedAcceptEncoding(t *testing.T) {
	got := make(chan http.Header, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Header }))
	t.Cleanup(srv.Close)
	s, err := NewS3(t.Context(), s3settings.Settings{Endpoint: srv.URL, Bucket: "b", Region: "auto", PathStyle: true, AccessKey: "a", SecretKey: "s"}, Options{})
	require.NoError(t, err)
	t.Cleanup(s.CloseIdle)
	for name, call := range map[string]func() error{
		"put":  func() error { return s.Put(t.Context(), Put{Key: "k", Body: []byte("x")}) },
		"head": func() error { _, err := s.Head(t.Context(), "k"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, call())
			h := <-got
			require.Equal(t, []string{"identity"}, h["Accept-Encoding"])
			signed := regexp.MustCompile(`SignedHeaders=([^,]*)`).FindStringSubmatch(h.Get("Authorization"))
			require.NotNil(t, signed, "%v", h)
			require.Contains(t, signed[1], "host;")
			require.NotContains(t, signed[1], "accept-encoding")
		})
	}
}
