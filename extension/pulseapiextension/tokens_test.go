// SPDX-License-Identifier: Apache-2.0

package pulseapiextension

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/extension/extensionauth"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulsetokensextension"
)

const agentToken = "agent-token-agent-token-agent-token-0001"

// startTokens starts the extension that knows who may write: of eu one token that was used and an old one, of us one.
func startTokens(t *testing.T) component.Component {
	t.Helper()
	f := pulsetokensextension.NewFactory()
	cfg := f.CreateDefaultConfig().(*pulsetokensextension.Config)
	hash := func(token string) string {
		sum := sha256.Sum256([]byte(token))
		return hex.EncodeToString(sum[:])
	}
	now := time.Now()
	cfg.Environments = map[string]pulsetokensextension.EnvironmentConfig{
		"us": {Tokens: []pulsetokensextension.TokenConfig{{Name: "west", SHA256: hash("west")}}},
		"eu": {Tokens: []pulsetokensextension.TokenConfig{
			{Name: "old", SHA256: hash("old"), Created: now.AddDate(-1, 0, 0), NotAfter: now.Add(-24 * time.Hour)},
			{Name: "agents-2026-11", SHA256: hash(agentToken), Created: now.AddDate(0, 0, -9), NotAfter: now.AddDate(0, 0, 81)},
		}},
	}
	ext, err := f.Create(t.Context(), extensiontest.NewNopSettings(f.Type()), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	_, err = ext.(extensionauth.Server).Authenticate(t.Context(), map[string][]string{"authorization": {"Bearer " + agentToken}})
	require.NoError(t, err)
	return ext
}

func TestTokens(t *testing.T) {
	auth := component.MustNewID("people")
	all := host{component.MustNewIDWithName("pulse_tokens", "b"): startTokens(t), auth: people{teams: map[string][]string{"ada": {"audit"}, "sam": {"view"}}}}
	named := func(list []any) []string {
		var out []string
		for _, v := range list {
			t := v.(map[string]any)
			out = append(out, fmt.Sprint(t["environment"], "/", t["name"], " ", t["active"], " ", t["last_used_at"] != nil, " ", t["created_at"] != nil, " ", t["expires_at"] != nil))
		}
		return out
	}
	cfg := testConfig(t)
	cfg.Auth = someAuth(auth)
	cfg.Access = &AccessConfig{Grants: []GrantConfig{{Attribute: "membership", Value: "audit", Roles: []string{"auditor"}}, {Attribute: "membership", Value: "view", Roles: []string{"investigator"}}}}
	s := startOn(t, cfg, &rows{}, all)
	status, body, _ := s.call(t, "GET", "/api/v1/tokens", "", as("ada"))
	require.Equal(t, 200, status)
	require.Equal(t, []any{"pulse_tokens/b"}, body["extensions"])
	require.Equal(t, []string{"eu/agents-2026-11 true true true true", "eu/old false false true true", "us/west true false false false"}, named(body["tokens"].([]any)))
	require.Equal(t, "forbidden", s.code(t, 403, "GET", "/api/v1/tokens", "", as("sam")))
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/tokens", "", as("eve")))

	// Neither a token nor its hash is in the answer, and a token that writes reads nothing here.
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/api/v1/tokens", nil)
	require.NoError(t, err)
	as("ada")(r)
	res, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	sum := sha256.Sum256([]byte(agentToken))
	require.NotContains(t, string(text), agentToken)
	require.NotContains(t, strings.ToLower(string(text)), hex.EncodeToString(sum[:4]))
	require.Equal(t, "unauthenticated", s.code(t, 401, "GET", "/api/v1/tokens", "", as(agentToken)))

	one := testConfig(t)
	one.Environment = "us"
	s = startOn(t, one, &rows{}, all)
	_, body, _ = s.call(t, "GET", "/api/v1/tokens", "")
	require.Equal(t, []string{"us/west true false false false"}, named(body["tokens"].([]any)), "a Pulse of one environment tells of no other")

	s = start(t, testConfig(t), &rows{})
	_, body, _ = s.call(t, "GET", "/api/v1/tokens", "")
	require.Empty(t, body["extensions"])
	require.Empty(t, body["tokens"])
}
