// SPDX-License-Identifier: Apache-2.0

//go:build linux

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

// ask is request without an opinion of the answer.
func (c *collector) ask(t *testing.T, method, path, body string) (status int, answer []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, c.api+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Accept", "application/json, text/event-stream")
	}
	var res *http.Response
	require.Eventually(t, func() bool { // the API bounds how often it is asked
		res, err = http.DefaultClient.Do(req.Clone(t.Context()))
		if err == nil && res.StatusCode == http.StatusTooManyRequests {
			res.Body.Close()
			return false
		}
		return true
	}, testkit.Patience, 500*time.Millisecond)
	require.NoError(t, err)
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	require.NoError(t, err)
	var head bytes.Buffer
	require.NoError(t, res.Header.Write(&head))
	return res.StatusCode, append(head.Bytes(), answer...)
}

// operation is what the walk reads of an operation of openapi.yaml.
type operation struct {
	Parameters []struct {
		Ref      string `yaml:"$ref"`
		Name     string
		In       string
		Required bool
		Schema   struct{ Default, Enum any }
	}
	RequestBody any `yaml:"requestBody"`
}

// refused are the routes that the demo refuses, with the reason.
var refused = map[string]string{
	"GET /login":          "no OpenID Connect provider is configured",
	"GET /login/callback": "no OpenID Connect provider is configured",
	"GET /countries":      "no database of countries is configured",
}

// walkAPI asks every route that openapi.yaml has, in every format, and every tool of MCP, and gives what they answer to see. A route that it
// does not know how to ask fails the test.
func (c *collector) walkAPI(t *testing.T, see func(kind, where string, data []byte)) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "extension/pulseapiextension/openapi.yaml"))
	require.NoError(t, err)
	var document struct {
		Paths      map[string]map[string]operation
		Components struct{ Parameters map[string]yaml.Node }
	}
	require.NoError(t, yaml.Unmarshal(text, &document))
	rows := c.requests(t, time.Now().Add(-time.Hour))
	require.NotEmpty(t, rows)
	row := rows[0]
	values := map[string]string{"field": "method", "fields": "method,server", "trace": row.TraceID, "span": row.SpanID, "limit": "1000"}
	bodies := map[string]string{
		"POST /erase":         fmt.Sprintf(`{"trace_id": %q, "span_id": %q, "dry_run": true}`, row.TraceID, row.SpanID),
		"POST /payload-links": fmt.Sprintf(`{"trace_id": %q, "span_id": %q}`, row.TraceID, row.SpanID),
		"POST /session":       fmt.Sprintf(`{"token": %q}`, c.token),
		"POST /mcp":           `{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}`,
		"DELETE /session":     "{}",
	}
	for path, methods := range document.Paths {
		for method, op := range methods {
			method = strings.ToUpper(method)
			if strings.HasSuffix(path, "/tail") {
				continue // followed while things happen: tails
			}
			name, target, query := method+" "+path, "/api/v1"+path, url.Values{}
			formats, kinds := []string{""}, []string{""}
			for _, p := range op.Parameters {
				if ref, ok := strings.CutPrefix(p.Ref, "#/components/parameters/"); ok {
					node := document.Components.Parameters[ref]
					require.NoError(t, node.Decode(&p))
				}
				value, known := values[p.Name]
				switch {
				case p.In == "path":
					if p.Name == "id" {
						value, known = row.ConnectionID, true
					}
					require.True(t, known, "%s: what is {%s}?", name, p.Name)
					target = strings.ReplaceAll(target, "{"+p.Name+"}", value)
				case p.Name == "format":
					formats = []string{"json", "ndjson", "csv"}
				case p.Name == "of":
					kinds = []string{"requests", "connections"}
				case p.In == "query" && (p.Required || p.Name == "limit"):
					require.True(t, known, "%s: what may `%s` be?", name, p.Name)
					query.Set(p.Name, value)
				}
			}
			require.True(t, op.RequestBody == nil || bodies[name] != "", "%s: what is its body?", name)
			ask := func() {
				status, answer := c.ask(t, method, target+"?"+query.Encode(), bodies[name])
				require.Equal(t, refused[name] == "", status < 400, "%s?%s: %s", name, query.Encode(), answer)
				require.Less(t, status, 500, "%s?%s: %s", name, query.Encode(), answer)
				see("API", name+"?"+query.Encode(), answer)
			}
			for _, format := range formats {
				if format != "" {
					query.Set("format", format)
					query.Set("limit", map[bool]string{true: "1000", false: "100000"}[format == "json"])
				}
				for _, kind := range kinds {
					query.Del("of")
					if kind != "" {
						query.Set("of", kind)
					}
					if !query.Has("field") && !query.Has("fields") {
						ask()
						continue
					}
					for _, field := range c.facets(t, kind) {
						for _, key := range []string{"field", "fields"} {
							if query.Has(key) {
								query.Set(key, field)
							}
						}
						ask()
					}
				}
			}
		}
	}
	for _, path := range []string{"/", "/api/v1/nothing"} {
		_, answer := c.ask(t, http.MethodGet, path, "")
		see("API", "GET "+path, answer)
	}
	c.walkTools(t, values, see)
}

