// SPDX-License-Identifier: Apache-2.0

package qpoints3exporter_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

// fault passes requests to the real server, except those that inject answers itself.
func fault(t *testing.T, endpoint string, inject func(http.ResponseWriter, *http.Request) bool) http.Handler {
	t.Helper()
	u, err := url.Parse(endpoint)
	require.NoError(t, err)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(u)
			r.Out.Host = r.In.Host // signed
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !inject(w, r) {
			proxy.ServeHTTP(w, r)
		}
	})
}

// forward makes address reach target, until the test ends.
func forward(t *testing.T, address, target string) {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	wg.Go(func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			conns = append(conns, in, out)
			mu.Unlock()
			wg.Go(func() { _, _ = io.Copy(out, in); out.Close() })
			wg.Go(func() { _, _ = io.Copy(in, out); in.Close() })
		}
	})
	t.Cleanup(func() {
		ln.Close()
		mu.Lock()
		for _, c := range conns {
			c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
}

// plogEqual compares the wire form.
func plogEqual(a, b plog.Logs) error {
	var m plog.ProtoMarshaler
	x, err := m.MarshalLogs(a)
	if err != nil {
		return err
	}
	y, err := m.MarshalLogs(b)
	if err != nil {
		return err
	}
	if string(x) != string(y) {
		return fmt.Errorf("logs differ: %d and %d bytes", len(x), len(y))
	}
	return nil
}
