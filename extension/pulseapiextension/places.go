// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

// places knows the countries of addresses, from a file that the user supplies. None comes with us.
type places struct{ db *maxminddb.Reader }

func openPlaces(file string) (*places, error) {
	if file == "" {
		return nil, nil
	}
	db, err := maxminddb.Open(file)
	if err != nil {
		return nil, fmt.Errorf("`country_database` %s is no MaxMind DB file: %w", file, err)
	}
	p := &places{db: db}
	if _, err := p.country(netip.MustParseAddr("192.0.2.1")); err != nil {
		return nil, fmt.Errorf("`country_database` %s has no countries: %w", file, cmp.Or(err, db.Close()))
	}
	return p, nil
}

// Close closes the file; it may be called on nil.
func (p *places) Close() error {
	if p == nil {
		return nil
	}
	return p.db.Close()
}

// Countries that are none of ISO 3166.
const (
	placePrivate = "private" // addresses that are routed nowhere
	placeUnknown = "unknown"
)

// country returns an ISO 3166-1 code, or private, or unknown.
func (p *places) country(a netip.Addr) (string, error) {
	if !a.IsValid() {
		return placeUnknown, nil
	}
	if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsMulticast() || a.IsUnspecified() {
		return placePrivate, nil
	}
	var record struct {
		Country struct {
			ISOCode string `maxminddb:"iso_code"`
		} `maxminddb:"country"`
	}
	if err := p.db.Lookup(a).Decode(&record); err != nil {
		return "", err
	}
	return nonEmpty(record.Country.ISOCode, placeUnknown), nil
}

type countryJSON struct {
	Country       string `json:"country"`
	Addresses     uint64 `json:"addresses"`
	Connections   uint64 `json:"connections"`
	SentBytes     uint64 `json:"sent_bytes"`
	ReceivedBytes uint64 `json:"received_bytes"`
}

type countriesAnswer struct {
	Countries []countryJSON `json:"countries"`
	// Partial says that there were more addresses than are looked up: the figures are of those with the most bytes.
	Partial bool `json:"partial"`
}

func (a *api) getCountries(q *question) (any, error) {
	if a.places == nil {
		return nil, fail(http.StatusNotFound, "no_countries", "this Pulse knows no countries: set `country_database` of `pulse_api` to a MaxMind DB file")
	}
	s, err := q.selection(pulsestore.OfConnections, a.now())
	if err != nil {
		return nil, err
	}
	limit, err := q.int("limit", maxLimit, maxLimit)
	if err != nil {
		return nil, err
	}
	var peers []pulsestore.Peer
	if err := a.query(q.Context(), func(ctx context.Context) error {
		peers, err = a.reader.Peers(ctx, s)
		return err
	}); err != nil {
		return nil, err
	}
	sums := map[string]*countryJSON{}
	for _, peer := range peers {
		country, err := a.places.country(peer.Address)
		if err != nil {
			return nil, fmt.Errorf("look up a country: %w", err)
		}
		sum := sums[country]
		if sum == nil {
			sum = &countryJSON{Country: country}
			sums[country] = sum
		}
		sum.Addresses++
		sum.Connections += peer.Connections
		sum.SentBytes += peer.SentBytes
		sum.ReceivedBytes += peer.ReceivedBytes
	}
	answer := countriesAnswer{Countries: []countryJSON{}, Partial: len(peers) == pulsestore.MaxPeers}
	for _, sum := range sums {
		answer.Countries = append(answer.Countries, *sum)
	}
	slices.SortFunc(answer.Countries, func(a, b countryJSON) int {
		return cmp.Or(cmp.Compare(b.SentBytes+b.ReceivedBytes, a.SentBytes+a.ReceivedBytes), cmp.Compare(a.Country, b.Country))
	})
	answer.Countries = answer.Countries[:min(len(answer.Countries), limit)]
	return answer, nil
}
