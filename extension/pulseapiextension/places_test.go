// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// countryFile makes a database of countries as a user may supply one.
func countryFile(t *testing.T) string {
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "Test-Country", IncludeReservedNetworks: true})
	require.NoError(t, err)
	for network, country := range map[string]string{"203.0.113.0/24": "DE", "2001:db8::/32": "FR"} {
		_, n, err := net.ParseCIDR(network)
		require.NoError(t, err)
		require.NoError(t, tree.Insert(n, mmdbtype.Map{"country": mmdbtype.Map{"iso_code": mmdbtype.String(country)}}))
	}
	file := filepath.Join(t.TempDir(), "country.mmdb")
	f, err := os.Create(file)
	require.NoError(t, err)
	_, err = tree.WriteTo(f)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return file
}

type peers struct {
	rows
	peers []pulsestore.Peer
}

func (p *peers) Peers(context.Context, pulsestore.Selection) ([]pulsestore.Peer, error) {
	return p.peers, nil
}

func TestCountries(t *testing.T) {
	store := &peers{}
	for address, bytes := range map[string]uint64{"203.0.113.1": 10, "203.0.113.2": 20, "2001:db8::1": 5, "192.168.1.1": 100, "198.51.100.1": 1} {
		store.peers = append(store.peers, pulsestore.Peer{Address: netip.MustParseAddr(address), Connections: 1, SentBytes: bytes, ReceivedBytes: bytes})
	}
	store.peers = append(store.peers, pulsestore.Peer{Connections: 1}) // an address that is not known
	cfg := testConfig(t)
	cfg.CountryDatabase = countryFile(t)
	s := start(t, cfg, store)
	status, body, _ := s.call(t, "GET", "/api/v1/countries", "")
	require.Equal(t, 200, status)
	country := func(name string, addresses, bytes float64) map[string]any {
		return map[string]any{"country": name, "addresses": addresses, "connections": addresses, "sent_bytes": bytes, "received_bytes": bytes}
	}
	require.Equal(t, []any{country("private", 1, 100), country("DE", 2, 30), country("FR", 1, 5), country("unknown", 2, 1)}, body["countries"])
	require.Equal(t, false, body["partial"])

	bad := filepath.Join(t.TempDir(), "bad.mmdb")
	require.NoError(t, os.WriteFile(bad, []byte("no database"), 0o600))
	_, err := openPlaces(bad)
	require.ErrorContains(t, err, "`country_database`")
}

// TestCallerLeaves: a question ends with its caller, and its place is free.
func TestCallerLeaves(t *testing.T) {
	store := &rows{block: make(chan struct{})}
	defer close(store.block)
	s := start(t, testConfig(t), store)
	ctx, cancel := context.WithCancel(t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/api/v1/requests", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+s.token)
	done := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(r)
		done <- err
	}()
	require.Eventually(t, func() bool { return len(s.api.queue.slots) == 1 }, testkit.Patience, time.Millisecond)
	cancel()
	require.Error(t, <-done)
	require.Eventually(t, func() bool { return len(s.api.queue.slots) == 0 }, testkit.Patience, time.Millisecond)
}
