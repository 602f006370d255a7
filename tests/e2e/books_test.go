// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// requireConserved waits until nothing is under way and then asserts, for every stage of the receiver,
// in = out + dropped + in flight, and that nothing was dropped on the payload's and metadata's way.
func (c *collector) requireConserved(t *testing.T) {
	t.Helper()
	type book struct{ in, out, dropped, inFlight float64 }
	var books map[string]*book
	reasons := map[string]float64{}
	require.EventuallyWithT(t, func(col *assert.CollectT) {
		books = map[string]*book{}
		at := func(s sample) *book {
			b := books[s.labels["stage"]]
			if b == nil {
				b = &book{}
				books[s.labels["stage"]] = b
			}
			return b
		}
		clear(reasons)
		for _, s := range c.scrape(t) {
			switch s.name {
			case "otelcol_receiver_qtap_stage_in":
				at(s).in += s.value
			case "otelcol_receiver_qtap_stage_out":
				at(s).out += s.value
			case "otelcol_receiver_qtap_stage_in_flight":
				at(s).inFlight += s.value
			case "otelcol_receiver_qtap_stage_dropped":
				at(s).dropped += s.value
				reasons[s.labels["stage"]+"/"+s.labels["reason"]] += s.value
			case "otelcol_receiver_qtap_events_lost":
				reasons["ring/"+s.labels["kind"]] += s.value
			}
		}
		require.NotEmpty(col, books)
		for stage, b := range books {
			require.InDelta(col, b.in, b.out+b.dropped+b.inFlight, 0, "stage %s: %+v", stage, *b)
		}
	}, testkit.Patience, 100*time.Millisecond)
	t.Logf("books: %v", func() (lines []string) {
		for stage, b := range books {
			text, _ := json.Marshal(map[string]float64{"in": b.in, "out": b.out, "dropped": b.dropped, "in_flight": b.inFlight})
			lines = append(lines, stage+" "+string(text))
		}
		return lines
	}())
	t.Logf("dropped by reason: %v", reasons)
}

// metricsText is everything that the collector says of itself.
func (c *collector) metricsText(t *testing.T) []byte {
	t.Helper()
	res, err := http.Get(c.metrics)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return text
}

// sql asks the embedded ClickHouse itself, through its socket, and returns one line of text per row.
func (c *collector) sql(t *testing.T, table string) []byte {
	t.Helper()
	rows, err := c.query(t.Context(), table)
	require.NoError(t, err)
	return rows
}

func (c *collector) query(ctx context.Context, table string) ([]byte, error) {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Protocol: clickhouse.HTTP,
		Addr:     []string{"local"},
		DialContext: func(ctx context.Context, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", filepath.Join(c.data, "clickhouse", "clickhouse.sock"))
		},
	})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	rows, err := conn.Query(ctx, "SELECT toString(tuple(*)) FROM "+table)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var text bytes.Buffer
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			return nil, err
		}
		text.WriteString(line + "\n")
	}
	return text.Bytes(), rows.Err()
}

// requireConnections holds the connections' rows against what must be true of them.
func (c *collector) requireConnections(t *testing.T) {
	t.Helper()
	var page struct {
		Connections []struct {
			ConnectionID  string `json:"connection_id"`
			State         string `json:"state"`
			Role          string `json:"role"`
			CloseReason   string `json:"close_reason"`
			SentBytes     int64  `json:"sent_bytes"`
			ReceivedBytes int64  `json:"received_bytes"`
			PeerPort      int    `json:"peer_port"`
			LocalPort     int    `json:"local_port"`
			Requests      int    `json:"requests"`
			PID           int    `json:"pid"`
		} `json:"connections"`
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/connections?limit=1000"), &page))
	seen := map[[2]int]*[2][2]int64{} // client port, server port → sent and received, by end
	for _, conn := range page.Connections {
		require.NotEmpty(t, conn.ConnectionID)
		if conn.State != "closed" || conn.Requests == 0 {
			continue
		}
		require.NotZero(t, conn.PID)
		key, end := [2]int{conn.LocalPort, conn.PeerPort}, 0
		if conn.Role == "server" {
			key, end = [2]int{conn.PeerPort, conn.LocalPort}, 1
		}
		if seen[key] == nil {
			seen[key] = &[2][2]int64{}
		}
		seen[key][end] = [2]int64{conn.SentBytes, conn.ReceivedBytes}
	}
	require.NotEmpty(t, seen)
	for ports, ends := range seen {
		require.Equal(t, ends[0][0], ends[1][1], "what the client of %v sent, the server received", ports)
		require.Equal(t, ends[0][1], ends[1][0], "what the server of %v sent, the client received", ports)
	}
}
