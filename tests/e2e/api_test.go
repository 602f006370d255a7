// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// request is what the tests read of one row of GET /api/v1/requests.
type request struct {
	Time             time.Time `json:"time"`
	TraceID          string    `json:"trace_id"`
	SpanID           string    `json:"span_id"`
	ParentSpanID     string    `json:"parent_span_id"`
	Kind             string    `json:"kind"`
	ConnectionID     string    `json:"connection_id"`
	ExchangeSequence int       `json:"exchange_sequence"`
	Method           string    `json:"method"`
	Scheme           string    `json:"scheme"`
	Path             string    `json:"path"`
	Status           int       `json:"status"`
	ServerAddress    string    `json:"server_address"`
	PID              int       `json:"pid"`
	User             string    `json:"user"`
	Executable       string    `json:"executable"`
	ProtocolVersion  string    `json:"protocol_version"`
	ErrorType        string    `json:"error_type"`
	TLSVersion       string    `json:"tls_version"`
	TLSCipher        string    `json:"tls_cipher"`
	RequestBodySize  int64     `json:"request_body_size"`
	ResponseBodySize int64     `json:"response_body_size"`
	Payload          struct {
		State  string `json:"state"`
		Reason string `json:"reason"`
	} `json:"payload"`
}

// requests lists everything since a time, newest first.
func (c *collector) requests(t *testing.T, since time.Time) []request {
	t.Helper()
	query := url.Values{"from": {since.UTC().Format(time.RFC3339Nano)}, "limit": {"1000"}}
	var page struct {
		Requests []request `json:"requests"`
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/requests?"+query.Encode()), &page))
	return page.Requests
}

// requestsAt lists the requests to one path since a time.
func (c *collector) requestsAt(t *testing.T, since time.Time, path string) []request {
	t.Helper()
	return slices.DeleteFunc(c.requests(t, since), func(r request) bool { return r.Path != path })
}

// pair waits for both ends' rows of one exchange.
func (c *collector) pair(t *testing.T, since time.Time, method, path string) (client, server request) {
	t.Helper()
	var rows []request
	require.Eventually(t, func() bool {
		rows = slices.DeleteFunc(c.requestsAt(t, since, path), func(r request) bool { return r.Method != method })
		return len(rows) >= 2
	}, testkit.Patience, 50*time.Millisecond, "both ends of %s %s", method, path)
	require.Len(t, rows, 2, "each end gives exactly one row")
	for _, r := range rows {
		switch r.Kind {
		case "client":
			client = r
		case "server":
			server = r
		}
	}
	require.NotEmpty(t, client.SpanID, "a client row of %s %s", method, path)
	require.NotEmpty(t, server.SpanID, "a server row of %s %s", method, path)
	return client, server
}

// har is what the tests read of one HAR entry.
type har struct {
	Request struct {
		Method   string      `json:"method"`
		URL      string      `json:"url"`
		Headers  []nameValue `json:"headers"`
		PostData *struct {
			Text     string `json:"text"`
			Encoding string `json:"_encoding"`
		} `json:"postData"`
	} `json:"request"`
	Response struct {
		Status   int         `json:"status"`
		Headers  []nameValue `json:"headers"`
		Trailers []nameValue `json:"_trailers"`
		Content  struct {
			Size      int    `json:"size"`
			Text      string `json:"text"`
			Encoding  string `json:"encoding"`
			Truncated bool   `json:"_truncated"`
		} `json:"content"`
	} `json:"response"`
}

type nameValue struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (h *har) requestBody(t *testing.T) []byte {
	t.Helper()
	if h.Request.PostData == nil {
		return nil
	}
	return decode(t, h.Request.PostData.Text, h.Request.PostData.Encoding)
}

func (h *har) responseBody(t *testing.T) []byte {
	t.Helper()
	return decode(t, h.Response.Content.Text, h.Response.Content.Encoding)
}

func decode(t *testing.T, text, encoding string) []byte {
	t.Helper()
	switch encoding {
	case "":
		if text == "" {
			return nil
		}
		return []byte(text)
	case "base64":
		b, err := base64.StdEncoding.DecodeString(text)
		require.NoError(t, err)
		return b
	}
	t.Fatalf("unknown encoding %q", encoding)
	return nil
}

// payload gets a link for one exchange from the API, and the exchange from the bucket, as the page does.
func (c *collector) payload(t *testing.T, row request) *har {
	t.Helper()
	entry := c.entry(t, row)
	// A local header of a ZIP file (APPNOTE 4.3.7), and then the deflated file.
	require.Equal(t, "PK\x03\x04", string(entry[:4]))
	head := 30 + le16(entry[26:]) + le16(entry[28:])
	require.Equal(t, row.SpanID+".har", string(entry[30:head]))
	file := flate.NewReader(bytes.NewReader(entry[head:]))
	defer file.Close()
	var document struct {
		Log struct {
			Version string `json:"version"`
			Entries []har  `json:"entries"`
		} `json:"log"`
	}
	require.NoError(t, json.NewDecoder(file).Decode(&document))
	require.Equal(t, "1.2", document.Log.Version)
	require.Len(t, document.Log.Entries, 1)
	return &document.Log.Entries[0]
}

// entry loads the bytes of the row's exchange, for which alone the link is good.
func (c *collector) entry(t *testing.T, row request) []byte {
	t.Helper()
	var entry []byte
	require.Eventually(t, func() bool {
		body, err := json.Marshal(map[string]string{"trace_id": row.TraceID, "span_id": row.SpanID})
		require.NoError(t, err)
		var link struct {
			URL   string `json:"url"`
			Range string `json:"range"`
			Code  string `json:"code"`
		}
		answer, status := c.try(t, http.MethodPost, "/api/v1/payload-links", bytes.NewReader(body))
		require.NoError(t, json.Unmarshal(answer, &link))
		if link.Code == "no_receipt" {
			return false // it is on the way
		}
		require.Equal(t, http.StatusOK, status, "%s", answer)
		ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, link.URL, nil)
		require.NoError(t, err)
		ask.Header.Set("Range", link.Range)
		res, err := http.DefaultClient.Do(ask)
		require.NoError(t, err)
		defer res.Body.Close()
		entry, err = io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, http.StatusPartialContent, res.StatusCode, "%s", entry)
		return true
	}, testkit.Patience, 100*time.Millisecond, "the payload of %s %s (%s)", row.Method, row.Path, row.Payload.State)
	return entry
}

func le16(b []byte) int { return int(b[0]) | int(b[1])<<8 }
