// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/client"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/config/configauth"
	"go.opentelemetry.io/collector/config/confighttp"
	"go.opentelemetry.io/collector/config/configoptional"

	"github.com/qpoint-io/otelcol-qpoint/internal/pulsestore"
)

const testPart = "default/2026/11/24/07/3c7b1e/01KAV3T0QW8ZJ5V6X7Y8Z9ABCD.1.zip"

func oneEntry(length uint64) (pulsestore.Request, *rows, string) {
	row := fullRequest(1, time.Now())
	store := &rows{requests: []pulsestore.Request{row}, entries: map[[8]byte][]pulsestore.PayloadEntry{row.SpanID: {{Key: testPart, Offset: 100, Length: length}}}}
	return row, store, fmt.Sprintf(`"trace_id":"%x","span_id":"%x"`, row.TraceID, row.SpanID)
}

// TestPayloadHead: a large payload comes in two links, each for its own bytes and no others.
func TestPayloadHead(t *testing.T) {
	_, store, ids := oneEntry(1000)
	s := start(t, testConfig(t), store)
	status, body, _ := s.call(t, "POST", "/api/v1/payload-links", `{`+ids+`,"head":300}`)
	require.Equal(t, 200, status)
	rest := body["rest"].(map[string]any)
	require.Equal(t, []any{"bytes=100-399", "bytes=400-1099", 100.0, 1000.0}, []any{body["range"], rest["range"], body["offset"], body["length"]})
	one, err := url.Parse(body["url"].(string))
	require.NoError(t, err)
	two, err := url.Parse(rest["url"].(string))
	require.NoError(t, err)
	require.Equal(t, "host;range", two.Query().Get("X-Amz-SignedHeaders"))
	require.NotEqual(t, one.Query().Get("X-Amz-Signature"), two.Query().Get("X-Amz-Signature"))
	require.Len(t, store.audit, 1)

	for _, head := range []string{"0", "1000", "5000"} {
		_, body, _ = s.call(t, "POST", "/api/v1/payload-links", `{`+ids+`,"head":`+head+`}`)
		require.Equal(t, "bytes=100-1099", body["range"])
		require.NotContains(t, body, "rest")
	}
	require.Equal(t, "bad_body", s.code(t, 400, "POST", "/api/v1/payload-links", `{`+ids+`,"head":-1}`))
}

// TestBucketCheck: the object that is not there has the shape of those that are, below an environment's name.
func TestBucketCheck(t *testing.T) {
	s := start(t, testConfig(t), &rows{})
	status, body, _ := s.call(t, "GET", "/api/v1/bucket-check", "")
	require.Equal(t, 200, status)
	u, err := url.Parse(body["url"].(string))
	require.NoError(t, err)
	require.Regexp(t, `[^/]/pulse-check/[A-Z0-9]{26}$`, u.Path)
	require.NotContains(t, u.Path, "//")
}

// TestBrowserSigns: without credentials Pulse says where a payload lies, with the same rights and the same audit.
func TestBrowserSigns(t *testing.T) {
	_, store, ids := oneEntry(1000)
	cfg := testConfig(t)
	cfg.S3.AccessKey, cfg.S3.SecretKey = "", ""
	require.NoError(t, cfg.Validate())
	s := start(t, cfg, store)
	_, body, _ := s.call(t, "GET", "/api/v1/config", "")
	require.Equal(t, "browser", body["payload"].(map[string]any)["signed_by"])
	status, body, _ := s.call(t, "POST", "/api/v1/payload-links", `{`+ids+`,"head":300}`)
	require.Equal(t, 200, status)
	require.NotContains(t, body, "url")
	require.NotContains(t, body["rest"], "url")
	require.Equal(t, []any{"http://127.0.0.1:1/qpoint/", "us-east-1", "demo/" + testPart, "qpoint", 100.0, 1000.0},
		[]any{body["endpoint"], body["region"], body["key"], body["bucket"], body["offset"], body["length"]})
	require.Equal(t, "allowed", store.audit[0].Outcome)
}

// TestVerifyLink: the whole object is for who may read all that is in it.
func TestVerifyLink(t *testing.T) {
	_, store, ids := oneEntry(1000)
	s := start(t, testConfig(t), store)
	status, body, _ := s.call(t, "POST", "/api/v1/payload-links", `{`+ids+`,"purpose":"verify"}`)
	require.Equal(t, 200, status)
	require.NotContains(t, body, "range")
	require.Equal(t, "demo/"+testPart, body["key"])
	require.Equal(t, []string{"payload.verify", "payload:read"}, []string{store.audit[0].Action, store.audit[0].Role})

	_, store, ids = oneEntry(1000)
	id := component.MustNewID("auth")
	cfg := testConfig(t)
	cfg.Auth = configoptional.Some(confighttp.AuthConfig{Config: configauth.Config{AuthenticatorID: id}})
	cfg.Access = &AccessConfig{
		Roles:  map[string][]string{"bound": {"metadata:read", "payload:read where service=*"}},
		Grants: []GrantConfig{{Roles: []string{"bound"}}},
	}
	s = startOn(t, cfg, store, host{id: anyone{}})
	require.Equal(t, "forbidden", s.code(t, 403, "POST", "/api/v1/payload-links", `{`+ids+`,"purpose":"verify"}`))
	require.Equal(t, []string{"payload.verify", "refused", "forbidden"}, []string{store.audit[0].Action, store.audit[0].Outcome, store.audit[0].Reason})
	require.Equal(t, 200, func() int { status, _, _ := s.call(t, "POST", "/api/v1/payload-links", `{`+ids+`}`); return status }())
}

// anyone lets everybody in.
type anyone struct{ component.Component }

func (anyone) Start(context.Context, component.Host) error { return nil }
func (anyone) Shutdown(context.Context) error              { return nil }
func (anyone) Authenticate(ctx context.Context, _ map[string][]string) (context.Context, error) {
	return client.NewContext(ctx, client.Info{}), nil
}

// TestStored: one request says what is stored of it where, and until when.
func TestStored(t *testing.T) {
	row, store, _ := oneEntry(1000)
	row.PayloadState = "pending"
	store.requests[0] = row
	expires := row.Time.Add(time.Hour)
	store.objects = map[pulsestore.ObjectID]pulsestore.PayloadObject{{Environment: row.Environment, Key: row.PayloadObject}: {Key: row.PayloadObject, State: "stored", Size: 4096, SHA256: [32]byte{1, 2}, Expires: expires, RetentionClass: "short"}}
	s := start(t, testConfig(t), store)
	path := fmt.Sprintf("/api/v1/requests/%x/%x", row.TraceID, row.SpanID)
	_, body, _ := s.call(t, "GET", path, "")
	require.Equal(t, timeText(row.Time.Add(24*time.Hour)), body["expires_at"])
	require.Equal(t, map[string]any{
		"size": 4096.0, "sha256": "0102000000000000000000000000000000000000000000000000000000000000", "expires_at": timeText(expires), "retention_class": "short",
	}, body["stored"])

	store.mu.Lock()
	store.objects, store.requests[0].Environment = nil, "kept"
	store.mu.Unlock()
	_, body, _ = s.call(t, "GET", path, "")
	require.NotContains(t, body, "stored")
	require.NotContains(t, body, "expires_at", "kept for ever")
}
