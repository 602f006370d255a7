// SPDX-License-Identifier: Apache-2.0

package pulsetokensextension

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"
	"go.opentelemetry.io/collector/extension/extensiontest"

	"github.com/qpoint-io/otelcol-qpoint/extension/pulsetokensextension/internal/metadata"
	"github.com/qpoint-io/otelcol-qpoint/internal/identity"
	"github.com/qpoint-io/otelcol-qpoint/internal/testkit"
)

var (
	tokenA = strings.Repeat("a", 40)
	tokenB = strings.Repeat("b", 40)
)

func hash(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}

func TestConfig(t *testing.T) {
	t.Parallel()
	require.NoError(t, componenttest.CheckConfigStruct(createDefaultConfig()))
	all, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
	require.NoError(t, err)
	fails := map[string]string{
		"":             "",
		"/file":        "",
		"/empty":       "`environments` is empty",
		"/both":        "exclude each other",
		"/bad_name":    "`environments::Production!`",
		"/bad_hash":    "`environments::a::tokens[0]::sha256` must be the token's SHA-256",
		"/no_name":     "`environments::a::tokens[0]::name`",
		"/same_name":   "is there twice",
		"/twice":       "`environments::b::tokens[0]::sha256` is the same as that of `environments::a::tokens[0]`",
		"/negative":    "items_per_second",
		"/unknown_key": "invalid keys: token",
		"/bad_time":    "not_after",
	}
	for name, want := range fails {
		sub, err := all.Sub("pulse_tokens" + name)
		require.NoError(t, err)
		cfg := createDefaultConfig()
		if err = sub.Unmarshal(cfg); err == nil {
			err = confmap.Validate(cfg)
		}
		if want == "" {
			require.NoError(t, err, name)
			continue
		}
		require.ErrorContains(t, err, want, name)
		require.NotContains(t, err.Error(), "the-token-itself", name)
	}
}

func started(t *testing.T, cfg *Config) *tokens {
	t.Helper()
	require.NoError(t, confmap.Validate(cfg))
	ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() { require.NoError(t, ext.Shutdown(context.Background())) })
	return ext.(*tokens)
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	expired := strings.Repeat("e", 40)
	ext := started(t, &Config{Environments: map[string]EnvironmentConfig{
		"eu": {Tokens: []TokenConfig{{Name: "one", SHA256: hash(tokenA)}, {Name: "old", SHA256: hash(expired), NotAfter: time.Now().Add(-time.Minute)}}},
		"us": {Tokens: []TokenConfig{{Name: "two", SHA256: strings.ToUpper(hash(tokenB)), NotAfter: time.Now().Add(time.Hour)}}},
	}})
	for name, c := range map[string]struct {
		header, value string
		environment   string
		err           error
	}{
		"http":          {header: "Authorization", value: "Bearer " + tokenA, environment: "eu"},
		"grpc":          {header: "authorization", value: "Bearer " + tokenB, environment: "us"},
		"other case":    {header: "Authorization", value: "bearer " + tokenB, environment: "us"},
		"no header":     {header: "Other", value: "Bearer " + tokenA, err: errMissing},
		"basic":         {header: "Authorization", value: "Basic " + tokenA, err: errMissing},
		"no token":      {header: "Authorization", value: "Bearer ", err: errMissing},
		"another token": {header: "Authorization", value: "Bearer " + strings.Repeat("c", 40), err: errUnknown},
		"the hash":      {header: "Authorization", value: "Bearer " + hash(tokenA), err: errUnknown},
		"short":         {header: "Authorization", value: "Bearer abc", err: errUnknown},
		"expired":       {header: "Authorization", value: "Bearer " + expired, err: errExpired},
	} {
		ctx, err := ext.Authenticate(t.Context(), map[string][]string{c.header: {c.value}})
		if c.err != nil {
			require.ErrorIs(t, err, c.err, name)
			require.Nil(t, identity.FromContext(ctx), name)
			continue
		}
		require.NoError(t, err, name)
		require.Equal(t, c.environment, identity.FromContext(ctx).Environment, name)
	}
	_, err := ext.Authenticate(t.Context(), map[string][]string{"Authorization": {"Bearer " + tokenA, "Bearer " + tokenB}})
	require.ErrorIs(t, err, errMissing, "two tokens are none")
	_, err = ext.Authenticate(t.Context(), map[string][]string{"Authorization": {"Bearer " + tokenA}, "authorization": {"Bearer " + tokenB}})
	require.ErrorIs(t, err, errMissing, "two tokens are none")
}