// facets are the fields of requests or connections whose values can be counted.
func (c *collector) facets(t *testing.T, of string) (names []string) {
	t.Helper()
	var answer struct {
		Fields []struct {
			Name  string
			Facet bool
		}
	}
	require.NoError(t, json.Unmarshal(c.get(t, "/api/v1/fields?of="+of), &answer))
	for _, f := range answer.Fields {
		if f.Facet {
			names = append(names, f.Name)
		}
	}
	require.NotEmpty(t, names)
	return names
}

// walkTools calls every tool of MCP.
func (c *collector) walkTools(t *testing.T, values map[string]string, see func(kind, where string, data []byte)) {
	t.Helper()
	call := func(method string, params any) []byte {
		body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
		require.NoError(t, err)
		status, answer := c.ask(t, http.MethodPost, "/api/v1/mcp", string(body))
		require.Equal(t, 200, status, "%s: %s", method, answer)
		return answer
	}
	var list struct {
		Result struct {
			Tools []struct {
				Name        string
				InputSchema struct{ Properties map[string]any }
			}
		}
	}
	answer := call("tools/list", map[string]any{})
	require.NoError(t, json.Unmarshal(answer[bytes.IndexByte(answer, '{'):], &list))
	require.NotEmpty(t, list.Result.Tools)
	for _, tool := range list.Result.Tools {
		arguments := map[string]any{}
		for name := range tool.InputSchema.Properties {
			if value, ok := values[name]; ok && name != "limit" {
				arguments[name] = value
			}
		}
		if tool.InputSchema.Properties["id"] != nil {
			arguments["id"] = values["span"]
		}
		see("MCP", tool.Name, call("tools/call", map[string]any{"name": tool.Name, "arguments": arguments}))
	}
}

// tails follows both live streams until stop, which returns what they told.
func (c *collector) tails(t *testing.T) (stop func() map[string][]byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	told := map[string]*lockedBuffer{}
	var wait sync.WaitGroup
	for _, path := range []string{"/requests/tail", "/connections/tail"} {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.api+"/api/v1"+path, nil)
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+c.token)
		res, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode)
		b := &lockedBuffer{}
		told["GET "+path] = b
		wait.Go(func() {
			defer res.Body.Close()
			_, _ = io.Copy(b, bufio.NewReader(res.Body))
		})
	}
	return func() map[string][]byte {
		cancel()
		wait.Wait()
		out := map[string][]byte{}
		for where, b := range told {
			out[where] = []byte(b.String())
		}
		return out
	}
}

// dump gives every column of every table that the embedded ClickHouse keeps to see, as text and as it stores them.
func (c *collector) dump(t *testing.T, see func(kind, where string, data []byte)) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(c.data, "clickhouse", "clickhouse.sock"))
	}}}
	defer client.CloseIdleConnections()
	query := func(sql string) []byte {
		res, err := client.Post("http://clickhouse/", "text/plain", strings.NewReader(sql))
		require.NoError(t, err)
		defer res.Body.Close()
		answer, err := io.ReadAll(res.Body)
		require.NoError(t, err)
		require.Equal(t, 200, res.StatusCode, "%s: %s", sql, answer)
		return answer
	}
	tables := strings.Fields(string(query("SELECT '`' || database || '`.`' || name || '`' FROM system.tables WHERE total_bytes > 0 OR engine LIKE '%MergeTree%' FORMAT TabSeparatedRaw")))
	require.Greater(t, len(tables), 5)
	for _, table := range tables {
		for _, format := range []string{"TabSeparatedRaw", "Native"} {
			see("table", table+" as "+format, query("SELECT * FROM "+table+" FORMAT "+format))
		}
	}
}