// TestTokens: what is told of tokens is by environment and name, and a use is not forgotten when the file is read anew.
func TestTokens(t *testing.T) {
	t.Parallel()
	made, end := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
	envs := map[string]EnvironmentConfig{
		"us": {Tokens: []TokenConfig{{Name: "two", SHA256: hash(tokenB)}}},
		"eu": {Tokens: []TokenConfig{{Name: "z", SHA256: hash("z")}, {Name: "one", SHA256: hash(tokenA), Created: made, NotAfter: end}}},
	}
	ext := started(t, &Config{Environments: envs})
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	ext.now = func() time.Time { return at }
	want := []identity.Token{{Environment: "eu", Name: "one", Created: made, NotAfter: end}, {Environment: "eu", Name: "z"}, {Environment: "us", Name: "two"}}
	require.Equal(t, want, ext.Tokens())
	for _, token := range []string{tokenA, strings.Repeat("c", 40)} {
		_, _ = ext.Authenticate(t.Context(), map[string][]string{"authorization": {"Bearer " + token}})
	}
	ext.use(envs)
	got := ext.Tokens()
	require.True(t, got[0].LastUsed.Equal(at))
	require.True(t, got[1].LastUsed.IsZero() && got[2].LastUsed.IsZero())
	envs["eu"] = EnvironmentConfig{Tokens: []TokenConfig{{Name: "one", SHA256: hash("exchanged")}}}
	ext.use(envs)
	require.True(t, ext.Tokens()[0].LastUsed.IsZero(), "another token of the same name was not used")
	require.NoError(t, ext.Shutdown(t.Context()))
	require.Empty(t, ext.Tokens())
}

// TestFile exchanges tokens while the extension runs.
func TestFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	write := func(text string) {
		require.NoError(t, os.WriteFile(path+".new", []byte(text), 0o600))
		require.NoError(t, os.Rename(path+".new", path))
	}
	one := func(token string) string {
		return fmt.Sprintf("environments:\n  eu:\n    items_per_second: 1\n    tokens:\n      - name: x\n        sha256: %q\n", hash(token))
	}
	ask := func(ext *tokens, token string) (*identity.Sender, error) {
		ctx, err := ext.Authenticate(t.Context(), map[string][]string{"authorization": {"Bearer " + token}})
		return identity.FromContext(ctx), err
	}
	write(one(tokenA))
	ext := started(t, &Config{File: path})
	sender, err := ask(ext, tokenA)
	require.NoError(t, err)
	now := time.Now()
	require.Zero(t, sender.Admit(now, 10))

	write(one(tokenB))
	require.Eventually(t, func() bool { _, err := ask(ext, tokenB); return err == nil }, testkit.Patience, 50*time.Millisecond)
	_, err = ask(ext, tokenA)
	require.ErrorIs(t, err, errUnknown, "a token that was removed is not valid any more")
	sender, err = ask(ext, tokenB)
	require.NoError(t, err)
	require.Positive(t, sender.Admit(now, 10), "a new token does not refill the quota")

	write("environments: {eu: {tokens: [{name: x, sha256: wrong}]}}")
	time.Sleep(1500 * time.Millisecond)
	_, err = ask(ext, tokenB)
	require.NoError(t, err, "a file that is wrong changes nothing")

	write("")
	time.Sleep(1500 * time.Millisecond)
	_, err = ask(ext, tokenB)
	require.NoError(t, err, "nor does one that is empty")
}

func TestFileRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "tokens.yaml")
	start := func() error {
		ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), &Config{File: path})
		require.NoError(t, err)
		defer func() { require.NoError(t, ext.Shutdown(context.Background())) }()
		return ext.Start(t.Context(), componenttest.NewNopHost())
	}
	require.ErrorContains(t, start(), "`file`")
	require.NoError(t, os.WriteFile(path, []byte("environments: {}\n"), 0o600))
	require.NoError(t, start(), "nobody may send yet")
	require.NoError(t, os.Chmod(path, 0o666))
	require.ErrorContains(t, start(), "chmod go-w")
	require.NoError(t, os.Chmod(path, 0o600))
	for _, text := range []string{"", "# nothing yet\n", "environments:\n", "environments: null\n"} {
		require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
		require.ErrorContains(t, start(), "the key `environments` is missing", "%q", text)
	}
	require.NoError(t, os.WriteFile(path, []byte("tokens: []\n"), 0o600))
	require.ErrorContains(t, start(), "invalid keys: tokens")
}

func TestLifecycle(t *testing.T) {
	t.Parallel()
	cfg := &Config{Environments: map[string]EnvironmentConfig{"a": {}}}
	ext, err := NewFactory().Create(t.Context(), extensiontest.NewNopSettings(metadata.Type), cfg)
	require.NoError(t, err)
	require.NoError(t, ext.Shutdown(t.Context()), "shutdown without start")
	for range 2 {
		require.NoError(t, ext.Start(t.Context(), componenttest.NewNopHost()))
		require.NoError(t, ext.Shutdown(t.Context()))
	}
}
